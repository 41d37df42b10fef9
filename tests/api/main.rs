//! The API over HTTP.

#[path = "../harness/mod.rs"]
mod harness;

mod access;
mod accounts;
mod customers;
mod faults;
mod groups;
mod input;
mod library;
mod reads;
mod schema;
mod wire;
