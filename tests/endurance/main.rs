//! What the ledger withstands: killed servers, power cuts, a database that goes away, fails over or is full, clocks that
//! step. Each in a short form; `.ci/long` sets `SCRIP_ENDURANCE=full` (docs/reliability.md).

#[path = "../harness/mod.rs"]
mod harness;
#[path = "../harness/server.rs"]
mod server;

mod clients;
mod clocks;
mod cluster;
mod full;
mod kills;
mod outage;
#[path = "../harness/power.rs"]
mod power;
mod several;
mod upgrade;

/// How much is done: a short form's number, or the full one's.
fn size(short: usize, full: usize) -> usize {
    if std::env::var("SCRIP_ENDURANCE").is_ok_and(|value| value == "full") { full } else { short }
}

/// Each cut leaves every acknowledged write, once, and a ledger that verifies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cuts_lose_nothing_that_was_acknowledged() {
    let cuts = size(40, 2_000);
    let told = power::cut(cuts).await;
    println!("{told}");
    assert_eq!((told.cuts, told.lost, told.broken), (cuts, 0, 0), "{told}");
    assert!(told.acknowledged > cuts, "{told}");
    // Otherwise no cut hit anything that was under way.
    assert!(told.unflushed > 0, "{told}");
}
