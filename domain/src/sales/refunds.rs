//! Refunds: what is unused goes back, at what it cost, and is never priced again. More only if somebody says so.

use std::collections::BTreeSet;

use entity::activity::Source;
use entity::product_order::{self, Status};
use entity::refund::{self, Model};
use entity::{ActivityId, Credits, Minor, OrderId, RefundId, fulfilment};
use sea_orm::{ActiveModelTrait, IntoActiveModel, Set};
use serde::Serialize;
use serde_json::json;

use super::orders::{self, emit, in_words, lock};
pub use super::sale::refund::Part;
use super::sale::refund::{Wanted, decide};
use super::sale::taken::{self, By, Whose};
use super::sale::{self, placed};
use super::{change, collect, fulfil, payments, renewals};
use crate::customers;
use crate::ground::clock::fresh_id;
use crate::ground::error::{Error, Refusal, Result};
use crate::ground::fault::{self, Fault};
use crate::ground::input;
use crate::ground::refusal::sale::Sale;
use crate::ground::scope::Scope;
use crate::identity::caller::Caller;
use crate::identity::once::{Operation, once};
use crate::ledger::{self, Command, OnExpired, Reverse, Words, drawn};
use crate::storage::ports::payments::MANUAL;
use crate::storage::store::Store;
use crate::storage::tx::Tx;

/// A refund that is about to be.
#[derive(Clone, Debug, Serialize)]
pub struct NewRefund {
    pub order: OrderId,
    /// What is unused, at what it cost, if nothing says how much.
    pub amount: Option<Minor>,
    /// So many unused credits, at what they cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credits: Option<Credits>,
    /// So much of these lines.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<(i32, Part)>,
    /// Whether credits that were used, ended or given away are refunded as well.
    pub used_credits: bool,
    /// Whether the unused credits stay with the customer.
    pub keep_credits: bool,
    pub reason: String,
}

impl NewRefund {
    fn wanted(&self) -> Wanted {
        Wanted {
            lines: self.lines.clone(),
            part: self.amount.map(Part::Amount).or(self.credits.map(Part::Credits)),
            used_credits: self.used_credits,
            keep_credits: self.keep_credits,
        }
    }
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
    let ways = [new.amount.is_some(), new.credits.is_some(), !new.lines.is_empty()];
    if ways.into_iter().filter(|said| *said).count() > 1 {
        return Err(Refusal::invalid("amount", "Say how much in one way: amount, credits, or lines."));
    }
    let mut named = BTreeSet::new();
    for (at, (position, part)) in new.lines.iter().enumerate() {
        if !named.insert(*position) {
            return Err(Refusal::invalid(&format!("lines.{at}.position"), "Names a line that is named before."));
        }
        check_part(&format!("lines.{at}."), *part)?;
    }
    if let Some(part) = new.wanted().part {
        check_part("", part)?;
    }
    if new.keep_credits && (new.credits.is_some() || new.lines.iter().any(|(_, part)| matches!(part, Part::Credits(_))))
    {
        return Err(Refusal::invalid("credits", "Say an amount instead, where the credits stay."));
    }
    if new.keep_credits && new.amount.is_none() && new.lines.is_empty() {
        return Err(Refusal::invalid("amount", "Say how much, where the credits stay."));
    }
    Ok(new)
}

fn check_part(path: &str, part: Part) -> Result<(), Refusal> {
    match part {
        Part::Amount(amount) if !(Minor(1)..=Minor::MOST).contains(&amount) => {
            Err(Refusal::invalid(&format!("{path}amount"), "Must be 1 to 1,000,000,000,000 minor units."))
        }
        Part::Amount(_) => Ok(()),
        Part::Credits(credits) => input::amount(&format!("{path}credits"), credits).map(drop),
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
        let order = lock(tx, self.order, None).await?.order;
        let said = customers::said_of(tx, order.customer_id, Some(self.reason.clone())).await?;
        let new = Self { reason: said.unwrap_or_else(|| customers::NOBODY.to_owned()), ..self.clone() };
        if order.currency.is_none() {
            ensure_paid(&order)?;
            return give_credits_back(tx, caller, &order, &new).await;
        }
        give_money_back(tx, caller, order, &new).await
    }
}

fn ensure_paid(order: &product_order::Model) -> Result<(), Refusal> {
    match order.status {
        Status::Paid | Status::PartiallyRefunded => Ok(()),
        status => Err(Sale::OrderNotPaid { status: in_words(status).to_owned() }.into()),
    }
}

