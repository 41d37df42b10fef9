//! The world outside: the payment providers that exist, what posts webhooks, and where identity providers keep their keys.

mod address;
mod identity;
mod manual;
mod rehearsal;
mod webhook;

use std::sync::Arc;

use crate::domain::storage::ports::payments::Providers;

pub use identity::Jwks;
pub use rehearsal::SECRET as REHEARSAL_SECRET;
pub use webhook::{Names, Poster, SystemNames};

/// All of them.
#[must_use]
pub fn providers() -> Providers {
    Providers::new(vec![Arc::new(manual::Manual), Arc::new(rehearsal::Rehearsal)])
}
