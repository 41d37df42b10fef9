//! Each deliberate fault is found by the model test: `cargo test --features faults --test faults`.

mod harness;
#[path = "ledger/model.rs"]
mod model;
mod naive;

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

/// Plays histories through the pure core until one is not what the naive ledger says.
fn is_found_in_the_core() -> bool {
    let mut runner = TestRunner::deterministic();
    (0..CASES).any(|_| {
        let steps = history(50..70).new_tree(&mut runner).expect("a history").current();
        let mut game = Game::new(Tz::Europe__Zurich);
        catch_unwind(AssertUnwindSafe(|| steps.iter().for_each(|step| drop(game.play(step))))).is_err()
    })
}

/// Plays histories through a database.
fn is_found_in_a_database() -> bool {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let played = runtime.block_on(async {
        let house = House::new(Backend::Sqlite).await.expect("SQLite is always there");
        tokio::spawn(async move { model::play(&house, model::histories(20)).await }).await
    });
    played.is_err()
}

/// One test, because a fault is one for the whole program.
#[test]
fn every_fault_is_found_and_without_one_nothing_is() {
    fault::set(None);
    assert!(!is_found_in_the_core(), "the core fails without a fault");
    assert!(!is_found_in_a_database(), "the database fails without a fault");
    for broken in [Fault::BurnOrder, Fault::Capture, Fault::Reverse, Fault::Expiry] {
        fault::set(Some(broken));
        assert!(is_found_in_the_core(), "{broken:?} is not found in the core");
        assert!(is_found_in_a_database(), "{broken:?} is not found through the database");
    }
    fault::set(Some(Fault::Idempotency));
    assert!(is_found_in_a_database(), "a key that is not looked at is not found");
}