/// Gives back what was decided on the locked sale: each payment's portion by itself, so that one that its provider refuses
/// is undone by itself.
async fn give_money_back(tx: &Tx, caller: &Caller, order: product_order::Model, new: &NewRefund) -> Result<OrderId> {
    let store = caller.app().store();
    let whose = if new.used_credits { Whose::All } else { Whose::Own };
    let sale = taken::locked(tx, store, order, whose).await?;
    let plan = decide(&sale, &new.wanted(), tx.now)?;
    let actor = caller.actor();
    for portion in &plan.portions {
        let by = By { actor: &actor, reason: &new.reason };
        let taken = taken::take(tx, store, &sale, &portion.takes, by).await?;
        let payment = sale.payments.iter().find(|payment| Some(payment.id) == portion.payment);
        let by_hand =
            |payment: &entity::payment::Model| payment.provider == MANUAL || payment.provider == change::CHANGE;
        let manual = payment.is_none_or(by_hand);
        let row = Model {
            payment_id: portion.payment,
            status: if manual { refund::Status::Succeeded } else { refund::Status::Pending },
            amount: portion.amount,
            line_amount: portion.of_lines.iter().map(|(_, minor)| *minor).sum(),
            surplus_amount: portion.surplus,
            of_lines: json!(portion.of_lines),
            credits: portion.credits(),
            taken: json!(taken),
            ..empty(tx, caller, &sale.order, new)
        };
        row.clone().into_active_model().insert(tx.db()).await?;
        if let Some(payment) = payment {
            if !manual {
                collect::owe(tx, &row).await?;
            }
            payments::take_off(tx, payment.clone(), portion.amount).await?;
        }
    }
    refunded(tx, sale.order, plan.amount, plan.status).await
}

/// Of an order that was paid in credits, all go back.
fn ensure_whole(new: &NewRefund) -> Result<(), Refusal> {
    if new.wanted().part.is_some() || !new.lines.is_empty() || new.keep_credits {
        return Err(Refusal::invalid("amount", "This order was paid in credits: all of them go back."));
    }
    Ok(())
}

/// An order that was paid in credits gets its consume undone.
async fn give_credits_back(tx: &Tx, caller: &Caller, order: &product_order::Model, new: &NewRefund) -> Result<OrderId> {
    ensure_whole(new)?;
    let lines = placed::lines(tx.db(), order).await?;
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
        surplus_amount: Minor::ZERO,
        of_lines: json!([]),
        taken: json!([]),
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
    emit(tx, "order.refunded", &order);
    Ok(order.id)
}

/// The provider could not give a refund back: the money is still here, so what was taken for it comes back, and nothing is
/// marked any more (selling.md, S7). What has ended meanwhile ends at once.
pub(super) async fn failed(tx: &Tx, store: &Store, order: product_order::Model, refund: &Model) -> Result<()> {
    let taken: Vec<ActivityId> = serde_json::from_value(refund.taken.clone())
        .map_err(|error| Error::Internal(format!("what {} took cannot be read: {error}", refund.id)))?;
    let sale = taken::locked(tx, store, order, Whose::All).await?;
    let by = By { actor: &renewals::nobody(), reason: "The refund failed" };
    if !fault::is(Fault::RefundFailure) {
        Box::pin(taken::undo_takes(tx, store, &sale, &taken, by)).await?;
    }
    if let Some(payment) = refund.payment_id {
        payments::put_back(tx, payment, refund.amount).await?;
    }
    let order = sale.order;
    let of_surplus = sale.refunds.iter().map(|refund| refund.surplus_amount).sum::<Minor>();
    let sum = order.refunded - refund.amount;
    let status = match order.status {
        Status::Refunded | Status::PartiallyRefunded if sum <= of_surplus => Status::Paid,
        Status::Refunded => Status::PartiallyRefunded,
        status => status,
    };
    let mut row = order.into_active_model();
    row.refunded = Set(sum);
    row.status = Set(status);
    let order = row.update(tx.db()).await?;
    emit(tx, "order.refund_failed", &order);
    Ok(())
}

/// What a refund would be now. Takes no lock, writes nothing.
pub async fn preview(caller: &Caller, new: NewRefund) -> Result<Preview> {
    let new = check(new)?;
    let view = caller.view(Scope::OrdersWrite).await?;
    let sale = sale::load::now(&view, new.order, new.used_credits).await?;
    let currency = sale.order.currency.clone();
    if currency.is_none() {
        ensure_paid(&sale.order)?;
        ensure_whole(&new)?;
        let named = sale.given.iter().filter_map(|row| Some((view.account().id, row.activity_id?))).collect();
        let used = drawn::used(view.db(), &named).await?;
        let credits = used.values().flat_map(|used| &used.left).map(|draw| draw.amount).sum::<Credits>();
        if credits.is_zero() {
            return Err(Sale::NothingToRefund.into());
        }
        return Ok(Preview { amount: Minor::ZERO, currency, credits });
    }
    let plan = decide(&sale, &new.wanted(), view.now())?;
    Ok(Preview { amount: plan.amount, currency, credits: plan.credits })
}
