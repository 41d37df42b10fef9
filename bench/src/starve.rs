//! What others wait for while one caller asks for as much as it can: explanations of a wallet with many grants, searches,
//! reports, exports.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use futures_util::future::try_join_all;
use scrip::domain::Role;
use scrip::domain::accounts::tokens::Tokens;
use secrecy::SecretString;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::Client;
use crate::house::{Backend, House, Purse, SIGNING_SECRET, Size, fill};
use crate::http::{Server, token};
use crate::load::Figures;

/// Others who read, each of whom waits a little between two questions.
const OTHERS: usize = 4;
const PAUSE: Duration = Duration::from_millis(20);
/// Those who attack at once.
const ATTACKERS: usize = 24;
/// Grants that are issued at a time.
const ROWS: usize = 500;
const BALANCES: &str = "query($id: ID!) { customer(by: { id: $id }) { name balances { available held } } }";

#[derive(Args)]
pub struct Starve {
    #[arg(long, value_enum, default_value = "sqlite")]
    database: Backend,
    #[command(flatten)]
    size: Size,
    /// Grants of the wallet that is explained.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    grants: usize,
    /// How long each figure is measured.
    #[arg(long, default_value_t = 15, value_name = "SECONDS")]
    seconds: u64,
}

/// What the attackers ask for.
#[derive(Clone, Copy, Debug)]
enum Attack {
    Explanations,
    Searches,
    Reports,
    Exports,
}

impl Starve {
    pub async fn run(&self) -> Result<()> {
        let house = House::new(self.database, self.size).await?;
        let victim = house.purses[0].clone();
        for _ in 0..self.grants.div_ceil(ROWS) {
            try_join_all((0..ROWS).map(|_| fill(&victim, 1))).await?;
        }
        house.place.analyze().await?;
        let server = Server::start(&house.place.url, 256).await?;
        println!(
            "{:?}: {} customers, one with {} grants; {OTHERS} others read balances",
            self.database, self.size.customers, self.grants
        );
        let lasts = Duration::from_secs(self.seconds);
        // Once to be warm.
        others(&server, &house.purses, Duration::from_secs(3)).await?;
        let idle = others(&server, &house.purses, lasts).await?;
        println!("  nobody attacks: {}", idle.said());
        for attack in [Attack::Explanations, Attack::Searches, Attack::Reports, Attack::Exports] {
            let stop = Arc::new(AtomicBool::new(false));
            let asked = Arc::new(AtomicUsize::new(0));
            let attackers = (0..ATTACKERS)
                .map(|n| {
                    let (stop, asked, victim) = (stop.clone(), asked.clone(), victim.clone());
                    tokio::spawn(attacker(server.address.clone(), attack, victim, n, stop, asked))
                })
                .collect::<Vec<_>>();
            tokio::time::sleep(Duration::from_secs(1)).await;
            let during = others(&server, &house.purses, lasts).await?;
            stop.store(true, Ordering::Relaxed);
            for attacker in attackers {
                attacker.await??;
            }
            println!(
                "  {ATTACKERS} ask for {attack:?} ({} answered or refused): {}; p99 {:.1} times",
                asked.load(Ordering::Relaxed),
                during.said(),
                during.percentile(99) / idle.percentile(99)
            );
        }
        drop(server);
        house.app.close().await;
        Ok(())
    }
}

/// Others read balances, each as somebody else.
async fn others(server: &Server, purses: &[Purse], lasts: Duration) -> Result<Figures> {
    let until = Instant::now() + lasts;
    let reading = (0..OTHERS).map(|n| {
        let purses = &purses[1..];
        async move {
            let mut client = Client::connect(&server.address, "/graphql").await?;
            let staff = token(&purses[0])?;
            let (mut took, mut at) = (Vec::new(), n);
            while Instant::now() < until {
                at = (at + 7_919) % purses.len();
                let body = json!({ "query": BALANCES, "variables": { "id": purses[at].customer } }).to_string();
                let began = Instant::now();
                client.post(&staff, &body).await?;
                took.push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
                tokio::time::sleep(PAUSE).await;
            }
            Ok::<_, anyhow::Error>(took)
        }
    });
    let took = try_join_all(reading).await?.concat();
    Ok(Figures::together(vec![Figures { done: took.len(), lasted: lasts, took }]))
}

/// Asks again as soon as it was answered, or refused.
async fn attacker(
    address: String,
    attack: Attack,
    victim: Purse,
    number: usize,
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
) -> Result<()> {
    let tokens = Tokens::new(&SecretString::from(SIGNING_SECRET), "scrip", "scrip");
    let role = if matches!(attack, Attack::Explanations) { Role::Customer(victim.customer) } else { Role::Owner };
    let token = tokens.make(Some(victim.account), role, "attacker", Duration::from_hours(1))?;
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        // In words that nobody has used before.
        let alias = format!("a{number}x{round}");
        let query = match attack {
            Attack::Explanations => format!(
                "{{ viewer {{ __typename }} {alias}: customer(by: {{ id: \"{}\" }}) {{ balanceExplanation(creditTypeId: \"{}\") {{ available grants(first: 100) {{ nodes {{ grant {{ id }} }} }} }} }} }}",
                victim.customer, victim.credit_type
            ),
            Attack::Searches => {
                format!("{{ {alias}: customers(search: \"c\", first: 100) {{ nodes {{ id name }} }} }}")
            }
            Attack::Reports => format!(
                "{{ {alias}: creditLiability {{ asOf }} b: creditConsumption(from: \"2020-01-01T00:00:00Z\", to: \"2030-01-01T00:00:00Z\") {{ __typename }} }}"
            ),
            Attack::Exports => String::new(),
        };
        let request = if query.is_empty() {
            format!(
                "GET /exports/{}.json HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n",
                victim.customer
            )
        } else {
            let body = json!({ "query": query }).to_string();
            format!(
                "POST /graphql HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            )
        };
        let mut stream = TcpStream::connect(&address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let text = String::from_utf8_lossy(&answer);
        let status = text.split(' ').nth(1).context("a status")?.to_owned();
        if status == "400" || text.contains("BAD_REQUEST") {
            anyhow::bail!("the attack is not understood: {}", text.chars().take(600).collect::<String>());
        }
        asked.fetch_add(1, Ordering::Relaxed);
        if status != "200" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    Ok(())
}
