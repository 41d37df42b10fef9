//! The business: its rules, its transactions, its queries.
//!
//! Two kinds of functions, told apart by the first argument: *operations* take a [`Caller`], are
//! public, open and commit one transaction; *steps* take an open one, are visible in this crate only, and never commit.
//!
//! Folders are floors, and each uses those below it only (`tests/architecture` sees to it). From the lowest: [`ground`], `keys`,
//! [`storage`], [`queue`], [`ledger`], [`identity`], [`customers`], [`accounts`], [`catalog`], [`credits`], [`events`], [`sales`],
//! [`webhooks`], [`automations`], [`dispatch`], [`bulk`], [`reports`], [`work`].

pub mod accounts;
pub mod automations;
pub mod bulk;
pub mod catalog;
pub mod credits;
pub mod customers;
pub mod dispatch;
pub mod events;
pub mod ground;
pub mod identity;
mod keys;
pub mod ledger;
pub mod queue;
pub mod reports;
pub mod sales;
pub mod storage;
pub mod webhooks;
pub mod work;

pub use ground::error::{Error, Refusal, Result};
pub use ground::scope::{Role, Scope};
pub use identity::app::App;
pub use identity::caller::{Caller, Seen};
pub use keys::LedgerKey;
pub use storage::readers::{Long, Reader};
pub use storage::tx::View;
