//! Refunds: what is unused goes back, at what it cost, and is never priced again. More only if somebody says so.

use entity::activity::Source;
use entity::payment::Status as PaymentStatus;
use entity::product_order::{self, Status};
use entity::refund::{self, Model};
use entity::{ActivityId, Credits, Minor, OrderId, Owned, RefundId, activity, allocation, credit_grant, fulfilment};
use sea_orm::{ActiveModelTrait, ColumnTrait, IntoActiveModel, QueryFilter, Set};
use serde::Serialize;

use super::orders::{self, Taken, emit, in_words, lock, take_back};
use super::provider::MANUAL;
use super::refusal::Sale;
use super::{collect, fulfil, payments};
use crate::caller::{Caller, Scope};
use crate::clock::fresh_id;
use crate::error::{Error, Refusal, Result};
use crate::input;
use crate::ledger::{self, Closing, Command, OnExpired, Reverse, Words, grants};
use crate::once::{Operation, once};
use crate::store::Store;
use crate::tx::Tx;

/// A refund that is about to be.
#[derive(Clone, Debug, Serialize)]
pub struct NewRefund {
    pub order: OrderId,
    /// What is unused, at what it cost, if left out.
    pub amount: Option<Minor>,
    /// Whether credits that were used, ended or given away are refunded as well.
    pub used_credits: bool,
    /// Whether the unused credits stay with the customer.
    pub keep_credits: bool,
    pub reason: String,
}

/// What is there to go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Left {
    /// What the order's free credits had cost.
    free: Minor,
    /// What lines cost that issued nothing, and has not gone back.
    lines: Minor,
    /// What was paid and has not gone back.
    paid: Minor,
    /// How many credits are free.
    credits: Credits,
}

/// What a refund would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    pub amount: Minor,
    pub currency: Option<String>,
    /// How many credits it would void, or give back.
    pub credits: Credits,
}

/// Refunds an order, once per key.
pub async fn refund(caller: &Caller, new: NewRefund, key: &str) -> Result<(OrderId, bool)> {
    let new = check(new)?;
    let (order, replayed) = once(caller, Scope::OrdersWrite, key, &new).await?;
    if !replayed {
        let account = caller.authorise(Scope::OrdersWrite)?;
        for owed in pending(caller, order).await? {
            collect::refund_now(caller.app(), account, owed).await;
        }
    }
    Ok((order, replayed))
}

fn check(mut new: NewRefund) -> Result<NewRefund, Refusal> {
    new.reason = input::text("reason", &new.reason, input::NAME)?;
    match new.amount {
        Some(amount) if !(Minor(1)..=Minor::MOST).contains(&amount) => {
            Err(Refusal::invalid("amount", "Must be 1 to 1,000,000,000,000 minor units."))
        }
        None if new.keep_credits => Err(Refusal::invalid("amount", "Say how much, where the credits stay.")),
        _ => Ok(new),
    }
}

async fn pending(caller: &Caller, order: OrderId) -> Result<Vec<RefundId>> {
    let view = caller.view(Scope::OrdersWrite).await?;
    let all = orders::refunds_of(&view, &[order]).await?.remove(&order).unwrap_or_default();
    Ok(all.into_iter().filter(|refund| refund.status == refund::Status::Pending).map(|refund| refund.id).collect())
}

impl Operation for NewRefund {
    const NAME: &'static str = "orderRefund";
    type Made = OrderId;

    async fn run(&self, tx: &Tx, caller: &Caller) -> Result<OrderId> {
        let order = lock(tx, self.order, None).await?;
        ensure_paid(&order)?;
        if order.currency.is_none() {
            return give_credits_back(tx, caller, &order, self).await;
        }
        give_money_back(tx, caller, order, self).await
    }
}

fn ensure_paid(order: &product_order::Model) -> Result<(), Refusal> {
    match order.status {
        Status::Paid | Status::PartiallyRefunded => Ok(()),
        status => Err(Sale::OrderNotPaid { status: in_words(status).to_owned() }.into()),
    }
}

