//! Periods of a subscription that nobody has paid: collected again, or given up with their orders.

use entity::activity::ActorKind;
use entity::price::Rollover;
use entity::product_order::{self, Status as OrderStatus};
use entity::renewal::{Column, Entity, Model, Status};
use entity::subscription;
use entity::{PaymentId, SubscriptionId};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{anew, collect, orders, renewals, subscriptions};
use crate::ground::error::Result;
use crate::identity::app::App;
use crate::storage::store::Store;
use crate::storage::tx::Tx;

/// Why they are given up.
pub(super) const REASON: &str = "A renewal was not paid";

/// The periods that are due or past due, oldest first.
pub(super) async fn periods(tx: &Tx, subscription: SubscriptionId) -> Result<Vec<Model>> {
    let rows = tx.rows::<Entity>().filter(Column::SubscriptionId.eq(subscription));
    let rows = rows.filter(Column::Status.is_in([Status::Due, Status::PastDue]));
    Ok(rows.order_by_asc(Column::Number).all(tx.db()).await?)
}

/// The order of a period was cancelled: with the first one goes the subscription, with another that period.
pub(super) async fn order_cancelled(tx: &Tx, row: subscription::Model, number: i64) -> Result<()> {
    if number == 0 {
        return subscriptions::ended(tx, row, Some("Its order was cancelled".to_owned())).await.map(drop);
    }
    let renewal = renewals::find(tx.db(), tx.account.id, row.id, number).await?;
    let row = if number >= row.next_number { anew::pass_over(tx, row, &renewal).await? } else { row };
    renewals::set_status(tx, renewal, Status::Cancelled).await?;
    renewals::stand(tx, row).await.map(drop)
}

/// Gives up the periods of a subscription that are not paid, and their orders.
pub(super) async fn give_up(
    tx: &Tx,
    store: &Store,
    subscription: &subscription::Model,
    actor: (ActorKind, String),
) -> Result<()> {
    for renewal in periods(tx, subscription.id).await? {
        renewals::set_status(tx, renewal, Status::Cancelled).await?;
    }
    for order in open_orders(tx, subscription.id).await? {
        orders::cancel_in(tx, store, order, Some(REASON.to_owned()), actor.clone()).await?;
    }
    Ok(())
}

/// The orders of a subscription that await payment, locked.
async fn open_orders(tx: &Tx, subscription: SubscriptionId) -> Result<Vec<product_order::Model>> {
    let open = tx.rows::<product_order::Entity>().filter(product_order::Column::SubscriptionId.eq(subscription));
    let open = open.filter(product_order::Column::Status.eq(OrderStatus::AwaitingPayment));
    Ok(open.order_by_asc(product_order::Column::RenewalNumber).lock_exclusive().all(tx.db()).await?)
}

/// Opens payments for what is unpaid, now that there is another method to charge. What is being paid already is left
/// alone, and a period that is over and whose credits nobody could use any more is given up, not charged.
pub(super) async fn collect_again(tx: &Tx, app: &App, subscription: &subscription::Model) -> Result<Vec<PaymentId>> {
    let provider = app.providers().of_account(&tx.account, &tx.account.payment_provider)?;
    let mut opened = Vec::new();
    if !provider.collects() || subscription.payment_method.is_none() {
        return Ok(opened);
    }
    for order in open_orders(tx, subscription.id).await? {
        if is_of_no_use(tx, subscription.id, &order).await? {
            let number = order.renewal_number.unwrap_or_default();
            renewals::set_status(
                tx,
                renewals::find(tx.db(), tx.account.id, subscription.id, number).await?,
                Status::Cancelled,
            )
            .await?;
            orders::cancel_in(tx, app.store(), order, Some("Its period is over".to_owned()), renewals::nobody())
                .await?;
        } else if !collect::is_under_way(tx, order.id).await? {
            opened.push(collect::open(tx, &order, provider.name(), subscription.payment_method.clone()).await?);
        }
    }
    renewals::stand(tx, subscription.clone()).await?;
    Ok(opened)
}

/// Whether the period of an unpaid order is wholly over, and with it what its credits would have been good for.
async fn is_of_no_use(tx: &Tx, subscription: SubscriptionId, order: &product_order::Model) -> Result<bool> {
    let Some(number) = order.renewal_number.filter(|number| *number > 0) else { return Ok(false) };
    let renewal = renewals::find(tx.db(), tx.account.id, subscription, number).await?;
    let price = renewals::price_of(tx, renewal.price_id).await?;
    Ok(renewal.ends_at <= tx.now && price.rollover == Some(Rollover::None))
}
