//! What the same questions take as the ledger grows, and with ten thousand open grants in one wallet.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use entity::Credits;
use futures_util::future::try_join_all;
use scrip::domain::credits::{self, verify};
use scrip::domain::ledger::{Consume, Words};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::client::Client;
use crate::grow::{Grown, grow};
use crate::house::{Backend, House, Purse, Size, fill, open};
use crate::http::{CUSTOMER, Server, token};
use crate::load::{Asks, Dice, closed_loop, median, random_key};

#[derive(Args)]
pub struct Growth {
    #[arg(long, value_enum, default_value = "sqlite")]
    database: Backend,
    /// How many activities, one ledger after another.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 1_000_000, 10_000_000], value_name = "N,…")]
    activities: Vec<usize>,
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    customers: usize,
    /// How long each question is asked, in seconds.
    #[arg(long, default_value_t = 5, value_name = "SECONDS")]
    seconds: u64,
    /// Recomputes each whole ledger at the end, or only those of at most so many activities.
    #[arg(long, num_args = 0..=1, default_missing_value = "1000000000", value_name = "MOST")]
    verify: Option<usize>,
}

/// What one ledger took: names, and milliseconds or commands a second.
type Taken = Vec<(&'static str, f64)>;

struct Consumer {
    purses: Arc<Vec<Purse>>,
    dice: Dice,
    asked: Arc<AtomicU64>,
}

impl Asks for Consumer {
    async fn ask(&mut self) -> Result<()> {
        let purse = &self.purses[self.dice.wallet(self.purses.len(), 0.0)];
        let (customer, credit_type, words) = (purse.customer, purse.credit_type, Words::default());
        self.asked.fetch_add(1, Ordering::Relaxed);
        let key = random_key();
        let consume = Consume { customer, credit_type, amount: Credits(1), words };
        credits::consume(&purse.caller, consume, &key).await?;
        Ok(())
    }
}

/// A client of one account.
struct Asker {
    client: Client,
    token: String,
}

impl Asker {
    async fn post(&mut self, body: &str) -> Result<&str> {
        self.client.post(&self.token, body).await
    }
}

impl Growth {
    pub async fn run(&self) -> Result<()> {
        let mut all: Vec<(usize, Taken)> = Vec::new();
        // As many wallets are used of every ledger as the first one has, from all over it.
        let mut wallets = None;
        for activities in &self.activities {
            let grown = grow(self.database, *activities, self.customers).await?;
            println!(
                "{:?}: {activities} activities over {} customers, made in {:.0?}",
                self.database, self.customers, grown.took
            );
            let wallets = *wallets.get_or_insert(grown.purses.len());
            let verifies = self.verify.is_some_and(|most| *activities <= most);
            let taken = self.measure(&grown, wallets, verifies).await?;
            for (what, figure) in &taken {
                println!("  {what:<44} {figure:>10.2}");
            }
            all.push((*activities, taken));
        }
        let Some(((first, base), rest)) = all.split_first() else { return Ok(()) };
        for (activities, taken) in rest {
            println!("{activities} against {first}:");
            for ((what, figure), (_, before)) in taken.iter().zip(base) {
                println!("  {what:<44} {:>10.2} times", figure / before);
            }
        }
        Ok(())
    }

    async fn measure(&self, grown: &Grown, wallets: usize, verifies: bool) -> Result<Taken> {
        let app = open(&grown.place.url).await?;
        let purses = grown
            .purses
            .iter()
            .step_by((grown.purses.len() / wallets).max(1))
            .take(wallets)
            .map(|purse| Purse { caller: purse.caller.on(app.clone()), ..purse.clone() });
        let purses = Arc::new(purses.collect::<Vec<_>>());
        let lasts = Duration::from_secs(self.seconds);
        let asked = Arc::<AtomicU64>::default();
        let callers = |count: usize| {
            let seed = asked.load(Ordering::Relaxed);
            let (purses, asked) = (purses.clone(), asked.clone());
            (1..=count as u64).map(move |n| Consumer {
                purses: purses.clone(),
                dice: Dice::new(seed + n),
                asked: asked.clone(),
            })
        };
        // Until most wallets were used: a page that is changed for the first time since a checkpoint is written whole.
        while asked.load(Ordering::Relaxed) < 2 * wallets as u64 {
            closed_loop(callers(64), lasts / 2).await?;
        }
        let mut taken = vec![("consume, 64 callers, µs for each", 1e6 / closed_loop(callers(64), lasts).await?.rate())];
        taken.push(("consume, one caller, median ms", closed_loop(callers(1), lasts).await?.percentile(50)));
        let server = Server::start(&grown.place.url, 256).await?;
        let mut client =
            Asker { client: Client::connect(&server.address, "/graphql").await?, token: token(&purses[0])? };
        let heavy = purses[0].customer;
        let mut dice = Dice::new(1);
        let balances = "query($id: ID!) { customer(by: { id: $id }) { balances { available held } } }";
        let any = || json!({ "id": purses[dice.wallet(purses.len(), 0.0)].customer });
        taken.push(("balances, ms", ask(&mut client, balances, 200, any).await?));
        let mut dice = Dice::new(2);
        let any = || json!({ "id": purses[dice.wallet(purses.len(), 0.0)].customer });
        taken.push(("balances and newest 20 activities, ms", ask(&mut client, CUSTOMER, 200, any).await?));
        let page = "query($id: ID!, $after: String) { customer(by: { id: $id }) { activity(first: 20, after: $after) { nodes { kind amount at } } } }";
        taken.push(("first page of activity, ms", ask(&mut client, page, 200, || json!({ "id": heavy })).await?));
        let (deep, after) = self.deep(&mut client, heavy.to_string()).await?;
        let name = if deep == 1000 { "1,000th page of activity, ms" } else { "last page of activity, ms" };
        taken.push((name, ask(&mut client, page, 200, || json!({ "id": heavy, "after": after })).await?));
        let liability = "{ creditLiability { asOf creditType { name } } }";
        taken.push(("liability report, ms", ask(&mut client, liability, 5, || json!({})).await?));
        drop(server);
        // A small table is read from end to end, and rightly.
        if self.database == Backend::Postgres && purses.len() >= 1_000 {
            plans(grown).await?;
        }
        if verifies {
            let began = Instant::now();
            let report = verify::verify(&purses[0].caller, |_, _| ()).await?;
            if !report.findings.is_empty() {
                bail!("the ledger does not verify: {:?}", report.findings.first());
            }
            taken.push(("verify all of it, ms", began.elapsed().as_secs_f64() * 1e3));
        }
        app.close().await;
        Ok(taken)
    }

    /// Goes through pages of twenty to the thousandth, or the last; which it is, and the cursor before it.
    async fn deep(&self, client: &mut Asker, heavy: String) -> Result<(usize, Value)> {
        let query = "query($id: ID!, $after: String) { customer(by: { id: $id }) { activity(first: 20, after: $after) { pageInfo { endCursor hasNextPage } } } }";
        let (mut after, mut page) = (Value::Null, 1);
        while page < 1000 {
            let body = json!({ "query": query, "variables": { "id": heavy, "after": after } }).to_string();
            let answer: Value = serde_json::from_str(client.post(&body).await?)?;
            let info = &answer["data"]["customer"]["activity"]["pageInfo"];
            if info["hasNextPage"] != true {
                break;
            }
            after = info["endCursor"].clone();
            page += 1;
        }
        Ok((page, after))
    }
}

/// Asks so often; the median in milliseconds.
async fn ask(client: &mut Asker, query: &str, times: usize, mut variables: impl FnMut() -> Value) -> Result<f64> {
    let mut took = Vec::new();
    for _ in 0..times {
        let body = json!({ "query": query, "variables": variables() }).to_string();
        let began = Instant::now();
        client.post(&body).await?;
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(median(took))
}

/// No hot query reads a table from end to end, as PostgreSQL plans with so many rows in it.
async fn plans(grown: &Grown) -> Result<()> {
    let purse = &grown.purses[0];
    let (a, c, t) = (purse.account.0, purse.customer.0, purse.credit_type.0);
    let keys = format!("unnest(ARRAY['{a}'::uuid], ARRAY['{c}'::uuid], ARRAY['{t}'::uuid])");
    let pool = sqlx::PgPool::connect(&grown.place.url).await?;
    for query in [
        format!(
            "SELECT * FROM wallet WHERE (account_id, customer_id, credit_type_id) IN (SELECT * FROM {keys}) FOR UPDATE"
        ),
        format!(
            "SELECT * FROM credit_grant WHERE (account_id, customer_id, credit_type_id) IN (SELECT * FROM {keys}) AND open"
        ),
        format!(
            "SELECT * FROM request WHERE (account_id, caller, key) IN (SELECT * FROM unnest(ARRAY['{a}'::uuid], ARRAY['staff'], ARRAY['k']))"
        ),
        format!(
            "SELECT * FROM activity WHERE account_id = '{a}' AND customer_id = '{c}' ORDER BY at DESC, sequence DESC, id DESC LIMIT 21"
        ),
        format!(
            "SELECT * FROM activity WHERE account_id = '{a}' AND customer_id = '{c}' AND (at, sequence, id) < (now(), 7, '{a}') ORDER BY at DESC, sequence DESC, id DESC LIMIT 21"
        ),
        format!("SELECT * FROM wallet WHERE account_id = '{a}' AND customer_id IN ('{c}')"),
        format!("SELECT * FROM allocation WHERE account_id = '{a}' AND activity_id IN ('{a}', '{c}')"),
    ] {
        let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!("EXPLAIN {query}"))).fetch_all(&pool).await?;
        if plan.iter().any(|step| step.contains("Seq Scan")) {
            bail!("{query} reads a whole table:\n{}", plan.join("\n"));
        }
    }
    pool.close().await;
    Ok(())
}

