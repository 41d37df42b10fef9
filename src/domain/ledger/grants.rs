//! The lots of credits: pages of grants, newest first.

use std::collections::HashMap;

use entity::credit_grant::{Column, Entity, Model};
use entity::{CreditTypeId, CustomerId, GrantId};
use sea_orm::{ColumnTrait, Condition, Order, QueryFilter, QueryOrder, QuerySelect};

use super::command::{Command, Void, Words};
use super::state;
use crate::domain::caller::{Caller, Scope};
use crate::domain::clock::Instant;
use crate::domain::error::{Refusal, Result};
use crate::domain::page::{self, Page, Slice};
use crate::domain::tx::View;

/// What a grant is good for at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Has free credits that count later.
    Scheduled,
    /// Has free credits.
    Usable,
    /// Has none left, and what was left was taken away.
    Voided,
    /// Has none left, and some of them ended unused.
    Expired,
    /// Has none left: every one was used or set aside.
    UsedUp,
}

/// What a grant is good for at an instant.
#[must_use]
pub fn status(grant: &Model, now: Instant) -> Status {
    // A server whose clock is behind the one that issued it must not call it scheduled.
    let now = now.max(grant.created_at);
    let grant = state::grant_at(grant.clone(), now);
    match (grant.open, grant.effective_at > now) {
        (true, true) => Status::Scheduled,
        (true, false) => Status::Usable,
        (false, _) if !grant.voided.is_zero() => Status::Voided,
        (false, _) if !grant.expired.is_zero() => Status::Expired,
        (false, _) => Status::UsedUp,
    }
}

/// A part of one customer's grants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    pub customer: CustomerId,
    pub credit_type: Option<CreditTypeId>,
    pub status: Option<Status>,
    pub page: Page<GrantId>,
}

/// Pages of the grants of many customers, in one statement, each grant as it is now.
pub async fn pages(view: &View, wanted: &[Wanted]) -> Result<Vec<Slice<Model>>> {
    let now = view.now();
    let selects = wanted
        .iter()
        .map(|wanted| {
            let page = &wanted.page;
            let order = if page.backwards { Order::Asc } else { Order::Desc };
            let mut select = view.customer_rows::<Entity>().filter(Column::CustomerId.eq(wanted.customer));
            if let Some(credit_type) = wanted.credit_type {
                select = select.filter(Column::CreditTypeId.eq(credit_type));
            }
            if let Some(status) = wanted.status {
                select = select.filter(has(status, now));
            }
            if let Some(after) = page.after {
                select = select.filter(Column::Id.lt(after));
            }
            if let Some(before) = page.before {
                select = select.filter(Column::Id.gt(before));
            }
            select.order_by(Column::Id, order).limit(page.limit())
        })
        .collect();
    let rows = page::many(view.db(), selects).await?;
    let as_now = |rows: Vec<Model>| rows.into_iter().map(|grant| state::grant_at(grant, now)).collect();
    Ok(wanted.iter().zip(rows).map(|(wanted, rows)| wanted.page.slice(as_now(rows))).collect())
}

/// [`status`] as a condition on stored rows, whose end may not be written yet.
fn has(status: Status, now: Instant) -> Condition {
    let over = Condition::all().add(Column::Open.eq(true)).add(Column::ExpiresAt.lte(now));
    let open = || {
        Condition::all()
            .add(Column::Open.eq(true))
            .add(Condition::any().add(Column::ExpiresAt.is_null()).add(Column::ExpiresAt.gt(now)))
    };
    let closed = || Condition::all().add(Column::Open.eq(false));
    match status {
        Status::Scheduled => open().add(Column::EffectiveAt.gt(now)),
        Status::Usable => open().add(Column::EffectiveAt.lte(now)),
        Status::Voided => closed().add(Column::Voided.gt(0_i64)),
        Status::Expired => {
            Condition::any().add(over).add(closed().add(Column::Voided.eq(0_i64)).add(Column::Expired.gt(0_i64)))
        }
        Status::UsedUp => closed().add(Column::Voided.eq(0_i64)).add(Column::Expired.eq(0_i64)),
    }
}

/// The command that voids a grant: whose it is never changes, so it is looked up before anything is locked.
pub async fn to_void(caller: &Caller, grant: GrantId, reason: &str, words: Words) -> Result<Command> {
    let view = caller.view(Scope::CreditsWrite).await?;
    let found = by_ids(&view, &[grant]).await?.remove(&grant);
    let found = found.ok_or_else(|| Refusal::not_found("grantId", "grant"))?;
    let (customer, credit_type) = (found.customer_id, found.credit_type_id);
    Ok(Command::Void(Void { grant, customer, credit_type, reason: reason.to_owned(), words }))
}

/// Grants by id, as far as the caller may see them, each as it is now.
pub async fn by_ids(view: &View, ids: &[GrantId]) -> Result<HashMap<GrantId, Model>> {
    let rows = view.customer_rows::<Entity>().filter(Column::Id.is_in(ids.iter().copied())).all(view.db()).await?;
    Ok(rows.into_iter().map(|grant| (grant.id, state::grant_at(grant, view.now()))).collect())
}
