//! Ten times the clients at which its throughput peaks: who is turned away hears it soon, what is accepted is kept, memory
//! stays bounded, and two seconds after the load has ended it is as before.
//! `cargo test --release --test overload -- --ignored --nocapture` prints the figures of docs/security.md.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::server::{Server, run, said};

const SECRETS: [(&str, &str); 4] = [
    ("SCRIP_DATABASE_URL", "sqlite:scrip.db"),
    ("SCRIP_SIGNING_SECRET", "a signing secret for tests, 32 bytes"),
    ("SCRIP_LEDGER_KEY", "a ledger key for tests of 32 bytes!"),
    ("SCRIP_LOG", "error"),
];
/// Customers whose credits are used.
const CUSTOMERS: usize = 200;
/// Clients that are tried for the peak.
const TRIED: [usize; 4] = [32, 64, 128, 256];
/// Megabytes that more clients may cost.
const MEMORY: u64 = 300;

/// What clients met.
#[derive(Default)]
struct Tally {
    done: AtomicU64,
    turned_away: AtomicU64,
    cut: AtomicU64,
    /// Microseconds that being turned away took, one by one.
    refusals: std::sync::Mutex<Vec<u64>>,
    /// Keys that were acknowledged.
    kept: std::sync::Mutex<Vec<String>>,
}

/// One client on one connection.
struct Client {
    address: String,
    token: String,
    stream: Option<TcpStream>,
}

impl Client {
    /// Sends a request; the status and the body, or nothing where the connection ended.
    async fn ask(&mut self, body: &str) -> Option<(u16, String)> {
        if self.stream.is_none() {
            self.stream = TcpStream::connect(&self.address).await.ok();
        }
        let stream = self.stream.as_mut()?;
        let request = format!(
            "POST /graphql HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            self.token,
            body.len()
        );
        let answer = exchange(stream, request.as_bytes()).await;
        if answer.is_none() {
            self.stream = None;
        }
        answer
    }
}

async fn exchange(stream: &mut TcpStream, request: &[u8]) -> Option<(u16, String)> {
    stream.write_all(request).await.ok()?;
    let mut read = Vec::with_capacity(1024);
    loop {
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&read);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
        let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        if body.len() >= length {
            let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
            return Some((status, body.to_owned()));
        }
    }
}

/// Lets so many clients use credits for a while.
async fn load(
    server: &Server,
    token: &str,
    wallets: &Arc<Vec<(String, String)>>,
    clients: usize,
    lasts: Duration,
) -> Tally {
    static RUN: AtomicU64 = AtomicU64::new(0);
    let run = RUN.fetch_add(1, Ordering::Relaxed);
    let (tally, over) = (Arc::new(Tally::default()), Arc::new(AtomicBool::new(false)));
    let tasks = (0..clients).map(|n| {
        let (tally, over, wallets) = (tally.clone(), over.clone(), wallets.clone());
        let mut client = Client { address: server.address.clone(), token: token.to_owned(), stream: None };
        tokio::spawn(async move {
            let query = "mutation($input: CreditsConsumeInput!) { creditsConsume(input: $input) { activity { id } userErrors { code } } }";
            let mut count = 0;
            while !over.load(Ordering::Relaxed) {
                count += 1;
                let (customer, credit_type) = &wallets[(n * 7 + count) % wallets.len()];
                let key = format!("{run}-{n}-{count}");
                let input = json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 1, "idempotencyKey": key });
                let started = Instant::now();
                match client.ask(&json!({ "query": query, "variables": { "input": input } }).to_string()).await {
                    Some((200, body)) if body.contains("\"activity\":{") => {
                        tally.done.fetch_add(1, Ordering::Relaxed);
                        tally.kept.lock().expect("nobody panics").push(key);
                    }
                    Some((429 | 503, body)) => {
                        assert!(body.is_empty() || body.contains("UNAVAILABLE") || body.contains("RATE_LIMITED"), "{body}");
                        let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
                        tally.turned_away.fetch_add(1, Ordering::Relaxed);
                        tally.refusals.lock().expect("nobody panics").push(took);
                        // As `Retry-After` asks for.
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                    Some((status, body)) => panic!("{status} {body}"),
                    None => {
                        tally.cut.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        })
    });
    let tasks = tasks.collect::<Vec<_>>();
    tokio::time::sleep(lasts).await;
    over.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.expect("a client ends");
    }
    Arc::into_inner(tally).expect("all clients ended")
}

fn resident(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).expect("its status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).expect("a number") / 1024
}

fn open(folder: &Path) -> (Server, String, Vec<(String, String)>) {
    assert!(run(folder, &["migrate"], &SECRETS).status.success());
    let create =
        ["account", "create", "--name", "Studio", "--slug", "studio", "--time-zone", "UTC", "--currency", "CHF"];
    let text = said(&run(folder, &create, &SECRETS));
    let token = text.lines().find(|line| line.starts_with("ey")).expect("a token").to_owned();
    let server = Server::start(folder, &["serve"], &SECRETS);
    let ask = |query: &str, input: Value| {
        let (status, answer) = server.ask(Some(&token), query, &json!({ "input": input }));
        assert!(status == 200 && answer.get("errors").is_none(), "{answer}");
        answer["data"]["made"].clone()
    };
    let credit_type = ask(
        "mutation($input: CreditTypeCreateInput!) { made: creditTypeCreate(input: $input) { creditType { id } } }",
        json!({ "name": "Session", "expiration": { "never": true } }),
    );
    let credit_type = credit_type["creditType"]["id"].as_str().expect("an id").to_owned();
    let wallets = (0..CUSTOMERS).map(|n| {
        let made = ask("mutation($input: CustomerCreateInput!) { made: customerCreate(input: $input) { customer { id } } }",
            json!({ "name": format!("Customer {n}") }));
        let customer = made["customer"]["id"].as_str().expect("an id").to_owned();
        ask("mutation($input: CreditsIssueInput!) { made: creditsIssue(input: $input) { grant { id } } }",
            json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 10_000_000, "idempotencyKey": format!("issue-{n}") }));
        (customer, credit_type.clone())
    });
    let wallets = wallets.collect();
    (server, token, wallets)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a minute of load on both cores; .ci/long runs it"]
