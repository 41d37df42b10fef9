//! What earlier periods of a subscription made, of which only so many may stay (selling.md, S11).

use std::collections::{BTreeSet, HashMap};

use entity::price::{self, Rollover};
use entity::renewal::{Column, Entity, Status};
use entity::{Credits, GrantId, Owned, fulfilment, subscription};
use sea_orm::{ColumnTrait, QueryFilter};

use crate::ground::error::Result;
use crate::storage::tx::Tx;

/// What earlier periods of a subscription made under prices that let only so many roll over (selling.md, S11).
#[derive(Clone, Debug, Default)]
pub(super) struct Earlier {
    pub grants: Vec<GrantId>,
    /// The most that any of those prices lets stay.
    pub keep: Credits,
}

/// What earlier periods of a subscription made that rolls over up to a limit, and the greatest of the limits under which
/// it was bought (selling.md, S11). What was bought as rolling over whole is not among it.
pub(super) async fn before(tx: &Tx, subscription: &subscription::Model, number: i64) -> Result<Earlier> {
    let earlier = |statuses: &[Status]| {
        let rows = tx.rows::<Entity>().filter(Column::SubscriptionId.eq(subscription.id));
        rows.filter(Column::Number.lt(number)).filter(Column::Status.is_in(statuses.to_vec()))
    };
    let renewals = earlier(&[Status::Paid, Status::Due, Status::PastDue]).all(tx.db()).await?;
    let prices = renewals.iter().map(|renewal| renewal.price_id).collect::<BTreeSet<_>>();
    let limited = price::Entity::of(tx.account.id)
        .filter(price::Column::Id.is_in(prices))
        .filter(price::Column::Rollover.eq(Rollover::UpTo))
        .all(tx.db())
        .await?;
    let limits = limited.iter().map(|price| (price.id, price.rollover_limit.unwrap_or_default()));
    let limits = limits.collect::<HashMap<_, _>>();
    let mut bought = renewals.iter().filter_map(|renewal| Some((renewal.order_id?, *limits.get(&renewal.price_id)?)));
    let keep = bought.clone().map(|(_, keep)| keep).max().unwrap_or_default();
    let orders = bought.by_ref().map(|(order, _)| order).collect::<Vec<_>>();
    if orders.is_empty() {
        return Ok(Earlier::default());
    }
    let rows = tx.rows::<fulfilment::Entity>().filter(fulfilment::Column::OrderId.is_in(orders));
    let grants = rows.all(tx.db()).await?.into_iter().filter_map(|row| row.grant_id).collect();
    Ok(Earlier { grants, keep })
}
