//! Deliberate faults, to show that tests find them. In a build without debug assertions, as a release is, there are none.

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
    /// What comes back to a closed grant stays.
    Closed,
    /// What was refunded stays when it comes back.
    Marks,
    /// What comes back after a renewal falls under no rollover cap.
    Cap,
    /// A renewal ends what is beyond the cap when it begins, and not when it is paid.
    CapBefore,
    /// A pause that outlasts what was paid keeps the anchor.
    Anchor,
    /// A change of plan keeps the credits that pay for it.
    Change,
    /// A refund takes no credits for the money.
    Refund,
    /// What a refund took stays taken where its provider refuses it.
    RefundFailure,
    /// Money for an order that was given up passes the limit of one customer.
    Limit,
    /// Disputed money is given back.
    Dispute,
    /// Money beyond the total takes credits when it goes back.
    Surplus,
    /// A dry run does not look at what cannot be given.
    DryRun,
    /// A default that is said is another request than one that is left out.
    Defaults,
    /// A known key is not looked at.
    Idempotency,
    /// SQLite acknowledges what it has not flushed.
    Flush,
    /// Whoever meets the word `panic` panics: in the note of a consume, in a customer's name that is read.
    Panic,
}

// Of a thread: a test that breaks a rule does all of its work in its own, and the tests beside it keep theirs.
#[cfg(debug_assertions)]
thread_local! {
    static BROKEN: std::cell::Cell<Option<Fault>> = const { std::cell::Cell::new(None) };
}

/// Whether a rule is broken in this thread.
#[must_use]
#[inline]
pub fn is(fault: Fault) -> bool {
    #[cfg(debug_assertions)]
    return BROKEN.get() == Some(fault);
    #[cfg(not(debug_assertions))]
    {
        let _ = fault;
        false
    }
}

/// Panics at a word, if that is the rule that is broken.
///
/// # Panics
/// That is what it is for.
#[inline]
pub fn panics(word: Option<&str>) {
    assert!(!(is(Fault::Panic) && word == Some("panic")), "as it was told to");
}

/// Breaks one rule in what this thread does from now on, or none.
#[cfg(debug_assertions)]
pub fn set(fault: Option<Fault>) {
    BROKEN.set(fault);
}
