//! What an order could not give when it was paid, given later by staff: each part once, until its money went back
//! (selling.md, S14).

use entity::activity::Source;
use entity::product_order::{self, Status};
use entity::{Credits, Expiration, Minor, OrderId, fulfilment};
use sea_orm::{ActiveModelTrait, IntoActiveModel, Set};
use serde::Serialize;

use super::basket::Line;
use super::orders::{emit, in_words, lock};
use super::sale::{self, Sale};
use crate::catalog::credit_types;
use crate::credits::opening;
use crate::customers;
use crate::ground::clock::Instant;
use crate::ground::error::{Refusal, Result};
use crate::ground::input;
use crate::ground::refusal::sale::Sale as Rule;
use crate::ground::scope::Scope;
use crate::identity::caller::Caller;
use crate::identity::once::{Operation, once};
use crate::ledger::{self, Command, Cost, Issue, Words};
use crate::storage::tx::Tx;

/// A line to give what it could not.
#[derive(Clone, Debug, Serialize)]
pub struct Fulfil {
    pub order: OrderId,
    pub position: i32,
    /// When the credits end; as the line or the credit type says if left out.
    pub expiration: Option<Expiration>,
    /// From when on they count; from now on if left out.
    pub effective_at: Option<Instant>,
    pub reason: String,
}

/// Gives what a line could not, once per key; answers the order.
pub async fn fulfil(caller: &Caller, wanted: Fulfil, key: &str) -> Result<(OrderId, bool)> {
    once(caller, Scope::OrdersWrite, key, &check(wanted)?).await
}

fn check(mut wanted: Fulfil) -> Result<Fulfil, Refusal> {
    wanted.reason = input::text("reason", &wanted.reason, input::NAME)?;
    wanted.effective_at = wanted.effective_at.map(|at| input::instant("effectiveAt", at)).transpose()?;
    let policy = wanted.expiration.map(|policy| ledger::expiration::check("expiration", policy));
    wanted.expiration = policy.transpose()?;
    Ok(wanted)
}

/// The parts that are to be given, as far as their money is here (pure).
fn decide(sale: &Sale, wanted: &Fulfil) -> Result<Vec<(fulfilment::Model, Issue)>, Refusal> {
    if !matches!(sale.order.status, Status::Paid | Status::PartiallyRefunded) {
        return Err(Rule::OrderNotPaid { status: in_words(sale.order.status).to_owned() }.into());
    }
    let line = usize::try_from(wanted.position).ok().and_then(|position| sale.lines.get(position));
    let line = line.ok_or_else(|| Refusal::invalid("position", "This order has no such line."))?;
    let mut left = sale.gave_nothing().get(&wanted.position).copied().unwrap_or_default();
    let refused = sale.given.iter().filter(|row| row.position == wanted.position && row.refusal.is_some());
    let mut parts = Vec::new();
    for row in refused {
        let Some(issue) = issue(&sale.order, line, row, wanted).filter(|_| row.cost <= left) else { continue };
        left -= row.cost;
        parts.push((row.clone(), issue));
    }
    if parts.is_empty() {
        return Err(Rule::NothingToFulfil { field: "position".to_owned() }.into());
    }
    Ok(parts)
}

fn issue(order: &product_order::Model, line: &Line, row: &fulfilment::Model, wanted: &Fulfil) -> Option<Issue> {
    let cost = order.currency.clone().filter(|_| row.cost > Minor::ZERO);
    Some(Issue {
        customer: order.customer_id,
        credit_type: line.credit_type.filter(|_| !line.costs_credits())?,
        amount: row.credits,
        effective_at: wanted.effective_at,
        expiration: wanted.expiration.or(line.policy),
        priority: None,
        cost: cost.map(|currency| Cost { minor: row.cost, currency }),
        metadata: None,
        period: None,
        cap: None,
        words: Words {
            note: Some(line.product.name.clone()),
            internal_note: Some(wanted.reason.clone()),
            reference: Some(order.id.to_string()),
        },
    })
}

impl Operation for Fulfil {
    const NAME: &'static str = "orderFulfil";
    type Made = OrderId;

    async fn run(&self, tx: &Tx, caller: &Caller) -> Result<OrderId> {
        let order = lock(tx, self.order, None).await?.order;
        let said = customers::said_of(tx, order.customer_id, Some(self.reason.clone())).await?;
        let wanted = Self { reason: said.unwrap_or_else(|| customers::NOBODY.to_owned()), ..self.clone() };
        let sale = sale::load::sale(tx.db(), order, tx.now, false).await?;
        let parts = decide(&sale, &wanted)?;
        let (rows, issues): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let by = (caller.actor(), Source::Order);
        let commands = issues.into_iter().map(Command::Issue).collect();
        let outcomes = ledger::within(tx, caller.app().store(), by, commands).await?;
        for (row, outcome) in rows.into_iter().zip(outcomes) {
            let outcome = outcome?;
            let Some((activity, allocations)) = outcome.activities.first() else { continue };
            let mut row = row.into_active_model();
            row.activity_id = Set(Some(activity.id));
            row.grant_id = Set(allocations.first().map(|allocation| allocation.grant_id));
            row.refusal = Set(None);
            row.at = Set(tx.now);
            row.update(tx.db()).await?;
        }
        emit(tx, "order.fulfilled", &sale.order);
        Ok(sale.order.id)
    }
}

/// How many credits it would give. Takes no lock, writes nothing.
pub async fn preview(caller: &Caller, wanted: Fulfil) -> Result<Credits> {
    let wanted = check(wanted)?;
    let view = caller.view(Scope::OrdersWrite).await?;
    let sale = sale::load::now(&view, wanted.order, false).await?;
    let parts = decide(&sale, &wanted)?;
    for (_, issue) in &parts {
        let found = credit_types::by_ids(&view, &[issue.credit_type]).await?.remove(&issue.credit_type);
        opening::rehearse_one(view.account(), found.as_ref(), issue, (Source::Order, view.now()))?;
    }
    Ok(parts.iter().map(|(row, _)| row.credits).sum())
}
