//! Instants: what the ledger reckons by. Where they come from is for whoever uses it.

use chrono::{DateTime, Utc};

/// A moment, in microseconds: what databases keep exactly.
pub type Instant = DateTime<Utc>;

/// Cuts an instant to microseconds. A leap second, which databases do not know alike, is the second after it.
#[must_use]
pub fn truncate(at: Instant) -> Instant {
    Instant::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at)
}
