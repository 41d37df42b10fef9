//! Clients that never give up: each asks again under the same key until it is answered, and remembers what it was told.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use scrip::domain::ground::clock::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::harness::server;
use crate::harness::{Backend, House};

/// What a client asks for, by the number of its request: of eight, one issues, six consume, one places a hold.
const DOCUMENT: [(&str, &str); 3] = [
    (
        "creditsIssue",
        "mutation($input: CreditsIssueInput!) { done: creditsIssue(input: $input) { activity { id } userErrors { code } } }",
    ),
    (
        "creditsConsume",
        "mutation($input: CreditsConsumeInput!) { done: creditsConsume(input: $input) { activity { id } userErrors { code } } }",
    ),
    (
        "holdPlace",
        "mutation($input: HoldPlaceInput!) { done: holdPlace(input: $input) { activity { id } userErrors { code } } }",
    ),
];

/// What is there to be moved.
pub struct Work {
    pub token: String,
    pub credit_type: String,
    pub customers: Vec<String>,
}

/// What clients met.
#[derive(Default)]
pub struct Met {
    /// Keys that were acknowledged, each with its activity.
    pub kept: Mutex<BTreeMap<String, String>>,
    /// Answers that said `UNAVAILABLE`.
    pub unavailable: AtomicUsize,
    /// Connections that ended without a whole answer.
    pub cut: AtomicUsize,
    /// Connections that nobody took.
    pub refused: AtomicUsize,
    /// Answers that nobody should get.
    pub wrong: Mutex<Vec<String>>,
    number: AtomicUsize,
}

/// Customers with plenty of credits.
pub async fn work(house: &House, customers: usize) -> Work {
    let credit_type = house.credit_type("Class", json!({ "never": true })).await;
    let mut people = Vec::new();
    for n in 0..customers {
        let customer = house.customer(&format!("Customer {n}")).await;
        house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 1_000_000 })).await;
        people.push(customer);
    }
    Work { token: house.token(scrip::domain::Role::Staff), credit_type, customers: people }
}

impl Work {
    fn request(&self, number: usize) -> (&'static str, Value, String) {
        let kind = match number % 8 {
            0 => 0,
            7 => 2,
            _ => 1,
        };
        let key = format!("request-{number}");
        let mut input = json!({
            "customerId": self.customers[number * 7 % self.customers.len()], "creditTypeId": self.credit_type,
            "amount": 1, "idempotencyKey": key,
        });
        if kind == 2 {
            input["expiresAt"] = json!(SystemClock.now() + TimeDelta::days(1));
        }
        (DOCUMENT[kind].1, json!({ "input": input }), key)
    }
}

/// Lets so many clients ask until they are told to stop; each of one of the addresses, and of the next where that fails.
pub fn run(work: &Work, addresses: &[Mutex<String>], clients: usize, met: &Met, stop: &AtomicBool) {
    std::thread::scope(|scope| {
        for client in 0..clients {
            scope.spawn(move || {
                let mut at = client;
                while !stop.load(Ordering::Relaxed) {
                    let number = met.number.fetch_add(1, Ordering::Relaxed);
                    until_answered(work, number, addresses, &mut at, met, stop);
                }
            });
        }
    });
}

fn until_answered(
    work: &Work,
    number: usize,
    addresses: &[Mutex<String>],
    at: &mut usize,
    met: &Met,
    stop: &AtomicBool,
) {
    let (query, variables, key) = work.request(number);
    while !stop.load(Ordering::Relaxed) {
        let address = addresses[*at % addresses.len()].lock().expect("no panic").clone();
        match server::ask(&address, Some(&work.token), query, &variables) {
            Ok((200, answer)) if answer["data"]["done"]["activity"]["id"].is_string() => {
                let id = answer["data"]["done"]["activity"]["id"].as_str().unwrap_or_default().to_owned();
                met.kept.lock().expect("no panic").insert(key, id);
                return;
            }
            Ok((_, answer)) if answer["errors"][0]["extensions"]["code"] == "UNAVAILABLE" => {
                met.unavailable.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(50));
            }
            Ok((status, answer)) => {
                met.wrong.lock().expect("no panic").push(format!("{status} {answer}"));
                return;
            }
            // It was killed, or is not there yet: another may be.
            Err(error) => {
                let refused = error.kind() == ErrorKind::ConnectionRefused;
                let count = if refused { &met.refused } else { &met.cut };
                count.fetch_add(1, Ordering::Relaxed);
                *at += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

impl Met {
    pub fn acknowledged(&self) -> usize {
        self.kept.lock().expect("no panic").len()
    }

    /// Waits until so many more were acknowledged, at most for a while; answers whether they were.
    pub fn wait_for_more(&self, more: usize, patience: Duration) -> bool {
        let (began, before) = (Instant::now(), self.acknowledged());
        while began.elapsed() < patience {
            if self.acknowledged() >= before + more {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// Every acknowledged write is there with the activity that was told, each key has done one thing, nobody was told
    /// anything wrong, and the ledger verifies.
    pub async fn assert_kept(&self, house: &House) {
        let wrong = self.wrong.lock().expect("no panic").clone();
        assert!(wrong.is_empty(), "{} wrong answers, the first: {}", wrong.len(), wrong[0]);
        let stored = stored(house).await;
        let activities = house.count("SELECT count(*) FROM activity").await;
        let kept = self.kept.lock().expect("no panic").clone();
        assert!(!kept.is_empty(), "nothing was acknowledged");
        let lost =
            kept.iter().filter(|(key, id)| !stored.get(*key).is_some_and(|outcome| outcome.contains(id.as_str())));
        assert_eq!(lost.count(), 0, "of {} acknowledged writes", kept.len());
        assert_eq!(usize::try_from(activities), Ok(stored.len()), "each key one activity");
        house.assert_verified().await;
    }

    pub fn tell(&self, what: &str) {
        println!(
            "{what}: {} acknowledged, {} times UNAVAILABLE, {} connections cut, {} refused",
            self.acknowledged(),
            self.unavailable.load(Ordering::Relaxed),
            self.cut.load(Ordering::Relaxed),
            self.refused.load(Ordering::Relaxed)
        );
    }
}

/// What each key was answered.
async fn stored(house: &House) -> BTreeMap<String, String> {
    let keys = "SELECT key, CAST(outcome AS text) FROM request";
    let rows: Vec<(String, String)> = match house.backend {
        Backend::Sqlite => {
            let pool = sqlx::SqlitePool::connect(&house.url).await.expect("a connection");
            sqlx::query_as(keys).fetch_all(&pool).await.expect("keys")
        }
        Backend::Postgres => {
            let pool = sqlx::PgPool::connect(&house.url).await.expect("a connection");
            sqlx::query_as(keys).fetch_all(&pool).await.expect("keys")
        }
    };
    rows.into_iter().collect()
}
