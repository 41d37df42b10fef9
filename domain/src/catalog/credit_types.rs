//! Credit types: what one credit is good for, and when it ends.

use std::collections::HashMap;

use entity::credit_type::{ActiveModel, Column, Entity, Model};
use entity::{CreditTypeId, Credits, Expiration};
use sea_orm::{ActiveModelTrait, ColumnTrait, DbErr, IntoActiveModel, QueryFilter, Set};

use super::revisit;
use crate::ground::clock::fresh_id;
use crate::ground::error::{Error, Refusal, Result, is_taken};
use crate::ground::input;
use crate::ground::page::{Page, Slice};
use crate::ground::scope::Scope;
use crate::identity::caller::{Caller, transact};
use crate::ledger::expiration;
use crate::storage::tx::{Tx, View};

/// Days before the end on which a customer can be told.
const NOTICES: usize = 5;

/// A credit type that is about to be.
#[derive(Clone, Debug)]
pub struct NewCreditType {
    pub name: String,
    pub description: Option<String>,
    /// Never, if left out. An exact instant belongs to a single issue.
    pub expiration: Option<Expiration>,
    pub low_balance_at: Option<Credits>,
    pub expiry_notice_days: Vec<i32>,
}

/// What staff changes; what is left out stays, and `Some(None)` clears. What is issued already keeps its terms.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    pub name: Option<String>,
    pub description: Option<Option<String>>,
    pub expiration: Option<Expiration>,
    pub low_balance_at: Option<Option<Credits>>,
    pub expiry_notice_days: Option<Vec<i32>>,
}

/// Creates a credit type.
pub async fn create(caller: &Caller, new: NewCreditType) -> Result<Model> {
    caller.authorise(Scope::CatalogWrite)?;
    let name = input::text("name", &new.name, input::NAME)?;
    let description = input::optional_text("description", new.description.as_deref(), input::NOTE)?;
    let policy = check_policy(new.expiration.unwrap_or(Expiration::Never))?;
    let low_balance_at = new.low_balance_at.map(check_low).transpose()?;
    let expiry_notice_days = check_notices(&new.expiry_notice_days)?;
    transact!(caller, Scope::CatalogWrite, |tx| {
        check_future(tx, policy)?;
        let period = policy.period();
        let credit_type = Model {
            account_id: tx.account.id,
            id: CreditTypeId(fresh_id()),
            name: name.clone(),
            description: description.clone(),
            expiration: policy.kind(),
            period_count: period.map(|(count, _, _)| count),
            period_unit: period.map(|(_, unit, _)| unit),
            period_from: period.map(|(_, _, from)| from),
            expires_on: policy.date(),
            low_balance_at,
            expiry_notice_days: expiry_notice_days.clone(),
            noticed_from: Some(tx.now),
            archived_at: None,
            created_at: tx.now,
            updated_at: tx.now,
        };
        let credit_type = credit_type.into_active_model().insert(tx.db()).await.map_err(refuse_taken)?;
        Ok(credit_type)
    })
}

/// Changes a credit type.
pub async fn update(caller: &Caller, id: CreditTypeId, changes: Changes) -> Result<Model> {
    transact!(caller, Scope::CatalogWrite, |tx| {
        let changes = changes.clone();
        let mut credit_type: ActiveModel = load(tx, id).await?.into_active_model();
        if let Some(name) = changes.name {
            credit_type.name = Set(input::text("name", &name, input::NAME)?);
        }
        if let Some(description) = changes.description {
            credit_type.description = Set(input::optional_text("description", description.as_deref(), input::NOTE)?);
        }
        if let Some(policy) = changes.expiration {
            let policy = check_policy(policy)?;
            check_future(tx, policy)?;
            let period = policy.period();
            credit_type.expiration = Set(policy.kind());
            credit_type.period_count = Set(period.map(|(count, _, _)| count));
            credit_type.period_unit = Set(period.map(|(_, unit, _)| unit));
            credit_type.period_from = Set(period.map(|(_, _, from)| from));
            credit_type.expires_on = Set(policy.date());
        }
        let told = changes.low_balance_at.is_some() || changes.expiry_notice_days.is_some();
        if let Some(low) = changes.low_balance_at {
            credit_type.low_balance_at = Set(low.map(check_low).transpose()?);
        }
        if let Some(days) = changes.expiry_notice_days {
            credit_type.expiry_notice_days = Set(check_notices(&days)?);
        }
        if told {
            credit_type.noticed_from = Set(Some(tx.now));
            revisit::begin(tx.db(), &tx.account, id, tx.now).await?;
        }
        credit_type.updated_at = Set(tx.now);
        let credit_type = credit_type.update(tx.db()).await.map_err(refuse_taken)?;
        Ok(credit_type)
    })
}

