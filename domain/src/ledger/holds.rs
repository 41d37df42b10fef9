//! What is set aside: pages of holds, newest first, each as it is now.

use std::collections::HashMap;

use entity::hold::{Column, Entity, Model, Status};
use entity::{CreditTypeId, CustomerId, HoldId, allocation, credit_grant};
use sea_orm::sea_query::{Query, SelectStatement};
use sea_orm::{ColumnTrait, Condition, QueryFilter, QuerySelect, QueryTrait};

use super::drawn;
use super::state::{Held, WalletKey};
use crate::clock::Instant;
use crate::error::Result;
use crate::page::{self, Page, Slice};
use crate::tx::View;

/// A part of one customer's holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    pub customer: CustomerId,
    pub credit_type: Option<CreditTypeId>,
    pub status: Option<Status>,
    pub page: Page<HoldId>,
}

/// A hold as it is at an instant, whether or not its lapse has been written.
#[must_use]
pub fn hold_at(mut hold: Model, now: Instant) -> Model {
    if hold.open && hold.expires_at <= now {
        hold.open = false;
        hold.status = Status::Lapsed;
        hold.closed_at = Some(hold.expires_at);
    }
    hold
}

/// Pages of the holds of many customers, in one statement.
pub async fn pages(view: &View, wanted: &[Wanted]) -> Result<Vec<Slice<Model>>> {
    let now = view.now();
    let parts = wanted.iter().map(|it| (it.customer.into(), (it.credit_type, it.status, &it.page)));
    let select = |(credit_type, status, page): &(Option<CreditTypeId>, Option<Status>, &Page<HoldId>)| {
        let mut select = view.customer_rows::<Entity>();
        if let Some(credit_type) = credit_type {
            select = select.filter(Column::CreditTypeId.eq(*credit_type));
        }
        if let Some(status) = status {
            select = select.filter(has(*status, now));
        }
        page.of(select, Column::Id, true)
    };
    let rows = page::of_each(view.db(), Column::CustomerId, parts, select).await?;
    let as_now = |rows: Vec<Model>| rows.into_iter().map(|hold| hold_at(hold, now)).collect();
    Ok(wanted.iter().zip(rows).map(|(wanted, rows)| wanted.page.slice(as_now(rows))).collect())
}

/// [`hold_at`]'s status as a condition on stored rows, whose lapse may not be written yet.
fn has(status: Status, now: Instant) -> Condition {
    let open = Condition::all().add(Column::Open.eq(true));
    match status {
        Status::Open => open.add(Column::ExpiresAt.gt(now)),
        Status::Lapsed => {
            Condition::any().add(Column::Status.eq(Status::Lapsed)).add(open.add(Column::ExpiresAt.lte(now)))
        }
        closed => Condition::all().add(Column::Status.eq(closed)),
    }
}

/// Holds by id, as far as the caller may see them, each as it is now.
pub async fn by_ids(view: &View, ids: &[HoldId]) -> Result<HashMap<HoldId, Model>> {
    let rows =
        view.customer_rows::<Entity>().filter(view.among(Column::Id, ids.iter().copied())?).all(view.db()).await?;
    Ok(rows.into_iter().map(|hold| (hold.id, hold_at(hold, view.now()))).collect())
}

/// The open holds of customers, by wallet, with what they hold.
pub(super) async fn open(view: &View, customers: &[CustomerId]) -> Result<HashMap<WalletKey, Vec<Held>>> {
    let select = view
        .customer_rows::<Entity>()
        .filter(view.among(Column::CustomerId, customers.iter().copied())?)
        .filter(Column::Open.eq(true));
    let mut found: HashMap<WalletKey, Vec<_>> = HashMap::new();
    for held in drawn::held(view.db(), select).await? {
        found.entry((held.row.customer_id, held.row.credit_type_id)).or_default().push(held);
    }
    Ok(found)
}

/// What has lapsed and is not written yet, of the holds that hold some of these grants.
pub(super) async fn lapsed(view: &View, grants: &[credit_grant::Model]) -> Result<Vec<Held>> {
    let mut customers = grants.iter().filter(|grant| !grant.held.is_zero()).map(|g| g.customer_id).collect::<Vec<_>>();
    customers.sort_unstable();
    customers.dedup();
    if customers.is_empty() {
        return Ok(Vec::new());
    }
    let select = view
        .customer_rows::<Entity>()
        .filter(view.among(Column::CustomerId, customers)?)
        .filter(Column::Open.eq(true))
        .filter(Column::ExpiresAt.lte(view.now()));
    Ok(drawn::held(view.db(), select).await?)
}

/// The grants of a customer that a lapse which is not written yet gives something back to.
pub(super) fn given_back(view: &View, customer: CustomerId) -> SelectStatement {
    let activities = view
        .customer_rows::<Entity>()
        .select_only()
        .column(Column::ActivityId)
        .filter(Column::CustomerId.eq(customer))
        .filter(Column::Open.eq(true))
        .filter(Column::ExpiresAt.lte(view.now()))
        .into_query();
    Query::select()
        .column(allocation::Column::GrantId)
        .from(allocation::Entity)
        .and_where(allocation::Column::AccountId.eq(view.account().id))
        .and_where(allocation::Column::ActivityId.in_subquery(activities))
        .to_owned()
}

/// Grants as they are now, whether or not what time has done to them is written.
pub(super) async fn grants_now(view: &View, grants: Vec<credit_grant::Model>) -> Result<Vec<credit_grant::Model>> {
    let lapsed = lapsed(view, &grants).await?;
    let at = |grant: credit_grant::Model| {
        let now = view.now();
        super::settle::grant_at(grant, &lapsed, now)
    };
    Ok(grants.into_iter().map(at).collect())
}
