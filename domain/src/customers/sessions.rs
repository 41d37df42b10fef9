//! Customers' sessions: what a portal of the business lets one customer in with, for a while.

use std::collections::HashMap;
use std::time::Duration;

use chrono::TimeDelta;
use entity::customer_session::{ActiveModel, Column, Entity, Model};
use entity::{CustomerId, CustomerSessionId, Owned};
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect, Set};

use crate::customers;
use crate::ground::clock::fresh_id;
use crate::ground::error::{Error, Refusal, Result};
use crate::ground::page::{self, Page, Slice};
use crate::ground::scope::{Role, Scope};
use crate::identity::app::App;
use crate::identity::caller::{Caller, Known, transact};
use crate::keys::credential::{Credential, Kind};
use crate::storage::tx::{Tx, View};

/// Minutes that a session may last.
const LONGEST: i32 = 24 * 60;

/// Lets a customer in for some minutes, at most a day; answers the session with its token, which is shown here only.
pub async fn create(caller: &Caller, customer: CustomerId, minutes: i32) -> Result<(Model, String)> {
    caller.authorise(Scope::SessionsWrite)?;
    if !(1..=LONGEST).contains(&minutes) {
        return Err(Refusal::invalid("minutes", format!("Must be 1 to {LONGEST}.")).into());
    }
    transact!(caller, Scope::SessionsWrite, |tx| {
        customers::about(tx, customer, "customerId").await?;
        let (id, now) = (CustomerSessionId(fresh_id()), caller.app().store().clock.now());
        let credential = Credential::fresh(Kind::Session, tx.account.id, id.0);
        let session = Model {
            account_id: tx.account.id,
            id,
            customer_id: customer,
            digest: credential.digest(&caller.app().store().key),
            created_by: caller.subject().to_owned(),
            created_at: now,
            expires_at: now + TimeDelta::minutes(i64::from(minutes)),
            revoked_at: None,
        };
        let session = session.into_active_model().insert(tx.db()).await?;
        Ok((session, credential.to_string()))
    })
}

/// Ends a session at once. A customer may end its own; ending one twice changes nothing.
pub async fn revoke(caller: &Caller, id: CustomerSessionId) -> Result<Model> {
    let own = if let Role::Customer(customer) = caller.role() { Some(customer) } else { None };
    transact!(caller, if own.is_some() { Scope::OwnRead } else { Scope::SessionsWrite }, |tx| {
        let found = tx.rows::<Entity>().filter(Column::Id.eq(id)).lock_exclusive().one(tx.db()).await?;
        let session = found.filter(|session| own.is_none_or(|own| session.customer_id == own));
        let session = session.ok_or_else(|| Refusal::not_found("id", "session"))?;
        if session.revoked_at.is_some() {
            return Ok(session);
        }
        let mut revoked: ActiveModel = session.into_active_model();
        revoked.revoked_at = Set(Some(caller.app().store().clock.now()));
        let revoked = revoked.update(tx.db()).await?;
        Ok(revoked)
    })
}

/// Ends every session of a customer, within an open transaction.
pub(crate) async fn forget(tx: &Tx, customer: CustomerId) -> Result<()> {
    let sessions = Entity::delete_many().filter(Column::AccountId.eq(tx.account.id));
    sessions.filter(Column::CustomerId.eq(customer)).exec(tx.db()).await?;
    Ok(())
}

/// Who comes in with a session.
pub(crate) async fn know(app: &App, credential: &Credential) -> Result<Known> {
    let (account, id) = (credential.account, CustomerSessionId(credential.id));
    let (txn, now) = (app.store().snapshot().await?, app.store().clock.now());
    let session = Entity::of(account).filter(Column::Id.eq(id)).one(&*txn).await?.ok_or(Error::Unauthenticated)?;
    if session.revoked_at.is_some() || session.expires_at <= now || !credential.is_of(&session.digest, &app.store().key)
    {
        return Err(Error::Unauthenticated);
    }
    let role = Role::Customer(session.customer_id);
    let caller = Caller::of(app.clone(), account, role, &session.customer_id.to_string());
    let left: Duration = (session.expires_at - now).to_std().unwrap_or_default();
    Ok(Known { caller, left: Some(left), revocable: true })
}

/// A page of a customer's sessions.
pub type Wanted = (CustomerId, Page<CustomerSessionId>);

/// Sessions of customers, newest first, for staff.
pub async fn pages(view: &View, wanted: &[Wanted]) -> Result<Vec<Slice<Model>>> {
    view.staff_only()?;
    let pages = wanted.iter().map(|(customer, page)| ((*customer).into(), page));
    let select = |page: &&Page<_>| page.of(view.customer_rows::<Entity>(), Column::Id, true);
    let rows = page::of_each(view.db(), Column::CustomerId, pages, select).await?;
    Ok(rows.into_iter().zip(wanted).map(|(rows, (_, page))| page.slice(rows)).collect())
}

/// Sessions by id: a customer's own, for staff anyone's.
pub async fn by_ids(view: &View, ids: &[CustomerSessionId]) -> Result<HashMap<CustomerSessionId, Model>> {
    let rows =
        view.customer_rows::<Entity>().filter(view.among(Column::Id, ids.iter().copied())?).all(view.db()).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}
