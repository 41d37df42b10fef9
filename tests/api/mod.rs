//! The API over HTTP.

mod access;
mod accounts;
mod batches;
mod conflicts;
mod customers;
mod faults;
mod groups;
mod input;
mod library;
mod reads;
mod schema;
mod wire;
