//! An order is paid, and gives what it is to give: one transaction, exactly once, however often and from however many
//! servers it is said. Money may come in parts, or more than once (selling.md, S6).

use std::collections::HashMap;

use entity::activity::ActorKind;
use entity::payment::{Column, Entity, Model, Status as PaymentStatus};
use entity::product_order::{self, Status};
use entity::{Credits, Minor, OrderId, PaymentId, subscription};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, Set,
};
use serde::Serialize;

use super::fulfil::{self, Terms};
use super::orders::{self, emit, in_words, lock};
use super::sale::placed::{self, Placed};
use super::sale::taken::{self, By, Whose};
use super::{basket, change, disputes, earlier, renewals, subscriptions};
use crate::ground::clock::fresh_id;
use crate::ground::error::{Error, Refusal, Result, is_taken};
use crate::ground::fault::{self, Fault};
use crate::ground::input;
use crate::ground::refusal::sale::Sale;
use crate::ground::scope::Scope;
use crate::identity::caller::Caller;
use crate::identity::once::{Operation, once};
use crate::storage::ports::payments::MANUAL;
use crate::storage::store::Store;
use crate::storage::tx::Tx;

/// Staff says that an order is paid.
#[derive(Clone, Debug, Serialize)]
pub struct MarkPaid {
    pub order: OrderId,
    /// What the payment is called elsewhere, such as in the bank's statement.
    pub reference: Option<String>,
}

/// Staff says that so much was paid for an order.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    pub order: OrderId,
    pub amount: Minor,
    pub reference: Option<String>,
}

/// Marks an order paid and gives what it is to give, once per key, and once.
pub async fn mark_paid(caller: &Caller, mut paid: MarkPaid, key: &str) -> Result<(OrderId, bool)> {
    paid.reference = input::optional_text("reference", paid.reference.as_deref(), input::NAME)?;
    once(caller, Scope::OrdersWrite, key, &paid).await
}

/// Records a payment of any amount, once per key. What completes the order's total pays the order.
pub async fn record(caller: &Caller, mut record: Record, key: &str) -> Result<(OrderId, bool)> {
    record.reference = input::optional_text("reference", record.reference.as_deref(), input::NAME)?;
    check_amount(record.amount)?;
    once(caller, Scope::OrdersWrite, key, &record).await
}

fn check_amount(amount: Minor) -> Result<(), Refusal> {
    if (Minor(1)..=Minor::MOST).contains(&amount) {
        return Ok(());
    }
    Err(Refusal::invalid("amount", "Must be 1 to 1,000,000,000,000 minor units."))
}

impl Operation for MarkPaid {
    const NAME: &'static str = "orderMarkPaid";
    type Made = OrderId;

    async fn run(&self, tx: &Tx, caller: &Caller) -> Result<OrderId> {
        receive(tx, caller, self.order, (None, self.reference.as_deref())).await
    }
}

impl Operation for Record {
    const NAME: &'static str = "paymentRecord";
    type Made = OrderId;

    async fn run(&self, tx: &Tx, caller: &Caller) -> Result<OrderId> {
        receive(tx, caller, self.order, (Some(self.amount), self.reference.as_deref())).await
    }
}

/// What becomes of money that comes by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Received {
    amount: Minor,
    /// Whether the order is paid with it.
    settles: bool,
}

/// What becomes of money that comes by hand, of which `kept` is here already (pure). Nothing is said of the amount where
/// the order is marked paid: it is what is open, or a further payment of the whole, which has a name of its own.
fn decide(
    order: &product_order::Model,
    kept: Minor,
    (amount, is_named): (Option<Minor>, bool),
) -> Result<Received, Refusal> {
    let refused = || Err(Sale::OrderNotAwaitingPayment { status: in_words(order.status).to_owned() }.into());
    if order.total.is_zero() {
        return refused();
    }
    let awaits = order.status == Status::AwaitingPayment;
    let amount = match amount {
        Some(amount) => amount,
        None if awaits => Minor((due(order) - kept).0.max(0)),
        None if is_named => order.total,
        None => return refused(),
    };
    let can_be_paid = awaits || matches!(order.status, Status::Cancelled | Status::ChargedBack);
    Ok(Received { amount, settles: can_be_paid && kept + amount >= due(order) })
}

