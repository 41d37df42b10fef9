//! Idempotency: what a key was answered is answered again.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::TimeDelta;
use entity::{
    AccountId, ActivityId, BulkOperationId, EnrolmentId, EventId, OrderId, Owned, activity, allocation, request,
};
use sea_orm::{
    ColumnTrait, Condition, DatabaseTransaction, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
};
use serde::{Deserialize, Serialize};

use super::command::Outcome;
use super::fault::{self, Fault};
use super::record::Posted;
use crate::domain::clock::Instant;
use crate::domain::error::{Error, Refusal};
use crate::domain::tx::View;

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
    /// Long work was begun.
    Begun(BulkOperationId),
    /// An order was placed, paid or refunded.
    Ordered(OrderId),
    /// An event of the business's own was written.
    Tracked(EventId),
    /// A customer began to walk an automation.
    Enrolled(EnrolmentId),
}

/// What a job is answered.
pub enum Answer {
    Done(Vec<Posted>),
    Replayed(Vec<ActivityId>),
    Refused(Refusal),
    RefusedBefore(Refusal),
}

/// A key that was used.
pub struct Known {
    pub fingerprint: Vec<u8>,
    pub recorded: Recorded,
    /// Written by this transaction, or found.
    pub fresh: bool,
}

impl Known {
    /// What a request under this key is answered: the first answer once more, if it is the same request.
    pub fn answer(&self, fingerprint: &[u8]) -> Answer {
        if self.fingerprint != fingerprint && !fault::is(Fault::Idempotency) {
            return Answer::Refused(Refusal::IdempotencyKeyReused);
        }
        match &self.recorded {
            Recorded::Done(activities) => Answer::Replayed(activities.clone()),
            Recorded::Refused(refusal) => Answer::RefusedBefore(refusal.clone()),
            // A fingerprint covers the mutation: one of the ledger's is never that of another area.
            _ => Answer::Refused(Refusal::IdempotencyKeyReused),
        }
    }
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
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    // By caller, and not as pairs: SQLite looks nothing up in an index by pairs.
    let mut by_caller: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (caller, key) in keys {
        by_caller.entry(caller).or_default().push(key);
    }
    let wanted = by_caller.into_iter().fold(Condition::any(), |any, (caller, keys)| {
        any.add(Condition::all().add(request::Column::Caller.eq(caller)).add(request::Column::Key.is_in(keys)))
    });
    let rows = request::Entity::of(account).filter(wanted).all(txn).await?;
    let mut known = HashMap::new();
    for row in rows {
        if row.expires_at.is_some_and(|end| end <= now) {
            // Only if it is still the old one: a twin may have written a new one under the key.
            request::Entity::delete_many()
                .filter(request::Column::AccountId.eq(account))
                .filter(request::Column::Caller.eq(&row.caller))
                .filter(request::Column::Key.eq(&row.key))
                .filter(request::Column::ExpiresAt.lte(now))
                .exec(txn)
                .await?;
            continue;
        }
        let recorded = serde_json::from_value(row.outcome).map_err(|error| DbErr::Json(error.to_string()))?;
        known.insert((row.caller, row.key), Known { fingerprint: row.fingerprint, recorded, fresh: false });
    }
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
        known.insert(row.key, Known { fingerprint: row.fingerprint, recorded, fresh: false });
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

/// Brings the activities of replays, a set at a time, and answers each job in order.
pub async fn finish(
    txn: &DatabaseTransaction,
    account: AccountId,
    answers: Vec<Answer>,
) -> Result<Vec<crate::domain::error::Result<Outcome>>, DbErr> {
    let ids = answers
        .iter()
        .filter_map(|answer| if let Answer::Replayed(ids) = answer { Some(ids.iter().copied()) } else { None })
        .flatten()
        .collect::<BTreeSet<_>>();
    let mut first: HashMap<ActivityId, Posted> = HashMap::new();
    if !ids.is_empty() {
        let rows = activity::Entity::of(account).filter(activity::Column::Id.is_in(ids.clone()));
        for row in rows.all(txn).await? {
            first.insert(row.id, (row, Vec::new()));
        }
        let rows = allocation::Entity::of(account)
            .filter(allocation::Column::ActivityId.is_in(ids))
            .order_by_asc(allocation::Column::Position);
        for row in rows.all(txn).await? {
            if let Some((_, allocations)) = first.get_mut(&row.activity_id) {
                allocations.push(row);
            }
        }
    }
    Ok(answers
        .into_iter()
        .map(|answer| match answer {
            Answer::Done(activities) => Ok(Outcome { replayed: false, activities }),
            Answer::Replayed(ids) => {
                Ok(Outcome { replayed: true, activities: ids.iter().filter_map(|id| first.get(id).cloned()).collect() })
            }
            Answer::Refused(refusal) => Err(Error::Refused(refusal)),
            Answer::RefusedBefore(refusal) => Err(Error::RefusedBefore(refusal)),
        })
        .collect())
}