#[derive(Args)]
pub struct Grants {
    #[arg(long, value_enum, default_value = "sqlite")]
    database: Backend,
    /// Open grants in the one wallet; the other has one.
    #[arg(long = "grants", default_value_t = 10_000, value_name = "N")]
    count: usize,
    /// Callers who use the wallet at the same time.
    #[arg(long, default_value_t = 64, value_name = "N")]
    callers: usize,
    #[arg(long, default_value_t = 3, value_name = "SECONDS")]
    seconds: u64,
    #[arg(long, default_value_t = 3, value_name = "N")]
    rounds: usize,
}

impl Grants {
    pub async fn run(&self) -> Result<()> {
        let house = House::new(self.database, Size { customers: 2, accounts: 1 }).await?;
        let [one, many] = house.purses.as_slice() else { bail!("two wallets") };
        for batch in (1..self.count).collect::<Vec<_>>().chunks(256) {
            try_join_all(batch.iter().map(|_| fill(many, 1_000_000))).await?;
        }
        house.place.analyze().await?;
        let asked = Arc::<AtomicU64>::default();
        let (mut shares, mut rates) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            let rate = async |purse: &Purse| {
                let purses = Arc::new(vec![purse.clone()]);
                let callers = (0..self.callers).map(|n| Consumer {
                    purses: purses.clone(),
                    dice: Dice::new(n as u64 + 1),
                    asked: asked.clone(),
                });
                anyhow::Ok(closed_loop(callers, Duration::from_secs(self.seconds)).await?.rate())
            };
            let (of_one, of_many) = (rate(one).await?, rate(many).await?);
            shares.push(of_one / of_many);
            rates.push((of_one, of_many));
        }
        let (of_one, of_many) = rates.last().context("a round")?;
        println!(
            "{:?}, {} callers on one wallet: {of_one:.0} a second with one open grant, {of_many:.0} with {}",
            self.database, self.callers, self.count
        );
        println!("a consume takes {:.2} times as long", median(shares));
        house.app.close().await;
        Ok(())
    }
}
