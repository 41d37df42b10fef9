//! What there is: balances as they are at the instant of the snapshot, whether or not time has been written down.

use std::collections::{HashMap, HashSet};

use chrono::TimeDelta;
use entity::{CreditTypeId, Credits, CustomerId, converted, credit_grant, wallet};
use ledger::Grant;
use sea_orm::{ColumnTrait, QueryFilter};

use super::holds;
use super::load::{self, VALUES};
use super::part::{self, Part};
use super::state::{Held, Wallet, WalletKey};
use crate::ground::clock::Instant;
use crate::ground::error::Result;
use crate::storage::tx::View;

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
    /// Cannot be used while its payment is disputed.
    pub frozen: Credits,
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
    pub transferred: Credits,
}

/// The wallets of customers, oldest credit type first, as they are stored: one for each type that they ever had
/// credits of.
///
/// Two statements, however many customers, and three more where some of their credits are held; a few for each wallet
/// with many open grants, of which a part is read: what can be used now, and what ends first. While credits are
/// disabled a customer has none: that is data, not an error.
pub async fn wallets(view: &View, customers: &[CustomerId]) -> Result<HashMap<CustomerId, Vec<Wallet>>> {
    let rows = rows(view, customers).await?;
    let mut parts = HashMap::new();
    for row in rows.iter().filter(|row| part::will_do(view.whole_wallets, row, view.now().max(row.newest_at))) {
        let now = view.now().max(row.newest_at);
        let part = part::read(view.db(), view.whole_wallets, row, Credits::ZERO, (now, TimeDelta::zero())).await?;
        parts.insert((row.customer_id, row.credit_type_id), part);
    }
    fill(view, customers, rows, parts).await
}

/// The same, each wallet whole: for whoever looks at what comes later.
pub async fn whole_wallets(view: &View, customers: &[CustomerId]) -> Result<HashMap<CustomerId, Vec<Wallet>>> {
    let rows = rows(view, customers).await?;
    fill(view, customers, rows, HashMap::new()).await
}

async fn rows(view: &View, customers: &[CustomerId]) -> Result<Vec<ledger::Totals>> {
    if !view.is_staff() && !view.account().credits_enabled {
        return Ok(Vec::new());
    }
    let rows = view
        .customer_rows::<wallet::Entity>()
        .filter(view.among(wallet::Column::CustomerId, customers.iter().copied())?)
        .filter(wallet::Column::Sequence.gt(0_i64))
        .all(view.db());
    Ok(converted(rows.await?))
}

/// Puts into wallets what is in them; of some there is a part.
async fn fill(
    view: &View,
    customers: &[CustomerId],
    rows: Vec<ledger::Totals>,
    mut parts: HashMap<WalletKey, Part>,
) -> Result<HashMap<CustomerId, Vec<Wallet>>> {
    let key = |row: &ledger::Totals| (row.customer_id, row.credit_type_id);
    // The caller may see these: their rows came through its sight.
    let places = rows.iter().filter(|row| !parts.contains_key(&key(row)));
    let places = places.map(|row| (row.account_id, key(row))).collect();
    let mut grants = load::grants(view.db(), &places).await?;
    let known = grants.iter().map(|grant| grant.id).collect::<HashSet<_>>();
    grants.extend(load::bearers(view.db(), &rows).await?.into_iter().filter(|grant| !known.contains(&grant.id)));
    grants.extend(parts.values_mut().flat_map(|part| std::mem::take(&mut part.grants)));
    let holding = rows.iter().any(|row| !row.held.is_zero());
    let mut held = if holding { holds::open(view, customers).await? } else { HashMap::new() };
    grants.extend(held_of(view, &held, &grants).await?);
    let mut open: HashMap<_, Vec<_>> = HashMap::new();
    for grant in grants {
        open.entry((grant.customer_id, grant.credit_type_id)).or_default().push(grant);
    }
    let mut wallets: HashMap<_, Vec<_>> = customers.iter().map(|customer| (*customer, Vec::new())).collect();
    for row in rows {
        let key = key(&row);
        let (grants, held) = (open.remove(&key).unwrap_or_default(), held.remove(&key).unwrap_or_default());
        let mut wallet = Wallet::new(row, grants, held);
        if let Some(part) = parts.remove(&key) {
            part::leave_out(view.db(), &mut wallet, part.ends_from, None).await?;
            let now = wallet.instant(view.now());
            part::with_first_end(view.db(), &mut wallet, now).await?;
        }
        wallets.entry(key.0).or_default().push(wallet);
    }
    for of_customer in wallets.values_mut() {
        of_customer.sort_by_key(|wallet| wallet.row.credit_type_id);
    }
    Ok(wallets)
}

/// The grants that a lapse may give something back to, beside those that were read: most have nothing free.
async fn held_of(view: &View, held: &HashMap<WalletKey, Vec<Held>>, read: &[Grant]) -> Result<Vec<Grant>> {
    let draws = held.values().flatten().flat_map(|held| &held.draws);
    let mut ids = draws.map(|draw| draw.grant).collect::<HashSet<_>>();
    for grant in read {
        ids.remove(&grant.id);
    }
    let mut closed = Vec::new();
    for ids in ids.into_iter().collect::<Vec<_>>().chunks(VALUES) {
        let select = view
            .customer_rows::<credit_grant::Entity>()
            .filter(view.among(credit_grant::Column::Id, ids.iter().copied())?);
        closed.extend(select.all(view.db()).await?.into_iter().map(Grant::from));
    }
    Ok(closed)
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
        frozen: wallet.frozen(),
        next_expiry: wallet.expiries().first().copied(),
        totals: Totals {
            issued: wallet.row.issued,
            consumed: wallet.row.consumed,
            expired: wallet.row.expired,
            voided: wallet.row.voided,
            transferred: wallet.row.transferred,
        },
        as_of,
    }
}
