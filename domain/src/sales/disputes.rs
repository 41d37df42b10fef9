//! Disputes of payments (selling.md, S10): what is free of the order is frozen while one is open; won, it is thawed; lost,
//! it is voided, and what was used is lost, unless other money covers the order.

use entity::payment::{self, Status as PaymentStatus};
use entity::product_order::{self, Status};
use entity::{Credits, Minor, OrderId, PaymentId};
use sea_orm::{ActiveModelTrait, ColumnTrait, IntoActiveModel, QueryFilter, QuerySelect, Set};
use serde::Serialize;

use super::orders::{emit, lock};
use super::sale::placed::Placed;
use super::sale::taken::{self, By, Whose};
use super::sale::{self, Sale};
use super::{change, payments, renewals};
use crate::ground::error::{Refusal, Result};
use crate::ground::refusal::sale::Sale as Rule;
use crate::ground::scope::Scope;
use crate::identity::caller::Caller;
use crate::identity::once::{Operation, once};
use crate::storage::ports::payments::MANUAL;
use crate::storage::store::Store;
use crate::storage::tx::Tx;

/// What is known of a dispute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The payer says that it was not so.
    Opened,
    /// The money stays.
    Won,
    /// The money is gone.
    Lost,
    /// The money is back after all.
    Reinstated,
}

/// Staff says how a dispute of a manual payment stands.
#[derive(Clone, Debug, Serialize)]
pub struct Dispute {
    pub payment: PaymentId,
    pub outcome: Outcome,
}

/// What recording it would come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// The money that is at stake.
    pub amount: Minor,
    pub currency: String,
    /// How many free credits it would freeze, thaw, void or give back.
    pub credits: Credits,
}

/// Records how a dispute stands, once per key.
pub async fn record(caller: &Caller, dispute: Dispute, key: &str) -> Result<(OrderId, bool)> {
    once(caller, Scope::OrdersWrite, key, &dispute).await
}

impl Operation for Dispute {
    const NAME: &'static str = "disputeRecord";
    type Made = OrderId;

    async fn run(&self, tx: &Tx, caller: &Caller) -> Result<OrderId> {
        let row = || tx.rows::<payment::Entity>().filter(payment::Column::Id.eq(self.payment));
        let not_found = || Refusal::not_found("paymentId", "payment");
        let found = row().one(tx.db()).await?.ok_or_else(not_found)?;
        let placed = lock(tx, found.order_id, None).await?;
        let found = row().lock_exclusive().one(tx.db()).await?.ok_or_else(not_found)?;
        if found.status == PaymentStatus::Refunded {
            // Where it went over to another order, the dispute is about that one.
            let moved = moved(tx, self.payment).await?.ok_or(Rule::NotDisputed)?;
            let status = after(&payment::Model { status: moved, ..found }, self.outcome)?;
            follow_moved(tx, caller.app().store(), self.payment, status).await?;
            return Ok(placed.order.id);
        }
        let (before, status) = (found.status, after(&found, self.outcome)?);
        let mut changed = found.into_active_model();
        changed.status = Set(status);
        changed.updated_at = Set(tx.now);
        changed.update(tx.db()).await?;
        let id = placed.order.id;
        follow(tx, caller.app().store(), placed, (self.payment, before, status)).await?;
        Ok(id)
    }
}

/// The status of what a payment's money was moved to, if it was.
async fn moved(tx: &Tx, payment: PaymentId) -> Result<Option<PaymentStatus>> {
    for paid in change::made_with(tx, payment).await? {
        if paid.status != PaymentStatus::Refunded {
            return Ok(Some(paid.status));
        }
        if let Some(status) = Box::pin(moved(tx, paid.id)).await? {
            return Ok(Some(status));
        }
    }
    Ok(None)
}

/// The status of a payment after something is said of its dispute (pure).
fn after(payment: &payment::Model, outcome: Outcome) -> Result<PaymentStatus, Refusal> {
    if ![MANUAL, change::CHANGE].contains(&payment.provider.as_str()) {
        let message = "Is not paid by hand: its provider reports disputes by itself.";
        return Err(Refusal::invalid("paymentId", message));
    }
    match (payment.status, outcome) {
        (PaymentStatus::Succeeded, Outcome::Opened) => Ok(PaymentStatus::Disputed),
        (PaymentStatus::Disputed, Outcome::Won) | (PaymentStatus::ChargedBack, Outcome::Reinstated) => {
            Ok(PaymentStatus::Succeeded)
        }
        (PaymentStatus::Disputed | PaymentStatus::Succeeded, Outcome::Lost) => Ok(PaymentStatus::ChargedBack),
        _ => Err(Rule::NotDisputed.into()),
    }
}

/// What changes of plan paid with a payment's money is as good as that is: also where all of it went over.
pub(super) async fn follow_moved(tx: &Tx, store: &Store, payment: PaymentId, status: PaymentStatus) -> Result<()> {
    for paid in change::made_with(tx, payment).await? {
        let (id, was) = (paid.id, paid.status);
        let here = matches!(was, PaymentStatus::Succeeded | PaymentStatus::Disputed | PaymentStatus::ChargedBack);
        if was == PaymentStatus::Refunded {
            Box::pin(follow_moved(tx, store, id, status)).await?;
        } else if here && was != status {
            let other = lock(tx, paid.order_id, None).await?;
            let mut row = paid.into_active_model();
            row.status = Set(status);
            row.updated_at = Set(tx.now);
            row.update(tx.db()).await?;
            Box::pin(follow(tx, store, other, (id, was, status))).await?;
        }
    }
    Ok(())
}

