//! What commands are decided by, beside the wallet.

use crate::time::Instant;
use crate::{AccountId, CreditTypeId, Credits, Expiration};

/// What of an account decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub id: AccountId,
    /// An IANA name: days begin and end by it.
    pub time_zone: String,
    /// ISO 4217: that of credits for which nothing was paid.
    pub currency: String,
    /// Whether credits are switched on.
    pub credits_enabled: bool,
    /// How many days a hold may last.
    pub hold_limit_days: i32,
}

impl Account {
    /// One with credits switched on, whose holds last a year at most.
    #[must_use]
    pub fn of(id: AccountId, time_zone: &str, currency: &str) -> Self {
        let (time_zone, currency) = (time_zone.to_owned(), currency.to_owned());
        Self { id, time_zone, currency, credits_enabled: true, hold_limit_days: 366 }
    }
}

/// What of a credit type decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreditType {
    pub id: CreditTypeId,
    /// The policy that its grants get unless an issue brings its own.
    pub policy: Expiration,
    /// Whether it issues no more.
    pub archived: bool,
    /// At or below this many available credits, a balance is low.
    pub low_balance_at: Option<Credits>,
    /// How many days before the end a customer is told.
    pub expiry_notice_days: Vec<i64>,
    /// When what its customers are told of was last changed: nothing earlier is told.
    pub noticed_from: Option<Instant>,
}

impl CreditType {
    /// One of which nobody is told anything.
    #[must_use]
    pub fn of(id: CreditTypeId, policy: Expiration) -> Self {
        let (low_balance_at, expiry_notice_days, noticed_from) = (None, Vec::new(), None);
        Self { id, policy, archived: false, low_balance_at, expiry_notice_days, noticed_from }
    }
}
