//! The lots of credits: pages of grants, newest first.

use std::collections::{BTreeSet, HashMap};

use entity::credit_grant::{Column, Entity, Model};
use entity::{CreditTypeId, CustomerId, GrantId};
use ledger::Grant;
use sea_orm::{ColumnTrait, Condition, QueryFilter};

use super::{holds, part, settle};
use crate::ground::clock::Instant;
use crate::ground::error::Result;
use crate::ground::page::{self, Page, Slice};
use crate::storage::tx::View;

/// What a grant is good for at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Has free credits that count later.
    Scheduled,
    /// Has free credits.
    Usable,
    /// Has free credits, whose payment is disputed.
    Frozen,
    /// Has none left, and what was left was taken away.
    Voided,
    /// Has none left, and some of them ended unused.
    Expired,
    /// Has none left: every one was used, set aside or transferred.
    UsedUp,
}

/// What a grant is good for at an instant.
#[must_use]
pub fn status(grant: &Model, now: Instant) -> Status {
    status_of(grant.clone().into(), now)
}

fn status_of(grant: Grant, now: Instant) -> Status {
    // A server whose clock is behind the one that issued it must not call it scheduled.
    let now = now.max(grant.created_at);
    let grant = settle::grant_at(grant, &[], now);
    match (grant.open, grant.effective_at > now) {
        (true, _) if grant.frozen => Status::Frozen,
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
    let asked = wanted.iter().filter(|it| it.status.is_some()).map(|it| it.customer).collect::<BTreeSet<_>>();
    let under_caps = under_caps(view, asked).await?;
    // A status takes a look at what the customer's holds may give back.
    let parts = wanted.iter().map(|it| {
        let status = it.status.map(|status| (it.customer, status));
        (it.customer.into(), (it.credit_type, status, &it.page))
    });
    let select =
        |(credit_type, status, page): &(Option<CreditTypeId>, Option<(CustomerId, Status)>, &Page<GrantId>)| {
            let mut select = view.customer_rows::<Entity>();
            if let Some(credit_type) = credit_type {
                select = select.filter(Column::CreditTypeId.eq(*credit_type));
            }
            if let Some((customer, status)) = status {
                let known = under_caps.iter().filter(|(of, ..)| of == customer).collect::<Vec<_>>();
                let mut found = has(view, *customer, *status);
                if !known.is_empty() {
                    let stored = found.add(Column::Id.is_not_in(known.iter().map(|(_, id, _)| *id)));
                    let same = known.iter().filter(|(.., its)| its == status).map(|(_, id, _)| *id);
                    found = Condition::any().add(stored).add(Column::Id.is_in(same));
                }
                select = select.filter(found);
            }
            page.of(select, Column::Id, true)
        };
    let rows = page::of_each(view.db(), Column::CustomerId, parts, select).await?;
    let now = holds::grants_now(view, rows.iter().flatten().cloned().collect()).await?;
    let now = now.into_iter().map(|grant| (grant.id, grant)).collect::<HashMap<_, _>>();
    let as_now = |rows: Vec<Model>| rows.iter().filter_map(|grant| now.get(&grant.id).cloned()).collect::<Vec<_>>();
    Ok(wanted.iter().zip(rows).map(|(wanted, rows)| wanted.page.slice(as_now(rows))).collect())
}

/// Grants that a lapse which is not written gives something back to under a rollover cap, each with its status now: their
/// stored rows do not tell it.
async fn under_caps(view: &View, customers: BTreeSet<CustomerId>) -> Result<Vec<(CustomerId, GrantId, Status)>> {
    let lapsed = holds::lapsed_of(view, customers).await?;
    let settled = holds::settled_under_caps(view.db(), &lapsed, view.now()).await?;
    let held = lapsed.iter().flat_map(|held| &held.draws).filter_map(|draw| settled.get(&draw.grant));
    Ok(held.map(|grant| (grant.customer_id, grant.id, status_of(grant.clone(), view.now()))).collect())
}

/// [`status`] as a condition on stored rows, to which what time has done may not be written yet.
fn has(view: &View, customer: CustomerId, status: Status) -> Condition {
    let now = view.now();
    let free = || Condition::any().add(part::is_open()).add(Column::Id.in_subquery(holds::given_back(view, customer)));
    let over = || Condition::all().add(Column::ExpiresAt.is_not_null()).add(Column::ExpiresAt.lte(now));
    let all = Condition::all;
    let live = || all().add(Column::Closed.eq(false)).add(free()).add(over().not());
    let thawed = || live().add(Column::Frozen.eq(false));
    let never_voided = || all().add(Column::Voided.eq(0_i64));
    match status {
        Status::Scheduled => thawed().add(Column::EffectiveAt.gt(now)),
        Status::Usable => thawed().add(Column::EffectiveAt.lte(now)),
        Status::Frozen => live().add(Column::Frozen.eq(true)),
        Status::Voided => {
            let voided = all().add(Column::Voided.gt(0_i64)).add(live().not());
            // What a lapse gives back to a closed grant is voided in the same instant.
            Condition::any().add(voided).add(all().add(Column::Closed.eq(true)).add(free()))
        }
        Status::Expired => {
            let ends = all().add(Column::Closed.eq(false)).add(free()).add(over());
            let ended = all().add(free().not()).add(Column::Expired.gt(0_i64));
            never_voided().add(Condition::any().add(ends).add(ended))
        }
        Status::UsedUp => never_voided().add(free().not()).add(Column::Expired.eq(0_i64)),
    }
}

/// Grants by id, as far as the caller may see them, each as it is now.
pub async fn by_ids(view: &View, ids: &[GrantId]) -> Result<HashMap<GrantId, Model>> {
    let rows =
        view.customer_rows::<Entity>().filter(view.among(Column::Id, ids.iter().copied())?).all(view.db()).await?;
    Ok(holds::grants_now(view, rows).await?.into_iter().map(|grant| (grant.id, grant)).collect())
}
