//! Which events somebody follows: kept on the account by whoever changes triggers and webhook endpoints.

use std::collections::BTreeSet;

use entity::account::{Column, Entity};
use entity::{account, event_trigger, webhook_endpoint};
use sea_orm::sea_query::{Expr, LockType};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};
use serde_json::Value;

use super::catalogue::lets_through;
use super::stored;
use crate::ground::error::Result;
use crate::storage::tx::Tx;

/// The texts of a stored list.
#[must_use]
pub fn texts(list: &Value) -> Vec<String> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Whether somebody follows events of a name.
#[must_use]
pub fn is_followed(account: &account::Model, name: &str) -> bool {
    let followed = account.followed.as_array().map(Vec::as_slice).unwrap_or_default();
    followed.iter().filter_map(Value::as_str).any(|filter| lets_through(filter, name))
}

/// Takes turns with whoever else changes what is followed: to be called before the change.
pub(crate) async fn lock(tx: &Tx) -> Result<()> {
    tx.rows::<Entity>().lock(LockType::NoKeyUpdate).one(tx.db()).await?;
    Ok(())
}

/// Writes down anew what is followed: to be called after the change, in its transaction.
pub(crate) async fn refresh(tx: &Tx) -> Result<()> {
    let triggers = tx.rows::<event_trigger::Entity>();
    let triggers = triggers
        .filter(event_trigger::Column::Enabled.eq(true))
        .filter(event_trigger::Column::DeletedAt.is_null())
        .all(tx.db())
        .await?;
    let endpoints = tx.rows::<webhook_endpoint::Entity>();
    let endpoints = endpoints
        .filter(webhook_endpoint::Column::Enabled.eq(true))
        .filter(webhook_endpoint::Column::DeletedAt.is_null())
        .all(tx.db())
        .await?;
    let mut followed = triggers.into_iter().map(|row| row.event).collect::<BTreeSet<_>>();
    followed.extend(endpoints.iter().flat_map(|row| texts(&row.events)));
    Entity::update_many()
        .col_expr(Column::Followed, Expr::value(stored(&followed)?))
        .filter(Column::Id.eq(tx.account.id))
        .exec(tx.db())
        .await?;
    Ok(())
}
