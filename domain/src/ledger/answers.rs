//! What commands are answered, under their keys or without.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use entity::{AccountId, ActivityId, Owned, activity, allocation, converted};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, QueryOrder};

use super::record::Posted;
use crate::ground::error::{Error, Refusal};
use crate::ground::fault::{self, Fault};
use crate::queue::requests::{Known, Recorded};

/// A committed command.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The key was known: this is the first outcome once more.
    pub replayed: bool,
    /// What was written for the command, with its allocations; what time had done before is not among it.
    pub activities: Vec<Rows>,
}

/// An activity and its allocations, as they are stored.
type Rows = (activity::Model, Vec<allocation::Model>);

/// What a job is answered.
pub enum Answer {
    Done(Vec<Arc<Posted>>),
    Replayed(Vec<ActivityId>),
    Refused(Refusal),
    RefusedBefore(Refusal),
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

/// Brings the activities of replays, a set at a time, and answers each job in order.
pub async fn finish(
    txn: &DatabaseTransaction,
    answers: Vec<(AccountId, Answer)>,
) -> Result<Vec<crate::ground::error::Result<Outcome>>, DbErr> {
    let replayed = |(account, answer): &(AccountId, Answer)| match answer {
        Answer::Replayed(ids) => ids.iter().map(|id| (*account, *id)).collect(),
        _ => Vec::new(),
    };
    let ids = answers.iter().flat_map(replayed).collect::<BTreeSet<_>>();
    let mut first: HashMap<(AccountId, ActivityId), Rows> = HashMap::new();
    if !ids.is_empty() {
        let backend = txn.get_database_backend();
        let keys = || ids.iter().map(|(account, id)| (*account, [(*id).into()]));
        for row in activity::Entity::keyed(backend, [activity::Column::Id], keys())?.all(txn).await? {
            first.insert((row.account_id, row.id), (row, Vec::new()));
        }
        let rows = allocation::Entity::keyed(backend, [allocation::Column::ActivityId], keys())?
            .order_by_asc(allocation::Column::Position);
        for row in rows.all(txn).await? {
            if let Some((_, allocations)) = first.get_mut(&(row.account_id, row.activity_id)) {
                allocations.push(row);
            }
        }
    }
    Ok(answers
        .into_iter()
        .map(|(account, answer)| match answer {
            Answer::Done(posted) => {
                let rows = |(activity, allocations): Posted| (activity.into(), converted(allocations));
                let activities = posted.into_iter().map(Arc::unwrap_or_clone).map(rows).collect();
                Ok(Outcome { replayed: false, activities })
            }
            Answer::Replayed(ids) => {
                let activities = ids.iter().filter_map(|id| first.get(&(account, *id)).cloned()).collect();
                Ok(Outcome { replayed: true, activities })
            }
            Answer::Refused(refusal) => Err(Error::Refused(refusal)),
            Answer::RefusedBefore(refusal) => Err(Error::RefusedBefore(refusal)),
        })
        .collect())
}
