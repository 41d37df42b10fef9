//! Subscriptions: begun by the payment of an order, ended, and read.

use std::collections::HashMap;

use entity::product_order;
use entity::renewal;
use entity::subscription::{Column, Entity, Model, Status};
use entity::{CustomerId, OrderId, Owned, SubscriptionId, price};
use sea_orm::{ActiveModelTrait, ColumnTrait, IntoActiveModel, QueryFilter, QuerySelect, QueryTrait, Set};
use serde_json::json;

use super::basket::Basket;
use super::period::{Anchor, Period, period};
use super::{renewals, unpaid};
use crate::catalog::prices;
use crate::ground::clock::{Instant, fresh_id};
use crate::ground::error::{Refusal, Result};
use crate::ground::page::{self, Page, Slice};
use crate::ledger::expiration::zone_of;
use crate::queue::events::Fact;
use crate::storage::store::Store;
use crate::storage::tx::{Tx, View};

/// The subscription of an order that is being placed: it begins when that is paid.
pub(super) async fn open(
    tx: &Tx,
    order: &product_order::Model,
    basket: &Basket,
    payment_method: Option<String>,
) -> Result<Model> {
    let line = &basket.lines[0];
    let row = Model {
        account_id: order.account_id,
        id: SubscriptionId(fresh_id()),
        customer_id: order.customer_id,
        price_id: line.price.id,
        quantity: line.quantity,
        status: Status::Pending,
        anchor_at: None,
        anchor_number: 0,
        next_number: 0,
        next_at: None,
        time_zone: tx.account.time_zone.clone(),
        pending_price_id: None,
        pending_quantity: None,
        cancel_at_period_end: false,
        payment_method,
        created_at: tx.now,
        updated_at: tx.now,
        ended_at: None,
        reason: None,
    };
    Ok(row.into_active_model().insert(tx.db()).await?)
}

/// Begins a subscription now: its periods are counted from here. Also one that was given up and is paid after all.
pub(super) async fn begin(
    tx: &Tx,
    subscription: &Model,
    price: &price::Model,
    gives_nothing: bool,
) -> Result<(Model, (Anchor, Period))> {
    let (anchor, first) = first(subscription, price, tx.now)?;
    let mut row = subscription.clone().into_active_model();
    row.status = Set(Status::Active);
    // Who gave it up gets what was paid for, and nothing more; what gives nothing ends with its first period.
    let was_given_up = subscription.status == Status::Cancelled;
    row.cancel_at_period_end = Set(subscription.cancel_at_period_end || was_given_up || gives_nothing);
    row.anchor_at = Set(Some(anchor.at));
    row.next_number = Set(1);
    row.next_at = Set(Some(first.ends_at));
    row.ended_at = Set(None);
    row.reason = Set(None);
    row.updated_at = Set(tx.now);
    let row = row.update(tx.db()).await?;
    renewals::schedule_begin(tx, &row).await?;
    Ok((row, (anchor, first)))
}

/// The first period of a subscription that begins now (pure).
pub(super) fn first(subscription: &Model, price: &price::Model, now: Instant) -> Result<(Anchor, Period)> {
    let anchor = Anchor { at: now, number: 0, zone: zone_of(&subscription.time_zone) };
    Ok((anchor, period(price, anchor, 0).ok_or_else(|| prices::broken(price))?))
}

/// What the periods of a subscription that has begun are counted from.
#[must_use]
pub fn anchor_of(subscription: &Model) -> Option<Anchor> {
    let zone = zone_of(&subscription.time_zone);
    Some(Anchor { at: subscription.anchor_at?, number: subscription.anchor_number, zone })
}

/// A subscription, locked; of one customer, if only that one's are to be found.
pub(super) async fn lock(tx: &Tx, id: SubscriptionId, only: Option<CustomerId>) -> Result<Model> {
    let rows = tx.rows::<Entity>().filter(Column::Id.eq(id));
    let rows = only.map_or(rows.clone(), |customer| rows.filter(Column::CustomerId.eq(customer)));
    let found = rows.lock_exclusive().one(tx.db()).await?;
    found.ok_or_else(|| Refusal::not_found("subscriptionId", "subscription").into())
}

