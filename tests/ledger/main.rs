//! The ledger on both databases.

#[path = "../harness/mod.rs"]
mod harness;

#[path = "../naive/database.rs"]
mod database;
#[path = "../naive/mod.rs"]
mod naive;

mod bulk;
mod contests;
mod holds;
mod idempotency;
mod keys;
mod model;
mod parts;
mod races;
mod returns;
mod sandbox;
mod time;
mod verify;
mod why;
mod worker;
mod year;
