//! Figures, not assertions about time: `cargo test --release --test flow speed -- --ignored --nocapture`.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures to be read"
)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use scrip::domain::Role;
use serde_json::json;

use crate::flow::live::{BALANCE, Client};
use crate::harness::server::Server;
use crate::harness::{Backend, House, LEDGER_KEY, SIGNING_SECRET};

impl House {
    /// Many pending events at once, as if they had been tracked.
    async fn pile(&self, count: usize) {
        let copies = match self.backend {
            Backend::Sqlite => format!(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
                INSERT INTO event SELECT e.account_id, CAST(x'ff' || randomblob(15) AS BLOB), e.name, e.version, c.id, c.id, e.payload, e.at, e.depth, e.pending
                FROM event e, n JOIN (SELECT id, row_number() OVER () AS r FROM customer) c ON c.r = 1 + n.i % 100 WHERE e.name = 'form.submitted'"
            ),
            Backend::Postgres => format!(
                "INSERT INTO event (account_id, id, name, version, customer_id, subject_id, payload, at, depth, pending)
                SELECT e.account_id, ('ffffffff-' || substr(gen_random_uuid()::text, 10))::uuid, e.name, e.version, c.id, c.id, e.payload, e.at, e.depth, e.pending
                FROM event e, generate_series(1, {count}) i JOIN (SELECT id, row_number() OVER () AS r FROM customer) c ON c.r = 1 + i % 100 WHERE e.name = 'form.submitted'"
            ),
        };
        self.tamper(&copies).await;
    }
}

async fn ten_thousand_events_with_a_trigger(house: House) {
    let class = house.credit_type("Class", json!({ "never": true })).await;
    let mut ada = String::new();
    for n in 0..100 {
        ada = house.customer(&format!("Customer {n}")).await;
    }
    house
        .triggered("form.submitted", json!({ "actions": [{ "issueCredits": { "creditTypeId": class, "amount": 1 } }] }))
        .await;
    house.tracked("form.submitted", &ada, json!({})).await;
    house.pile(9_999).await;
    let began = Instant::now();
    house.work().await;
    let took = began.elapsed();
    let done = house.balance(&ada).await["totals"]["issued"].clone();
    println!(
        "{:?}: 10,000 events with a trigger that issues a credit: {took:.1?} ({:.0}/s); one customer's: {done}",
        house.backend,
        10_000.0 / took.as_secs_f64()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn speed_of_triggers() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        ten_thousand_events_with_a_trigger(House::new(backend).await).await;
    }
}

/// Open sockets, customers that they watch, changes, and how many are asked for at once.
const SOCKETS: usize = 2_000;
const WATCHED: usize = 200;
const CHANGES: usize = 2_000;
const CALLERS: usize = 16;
/// Changes that are asked for in a second: each is told to ten readers.
const PACE: f64 = 100.0;

fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a process");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

/// 2,000 open live subscriptions at a server of their own: memory of each, and how long a change takes under load.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn speed_of_live() {
    let house = House::new(Backend::Sqlite).await;
    let class = house.credit_type("Class", json!({ "never": true })).await;
    let mut people = Vec::new();
    for n in 0..WATCHED {
        let customer = house.customer(&format!("Customer {n}")).await;
        house.issue(json!({ "customerId": customer, "creditTypeId": class, "amount": 1 })).await;
        people.push(customer);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let settings = [
        ("SCRIP_DATABASE_URL", house.url.as_str()),
        ("SCRIP_SIGNING_SECRET", SIGNING_SECRET),
        ("SCRIP_LEDGER_KEY", LEDGER_KEY),
    ];
    let server = Server::start(folder.path(), &["serve"], &settings);
    let token = house.token(Role::Staff);
    server.ask(Some(&token), "{ account { slug } }", &json!({}));
    let before = resident(server.id());
    let (sent, took) = (Arc::<Mutex<HashMap<(String, i64), Instant>>>::default(), Arc::<Mutex<Vec<f64>>>::default());
    for n in 0..SOCKETS {
        let mut client = Client::signed_in(&server.address, &token).await;
        let customer = people[n % WATCHED].clone();
        client.subscribe("1", BALANCE, json!({ "id": customer })).await;
        client.next().await;
        let (sent, took) = (sent.clone(), took.clone());
        tokio::spawn(async move {
            while let Some(message) = client.try_next().await {
                let available = message["payload"]["data"]["balanceChanged"]["available"].as_i64().expect("a number");
                let since = sent.lock().expect("no panic").get(&(customer.clone(), available)).copied();
                if let Some(since) = since {
                    took.lock().expect("no panic").push(since.elapsed().as_secs_f64() * 1e3);
                }
            }
        });
    }
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let each = (resident(server.id()) - before) as f64 / SOCKETS as f64;
    let began = Instant::now();
    let issue = "mutation($input: CreditsIssueInput!) { creditsIssue(input: $input) { balance { available } userErrors { code } } }";
    let callers = (0..CALLERS).map(|caller| {
        let (address, token, people, class, sent) = (server.address.clone(), token.clone(), people.clone(), class.clone(), sent.clone());
        tokio::task::spawn_blocking(move || {
            // Each caller has customers of its own, so that it knows what each balance will be.
            let own = people.iter().skip(caller).step_by(CALLERS).collect::<Vec<_>>();
            for n in 0..CHANGES / CALLERS {
                let due = (n * CALLERS + caller) as f64 / PACE;
                std::thread::sleep(std::time::Duration::from_secs_f64((due - began.elapsed().as_secs_f64()).max(0.0)));
                let customer = own[n % own.len()];
                let after = 2 + i64::try_from(n / own.len()).expect("few");
                sent.lock().expect("no panic").insert((customer.clone(), after), Instant::now());
                let input = json!({ "customerId": customer, "creditTypeId": class, "amount": 1, "idempotencyKey": format!("{caller}-{n}") });
                crate::harness::server::ask(&address, Some(&token), issue, &json!({ "input": input })).expect("issued");
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.expect("no panic");
    }
    let rate = CHANGES as f64 / began.elapsed().as_secs_f64();
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let mut took = took.lock().expect("no panic").clone();
    took.sort_by(f64::total_cmp);
    let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize];
    println!(
        "{SOCKETS} live subscriptions: {each:.1} KiB each; {rate:.0} changes/s, {} answers, from request to reader: median {:.0} ms, p99 {:.0} ms",
        took.len(),
        at(0.5),
        at(0.99)
    );
}
