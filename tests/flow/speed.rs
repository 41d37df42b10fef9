//! Figures, not assertions about time: `cargo test --release --test flow speed -- --ignored --nocapture`.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures to be read"
)]

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures_util::future::join_all;
use scrip::domain::Role;
use scrip::domain::ledger::{self, Consume, Words};
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::crash::server::Server;
use crate::harness::{Backend, House, LEDGER_KEY, SIGNING_SECRET};
use crate::live::{BALANCE, Client};

/// How long statements took, by the table that they write or read first.
#[derive(Clone, Default)]
struct Profile(Arc<Mutex<BTreeMap<String, f64>>>);

#[derive(Default)]
struct Statement {
    micros: u64,
    sql: String,
}

impl Visit for Statement {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "micros" {
            self.micros = value;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "sql" {
            value.clone_into(&mut self.sql);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

impl<S: tracing::Subscriber> Layer<S> for Profile {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != "scrip::sql" {
            return;
        }
        let mut statement = Statement::default();
        event.record(&mut statement);
        let verb = statement.sql.split(' ').next().unwrap_or_default();
        let table = statement
            .sql
            .split(['"'])
            .find(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '_') && word.len() > 2);
        let name = format!("{verb} {}", table.unwrap_or_default());
        let mut profile = self.0.lock().expect("no panic");
        *profile.entry(name).or_default() += f64::from(u32::try_from(statement.micros).unwrap_or(u32::MAX)) / 1e6;
    }
}

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

/// What recording an event costs within a commit: the share of its statement in the time of all.
async fn the_share_of_events_in_a_commit(house: House) {
    let class = house.credit_type("Class", json!({ "never": true })).await;
    let mut people = Vec::new();
    for n in 0..500 {
        let customer = house.customer(&format!("Customer {n}")).await;
        house.issue(json!({ "customerId": customer, "creditTypeId": class, "amount": 1_000_000 })).await;
        people.push(customer);
    }
    let staff = house.staff();
    let (profile, began) = (Profile::default(), Instant::now());
    let listening = tracing::subscriber::set_default(tracing_subscriber::registry().with(profile.clone()));
    for round in 0..40 {
        let all = people.iter().take(256).enumerate().map(|(n, customer)| {
            let consume = Consume {
                customer: customer.parse().expect("an id"),
                credit_type: class.parse().expect("an id"),
                amount: entity::Credits(1),
                words: Words::default(),
            };
            let (staff, key) = (staff.clone(), format!("{round}-{n}"));
            async move { ledger::consume(&staff, consume, &key).await.expect("consumed") }
        });
        join_all(all).await;
    }
    let took = began.elapsed();
    drop(listening);
    let profile = profile.0.lock().expect("no panic").clone();
    let all = profile.values().sum::<f64>();
    println!(
        "{:?}: {} consumes in {took:.1?}; time in statements {all:.2} s, of which events {:.1} %",
        house.backend,
        40 * 256,
        100.0 * profile.get("INSERT event").unwrap_or(&0.0) / all
    );
    for (table, seconds) in &profile {
        println!("  {table:<24} {seconds:.3} s");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn speed_of_triggers() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        if let Some(house) = House::new(backend).await {
            ten_thousand_events_with_a_trigger(house).await;
        }
    }
}

/// On one thread, so that the statements of all tasks are heard.
#[tokio::test]
#[ignore = "a measurement"]
async fn speed_of_recording() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        if let Some(house) = House::new(backend).await {
            the_share_of_events_in_a_commit(house).await;
        }
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
    let house = House::new(Backend::Sqlite).await.expect("SQLite is always there");
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
                crate::crash::server::ask(&address, Some(&token), issue, &json!({ "input": input })).expect("issued");
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
