//! The business: its rules, its transactions, its queries.
//!
//! Two kinds of functions, told apart by the first argument: *operations* take a [`Caller`](caller::Caller), are
//! public, open and commit one transaction; *steps* take an open one, are visible in this room only, and never commit.

pub mod access;
pub mod accounts;
pub mod app;
pub mod automations;
pub mod bulk;
pub mod caller;
pub mod catalog;
pub mod cause;
pub mod clock;
mod code;
pub mod customers;
pub mod error;
pub mod events;
pub mod input;
pub mod jobs;
pub mod ledger;
pub mod live;
mod once;
pub mod page;
mod readers;
mod refusal;
pub mod reports;
pub mod sales;
pub mod shared;
pub mod spent;
mod statistics;
pub mod store;
mod tx;
pub mod webhooks;

pub use app::App;
pub use caller::{Caller, Role, Scope, Seen};
pub use error::{Error, Refusal, Result};
pub use readers::{Long, Reader};
pub use tx::View;
