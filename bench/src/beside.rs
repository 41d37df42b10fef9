//! Scrip beside `PostGraphile`, which makes a GraphQL API of the tables by itself: a customer's balances and newest 20
//! activities, over HTTP, from the same PostgreSQL.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::client::Client;
use crate::grow::grow;
use crate::house::{Backend, Purse};
use crate::http::{CUSTOMER, Server, free_address, token};
use crate::load::{Asks, Dice, Figures, closed_loop, median};

#[derive(Args)]
pub struct Beside {
    /// Where `PostGraphile` is: a folder in which `npm ci` was run.
    #[arg(long, default_value = "bench/postgraphile", value_name = "FOLDER")]
    folder: PathBuf,
    /// Processes of `PostGraphile`, which uses one processor in each.
    #[arg(long, default_value_t = 1, value_name = "N")]
    workers: usize,
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    customers: usize,
    /// Clients, each of whom asks again once it was answered.
    #[arg(long, default_value_t = 64, value_name = "N")]
    callers: usize,
    /// How long each run lasts, in seconds.
    #[arg(long, default_value_t = 5, value_name = "SECONDS")]
    seconds: u64,
    /// How often the runs are repeated, in turns.
    #[arg(long, default_value_t = 3, value_name = "N")]
    rounds: usize,
}

/// The same rows, as `PostGraphile` names them. It knows nothing of time: what has ended counts until somebody
/// writes it off.
const TABLES: &str = "query($account: UUID!, $id: UUID!) {
    customerByAccountIdAndId(accountId: $account, id: $id) {
        name
        walletsByAccountIdAndCustomerId { nodes { creditTypeByAccountIdAndCreditTypeId { name } balance held } }
    }
    allActivities(
        first: 20, condition: { accountId: $account, customerId: $id }, orderBy: [AT_DESC, SEQUENCE_DESC, ID_DESC]
    ) { nodes { kind amount balanceAfter at } }
}";

/// Reads customers, by one of the two.
struct Reader {
    client: Client,
    token: Arc<str>,
    query: &'static str,
    purses: Arc<Vec<Purse>>,
    dice: Dice,
}

impl Asks for Reader {
    async fn ask(&mut self) -> Result<()> {
        let purse = &self.purses[self.dice.wallet(self.purses.len(), 0.0)];
        let variables = json!({ "id": purse.customer.0, "account": purse.account.0 });
        let variables = if self.query == CUSTOMER { json!({ "id": purse.customer }) } else { variables };
        let body = json!({ "query": self.query, "variables": variables }).to_string();
        let answer = self.client.post(&self.token, &body).await?;
        ensure!(answer.matches("\"at\":").count() == 20, "twenty activities were asked for: {answer}");
        Ok(())
    }
}

impl Beside {
    pub async fn run(&self) -> Result<()> {
        let grown = grow(Backend::Postgres, 30 * self.customers, self.customers).await?;
        grown.place.analyze().await?;
        println!("Postgres: {} customers with 30 activities each, {} callers", self.customers, self.callers);
        let scrip = Server::start(&grown.place.url, 256).await?;
        let (_child, other) = self.postgraphile(&grown.place.url).await?;
        let token = Arc::<str>::from(token(&grown.purses[0])?);
        let purses = Arc::new(grown.purses.clone());
        let (mut ours, mut theirs, mut shares) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..self.rounds {
            let mut runs = Vec::new();
            for (address, query) in [(&scrip.address, CUSTOMER), (&other, TABLES)] {
                let mut readers = Vec::new();
                for n in 0..self.callers {
                    let client = Client::connect(address, "/graphql").await?;
                    let dice = Dice::new((round * self.callers + n) as u64 + 1);
                    let (token, purses) = (token.clone(), purses.clone());
                    readers.push(Reader { client, token, query, purses, dice });
                }
                runs.push(closed_loop(readers.into_iter(), Duration::from_secs(self.seconds)).await?);
            }
            let (their, our) = (runs.pop().context("two runs")?, runs.pop().context("two runs")?);
            shares.push(our.rate() / their.rate());
            ours.push(our);
            theirs.push(their);
        }
        println!("Scrip: {}", Figures::together(ours).said());
        println!("PostGraphile, {} process(es): {}", self.workers, Figures::together(theirs).said());
        println!("ratio: {:.1}", median(shares));
        Ok(())
    }

    /// Starts it; ended when dropped.
    async fn postgraphile(&self, url: &str) -> Result<(Child, String)> {
        let program = self.folder.join("node_modules/postgraphile/cli.js");
        if !program.is_file() {
            bail!("PostGraphile is not in {0}. Run `npm ci --prefix {0}` first.", self.folder.display());
        }
        let address = free_address().await?;
        let port = address.rsplit(':').next().context("a port")?;
        let workers = self.workers.to_string();
        let cluster = if self.workers > 1 { vec!["--cluster-workers", &workers] } else { Vec::new() };
        let child = Command::new("node")
            .arg(program)
            .args(cluster)
            .args(["--connection", url, "--schema", "public", "--host", "127.0.0.1", "--port", port])
            .args(["--disable-query-log", "--disable-graphiql", "--dynamic-json", "--cors"])
            .env("NODE_ENV", "production")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("node does not start")?;
        let began = Instant::now();
        while TcpStream::connect(&address).await.is_err() {
            if began.elapsed() > Duration::from_mins(1) {
                bail!("PostGraphile did not listen within a minute");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok((child, address))
    }
}
