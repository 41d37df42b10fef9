//! Why a balance is what it is, or was, or will be if nothing more happens: each grant, what became of it, in which
//! order it would be used, and why it would not be.

use std::collections::HashMap;

use entity::activity::{self, Kind};
use entity::allocation::CostPool;
use entity::{CreditTypeId, Credits, CustomerId, GrantId, Minor, allocation, credit_grant, hold};
use ledger::{Grant, Totals};
use sea_orm::sea_query::{Expr, ExprTrait, Query, SelectStatement};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, QueryFilter, QueryOrder, QuerySelect};

use super::drawn;
use super::state::{CostMove, Draw, Wallet, emptied, is_usable, shift};
use crate::ground::clock::Instant;
use crate::ground::error::Result;
use crate::ground::page;
use crate::storage::tx::View;

/// A balance and what makes it.
#[derive(Clone, Debug)]
pub struct Explanation {
    pub customer: CustomerId,
    pub credit_type: CreditTypeId,
    pub at: Instant,
    pub available: Credits,
    pub held: Credits,
    pub not_yet_effective: Credits,
    pub frozen: Credits,
    /// Those that would be used, in burn order; then the others, oldest first.
    pub grants: Vec<Explained>,
}

/// A grant at an instant.
#[derive(Clone, Debug)]
pub struct Explained {
    pub grant: credit_grant::Model,
    /// As which it would be used, from 1; or why it would not be.
    pub place: Result<u32, Skipped>,
}

/// Why a grant would not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    NotYetEffective,
    Frozen,
    Voided,
    Held,
    Expired,
    Transferred,
    UsedUp,
}

/// What a grant at an instant would be used as.
fn skipped(grant: &Grant) -> Skipped {
    if grant.open && grant.frozen {
        Skipped::Frozen
    } else if grant.open {
        Skipped::NotYetEffective
    } else if !grant.voided.is_zero() {
        Skipped::Voided
    } else if !grant.held.is_zero() {
        Skipped::Held
    } else if !grant.expired.is_zero() {
        Skipped::Expired
    } else if !grant.transferred.is_zero() {
        Skipped::Transferred
    } else {
        Skipped::UsedUp
    }
}

/// Explains a balance at an instant. Five statements, whatever has happened.
pub async fn explain(view: &View, customer: CustomerId, credit_type: CreditTypeId, at: Instant) -> Result<Explanation> {
    let mut wallet = wallet_at(view, customer, credit_type, at).await?;
    wallet.settle(at);
    let (mut used, mut others): (Vec<_>, Vec<_>) =
        wallet.grants.iter().cloned().partition(|grant| grant.open && is_usable(grant, at));
    used.sort_by_key(super::draw::burn_key);
    others.sort_by_key(|grant| grant.id);
    let used = used.into_iter().zip(1..).map(|(grant, place)| Explained { grant: grant.into(), place: Ok(place) });
    let others = others.into_iter().map(|grant| Explained { place: Err(skipped(&grant)), grant: grant.into() });
    Ok(Explanation {
        customer,
        credit_type,
        at,
        available: wallet.available(at),
        held: wallet.grants.iter().map(|grant| grant.held).sum(),
        not_yet_effective: wallet.not_yet_effective(at),
        frozen: wallet.frozen(),
        grants: used.chain(others).collect(),
    })
}

/// A wallet as its records until an instant make it; what time has done and nobody has written is not in it yet.
async fn wallet_at(view: &View, customer: CustomerId, credit_type: CreditTypeId, at: Instant) -> Result<Wallet> {
    let account = view.account().id;
    let of_wallet = view
        .customer_rows::<credit_grant::Entity>()
        .filter(credit_grant::Column::CustomerId.eq(customer))
        .filter(credit_grant::Column::CreditTypeId.eq(credit_type));
    let mut grants: HashMap<GrantId, Grant> = HashMap::new();
    for grant in of_wallet.filter(credit_grant::Column::CreatedAt.lte(at)).all(view.db()).await? {
        let grant = Grant::from(grant);
        grants.insert(grant.id, Grant { capped_at: grant.capped_at, ..emptied(&grant) });
    }
    for row in view.db().query_all(&movements_until(view, customer, credit_type, at)).await? {
        let (grant, kind): (GrantId, Kind) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        let (amount, cost): (i64, i64) = (row.try_get_by_index(2)?, row.try_get_by_index(3)?);
        let allowance: Option<i64> = row.try_get_by_index(6)?;
        if let Some(grant) = grants.get_mut(&grant) {
            let (from, to): (Option<CostPool>, Option<CostPool>) = (row.try_get_by_index(4)?, row.try_get_by_index(5)?);
            let reprices = from.zip(to).map(|(from, to)| CostMove { from, to });
            if let Some(allowance) = allowance {
                *grant.allowance.get_or_insert_default() += Credits(allowance);
            }
            shift(grant, kind, Draw { reprices, ..Draw::of(grant.id, Credits(amount), Minor(cost)) });
        }
    }
    for row in view.db().query_all(&ends_until(view, customer, credit_type, at)).await? {
        let (grant, end): (GrantId, Option<Instant>) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        if let Some(grant) = grants.get_mut(&grant) {
            grant.expires_at = end;
        }
    }
    let open_then = Condition::any().add(hold::Column::ClosedAt.is_null()).add(hold::Column::ClosedAt.gt(at));
    let holds = view
        .customer_rows::<hold::Entity>()
        .filter(hold::Column::CustomerId.eq(customer))
        .filter(hold::Column::CreditTypeId.eq(credit_type))
        .filter(hold::Column::PlacedAt.lte(at))
        .filter(open_then);
    let mut holds = drawn::held(view.db(), holds).await?;
    for held in &mut holds {
        (held.row.open, held.row.status, held.row.closed_at) = (true, hold::Status::Open, None);
    }
    let mut wallet =
        Wallet::new(Totals::empty(account, (customer, credit_type)), grants.into_values().collect(), holds);
    wallet.row.caps = i32::from(wallet.grants.iter().any(|grant| grant.capped_at.is_some()));
    Ok(wallet)
}

