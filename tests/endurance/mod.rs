//! What the ledger withstands: killed servers, power cuts, a database that goes away, fails over or is full, clocks that
//! step. Each in a short form; `.ci/long` sets `SCRIP_TESTS=full` (docs/reliability.md).

mod clients;
mod clocks;
mod cluster;
mod full;
mod kills;
mod outage;
mod several;
mod upgrade;

use crate::harness::power;
use crate::size;

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
