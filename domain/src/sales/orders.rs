//! Orders: cancelling and reading them, and the steps that all of selling shares.

use std::collections::{BTreeMap, HashMap};

use entity::activity::{ActorKind, Source};
use entity::product_order::{Column, Entity, Model, Status};
use entity::{
    ActivityId, Credits, CustomerId, Minor, OrderId, Owned, activity, allocation, fulfilment, order_counter,
    order_line, payment, refund,
};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, Set};
use serde_json::json;

use super::basket::Basket;
use super::fulfil;
use super::refusal::Sale;
use super::{subscriptions, unpaid};
use crate::caller::{Caller, Role, Scope};
use crate::clock::fresh_id;
use crate::error::{Error, Refusal, Result};
use crate::events::Fact;
use crate::input;
use crate::ledger::{self, Closing, Command, OnExpired, Reverse, Void, Words};
use crate::page::{self, Page, Slice};
use crate::store::Store;
use crate::tx::{Tx, View};

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
        refunded: Minor::ZERO,
        buyer_name: None,
        buyer_email: None,
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
pub(super) async fn emit(tx: &Tx, name: &'static str, order: &Model) -> Result<()> {
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
    tx.emit(Fact { name, customer: Some(order.customer_id), subject: order.id.0, payload }).await.map(drop)
}

/// An order that an input names, and its subscription, locked in that order: subscription, order.
pub(super) async fn lock(tx: &Tx, id: OrderId, only: Option<CustomerId>) -> Result<Model> {
    let rows = || {
        let rows = tx.rows::<Entity>().filter(Column::Id.eq(id));
        only.map_or(rows.clone(), |customer| rows.filter(Column::CustomerId.eq(customer)))
    };
    let not_found = || Refusal::not_found("orderId", "order");
    let found = rows().one(tx.db()).await?.ok_or_else(not_found)?;
    if let Some(subscription) = found.subscription_id {
        subscriptions::lock(tx, subscription, None).await?;
    }
    Ok(rows().lock_exclusive().one(tx.db()).await?.ok_or_else(not_found)?)
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
    }
}

/// Cancels an order that awaits payment; a customer its own. What a renewal gave before it was paid is taken back as far
/// as it is free. Doing it twice changes nothing.
pub async fn cancel(caller: &Caller, id: OrderId, reason: Option<String>) -> Result<Model> {
    let reason = input::optional_text("reason", reason.as_deref(), input::NAME)?;
    let only = if let Role::Customer(customer) = caller.role() { Some(customer) } else { None };
    let tx = caller.begin(Scope::Buy).await?;
    let order = lock(&tx, id, only).await?;
    match order.status {
        Status::Cancelled => return Ok(order),
        Status::AwaitingPayment => {}
        status => return Err(Sale::OrderNotAwaitingPayment { status: in_words(status).to_owned() }.into()),
    }
    // It may have given credits already: who ends the subscription is asked for nothing more, and gets nothing more.
    if only.is_some() && order.renewal_number.is_some_and(|number| number > 0) {
        return Err(Sale::OrderRenews.into());
    }
    let store = caller.app().store();
    let cancelled = cancel_in(&tx, store, order, reason, caller.actor()).await?;
    if let (Some(subscription), Some(number)) = (cancelled.subscription_id, cancelled.renewal_number) {
        unpaid::order_cancelled(&tx, subscription, number).await?;
    }
    tx.commit().await?;
    Ok(cancelled)
}

/// Cancels an order that is locked and awaits payment.
pub(super) async fn cancel_in(
    tx: &Tx,
    store: &Store,
    order: Model,
    reason: Option<String>,
    actor: (ActorKind, String),
) -> Result<Model> {
    take_back(tx, store, &order, ("The order was cancelled unpaid", Closing::Always), actor).await?;
    let mut order = order.into_active_model();
    order.status = Set(Status::Cancelled);
    order.cancelled_at = Set(Some(tx.now));
    order.reason = Set(reason);
    let order = order.update(tx.db()).await?;
    emit(tx, "order.cancelled", &order).await?;
    Ok(order)
}

/// What was taken back of an order.
#[derive(Default)]
pub(super) struct Taken {
    pub credits: Credits,
    pub cost: Minor,
    /// The voids.
    pub voids: Vec<ActivityId>,
}

