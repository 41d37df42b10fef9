//! What is carried out once because its row says whether it was: the runs of triggers. What becomes of one is written in
//! the transaction of its effect.

use std::collections::{BTreeMap, BTreeSet};

use entity::run::{Column, Entity, Model, Status};
use entity::{AccountId, Owned, RunId};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, QueryOrder, QuerySelect};

use crate::ground::clock::Instant;
use crate::ground::error::Refusal;
use crate::ledger::answers::Answer;
use crate::queue::requests::Recorded;
use crate::storage::rows::{self, change};

/// The runs of a set of commands, locked.
pub struct Runs {
    rows: BTreeMap<Place, Model>,
    ended: Vec<(Place, bool)>,
}

/// A run, with its account.
pub type Place = (AccountId, RunId);

impl Runs {
    /// Locks them in the order of their ids. Their wallets are locked already.
    pub async fn load(txn: &DatabaseTransaction, places: BTreeSet<Place>) -> Result<Self, DbErr> {
        let mut rows = Vec::new();
        if !places.is_empty() {
            let keys = places.into_iter().map(|(account, id)| (account, [id.into()]));
            let select = Entity::keyed(txn.get_database_backend(), [Column::Id], keys)?
                .order_by_asc(Column::AccountId)
                .order_by_asc(Column::Id);
            rows = select.lock_exclusive().all(txn).await?;
        }
        Ok(Self { rows: rows.into_iter().map(|row| ((row.account_id, row.id), row)).collect(), ended: Vec::new() })
    }

    /// What became of a run; none if it is still to be carried out.
    pub fn answer(&self, place: Place) -> Result<Option<Answer>, DbErr> {
        let Some(run) = self.rows.get(&place) else {
            return Ok(Some(Answer::RefusedBefore(Refusal::not_found("id", "run"))));
        };
        Ok(match run.status {
            Status::Pending => None,
            Status::Done => Some(Answer::Replayed(run.activity_id.into_iter().collect())),
            Status::Refused => Some(Answer::RefusedBefore(refusal(run)?)),
            Status::Failed | Status::Cancelled => Some(Answer::RefusedBefore(Refusal::Fault)),
        })
    }

    /// Says what became of a run.
    pub fn end(&mut self, place: Place, became: &Recorded, ends_job: bool, at: Instant) -> Result<(), DbErr> {
        let Some(run) = self.rows.get_mut(&place) else { return Ok(()) };
        run.ended_at = Some(at.max(run.created_at));
        match became {
            Recorded::Refused(refusal) => {
                run.status = Status::Refused;
                run.refusal = Some(serde_json::to_value(refusal).map_err(|error| DbErr::Json(error.to_string()))?);
            }
            Recorded::Done(activities) => {
                run.status = Status::Done;
                run.activity_id = activities.first().copied();
            }
            _ => return Err(DbErr::Custom("a run ended as something else than a command".to_owned())),
        }
        self.ended.push((place, ends_job));
        Ok(())
    }

    /// Writes those that ended.
    pub async fn write(&self, txn: &DatabaseTransaction) -> Result<(), DbErr> {
        let ended = self.ended.iter().map(|(place, _)| *place).collect::<BTreeSet<_>>();
        let rows = ended.into_iter().filter_map(|place| self.rows.get(&place).cloned());
        rows::run(txn, change::<Entity>(txn.get_database_backend(), rows)).await.map(drop)
    }

    /// What comes after those of an account that ended: the next action of the same trigger about the same event.
    #[must_use]
    pub fn next(&self, account: AccountId) -> Vec<RunId> {
        let ended = self.ended.iter().filter(|((of, _), _)| *of == account);
        ended.filter_map(|(place, _)| self.rows.get(place)).filter_map(next).collect()
    }

    /// The jobs of an account that are over with them.
    #[must_use]
    pub fn ended_jobs(&self, account: AccountId) -> Vec<(String, Option<Instant>)> {
        let over = self.ended.iter().filter(|((of, _), ends_job)| *ends_job && *of == account);
        over.map(|((_, id), _)| (id.to_string(), None)).collect()
    }
}

/// Why a run was refused.
pub fn refusal(run: &Model) -> Result<Refusal, DbErr> {
    let stored = run.refusal.clone().unwrap_or_default();
    serde_json::from_value(stored).map_err(|error| DbErr::Json(error.to_string()))
}

/// What a run keeps of the one that comes after it.
const NEXT: &str = "next";

/// The run that comes after a run: actions of one trigger about one event come after one another.
#[must_use]
pub fn next(run: &Model) -> Option<RunId> {
    run.detail.get(NEXT)?.as_str()?.parse().ok()
}

/// What a run keeps: the one that comes after it.
#[must_use]
pub fn followed_by(next: Option<RunId>) -> serde_json::Value {
    next.map_or_else(|| serde_json::json!({}), |next| serde_json::json!({ NEXT: next }))
}
