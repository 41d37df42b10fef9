//! Power cuts: a server in this process on a disk that forgets what was not flushed, cut off at a random moment under
//! load, and opened again from what was left.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use entity::{ActivityId, CreditTypeId, Credits, CustomerId};
use powercut::Disk;
use scrip::domain::credits::{self, verify};
use scrip::domain::ledger::{Command, Consume, Issue, Words};
use scrip::domain::{Caller, Role};
use serde_json::json;
use tempfile::TempDir;

use crate::harness::{Backend, House, open};

/// Callers that change the ledger when the power goes.
const CALLERS: u64 = 8;
/// Cuts in a row of one database; then a new one is begun.
const IN_A_ROW: usize = 50;
/// Customers whose credits move.
const CUSTOMERS: usize = 6;

/// What the cuts came to.
#[derive(Default)]
pub struct Told {
    pub cuts: usize,
    pub acknowledged: usize,
    /// Acknowledged writes that were not there afterwards.
    pub lost: usize,
    /// Databases that could not be opened, or did not verify, afterwards.
    pub broken: usize,
    /// Cuts at which something was not flushed.
    pub unflushed: usize,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} power cuts, {} of them with something unflushed; {} acknowledged writes, {} lost; {} databases broken",
            self.cuts, self.unflushed, self.acknowledged, self.lost, self.broken
        )
    }
}

type Acknowledged = BTreeMap<String, ActivityId>;

fn url(folder: &Path) -> String {
    format!("sqlite:{}?vfs={}", folder.join("scrip.db").display(), powercut::NAME)
}

/// Cuts the power so often.
pub async fn cut(cuts: usize) -> Told {
    let mut told = Told::default();
    while told.cuts < cuts {
        in_a_row(&mut told, cuts).await;
    }
    told
}

/// One database, cut off again and again, until it is lost or there were enough.
async fn in_a_row(told: &mut Told, cuts: usize) {
    let mut folder = tempfile::tempdir().expect("a folder");
    let mut disk = Disk::at(folder.path());
    let mut house = House::at(Backend::Sqlite, url(folder.path()), None).await;
    let class: CreditTypeId = house.credit_type("Class", json!({ "never": true })).await.parse().expect("an id");
    let mut people = Vec::new();
    for n in 0..CUSTOMERS {
        people.push(house.customer(&format!("Customer {n}")).await.parse().expect("an id"));
    }
    let issue = move |customer: CustomerId| Issue::of(customer, class, Credits(1_000_000));
    for (n, customer) in people.iter().enumerate() {
        credits::issue(&house.staff(), issue(*customer), &format!("first-{n}")).await.expect("issued");
    }
    let keys = AtomicU64::new(0);
    let mut kept = Acknowledged::new();
    for _ in 0..IN_A_ROW {
        let seed = told.cuts as u64 + 1;
        let (acknowledged, over) = (Arc::new(Mutex::new(kept.clone())), Arc::new(AtomicBool::new(false)));
        let callers = (0..CALLERS).map(|n| {
            let (staff, acknowledged, over) = (house.staff(), acknowledged.clone(), over.clone());
            let (people, first) = (people.clone(), keys.fetch_add(1_000_000, Ordering::Relaxed));
            tokio::spawn(async move {
                let mut number = first;
                while !over.load(Ordering::Relaxed) {
                    number += 1;
                    let customer = people[usize::try_from(number + n).unwrap_or_default() % people.len()];
                    let command = if number % 4 == 0 {
                        Command::Issue(issue(customer))
                    } else {
                        let (amount, words) = (Credits(1), Words::default());
                        Command::Consume(Consume { customer, credit_type: class, amount, words })
                    };
                    let key = format!("cut-{number}");
                    if let Ok(outcome) = credits::submit(&staff, command, &key).await {
                        let id = outcome.activities[0].0.id;
                        acknowledged.lock().expect("nobody panics").insert(key, id);
                    }
                }
            })
        });
        let callers = callers.collect::<Vec<_>>();
        // At another write each time. What is acknowledged by then must be in what the disk still has afterwards.
        let then = Arc::new(Mutex::new(Acknowledged::new()));
        let image = disk.arm(1 + usize::try_from(seed * 7_919 % 300).unwrap_or_default(), seed, {
            let (acknowledged, then) = (acknowledged.clone(), then.clone());
            move || then.lock().expect("nobody panics").clone_from(&acknowledged.lock().expect("nobody panics"))
        });
        while image.get().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let image = image.get().expect("it is there");
        kept = std::mem::take(&mut *then.lock().expect("nobody panics"));
        told.unflushed += usize::from(image.unflushed > 0);
        over.store(true, Ordering::Relaxed);
        for caller in callers {
            caller.await.expect("a caller ends");
        }
        house.app.close().await;
        told.cuts += 1;
        let after = tempfile::tempdir().expect("a folder");
        image.restore(after.path()).expect("restored");
        (disk, house) = match again(&after, house).await {
            Ok(next) => next,
            Err(why) => {
                println!("cut {seed}: {why}");
                told.acknowledged += kept.len();
                told.lost += kept.len();
                told.broken += 1;
                return;
            }
        };
        folder = after;
        let lost = missing(folder.path(), &kept).await;
        if lost > 0
            || verify::verify(&house.staff(), |_, _| ()).await.map_or(true, |report| !report.findings.is_empty())
        {
            told.acknowledged += kept.len();
            told.lost += lost;
            told.broken += usize::from(lost == 0);
            house.app.close().await;
            return;
        }
        if told.cuts >= cuts {
            break;
        }
    }
    told.acknowledged += kept.len();
    house.app.close().await;
    drop((disk, folder));
}

/// The house on what the cut left.
async fn again(after: &TempDir, house: House) -> Result<(Disk, House), String> {
    let disk = Disk::at(after.path());
    let url = url(after.path());
    let clock = house.clock.clone();
    let opened = tokio::spawn(async move { open(&url, clock).await }).await;
    let app = opened.map_err(|error| format!("it does not open: {error}"))?;
    let staff = Caller::of(app.clone(), house.account.id, Role::Staff, "tester");
    if verify::verify(&staff, |_, _| ()).await.is_err() {
        return Err("its account is not there".to_owned());
    }
    Ok((disk, house.with(app)))
}

/// How many acknowledged writes are not there, each with the activity that it was told.
async fn missing(folder: &Path, kept: &Acknowledged) -> usize {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.join("scrip.db")).vfs(powercut::NAME);
    let pool = sqlx::SqlitePool::connect_with(options).await.expect("a connection");
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT key, outcome FROM request").fetch_all(&pool).await.expect("keys");
    let stored = rows.into_iter().collect::<BTreeMap<_, _>>();
    pool.close().await;
    let there = |(key, id): &(&String, &ActivityId)| {
        stored.get(*key).is_some_and(|outcome| outcome.contains(&format!("[\"{id}\"]")))
    };
    kept.iter().filter(|kept| !there(kept)).count()
}
