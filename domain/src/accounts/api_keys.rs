//! API keys: what programs of the business come in with. Shown once, stored hashed, found within their account.

use std::collections::HashMap;

use chrono::TimeDelta;
use entity::account::Mode;
use entity::api_key::{ActiveModel, Column, Entity, Model};
use entity::{ApiKeyId, Owned};
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveModelTrait, ColumnTrait, Condition, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect, Set};

use crate::ground::clock::{Instant, fresh_id, truncate};
use crate::ground::error::{Error, Refusal, Result};
use crate::ground::input;
use crate::ground::page::{Page, Slice};
use crate::ground::scope::{KeyScopes, Role, Scope};
use crate::identity::app::App;
use crate::identity::caller::{Caller, Known, transact};
use crate::keys::credential::{Credential, Kind};
use crate::storage::tx::View;

/// Keys of one account that are not revoked.
const MOST: u64 = 100;
/// How exactly it is known when a key was last used.
const USED: TimeDelta = TimeDelta::minutes(1);
/// Characters of a key by which people tell it from others.
const ENDING: usize = 4;

/// A key that is about to be.
#[derive(Clone, Debug)]
pub struct NewKey {
    pub name: String,
    pub scopes: KeyScopes,
    pub expires_at: Option<Instant>,
}

/// Makes a key; answers it with its text, which is shown here only.
pub async fn create(caller: &Caller, new: NewKey) -> Result<(Model, String)> {
    caller.authorise(Scope::KeysWrite)?;
    let name = input::text("name", &new.name, input::NAME)?;
    if new.scopes == KeyScopes::default() {
        return Err(Refusal::invalid("scopes", "Give it at least one scope: without any it could do nothing.").into());
    }
    let now = caller.app().store().clock.now();
    let expires_at = new.expires_at.map(|at| input::instant("expiresAt", truncate(at))).transpose()?;
    if expires_at.is_some_and(|at| at <= now) {
        return Err(Refusal::invalid("expiresAt", "Must be in the future.").into());
    }
    transact!(caller, Scope::KeysWrite, |tx| {
        if count(tx).await? >= MOST {
            let message = format!("An account has at most {MOST} API keys. Revoke some first.");
            return Err(Refusal::invalid("name", message).into());
        }
        let id = ApiKeyId(fresh_id());
        let kind = if tx.account.mode == Mode::Sandbox { Kind::Test } else { Kind::Live };
        let credential = Credential::fresh(kind, tx.account.id, id.0);
        let text = credential.to_string();
        let key = Model {
            account_id: tx.account.id,
            id,
            name: name.clone(),
            scopes: new.scopes.stored(),
            digest: credential.digest(&caller.app().store().key),
            ending: text[text.len() - ENDING..].to_owned(),
            created_by: caller.subject().to_owned(),
            created_at: now,
            expires_at,
            last_used_at: None,
            revoked_at: None,
        };
        let key = key.into_active_model().insert(tx.db()).await?;
        Ok((key, text))
    })
}

/// Revokes a key, at once and for good. Doing it twice changes nothing.
pub async fn revoke(caller: &Caller, id: ApiKeyId) -> Result<Model> {
    transact!(caller, Scope::KeysWrite, |tx| {
        let found = tx.rows::<Entity>().filter(Column::Id.eq(id)).lock_exclusive().one(tx.db()).await?;
        let key = found.ok_or_else(|| Refusal::not_found("id", "API key"))?;
        if key.revoked_at.is_some() {
            return Ok(key);
        }
        let mut revoked: ActiveModel = key.into_active_model();
        revoked.revoked_at = Set(Some(caller.app().store().clock.now()));
        let revoked = revoked.update(tx.db()).await?;
        Ok(revoked)
    })
}

async fn count(tx: &crate::storage::tx::Tx) -> Result<u64> {
    use sea_orm::PaginatorTrait;
    Ok(tx.rows::<Entity>().filter(Column::RevokedAt.is_null()).count(tx.db()).await?)
}

/// Who comes in with a key.
pub(super) async fn know(app: &App, credential: &Credential) -> Result<Known> {
    let (account, id) = (credential.account, ApiKeyId(credential.id));
    let (txn, now) = (app.store().snapshot().await?, app.store().clock.now());
    let key = Entity::of(account).filter(Column::Id.eq(id)).one(&*txn).await?.ok_or(Error::Unauthenticated)?;
    drop(txn);
    let is_over = key.revoked_at.is_some() || key.expires_at.is_some_and(|end| end <= now);
    if is_over || !credential.is_of(&key.digest, &app.store().key) {
        return Err(Error::Unauthenticated);
    }
    if key.last_used_at.is_none_or(|at| now - at >= USED) && app.is_news(id, now, USED) {
        note_use(app, &key, now);
    }
    let caller = Caller::of(app.clone(), account, Role::Key(id, KeyScopes::of(&key)), &id.to_string());
    Ok(Known { caller, left: key.expires_at.map(|end| (end - now).to_std().unwrap_or_default()), revocable: true })
}

/// Writes that a key was used, beside the request and not in its way.
fn note_use(app: &App, key: &Model, now: Instant) {
    let (app, account, id) = (app.clone(), key.account_id, key.id);
    tokio::spawn(async move {
        let noted = async {
            let txn = app.store().begin().await?;
            // Of several requests at once, one writes.
            let stale = Condition::any().add(Column::LastUsedAt.is_null()).add(Column::LastUsedAt.lte(now - USED));
            Entity::update_many()
                .col_expr(Column::LastUsedAt, Expr::value(now))
                .filter(Column::AccountId.eq(account))
                .filter(Column::Id.eq(id))
                .filter(stale)
                .exec(&txn)
                .await?;
            txn.commit().await
        };
        if let Err(error) = noted.await {
            tracing::warn!(%error, key = %id, "when an API key was last used could not be written");
        }
    });
}

/// Keys, newest first, for the owner.
pub async fn list(view: &View, page: &Page<ApiKeyId>) -> Result<Slice<Model>> {
    view.staff_only()?;
    let rows = page.of(view.rows::<Entity>(), Column::Id, true).all(view.db()).await?;
    Ok(page.slice(rows))
}

/// Keys by id, for the owner.
pub async fn by_ids(view: &View, ids: &[ApiKeyId]) -> Result<HashMap<ApiKeyId, Model>> {
    view.staff_only()?;
    let rows = view.rows::<Entity>().filter(view.among(Column::Id, ids.iter().copied())?).all(view.db()).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}
