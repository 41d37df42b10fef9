//! Selling, through the API, on both databases.

mod access;
mod acts;
mod amends;
mod catalog;
mod changes;
mod forms;
pub mod histories;
mod laws;
mod money;
mod orders;
mod payments;
mod processes;
mod refunds;
mod reports;
mod rollover;
mod shop;
mod strangers;
mod subscriptions;
