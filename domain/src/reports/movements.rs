//! What moved in the ledger, summed by the database.

use std::collections::BTreeMap;

use entity::activity::{self, Kind};
use entity::allocation::CostPool;
use entity::{CreditTypeId, Credits, CustomerId, Minor, allocation, credit_grant};
use sea_orm::sea_query::{Expr, ExprTrait, Query, SelectStatement};
use sea_orm::{ActiveEnum, ColumnTrait, ConnectionTrait, Iterable, QueryResult};

use super::{Pools, Sum};
use crate::ground::clock::Instant;
use crate::ground::error::Result;
use crate::ledger::state::{CostMove, Pool, movement};
use crate::storage::tx::View;

/// By what a report is said, beside credit type and currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// By nothing else.
    CreditType,
    Customer,
    /// Days of the account's zone.
    Day,
    /// Months of the account's zone.
    Month,
}

/// What is summed together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub credit_type: CreditTypeId,
    pub currency: String,
    pub customer: Option<CustomerId>,
}

/// What activities of one kind moved.
#[derive(Clone, Debug)]
pub struct Moved {
    pub key: Key,
    pub kind: Kind,
    pub sum: Sum,
    /// Of a reprice: from where to where the cost went, while the credits stayed.
    pub reprices: Option<CostMove>,
    /// The part of the cost that went back to who had paid it; negative where it came back.
    pub returned: Minor,
}

impl Moved {
    /// What of it came into a pool; negative where it left.
    #[must_use]
    pub fn of(&self, pool: Pool) -> Sum {
        let mut sum = Sum::default();
        if let Some(CostMove { from, to }) = self.reprices {
            let of_pool = match pool {
                Pool::Consumed => Some(CostPool::Consumed),
                Pool::Expired => Some(CostPool::Expired),
                _ => None,
            };
            let cost = Sum { credits: Credits::ZERO, cost: self.sum.cost };
            if Some(from) == of_pool {
                sum.add(cost, -1);
            }
            if Some(to) == of_pool {
                sum.add(cost, 1);
            }
            return sum;
        }
        let (from, to) = movement(self.kind);
        if to == Some(pool) {
            sum.add(self.sum, 1);
        } else if from == Some(pool) {
            sum.add(self.sum, -1);
        }
        sum
    }
}

/// What every grant has in each pool, as it is written.
pub async fn pools(view: &View) -> Result<BTreeMap<Key, Pools>> {
    use credit_grant::Column;
    let names = ["remaining", "held", "consumed", "expired", "voided", "transferred"];
    let costs = ["cost_left", "cost_held", "cost_consumed", "cost_expired", "cost_voided", "cost_transferred"];
    let mut select = Query::select();
    select.column(Column::CreditTypeId).column(Column::Currency);
    for (name, cost) in names.into_iter().zip(costs) {
        select.expr(sum(name)).expr(sum(cost));
    }
    select.expr(sum("cost_reduced")).expr(sum("cost_lost")).expr(sum("cost_returned"));
    select.from(credit_grant::Entity).and_where(Column::AccountId.eq(view.account().id));
    select.group_by_columns([Column::CreditTypeId, Column::Currency]);
    let mut pools = BTreeMap::new();
    for row in view.db().query_all(&select).await? {
        let key = Key { credit_type: row.try_get_by_index(0)?, currency: row.try_get_by_index(1)?, customer: None };
        let pool = |number: usize| read_sum(&row, 2 + 2 * number);
        let (free, held, consumed) = (pool(0)?, pool(1)?, pool(2)?);
        let (expired, voided, transferred) = (pool(3)?, pool(4)?, pool(5)?);
        let cost = |number: usize| -> Result<Minor> { Ok(Minor(row.try_get_by_index(2 + 2 * names.len() + number)?)) };
        let alone = |number: usize| -> Result<Sum> { Ok(Sum { credits: Credits::ZERO, cost: cost(number)? }) };
        let (reduced, lost, returned) = (alone(0)?, alone(1)?, cost(2)?);
        pools.insert(key, Pools { free, held, consumed, expired, voided, transferred, reduced, lost, returned });
    }
    Ok(pools)
}

