//! Subscriptions: begun by the payment of an order, paused, changed, ended.
//!
//! Each operation first lets happen what is due, so that a period that began before a pause is charged, and one that
//! began within it is not, whether a worker came in between or not.

use std::collections::HashMap;

use entity::price::Kind;
use entity::product_order;
use entity::renewal;
use entity::subscription::{Column, Entity, Model, Status};
use entity::{CustomerId, Owned, PriceId, SubscriptionId, price, product};
use sea_orm::{ActiveModelTrait, ColumnTrait, IntoActiveModel, QueryFilter, QuerySelect, Set};
use serde_json::json;

use super::basket::{self, Basket};
use super::period::{Anchor, Period, period};
use super::refusal::Sale;
use super::{renewals, unpaid};
use crate::caller::{Caller, Role, Scope};
use crate::catalog::prices;
use crate::clock::{Instant, fresh_id};
use crate::error::{Refusal, Result};
use crate::events::Fact;
use crate::input;
use crate::ledger::expiration::zone_of;
use crate::page::{self, Page, Slice};
use crate::store::Store;
use crate::tx::{Tx, View};

/// What staff, or the customer, changes; what is left out stays.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// The price from the next period on; `Some(None)` keeps the present one after all.
    pub price: Option<Option<PriceId>>,
    /// Whether it ends with the present period.
    pub cancel_at_period_end: Option<bool>,
    pub payment_method: Option<Option<String>>,
}

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
pub(super) async fn begin(tx: &Tx, subscription: &Model, price: &price::Model) -> Result<(Anchor, Period)> {
    let (anchor, first) = first(subscription, price, tx.now)?;
    let mut row = subscription.clone().into_active_model();
    row.status = Set(Status::Active);
    // Who gave it up gets what was paid for, and nothing more.
    row.cancel_at_period_end = Set(subscription.cancel_at_period_end || subscription.status == Status::Cancelled);
    row.anchor_at = Set(Some(anchor.at));
    row.next_number = Set(1);
    row.next_at = Set(Some(first.ends_at));
    row.ended_at = Set(None);
    row.reason = Set(None);
    row.updated_at = Set(tx.now);
    let row = row.update(tx.db()).await?;
    renewals::schedule(tx, &row).await?;
    Ok((anchor, first))
}

/// The first period of a subscription that begins now (pure).
pub(super) fn first(subscription: &Model, price: &price::Model, now: Instant) -> Result<(Anchor, Period)> {
    let anchor = Anchor { at: now, number: 0, zone: zone_of(&subscription.time_zone) };
    Ok((anchor, period(price, anchor, 0).ok_or_else(|| prices::broken(price))?))
}