async fn ten_times_the_clients_are_turned_away_and_nothing_is_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, token, wallets) = open(folder.path());
    let wallets = Arc::new(wallets);
    let seconds = Duration::from_secs(5);
    let mut peak = (0, 0.0);
    let mut kept = Vec::new();
    for clients in TRIED {
        let tally = load(&server, &token, &wallets, clients, seconds).await;
        let rate = rate(&tally, seconds);
        println!("{clients} clients: {rate:.0} a second, {} turned away", tally.turned_away.load(Ordering::Relaxed));
        kept.extend(tally.kept.into_inner().expect("nobody panicked"));
        if rate > peak.1 {
            peak = (clients, rate);
        }
    }
    let before = resident(&server);
    let tenfold = load(&server, &token, &wallets, 10 * peak.0, Duration::from_secs(10)).await;
    let during = resident(&server);
    let ended = Instant::now();
    let under = rate(&tenfold, Duration::from_secs(10));
    let mut refusals = tenfold.refusals.lock().expect("nobody panicked").clone();
    refusals.sort_unstable();
    let at = |share: usize| {
        refusals.get((refusals.len() * share / 100).min(refusals.len().saturating_sub(1))).copied().unwrap_or(0) / 1000
    };
    let (turned, cut) = (tenfold.turned_away.load(Ordering::Relaxed), tenfold.cut.load(Ordering::Relaxed));
    println!(
        "peak: {} clients, {:.0} a second\nten times as many: {under:.0} a second, {turned} turned away in {} ms (median), {} ms (p99), {cut} cut",
        peak.0,
        peak.1,
        at(50),
        at(99)
    );
    println!("memory: {before} MB before, {during} MB during");
    kept.extend(tenfold.kept.into_inner().expect("nobody panicked"));
    // It recovers: one client is answered as soon as ever within two seconds of the end.
    let mut client = Client { address: server.address.clone(), token: token.clone(), stream: None };
    let mut recovered = None;
    while ended.elapsed() < Duration::from_secs(2) && recovered.is_none() {
        let started = Instant::now();
        let answered = client.ask(r#"{"query":"{ account { slug } }"}"#).await;
        if answered.is_some_and(|(status, _)| status == 200) && started.elapsed() < Duration::from_millis(100) {
            recovered = Some(ended.elapsed());
        }
    }
    println!("recovered after {:.0} ms", recovered.expect("it recovers within two seconds").as_secs_f64() * 1e3);
    let again = load(&server, &token, &wallets, peak.0, seconds).await;
    println!("afterwards: {:.0} a second", rate(&again, seconds));
    kept.extend(again.kept.into_inner().expect("nobody panicked"));
    assert!(turned > 0, "nobody was turned away: that was no overload");
    assert!(during <= before + MEMORY, "memory grew from {before} to {during} MB");
    // Every acknowledged write is there, once.
    assert!(server.stop());
    let url = format!("sqlite:{}", folder.path().join("scrip.db").display());
    let pool = sqlx::SqlitePool::connect(&url).await.expect("a connection");
    let stored: Vec<(String, i64)> = sqlx::query_as("SELECT key, 1 FROM request").fetch_all(&pool).await.expect("keys");
    let used: i64 = sqlx::query_scalar("SELECT count(*) FROM activity WHERE kind = 'consume'")
        .fetch_one(&pool)
        .await
        .expect("a count");
    pool.close().await;
    let stored = stored.into_iter().collect::<HashMap<_, _>>();
    let lost = kept.iter().filter(|key| !stored.contains_key(*key)).count();
    assert_eq!(lost, 0, "of {} acknowledged writes", kept.len());
    assert_eq!(usize::try_from(used).expect("a count"), stored.len() - CUSTOMERS);
    let verified = run(folder.path(), &["verify"], &SECRETS);
    assert!(verified.status.success(), "{}", said(&verified));
    println!("{} acknowledged, all there, once; verified", kept.len());
}

#[expect(clippy::cast_precision_loss, reason = "a figure to be read")]
fn rate(tally: &Tally, lasted: Duration) -> f64 {
    tally.done.load(Ordering::Relaxed) as f64 / lasted.as_secs_f64()
}
