//! The same over HTTP: a server in a process of its own, and clients that ask it in a closed loop.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use chrono::TimeDelta;
use clap::{Args, ValueEnum};
use entity::AccountId;
use scrip::domain::Role;
use scrip::domain::accounts::tokens::Tokens;
use scrip::domain::ground::clock::{Clock, SystemClock};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::client::Client;
use crate::grow::grow;
use crate::house::{Backend, House, LEDGER_KEY, Purse, SIGNING_SECRET, Size};
use crate::ledger::{self, Kind, Load};
use crate::load::{Asks, Chooser, Dice, Figures, Mix, Verb, closed_loop, median, read_metrics};

/// Says that this program is to be the server.
pub const SERVES: &str = "BENCH_SERVES";
/// How an answer begins that has what was asked for.
const OK: &[u8; 13] = b"HTTP/1.1 200 ";
/// How often a server is started that ends before it answers, and how long it may take to answer.
const TRIES: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Args)]
pub struct Http {
    #[arg(long, value_enum, default_value = "sqlite")]
    database: Backend,
    #[command(flatten)]
    size: Size,
    /// Clients, each of whom asks again once it was answered.
    #[arg(long, default_value_t = 64, value_name = "N")]
    callers: usize,
    /// What is asked for.
    #[arg(long, value_enum, default_value = "ledger")]
    what: What,
    /// How much of what is asked of the ledger goes to one wallet: 0 to 1.
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    hot: f64,
    /// What is asked of the ledger, as shares: consume, issue, hold, capture.
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
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Mutations of the ledger, beside the ledger in this process.
    Ledger,
    /// A customer's balances and newest 20 activities.
    Customer,
    /// Nothing: the server's size and how soon it is ready.
    Idle,
}

/// A customer's balances and newest 20 activities.
pub const CUSTOMER: &str = "query($id: ID!) { customer(by: { id: $id }) { name balances { creditType { name } available held } activity(first: 20) { nodes { kind amount balanceAfter at } } } }";

/// A server in a process of its own; ended when dropped.
pub struct Server {
    child: Child,
    pub address: String,
    metrics: String,
    pub ready: Duration,
}

impl Server {
    /// Starts one on a database and waits until it is ready, at ports that were free just now: where another program takes
    /// one first, at others.
    pub async fn start(url: &str, batch: usize) -> Result<Self> {
        for _ in 0..TRIES {
            if let Some(server) = Self::start_at(&free_address().await?, &free_address().await?, url, batch).await? {
                return Ok(server);
            }
        }
        bail!("the server ended {TRIES} times before it answered; what it said is above")
    }

    /// Starts one at these addresses; none if it ended before it was ready.
    async fn start_at(address: &str, metrics: &str, url: &str, batch: usize) -> Result<Option<Self>> {
        let began = Instant::now();
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", "--listen", address])
            .env(SERVES, "1")
            .env("SCRIP_DATABASE_URL", url)
            .env("SCRIP_LEDGER_KEY", LEDGER_KEY)
            .env("SCRIP_SIGNING_SECRET", SIGNING_SECRET)
            .env("SCRIP_LOG", "error")
            .env("SCRIP_METRICS_LISTEN", metrics)
            .env("SCRIP_COMMANDS_PER_COMMIT", batch.to_string())
            // What is measured is the server, not its budgets for strangers.
            .env("SCRIP_LIMIT_CALLER", "1000000000")
            .env("SCRIP_LIMIT_ADDRESS", "1000000000")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        // That somebody can be connected to says nothing: it may be this connection itself, which found its own port.
        while get(address, "/health/ready").await.is_err() {
            if child.try_wait()?.is_some() {
                return Ok(None);
            }
            ensure!(began.elapsed() < PATIENCE, "the server did not answer within {} seconds", PATIENCE.as_secs());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let ready = began.elapsed();
        while get(metrics, "/metrics").await.is_err() {
            ensure!(began.elapsed() < PATIENCE, "no metrics within {} seconds", PATIENCE.as_secs());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(Some(Self { child, address: address.to_owned(), metrics: metrics.to_owned(), ready }))
    }

    /// What it has counted.
    async fn metrics(&self) -> Result<BTreeMap<String, f64>> {
        let text = get(&self.metrics, "/metrics").await.context("the server's metrics")?;
        Ok(read_metrics(&text))
    }

    /// Resident memory, in KiB.
    pub fn resident(&self) -> Result<u64> {
        let id = self.child.id().context("it runs")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("it has memory")?;
        Ok(line.split_whitespace().next().context("a number")?.parse()?)
    }
}

/// An address that nobody listens at just now.
pub async fn free_address() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?.to_string())
}

