//! Callers in a closed loop, and what they met.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    Consume,
    Issue,
    Hold,
    /// Of a hold that the same caller placed; places one where there is none.
    Capture,
}

/// How often each is asked for, as shares of any sum.
#[derive(Clone, Debug)]
pub struct Mix(Vec<(Verb, u32)>);

impl FromStr for Mix {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let part = |part: &str| {
            let (verb, share) =
                part.split_once('=').with_context(|| format!("{part} is no share, such as issue=10"))?;
            let verb = match verb.trim() {
                "consume" => Verb::Consume,
                "issue" => Verb::Issue,
                "hold" => Verb::Hold,
                "capture" => Verb::Capture,
                other => bail!("there is no {other}: consume, issue, hold and capture"),
            };
            Ok((verb, share.trim().parse().with_context(|| format!("{share} is no whole number"))?))
        };
        let shares = text.split(',').map(part).collect::<Result<Vec<_>>>()?;
        if shares.iter().all(|(_, share)| *share == 0) {
            bail!("nothing is asked for: {text}");
        }
        Ok(Self(shares))
    }
}

impl Mix {
    /// Whether nothing else is asked for.
    pub fn is_only(&self, verb: Verb) -> bool {
        self.0.iter().all(|(other, share)| *other == verb || *share == 0)
    }

    /// One of them, by chance.
    pub fn pick(&self, dice: &mut Dice) -> Verb {
        let sum = self.0.iter().map(|(_, share)| u64::from(*share)).sum::<u64>();
        let mut place = dice.below(sum);
        for (verb, share) in &self.0 {
            match place.checked_sub(u64::from(*share)) {
                Some(rest) => place = rest,
                None => return *verb,
            }
        }
        self.0[0].0
    }
}

/// Numbers that look random and are the same each time.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// One of 0, 1 … `bound - 1`.
    pub fn below(&mut self, bound: u64) -> u64 {
        // xorshift64*, Vigna 2016.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound.max(1)
    }

    /// Which of `count` wallets: the first with a chance of `hot`, else any.
    pub fn wallet(&mut self, count: usize, hot: f64) -> usize {
        #[expect(clippy::cast_precision_loss, reason = "a chance")]
        let chance = self.below(1 << 20) as f64 / f64::from(1 << 20);
        if chance < hot { 0 } else { usize::try_from(self.below(count as u64)).unwrap_or_default() }
    }
}

/// What one caller does, one thing after another.
pub struct Chooser {
    dice: Dice,
    /// Holds that this caller placed, with their wallets.
    holds: Vec<(String, usize)>,
}

/// What is done to which wallet.
pub struct Choice {
    pub verb: Verb,
    pub wallet: usize,
    /// The one to capture.
    pub hold: String,
}

impl Chooser {
    pub fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed), holds: Vec::new() }
    }

    /// What to do next, to one of `count` wallets.
    pub fn choose(&mut self, mix: &Mix, count: usize, hot: f64) -> Choice {
        let verb = mix.pick(&mut self.dice);
        let hold = if verb == Verb::Capture { self.holds.pop() } else { None };
        match (verb, hold) {
            (Verb::Capture, Some((hold, wallet))) => Choice { verb, wallet, hold },
            (Verb::Capture, None) => {
                Choice { verb: Verb::Hold, wallet: self.dice.wallet(count, hot), hold: String::new() }
            }
            _ => Choice { verb, wallet: self.dice.wallet(count, hot), hold: String::new() },
        }
    }

    /// A hold of it was placed.
    pub fn placed(&mut self, hold: String, wallet: usize) {
        self.holds.push((hold, wallet));
    }
}

/// What a run came to.
#[derive(Default)]
pub struct Figures {
    pub done: usize,
    pub lasted: Duration,
    /// Microseconds of each, sorted.
    pub took: Vec<u32>,
}

impl Figures {
    /// How many in a second.
    pub fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a figure to be read")]
        let done = self.done as f64;
        done / self.lasted.as_secs_f64()
    }

    /// Milliseconds within which so many per cent were answered.
    pub fn percentile(&self, percent: usize) -> f64 {
        let place = (self.took.len() * percent / 100).min(self.took.len().saturating_sub(1));
        f64::from(self.took.get(place).copied().unwrap_or_default()) / 1e3
    }

    /// The rate and how long answers took, in words.
    pub fn said(&self) -> String {
        let at = [50, 95, 99].map(|percent| format!("p{percent} {:.1} ms", self.percentile(percent)));
        format!("{:.0} a second, {}", self.rate(), at.join(", "))
    }

    /// One run of several.
    pub fn together(runs: Vec<Self>) -> Self {
        let mut all = Self::default();
        for run in runs {
            all.done += run.done;
            all.lasted += run.lasted;
            all.took.extend(run.took);
        }
        all.took.sort_unstable();
        all
    }
}

/// Who asks again and again.
pub trait Asks: Send + 'static {
    /// Asks once.
    fn ask(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// Lets them ask for a while, each as soon as it was answered.
pub async fn closed_loop<A: Asks>(callers: impl Iterator<Item = A>, lasts: Duration) -> Result<Figures> {
    let over = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let tasks = callers.map(|mut caller| {
        let over = over.clone();
        tokio::spawn(async move {
            let mut took = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let asked = Instant::now();
                caller.ask().await?;
                took.push(u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX));
            }
            anyhow::Ok(took)
        })
    });
    let tasks = tasks.collect::<Vec<_>>();
    tokio::time::sleep(lasts).await;
    over.store(true, Ordering::Relaxed);
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await??);
    }
    let lasted = began.elapsed();
    took.sort_unstable();
    Ok(Figures { done: took.len(), lasted, took })
}

/// The median of figures.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// An idempotency key as clients make them: keys of the same moment have nothing in common.
#[expect(clippy::disallowed_methods, reason = "a client's key, and no id of the server's")]
pub fn random_key() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// Numbers by name, as `/metrics` tells them.
pub fn read_metrics(text: &str) -> BTreeMap<String, f64> {
    let line = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    text.lines().filter(|line| !line.starts_with('#')).filter_map(line).collect()
}
