//! What begins after a pause that outlasted what was paid (selling.md, S13): a period that waits for its payment, as a first
//! one does, and counts from there.

use entity::renewal::{Column, Entity, Model, Status};
use entity::subscription;
use entity::{Owned, PaymentId, order_line};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, Set,
};

use super::period::{Anchor, Period, period};
use super::{renewals, subscriptions};
use crate::catalog::prices;
use crate::ground::error::{Error, Result};
use crate::identity::app::App;
use crate::storage::tx::Tx;

/// The period of a subscription that began last.
pub(super) async fn newest(txn: &DatabaseTransaction, subscription: &subscription::Model) -> Result<Option<Model>> {
    let rows = Entity::of(subscription.account_id).filter(Column::SubscriptionId.eq(subscription.id));
    Ok(rows.order_by_desc(Column::Number).one(txn).await?)
}

/// Ends a skipped period now, so that the next one begins here, and is what the ones after it are counted from.
pub(super) async fn cut_short(tx: &Tx, subscription: &mut subscription::Model, skipped: Model) -> Result<()> {
    if skipped.starts_at >= tx.now {
        // It has not lasted at all: it is the one that begins.
        subscription.next_number = skipped.number;
        Entity::delete_many()
            .filter(Column::AccountId.eq(tx.account.id))
            .filter(Column::SubscriptionId.eq(subscription.id))
            .filter(Column::Number.eq(skipped.number))
            .exec(tx.db())
            .await?;
    } else {
        let mut row = skipped.into_active_model();
        row.ends_at = Set(tx.now);
        row.update(tx.db()).await?;
        (subscription.anchor_at, subscription.anchor_number) = (Some(tx.now), subscription.next_number);
    }
    subscription.next_at = Some(tx.now);
    Ok(())
}

/// Begins a period that waited for its payment: it counts from here, and so do the ones after it.
pub(super) async fn begin(
    tx: &Tx,
    subscription: subscription::Model,
    renewal: Model,
) -> Result<(subscription::Model, (Anchor, Period))> {
    let price = renewals::price_of(tx, renewal.price_id).await?;
    let zone = crate::ledger::expiration::zone_of(&subscription.time_zone);
    let anchor = Anchor { at: tx.now, number: renewal.number, zone };
    let period = period(&price, anchor, renewal.number).ok_or_else(|| prices::broken(&price))?;
    if let Some(before) = running_before(tx, &renewal).await? {
        // It has no more time than it had: what was paid of it went over, or stays.
        let mut row = before.into_active_model();
        row.ends_at = Set(tx.now);
        row.update(tx.db()).await?;
    }
    let quantity = match renewal.order_id {
        Some(order) => order_line::Entity::of(tx.account.id)
            .filter(order_line::Column::OrderId.eq(order))
            .one(tx.db())
            .await?
            .map_or(subscription.quantity, |line| line.quantity),
        None => subscription.quantity,
    };
    let mut row = renewal.into_active_model();
    (row.starts_at, row.ends_at, row.status) = (Set(period.starts_at), Set(period.ends_at), Set(Status::Paid));
    row.update(tx.db()).await?;
    let mut row = subscription.into_active_model();
    (row.anchor_at, row.anchor_number) = (Set(Some(anchor.at)), Set(anchor.number));
    (row.next_number, row.next_at) = (Set(period.number + 1), Set(Some(period.ends_at)));
    (row.price_id, row.quantity) = (Set(price.id), Set(quantity));
    row.updated_at = Set(tx.now);
    let row = row.update(tx.db()).await?;
    Ok((renewals::stand(tx, row).await?, (anchor, period)))
}

/// A period that waited for its payment was given up: after a pause it is over when it would have been, and where a plan
/// was to change the old one goes on.
pub(super) async fn pass_over(
    tx: &Tx,
    subscription: subscription::Model,
    renewal: &Model,
) -> Result<subscription::Model> {
    let changes = subscription.next_at.is_some_and(|at| renewal.starts_at < at);
    let anchor_number = subscription.anchor_number;
    let mut row = subscription.into_active_model();
    row.next_number = Set(renewal.number + 1);
    if changes {
        row.anchor_number = Set(anchor_number + 1);
    } else {
        row.next_at = Set(Some(renewal.ends_at));
    }
    Ok(row.update(tx.db()).await?)
}

/// Opens the order of a period that begins when it is paid, as a first one does: with a stored method at once.
pub(super) async fn open_next(
    tx: &Tx,
    app: &App,
    mut row: subscription::Model,
) -> Result<(subscription::Model, Option<PaymentId>)> {
    let price = renewals::price_of(tx, row.pending_price_id.unwrap_or(row.price_id)).await?;
    row.quantity = row.pending_quantity.unwrap_or(row.quantity);
    let line = renewals::line_of(tx, &row, &price).await?;
    if line.amount.is_zero() || price.issue_before_payment {
        return renewals::begin_next(tx, app, row).await;
    }
    let anchor = subscriptions::anchor_of(&row).ok_or_else(|| Error::Internal(format!("{} has no anchor", row.id)))?;
    let anchor = Anchor { at: tx.now, number: row.next_number, ..anchor };
    let period = period(&price, anchor, row.next_number).ok_or_else(|| prices::broken(&price))?;
    (row.price_id, row.pending_price_id) = (price.id, None);
    let mut written = row.clone().into_active_model();
    (written.price_id, written.pending_price_id) = (Set(row.price_id), Set(None));
    (written.quantity, written.pending_quantity) = (Set(row.quantity), Set(None));
    written.update(tx.db()).await?;
    let payment = renewals::renew(tx, app, &row, &price, (anchor, period)).await?;
    let mut waits = renewals::find(tx.db(), tx.account.id, row.id, period.number).await?.into_active_model();
    // Nobody is late with it: nothing has begun.
    waits.past_due_at = Set(None);
    waits.update(tx.db()).await?;
    Ok((row, payment))
}

/// The period before one, where it would still run now and has begun.
async fn running_before(tx: &Tx, renewal: &Model) -> Result<Option<Model>> {
    let rows = tx.rows::<Entity>().filter(Column::SubscriptionId.eq(renewal.subscription_id));
    let rows = rows.filter(Column::Number.lt(renewal.number)).filter(Column::EndsAt.gt(tx.now));
    Ok(rows.filter(Column::StartsAt.lt(tx.now)).order_by_desc(Column::Number).one(tx.db()).await?)
}
