//! Selling, through the API, on both databases.

mod access;
mod acts;
mod amends;
mod catalog;
mod changes;
pub mod core;
mod forms;
pub mod histories;
mod laws;
mod money;
mod orders;
mod payments;
pub mod plans;
mod processes;
mod refunds;
mod reports;
mod rollover;
pub mod shop;
mod sold;
mod statements;
mod strangers;
mod subscriptions;
mod year;
