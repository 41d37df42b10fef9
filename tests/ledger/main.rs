//! The ledger on both databases.

#[path = "../harness/mod.rs"]
mod harness;

mod idempotency;
mod model;
mod races;
mod time;
mod verify;
