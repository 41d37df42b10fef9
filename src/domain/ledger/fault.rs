//! Deliberate faults, to show that the model test finds them, and the power cuts that one. Without the cargo feature `faults` there are none.

/// A rule to break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Paid credits are used before given ones.
    BurnOrder,
    /// What a partial capture leaves is taken from the front of the hold.
    Capture,
    /// What is undone goes back to what was taken first.
    Reverse,
    /// Credits can be used at the very instant at which they end.
    Expiry,
    /// A known key is not looked at.
    Idempotency,
    /// SQLite acknowledges what it has not flushed.
    Flush,
}

/// Whether a rule is broken now.
#[cfg(not(feature = "faults"))]
#[must_use]
#[inline]
pub fn is(_: Fault) -> bool {
    false
}

#[cfg(feature = "faults")]
static ACTIVE: std::sync::Mutex<Option<Fault>> = std::sync::Mutex::new(None);

/// Whether a rule is broken now.
#[cfg(feature = "faults")]
#[must_use]
pub fn is(fault: Fault) -> bool {
    *ACTIVE.lock().expect("nobody panics while reading it") == Some(fault)
}

/// Breaks one rule in the whole program, or none.
#[cfg(feature = "faults")]
pub fn set(fault: Option<Fault>) {
    *ACTIVE.lock().expect("nobody panics while setting it") = fault;
}
