//! The ledger in this process: callers, wallets, what is asked for, and at most how many commands share a commit.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use chrono::TimeDelta;
use clap::Args;
use entity::{Credits, HoldId};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use scrip::domain::credits;
use scrip::domain::ground::clock::{Clock, SystemClock};
use scrip::domain::ledger::{Capture, Command, Consume, Outcome, Place, Words};

use crate::house::{Backend, House, Purse, Size, an_issue};
use crate::load::{Asks, Choice, Chooser, Figures, Mix, Verb, closed_loop, median, read_metrics};
use crate::profile::Profile;
use crate::raw;

#[derive(Args)]
pub struct Ledger {
    #[arg(long, value_enum, default_value = "sqlite")]
    database: Backend,
    #[command(flatten)]
    size: Size,
    /// Callers, each of whom asks again once it was answered.
    #[arg(long, default_value_t = 256, value_name = "N")]
    callers: usize,
    /// How much of what is asked for goes to one wallet: 0 to 1.
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    hot: f64,
    /// What is asked for, as shares: consume, issue, hold, capture.
    #[arg(long, default_value = "consume=1", value_name = "VERB=N,…")]
    mix: Mix,
    /// At most so many commands in one commit.
    #[arg(long, default_value_t = 256, value_name = "N")]
    batch: usize,
    /// How long each run lasts, in seconds.
    #[arg(long, default_value_t = 5, value_name = "SECONDS")]
    seconds: u64,
    /// How often the runs are repeated, in turns.
    #[arg(long, default_value_t = 3, value_name = "N")]
    rounds: usize,
    /// Leaves out the runs with one command in each commit.
    #[arg(long)]
    only_batches: bool,
    /// Runs the same rows in hand-written SQL as well, 256 in each commit: the limit of what the ledger could reach.
    #[arg(long)]
    raw: bool,
    /// Says how long which statements took.
    #[arg(long)]
    profile: bool,
}

/// What is asked of each caller.
#[derive(Clone)]
struct Task {
    purses: Arc<Vec<Purse>>,
    mix: Arc<Mix>,
    hot: f64,
    keys: Arc<AtomicU64>,
}

struct Caller {
    task: Task,
    chooser: Chooser,
}

impl Asks for Caller {
    async fn ask(&mut self) -> Result<()> {
        let choice = self.chooser.choose(&self.task.mix, self.task.purses.len(), self.task.hot);
        let purse = &self.task.purses[choice.wallet];
        let key = self.task.keys.fetch_add(1, Ordering::Relaxed);
        let command = command(&choice, purse)?;
        let outcome = credits::submit(&purse.caller, command, &format!("bench-{key:016x}")).await?;
        if choice.verb == Verb::Hold {
            self.chooser.placed(placed(&outcome)?.to_string(), choice.wallet);
        }
        Ok(())
    }
}

fn placed(outcome: &Outcome) -> Result<HoldId> {
    outcome.activities.first().and_then(|(activity, _)| activity.hold_id).context("a hold was placed")
}

fn command(choice: &Choice, purse: &Purse) -> Result<Command> {
    let (customer, credit_type, words) = (purse.customer, purse.credit_type, Words::default());
    Ok(match choice.verb {
        Verb::Capture => {
            let hold = choice.hold.parse()?;
            Command::Capture(Capture { hold, customer, credit_type, amount: None, words })
        }
        Verb::Consume => Command::Consume(Consume { customer, credit_type, amount: Credits(1), words }),
        Verb::Issue => Command::Issue(an_issue(purse, 1)),
        Verb::Hold => {
            let expires_at = SystemClock.now() + TimeDelta::days(1);
            Command::Place(Place { customer, credit_type, amount: Credits(1), expires_at, words })
        }
    })
}

/// What is asked of the ledger in this process.
pub struct Load<'a> {
    pub mix: &'a Mix,
    pub callers: usize,
    /// How much of it goes to one wallet.
    pub hot: f64,
}

/// Loads the ledger for a while.
pub async fn load(house: &House, load: &Load<'_>, lasts: Duration, round: usize) -> Result<Figures> {
    static KEYS: LazyLock<Arc<AtomicU64>> = LazyLock::new(Arc::default);
    let task = Task {
        purses: Arc::new(house.purses.clone()),
        mix: Arc::new(load.mix.clone()),
        hot: load.hot,
        keys: KEYS.clone(),
    };
    let callers = (0..load.callers)
        .map(|n| Caller { task: task.clone(), chooser: Chooser::new((round * load.callers + n) as u64 + 1) });
    closed_loop(callers, lasts).await
}

