//! What an order gives: its credits, part by part, in the transaction in which it is paid, each once.

use std::collections::HashMap;

use entity::activity::{ActorKind, Source};
use entity::price::Rollover;
use entity::{Credits, Minor, Owned, fulfilment, product_order};
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder};

use super::basket::{self, Line};
use super::earlier::Earlier;
use super::period::{self, Anchor, Part, Period};
use crate::catalog::{credit_types, prices};
use crate::credits::opening;
use crate::ground::error::{Error, Refusal, Result};
use crate::ground::fault::{self, Fault};
use crate::ledger::{self, Command, Consume, Cost, Issue, Outcome, RollOver, Words};
use crate::storage::store::Store;
use crate::storage::tx::{Tx, View};

/// What an order gives beside what its lines say.
pub(super) struct Terms {
    /// Who gives it.
    pub actor: (ActorKind, String),
    /// Of a subscription's order: the period that it is for.
    pub period: Option<(Anchor, Period)>,
    /// Of a subscription's order: what earlier periods made, of which only so many may stay.
    pub earlier: Earlier,
    /// Lines that give nothing, and why.
    pub withheld: HashMap<i32, Refusal>,
}

impl Terms {
    /// Nothing but who gives it.
    pub fn by(actor: (ActorKind, String)) -> Self {
        Self { actor, period: None, earlier: Earlier::default(), withheld: HashMap::new() }
    }
}

/// Gives what an order is to give; answers the rows that say so, to be written with the order. What costs credits takes
/// them, and is refused whole where they are not there; what issues them and cannot is written down with the reason,
/// because the order is paid all the same.
pub(super) async fn give(
    tx: &Tx,
    store: &Store,
    order: &product_order::Model,
    lines: &[Line],
    terms: &Terms,
) -> Result<Vec<fulfilment::Model>> {
    let mut parts = Vec::new();
    for (line, position) in lines.iter().zip(0..).filter(|(line, _)| line.credit_type.is_some()) {
        parts.extend(self::parts(line, terms)?.into_iter().map(|part| (position, part)));
    }
    let first = lines.iter().filter_map(|line| roll_over(order, line, terms)).collect();
    give_parts(tx, store, order, lines, terms, (first, parts)).await
}

/// Gives parts of lines, after what comes first.
async fn give_parts(
    tx: &Tx,
    store: &Store,
    order: &product_order::Model,
    lines: &[Line],
    terms: &Terms,
    (first, parts): (Vec<Command>, Vec<(i32, Part)>),
) -> Result<Vec<fulfilment::Model>> {
    let mut rows: Vec<fulfilment::Model> = Vec::new();
    let mut asked: Vec<Option<usize>> = first.iter().map(|_| None).collect();
    let mut commands = first;
    for (position, part) in parts {
        let line = usize::try_from(position).ok().and_then(|position| lines.get(position));
        let Some((line, credit_type)) = line.and_then(|line| Some((line, line.credit_type?))) else { continue };
        let withheld = terms.withheld.get(&position);
        if withheld.is_none() {
            commands.push(command(order, (line, credit_type), &part, terms));
            asked.push(Some(rows.len()));
        }
        rows.push(fulfilment::Model {
            account_id: order.account_id,
            order_id: order.id,
            position,
            part: part.number,
            credits: part.credits,
            cost: part.cost,
            grant_id: None,
            activity_id: None,
            refusal: withheld.map(written),
            at: tx.now,
        });
    }
    if commands.is_empty() {
        return Ok(rows);
    }
    let renews = order.renewal_number.is_some_and(|number| number > 0);
    let source = if renews { Source::Renewal } else { Source::Order };
    let outcomes = ledger::within(tx, store, (terms.actor.clone(), source), commands).await?;
    for (outcome, row) in outcomes.into_iter().zip(asked) {
        let Some(row) = row.map(|row| &mut rows[row]) else {
            outcome?;
            continue;
        };
        let costs = lines.iter().zip(0..).any(|(line, position)| position == row.position && line.costs_credits());
        match outcome {
            Ok(outcome) => note(row, &outcome, costs),
            Err(Error::Refused(refusal)) if costs => {
                let line = usize::try_from(row.position).unwrap_or_default();
                return Err(refusal.asked_in(basket::quantity_field(line)).into());
            }
            Err(Error::Refused(refusal)) => row.refusal = Some(written(&refusal)),
            Err(error) => return Err(error),
        }
    }
    Ok(rows)
}

fn note(row: &mut fulfilment::Model, outcome: &Outcome, costs: bool) {
    let Some((activity, allocations)) = outcome.activities.first() else { return };
    row.activity_id = Some(activity.id);
    row.grant_id = allocations.first().filter(|_| !costs).map(|allocation| allocation.grant_id);
}

/// A refusal as it is kept.
fn written(refusal: &Refusal) -> serde_json::Value {
    serde_json::to_value(refusal).expect("a refusal is plain data")
}

/// A refusal that was kept.
#[must_use]
pub fn refusal_of(row: &fulfilment::Model) -> Option<Refusal> {
    row.refusal.clone().and_then(|refusal| serde_json::from_value(refusal).ok())
}