/// Archives a credit type: it issues no more, and what exists can be used. Doing it twice changes nothing.
pub async fn archive(caller: &Caller, id: CreditTypeId) -> Result<Model> {
    transact!(caller, Scope::CatalogWrite, |tx| {
        let credit_type = load(tx, id).await?;
        if credit_type.archived_at.is_some() {
            return Ok(credit_type);
        }
        let mut archived: ActiveModel = credit_type.into_active_model();
        archived.archived_at = Set(Some(tx.now));
        archived.updated_at = Set(tx.now);
        let archived = archived.update(tx.db()).await?;
        Ok(archived)
    })
}

/// Credit types, oldest first.
pub async fn list(view: &View, include_archived: bool, page: &Page<CreditTypeId>) -> Result<Slice<Model>> {
    view.staff_only()?;
    let mut select = view.rows::<Entity>();
    if !include_archived {
        select = select.filter(Column::ArchivedAt.is_null());
    }
    let rows = page.of(select, Column::Id, false).all(view.db()).await?;
    Ok(page.slice(rows))
}

/// Credit types by id, for staff: a customer learns of a type from its own credits only.
pub async fn by_ids(view: &View, ids: &[CreditTypeId]) -> Result<HashMap<CreditTypeId, Model>> {
    view.staff_only()?;
    of_rows_in_hand(view, ids).await
}

/// The credit types of rows that the caller was allowed to see.
pub async fn of_rows_in_hand(view: &View, ids: &[CreditTypeId]) -> Result<HashMap<CreditTypeId, Model>> {
    let rows = view.rows::<Entity>().filter(view.among(Column::Id, ids.iter().copied())?).all(view.db()).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

async fn load(tx: &Tx, id: CreditTypeId) -> Result<Model> {
    let found = tx.rows::<Entity>().filter(Column::Id.eq(id)).one(tx.db()).await?;
    found.ok_or_else(|| Refusal::not_found("id", "credit type").into())
}

pub(super) fn check_policy(policy: Expiration) -> Result<Expiration, Refusal> {
    if matches!(policy, Expiration::At(_)) {
        return Err(Refusal::invalid(
            "expiration.at",
            "An exact instant belongs to a single issue. Use on, after or never.",
        ));
    }
    expiration::check("expiration", policy)
}

/// A type whose every issue would be refused is of no use.
pub(crate) fn check_future(tx: &Tx, policy: Expiration) -> Result<(), Refusal> {
    let end = expiration::at_issue(policy, tx.now, expiration::zone_of(&tx.account.time_zone));
    if end.is_some_and(|end| end <= tx.now) { Err(Refusal::ExpirationNotInFuture) } else { Ok(()) }
}

fn check_low(low: Credits) -> Result<Credits, Refusal> {
    if (Credits::ZERO..=Credits::MOST).contains(&low) {
        Ok(low)
    } else {
        Err(Refusal::invalid("lowBalanceAt", "Must be a whole number from 0 to 1,000,000,000."))
    }
}

fn check_notices(days: &[i32]) -> Result<serde_json::Value, Refusal> {
    let mut days = days.to_vec();
    days.sort_unstable();
    days.dedup();
    if days.len() > NOTICES || days.iter().any(|day| !(1..=366).contains(day)) {
        let message = format!("Must be at most {NOTICES} different numbers of days, each 1 to 366.");
        return Err(Refusal::invalid("expiryNoticeDays", message));
    }
    Ok(serde_json::json!(days))
}

fn refuse_taken(error: DbErr) -> Error {
    if is_taken(&error, "credit_type", "name") {
        Refusal::Taken { field: "name".to_owned(), what: "name".to_owned() }.into()
    } else {
        error.into()
    }
}
