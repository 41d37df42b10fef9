//! The same over HTTP: a server in a process of its own, and clients that ask it in a closed loop.

use std::path::{Path, PathBuf};
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
    /// Asks PostGraphile the same of the same database, in turns: the folder where it is installed (`npm ci` in
    /// bench/postgraphile). With --what customer on PostgreSQL.
    #[arg(long, value_name = "FOLDER")]
    postgraphile: Option<PathBuf>,
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

/// The same of PostGraphile, which shows the balance as it is stored.
const POSTGRAPHILE: &str = "query($a: UUID!, $c: UUID!) { customerByAccountIdAndRowId(accountId: $a, rowId: $c) { name walletsByAccountIdAndCustomerId { nodes { creditTypeByAccountIdAndCreditTypeId { name } balance held activitiesByAccountIdAndCustomerIdAndCreditTypeId(first: 20, orderBy: [AT_DESC]) { nodes { kind amount balanceAfter at } } } } } }";

/// PostGraphile on a database, and its address.
async fn postgraphile(folder: &Path, url: &str) -> Result<(Child, String)> {
    let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let program = folder.join("node_modules/.bin/postgraphile");
    let child = Command::new(&program)
        .args(["-c", url, "-s", "public", "-P", "postgraphile/presets/amber", "-n", "127.0.0.1"])
        .args(["-p", &address.port().to_string()])
        .env("GRAPHILE_ENV", "production")
        .env("NODE_ENV", "production")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{} does not start: run `npm ci` in bench/postgraphile", program.display()))?;
    let began = Instant::now();
    while TcpStream::connect(address).await.is_err() {
        ensure!(began.elapsed() < Duration::from_mins(1), "PostGraphile did not listen within a minute");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok((child, address.to_string()))
}

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

/// Reads customers, of Scrip or of PostGraphile.
struct Reader {
    client: Client,
    purses: Arc<Vec<Purse>>,
    postgraphile: bool,
    dice: Dice,
}

impl Asks for Reader {
    async fn ask(&mut self) -> Result<()> {
        let purse = &self.purses[self.dice.wallet(self.purses.len(), 0.0)];
        let body = if self.postgraphile {
            json!({ "query": POSTGRAPHILE, "variables": { "a": purse.account.0, "c": purse.customer.0 } })
        } else {
            json!({ "query": CUSTOMER, "variables": { "id": purse.customer } })
        };
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

    /// A customer's balances and newest 20 activities: of Scrip, and of PostGraphile beside it.
    async fn customers(&self) -> Result<()> {
        let grown = grow(self.database, 30 * self.size.customers, self.size.customers).await?;
        println!(
            "{:?}: {} customers with 30 activities each, {} callers",
            self.database, self.size.customers, self.callers
        );
        let server = Server::start(&grown.place.url).await?;
        let other = match &self.postgraphile {
            Some(folder) if self.database == Backend::Postgres => Some(postgraphile(folder, &grown.place.url).await?),
            Some(_) => bail!("PostGraphile reads PostgreSQL only: --database postgres"),
            None => None,
        };
        let (purses, lasts) = (Arc::new(grown.purses), Duration::from_secs(self.seconds));
        let token = token(&purses[0])?;
        let (mut runs, mut others, mut shares) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..=self.rounds {
            let mut rates = Vec::new();
            for (address, token, postgraphile) in [
                (Some(&server.address), Some(token.as_str()), false),
                (other.as_ref().map(|(_, address)| address), None, true),
            ] {
                let Some(address) = address else { continue };
                let mut readers = Vec::new();
                for n in 0..self.callers {
                    let client = Client::connect(address, "/graphql", token).await?;
                    let dice = Dice::new((round * self.callers + n) as u64 + 1);
                    readers.push(Reader { client, purses: purses.clone(), postgraphile, dice });
                }
                let run = closed_loop(readers.into_iter(), lasts).await?;
                rates.push(run.rate());
                // The first round is for warmth.
                if round > 0 {
                    if postgraphile { others.push(run) } else { runs.push(run) }
                }
            }
            if let ([ours, theirs], true) = (rates.as_slice(), round > 0) {
                shares.push(ours / theirs);
            }
        }
        println!("Scrip: {}", Figures::together(runs).said());
        if !shares.is_empty() {
            println!("PostGraphile: {}", Figures::together(others).said());
            println!("ratio: {:.1}", median(shares));
        }
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
