//! What a wallet adds up to, and where its chain stands.

use crate::chain::GENESIS;
use crate::state::WalletKey;
use crate::time::Instant;
use crate::{AccountId, CreditTypeId, Credits, CustomerId};

/// What a wallet adds up to, and the head of its chain: one customer's credits of one type.
#[derive(Clone, Debug, PartialEq)]
pub struct Totals {
    pub account_id: AccountId,
    pub customer_id: CustomerId,
    pub credit_type_id: CreditTypeId,
    /// The number of its activities, and of the newest.
    pub sequence: i64,
    /// The chain's head: the hash of the newest activity, 32 bytes; zeros before the first.
    pub hash: Vec<u8>,
    /// The instant of the newest activity.
    pub newest_at: Instant,
    /// Free credits, those not yet effective included.
    pub balance: Credits,
    pub held: Credits,
    pub issued: Credits,
    pub consumed: Credits,
    pub expired: Credits,
    pub voided: Credits,
    pub transferred: Credits,
    /// How many grants are frozen.
    pub frozen_grants: i32,
    /// How many grants bear a rollover cap.
    pub caps: i32,
    /// Until when thresholds were watched: what they were crossed by later is still to be told. Since its newest activity
    /// if none.
    pub noticed_at: Option<Instant>,
    /// How many of its grants are open.
    pub open_grants: i32,
    /// The latest instant from which on one of its grants counts; none before the first.
    pub last_begins_at: Option<Instant>,
}

impl Totals {
    /// A wallet before its first activity.
    #[must_use]
    pub fn empty(account: AccountId, (customer, credit_type): WalletKey) -> Self {
        Self {
            account_id: account,
            customer_id: customer,
            credit_type_id: credit_type,
            sequence: 0,
            hash: GENESIS.to_vec(),
            newest_at: Instant::UNIX_EPOCH,
            balance: Credits::ZERO,
            held: Credits::ZERO,
            issued: Credits::ZERO,
            consumed: Credits::ZERO,
            expired: Credits::ZERO,
            voided: Credits::ZERO,
            transferred: Credits::ZERO,
            noticed_at: None,
            open_grants: 0,
            frozen_grants: 0,
            caps: 0,
            last_begins_at: None,
        }
    }
}