/// How much goes back, of what there is (pure).
fn decide(new: &NewRefund, left: Left, total: Minor) -> Result<Minor, Refusal> {
    let unused = Minor((left.free + left.lines).0.min(left.paid.0));
    let amount = new.amount.unwrap_or(unused);
    if amount > left.paid {
        return Err(Sale::MoreThanPaid { left: left.paid }.into());
    }
    if amount > left.free + left.lines && !new.used_credits {
        return Err(Sale::CreditsUsed { refundable: unused }.into());
    }
    // What was free may go back for nothing.
    if amount.is_zero() && (!total.is_zero() || left.credits.is_zero()) {
        return Err(Sale::NothingToRefund.into());
    }
    Ok(amount)
}

async fn give_money_back(tx: &Tx, caller: &Caller, order: product_order::Model, new: &NewRefund) -> Result<OrderId> {
    let lines = fulfil::lines_of(tx.db(), &order).await?;
    let given = fulfil::of_order(tx.db(), &order).await?;
    let take =
        async |closing| take_back(tx, caller.app().store(), &order, (&new.reason, closing), caller.actor()).await;
    let mut taken = if new.keep_credits { Taken::default() } else { take(Closing::Never).await? };
    let credits = taken.credits;
    // The wallets are locked by now, so nobody sets any aside meanwhile.
    let made = grants_of(tx, &given).await?;
    let held = made.iter().map(|grant| grant.held).sum::<Credits>();
    if !held.is_zero() && !new.keep_credits {
        return Err(Sale::CreditsHeld { held }.into());
    }
    let still_free = made.iter().filter(|grant| grant.expires_at.is_none_or(|end| end > tx.now));
    let still_free = still_free.map(|grant| grant.cost_left).sum::<Minor>();
    let before = refunds_before(tx, order.id).await?;
    let of_lines = fulfil::issue_nothing(&lines, &given) - before.iter().map(|refund| refund.line_amount).sum();
    let paid = payments::paid_for(tx, order.id).await?;
    let left = Left {
        free: taken.cost + still_free,
        lines: of_lines,
        paid: paid.iter().map(|payment| payment.amount - payment.refunded).sum(),
        credits,
    };
    let amount = decide(new, left, order.total)?;
    if amount > left.free + left.lines && !new.keep_credits {
        // Whoever gets back what used credits cost gets none of them back later.
        taken.voids.extend(take(Closing::Always).await?.voids);
    }
    let voids = serde_json::json!(taken.voids);
    let mut rest = Split::of(amount, left);
    let mut first = true;
    for payment in paid {
        let portion = Minor((payment.amount - payment.refunded).0.min(rest.amount.0));
        if portion.is_zero() {
            continue;
        }
        let manual = payment.provider == MANUAL;
        let mut row = empty(tx, caller, &order, new);
        row.payment_id = Some(payment.id);
        row.status = if manual { refund::Status::Succeeded } else { refund::Status::Pending };
        (row.amount, row.line_amount) = rest.take(portion);
        row.credits = if first { credits } else { Credits::ZERO };
        row.voids = voids.clone();
        first = false;
        row.clone().into_active_model().insert(tx.db()).await?;
        if !manual {
            collect::owe(tx, &row).await?;
        }
        payments::take_off(tx, payment, portion).await?;
    }
    if first {
        let row = Model { credits, voids, ..empty(tx, caller, &order, new) };
        row.into_active_model().insert(tx.db()).await?;
    }
    let whole = amount == left.paid;
    refunded(tx, order, amount, if whole { Status::Refunded } else { Status::PartiallyRefunded }).await
}

/// What of an amount is for what.
struct Split {
    amount: Minor,
    free: Minor,
    lines: Minor,
}

impl Split {
    fn of(amount: Minor, left: Left) -> Self {
        let free = Minor(amount.0.min(left.free.0));
        Self { amount, free, lines: Minor((amount - free).0.min(left.lines.0)) }
    }

    /// Takes a portion off, what is for free credits first: how much, and how much of it is for lines that issued nothing.
    fn take(&mut self, portion: Minor) -> (Minor, Minor) {
        let free = Minor(self.free.0.min(portion.0));
        let lines = Minor(self.lines.0.min((portion - free).0));
        self.amount -= portion;
        self.free -= free;
        self.lines -= lines;
        (portion, lines)
    }
}