/// Voids what is free in the grants of an order, and closes them or not.
pub(super) async fn take_back(
    tx: &Tx,
    store: &Store,
    order: &Model,
    (reason, closing): (&str, Closing),
    actor: (ActorKind, String),
) -> Result<Taken> {
    let lines = order_line::Entity::of(order.account_id).filter(order_line::Column::OrderId.eq(order.id));
    let types = lines.all(tx.db()).await?.into_iter().map(|line| (line.position, line.credit_type_id));
    let types = types.collect::<HashMap<_, _>>();
    let given = fulfil::of_order(tx.db(), order).await?;
    let void = |row: &fulfilment::Model| {
        let credit_type = types.get(&row.position).copied().flatten()?;
        let words = Words { reference: Some(order.id.to_string()), ..Words::default() };
        let (customer, reason) = (order.customer_id, reason.to_owned());
        Some(Command::Void(Void { grant: row.grant_id?, customer, credit_type, reason, closing, words }))
    };
    let voids = given.iter().filter_map(void).collect::<Vec<_>>();
    if voids.is_empty() {
        return Ok(Taken::default());
    }
    let mut taken = Taken::default();
    for outcome in ledger::within(tx, store, (actor, Source::Order), voids).await? {
        match outcome {
            Ok(outcome) => {
                for (activity, allocations) in outcome.activities {
                    taken.voids.push(activity.id);
                    taken.credits += allocations.iter().map(|allocation| allocation.amount).sum();
                    taken.cost += allocations.iter().map(|allocation| allocation.cost).sum();
                }
            }
            // Used, ended, set aside: there is nothing to take.
            Err(Error::Refused(Refusal::NothingToVoid)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(taken)
}

/// What giving an order up voided and nobody has undone: the voids that closed its grants, and what went on since because
/// they were closed. Whatever came before was voided by hand, and stays so.
async fn voids_of(tx: &Tx, order: &Model, given: &[fulfilment::Model]) -> Result<Vec<activity::Model>> {
    let grants = given.iter().filter_map(|row| row.grant_id);
    let allocations = allocation::Entity::of(order.account_id).filter(allocation::Column::GrantId.is_in(grants));
    let mut of_grant: HashMap<_, Vec<_>> = HashMap::new();
    for allocation in allocations.all(tx.db()).await? {
        of_grant.entry(allocation.grant_id).or_default().push(allocation.activity_id);
    }
    let all = of_grant.values().flatten().copied().collect::<Vec<_>>();
    let voids = activity::Entity::of(order.account_id).filter(activity::Column::Id.is_in(all));
    let voids = voids.filter(activity::Column::Kind.eq(activity::Kind::Void)).all(tx.db()).await?;
    let reference = order.id.to_string();
    let mut found = BTreeMap::new();
    for activities in of_grant.values() {
        let of_grant = || voids.iter().filter(|void| activities.contains(&void.id));
        let given_up =
            |void: &&activity::Model| void.source == Source::Order && void.reference.as_deref() == Some(&reference);
        let Some(closed) = of_grant().filter(given_up).map(|void| void.sequence).min() else { continue };
        let since = of_grant().filter(|void| void.sequence >= closed);
        found.extend(since.map(|void| ((void.credit_type_id, void.sequence), void.clone())));
    }
    Ok(found.into_values().collect())
}

/// Gives back what giving an order up had voided: it is paid after all.
pub(super) async fn give_back(tx: &Tx, store: &Store, order: &Model, given: &[fulfilment::Model]) -> Result<()> {
    let voids = voids_of(tx, order, given).await?;
    undo_voids(tx, store, voids, (order, "The order was paid after all")).await
}

/// Undoes voids, each as a whole, as far as nobody has: what has ended meanwhile ends at once.
pub(super) async fn undo_voids(
    tx: &Tx,
    store: &Store,
    voids: Vec<activity::Model>,
    (order, reason): (&Model, &str),
) -> Result<()> {
    let undo = |void: activity::Model| {
        Command::Reverse(Reverse {
            activity: void.id,
            customer: void.customer_id,
            credit_type: void.credit_type_id,
            amount: None,
            on_expired: OnExpired::Forfeit,
            reason: reason.to_owned(),
            words: Words { reference: Some(order.id.to_string()), ..Words::default() },
        })
    };
    let by = ((ActorKind::System, String::new()), Source::Order);
    for outcome in ledger::within(tx, store, by, voids.into_iter().map(undo).collect()).await? {
        match outcome {
            Ok(_) | Err(Error::Refused(Refusal::ReversedBefore)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
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
