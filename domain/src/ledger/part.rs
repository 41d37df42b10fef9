//! A wallet with many open grants is read in part: in burn order, as far as its commands may come.
//!
//! What is left out can be used throughout, ends later than anything that is looked at, and is used after all that is
//! drawn: it takes part in decisions by its sum alone ([`Rest`]).

use std::collections::BTreeSet;

use chrono::TimeDelta;
use entity::{Credits, Owned, converted, credit_grant};
use ledger::{CreditType, Grant, Totals};
use sea_orm::sea_query::{Expr, Order, SimpleExpr};
use sea_orm::{ColumnTrait, ConnectionTrait, DbBackend, DbErr, QueryFilter, QueryOrder, QuerySelect, Select};

use super::command::Command;
use super::state::{Rest, Wallet, WalletKey, is_over};
use super::watch;
use crate::ground::clock::Instant;
use crate::storage::store::WholeUpTo;

/// By how much more is read where the grants that were read first do not reach.
const MORE: u64 = 8;
/// By how much more is read than what is looked at now: what was not read is asked for again so much later.
const LATER: TimeDelta = TimeDelta::days(1);

/// The first open grants of a wallet, by burn order of each priority.
pub struct Part {
    pub grants: Vec<Grant>,
    /// When the others end at the soonest; none if they never do.
    pub ends_from: Option<Instant>,
}

/// Whether a part of a wallet will do: it has many open grants, and all of them count from `from` on, the first instant
/// that is looked at.
#[must_use]
pub fn will_do(whole: WholeUpTo, row: &Totals, from: Instant) -> bool {
    row.open_grants > i32::from(whole.0)
        && row.frozen_grants + row.caps == 0
        && row.last_begins_at.is_none_or(|begins| begins <= from)
}

/// The first instant at which commands look at a wallet.
#[must_use]
pub fn looked_at_from(row: &Totals, credit_type: &CreditType) -> Instant {
    watch::since(row, credit_type).min(row.newest_at)
}

/// How many credits commands draw from a wallet at most; none if one looks for certain grants, and not in burn order.
pub fn demand<'a>(row: &Totals, commands: impl Iterator<Item = &'a Command> + Clone) -> Option<Credits> {
    let key = (row.customer_id, row.credit_type_id);
    let given = commands.clone().filter_map(|command| gives(command, key)).sum::<Credits>();
    // Whoever asks for more than there can be is refused by the sum.
    let most = row.balance + row.held + given;
    let of_wallet = commands.filter(|command| command.wallet() == key);
    let drawn = of_wallet.map(draws).collect::<Option<Vec<_>>>()?;
    Some(drawn.into_iter().filter(|amount| *amount <= most).sum())
}

/// How many credits a command draws in burn order; none where it looks for certain grants.
fn draws(command: &Command) -> Option<Credits> {
    match command {
        Command::Consume(consume) => Some(consume.amount),
        Command::Place(place) => Some(place.amount),
        Command::Transfer(transfer) => Some(transfer.amount),
        // What a hold holds is read with it.
        Command::Issue(_) | Command::Capture(_) | Command::Release(_) | Command::Settle(_) => Some(Credits::ZERO),
        Command::Void(_)
        | Command::Extend(_)
        | Command::Reverse(_)
        | Command::RollOver(_)
        | Command::Reprice(_)
        | Command::Freeze(_) => None,
    }
}

/// How many credits a command brings into a wallet from outside.
fn gives(command: &Command, key: WalletKey) -> Option<Credits> {
    match command {
        Command::Issue(issue) if command.wallet() == key => Some(issue.amount),
        Command::Transfer(transfer) if command.receives() == Some(key) => Some(transfer.amount),
        _ => None,
    }
}

/// Reads the open grants of a wallet of which a part will do: as many as `demand` needs at `now` or before, and those
/// that end within `horizon`; and says from when on the others end, as far as they do.
///
/// Two statements, and one or two for each further priority; more where the first grants do not reach.
pub async fn read(
    db: &impl ConnectionTrait,
    whole: WholeUpTo,
    row: &Totals,
    demand: Credits,
    (now, horizon): (Instant, TimeDelta),
) -> Result<Part, DbErr> {
    let horizon = now + horizon + LATER;
    let (mut grants, mut missing, mut ends_from, mut priority) = (Vec::new(), demand, None, 0);
    loop {
        let mut size = u64::from(whole.0 / 2).max(1);
        let (some, is_all) = loop {
            let some: Vec<Grant> = converted(in_burn_order(db, row, priority).limit(size).all(db).await?);
            let Some(last) = some.last().filter(|_| some.len() as u64 == size) else { break (some, true) };
            let reaches = last.expires_at.is_none_or(|end| end > horizon);
            if reaches && usable(&some, now) >= missing {
                break (some, false);
            }
            size *= MORE;
        };
        missing -= usable(&some, now).min(missing);
        let cut = some.last().filter(|_| !is_all).map(|last| (last.priority, last.expires_at));
        grants.extend(some);
        let Some((of, end)) = cut else { break };
        ends_from = [ends_from, end].into_iter().flatten().min();
        priority = of + 1;
    }
    Ok(Part { grants, ends_from })
}

