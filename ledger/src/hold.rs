//! Credits set aside for a booking. Which grants they are of is what its placing activity allocated.

use crate::time::Instant;
use crate::words::words;
use crate::{AccountId, ActivityId, CreditTypeId, Credits, CustomerId, HoldId};

words! {
    /// What became of a hold.
    Status {
        Open = "open",
        Captured = "captured",
        Released = "released",
        Lapsed = "lapsed",
    }
}

/// Credits set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    pub account_id: AccountId,
    pub id: HoldId,
    pub customer_id: CustomerId,
    pub credit_type_id: CreditTypeId,
    /// The activity that placed it.
    pub activity_id: ActivityId,
    pub amount: Credits,
    /// How many of them were used; the rest went back.
    pub captured: Credits,
    pub status: Status,
    /// Whether `status` is open: a flag for indexes.
    pub open: bool,
    pub reference: Option<String>,
    pub placed_at: Instant,
    /// The first instant at which it no longer holds.
    pub expires_at: Instant,
    pub closed_at: Option<Instant>,
    /// The number of the activity that placed it within its wallet; 0 of one that was placed before that was kept.
    pub sequence: i64,
}