/// What is to be paid of an order in money: of one that changes a plan, what unused credits do not cover.
#[must_use]
pub fn due(order: &product_order::Model) -> Minor {
    if order.status == Status::AwaitingPayment { order.total - order.covered } else { order.total }
}

async fn receive(
    tx: &Tx,
    caller: &Caller,
    order: OrderId,
    (amount, reference): (Option<Minor>, Option<&str>),
) -> Result<OrderId> {
    let placed = lock(tx, order, None).await?;
    let order = &placed.order;
    let mut paid = paid_for(tx.db(), order).await?;
    let received = decide(order, kept(&paid), (amount, reference.is_some()))?;
    if received.amount.is_zero() {
        // All of it is here already.
        return settle(tx, caller.app().store(), placed, (paid, caller.actor())).await;
    }
    let row =
        Model { provider_reference: reference.map(str::to_owned), ..succeeded(tx, order, MANUAL, received.amount) };
    let written = Entity::insert(row.clone().into_active_model()).exec_without_returning(tx.db()).await;
    written.map_err(|error| {
        if is_taken(&error, "payment", "reference") || is_taken(&error, "payment", "account_id") {
            Error::from(taken_reference())
        } else {
            error.into()
        }
    })?;
    if received.settles {
        paid.push(row);
        return settle(tx, caller.app().store(), placed, (paid, caller.actor())).await;
    }
    let name = if order.status == Status::AwaitingPayment { "order.partly_paid" } else { "order.paid_again" };
    emit(tx, name, order);
    Ok(order.id)
}

/// A new payment of an order, whose money is here.
pub(super) fn succeeded(tx: &Tx, order: &product_order::Model, provider: &str, amount: Minor) -> Model {
    Model {
        account_id: order.account_id,
        id: PaymentId(fresh_id()),
        order_id: order.id,
        provider: provider.to_owned(),
        provider_reference: None,
        method: None,
        status: PaymentStatus::Succeeded,
        amount,
        refunded: Minor::ZERO,
        currency: order.currency.clone().unwrap_or_else(|| tx.account.currency.clone()),
        action_url: None,
        failure: None,
        created_at: tx.now,
        updated_at: tx.now,
    }
}

fn taken_reference() -> Refusal {
    Refusal::Taken { field: "reference".to_owned(), what: "payment reference".to_owned() }
}

