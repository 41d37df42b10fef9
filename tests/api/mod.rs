//! The API over HTTP.

mod access;
mod accounts;
mod conflicts;
mod customers;
mod faults;
mod groups;
mod input;
mod library;
mod reads;
mod schema;
mod wire;