/// What a line gives, part by part.
fn parts(line: &Line, terms: &Terms) -> Result<Vec<Part>> {
    if let Some((anchor, period)) = terms.period {
        let parts = period::parts(&line.price, line.policy, anchor, period, (line.credits, line.amount));
        return parts.ok_or_else(|| prices::broken(&line.price));
    }
    let expiration = line.policy;
    Ok(vec![Part { number: 0, credits: line.credits, cost: line.amount, effective_at: None, expiration }])
}

fn command(
    order: &product_order::Model,
    (line, credit_type): (&Line, entity::CreditTypeId),
    part: &Part,
    terms: &Terms,
) -> Command {
    let note = Some(line.product.name.clone());
    let words = Words { note, internal_note: None, reference: Some(order.id.to_string()) };
    if line.costs_credits() {
        return Command::Consume(Consume { customer: order.customer_id, credit_type, amount: part.credits, words });
    }
    let cost = order.currency.clone().filter(|_| part.cost > Minor::ZERO);
    // The first part of a period bears the cap over what earlier ones made.
    let cap = (part.number == 0 && !terms.earlier.grants.is_empty()).then_some(terms.earlier.keep);
    let limit = line.price.rollover_limit.filter(|_| line.price.rollover == Some(Rollover::UpTo));
    let named = limit.is_some() || cap.is_some();
    let period = order.subscription_id.zip(order.renewal_number).filter(|_| named);
    Command::Issue(Issue {
        customer: order.customer_id,
        credit_type,
        amount: part.credits,
        effective_at: part.effective_at,
        expiration: part.expiration,
        priority: None,
        cost: cost.map(|currency| Cost { minor: part.cost, currency }),
        metadata: None,
        period: period.map(|(subscription, number)| (subscription, number, limit)),
        cap,
        words,
    })
}

/// Ends what may not stay of what earlier periods left, by itself: a fault, which tests find.
pub(super) async fn roll_over_now(
    tx: &Tx,
    store: &Store,
    order: &product_order::Model,
    lines: &[Line],
    terms: &Terms,
) -> Result<()> {
    let commands = lines.iter().filter_map(|line| roll_over(order, line, terms)).collect();
    ledger::within(tx, store, (terms.actor.clone(), Source::Renewal), commands).await.map(drop)
}

/// Where only so many may stay of what earlier periods left, the rest ends before the new ones come.
fn roll_over(order: &product_order::Model, line: &Line, terms: &Terms) -> Option<Command> {
    let credit_type = line.credit_type?;
    let customer = order.customer_id;
    let Earlier { grants, keep } = terms.earlier.clone();
    let before = order.subscription_id.zip(order.renewal_number);
    (!grants.is_empty()).then_some(Command::RollOver(RollOver { customer, credit_type, grants, before, keep }))
}

/// Writes the rows of what was given.
pub(super) async fn write(txn: &DatabaseTransaction, rows: Vec<fulfilment::Model>) -> Result<()> {
    if !rows.is_empty() {
        let rows = rows.into_iter().map(IntoActiveModel::into_active_model);
        fulfilment::Entity::insert_many(rows).exec_without_returning(txn).await?;
    }
    Ok(())
}

/// What an order has given.
pub(super) async fn of_order(
    txn: &DatabaseTransaction,
    order: &product_order::Model,
) -> Result<Vec<fulfilment::Model>> {
    let rows = fulfilment::Entity::of(order.account_id)
        .filter(fulfilment::Column::OrderId.eq(order.id))
        .order_by_asc(fulfilment::Column::Position)
        .order_by_asc(fulfilment::Column::Part);
    Ok(rows.all(txn).await?)
}

/// What an order would give if it were paid now, part by part, and why it would not: as [`give`] finds it, in memory.
pub(super) async fn outlook(
    view: &View,
    order: &product_order::Model,
    lines: &[Line],
    terms: &Terms,
) -> Result<Vec<(Credits, Option<Refusal>)>> {
    let before = of_order(view.db(), order).await?;
    if !before.is_empty() {
        return Ok(before.iter().map(|row| (row.credits, refusal_of(row))).collect());
    }
    let ids = lines.iter().filter_map(|line| line.credit_type).collect::<Vec<_>>();
    let types = credit_types::by_ids(view, &ids).await?;
    let mut given = Vec::new();
    for (line, position) in lines.iter().zip(0..) {
        let Some(credit_type) = line.credit_type.filter(|_| !line.costs_credits()) else { continue };
        for part in parts(line, terms)? {
            let refusal = terms.withheld.get(&position).cloned().or_else(|| {
                let Command::Issue(issue) = command(order, (line, credit_type), &part, terms) else { return None };
                let found = types.get(&credit_type);
                opening::rehearse_one(view.account(), found, &issue, (Source::Order, view.now())).err()
            });
            given.push((part.credits, refusal.filter(|_| !fault::is(Fault::DryRun))));
        }
    }
    Ok(given)
}
