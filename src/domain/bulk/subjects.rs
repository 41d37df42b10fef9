//! Whom long work is for: counted before, and read a part at a time, by key.

use entity::credit_grant::{self, Column};
use entity::{AccountId, CreditTypeId, Credits, CustomerId, Owned, account, customer_tag};
use sea_orm::sea_query::{Expr, ExprTrait, Query, SelectStatement};
use sea_orm::{ColumnTrait, Condition, DatabaseTransaction, DbErr, QueryFilter, QueryOrder, QuerySelect, Select};
use uuid::Uuid;

use super::{ExtendMany, Plan};
use crate::domain::clock::Instant;
use crate::domain::ledger::{Extension, expiration};

/// Something that is done to one: its key in the operation, and the wallet it is in.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    pub id: Uuid,
    pub customer: CustomerId,
    /// The grant's, where the subject is a grant.
    pub credit_type: Option<CreditTypeId>,
}

/// How many there are now, and how many credits that would issue or keep.
pub async fn count(
    txn: &DatabaseTransaction,
    account: &account::Model,
    plan: &Plan,
    now: Instant,
) -> Result<(u64, Credits), DbErr> {
    let figures = match plan {
        Plan::Issue { tag, issue } => {
            let tagged = tagged(account.id, tag).select_only().column_as(customer_tag::Column::CustomerId.count(), "n");
            let count: i64 = tagged.into_tuple().one(txn).await?.unwrap_or_default();
            (count, count.saturating_mul(issue.amount.0))
        }
        Plan::Extend(many) => {
            // Sums are numerics on PostgreSQL: read as the type that they are of.
            let credits = Expr::cust("CAST(COALESCE(SUM(remaining + held + expired), 0) AS BIGINT)");
            let found = matching(account, many, now).select_only().column_as(Column::Id.count(), "n");
            found.column_as(credits, "credits").into_tuple().one(txn).await?.unwrap_or_default()
        }
    };
    Ok((u64::try_from(figures.0).unwrap_or(0), Credits(figures.1)))
}

/// The next ones behind the cursor, by key.
pub async fn next(
    txn: &DatabaseTransaction,
    account: &account::Model,
    plan: &Plan,
    cursor: Option<Uuid>,
    until: Instant,
    now: Instant,
    most: u64,
) -> Result<Vec<Subject>, DbErr> {
    match plan {
        Plan::Issue { tag, .. } => {
            let mut select = tagged(account.id, tag);
            if let Some(cursor) = cursor {
                select = select.filter(customer_tag::Column::CustomerId.gt(cursor));
            }
            let rows = select.order_by_asc(customer_tag::Column::CustomerId).limit(most).all(txn).await?;
            let subject = |row: customer_tag::Model| Subject {
                id: row.customer_id.0,
                customer: row.customer_id,
                credit_type: None,
            };
            Ok(rows.into_iter().map(subject).collect())
        }
        Plan::Extend(many) => {
            let mut select = matching(account, many, now).filter(Column::CreatedAt.lte(until));
            if let Some(cursor) = cursor {
                select = select.filter(Column::Id.gt(cursor));
            }
            let rows = select.order_by_asc(Column::Id).limit(most).all(txn).await?;
            let subject = |row: credit_grant::Model| Subject {
                id: row.id.0,
                customer: row.customer_id,
                credit_type: Some(row.credit_type_id),
            };
            Ok(rows.into_iter().map(subject).collect())
        }
    }
}

fn tagged(account: AccountId, tag: &str) -> Select<customer_tag::Entity> {
    customer_tag::Entity::of(account).filter(customer_tag::Column::Tag.eq(tag))
}

/// The grants with an end that the new one is later than, and with something to keep or to bring back.
fn matching(account: &account::Model, many: &ExtendMany, now: Instant) -> Select<credit_grant::Entity> {
    let mut select = credit_grant::Entity::of(account.id).filter(Column::ExpiresAt.is_not_null());
    if let Some(credit_type) = many.credit_type {
        select = select.filter(Column::CreditTypeId.eq(credit_type));
    }
    if let Some(customer) = many.customer {
        select = select.filter(Column::CustomerId.eq(customer));
    }
    if let Some(tag) = &many.tag {
        select = select.filter(Column::CustomerId.in_subquery(with_tag(account.id, tag)));
    }
    let end = match many.to {
        Extension::By { .. } => None,
        to => expiration::extended(now, to, expiration::zone_of(&account.time_zone)),
    };
    if let Some(end) = end {
        select = select.filter(Column::ExpiresAt.lt(end));
    }
    let running = Condition::all().add(Column::ExpiresAt.gt(now)).add(Column::Open.eq(true));
    let mut any = Condition::any().add(running).add(Column::Held.gt(0_i64));
    if many.revive {
        any = any.add(Column::Expired.gt(0_i64));
        any = any.add(Condition::all().add(Column::ExpiresAt.lte(now)).add(Column::Open.eq(true)));
    }
    select.filter(any)
}

fn with_tag(account: AccountId, tag: &str) -> SelectStatement {
    Query::select()
        .column(customer_tag::Column::CustomerId)
        .from(customer_tag::Entity)
        .and_where(Expr::col(customer_tag::Column::AccountId).eq(account.0))
        .and_where(Expr::col(customer_tag::Column::Tag).eq(tag))
        .to_owned()
}
