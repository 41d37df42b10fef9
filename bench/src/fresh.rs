//! A database that is really new, as whoever tries the server out has it: customers are written over HTTP into empty tables,
//! and from then on credits are used. PostgreSQL's plans were made when the tables were empty.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};

use crate::client::Client;
use crate::house::{Backend, Place, Purse, furnish, open};
use crate::http::{Changer, Server, Task, token};
use crate::load::{Chooser, Mix, closed_loop, random_key};

/// How long each figure is measured.
const STRETCH: Duration = Duration::from_secs(5);

#[derive(Args)]
pub struct Fresh {
    #[arg(long, value_enum, default_value = "postgres")]
    database: Backend,
    /// Customers that are written first, each with credits.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    customers: usize,
    /// Clients, each of whom asks again once it was answered.
    #[arg(long, default_value_t = 64, value_name = "N")]
    callers: usize,
    /// How long credits are used.
    #[arg(long, default_value_t = 75, value_name = "SECONDS")]
    seconds: u64,
}

impl Fresh {
    pub async fn run(&self) -> Result<()> {
        let place = Place::new(self.database).await?;
        let app = open(&place.url).await?;
        let first = furnish(&app, &place, 0, 1).await?.remove(0);
        let server = Server::start(&place.url, 256).await?;
        let staff = token(&first)?;
        let began = Instant::now();
        let purses = self.customers(&server, &staff, &first).await?;
        println!(
            "{:?}: {} customers with credits in {:.1} s, by {} callers",
            self.database,
            purses.len(),
            began.elapsed().as_secs_f64(),
            self.callers
        );
        let task = Task {
            purses: Arc::new(purses),
            tokens: Arc::new(HashMap::from([(first.account, staff)])),
            mix: Arc::new("consume=1".parse::<Mix>().map_err(anyhow::Error::msg)?),
            hot: 0.0,
            keys: Arc::default(),
        };
        let (mut rates, began) = (Vec::new(), Instant::now());
        while began.elapsed() < Duration::from_secs(self.seconds) {
            let mut callers = Vec::new();
            for n in 0..self.callers {
                let client = Client::connect(&server.address, "/graphql").await?;
                let chooser = Chooser::new((rates.len() * self.callers + n) as u64 + 1);
                callers.push(Changer { client, task: task.clone(), chooser });
            }
            let at = began.elapsed().as_secs();
            let figures = closed_loop(callers.into_iter(), STRETCH).await?;
            println!("  after {at:>3} s: {}", figures.said());
            rates.push(figures.rate());
        }
        let mean = |rates: &[f64]| rates.iter().sum::<f64>() / f64::from(u32::try_from(rates.len()).unwrap_or(1));
        let (first, last) = (mean(&rates[..rates.len().min(2)]), mean(&rates[rates.len().saturating_sub(2)..]));
        println!("first ten seconds to the last ten: {:.2} ({first:.0} to {last:.0} a second)", first / last);
        drop(server);
        app.close().await;
        Ok(())
    }

    /// Writes customers and their first credits over HTTP.
    async fn customers(&self, server: &Server, staff: &str, first: &Purse) -> Result<Vec<Purse>> {
        let next = Arc::new(AtomicUsize::new(0));
        let mut writing = tokio::task::JoinSet::new();
        for _ in 0..self.callers {
            let mut client = Client::connect(&server.address, "/graphql").await?;
            let (next, most, staff, first) = (next.clone(), self.customers, staff.to_owned(), first.clone());
            writing.spawn(async move {
                let mut made = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= most {
                        return Ok::<_, anyhow::Error>(made);
                    }
                    let query = "mutation($input: CustomerCreateInput!) { customerCreate(input: $input) { customer { id } userErrors { code } } }";
                    let input = json!({ "name": format!("Customer {number}"), "email": format!("customer{number}@example.com") });
                    let answer = client.post(&staff, &json!({ "query": query, "variables": { "input": input } }).to_string()).await?;
                    let answer: Value = serde_json::from_str(answer)?;
                    let id = answer["data"]["customerCreate"]["customer"]["id"].as_str().context("a customer")?.to_owned();
                    let query = "mutation($input: CreditsIssueInput!) { creditsIssue(input: $input) { userErrors { code } } }";
                    let input = json!({ "customerId": id, "creditTypeId": first.credit_type, "amount": 1_000_000, "idempotencyKey": random_key() });
                    client.post(&staff, &json!({ "query": query, "variables": { "input": input } }).to_string()).await?;
                    made.push(Purse { customer: id.parse().ok().context("an id")?, ..first.clone() });
                }
            });
        }
        let mut purses = Vec::with_capacity(self.customers);
        while let Some(made) = writing.join_next().await {
            purses.extend(made??);
        }
        Ok(purses)
    }
}