/// What moved from an instant on and before another, by kind.
pub async fn moved(view: &View, from: Option<Instant>, to: Option<Instant>, by: Grouping) -> Result<Vec<Moved>> {
    let customers = by == Grouping::Customer;
    let mut moved = Vec::new();
    for row in view.db().query_all(&select(view, (from, to), customers)).await? {
        let kind: String = row.try_get_by_index(2)?;
        let Some(kind) = Kind::iter().find(|known| known.to_value() == kind) else { continue };
        let customer = if customers { Some(row.try_get_by_index(8)?) } else { None };
        let key = Key { credit_type: row.try_get_by_index(0)?, currency: row.try_get_by_index(1)?, customer };
        let (from, to): (Option<CostPool>, Option<CostPool>) = (row.try_get_by_index(5)?, row.try_get_by_index(6)?);
        let (sum, refunded) = (read_sum(&row, 3)?, row.try_get_by_index(7)?);
        let sign = if kind == Kind::Void { 1 } else { -1 };
        let returned = if refunded { Minor(sign * sum.cost.0) } else { Minor::ZERO };
        moved.push(Moved { key, kind, sum, reprices: from.zip(to).map(|(from, to)| CostMove { from, to }), returned });
    }
    Ok(moved)
}

fn select(view: &View, (from, to): (Option<Instant>, Option<Instant>), customers: bool) -> SelectStatement {
    let account = view.account().id;
    let mut select = Query::select();
    select
        .column((activity::Entity, activity::Column::CreditTypeId))
        .column((credit_grant::Entity, credit_grant::Column::Currency))
        .column((activity::Entity, activity::Column::Kind))
        .expr(sum("allocation.amount"))
        .expr(sum("allocation.cost"))
        .column((allocation::Entity, allocation::Column::CostFrom))
        .column((allocation::Entity, allocation::Column::CostTo))
        .column((allocation::Entity, allocation::Column::Refunded))
        .from(activity::Entity)
        // Crossed, because SQLite then keeps to this order: it would rather begin with every allocation of the account.
        .cross_join(allocation::Entity)
        .cross_join(credit_grant::Entity)
        .and_where(Expr::col((activity::Entity, activity::Column::AccountId)).eq(account))
        .and_where(Expr::col((allocation::Entity, allocation::Column::AccountId)).eq(account))
        .and_where(
            Expr::col((allocation::Entity, allocation::Column::ActivityId))
                .equals((activity::Entity, activity::Column::Id)),
        )
        .and_where(Expr::col((credit_grant::Entity, credit_grant::Column::AccountId)).eq(account))
        .and_where(
            Expr::col((credit_grant::Entity, credit_grant::Column::Id))
                .equals((allocation::Entity, allocation::Column::GrantId)),
        )
        .group_by_columns([(activity::Entity, activity::Column::CreditTypeId)])
        .group_by_columns([(credit_grant::Entity, credit_grant::Column::Currency)])
        .group_by_columns([(activity::Entity, activity::Column::Kind)])
        .group_by_columns([(allocation::Entity, allocation::Column::CostFrom)])
        .group_by_columns([(allocation::Entity, allocation::Column::CostTo)])
        .group_by_columns([(allocation::Entity, allocation::Column::Refunded)]);
    if customers {
        select.column((activity::Entity, activity::Column::CustomerId));
        select.group_by_columns([(activity::Entity, activity::Column::CustomerId)]);
    }
    if let Some(from) = from {
        select.and_where(Expr::col((activity::Entity, activity::Column::At)).gte(from));
    }
    if let Some(to) = to {
        select.and_where(Expr::col((activity::Entity, activity::Column::At)).lt(to));
    }
    select
}

/// A sum as a whole number: PostgreSQL would make a decimal of it.
pub(super) fn sum(column: &str) -> Expr {
    Expr::cust(format!("CAST(SUM({column}) AS BIGINT)"))
}

/// Credits and cost that stand side by side.
pub(super) fn read_sum(row: &QueryResult, at: usize) -> Result<Sum> {
    let (credits, cost): (i64, i64) = (row.try_get_by_index(at)?, row.try_get_by_index(at + 1)?);
    Ok(Sum { credits: Credits(credits), cost: Minor(cost) })
}
