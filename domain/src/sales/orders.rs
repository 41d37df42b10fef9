//! Orders: cancelling and reading them, and the steps that all of selling shares.

use std::collections::HashMap;

use entity::activity::ActorKind;
use entity::product_order::{Column, Entity, Model, Status};
use entity::{Credits, CustomerId, Minor, OrderId, fulfilment, order_counter, order_line, payment, refund};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, Set};
use serde::Serialize;
use serde_json::json;

use super::basket::Basket;
use super::sale;
use super::sale::placed::{self, Placed};
use super::sale::taken::{self, Whose};
use super::{fulfil, payments, subscriptions, unpaid};
use crate::customers;
use crate::ground::clock::fresh_id;
use crate::ground::error::{Refusal, Result};
use crate::ground::input;
use crate::ground::page::{self, Page, Slice};
use crate::ground::refusal::sale::Sale;
use crate::ground::scope::{Role, Scope};
use crate::identity::caller::Caller;
use crate::identity::once::{Operation, once_if};
use crate::queue::events::Fact;
use crate::storage::store::Store;
use crate::storage::tx::{Tx, View};

/// The row of an order that awaits payment; its number comes last.
pub(super) fn awaiting_payment(tx: &Tx, customer: CustomerId, basket: &Basket, actor: (ActorKind, String)) -> Model {
    Model {
        account_id: tx.account.id,
        id: OrderId(fresh_id()),
        number: 0,
        customer_id: customer,
        subscription_id: None,
        renewal_number: None,
        status: Status::AwaitingPayment,
        currency: basket.currency.clone(),
        subtotal: basket.total,
        tax: Minor::ZERO,
        total: basket.total,
        covered: Minor::ZERO,
        refunded: Minor::ZERO,
        buyer_name: None,
        buyer_email: None,
        stranger: None,
        note: None,
        metadata: json!({}),
        actor_kind: actor.0,
        actor: actor.1,
        placed_at: tx.now,
        paid_at: None,
        cancelled_at: None,
        reason: None,
    }
}

/// Writes an order with its lines and what it gave, under the next number of the account.
pub(super) async fn insert(tx: &Tx, order: &mut Model, basket: &Basket, given: Vec<fulfilment::Model>) -> Result<()> {
    order.number = next_number(tx).await?;
    order.clone().into_active_model().insert(tx.db()).await?;
    let lines = basket.lines.iter().zip(0..).map(|(line, position)| {
        let row = order_line::Model {
            account_id: order.account_id,
            order_id: order.id,
            position,
            product_id: line.product.id,
            price_id: line.price.id,
            quantity: line.quantity,
            amount: line.amount,
            credit_type_id: line.credit_type,
            credits: line.credits,
            expiration: line.policy.and_then(|policy| serde_json::to_value(policy).ok()),
        };
        row.into_active_model()
    });
    order_line::Entity::insert_many(lines).exec_without_returning(tx.db()).await?;
    fulfil::write(tx.db(), given).await
}

/// The next order's number: a row that every order of the account waits for, so it is locked last.
async fn next_number(tx: &Tx) -> Result<i64> {
    let first = order_counter::Model { account_id: tx.account.id, newest: 1 };
    let over = OnConflict::column(order_counter::Column::AccountId)
        .value(order_counter::Column::Newest, Expr::col((order_counter::Entity, order_counter::Column::Newest)).add(1))
        .to_owned();
    let row = order_counter::Entity::insert(first.into_active_model()).on_conflict(over);
    Ok(row.exec_with_returning(tx.db()).await?.newest)
}

/// Says what happened to an order.
pub(super) fn emit(tx: &Tx, name: &'static str, order: &Model) {
    let payload = json!({
        "orderId": order.id,
        "number": order.number,
        "status": order.status,
        "currency": order.currency,
        "total": order.total,
        "refunded": order.refunded,
        "subscriptionId": order.subscription_id,
        "renewalNumber": order.renewal_number,
    });
    tx.emit(Fact { name, customer: Some(order.customer_id), subject: order.id.0, payload });
}

/// An order that an input names, with its lines, and its subscription, each locked once: subscription, order. Of one
/// customer, if only that one's are to be found.
pub(super) async fn lock(tx: &Tx, id: OrderId, only: Option<CustomerId>) -> Result<Placed> {
    if let Some((order, lines)) = placed::locked(tx, id, (only, false)).await? {
        return Ok(Placed { order, lines, subscription: None });
    }
    let not_found = || Refusal::not_found("orderId", "order");
    let subscription = subscriptions::lock_of(tx, id, only).await?.ok_or_else(not_found)?;
    let (order, lines) = placed::locked(tx, id, (only, true)).await?.ok_or_else(not_found)?;
    Ok(Placed { order, lines, subscription: Some(subscription) })
}

/// How a status reads in a sentence.
#[must_use]
pub fn in_words(status: Status) -> &'static str {
    match status {
        Status::AwaitingPayment => "awaiting payment",
        Status::Paid => "paid",
        Status::PartiallyRefunded => "refunded in part",
        Status::Refunded => "refunded",
        Status::Cancelled => "cancelled",
        Status::ChargedBack => "charged back",
    }
}

/// An order to give up.
#[derive(Clone, Debug, Serialize)]
pub struct Cancel {
    pub order: OrderId,
    pub reason: Option<String>,
}

/// Cancels an order that awaits payment, once per key, if there is one; a customer its own. What a renewal gave before it
/// was paid is taken back, and what was used of it is lost. Doing it twice changes nothing.
pub async fn cancel(caller: &Caller, mut cancel: Cancel, key: Option<&str>) -> Result<(OrderId, bool)> {
    cancel.reason = input::optional_text("reason", cancel.reason.as_deref(), input::NAME)?;
    once_if(caller, Scope::Buy, key, &cancel).await
}

