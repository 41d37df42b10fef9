//! Idempotency: what a key was answered is answered again.

use std::collections::{BTreeSet, HashMap};

use chrono::TimeDelta;
use entity::{AccountId, ActivityId, BulkOperationId, EnrolmentId, EventId, OrderId, Owned, SubscriptionId, request};
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ground::clock::Instant;
use crate::ground::error::Refusal;
use crate::storage::rows::{self, add_new};
use crate::storage::tx::View;

/// Whose key, and the key.
pub type RequestKey = (String, String);
/// The same with its account.
pub type Place = (AccountId, RequestKey);

/// Whose idempotency keys staff's are.
pub(crate) const STAFF: &str = "staff";
/// Whose those of API keys are, each its own.
pub(crate) const OF_KEYS: &str = "key:";

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
    /// Long work was begun.
    Begun(BulkOperationId),
    /// An order was placed, paid or refunded.
    Ordered(OrderId),
    /// An event of the business's own was written.
    Tracked(EventId),
    /// Something was done with a subscription.
    Subscribed(SubscriptionId),
    /// A customer began to walk an automation.
    Enrolled(EnrolmentId),
}

/// What tells two requests under one key apart: a version, then SHA-256 of what was asked, defaults left out.
#[must_use]
pub fn fingerprint(asked: &impl Serialize) -> Vec<u8> {
    const VERSION: u8 = 1;
    let canonical = serde_json::to_vec(asked).expect("what is asked is plain data");
    [&[VERSION], Sha256::digest(canonical).as_slice()].concat()
}

/// A key that was used.
#[derive(Clone)]
pub struct Known {
    pub fingerprint: Vec<u8>,
    pub recorded: Recorded,
    /// Written by this transaction, or found.
    pub fresh: bool,
    /// Found among staff's, for an API key: it is that request, or has nothing to do with it.
    pub earlier: bool,
}

impl Known {
    /// Whether it is about a request: not one of staff's that only has the same key as an API key's.
    pub fn concerns(&self, fingerprint: &[u8]) -> bool {
        !self.earlier || self.fingerprint == fingerprint
    }
}

/// The keys of these that are known. What is past its time is forgotten here.
pub async fn load(
    txn: &DatabaseTransaction,
    keys: impl IntoIterator<Item = Place>,
    now: Instant,
) -> Result<HashMap<Place, Known>, DbErr> {
    let asked = keys.into_iter().collect::<BTreeSet<_>>();
    if asked.is_empty() {
        return Ok(HashMap::new());
    }
    // What an API key sent before it had keys of its own is among staff's.
    let earlier = |(account, (caller, key)): &Place| {
        caller.starts_with(OF_KEYS).then(|| (*account, (STAFF.to_owned(), key.clone())))
    };
    let keys = asked.iter().filter_map(earlier).chain(asked.iter().cloned()).collect::<BTreeSet<_>>();
    let keys = keys.into_iter().map(|(account, (caller, key))| (account, [caller.into(), key.into()]));
    let columns = [request::Column::Caller, request::Column::Key];
    let rows = request::Entity::keyed(txn.get_database_backend(), columns, keys)?.all(txn).await?;
    let mut known = HashMap::new();
    for row in rows {
        if row.expires_at.is_some_and(|end| end <= now) {
            // Only if it is still the old one: a twin may have written a new one under the key.
            request::Entity::delete_many()
                .filter(request::Column::AccountId.eq(row.account_id))
                .filter(request::Column::Caller.eq(&row.caller))
                .filter(request::Column::Key.eq(&row.key))
                .filter(request::Column::ExpiresAt.lte(now))
                .exec(txn)
                .await?;
            continue;
        }
        let recorded = serde_json::from_value(row.outcome).map_err(|error| DbErr::Json(error.to_string()))?;
        let place = (row.account_id, (row.caller, row.key));
        known.insert(place, Known { fingerprint: row.fingerprint, recorded, fresh: false, earlier: false });
    }
    for place in &asked {
        if let Some(before) = earlier(place).filter(|_| !known.contains_key(place)).and_then(|it| known.get(&it)) {
            known.insert(place.clone(), Known { earlier: true, ..before.clone() });
        }
    }
    known.retain(|place, _| asked.contains(place));
    Ok(known)
}

/// What keys of one caller were used for, as a snapshot shows it.
pub async fn used(view: &View, caller: &str, keys: &[String]) -> Result<HashMap<String, Known>, DbErr> {
    let rows = view
        .rows::<request::Entity>()
        .filter(request::Column::Caller.eq(caller))
        .filter(request::Column::Key.is_in(keys.iter().map(String::as_str)))
        .all(view.db())
        .await?;
    let mut known = HashMap::new();
    for row in rows {
        let recorded = serde_json::from_value(row.outcome).map_err(|error| DbErr::Json(error.to_string()))?;
        known.insert(row.key, Known { fingerprint: row.fingerprint, recorded, fresh: false, earlier: false });
    }
    Ok(known)
}

/// Writes the fresh ones, sorted by key. Answers whether all of them were new:
/// if not, a twin was faster, and the transaction has to be run again.
pub async fn record(txn: &DatabaseTransaction, known: &HashMap<Place, Known>, now: Instant) -> Result<bool, DbErr> {
    let mut rows = known
        .iter()
        .filter(|(_, known)| known.fresh)
        .map(|((account, (caller, key)), known)| {
            let outcome = serde_json::to_value(&known.recorded).map_err(|error| DbErr::Json(error.to_string()))?;
            Ok(request::Model {
                account_id: *account,
                caller: caller.clone(),
                key: key.clone(),
                fingerprint: known.fingerprint.clone(),
                outcome,
                created_at: now,
                expires_at: matches!(known.recorded, Recorded::Refused(_)).then(|| now + REFUSAL_KEPT),
            })
        })
        .collect::<Result<Vec<_>, DbErr>>()?;
    rows.sort_by(|a, b| (a.account_id, &a.caller, &a.key).cmp(&(b.account_id, &b.caller, &b.key)));
    rows::run(txn, add_new::<request::Entity>(txn.get_database_backend(), rows)).await
}