/// The subscription of an order, locked; of one customer, if only that one's are to be found.
pub(super) async fn lock_of(tx: &Tx, order: OrderId, only: Option<CustomerId>) -> Result<Option<Model>> {
    let its = product_order::Entity::of(tx.account.id).filter(product_order::Column::Id.eq(order));
    let its = its.select_only().column(product_order::Column::SubscriptionId).into_query();
    let rows = tx.rows::<Entity>().filter(Column::Id.in_subquery(its));
    let rows = only.map_or(rows.clone(), |customer| rows.filter(Column::CustomerId.eq(customer)));
    Ok(rows.lock_exclusive().one(tx.db()).await?)
}

/// How a status reads in a sentence.
#[must_use]
pub fn in_words(status: Status) -> &'static str {
    match status {
        Status::Pending => "waiting for its first payment",
        Status::Active => "active",
        Status::PastDue => "past due",
        Status::Paused => "paused",
        Status::Cancelled => "cancelled",
    }
}

/// Ends a subscription that is locked, and gives up what is unpaid of it.
pub(super) async fn end(
    tx: &Tx,
    store: &Store,
    subscription: Model,
    reason: Option<String>,
    actor: (entity::activity::ActorKind, String),
) -> Result<Model> {
    unpaid::give_up(tx, store, &subscription, actor).await?;
    ended(tx, subscription, reason).await
}

/// Writes that a subscription has ended.
pub(super) async fn ended(tx: &Tx, subscription: Model, reason: Option<String>) -> Result<Model> {
    let mut row = subscription.into_active_model();
    row.status = Set(Status::Cancelled);
    row.next_at = Set(None);
    row.pending_price_id = Set(None);
    row.pending_quantity = Set(None);
    row.ended_at = Set(Some(tx.now));
    row.reason = Set(reason);
    row.updated_at = Set(tx.now);
    let row = row.update(tx.db()).await?;
    renewals::schedule(tx, &row).await?;
    emit(tx, "subscription.cancelled", &row);
    Ok(row)
}

/// Says what happened to a subscription.
pub(super) fn emit(tx: &Tx, name: &'static str, subscription: &Model) {
    let payload = json!({
        "subscriptionId": subscription.id,
        "status": subscription.status,
        "priceId": subscription.price_id,
        "nextNumber": subscription.next_number,
        "nextAt": subscription.next_at,
        "reason": subscription.reason,
    });
    tx.emit(Fact { name, customer: Some(subscription.customer_id), subject: subscription.id.0, payload });
}

/// Which subscriptions of a customer are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wish {
    pub customer: CustomerId,
    pub page: Page<SubscriptionId>,
}

/// The subscriptions of customers, newest first: a page of each.
pub async fn pages(view: &View, wishes: &[Wish]) -> Result<Vec<Slice<Model>>> {
    let wanted = wishes.iter().map(|wish| (wish.customer.into(), &wish.page));
    let select = |page: &&Page<_>| page.of(view.customer_rows::<Entity>(), Column::Id, true);
    let rows = page::of_each(view.db(), Column::CustomerId, wanted, select).await?;
    Ok(wishes.iter().zip(rows).map(|(wish, rows)| wish.page.slice(rows)).collect())
}

/// The account's subscriptions, newest first, for staff.
pub async fn list(view: &View, status: Option<Status>, page: &Page<SubscriptionId>) -> Result<Slice<Model>> {
    view.staff_only()?;
    let mut select = view.rows::<Entity>();
    if let Some(status) = status {
        select = select.filter(Column::Status.eq(status));
    }
    let rows = page.of(select, Column::Id, true).all(view.db()).await?;
    Ok(page.slice(rows))
}

/// Subscriptions by id, as far as the caller may see them.
pub async fn by_ids(view: &View, ids: &[SubscriptionId]) -> Result<HashMap<SubscriptionId, Model>> {
    let rows =
        view.customer_rows::<Entity>().filter(view.among(Column::Id, ids.iter().copied())?).all(view.db()).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// Which periods of a subscription in hand are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeriodWish {
    pub subscription: SubscriptionId,
    pub page: Page<i64>,
}

/// The periods of subscriptions in hand, newest first: a page of each.
pub async fn renewal_pages(view: &View, wishes: &[PeriodWish]) -> Result<Vec<Slice<renewal::Model>>> {
    let wanted = wishes.iter().map(|wish| (wish.subscription.into(), &wish.page));
    let select = |page: &&Page<_>| page.of(view.rows::<renewal::Entity>(), renewal::Column::Number, true);
    let rows = page::of_each(view.db(), renewal::Column::SubscriptionId, wanted, select).await?;
    Ok(wishes.iter().zip(rows).map(|(wish, rows)| wish.page.slice(rows)).collect())
}
