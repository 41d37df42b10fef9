//! Another plan, or another quantity, now (selling.md, S12): unused credits of the running period pay for it as far as they
//! reach, the rest is charged, and the new period begins with the payment. The old one runs until then.

use entity::payment::{self, Status as PaymentStatus};
use entity::product_order;
use entity::refund;
use entity::renewal::{Column, Entity, Model as Period, Status};
use entity::{AccountId, Credits, Minor, Owned, PaymentId, RefundId, SubscriptionId, subscription};
use sea_orm::{ActiveModelTrait, ColumnTrait, DatabaseTransaction, IntoActiveModel, QueryFilter, QueryOrder, Set};
use serde_json::json;

use super::basket::{Basket, Line};
use super::period::{self, Anchor};
use super::sale::cover::{self, Cover};
use super::sale::placed::Placed;
use super::sale::taken::{self, By, Whose};
use super::sale::{self, Sale};
use super::{collect, orders, payments, renewals};
use crate::catalog::prices;
use crate::ground::clock::{Instant, fresh_id};
use crate::ground::error::{Refusal, Result};
use crate::ground::fault::{self, Fault};
use crate::ground::refusal::sale::Sale as Rule;
use crate::identity::app::App;
use crate::storage::store::Store;
use crate::storage::tx::Tx;

/// Who paid with credits of the period before: no provider, so that what goes back of it is given by hand.
pub(super) const CHANGE: &str = "change";
const REASON: &str = "Another plan from now on";

/// What a change would come to.
pub(super) struct Outlook {
    pub cover: Cover,
    pub charged: Minor,
    pub ends_at: Instant,
}

/// The period of a subscription that was paid last and has begun.
async fn running(
    txn: &DatabaseTransaction,
    (account, subscription): (AccountId, SubscriptionId),
    before: i64,
) -> Result<Option<Period>> {
    let rows = Entity::of(account).filter(Column::SubscriptionId.eq(subscription));
    let rows = rows.filter(Column::Status.eq(Status::Paid)).filter(Column::Number.lt(before));
    Ok(rows.order_by_desc(Column::Number).one(txn).await?)
}

/// Whether the order of a period is a change of plan: the one before it still runs.
pub(super) async fn is_one(tx: &Tx, subscription: &subscription::Model, number: i64) -> Result<bool> {
    if number < subscription.next_number {
        return Ok(false);
    }
    Ok(running(tx.db(), (tx.account.id, subscription.id), number).await?.is_some_and(|period| period.ends_at > tx.now))
}

async fn order_of(txn: &DatabaseTransaction, period: &Period) -> Result<Option<product_order::Model>> {
    let Some(id) = period.order_id else { return Ok(None) };
    Ok(product_order::Entity::of(period.account_id).filter(product_order::Column::Id.eq(id)).one(txn).await?)
}

/// What a change would come to now.
pub(super) async fn outlook(
    txn: &DatabaseTransaction,
    subscription: &subscription::Model,
    line: &Line,
    now: Instant,
) -> Result<Outlook> {
    let running = running(txn, (subscription.account_id, subscription.id), subscription.next_number).await?;
    let order = match running.filter(|period| period.ends_at > now) {
        Some(period) => order_of(txn, &period).await?,
        None => None,
    };
    let cover = match order {
        Some(order) => cover::decide(&sale::load::sale(txn, order, now, false).await?, line.amount, now)?,
        None => Cover::default(),
    };
    let zone = crate::ledger::expiration::zone_of(&subscription.time_zone);
    let anchor = Anchor { at: now, number: subscription.next_number, zone };
    let next = period::period(&line.price, anchor, anchor.number).ok_or_else(|| prices::broken(&line.price))?;
    Ok(Outlook { charged: line.amount - cover.cost, cover, ends_at: next.ends_at })
}

/// Opens the order of a change, which takes place when what credits do not cover is paid: at once where that is nothing.
pub(super) async fn open(
    tx: &Tx,
    app: &App,
    row: &subscription::Model,
    line: Line,
    by: (entity::activity::ActorKind, String),
) -> Result<Option<PaymentId>> {
    let outlook = outlook(tx.db(), row, &line, tx.now).await?;
    let price = line.price.id;
    let mut basket = Basket { currency: line.price.currency.clone(), total: line.amount, lines: vec![line] };
    let mut order = orders::awaiting_payment(tx, row.customer_id, &basket, by.clone());
    (order.subscription_id, order.renewal_number) = (Some(row.id), Some(row.next_number));
    order.covered = outlook.cover.cost;
    orders::insert(tx, &mut order, &basket, Vec::new()).await?;
    orders::emit(tx, "order.placed", &order);
    let period = Period {
        account_id: tx.account.id,
        subscription_id: row.id,
        number: row.next_number,
        price_id: price,
        status: Status::Due,
        starts_at: tx.now,
        ends_at: outlook.ends_at,
        order_id: Some(order.id),
        // Nobody is late with it: the old period runs until it is paid.
        past_due_at: None,
        created_at: tx.now,
    };
    period.into_active_model().insert(tx.db()).await?;
    if outlook.charged.is_zero() {
        let placed = Placed { order, lines: std::mem::take(&mut basket.lines), subscription: Some(row.clone()) };
        payments::settle(tx, app.store(), placed, (Vec::new(), by)).await?;
        return Ok(None);
    }
    let provider = app.providers().of_account(&tx.account, &tx.account.payment_provider)?;
    if !provider.collects() || row.payment_method.is_none() {
        return Ok(None);
    }
    collect::open(tx, &order, provider.name(), row.payment_method.clone()).await.map(Some)
}

