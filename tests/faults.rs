//! Each deliberate fault is found by the model test, and without one nothing is.
#![cfg(debug_assertions)]

#[path = "naive/database.rs"]
mod database;
mod harness;
mod naive;
#[path = "harness/power.rs"]
mod power;

use std::panic::{AssertUnwindSafe, catch_unwind};

use chrono_tz::Tz;
use harness::{Backend, House};
use naive::game::Game;
use naive::steps::history;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use scrip::domain::ledger::fault::{self, Fault};

/// Histories that are tried before a fault counts as not found.
const CASES: usize = 2_000;
/// Histories through the database.
const HISTORIES: usize = 150;

/// Plays histories through the pure core until one is not what the naive ledger says.
fn is_found_in_the_core() -> bool {
    let mut runner = TestRunner::deterministic();
    (0..CASES).any(|_| {
        let steps = history(50..70).new_tree(&mut runner).expect("a history").current();
        let mut game = Game::new(Tz::Europe__Zurich);
        catch_unwind(AssertUnwindSafe(|| steps.iter().for_each(|step| drop(game.play(step))))).is_err()
    })
}

/// Power cuts after each of which an acknowledged write would be missed.
const CUTS: usize = 40;

/// Whether power cuts find writes that were acknowledged and are gone, or a database that does not verify.
fn is_found_by_power_cuts() -> bool {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let told = runtime.block_on(power::cut(CUTS));
    println!("{told}");
    told.lost + told.broken > 0
}

/// Plays histories through a database.
fn is_found_in_a_database() -> bool {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let played = runtime.block_on(async {
        let house = House::new(Backend::Sqlite).await.expect("SQLite is always there");
        tokio::spawn(async move { database::play(&house, database::histories(HISTORIES)).await }).await
    });
    played.is_err()
}

/// One test, because a fault is one for the whole program.
#[test]
fn every_fault_is_found_and_without_one_nothing_is() {
    // What is found is found by a panic, which need not be printed.
    std::panic::set_hook(Box::new(|_| {}));
    let mut found = vec![(None, is_found_in_the_core(), is_found_in_a_database())];
    for broken in [Fault::BurnOrder, Fault::Capture, Fault::Reverse, Fault::Expiry, Fault::Idempotency] {
        fault::set(Some(broken));
        found.push((Some(broken), is_found_in_the_core(), is_found_in_a_database()));
    }
    fault::set(None);
    let lost = [is_found_by_power_cuts(), {
        fault::set(Some(Fault::Flush));
        is_found_by_power_cuts()
    }];
    drop(std::panic::take_hook());
    assert_eq!(
        lost,
        [false, true],
        "power cuts lose what was acknowledged: with synchronous=FULL, with synchronous=OFF"
    );
    let expected = [
        (None, false, false),
        (Some(Fault::BurnOrder), true, true),
        (Some(Fault::Capture), true, true),
        (Some(Fault::Reverse), true, true),
        (Some(Fault::Expiry), true, true),
        // The core knows no keys.
        (Some(Fault::Idempotency), false, true),
    ];
    assert_eq!(found, expected, "fault, found in the core, found through the database");
}
