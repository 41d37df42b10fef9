//! Each deliberate fault is found by the model test, and without one nothing is.
//!
//! A fault is of a thread, so each test does all of its work in its own.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use chrono_tz::Tz;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use scrip::domain::ground::fault;
use scrip::domain::ground::fault::Fault;
use tokio::runtime::{Builder, Runtime};

use serde_json::json;

use crate::harness::{Backend, House, codes, power};
use crate::naive::chance::history;
use crate::naive::database;
use crate::naive::game::Game;
use crate::selling::{core, histories, plans};
use crate::size;

/// Histories that are tried before a fault counts as not found, in the core and through the database.
const CASES: usize = 2_000;
const HISTORIES: usize = 150;
/// The same where nothing is broken: that the test of a fault is not found by chance. `pure` and `ledger::model` play more.
const SOUND: (usize, usize) = (100, 20);
/// Power cuts after each of which an acknowledged write would be missed.
const CUTS: usize = 40;

/// One that runs everything in this thread.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Plays histories through the pure core until one is not what the naive ledger says.
fn is_found_in_the_core(cases: usize) -> bool {
    let mut runner = TestRunner::deterministic();
    (0..cases).any(|_| {
        let steps = history(50..70).new_tree(&mut runner).expect("a history").current();
        let mut game = Game::new(Tz::Europe__Zurich);
        catch_unwind(AssertUnwindSafe(|| steps.iter().for_each(|step| drop(game.play(step))))).is_err()
    })
}

/// Plays histories through a database.
fn is_found_in_a_database(histories: usize) -> bool {
    let played = runtime().block_on(async {
        let house = House::new(Backend::Sqlite).await;
        tokio::spawn(async move { database::play(&house, database::histories(histories)).await }).await
    });
    played.is_err()
}

/// Whether power cuts find writes that were acknowledged and are gone, or a database that does not verify.
fn is_found_by_power_cuts() -> bool {
    let told = runtime().block_on(power::cut(CUTS));
    println!("{told}");
    told.lost + told.broken > 0
}

/// Breaks a rule of the core, and asserts that both find it.
fn assert_found(broken: Fault) {
    fault::set(Some(broken));
    assert!(is_found_in_the_core(CASES), "{broken:?} is not found in the core");
    assert!(is_found_in_a_database(HISTORIES), "{broken:?} is not found through the database");
}

#[test]
fn nothing_is_found_where_nothing_is_broken() {
    assert!(!is_found_in_the_core(SOUND.0));
    assert!(!is_found_in_a_database(SOUND.1));
}

#[test]
fn a_broken_burn_order_is_found() {
    assert_found(Fault::BurnOrder);
}

#[test]
fn a_broken_capture_is_found() {
    assert_found(Fault::Capture);
}

#[test]
fn a_broken_reversal_is_found() {
    assert_found(Fault::Reverse);
}

#[test]
fn a_broken_end_is_found() {
    assert_found(Fault::Expiry);
}

#[test]
fn a_forgotten_closing_is_found() {
    assert_found(Fault::Closed);
}

/// Histories of selling that are played until one breaks a law, from where the fault is known to be found on: those before it
/// take minutes, and are played at full size.
fn sales(found: usize) -> Range<usize> {
    size(found, 0)..60
}

/// Plays histories of selling through a database.
fn is_found_in_selling(histories: Range<usize>) -> bool {
    let played = AssertUnwindSafe(|| {
        runtime().block_on(async {
            let house = histories::house(House::new(Backend::Sqlite).await).await;
            histories::play(&house, histories).await
        })
    });
    catch_unwind(played).is_err()
}

/// Plays histories of selling through its pure core.
fn is_found_in_the_core_of_selling() -> bool {
    let mut runner = TestRunner::deterministic();
    (0..CASES).any(|_| {
        let steps = core::history().new_tree(&mut runner).expect("a history").current();
        catch_unwind(AssertUnwindSafe(|| core::play(&steps))).is_err()
    })
}

/// Each of these kinds of fault was there once (selling.md, S1 to S15).
fn assert_found_in_selling(broken: Fault, found: usize) {
    fault::set(Some(broken));
    if matches!(broken, Fault::Marks | Fault::Refund) {
        assert!(is_found_in_the_core_of_selling(), "{broken:?} is not found in the core");
    }
    assert!(is_found_in_selling(sales(found)), "{broken:?} is not found");
}

#[test]
fn credits_that_come_back_after_their_money_went_are_found() {
    assert_found_in_selling(Fault::Marks, 17);
}

#[test]
fn money_without_its_credits_is_found() {
    assert_found_in_selling(Fault::Refund, 3);
}

#[test]
fn a_failed_refund_that_keeps_the_credits_is_found() {
    assert_found_in_selling(Fault::RefundFailure, 34);
}

#[test]
fn what_is_sold_twice_is_found() {
    assert_found_in_selling(Fault::Limit, 3);
}

#[test]
fn disputed_money_that_goes_back_is_found() {
    assert_found_in_selling(Fault::Dispute, 5);
}

#[test]
fn a_double_payment_that_takes_credits_is_found() {
    assert_found_in_selling(Fault::Surplus, 6);
}

#[test]
fn a_dry_run_that_promises_too_much_is_found() {
    assert_found_in_selling(Fault::DryRun, 3);
}

/// The same of histories of subscriptions.
fn assert_found_in_plans(broken: Fault, found: usize) {
    fault::set(Some(broken));
    let played = AssertUnwindSafe(|| {
        runtime().block_on(async {
            let house = plans::house(House::new(Backend::Sqlite).await).await;
            plans::play(&house, sales(found)).await;
        });
    });
    assert!(catch_unwind(played).is_err(), "{broken:?} is not found");
}

#[test]
fn a_cap_that_forgets_what_is_set_aside_is_found() {
    assert_found_in_plans(Fault::Cap, 15);
}

#[test]
fn a_cap_before_the_payment_is_found() {
    assert_found_in_plans(Fault::CapBefore, 1);
}

#[test]
fn an_anchor_that_a_pause_keeps_is_found() {
    assert_found_in_plans(Fault::Anchor, 10);
}

#[test]
fn a_change_that_keeps_the_credits_is_found() {
    assert_found_in_plans(Fault::Change, 0);
}

/// A default that is said, and one that is left out, are one request.
#[test]
fn a_default_that_makes_another_request_is_found() {
    let is_one_request = || {
        runtime().block_on(async {
            let house = House::new(Backend::Sqlite).await;
            let class = house.credit_type("Class", json!({ "never": true })).await;
            let input = json!({ "customerId": house.customer("Ada").await, "creditTypeId": class, "amount": 3, "idempotencyKey": "one" });
            house.mutate("creditsIssue", "replayed", input.clone()).await;
            let mut said = input;
            said["priority"] = json!(50);
            codes(&house.mutate("creditsIssue", "replayed", said).await).is_empty()
        })
    };
    assert!(is_one_request());
    fault::set(Some(Fault::Defaults));
    assert!(!is_one_request());
}

/// The core knows no keys.
#[test]
fn a_forgotten_key_is_found() {
    fault::set(Some(Fault::Idempotency));
    assert!(!is_found_in_the_core(SOUND.0));
    assert!(is_found_in_a_database(HISTORIES));
}

/// With `synchronous=FULL` nothing is (`endurance::power_cuts_lose_nothing_that_was_acknowledged`).
#[test]
fn what_was_not_flushed_is_found() {
    fault::set(Some(Fault::Flush));
    assert!(is_found_by_power_cuts());
}