/// What follows from a payment's new status, which is written, where a dispute was, or is, about it.
pub(super) async fn follow(
    tx: &Tx,
    store: &Store,
    placed: Placed,
    (payment, before, status): (PaymentId, PaymentStatus, PaymentStatus),
) -> Result<()> {
    follow_moved(tx, store, payment, status).await?;
    let sale = taken::locked(tx, store, placed.order.clone(), Whose::All).await?;
    let by = |reason| By { actor: &NOBODY, reason };
    match (before, status) {
        (_, PaymentStatus::Disputed) => {
            let frozen = taken::freeze(&sale, false, "The payment is disputed");
            taken::post(tx, store, &renewals::nobody(), frozen).await?;
            emit(tx, "order.disputed", &sale.order);
        }
        (_, PaymentStatus::ChargedBack) => Box::pin(lost(tx, store, sale)).await?,
        (PaymentStatus::ChargedBack, _) => {
            Box::pin(taken::give_back(tx, store, &sale, by("The payment was reinstated"))).await?;
            let status = if sale.order.status == Status::ChargedBack { stands(&sale) } else { sale.order.status };
            thaw(tx, store, &sale).await?;
            let order = write(tx, sale.order.clone(), status).await?;
            emit(tx, "order.dispute_ended", &order);
            // With it all of the money may be here.
            if order.status == Status::AwaitingPayment && sale.kept() >= payments::due(&order) {
                let placed = Placed { order, ..placed };
                Box::pin(payments::settle(tx, store, placed, (sale.payments, renewals::nobody()))).await?;
            }
        }
        _ => {
            thaw(tx, store, &sale).await?;
            emit(tx, "order.dispute_ended", &sale.order);
        }
    }
    Ok(())
}

static NOBODY: (entity::activity::ActorKind, String) = (entity::activity::ActorKind::System, String::new());

/// Freezes what is free of an order of which some money is disputed.
pub(super) async fn freeze(tx: &Tx, store: &Store, order: &product_order::Model) -> Result<()> {
    let sale = taken::locked(tx, store, order.clone(), Whose::All).await?;
    taken::post(tx, store, &NOBODY, taken::freeze(&sale, false, "The payment is disputed")).await
}

async fn thaw(tx: &Tx, store: &Store, sale: &Sale) -> Result<()> {
    // Another payment of the order may still be disputed.
    if sale.payments.iter().any(|payment| payment.status == PaymentStatus::Disputed) {
        return Ok(());
    }
    taken::post(tx, store, &NOBODY, taken::freeze(sale, true, "The dispute has ended")).await
}

async fn lost(tx: &Tx, store: &Store, sale: Sale) -> Result<()> {
    let paid = matches!(sale.order.status, Status::Paid | Status::PartiallyRefunded | Status::Refunded);
    let status = if paid && !is_covered(&sale) {
        taken::post(tx, store, &NOBODY, taken::give_up(&sale, "The payment was charged back")).await?;
        Status::ChargedBack
    } else {
        sale.order.status
    };
    thaw(tx, store, &sale).await?;
    let order = write(tx, sale.order, status).await?;
    emit(tx, "order.charged_back", &order);
    Ok(())
}

/// Whether the money that is left pays for what has not gone back (pure).
fn is_covered(sale: &Sale) -> bool {
    sale.kept() >= sale.order.total - went_back(sale)
}

/// What went back of the order's own price.
fn went_back(sale: &Sale) -> Minor {
    sale.refunds.iter().map(|refund| refund.amount - refund.surplus_amount).sum()
}

/// How an order whose money is back stands.
fn stands(sale: &Sale) -> Status {
    let back = went_back(sale);
    if back.is_zero() {
        Status::Paid
    } else if back >= sale.order.total {
        Status::Refunded
    } else {
        Status::PartiallyRefunded
    }
}

async fn write(tx: &Tx, order: product_order::Model, status: Status) -> Result<product_order::Model> {
    if order.status == status {
        return Ok(order);
    }
    let mut row = order.into_active_model();
    row.status = Set(status);
    Ok(row.update(tx.db()).await?)
}

/// What recording it would come to. Takes no lock, writes nothing.
pub async fn preview(caller: &Caller, dispute: Dispute) -> Result<Preview> {
    let view = caller.view(Scope::OrdersWrite).await?;
    let found = view.rows::<payment::Entity>().filter(payment::Column::Id.eq(dispute.payment)).one(view.db()).await?;
    let found = found.ok_or_else(|| Refusal::not_found("paymentId", "payment"))?;
    let status = after(&found, dispute.outcome)?;
    let mut sale = sale::load::now(&view, found.order_id, false).await?;
    for payment in sale.payments.iter_mut().filter(|payment| payment.id == found.id) {
        payment.status = status;
    }
    let free = |frozen: Option<bool>| -> Credits {
        let lots = sale.lots.iter().filter(|lot| frozen.is_none_or(|frozen| lot.grant.frozen == frozen));
        lots.map(|lot| lot.grant.remaining).sum()
    };
    let credits = match dispute.outcome {
        Outcome::Opened => free(Some(false)),
        Outcome::Won => free(Some(true)),
        Outcome::Lost if is_covered(&sale) => Credits::ZERO,
        Outcome::Lost => free(None),
        Outcome::Reinstated => {
            let closed = sale.lots.iter().filter(|lot| lot.grant.closed).map(|lot| lot.grant.voided).sum::<Credits>();
            let refunded = sale.refunds.iter().map(|refund| refund.credits).sum::<Credits>();
            Credits((closed - refunded).0.max(0))
        }
    };
    Ok(Preview { amount: found.amount - found.refunded, currency: found.currency, credits })
}