/// The order whose unused credits are to pay for a part of another one.
async fn before(txn: &DatabaseTransaction, order: &product_order::Model) -> Result<Option<product_order::Model>> {
    let Some((id, number)) = order.subscription_id.zip(order.renewal_number) else { return Ok(None) };
    let Some(period) = running(txn, (order.account_id, id), number).await? else { return Ok(None) };
    order_of(txn, &period).await
}

/// What covers as much of an order as was said, if it is there: not where it was used, or set aside, meanwhile.
fn covered(sale: &Sale, order: &product_order::Model, now: Instant) -> Result<Option<Cover>> {
    match cover::decide(sale, order.covered, now) {
        Ok(cover) => Ok(Some(cover).filter(|cover| cover.cost >= order.covered)),
        Err(Refusal::Sale(Rule::CreditsHeld { .. })) => Ok(None),
        Err(refusal) => Err(refusal.into()),
    }
}

/// Whether unused credits cover as much of an order as was said.
pub(super) async fn covers(txn: &DatabaseTransaction, order: &product_order::Model, now: Instant) -> Result<bool> {
    let Some(before) = before(txn, order).await? else { return Ok(false) };
    Ok(covered(&sale::load::sale(txn, before, now, false).await?, order, now)?.is_some())
}

/// Pays a part of an order with unused credits of the period before; answers whether they are there.
pub(super) async fn pay(tx: &Tx, store: &Store, order: &product_order::Model) -> Result<bool> {
    let Some(before) = before(tx.db(), order).await? else { return Ok(false) };
    let sale = taken::locked(tx, store, before, Whose::Own).await?;
    let Some(cover) = covered(&sale, order, tx.now)? else { return Ok(false) };
    let by = By { actor: &renewals::nobody(), reason: REASON };
    let takes = if fault::is(Fault::Change) { &[][..] } else { &cover.takes };
    let ids = taken::take(tx, store, &sale, takes, by).await?;
    let mut left = cover.cost;
    let mut credits = cover.credits;
    let payments = sale.payments.iter().rev().filter(|payment| payment.status == PaymentStatus::Succeeded);
    for payment in payments.cloned().collect::<Vec<_>>() {
        let amount = Minor((payment.amount - payment.refunded).0.min(left.0));
        if amount.is_zero() {
            continue;
        }
        left -= amount;
        went_over(tx, &sale, (payment.id, amount, std::mem::take(&mut credits)), &ids).await?;
        went_into(tx, order, (payment.id, amount)).await?;
        payments::take_off(tx, payment, amount).await?;
    }
    let whole = sale.kept() == cover.cost;
    let sum = sale.order.refunded + cover.cost;
    let mut row = sale.order.into_active_model();
    row.refunded = Set(sum);
    row.status = Set(if whole { product_order::Status::Refunded } else { product_order::Status::PartiallyRefunded });
    row.update(tx.db()).await?;
    Ok(true)
}

/// The payment of the new order with money that an old one's had brought.
async fn went_into(tx: &Tx, order: &product_order::Model, (source, amount): (PaymentId, Minor)) -> Result<()> {
    // What becomes of that payment becomes of this one.
    let named = Some(format!("{source}:{}", order.id));
    let row = payment::Model { provider_reference: named, ..payments::succeeded(tx, order, CHANGE, amount) };
    row.into_active_model().insert(tx.db()).await?;
    Ok(())
}

/// The payments that were made with the money of another one.
pub(super) async fn made_with(tx: &Tx, source: PaymentId) -> Result<Vec<payment::Model>> {
    let rows = tx.rows::<payment::Entity>().filter(payment::Column::Provider.eq(CHANGE));
    let rows = rows.filter(payment::Column::ProviderReference.starts_with(format!("{source}:")));
    Ok(rows.order_by_asc(payment::Column::Id).all(tx.db()).await?)
}

/// The refund of what went over to the new order.
async fn went_over(
    tx: &Tx,
    sale: &Sale,
    (payment, amount, credits): (PaymentId, Minor, Credits),
    taken: &[entity::ActivityId],
) -> Result<()> {
    let (actor_kind, actor) = renewals::nobody();
    let row = refund::Model {
        account_id: tx.account.id,
        id: RefundId(fresh_id()),
        order_id: sale.order.id,
        payment_id: Some(payment),
        provider_reference: None,
        status: refund::Status::Succeeded,
        amount,
        line_amount: Minor::ZERO,
        currency: sale.order.currency.clone(),
        credits,
        surplus_amount: Minor::ZERO,
        of_lines: json!([]),
        taken: json!(taken),
        reason: REASON.to_owned(),
        failure: None,
        actor_kind,
        actor,
        at: tx.now,
    };
    row.into_active_model().insert(tx.db()).await?;
    Ok(())
}

/// Gives up a change that nobody paid before the old period ended; answers whether there was one.
pub(super) async fn lapse(tx: &Tx, app: &App, row: &subscription::Model) -> Result<bool> {
    let waits = Entity::of(tx.account.id)
        .filter(Column::SubscriptionId.eq(row.id))
        .filter(Column::Number.eq(row.next_number))
        .one(tx.db())
        .await?;
    let Some(waits) = waits else { return Ok(false) };
    let order = order_of(tx.db(), &waits).await?;
    if let Some(order) = order.filter(|order| order.status == product_order::Status::AwaitingPayment) {
        let reason = Some("The old plan's period ended before it was paid".to_owned());
        orders::cancel_in(tx, app.store(), order, reason, renewals::nobody()).await?;
    }
    if waits.status != Status::Cancelled {
        renewals::set_status(tx, waits, Status::Cancelled).await?;
    }
    Ok(true)
}
