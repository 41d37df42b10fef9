//! A sale as it is stored, and as time has left it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use entity::activity::{self, Kind};
use entity::{
    AccountId, ActivityId, GrantId, OrderId, Owned, allocation, credit_grant, hold, payment, product_order, refund,
};
use sea_orm::{ColumnTrait, DatabaseTransaction, QueryFilter, QueryOrder};

use super::{Lot, Sale, Use, placed};
use crate::ground::clock::Instant;
use crate::ground::error::{Refusal, Result};
use crate::ledger::state::WalletKey;
use crate::ledger::{drawn, holds};
use crate::sales::{fulfil, orders};
use crate::storage::tx::View;

/// How many ids one statement names.
const IDS: usize = 500;

/// The sale of an order, as it is now, for whoever may see the order.
pub async fn now(view: &View, order: OrderId, with_uses: bool) -> Result<Sale> {
    let found = orders::by_ids(view, &[order]).await?.remove(&order);
    let order = found.ok_or_else(|| Refusal::not_found("orderId", "order"))?;
    sale(view.db(), order, view.now(), with_uses).await
}

/// Reads what hangs on an order, as it is at an instant, whether or not what time has done is written; what used its
/// credits only where somebody asks for it.
pub async fn sale(
    txn: &DatabaseTransaction,
    order: product_order::Model,
    now: Instant,
    with_uses: bool,
) -> Result<Sale> {
    let account = order.account_id;
    let lines = placed::lines(txn, &order).await?;
    let given = fulfil::of_order(txn, &order).await?;
    let payments = payment::Entity::of(account)
        .filter(payment::Column::OrderId.eq(order.id))
        .filter(payment::Column::Status.is_in([
            payment::Status::Succeeded,
            payment::Status::Disputed,
            payment::Status::Refunded,
            payment::Status::ChargedBack,
        ]))
        .order_by_asc(payment::Column::Id)
        .all(txn)
        .await?;
    let refunds = refund::Entity::of(account)
        .filter(refund::Column::OrderId.eq(order.id))
        .filter(refund::Column::Status.ne(refund::Status::Failed))
        .order_by_asc(refund::Column::Id)
        .all(txn)
        .await?;
    let roots = given.iter().filter_map(|row| Some((row.grant_id?, row.position))).collect();
    let lots = lots(txn, account, roots, now).await?;
    let uses = if with_uses { uses(txn, account, &lots).await? } else { Vec::new() };
    Ok(Sale { order, lines, given, payments, refunds, lots, uses })
}

/// The grants that an order made, and those that came of them, whoever has them now.
pub async fn lots(
    txn: &DatabaseTransaction,
    account: AccountId,
    roots: BTreeMap<GrantId, i32>,
    now: Instant,
) -> Result<Vec<Lot>> {
    let mut found: BTreeMap<GrantId, Lot> = BTreeMap::new();
    let mut wanted = Vec::new();
    for ids in roots.keys().copied().collect::<Vec<_>>().chunks(IDS) {
        let rows = credit_grant::Entity::of(account).filter(credit_grant::Column::Id.is_in(ids.iter().copied()));
        for grant in rows.all(txn).await? {
            wanted.push(grant.id);
            let position = roots[&grant.id];
            found.insert(grant.id, Lot { grant: grant.into(), position });
        }
    }
    // Only what has given something away can have led to another grant.
    wanted.retain(|id| !found[id].grant.transferred.is_zero());
    while !wanted.is_empty() {
        let mut next = Vec::new();
        for ids in wanted.chunks(IDS) {
            let rows = credit_grant::Entity::of(account)
                .filter(credit_grant::Column::OriginId.is_in(ids.iter().copied()))
                .filter(credit_grant::Column::OriginId.is_not_null());
            for grant in rows.all(txn).await? {
                let Some(position) = grant.origin_id.and_then(|id| Some(found.get(&id)?.position)) else { continue };
                if !grant.transferred.is_zero() {
                    next.push(grant.id);
                }
                found.entry(grant.id).or_insert(Lot { grant: grant.into(), position });
            }
        }
        wanted = next;
    }
    let mut lots = found.into_values().collect::<Vec<_>>();
    let holders = lots.iter().filter(|lot| !lot.grant.held.is_zero()).map(|lot| lot.grant.customer_id);
    let holders = holders.collect::<BTreeSet<_>>();
    let lapsed = if holders.is_empty() {
        Vec::new()
    } else {
        let holds = hold::Entity::of(account)
            .filter(hold::Column::CustomerId.is_in(holders))
            .filter(hold::Column::Open.eq(true))
            .filter(hold::Column::ExpiresAt.lte(now));
        drawn::held(txn, holds).await?
    };
    let grants = holds::as_they_are(txn, lots.iter().map(|lot| lot.grant.clone()).collect(), &lapsed, now).await?;
    for (lot, grant) in lots.iter_mut().zip(grants) {
        lot.grant = grant;
    }
    Ok(lots)
}

/// The wallets that lots are in.
pub fn wallets(lots: &[Lot]) -> BTreeSet<WalletKey> {
    lots.iter().map(Lot::wallet).collect()
}

/// What used credits of lots, newest first; of one activity, last taken first.
async fn uses(txn: &DatabaseTransaction, account: AccountId, lots: &[Lot]) -> Result<Vec<Use>> {
    let used = lots.iter().filter(|lot| !lot.grant.consumed.is_zero()).map(|lot| lot.grant.id).collect::<Vec<_>>();
    let mut ids = BTreeSet::new();
    for grants in used.chunks(IDS) {
        let rows = allocation::Entity::of(account).filter(allocation::Column::GrantId.is_in(grants.iter().copied()));
        ids.extend(rows.all(txn).await?.into_iter().map(|row| row.activity_id));
    }
    let mut activities: HashMap<ActivityId, (Instant, i64)> = HashMap::new();
    for ids in ids.into_iter().collect::<Vec<_>>().chunks(IDS) {
        let rows = activity::Entity::of(account)
            .filter(activity::Column::Id.is_in(ids.iter().copied()))
            .filter(activity::Column::Kind.is_in([Kind::Consume, Kind::Capture]));
        activities.extend(rows.all(txn).await?.into_iter().map(|row| (row.id, (row.at, row.sequence))));
    }
    let named = activities.keys().map(|id| (account, *id)).collect();
    let mut found = drawn::used(txn, &named).await?.into_iter().collect::<Vec<_>>();
    found.sort_by_key(|((_, id), _)| std::cmp::Reverse((activities[id], *id)));
    let of = |((_, activity), used): ((AccountId, ActivityId), crate::ledger::decide::Used)| {
        let kept = used.left.iter().rev().filter(|draw| lots.iter().any(|lot| lot.grant.id == draw.grant));
        let kept = kept.map(|draw| Use {
            activity,
            grant: draw.grant,
            credits: draw.amount - used.marked_of(draw.grant),
            cost: draw.cost,
        });
        kept.collect::<Vec<_>>()
    };
    Ok(found.into_iter().flat_map(of).collect())
}
