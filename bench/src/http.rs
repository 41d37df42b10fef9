//! The same over HTTP: a server in a process of its own, and clients that ask it in a closed loop.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use scrip::domain::Role;
use scrip::domain::accounts::tokens::Tokens;
use secrecy::SecretString;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::client::Client;
use crate::grow::grow;
use crate::house::{Backend, House, LEDGER_KEY, Purse, SIGNING_SECRET, Size};
use crate::ledger;
use crate::load::{Asks, Dice, Figures, closed_loop, median};

/// Says that this program is to be the server.
pub const SERVES: &str = "BENCH_SERVES";

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
    #[arg(long, value_enum, default_value = "consume")]
    what: What,
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
    /// `creditsConsume`, beside the ledger in this process.
    Consume,
    /// A customer's balances and newest 20 activities.
    Customer,
    /// Nothing: the server's size and how soon it is ready.
    Idle,
}

const CONSUME: &str =
    "mutation($input: CreditsConsumeInput!) { creditsConsume(input: $input) { activity { id } userErrors { code } } }";
/// A customer's balances and newest 20 activities.
pub const CUSTOMER: &str = "query($id: ID!) { customer(by: { id: $id }) { name balances { creditType { name } available held } activity(first: 20) { nodes { kind amount balanceAfter at } } } }";

/// A server in a process of its own; ended when dropped.
pub struct Server {
    child: Child,
    pub address: String,
    pub ready: Duration,
}

impl Server {
    /// Starts one on a database and waits until it is ready.
    pub async fn start(url: &str) -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.to_string();
        let began = Instant::now();
        let child = Command::new(std::env::current_exe()?)
            .args(["serve", "--listen", &address])
            .env(SERVES, "1")
            .env("SCRIP_DATABASE_URL", url)
            .env("SCRIP_LEDGER_KEY", LEDGER_KEY)
            .env("SCRIP_SIGNING_SECRET", SIGNING_SECRET)
            .env("SCRIP_LOG", "error")
            // What is measured is the server, not its budgets for strangers.
            .env("SCRIP_LIMIT_CALLER", "1000000000")
            .env("SCRIP_LIMIT_ADDRESS", "1000000000")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        while TcpStream::connect(&address).await.is_err() {
            if began.elapsed() > Duration::from_secs(20) {
                bail!("the server did not listen within 20 seconds");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(Self { child, address, ready: began.elapsed() })
    }

    /// Resident memory, in KiB.
    pub fn resident(&self) -> Result<u64> {
        let id = self.child.id().context("it runs")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("it has memory")?;
        Ok(line.split_whitespace().next().context("a number")?.parse()?)
    }
}

/// A token of staff of an account.
pub fn token(purse: &Purse) -> Result<String> {
    let tokens = Tokens::new(&SecretString::from(SIGNING_SECRET), "scrip", "scrip");
    Ok(tokens.make(Some(purse.account), Role::Staff, "bench", Duration::from_hours(12))?)
}

struct Caller {
    client: Client,
    purses: Arc<Vec<Purse>>,
    dice: Dice,
    keys: Arc<AtomicU64>,
}

impl Asks for Caller {
    async fn ask(&mut self) -> Result<()> {
        let purse = &self.purses[self.dice.wallet(self.purses.len(), 0.0)];
        let key = format!("http-{:016x}", self.keys.fetch_add(1, Ordering::Relaxed));
        let input = json!({
            "customerId": purse.customer, "creditTypeId": purse.credit_type, "amount": 1, "idempotencyKey": key,
        });
        self.client.post(&json!({ "query": CONSUME, "variables": { "input": input } }).to_string()).await?;
        Ok(())
    }
}

/// Reads customers.
struct Reader {
    client: Client,
    purses: Arc<Vec<Purse>>,
    dice: Dice,
}

impl Asks for Reader {
    async fn ask(&mut self) -> Result<()> {
        let purse = &self.purses[self.dice.wallet(self.purses.len(), 0.0)];
        let body = json!({ "query": CUSTOMER, "variables": { "id": purse.customer } });
        let answer = self.client.post(&body.to_string()).await?;
        ensure!(answer.matches("\"at\":").count() == 20, "twenty activities were asked for: {answer}");
        Ok(())
    }
}

impl Http {
    pub async fn run(&self) -> Result<()> {
        match self.what {
            What::Idle => return self.idle().await,
            What::Customer => return self.customers().await,
            What::Consume => {}
        }
        if self.size.accounts != 1 {
            bail!("over HTTP one account is measured: a token is of one");
        }
        println!("{:?}: {} customers, {} callers", self.database, self.size.customers, self.callers);
        let house = House::new(self.database, self.size).await?;
        let server = Server::start(&house.place.url).await?;
        let token = token(&house.purses[0])?;
        let (purses, keys) = (Arc::new(house.purses.clone()), Arc::<AtomicU64>::default());
        let lasts = Duration::from_secs(self.seconds);
        let (mut over_http, mut in_process, mut shares) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..self.rounds {
            let mut callers = Vec::new();
            for n in 0..self.callers {
                callers.push(Caller {
                    client: Client::connect(&server.address, "/graphql", Some(&token)).await?,
                    purses: purses.clone(),
                    dice: Dice::new((round * self.callers + n) as u64 + 1),
                    keys: keys.clone(),
                });
            }
            let run = closed_loop(callers.into_iter(), lasts).await?;
            let ledger = ledger::consumes(&house, (self.callers, 0.0), lasts, round).await?;
            shares.push(run.rate() / ledger.rate());
            in_process.push(ledger);
            over_http.push(run);
        }
        let all = Figures::together(over_http);
        println!("over HTTP: {}", all.said());
        println!("  p99 is {:.1} times p50", all.percentile(99) / all.percentile(50));
        println!("in process: {}", Figures::together(in_process).said());
        println!("ratio to the ledger in process: {:.2}", median(shares));
        println!("memory: {} MiB", server.resident()? / 1024);
        drop(server);
        house.app.close().await;
        Ok(())
    }

    /// A customer's balances and newest 20 activities.
    async fn customers(&self) -> Result<()> {
        let grown = grow(self.database, 30 * self.size.customers, self.size.customers).await?;
        println!(
            "{:?}: {} customers with 30 activities each, {} callers",
            self.database, self.size.customers, self.callers
        );
        let server = Server::start(&grown.place.url).await?;
        let token = token(&grown.purses[0])?;
        let purses = Arc::new(grown.purses);
        let mut runs = Vec::new();
        for round in 0..self.rounds {
            let mut readers = Vec::new();
            for n in 0..self.callers {
                let client = Client::connect(&server.address, "/graphql", Some(&token)).await?;
                let dice = Dice::new((round * self.callers + n) as u64 + 1);
                readers.push(Reader { client, purses: purses.clone(), dice });
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
            let server = Server::start(&house.place.url).await?;
            tokio::time::sleep(Duration::from_secs(2)).await;
            resident = server.resident()?.max(resident);
            ready.push(server.ready.as_secs_f64() * 1e3);
        }
        println!("{:?}: idle server {} KiB resident, ready in {:.0} ms", self.database, resident, median(ready));
        house.app.close().await;
        Ok(())
    }
}