/// Of an order that was paid in credits, all go back.
fn ensure_whole(new: &NewRefund) -> Result<(), Refusal> {
    if new.amount.is_some() || new.keep_credits {
        return Err(Refusal::invalid("amount", "This order was paid in credits: all of them go back."));
    }
    Ok(())
}

/// An order that was paid in credits gets its consume undone.
async fn give_credits_back(tx: &Tx, caller: &Caller, order: &product_order::Model, new: &NewRefund) -> Result<OrderId> {
    ensure_whole(new)?;
    let lines = fulfil::lines_of(tx.db(), order).await?;
    let given = fulfil::of_order(tx.db(), order).await?;
    let undo = |row: &fulfilment::Model| {
        let line = lines.get(usize::try_from(row.position).ok()?)?;
        Some(Command::Reverse(Reverse {
            activity: row.activity_id?,
            customer: order.customer_id,
            credit_type: line.credit_type?,
            amount: None,
            on_expired: OnExpired::Forfeit,
            reason: new.reason.clone(),
            words: Words { reference: Some(order.id.to_string()), ..Words::default() },
        }))
    };
    let undone = given.iter().filter_map(undo).collect::<Vec<_>>();
    let mut credits = Credits::ZERO;
    for outcome in ledger::within(tx, caller.app().store(), (caller.actor(), Source::Order), undone).await? {
        match outcome {
            Ok(outcome) => {
                credits += outcome.activities.first().map(|(activity, _)| activity.amount).unwrap_or_default();
            }
            // Somebody gave them back by hand.
            Err(Error::Refused(Refusal::ReversedBefore)) => {}
            Err(error) => return Err(error),
        }
    }
    if credits.is_zero() {
        return Err(Sale::NothingToRefund.into());
    }
    let row = Model { credits, ..empty(tx, caller, order, new) };
    row.into_active_model().insert(tx.db()).await?;
    refunded(tx, order.clone(), Minor::ZERO, Status::Refunded).await
}

/// A refund of nothing yet.
fn empty(tx: &Tx, caller: &Caller, order: &product_order::Model, new: &NewRefund) -> Model {
    let (actor_kind, actor) = caller.actor();
    Model {
        account_id: order.account_id,
        id: RefundId(fresh_id()),
        order_id: order.id,
        payment_id: None,
        provider_reference: None,
        status: refund::Status::Succeeded,
        amount: Minor::ZERO,
        line_amount: Minor::ZERO,
        currency: order.currency.clone(),
        credits: Credits::ZERO,
        voids: serde_json::json!([]),
        reason: new.reason.clone(),
        failure: None,
        actor_kind,
        actor,
        at: tx.now,
    }
}

async fn refunded(tx: &Tx, order: product_order::Model, amount: Minor, status: Status) -> Result<OrderId> {
    let sum = order.refunded + amount;
    let mut row = order.into_active_model();
    row.refunded = Set(sum);
    row.status = Set(status);
    let order = row.update(tx.db()).await?;
    emit(tx, "order.refunded", &order).await?;
    Ok(order.id)
}

/// The provider could not give a refund back: the money is still here, so what was taken back for it comes back
/// (selling.md, S7). What has ended meanwhile ends at once.
pub(super) async fn failed(tx: &Tx, store: &Store, order: product_order::Model, refund: &Model) -> Result<()> {
    if let Some(payment) = refund.payment_id {
        payments::put_back(tx, payment, refund.amount).await?;
    }
    undo_voids(tx, store, &order, refund).await?;
    let sum = order.refunded - refund.amount;
    let mut row = order.into_active_model();
    row.refunded = Set(sum);
    row.status = Set(if sum.is_zero() { Status::Paid } else { Status::PartiallyRefunded });
    let order = row.update(tx.db()).await?;
    emit(tx, "order.refund_failed", &order).await
}

