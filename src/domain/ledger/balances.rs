//! What there is: balances as they are at the instant of the snapshot, whether or not time has been written down.

use std::collections::HashMap;

use entity::{CreditTypeId, Credits, CustomerId, credit_grant, wallet};
use sea_orm::{ColumnTrait, QueryFilter};

use super::state::Wallet;
use crate::domain::clock::Instant;
use crate::domain::error::Result;
use crate::domain::tx::View;

/// One customer's credits of one type.
#[derive(Clone, Debug, PartialEq)]
pub struct Balance {
    pub customer: CustomerId,
    pub credit_type: CreditTypeId,
    /// Can be used now.
    pub available: Credits,
    /// Set aside.
    pub held: Credits,
    /// Counts later.
    pub not_yet_effective: Credits,
    /// What ends first, and when.
    pub next_expiry: Option<(Instant, Credits)>,
    pub totals: Totals,
    /// The instant that all of this is true at.
    pub as_of: Instant,
}

/// What ever became of the credits of a wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    pub issued: Credits,
    pub consumed: Credits,
    pub expired: Credits,
    pub voided: Credits,
}

/// The balances of customers, oldest credit type first: one for each type that they ever had credits of.
///
/// Two statements, however many customers. While credits are disabled a customer sees none: that is data, not an error.
pub async fn of(view: &View, customers: &[CustomerId]) -> Result<HashMap<CustomerId, Vec<Balance>>> {
    let mut balances: HashMap<_, Vec<_>> = customers.iter().map(|customer| (*customer, Vec::new())).collect();
    if view.only().is_some() && !view.account().credits_enabled {
        return Ok(balances);
    }
    let wallets = view
        .customer_rows::<wallet::Entity>()
        .filter(wallet::Column::CustomerId.is_in(customers.iter().copied()))
        .filter(wallet::Column::Sequence.gt(0_i64))
        .all(view.db())
        .await?;
    let grants = view
        .customer_rows::<credit_grant::Entity>()
        .filter(credit_grant::Column::CustomerId.is_in(customers.iter().copied()))
        .filter(credit_grant::Column::Open.eq(true))
        .all(view.db())
        .await?;
    let mut open: HashMap<_, Vec<_>> = HashMap::new();
    for grant in grants {
        open.entry((grant.customer_id, grant.credit_type_id)).or_default().push(grant);
    }
    for row in wallets {
        let grants = open.remove(&(row.customer_id, row.credit_type_id)).unwrap_or_default();
        let balance = balance(Wallet::new(row, grants), view.now());
        balances.entry(balance.customer).or_default().push(balance);
    }
    for of_customer in balances.values_mut() {
        of_customer.sort_by_key(|balance| balance.credit_type);
    }
    Ok(balances)
}

/// A wallet's balance at an instant (pure).
#[must_use]
pub fn balance(mut wallet: Wallet, now: Instant) -> Balance {
    let as_of = wallet.instant(now);
    wallet.settle(as_of);
    Balance {
        customer: wallet.row.customer_id,
        credit_type: wallet.row.credit_type_id,
        available: wallet.available(as_of),
        held: wallet.row.held,
        not_yet_effective: wallet.not_yet_effective(as_of),
        next_expiry: wallet.expiries().first().copied(),
        totals: Totals {
            issued: wallet.row.issued,
            consumed: wallet.row.consumed,
            expired: wallet.row.expired,
            voided: wallet.row.voided,
        },
        as_of,
    }
}
