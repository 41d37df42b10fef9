//! One lot of credits, what became of them, and what they cost.
//!
//! Two sums always hold: `amount = remaining + held + consumed + expired + voided + transferred`, and the same of `cost`, of
//! which two parts more stand with no credits: what refunds took off, and what was lost.

use chrono::NaiveDate;

use crate::activity::Source;
use crate::decide::PRIORITY;
use crate::state::WalletKey;
use crate::time::Instant;
use crate::{
    AccountId, Anchor, CreditTypeId, Credits, CustomerId, ExpirationKind, GrantId, Minor, PeriodUnit, SubscriptionId,
};

/// One lot of credits.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is kept by itself")]
pub struct Grant {
    pub account_id: AccountId,
    pub id: GrantId,
    pub customer_id: CustomerId,
    pub credit_type_id: CreditTypeId,
    pub amount: Credits,
    pub remaining: Credits,
    pub held: Credits,
    pub consumed: Credits,
    pub expired: Credits,
    pub voided: Credits,
    pub transferred: Credits,
    /// Whether anything remains: a flag flipped at exhaustion, so that an index can leave out what is used up.
    pub open: bool,
    /// Whether it was voided for good: what comes back to it is voided too (selling.md, S9).
    pub closed: bool,
    /// Lower is used first.
    pub priority: i16,
    /// Given away rather than paid for.
    pub promotional: bool,
    /// The first instant at which it counts.
    pub effective_at: Instant,
    /// The first instant at which it no longer counts; none while it never expires or was not used yet.
    pub expires_at: Option<Instant>,
    pub expiration: ExpirationKind,
    pub period_count: Option<i32>,
    pub period_unit: Option<PeriodUnit>,
    pub period_from: Option<Anchor>,
    pub expires_on: Option<NaiveDate>,
    /// The account's zone when it was issued, by which its policy is read.
    pub time_zone: String,
    pub first_used_at: Option<Instant>,
    /// What was paid for all of it, in minor units.
    pub cost: Minor,
    /// The share of `cost` of what remains.
    pub cost_left: Minor,
    pub cost_held: Minor,
    pub cost_consumed: Minor,
    pub cost_expired: Minor,
    pub cost_voided: Minor,
    pub cost_transferred: Minor,
    /// What refunds took off credits that stayed, were used or had ended.
    pub cost_reduced: Minor,
    /// What credits had cost whose money was charged back, or never came.
    pub cost_lost: Minor,
    /// The part of `cost_voided` that went back to who had paid it.
    pub cost_returned: Minor,
    /// By how much less the last free credit costs than the others: a refund took a part of its cost.
    pub cost_short: Minor,
    /// How many of those that ended were refunded: they do not come back (selling.md, S4).
    pub expired_marked: Credits,
    /// How many of those that ended did not roll over: they come back within the allowance only (selling.md, S11).
    pub expired_capped: Credits,
    /// Whether its free credits cannot be used: its money is disputed (selling.md, S10).
    pub frozen: bool,
    /// The subscription that gave it, where only so many of its credits roll over.
    pub subscription_id: Option<SubscriptionId>,
    /// Of which period it is; of one that was given away, up to which period it has passed the caps.
    pub period: Option<i64>,
    /// How many of what earlier periods gave may stay, by the terms it was bought on; none where all may.
    pub rollover_limit: Option<Credits>,
    /// How many of what earlier periods gave may still come back and stay, where its period capped them.
    pub allowance: Option<Credits>,
    /// The number of the activity that made it, where it capped earlier periods.
    pub capped_at: Option<i64>,
    /// ISO 4217.
    pub currency: String,
    pub source: Source,
    /// The grant that it was transferred from.
    pub origin_id: Option<GrantId>,
    pub metadata: serde_json::Value,
    pub created_at: Instant,
}

impl Grant {
    /// Free credits that were given away and never end, from an instant on.
    #[must_use]
    pub fn of(
        account: AccountId,
        id: GrantId,
        (customer, credit_type): WalletKey,
        amount: Credits,
        at: Instant,
    ) -> Self {
        Self {
            account_id: account,
            id,
            customer_id: customer,
            credit_type_id: credit_type,
            amount,
            remaining: amount,
            held: Credits::ZERO,
            consumed: Credits::ZERO,
            expired: Credits::ZERO,
            voided: Credits::ZERO,
            transferred: Credits::ZERO,
            open: true,
            closed: false,
            priority: PRIORITY,
            promotional: true,
            effective_at: at,
            expires_at: None,
            expiration: ExpirationKind::Never,
            period_count: None,
            period_unit: None,
            period_from: None,
            expires_on: None,
            time_zone: "UTC".to_owned(),
            first_used_at: None,
            cost: Minor::ZERO,
            cost_left: Minor::ZERO,
            cost_held: Minor::ZERO,
            cost_consumed: Minor::ZERO,
            cost_expired: Minor::ZERO,
            cost_voided: Minor::ZERO,
            cost_transferred: Minor::ZERO,
            cost_reduced: Minor::ZERO,
            cost_lost: Minor::ZERO,
            cost_returned: Minor::ZERO,
            cost_short: Minor::ZERO,
            expired_marked: Credits::ZERO,
            expired_capped: Credits::ZERO,
            frozen: false,
            subscription_id: None,
            period: None,
            rollover_limit: None,
            allowance: None,
            capped_at: None,
            currency: String::new(),
            source: Source::Manual,
            origin_id: None,
            metadata: serde_json::json!({}),
            created_at: at,
        }
    }

    /// The period of its policy, if that is one: count, unit, anchor.
    #[must_use]
    pub fn policy_period(&self) -> Option<(i32, PeriodUnit, Anchor)> {
        Some((self.period_count?, self.period_unit?, self.period_from?))
    }
}