/// Undoes the voids of a refund that failed, where the money that is kept covers what comes back: of a refund over several
/// payments another part may have gone through.
async fn undo_voids(tx: &Tx, store: &Store, order: &product_order::Model, refund: &Model) -> Result<()> {
    let ids: Vec<ActivityId> = serde_json::from_value(refund.voids.clone())
        .map_err(|error| Error::Internal(format!("the voids of {} cannot be read: {error}", refund.id)))?;
    if ids.is_empty() {
        return Ok(());
    }
    let taken = allocation::Entity::of(tx.account.id).filter(allocation::Column::ActivityId.is_in(ids.iter().copied()));
    let taken = taken.all(tx.db()).await?.iter().map(|allocation| allocation.cost).sum::<Minor>();
    let given = fulfil::of_order(tx.db(), order).await?;
    let there = grants_of(tx, &given).await?.iter().map(|grant| grant.cost_left + grant.cost_held).sum::<Minor>();
    let paid = payments::paid_for(tx, order.id).await?;
    if there + taken > paid.iter().map(|payment| payment.amount - payment.refunded).sum() {
        return Ok(());
    }
    let voids = activity::Entity::of(tx.account.id).filter(activity::Column::Id.is_in(ids)).all(tx.db()).await?;
    orders::undo_voids(tx, store, voids, (order, "The refund failed")).await
}

async fn grants_of(tx: &Tx, given: &[fulfilment::Model]) -> Result<Vec<credit_grant::Model>> {
    let ids = given.iter().filter_map(|row| row.grant_id);
    let rows = credit_grant::Entity::of(tx.account.id).filter(credit_grant::Column::Id.is_in(ids));
    Ok(rows.all(tx.db()).await?)
}

async fn refunds_before(tx: &Tx, order: OrderId) -> Result<Vec<Model>> {
    let rows = refund::Entity::of(tx.account.id).filter(refund::Column::OrderId.eq(order));
    let rows = rows.filter(refund::Column::Status.ne(refund::Status::Failed));
    Ok(rows.all(tx.db()).await?)
}

/// What a refund would be now. Takes no lock, writes nothing.
pub async fn preview(caller: &Caller, new: NewRefund) -> Result<Preview> {
    let new = check(new)?;
    let view = caller.view(Scope::OrdersWrite).await?;
    let order = orders::by_ids(&view, &[new.order]).await?.remove(&new.order);
    let order = order.ok_or_else(|| Refusal::not_found("orderId", "order"))?;
    ensure_paid(&order)?;
    let given = orders::given(&view, &[order.id]).await?.remove(&order.id).unwrap_or_default();
    if order.currency.is_none() {
        ensure_whole(&new)?;
        let credits = given.iter().filter(|row| row.activity_id.is_some()).map(|row| row.credits).sum();
        return Ok(Preview { amount: Minor::ZERO, currency: None, credits });
    }
    let ids = given.iter().filter_map(|row| row.grant_id).collect::<Vec<_>>();
    let made = grants::by_ids(&view, &ids).await?;
    let held = made.values().map(|grant| grant.held).sum::<Credits>();
    if !held.is_zero() && !new.keep_credits {
        return Err(Sale::CreditsHeld { held }.into());
    }
    let before = orders::refunds_of(&view, &[order.id]).await?.remove(&order.id).unwrap_or_default();
    let paid = orders::payments_of(&view, &[order.id]).await?.remove(&order.id).unwrap_or_default();
    let settled =
        paid.iter().filter(|payment| matches!(payment.status, PaymentStatus::Succeeded | PaymentStatus::Disputed));
    let lines = fulfil::lines_of(view.db(), &order).await?;
    let credits = made.values().map(|grant| grant.remaining).sum();
    let left = Left {
        free: made.values().map(|grant| grant.cost_left).sum(),
        lines: fulfil::issue_nothing(&lines, &given)
            - before
                .iter()
                .filter(|refund| refund.status != refund::Status::Failed)
                .map(|refund| refund.line_amount)
                .sum(),
        paid: settled.map(|payment| payment.amount - payment.refunded).sum(),
        credits,
    };
    let amount = decide(&new, left, order.total)?;
    Ok(Preview { amount, currency: order.currency, credits: if new.keep_credits { Credits::ZERO } else { credits } })
}