/// Makes an order that is locked paid, of which these payments are here, and gives what it is to give, unless it has given
/// that already.
pub(super) async fn settle(
    tx: &Tx,
    store: &Store,
    placed: Placed,
    (payments, actor): (Vec<Model>, (ActorKind, String)),
) -> Result<OrderId> {
    let Placed { mut order, lines, mut subscription } = placed;
    if order.status == Status::AwaitingPayment
        && kept(&payments) < order.total
        && !order.covered.is_zero()
        && !Box::pin(change::pay(tx, store, &order)).await?
    {
        // The credits that were to pay for some of it were used meanwhile: all of the rest is open.
        let mut row = order.into_active_model();
        row.covered = Set(Minor::ZERO);
        let order = row.update(tx.db()).await?;
        emit(tx, "order.partly_paid", &order);
        return Ok(order.id);
    }
    let mut terms = Terms { withheld: withheld(tx.db(), &order, &lines).await?, ..Terms::by(actor.clone()) };
    // What was charged back was given before: its period has begun.
    let period = subscription.clone().zip(order.renewal_number).filter(|_| order.status != Status::ChargedBack);
    if let Some((row, number)) = period {
        let price = &lines.first().ok_or_else(|| Error::Internal(format!("{} has no line", order.id)))?.price;
        let changes = number > 0 && change::is_one(tx, &row, number).await?;
        let (row, period) = if number == 0 {
            let (row, period) = subscriptions::begin(tx, &row, price, !terms.withheld.is_empty()).await?;
            renewals::insert_paid(tx, row.id, &order, price.id, period.1).await?;
            (row, period)
        } else {
            renewals::paid(tx, row, number).await?
        };
        // What a change of plan does not need stays (selling.md, S12); the next renewal looks at it again.
        if number > 0 && !changes {
            terms.earlier = earlier::before(tx, &row, number).await?;
        }
        (subscription, terms.period) = (Some(row), Some(period));
    }
    let gave_nothing = order.status == Status::AwaitingPayment && order.paid_at.is_none();
    let gave_nothing = gave_nothing && !lines.iter().any(|line| line.price.issue_before_payment);
    let before = if gave_nothing { Vec::new() } else { fulfil::of_order(tx.db(), &order).await? };
    if before.is_empty() {
        let given = fulfil::give(tx, store, &order, &lines, &terms).await?;
        let unfulfilled = given.iter().any(|row| row.refusal.is_some());
        fulfil::write(tx.db(), given).await?;
        if unfulfilled {
            emit(tx, "order.unfulfilled", &order);
        }
    } else if matches!(order.status, Status::Cancelled | Status::ChargedBack) {
        // It was given, taken back when it was given up, and is paid after all (selling.md, S6).
        let sale = taken::locked(tx, store, order.clone(), Whose::All).await?;
        let by = By { actor: &actor, reason: "The order was paid after all" };
        Box::pin(taken::give_back(tx, store, &sale, by)).await?;
    }
    let mut row = order.clone().into_active_model();
    row.status = Set(Status::Paid);
    row.paid_at = Set(Some(tx.now));
    // A payment that its provider has taken counts, also where the order was given up meanwhile.
    row.cancelled_at = Set(None);
    row.reason = Set(None);
    order = row.update(tx.db()).await?;
    if payments.iter().any(|payment| payment.status == PaymentStatus::Disputed) {
        Box::pin(disputes::freeze(tx, store, &order)).await?;
    }
    emit_paid(tx, &order, subscription.as_ref());
    Ok(order.id)
}

/// Says that an order is paid, and what that means for its subscription.
pub(super) fn emit_paid(tx: &Tx, order: &product_order::Model, subscription: Option<&subscription::Model>) {
    emit(tx, "order.paid", order);
    if let (Some(subscription), Some(number)) = (subscription, order.renewal_number) {
        let name = if number == 0 { "subscription.started" } else { "subscription.renewed" };
        subscriptions::emit(tx, name, subscription);
    }
}

/// What an order does not give, though it is paid for: an anonymous one that was placed for somebody who may not have it,
/// which was not to be told; and one that was given up, in whose place others were ordered meanwhile, as many as the
/// customer may have.
async fn withheld(
    txn: &DatabaseTransaction,
    order: &product_order::Model,
    lines: &[basket::Line],
) -> Result<HashMap<i32, Refusal>> {
    use entity::{CustomerOwned, customer};
    let mut withheld = HashMap::new();
    if order.buyer_email.is_some() {
        let customer = customer::Entity::of_customer(order.account_id, order.customer_id).one(txn).await?;
        if customer.and_then(|customer| customer.archived_at).is_some_and(|at| at <= order.placed_at) {
            let refusal = || Refusal::CustomerArchived { field: "customerId".to_owned() };
            withheld.extend((0..).zip(lines).map(|(position, _)| (position, refusal())));
        }
    }
    let counts = order.renewal_number.is_none_or(|number| number == 0);
    let limited = lines.iter().filter(|line| line.price.max_per_customer.is_some()).map(|line| line.price.id);
    let limited = limited.collect::<Vec<_>>();
    if order.status == Status::Cancelled && counts && !limited.is_empty() && !fault::is(Fault::Limit) {
        let had = basket::ordered(txn, order.account_id, order.customer_id, &limited).await?;
        for (line, position) in lines.iter().zip(0..) {
            let (currency, total) = (order.currency.clone(), line.amount);
            let alone = basket::Basket { lines: vec![line.clone()], currency, total };
            if let Err(refusal) = basket::within_limits(&alone, &had, |_| "orderId".to_owned()) {
                withheld.insert(position, refusal);
            }
        }
    }
    Ok(withheld)
}

