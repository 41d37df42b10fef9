//! The ledger on both databases.

mod bulk;
mod columns;
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
