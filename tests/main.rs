//! All tests, in one program: it is linked once, and its tests share one throw-away PostgreSQL.

mod harness;
mod naive;

mod api;
mod architecture;
mod cli;
mod conformance;
mod doors;
mod endurance;
#[cfg(debug_assertions)]
mod faults;
mod flow;
mod ledger;
mod opening;
mod overload;
#[cfg(debug_assertions)]
mod panics;
mod pure;
mod readme;
mod selling;

/// How much is done: a short form's number, or the full one's where `SCRIP_TESTS=full`, as `.ci/long` sets it.
fn size(short: usize, full: usize) -> usize {
    if std::env::var("SCRIP_TESTS").is_ok_and(|value| value == "full") { full } else { short }
}

/// Where `TEST_REQUIRE_POSTGRES` is set, tests without PostgreSQL fail instead of being ignored.
#[test]
fn postgresql_is_there_where_it_is_required() {
    let required = std::env::var_os("TEST_REQUIRE_POSTGRES").is_some();
    assert!(!required || cfg!(all(postgres, initdb)), "PostgreSQL is required: install initdb, then build again");
}