/// The records of a wallet until an instant, with their allocations.
fn until(view: &View, customer: CustomerId, credit_type: CreditTypeId, at: Instant) -> SelectStatement {
    let joined = Expr::col((allocation::Entity, allocation::Column::AccountId))
        .equals((activity::Entity, activity::Column::AccountId))
        .and(
            Expr::col((allocation::Entity, allocation::Column::ActivityId))
                .equals((activity::Entity, activity::Column::Id)),
        );
    Query::select()
        .column((allocation::Entity, allocation::Column::GrantId))
        .from(activity::Entity)
        .inner_join(allocation::Entity, joined)
        .and_where(activity::Column::AccountId.eq(view.account().id))
        .and_where(activity::Column::CustomerId.eq(customer))
        .and_where(activity::Column::CreditTypeId.eq(credit_type))
        .and_where(activity::Column::At.lte(at))
        .to_owned()
}

/// How much of each kind fell on each grant.
fn movements_until(view: &View, customer: CustomerId, credit_type: CreditTypeId, at: Instant) -> SelectStatement {
    until(view, customer, credit_type, at)
        .column((activity::Entity, activity::Column::Kind))
        .expr(Expr::cust("CAST(SUM(allocation.amount) AS BIGINT)"))
        .expr(Expr::cust("CAST(SUM(allocation.cost) AS BIGINT)"))
        .group_by_col((allocation::Entity, allocation::Column::GrantId))
        .column((allocation::Entity, allocation::Column::CostFrom))
        .column((allocation::Entity, allocation::Column::CostTo))
        .expr(Expr::cust("CAST(SUM(allocation.allowance) AS BIGINT)"))
        .group_by_col((activity::Entity, activity::Column::Kind))
        .group_by_col((allocation::Entity, allocation::Column::CostFrom))
        .group_by_col((allocation::Entity, allocation::Column::CostTo))
        .order_by_expr(Expr::cust("MAX(activity.sequence)"), sea_orm::Order::Asc)
        .to_owned()
}

/// The ends that were set, oldest first.
fn ends_until(view: &View, customer: CustomerId, credit_type: CreditTypeId, at: Instant) -> SelectStatement {
    until(view, customer, credit_type, at)
        .column((allocation::Entity, allocation::Column::EndsAfter))
        .and_where(allocation::Column::EndsAfter.is_not_null())
        .order_by((activity::Entity, activity::Column::Sequence), sea_orm::Order::Asc)
        .to_owned()
}

/// The newest records that touched grants until an instant: for each, at most so many.
pub async fn touched(view: &View, wanted: &[(GrantId, Instant, u64)]) -> Result<Vec<Vec<allocation::Model>>> {
    let selects = wanted.iter().map(|(grant, at, most)| {
        let happened = Query::select()
            .expr(Expr::val(1))
            .from(activity::Entity)
            .and_where(
                Expr::col((activity::Entity, activity::Column::AccountId))
                    .equals((allocation::Entity, allocation::Column::AccountId)),
            )
            .and_where(
                Expr::col((activity::Entity, activity::Column::Id))
                    .equals((allocation::Entity, allocation::Column::ActivityId)),
            )
            .and_where(activity::Column::At.lte(*at))
            .to_owned();
        view.rows::<allocation::Entity>()
            .filter(allocation::Column::GrantId.eq(*grant))
            .filter(Expr::exists(happened))
            .order_by_desc(allocation::Column::ActivityId)
            .order_by_desc(allocation::Column::Position)
            .limit(*most)
    });
    Ok(page::many(view.db(), selects.collect()).await?)
}