/// Whose orders a caller may give up: a customer its own.
fn only(caller: &Caller) -> Option<CustomerId> {
    if let Role::Customer(customer) = caller.role() { Some(customer) } else { None }
}

/// Whether an order is to be given up; not where it is already (pure).
fn is_to_cancel(order: &Model, kept: Minor, by_customer: bool) -> Result<bool, Refusal> {
    match order.status {
        Status::Cancelled => return Ok(false),
        Status::AwaitingPayment => {}
        status => return Err(Sale::OrderNotAwaitingPayment { status: in_words(status).to_owned() }.into()),
    }
    // It may have given credits already: who ends the subscription is asked for nothing more, and gets nothing more.
    if by_customer && order.renewal_number.is_some_and(|number| number > 0) {
        return Err(Sale::OrderRenews.into());
    }
    if kept > Minor::ZERO {
        return Err(Sale::OrderPartlyPaid { paid: kept }.into());
    }
    Ok(true)
}

impl Operation for Cancel {
    const NAME: &'static str = "orderCancel";
    type Made = OrderId;

    async fn run(&self, tx: &Tx, caller: &Caller) -> Result<OrderId> {
        let only = only(caller);
        let Placed { order, subscription, .. } = lock(tx, self.order, only).await?;
        let kept = payments::kept(&payments::paid_for(tx.db(), &order).await?);
        if is_to_cancel(&order, kept, only.is_some())? {
            let store = caller.app().store();
            let reason = customers::said_of(tx, order.customer_id, self.reason.clone()).await?;
            let cancelled = cancel_in(tx, store, order, reason, caller.actor()).await?;
            if let (Some(subscription), Some(number)) = (subscription, cancelled.renewal_number) {
                unpaid::order_cancelled(tx, subscription, number).await?;
            }
        }
        Ok(self.order)
    }
}

/// How many free credits giving an order up would void. Takes no lock, writes nothing.
pub async fn preview_cancel(caller: &Caller, cancel: Cancel) -> Result<Credits> {
    input::optional_text("reason", cancel.reason.as_deref(), input::NAME)?;
    let view = caller.view(Scope::Buy).await?;
    let sale = sale::load::now(&view, cancel.order, false).await?;
    if !is_to_cancel(&sale.order, sale.kept(), only(caller).is_some())? {
        return Ok(Credits::ZERO);
    }
    Ok(sale.lots.iter().map(|lot| lot.grant.remaining).sum())
}

/// Cancels an order that is locked and awaits payment.
pub(super) async fn cancel_in(
    tx: &Tx,
    store: &Store,
    order: Model,
    reason: Option<String>,
    actor: (ActorKind, String),
) -> Result<Model> {
    let sale = Box::pin(taken::locked(tx, store, order, Whose::All)).await?;
    Box::pin(taken::post(tx, store, &actor, taken::give_up(&sale, "The order was cancelled unpaid"))).await?;
    let mut order = sale.order.into_active_model();
    order.status = Set(Status::Cancelled);
    order.cancelled_at = Set(Some(tx.now));
    order.reason = Set(reason);
    let order = order.update(tx.db()).await?;
    emit(tx, "order.cancelled", &order);
    Ok(order)
}

/// Which orders of a customer are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wish {
    pub customer: CustomerId,
    pub page: Page<OrderId>,
}

/// The orders of customers, newest first: a page of each.
pub async fn pages(view: &View, wishes: &[Wish]) -> Result<Vec<Slice<Model>>> {
    let wanted = wishes.iter().map(|wish| (wish.customer.into(), &wish.page));
    let select = |page: &&Page<_>| page.of(view.customer_rows::<Entity>(), Column::Id, true);
    let rows = page::of_each(view.db(), Column::CustomerId, wanted, select).await?;
    Ok(wishes.iter().zip(rows).map(|(wish, rows)| wish.page.slice(rows)).collect())
}

/// The account's orders, newest first, for staff.
pub async fn list(view: &View, status: Option<Status>, page: &Page<OrderId>) -> Result<Slice<Model>> {
    view.staff_only()?;
    let mut select = view.rows::<Entity>();
    if let Some(status) = status {
        select = select.filter(Column::Status.eq(status));
    }
    let rows = page.of(select, Column::Id, true).all(view.db()).await?;
    Ok(page.slice(rows))
}

/// Orders by id, as far as the caller may see them.
pub async fn by_ids(view: &View, ids: &[OrderId]) -> Result<HashMap<OrderId, Model>> {
    let rows =
        view.customer_rows::<Entity>().filter(view.among(Column::Id, ids.iter().copied())?).all(view.db()).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// The rows that belong to orders in hand, by order.
macro_rules! of_orders {
    ($($(#[$meta:meta])* $name:ident = $table:ident by $($order:ident),+;)+) => {$(
        $(#[$meta])*
        pub async fn $name(view: &View, ids: &[OrderId]) -> Result<HashMap<OrderId, Vec<$table::Model>>> {
            let rows = view.rows::<$table::Entity>().filter(view.among($table::Column::OrderId, ids.iter().copied())?);
            let mut by_order: HashMap<_, Vec<_>> = HashMap::new();
            for row in rows$(.order_by_asc($table::Column::$order))+.all(view.db()).await? {
                by_order.entry(row.order_id).or_default().push(row);
            }
            Ok(by_order)
        }
    )+};
}

of_orders! {
    /// Their lines.
    lines = order_line by Position;
    /// What they gave.
    given = fulfilment by Position, Part;
    /// What settled them.
    payments_of = payment by Id;
    /// What went back.
    refunds_of = refund by Id;
}
