//! Time and ids: the only place where the wall's clock is read.

use std::sync::Mutex;

use chrono::Utc;
use uuid::Uuid;

pub use ::ledger::time::{Instant, truncate};

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// The present moment, cut to microseconds.
    fn now(&self) -> Instant;
}

/// The clock on the wall.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        #[expect(clippy::disallowed_methods, reason = "this is the clock that the rule leads to")]
        truncate(Utc::now())
    }
}

/// A clock that stands still until it is set: for tests and for the demo's past year.
pub struct ManualClock(Mutex<Instant>);

impl ManualClock {
    /// A clock that shows `at`.
    #[must_use]
    pub fn new(at: Instant) -> Self {
        Self(Mutex::new(truncate(at)))
    }

    /// Makes it show `at`.
    pub fn set(&self, at: Instant) {
        *self.0.lock().expect("nobody panics while setting a clock") = truncate(at);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        *self.0.lock().expect("nobody panics while setting a clock")
    }
}

/// A new id. Later ones sort after earlier ones, so ids break ties by age.
#[must_use]
pub fn fresh_id() -> Uuid {
    #[expect(clippy::disallowed_methods, reason = "this is the source of ids that the rule leads to")]
    Uuid::now_v7()
}

/// Sixteen random bytes that nobody can guess.
#[must_use]
pub fn fresh_salt() -> Vec<u8> {
    #[expect(clippy::disallowed_methods, reason = "the one other use of the id source: 122 random bits")]
    Uuid::new_v4().as_bytes().to_vec()
}