/// What the runs of one kind came to.
#[derive(Default)]
pub struct Kind {
    pub runs: Vec<Figures>,
    pub statements: f64,
    pub commits: f64,
}

impl Ledger {
    pub async fn run(&self) -> Result<()> {
        if !(0.0..=1.0).contains(&self.hot) {
            bail!("--hot is a share: 0 to 1, not {}", self.hot);
        }
        if self.raw && !([0.0, 1.0].contains(&self.hot) && self.mix.is_only(Verb::Consume)) {
            bail!(
                "--raw is hand-written SQL of consumes, spread or of one wallet: leave out --mix, and let --hot be 0 or 1"
            );
        }
        let metrics = PrometheusBuilder::new().install_recorder()?;
        let profile = self.profile.then(Profile::start);
        println!(
            "{:?}: {} customers in {} account(s), {} callers, hot share {}, {} rounds of {} s",
            self.database, self.size.customers, self.size.accounts, self.callers, self.hot, self.rounds, self.seconds
        );
        let house = House::new(self.database, self.size).await?;
        let raw = if self.raw { Some(raw::House::new(self.database, self.size).await?) } else { None };
        let lasts = Duration::from_secs(self.seconds);
        let (mut many, mut one, mut reference) = (Kind::default(), Kind::default(), Kind::default());
        let mut shares = (Vec::new(), Vec::new());
        for round in 0..self.rounds {
            if let Some(profile) = &profile {
                profile.forget();
            }
            self.measure(&house, (self.batch, round), &metrics, &mut many).await?;
            let rate = many.runs[round].rate();
            if let Some(profile) = &profile {
                profile.tell(many.runs[round].done);
            }
            if !self.only_batches {
                self.measure(&house, (1, round), &metrics, &mut one).await?;
                shares.0.push(rate / one.runs[round].rate());
            }
            if let Some(raw) = &raw {
                let run = raw.load(lasts, self.hot).await?;
                shares.1.push(rate / run.rate());
                reference.runs.push(run);
            }
        }
        tell(&format!("at most {} in a commit", self.batch), many);
        tell("1 in a commit", one);
        tell("hand-written SQL, 256 in a commit", reference);
        for (what, shares) in [("1 in a commit", shares.0), ("hand-written SQL", shares.1)] {
            if !shares.is_empty() {
                let each = shares.iter().map(|share| format!("{share:.2}")).collect::<Vec<_>>().join(", ");
                println!("ratio to {what}: {:.2} (median of {each})", median(shares));
            }
        }
        house.app.close().await;
        Ok(())
    }

    async fn measure(
        &self,
        house: &House,
        (limit, round): (usize, usize),
        metrics: &PrometheusHandle,
        kind: &mut Kind,
    ) -> Result<()> {
        house.app.limit_batches(limit);
        let store = house.app.store();
        let commits =
            || read_metrics(&metrics.render()).get("scrip_ledger_batch_commands_count").copied().unwrap_or(0.0);
        #[expect(clippy::cast_precision_loss, reason = "figures to be read")]
        let counted = || (store.statements() as f64, commits());
        let before = counted();
        let load = Load { mix: &self.mix, callers: self.callers, hot: self.hot };
        kind.runs.push(self::load(house, &load, Duration::from_secs(self.seconds), round).await?);
        let after = counted();
        kind.statements += after.0 - before.0;
        kind.commits += after.1 - before.1;
        Ok(())
    }
}

/// Says what the runs of one kind came to, if there were any; answers all of them together.
#[expect(clippy::cast_precision_loss, reason = "figures to be read")]
pub fn tell(what: &str, kind: Kind) -> Figures {
    if kind.runs.is_empty() {
        return Figures::default();
    }
    let rates = kind.runs.iter().map(|run| format!("{:.0}", run.rate())).collect::<Vec<_>>().join(", ");
    let rate = median(kind.runs.iter().map(Figures::rate).collect());
    let all = Figures::together(kind.runs);
    println!("{what}: {rate:.0} a second (median of {rates})");
    if !all.took.is_empty() {
        let at = [50, 95, 99].map(|percent| format!("p{percent} {:.1} ms", all.percentile(percent)));
        println!("  {}", at.join(", "));
    }
    if kind.commits > 0.0 {
        let done = all.done as f64;
        println!(
            "  {:.1} commands in a commit, {:.2} statements for each command",
            done / kind.commits,
            kind.statements / done
        );
    }
    all
}
