//! How much of an activity, and how much cost, fell on which grant.

use crate::time::Instant;
use crate::words::words;
use crate::{AccountId, ActivityId, Credits, GrantId, Minor};

words! {
    /// Where the cost of credits stands that a reprice moves, while the credits stay where they are.
    CostPool {
        /// With the free credits.
        Left = "left",
        /// With the used ones.
        Consumed = "consumed",
        /// With those that ended unused.
        Expired = "expired",
        /// With those that were taken away.
        Voided = "voided",
        /// With those that went to another grant.
        Transferred = "transferred",
        /// With none: a refund took it off (selling.md, S8).
        Reduced = "reduced",
        /// With none: the money for what was used was charged back, or never came (selling.md, S8).
        Lost = "lost",
    }
}

/// What of an activity fell on one grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    pub account_id: AccountId,
    pub activity_id: ActivityId,
    /// 0, 1, 2 … in the order in which the grants were taken.
    pub position: i32,
    pub grant_id: GrantId,
    /// Never negative: the activity's kind says where it went. None where only the grant's end was moved.
    pub amount: Credits,
    pub cost: Minor,
    /// When the grant ended before this activity, where the activity moved its end.
    pub ends_before: Option<Instant>,
    /// When the grant ends since this activity, where the activity set its end.
    pub ends_after: Option<Instant>,
    /// Of a void: that it does not close the grant.
    pub leaves_open: bool,
    /// Of a reprice: where the cost stood; `amount` says for how many credits it stood there, none of which move.
    pub cost_from: Option<CostPool>,
    /// Of a reprice: where the cost stands since.
    pub cost_to: Option<CostPool>,
    /// Of a void, and of what undoes it: that its cost went back to who had paid it.
    pub refunded: bool,
    /// What it added to the allowance that the grant bears for what comes back of earlier periods, or took off it.
    pub allowance: Option<Credits>,
}
