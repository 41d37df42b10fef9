//! The world outside: the payment providers that exist.

mod manual;
mod rehearsal;

use std::sync::Arc;

use crate::domain::sales::provider::Providers;

pub use rehearsal::SECRET as REHEARSAL_SECRET;

/// All of them.
#[must_use]
pub fn providers() -> Providers {
    Providers::new(vec![Arc::new(manual::Manual), Arc::new(rehearsal::Rehearsal)])
}