/// Says what is left out of a wallet, of which this part was read and whatever else is named.
pub async fn leave_out(
    db: &impl ConnectionTrait,
    wallet: &mut Wallet,
    ends_from: Option<Instant>,
    low: Option<Credits>,
) -> Result<(), DbErr> {
    let credits = wallet.row.balance - wallet.grants.iter().map(|grant| grant.remaining).sum();
    if credits.is_zero() {
        return Ok(());
    }
    // Who is told of a low balance is told of all that is left.
    if low.is_some_and(|low| credits <= low) {
        let mut grants: Vec<Grant> = converted(in_burn_order(db, &wallet.row, 0).all(db).await?);
        grants.extend(wallet.grants.iter().filter(|grant| !grant.open).cloned());
        *wallet = Wallet::new(wallet.row.clone(), grants, std::mem::take(&mut wallet.holds));
        return Ok(());
    }
    wallet.rest = Rest { credits, ends_from, ..Rest::default() };
    Ok(())
}

fn usable(grants: &[Grant], now: Instant) -> Credits {
    grants.iter().filter(|grant| !is_over(grant, now)).map(|grant| grant.remaining).sum()
}

/// What ends first of what was not read, where that may be sooner than all that was.
pub async fn with_first_end(db: &impl ConnectionTrait, wallet: &mut Wallet, now: Instant) -> Result<(), DbErr> {
    let Some(end) = wallet.rest.ends_from else { return Ok(()) };
    let open = wallet.grants.iter().filter(|grant| grant.open);
    let mut ends = open.filter_map(|grant| grant.expires_at).filter(|end| *end > now);
    if ends.any(|sooner| sooner < end) {
        return Ok(());
    }
    let priorities = wallet.grants.iter().map(|grant| grant.priority).collect::<BTreeSet<_>>();
    // Many often end together: then it is all that is left.
    let mut all_end = true;
    for priority in &priorities {
        let last = of(&wallet.row)
            .filter(credit_grant::Column::Priority.eq(*priority))
            .order_by(self::end(db.get_database_backend()), Order::Desc)
            .one(db)
            .await?;
        all_end &= last.is_none_or(|last| last.expires_at.is_some_and(|last| last <= end));
    }
    if all_end {
        wallet.rest.ending = wallet.rest.credits;
        return Ok(());
    }
    let sum = of(&wallet.row)
        .select_only()
        .expr(Expr::cust("CAST(SUM(remaining) AS BIGINT)"))
        .filter(credit_grant::Column::Priority.is_in(priorities))
        .filter(sea_orm::sea_query::ExprTrait::eq(self::end(db.get_database_backend()), end));
    let sum = sum.into_tuple::<Option<i64>>().one(db).await?.flatten().unwrap_or_default();
    let read = wallet.grants.iter().filter(|grant| grant.open && grant.expires_at == Some(end));
    wallet.rest.ending = Credits(sum) - read.map(|grant| grant.remaining).sum();
    Ok(())
}

/// The open grants of a wallet.
fn of(row: &Totals) -> Select<credit_grant::Entity> {
    credit_grant::Entity::of(row.account_id)
        .filter(credit_grant::Column::CustomerId.eq(row.customer_id))
        .filter(credit_grant::Column::CreditTypeId.eq(row.credit_type_id))
        .filter(is_open())
}

/// Whether a grant is open, as the index of those has it.
#[must_use]
pub fn is_open() -> SimpleExpr {
    Expr::col((credit_grant::Entity, credit_grant::Column::Open))
}

/// The open grants of a wallet from a priority on, in burn order, as the index of those has it.
fn in_burn_order(db: &impl ConnectionTrait, row: &Totals, priority: i16) -> Select<credit_grant::Entity> {
    use credit_grant::Column;
    of(row)
        .filter(Column::Priority.gte(priority))
        .order_by_asc(Column::Priority)
        .order_by(end(db.get_database_backend()), Order::Asc)
        .order_by_desc(Column::Promotional)
        .order_by_asc(Column::EffectiveAt)
        .order_by_asc(Column::Id)
}

/// When a grant ends, as the index of burn order has it: what never ends comes last.
fn end(backend: DbBackend) -> SimpleExpr {
    match backend {
        DbBackend::Postgres => Expr::cust("COALESCE(credit_grant.expires_at, 'infinity'::timestamptz)"),
        _ => Expr::cust("COALESCE(credit_grant.expires_at, '~')"),
    }
}