/// The payments of an order whose money is here, or whose dispute is not over, oldest first.
pub(super) async fn paid_for(txn: &DatabaseTransaction, order: &product_order::Model) -> Result<Vec<Model>> {
    use entity::Owned;
    let rows = Entity::of(order.account_id).filter(Column::OrderId.eq(order.id));
    let rows = rows.filter(Column::Status.is_in([PaymentStatus::Succeeded, PaymentStatus::Disputed]));
    Ok(rows.order_by_asc(Column::Id).all(txn).await?)
}

/// The money of payments that has not gone back.
#[must_use]
pub fn kept(payments: &[Model]) -> Minor {
    use PaymentStatus::{Disputed, Refunded, Succeeded};
    let counts = payments.iter().filter(|payment| matches!(payment.status, Succeeded | Disputed | Refunded));
    counts.map(|payment| payment.amount - payment.refunded).sum()
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

/// What money that comes by hand would come to.
#[derive(Clone, Debug)]
pub struct Preview {
    pub amount: Minor,
    pub currency: Option<String>,
    /// How many credits the order would give.
    pub credits: Credits,
    /// Why it would not give all that it is to give.
    pub refused: Vec<Refusal>,
}

/// What marking an order paid, or recording a payment, would come to. Takes no lock, writes nothing.
pub async fn preview(
    caller: &Caller,
    order: OrderId,
    (amount, reference): (Option<Minor>, Option<String>),
) -> Result<Preview> {
    let reference = input::optional_text("reference", reference.as_deref(), input::NAME)?;
    amount.map(check_amount).transpose()?;
    let view = caller.view(Scope::OrdersWrite).await?;
    let found = orders::by_ids(&view, &[order]).await?.remove(&order);
    let order = found.ok_or_else(|| Refusal::not_found("orderId", "order"))?;
    let kept = kept(&paid_for(view.db(), &order).await?);
    let received = decide(&order, kept, (amount, reference.is_some()))?;
    if let Some(reference) = reference {
        let same = view.rows::<Entity>().filter(Column::Provider.eq(MANUAL));
        if same.filter(Column::ProviderReference.eq(reference)).one(view.db()).await?.is_some() {
            return Err(taken_reference().into());
        }
    }
    let nothing = Preview {
        amount: received.amount,
        currency: order.currency.clone(),
        credits: Credits::ZERO,
        refused: Vec::new(),
    };
    if !received.settles {
        return Ok(nothing);
    }
    let covers = !order.covered.is_zero() && kept + received.amount < order.total;
    if covers && !Box::pin(change::covers(view.db(), &order, view.now())).await? {
        return Ok(nothing);
    }
    let lines = placed::lines(view.db(), &order).await?;
    let mut terms = Terms { withheld: withheld(view.db(), &order, &lines).await?, ..Terms::by(caller.actor()) };
    if let (Some(subscription), Some(number)) = (order.subscription_id, order.renewal_number) {
        let row = subscriptions::by_ids(&view, &[subscription]).await?.remove(&subscription);
        let row = row.ok_or_else(|| Error::Internal(format!("{subscription} is gone")))?;
        let line = lines.first().ok_or_else(|| Error::Internal(format!("{} has no line", order.id)))?;
        terms.period = Some(if number == 0 {
            subscriptions::first(&row, &line.price, view.now())?
        } else {
            renewals::period_of(&row, &renewals::find(view.db(), row.account_id, subscription, number).await?)
        });
    }
    let given = fulfil::outlook(&view, &order, &lines, &terms).await?;
    let credits = given.iter().filter(|(_, refusal)| refusal.is_none()).map(|(credits, _)| *credits).sum();
    let refused = given.into_iter().filter_map(|(_, refusal)| refusal).collect();
    Ok(Preview { credits, refused, ..nothing })
}
