//! Whom long work is for: counted before, and read a part at a time, by key.

use entity::credit_grant::{self, Column};
use entity::{AccountId, CreditTypeId, Credits, CustomerId, Owned, account, bulk_operation, customer, customer_tag};
use sea_orm::sea_query::{Expr, ExprTrait, Query, SelectStatement};
use sea_orm::{ColumnTrait, Condition, DatabaseTransaction, DbErr, QueryFilter, QueryOrder, QuerySelect, Select};
use uuid::Uuid;

use super::{ExtendMany, Plan};
use crate::ground::clock::Instant;
use crate::ledger::{Extension, expiration};

/// Customers, or grants, of one part.
const PART: u64 = 200;
/// Customers of one part whose grants are all in it.
const CUSTOMERS: u64 = 50;

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
            let tagged =
                tagged(account.id, tag, now).select_only().column_as(customer_tag::Column::CustomerId.count(), "n");
            let count: i64 = tagged.into_tuple().one(txn).await?.unwrap_or_default();
            (count, count.saturating_mul(issue.amount.0))
        }
        Plan::Enrol { tag, .. } => {
            let tagged = tagged(account.id, tag, now);
            let count = tagged.select_only().column_as(customer_tag::Column::CustomerId.count(), "n");
            (count.into_tuple().one(txn).await?.unwrap_or_default(), 0)
        }
        Plan::Extend(many) => {
            // Sums are numerics on PostgreSQL: read as the type that they are of.
            let revived = if many.revive { " + expired" } else { "" };
            let credits = Expr::cust(format!("CAST(COALESCE(SUM(remaining + held{revived}), 0) AS BIGINT)"));
            let found = matching(account, many, now).select_only().column_as(Column::Id.count(), "n");
            found.column_as(credits, "credits").into_tuple().one(txn).await?.unwrap_or_default()
        }
    };
    Ok((u64::try_from(figures.0).unwrap_or(0), Credits(figures.1)))
}

/// The next ones, how far that goes, and whether it goes to the end.
pub struct Part {
    pub subjects: Vec<Subject>,
    pub cursor: Option<Uuid>,
    pub is_last: bool,
}

/// The part behind the cursor: of customers by their ids, of grants by theirs, and of the grants of tagged customers by
/// the customers', so that each part goes on where the one before it ended.
pub async fn next(
    txn: &DatabaseTransaction,
    account: &account::Model,
    plan: &Plan,
    operation: &bulk_operation::Model,
    now: Instant,
) -> Result<Part, DbErr> {
    let (cursor, until) = (operation.cursor, operation.created_at);
    match plan {
        Plan::Issue { tag, .. } | Plan::Enrol { tag, .. } => {
            let customers = customers(txn, account.id, tag, cursor, until, PART).await?;
            let subject = |id: &CustomerId| Subject { id: id.0, customer: *id, credit_type: None };
            Ok(part(
                customers.iter().map(subject).collect(),
                customers.last().map(|id| id.0),
                customers.len() as u64,
                PART,
            ))
        }
        Plan::Extend(ExtendMany { tag: Some(tag), customer: None, .. }) => {
            let Plan::Extend(many) = plan else { unreachable!("it is one") };
            let customers = customers(txn, account.id, tag, cursor, until, CUSTOMERS).await?;
            let (last, found) = (customers.last().map(|id| id.0), customers.len() as u64);
            let of_these = ExtendMany { tag: None, ..many.clone() };
            let select = matching(account, &of_these, now)
                .filter(Column::CreatedAt.lte(until))
                .filter(Column::CustomerId.is_in(customers));
            let grants = select.order_by_asc(Column::Id).all(txn).await?;
            Ok(part(grants.iter().map(of_grant).collect(), last, found, CUSTOMERS))
        }
        Plan::Extend(many) => {
            let mut select = matching(account, many, now).filter(Column::CreatedAt.lte(until));
            if let Some(cursor) = cursor {
                select = select.filter(Column::Id.gt(cursor));
            }
            let grants = select.order_by_asc(Column::Id).limit(PART).all(txn).await?;
            let (last, found) = (grants.last().map(|grant| grant.id.0), grants.len() as u64);
            Ok(part(grants.iter().map(of_grant).collect(), last, found, PART))
        }
    }
}

fn part(subjects: Vec<Subject>, cursor: Option<Uuid>, found: u64, most: u64) -> Part {
    Part { subjects, cursor, is_last: found < most }
}

fn of_grant(grant: &credit_grant::Model) -> Subject {
    Subject { id: grant.id.0, customer: grant.customer_id, credit_type: Some(grant.credit_type_id) }
}

/// Customers with a tag who were there when the operation began, behind the cursor.
async fn customers(
    txn: &DatabaseTransaction,
    account: AccountId,
    tag: &str,
    cursor: Option<Uuid>,
    until: Instant,
    most: u64,
) -> Result<Vec<CustomerId>, DbErr> {
    let mut select = tagged(account, tag, until);
    if let Some(cursor) = cursor {
        select = select.filter(customer_tag::Column::CustomerId.gt(cursor));
    }
    let rows = select.order_by_asc(customer_tag::Column::CustomerId).limit(most).all(txn).await?;
    Ok(rows.into_iter().map(|row| row.customer_id).collect())
}

/// Customers with a tag who were there at an instant. Archived ones get no more credits.
fn tagged(account: AccountId, tag: &str, until: Instant) -> Select<customer_tag::Entity> {
    let there = Query::select()
        .expr(Expr::val(1))
        .from(customer::Entity)
        .and_where(Expr::col((customer::Entity, customer::Column::AccountId)).eq(account.0))
        .and_where(
            Expr::col((customer::Entity, customer::Column::Id))
                .equals((customer_tag::Entity, customer_tag::Column::CustomerId)),
        )
        .and_where(Expr::col((customer::Entity, customer::Column::ArchivedAt)).is_null())
        .and_where(Expr::col((customer::Entity, customer::Column::CreatedAt)).lte(until))
        .to_owned();
    let tagged = customer_tag::Entity::of(account).filter(customer_tag::Column::Tag.eq(tag));
    tagged.filter(Expr::exists(there))
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