/// What is served at a path of an address: what follows the status, which is 200.
async fn get(address: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut begins = [0; OK.len()];
    stream.read_exact(&mut begins).await?;
    ensure!(begins == *OK, "{address}{path} does not answer yet");
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

/// A token of staff of an account.
pub fn token(purse: &Purse) -> Result<String> {
    let tokens = Tokens::new(&SecretString::from(SIGNING_SECRET), "scrip", "scrip");
    Ok(tokens.make(Some(purse.account), Role::Staff, "bench", Duration::from_hours(12))?)
}

/// What is asked of each client.
#[derive(Clone)]
pub struct Task {
    pub purses: Arc<Vec<Purse>>,
    pub tokens: Arc<HashMap<AccountId, String>>,
    pub mix: Arc<Mix>,
    pub hot: f64,
    pub keys: Arc<AtomicU64>,
}

/// Changes credits.
pub struct Changer {
    pub client: Client,
    pub task: Task,
    pub chooser: Chooser,
}

impl Asks for Changer {
    async fn ask(&mut self) -> Result<()> {
        let choice = self.chooser.choose(&self.task.mix, self.task.purses.len(), self.task.hot);
        let purse = &self.task.purses[choice.wallet];
        let key = format!("http-{:016x}", self.task.keys.fetch_add(1, Ordering::Relaxed));
        let mut input = json!({
            "customerId": purse.customer, "creditTypeId": purse.credit_type, "amount": 1, "idempotencyKey": key,
        });
        let mutation = match choice.verb {
            Verb::Consume => "creditsConsume",
            Verb::Issue => "creditsIssue",
            Verb::Hold => {
                input["expiresAt"] = json!(SystemClock.now() + TimeDelta::days(1));
                "holdPlace"
            }
            Verb::Capture => {
                input = json!({ "holdId": choice.hold, "idempotencyKey": key });
                "holdCapture"
            }
        };
        let (first, rest) = mutation.split_at(1);
        let kind = format!("{}{rest}Input", first.to_uppercase());
        let query = format!(
            "mutation($input: {kind}!) {{ {mutation}(input: $input) {{ activity {{ hold {{ id }} }} userErrors {{ code }} }} }}"
        );
        let body = json!({ "query": query, "variables": { "input": input } }).to_string();
        let answer = self.client.post(&self.task.tokens[&purse.account], &body).await?;
        if choice.verb == Verb::Hold {
            let answer: Value = serde_json::from_str(answer)?;
            let hold = answer["data"]["holdPlace"]["activity"]["hold"]["id"].as_str().context("a hold was placed")?;
            self.chooser.placed(hold.to_owned(), choice.wallet);
        }
        Ok(())
    }
}

/// Reads customers.
struct Reader {
    client: Client,
    token: Arc<str>,
    purses: Arc<Vec<Purse>>,
    dice: Dice,
}

impl Asks for Reader {
    async fn ask(&mut self) -> Result<()> {
        let purse = &self.purses[self.dice.wallet(self.purses.len(), 0.0)];
        let body = json!({ "query": CUSTOMER, "variables": { "id": purse.customer } });
        let answer = self.client.post(&self.token, &body.to_string()).await?;
        ensure!(answer.matches("\"at\":").count() == 20, "twenty activities were asked for: {answer}");
        Ok(())
    }
}

impl Http {
    pub async fn run(&self) -> Result<()> {
        match self.what {
            What::Idle => return self.idle().await,
            What::Customer => return self.customers().await,
            What::Ledger => {}
        }
        println!(
            "{:?}: {} customers in {} account(s), {} callers, hot share {}, at most {} in a commit",
            self.database, self.size.customers, self.size.accounts, self.callers, self.hot, self.batch
        );
        let house = House::new(self.database, self.size).await?;
        house.app.limit_batches(self.batch);
        let server = Server::start(&house.place.url, self.batch).await?;
        let alone = Server::start(&house.place.url, 1).await?;
        let mut tokens = HashMap::new();
        for purse in &house.purses {
            if let Entry::Vacant(place) = tokens.entry(purse.account) {
                place.insert(token(purse)?);
            }
        }
        let task = Task {
            purses: Arc::new(house.purses.clone()),
            tokens: Arc::new(tokens),
            mix: Arc::new(self.mix.clone()),
            hot: self.hot,
            keys: Arc::default(),
        };
        let (mut many, mut one, mut in_process) = (Kind::default(), Kind::default(), Vec::new());
        let mut shares = (Vec::new(), Vec::new());
        for round in 0..self.rounds {
            self.measure(&server, &task, round, &mut many).await?;
            let rate = many.runs[round].rate();
            if self.batch > 1 {
                self.measure(&alone, &task, round, &mut one).await?;
                shares.1.push(rate / one.runs[round].rate());
            }
            let load = Load { mix: &self.mix, callers: self.callers, hot: self.hot };
            let ledger = ledger::load(&house, &load, Duration::from_secs(self.seconds), round).await?;
            shares.0.push(rate / ledger.rate());
            in_process.push(ledger);
        }
        let all = ledger::tell("over HTTP", many);
        println!("  p99 is {:.1} times p50", all.percentile(99) / all.percentile(50));
        ledger::tell("over HTTP, 1 in a commit", one);
        println!("in process: {}", Figures::together(in_process).said());
        println!("ratio to the ledger in process: {:.2}", median(shares.0));
        if !shares.1.is_empty() {
            println!("ratio to 1 in a commit: {:.2}", median(shares.1));
        }
        println!("memory: {} MiB", server.resident()? / 1024);
        drop((server, alone));
        house.app.close().await;
        Ok(())
    }

    async fn measure(&self, server: &Server, task: &Task, round: usize, kind: &mut Kind) -> Result<()> {
        let mut callers = Vec::new();
        for n in 0..self.callers {
            let client = Client::connect(&server.address, "/graphql").await?;
            let chooser = Chooser::new((round * self.callers + n) as u64 + 1);
            callers.push(Changer { client, task: task.clone(), chooser });
        }
        let before = server.metrics().await?;
        let run = closed_loop(callers.into_iter(), Duration::from_secs(self.seconds)).await?;
        let after = server.metrics().await?;
        let counted = |name: &str| after.get(name).unwrap_or(&0.0) - before.get(name).unwrap_or(&0.0);
        kind.runs.push(run);
        kind.statements += counted("scrip_statements_total");
        kind.commits += counted("scrip_ledger_batch_commands_count");
        Ok(())
    }

    /// A customer's balances and newest 20 activities.
    async fn customers(&self) -> Result<()> {
        let grown = grow(self.database, 30 * self.size.customers, self.size.customers).await?;
        println!(
            "{:?}: {} customers with 30 activities each, {} callers",
            self.database, self.size.customers, self.callers
        );
        let server = Server::start(&grown.place.url, self.batch).await?;
        let token = Arc::<str>::from(token(&grown.purses[0])?);
        let purses = Arc::new(grown.purses);
        let mut runs = Vec::new();
        for round in 0..self.rounds {
            let mut readers = Vec::new();
            for n in 0..self.callers {
                let client = Client::connect(&server.address, "/graphql").await?;
                let dice = Dice::new((round * self.callers + n) as u64 + 1);
                readers.push(Reader { client, token: token.clone(), purses: purses.clone(), dice });
            }
            runs.push(closed_loop(readers.into_iter(), Duration::from_secs(self.seconds)).await?);
        }
        println!("over HTTP: {}", Figures::together(runs).said());
        Ok(())
    }

    async fn idle(&self) -> Result<()> {
        let house = House::new(self.database, Size { customers: 1, accounts: 1 }).await?;
        let mut ready = Vec::new();
        let mut resident = 0;
        for _ in 0..5 {
            let server = Server::start(&house.place.url, self.batch).await?;
            tokio::time::sleep(Duration::from_secs(2)).await;
            resident = server.resident()?.max(resident);
            ready.push(server.ready.as_secs_f64() * 1e3);
        }
        println!("{:?}: idle server {} KiB resident, ready in {:.0} ms", self.database, resident, median(ready));
        house.app.close().await;
        Ok(())
    }
}
