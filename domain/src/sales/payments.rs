//! An order is paid, and gives what it is to give: one transaction, exactly once, however often and from however many
//! servers it is said.

use std::collections::HashMap;

use entity::activity::ActorKind;
use entity::payment::{Column, Entity, Model, Status as PaymentStatus};
use entity::product_order::{self, Status};
use entity::{Minor, OrderId, PaymentId};
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, Set};
use serde::Serialize;

use super::fulfil::{self, Terms};
use super::orders::{self, emit, in_words, lock};
use super::provider::MANUAL;
use super::refusal::Sale;
use super::{basket, renewals, subscriptions};
use crate::caller::{Caller, Scope};
use crate::clock::fresh_id;
use crate::error::{Error, Refusal, Result, is_taken};
use crate::input;
use crate::once::{Operation, once};
use crate::store::Store;
use crate::tx::Tx;

/// Staff says that an order is paid.
#[derive(Clone, Debug, Serialize)]
pub struct MarkPaid {
    pub order: OrderId,
    /// What the payment is called elsewhere, such as in the bank's statement.
    pub reference: Option<String>,
}

/// Marks an order paid and gives what it is to give, once per key, and once.
pub async fn mark_paid(caller: &Caller, mut paid: MarkPaid, key: &str) -> Result<(OrderId, bool)> {
    paid.reference = input::optional_text("reference", paid.reference.as_deref(), input::NAME)?;
    once(caller, Scope::OrdersWrite, key, &paid).await
}

impl Operation for MarkPaid {
    const NAME: &'static str = "orderMarkPaid";
    type Made = OrderId;

    async fn run(&self, tx: &Tx, caller: &Caller) -> Result<OrderId> {
        mark_paid_in(tx, caller, self).await
    }
}

async fn mark_paid_in(tx: &Tx, caller: &Caller, paid: &MarkPaid) -> Result<OrderId> {
    let order = lock(tx, paid.order, None).await?;
    ensure_awaiting(&order)?;
    let row = Model {
        account_id: order.account_id,
        id: PaymentId(fresh_id()),
        order_id: order.id,
        provider: MANUAL.to_owned(),
        provider_reference: paid.reference.clone(),
        method: None,
        status: PaymentStatus::Succeeded,
        amount: order.total,
        refunded: Minor::ZERO,
        currency: order.currency.clone().unwrap_or_else(|| tx.account.currency.clone()),
        action_url: None,
        failure: None,
        created_at: tx.now,
        updated_at: tx.now,
    };
    let written = row.into_active_model().insert(tx.db()).await;
    written.map_err(|error| {
        if is_taken(&error, "payment", "reference") || is_taken(&error, "payment", "account_id") {
            Error::from(Refusal::Taken { field: "reference".to_owned(), what: "payment reference".to_owned() })
        } else {
            error.into()
        }
    })?;
    settle(tx, caller.app().store(), order, caller.actor()).await
}

/// Refuses an order that is paid, or cancelled.
pub(super) fn ensure_awaiting(order: &product_order::Model) -> Result<(), Refusal> {
    match order.status {
        Status::AwaitingPayment => Ok(()),
        status => Err(Sale::OrderNotAwaitingPayment { status: in_words(status).to_owned() }.into()),
    }
}

/// Makes an order that is locked paid, and gives what it is to give, unless it has given that already.
pub(super) async fn settle(
    tx: &Tx,
    store: &Store,
    mut order: product_order::Model,
    actor: (ActorKind, String),
) -> Result<OrderId> {
    let lines = fulfil::lines_of(tx.db(), &order).await?;
    let mut terms = Terms { withheld: withheld(tx, &order, &lines).await?, ..Terms::by(actor) };
    if let (Some(subscription), Some(number)) = (order.subscription_id, order.renewal_number) {
        let line = lines.first().ok_or_else(|| Error::Internal(format!("{} has no line", order.id)))?;
        let subscription = subscriptions::lock(tx, subscription, None).await?;
        if number == 0 {
            let (anchor, period) = subscriptions::begin(tx, &subscription, &line.price).await?;
            renewals::insert_paid(tx, subscription.id, &order, line.price.id, period).await?;
            if !terms.withheld.is_empty() {
                subscriptions::end_with_period(tx, subscription.id).await?;
            }
            terms.period = Some((anchor, period));
        } else {
            terms.period = Some(renewals::paid(tx, &subscription, number).await?);
            terms.earlier = renewals::grants_before(tx, &subscription, number).await?;
        }
    }
    let before = fulfil::of_order(tx.db(), &order).await?;
    if before.is_empty() {
        let given = fulfil::give(tx, store, &order, &lines, &terms).await?;
        fulfil::write(tx.db(), given).await?;
    } else if order.status == Status::Cancelled {
        // It was given before it was paid, taken back when it was given up, and is paid after all (selling.md, S6).
        Box::pin(orders::give_back(tx, store, &order, &before)).await?;
    }
    let mut row = order.clone().into_active_model();
    row.status = Set(Status::Paid);
    row.paid_at = Set(Some(tx.now));
    // A payment that its provider has taken counts, also where the order was given up meanwhile.
    row.cancelled_at = Set(None);
    row.reason = Set(None);
    order = row.update(tx.db()).await?;
    emit_paid(tx, &order).await?;
    Ok(order.id)
}

