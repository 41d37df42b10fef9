//! Idempotency: what a key was answered is answered again.

use std::collections::HashMap;

use chrono::TimeDelta;
use entity::{AccountId, ActivityId, Owned, request};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{DatabaseTransaction, DbErr, EntityTrait, IntoActiveModel, QueryFilter};
use serde::{Deserialize, Serialize};

use crate::domain::clock::Instant;
use crate::domain::error::Refusal;

/// Whose key, and the key.
pub type RequestKey = (String, String);

/// How long a refusal is remembered.
const REFUSAL_KEPT: TimeDelta = TimeDelta::days(30);

/// What a key was answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recorded {
    /// It was done, and wrote these activities.
    Done(Vec<ActivityId>),
    /// A rule said no.
    Refused(Refusal),
}

/// A key that was used.
pub struct Known {
    pub fingerprint: Vec<u8>,
    pub recorded: Recorded,
    /// Written by this transaction, or found.
    pub fresh: bool,
}

/// The keys of these that are known. What is past its time is forgotten here.
pub async fn load(
    txn: &DatabaseTransaction,
    account: AccountId,
    keys: impl Iterator<Item = RequestKey>,
    now: Instant,
) -> Result<HashMap<RequestKey, Known>, DbErr> {
    let mut keys = keys.collect::<Vec<_>>();
    keys.sort();
    keys.dedup();
    let pair = Expr::tuple([Expr::col(request::Column::Caller), Expr::col(request::Column::Key)]);
    let wanted = pair.in_tuples(keys);
    let rows = request::Entity::of(account).filter(wanted).all(txn).await?;
    let mut known = HashMap::new();
    for row in rows {
        if row.expires_at.is_some_and(|end| end <= now) {
            request::Entity::delete(row.into_active_model()).exec(txn).await?;
            continue;
        }
        let recorded = serde_json::from_value(row.outcome).map_err(|error| DbErr::Json(error.to_string()))?;
        known.insert((row.caller, row.key), Known { fingerprint: row.fingerprint, recorded, fresh: false });
    }
    Ok(known)
}

/// Writes the fresh ones, sorted by key. Answers whether all of them were new:
/// if not, a twin was faster, and the transaction has to be run again.
pub async fn record(
    txn: &DatabaseTransaction,
    account: AccountId,
    known: &HashMap<RequestKey, Known>,
    now: Instant,
) -> Result<bool, DbErr> {
    let mut rows = known
        .iter()
        .filter(|(_, known)| known.fresh)
        .map(|((caller, key), known)| {
            let outcome = serde_json::to_value(&known.recorded).map_err(|error| DbErr::Json(error.to_string()))?;
            Ok(request::Model {
                account_id: account,
                caller: caller.clone(),
                key: key.clone(),
                fingerprint: known.fingerprint.clone(),
                outcome,
                created_at: now,
                expires_at: matches!(known.recorded, Recorded::Refused(_)).then(|| now + REFUSAL_KEPT),
            })
        })
        .collect::<Result<Vec<_>, DbErr>>()?;
    if rows.is_empty() {
        return Ok(true);
    }
    rows.sort_by(|a, b| (&a.caller, &a.key).cmp(&(&b.caller, &b.key)));
    let count = rows.len();
    let written = request::Entity::insert_many(rows.into_iter().map(IntoActiveModel::into_active_model))
        .on_conflict_do_nothing()
        .exec_with_returning_keys(txn)
        .await?;
    Ok(matches!(written, sea_orm::TryInsertResult::Inserted(keys) if keys.len() == count))
}