/// Lets a subscription that gives nothing end with its first period.
pub(super) async fn end_with_period(tx: &Tx, id: SubscriptionId) -> Result<()> {
    let mut row = lock(tx, id, None).await?.into_active_model();
    row.cancel_at_period_end = Set(true);
    row.update(tx.db()).await?;
    Ok(())
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

fn wrong(status: Status) -> Refusal {
    Sale::SubscriptionStatus { status: in_words(status).to_owned() }.into()
}

/// A subscription of the caller's, locked, with nothing due.
async fn up_to_date(caller: &Caller, id: SubscriptionId) -> Result<(Tx, Model)> {
    let only = if let Role::Customer(customer) = caller.role() { Some(customer) } else { None };
    loop {
        let tx = caller.begin(Scope::Buy).await?;
        let subscription = lock(&tx, id, only).await?;
        if !renewals::is_due(&tx, &subscription).await? {
            return Ok((tx, subscription));
        }
        let account = tx.account.id;
        drop(tx);
        renewals::run_due(caller.app(), account, id).await?;
    }
}

/// Changes a subscription.
pub async fn update(caller: &Caller, id: SubscriptionId, changes: Changes) -> Result<Model> {
    let (tx, subscription) = up_to_date(caller, id).await?;
    if subscription.status == Status::Cancelled {
        return Err(wrong(subscription.status).into());
    }
    let mut row = subscription.clone().into_active_model();
    if let Some(price) = changes.price {
        if let Some(price) = price {
            check_price(&tx, &subscription, price).await?;
        }
        row.pending_price_id = Set(price.filter(|price| *price != subscription.price_id));
    }
    if let Some(ends) = changes.cancel_at_period_end {
        row.cancel_at_period_end = Set(ends);
    }
    let new_method = changes.payment_method.is_some();
    if let Some(method) = changes.payment_method {
        row.payment_method = Set(input::optional_text("paymentMethod", method.as_deref(), input::NAME)?);
    }
    row.updated_at = Set(tx.now);
    let updated = row.update(tx.db()).await?;
    let opened = if new_method { unpaid::collect_again(&tx, caller.app(), &updated).await? } else { Vec::new() };
    let account = tx.account.id;
    tx.commit().await?;
    for payment in opened {
        super::collect::now(caller.app(), account, payment).await;
    }
    Ok(updated)
}

/// A price that a subscription can change to: on sale, renewing, in the same currency, for as many.
async fn check_price(tx: &Tx, subscription: &Model, id: PriceId) -> Result<()> {
    let find = |id| price::Entity::of(tx.account.id).filter(price::Column::Id.eq(id)).one(tx.db());
    let found = find(id).await?.ok_or_else(|| Refusal::not_found("priceId", "price"))?;
    let product = product::Entity::of(tx.account.id).filter(product::Column::Id.eq(found.product_id));
    let product = product.one(tx.db()).await?.ok_or_else(|| Refusal::not_found("priceId", "price"))?;
    if id == subscription.price_id {
        return Ok(());
    }
    basket::on_sale("priceId", &product, &found)?;
    if found.kind != Kind::Subscription {
        return Err(Refusal::invalid("priceId", "Must be the price of a subscription.").into());
    }
    let present = find(subscription.price_id).await?;
    if present.is_some_and(|present| present.currency != found.currency) {
        return Err(Refusal::invalid("priceId", "Must be in the subscription's currency.").into());
    }
    let line = basket::priced("priceId", product, found, subscription.quantity)?;
    let had = basket::ordered(tx.db(), tx.account.id, subscription.customer_id, &[id]).await?;
    let basket = Basket { currency: line.price.currency.clone(), total: line.amount, lines: vec![line] };
    let field = |_| "priceId".to_owned();
    basket::can_be_given(tx.db(), (&tx.account, tx.now), &basket, field).await?;
    basket::within_limits(&basket, &had, field)?;
    Ok(())
}

/// Pauses a subscription: periods that begin meanwhile are skipped. Doing it twice changes nothing.
pub async fn pause(caller: &Caller, id: SubscriptionId) -> Result<Model> {
    let (tx, subscription) = up_to_date(caller, id).await?;
    match subscription.status {
        Status::Paused => Ok(subscription),
        Status::Active => set_status(tx, subscription, Status::Paused, "subscription.paused").await,
        status => Err(wrong(status).into()),
    }
}

/// Resumes a paused subscription (selling.md, S13): within a paid period, or while an order is open, nothing begins and the
/// periods are counted as before. Later the period that was skipped ends here, and a new one begins and is charged, from
/// which the next ones are counted. Doing it twice changes nothing.
pub async fn resume(caller: &Caller, id: SubscriptionId) -> Result<Model> {
    let (tx, subscription) = up_to_date(caller, id).await?;
    match subscription.status {
        Status::Active | Status::PastDue => Ok(subscription),
        Status::Paused => {
            let next = subscription.pending_price_id.unwrap_or(subscription.price_id);
            Box::pin(still_sold(&tx, &subscription, next)).await?;
            Box::pin(go_on(caller, tx, subscription)).await
        }
        status => Err(wrong(status).into()),
    }
}

/// Makes a paused subscription active again, and begins a period where it was paused beyond the one that was paid.
async fn go_on(caller: &Caller, tx: Tx, mut subscription: Model) -> Result<Model> {
    let skipped = match renewals::newest(&tx, &subscription).await? {
        Some(newest) if newest.status == renewal::Status::Skipped && newest.ends_at > tx.now => Some(newest),
        _ => None,
    };
    let owes = !unpaid::periods(&tx, subscription.id).await?.is_empty();
    let Some(skipped) = skipped.filter(|_| !owes) else {
        return set_status(tx, subscription, Status::Active, "subscription.resumed").await;
    };
    renewals::cut_short(&tx, &mut subscription, skipped).await?;
    subscription.status = Status::Active;
    let mut row = subscription.clone().into_active_model().reset_all();
    row.updated_at = Set(tx.now);
    let subscription = row.update(tx.db()).await?;
    emit(&tx, "subscription.resumed", &subscription).await?;
    let (subscription, payment) = Box::pin(renewals::begin_next(&tx, caller.app(), subscription)).await?;
    renewals::schedule(&tx, &subscription).await?;
    let account = tx.account.id;
    tx.commit().await?;
    if let Some(payment) = payment {
        super::collect::now(caller.app(), account, payment).await;
    }
    Ok(subscription)
}

/// Refuses what renews at a price that is over: it would be charged for nothing.
async fn still_sold(tx: &Tx, subscription: &Model, price: PriceId) -> Result<()> {
    let line = renewals::line_of(tx, subscription, &renewals::price_of(tx, price).await?).await?;
    let issued = renewals::issued_by(tx, &line).await?;
    let begins = subscription.next_at.unwrap_or(tx.now).max(tx.now);
    if issued.is_some_and(|issued| basket::is_over(&line, &tx.account, &issued, begins)) {
        return Err(Sale::PriceOver { field: "subscriptionId".to_owned() }.into());
    }
    Ok(())
}

async fn set_status(tx: Tx, subscription: Model, status: Status, name: &'static str) -> Result<Model> {
    let mut row = subscription.into_active_model();
    row.status = Set(status);
    row.updated_at = Set(tx.now);
    let row = row.update(tx.db()).await?;
    renewals::stand(&tx, &row).await?;
    let row = lock(&tx, row.id, None).await?;
    emit(&tx, name, &row).await?;
    tx.commit().await?;
    Ok(row)
}

/// Ends a subscription now, with what is unpaid of it; what was paid stays. Doing it twice changes nothing.
pub async fn cancel(caller: &Caller, id: SubscriptionId, reason: Option<String>) -> Result<Model> {
    let reason = input::optional_text("reason", reason.as_deref(), input::NAME)?;
    let (tx, subscription) = up_to_date(caller, id).await?;
    if subscription.status == Status::Cancelled {
        return Ok(subscription);
    }
    let row = end(&tx, caller.app().store(), subscription, reason, caller.actor()).await?;
    tx.commit().await?;
    Ok(row)
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
    row.ended_at = Set(Some(tx.now));
    row.reason = Set(reason);
    row.updated_at = Set(tx.now);
    let row = row.update(tx.db()).await?;
    renewals::schedule(tx, &row).await?;
    emit(tx, "subscription.cancelled", &row).await?;
    Ok(row)
}

/// Says what happened to a subscription.
pub(super) async fn emit(tx: &Tx, name: &'static str, subscription: &Model) -> Result<()> {
    let payload = json!({
        "subscriptionId": subscription.id,
        "status": subscription.status,
        "priceId": subscription.price_id,
        "nextNumber": subscription.next_number,
        "nextAt": subscription.next_at,
        "reason": subscription.reason,
    });
    tx.emit(Fact { name, customer: Some(subscription.customer_id), subject: subscription.id.0, payload })
        .await
        .map(drop)
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
