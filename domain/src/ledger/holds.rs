//! What is set aside: pages of holds, newest first, each as it is now.

use std::collections::{BTreeSet, HashMap};

use entity::hold::{Column, Entity, Model, Status};
use entity::{CreditTypeId, CustomerId, GrantId, HoldId, allocation, converted, credit_grant};
use ledger::Grant;
use sea_orm::sea_query::{Query, SelectStatement};
use sea_orm::{ColumnTrait, Condition, DatabaseTransaction, DbErr, QueryFilter, QuerySelect, QueryTrait};

use super::state::{Held, WalletKey};
use super::{drawn, load, settle};
use crate::ground::clock::Instant;
use crate::ground::error::Result;
use crate::ground::page::{self, Page, Slice};
use crate::storage::tx::View;

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
    lapsed_of(view, grants.iter().filter(|grant| !grant.held.is_zero()).map(|grant| grant.customer_id).collect()).await
}

/// What has lapsed and is not written yet of customers' holds.
pub(super) async fn lapsed_of(view: &View, customers: BTreeSet<CustomerId>) -> Result<Vec<Held>> {
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
pub(crate) async fn grants_now(view: &View, grants: Vec<credit_grant::Model>) -> Result<Vec<credit_grant::Model>> {
    let lapsed = lapsed(view, &grants).await?;
    Ok(converted(as_they_are(view.db(), converted(grants), &lapsed, view.now()).await?))
}

/// Grants as they are at an instant, of which these holds have lapsed: nobody has written that yet.
pub(crate) async fn as_they_are(
    txn: &DatabaseTransaction,
    grants: Vec<Grant>,
    lapsed: &[Held],
    now: Instant,
) -> Result<Vec<Grant>, DbErr> {
    let under_caps = settled_under_caps(txn, lapsed, now).await?;
    let at = |grant: Grant| match under_caps.get(&grant.id) {
        Some(settled) => settled.clone(),
        None => settle::grant_at(grant, lapsed, now),
    };
    Ok(grants.into_iter().map(at).collect())
}

/// The grants of wallets under a rollover cap in which these holds have lapsed, as they are at an instant: of these a
/// grant alone does not tell what stays.
pub(super) async fn settled_under_caps(
    txn: &DatabaseTransaction,
    lapsed: &[Held],
    now: Instant,
) -> Result<HashMap<GrantId, Grant>, DbErr> {
    let Some(account) = lapsed.first().map(|held| held.row.account_id) else { return Ok(HashMap::new()) };
    let customers = lapsed.iter().map(|held| held.row.customer_id).collect();
    let mut settled = HashMap::new();
    for mut wallet in load::under_caps(txn, account, customers).await? {
        let now = wallet.instant(now);
        wallet.settle(now);
        settled.extend(wallet.grants.into_iter().map(|grant| (grant.id, grant)));
    }
    Ok(settled)
}