/// Says that an order is paid, and what that means for its subscription.
pub(super) async fn emit_paid(tx: &Tx, order: &product_order::Model) -> Result<()> {
    emit(tx, "order.paid", order).await?;
    let Some((subscription, number)) = order.subscription_id.zip(order.renewal_number) else { return Ok(()) };
    let name = if number == 0 { "subscription.started" } else { "subscription.renewed" };
    subscriptions::emit(tx, name, &subscriptions::lock(tx, subscription, None).await?).await
}

/// What an anonymous order does not give, though it is paid for: it was placed for somebody who may not have it, which
/// was not to be told.
async fn withheld(tx: &Tx, order: &product_order::Model, lines: &[basket::Line]) -> Result<HashMap<i32, Refusal>> {
    use entity::{CustomerOwned, customer};
    if order.buyer_email.is_none() {
        return Ok(HashMap::new());
    }
    let customer = customer::Entity::of_customer(order.account_id, order.customer_id).one(tx.db()).await?;
    let archived = customer.and_then(|customer| customer.archived_at).is_some_and(|at| at <= order.placed_at);
    if !archived {
        return Ok(HashMap::new());
    }
    let refusal = || Refusal::CustomerArchived { field: "customerId".to_owned() };
    Ok(lines.iter().zip(0..).map(|(_, position)| (position, refusal())).collect())
}

/// What was paid for an order and has not gone back, payment by payment, oldest first.
pub(super) async fn paid_for(tx: &Tx, order: OrderId) -> Result<Vec<Model>> {
    use sea_orm::QueryOrder;
    let rows = tx.rows::<Entity>().filter(Column::OrderId.eq(order));
    let rows = rows.filter(Column::Status.is_in([PaymentStatus::Succeeded, PaymentStatus::Disputed]));
    Ok(rows.order_by_asc(Column::Id).all(tx.db()).await?)
}

/// Takes a refund off a payment.
pub(super) async fn take_off(tx: &Tx, payment: Model, amount: Minor) -> Result<()> {
    let left = payment.amount - payment.refunded - amount;
    let refunded = payment.refunded + amount;
    let mut row = payment.into_active_model();
    row.refunded = Set(refunded);
    row.updated_at = Set(tx.now);
    if left.is_zero() {
        row.status = Set(PaymentStatus::Refunded);
    }
    Entity::update(row).exec(tx.db()).await?;
    Ok(())
}

/// Puts a refund that failed back on its payment.
pub(super) async fn put_back(tx: &Tx, payment: PaymentId, amount: Minor) -> Result<()> {
    use sea_orm::QuerySelect;
    let found = tx.rows::<Entity>().filter(Column::Id.eq(payment)).lock_exclusive().one(tx.db()).await?;
    let Some(found) = found else { return Ok(()) };
    let refunded = found.refunded - amount;
    let was_whole = found.status == PaymentStatus::Refunded;
    let mut row = found.into_active_model();
    row.refunded = Set(refunded);
    row.updated_at = Set(tx.now);
    if was_whole {
        row.status = Set(PaymentStatus::Succeeded);
    }
    row.update(tx.db()).await?;
    Ok(())
}

/// What marking an order paid would come to. Takes no lock, writes nothing.
pub async fn preview(caller: &Caller, order: OrderId) -> Result<basket::Basket> {
    let view = caller.view(Scope::OrdersWrite).await?;
    let found = orders::by_ids(&view, &[order]).await?.remove(&order);
    let found = found.ok_or_else(|| Refusal::not_found("orderId", "order"))?;
    ensure_awaiting(&found)?;
    let lines = fulfil::lines_of(view.db(), &found).await?;
    Ok(basket::Basket { lines, currency: found.currency, total: found.total })
}
