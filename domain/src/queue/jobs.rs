//! Jobs: what is to be done at an instant, whatever happens to the server that does it. Who does it, and how: `work`.
//!
//! A job is enqueued in the transaction of what makes it necessary. It is claimed by compare-and-set on its own row: a
//! lease by the database's clock, renewed while the work goes on, and a number that goes up with each claim, without
//! which nobody may say what became of it. What fails is tried again, later each time, and in the end laid aside as
//! dead, where staff finds it. The effects have keys of their own, so a job that runs twice does nothing twice.

use entity::account::{self, Mode};
use entity::job::{self, Column, Entity, Kind};
use entity::{AccountId, CreditTypeId, CustomerId, JobId, Owned};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait, DatabaseTransaction, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
};

use crate::ground::clock::{Instant, fresh_id};
use crate::ground::error::{Error, Result};
use crate::storage::store::Store;
use crate::storage::tx::Tx;

/// What is to become of a job that ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It is over.
    Done,
    /// There is more of it, at once.
    Again,
    /// Its own transaction has said so already.
    Said,
}

/// Rows per statement.
const ROWS: usize = 900;

/// The key of a wallet's job.
#[must_use]
pub fn wallet_key((customer, credit_type): (CustomerId, CreditTypeId)) -> String {
    format!("{customer} {credit_type}")
}

pub(crate) fn read_wallet_key(key: &str) -> Option<(CustomerId, CreditTypeId)> {
    let (customer, credit_type) = key.split_once(' ')?;
    Some((customer.parse().ok()?, credit_type.parse().ok()?))
}

fn row(account: &account::Model, kind: Kind, key: String, run_at: Instant, now: Instant) -> job::Model {
    job::Model {
        account_id: account.id,
        id: JobId(fresh_id()),
        kind,
        key,
        // What is posted keeps to the real clock, in sandboxes as well.
        live: account.mode == Mode::Live || kind == Kind::Deliver,
        run_at,
        attempts: 0,
        not_before: None,
        lease: 0,
        leased_until: None,
        error: None,
        dead_at: None,
        created_at: now,
    }
}

/// Makes jobs, or makes those that are there due sooner.
pub(crate) async fn schedule(
    txn: &DatabaseTransaction,
    account: &account::Model,
    kind: Kind,
    mut due: Vec<(String, Instant)>,
    now: Instant,
) -> Result<(), DbErr> {
    // Locks are taken in the order of keys.
    due.sort();
    for due in due.chunks(ROWS) {
        let rows = due.iter().map(|(key, run_at)| row(account, kind, key.clone(), *run_at, now).into_active_model());
        // One that was laid aside is tried again: something new has happened.
        let anew = "excluded.run_at < job.run_at OR job.dead_at IS NOT NULL";
        let anew = |then: &str, column: &str| Expr::cust(format!("CASE WHEN {anew} THEN {then} ELSE job.{column} END"));
        let over = OnConflict::columns([Column::AccountId, Column::Kind, Column::Key])
            .value(Column::RunAt, anew("excluded.run_at", "run_at"))
            .value(Column::Attempts, anew("0", "attempts"))
            .value(Column::NotBefore, anew("NULL", "not_before"))
            .value(Column::DeadAt, anew("NULL", "dead_at"))
            .to_owned();
        Entity::insert_many(rows).on_conflict(over).exec_without_returning(txn).await?;
    }
    Ok(())
}

/// Says of jobs that were done when they are due next; those that are not due again are gone.
pub(crate) async fn reschedule(
    txn: &DatabaseTransaction,
    account: &account::Model,
    kind: Kind,
    done: Vec<(String, Option<Instant>)>,
) -> Result<(), DbErr> {
    let (mut again, mut over) = (Vec::new(), Vec::new());
    for (key, next) in done {
        match next {
            Some(run_at) => again.push((key, run_at)),
            None => over.push(key),
        }
    }
    again.sort();
    over.sort();
    for keys in over.chunks(ROWS) {
        Entity::delete_many()
            .filter(Column::AccountId.eq(account.id))
            .filter(Column::Kind.eq(kind))
            .filter(Column::Key.is_in(keys.iter().map(String::as_str)))
            .exec(txn)
            .await?;
    }
    for again in again.chunks(ROWS) {
        let rows = again.iter().map(|(key, at)| row(account, kind, key.clone(), *at, *at).into_active_model());
        let columns =
            [Column::RunAt, Column::Attempts, Column::NotBefore, Column::LeasedUntil, Column::Error, Column::DeadAt];
        let over =
            OnConflict::columns([Column::AccountId, Column::Kind, Column::Key]).update_columns(columns).to_owned();
        Entity::insert_many(rows).on_conflict(over).exec_without_returning(txn).await?;
    }
    Ok(())
}

/// Keeps everybody from making a job due anew until the transaction ends: who then reads what there is to do misses
/// nothing. Refuses whoever has lost its lease.
pub(crate) async fn hold(tx: &Tx, job: &job::Model) -> Result<()> {
    let found = tx.rows::<Entity>().filter(Column::Id.eq(job.id)).lock_exclusive().one(tx.db()).await?;
    match found {
        Some(found) if found.lease == job.lease => Ok(()),
        _ => Err(Error::Conflict(format!("{} is in other hands", job.id))),
    }
}

/// How long the oldest due job of a live account has waited; nothing if none is due.
pub(crate) async fn oldest_due(store: &Store) -> Result<std::time::Duration> {
    let (txn, now) = (store.snapshot().await?, store.clock.now());
    #[expect(clippy::disallowed_methods, reason = "the worker's own index, that no account leads: invariant 1")]
    let oldest = Entity::find()
        .filter(Column::Live.eq(true))
        .filter(Column::RunAt.lte(now))
        .filter(Column::DeadAt.is_null())
        .order_by_asc(Column::RunAt)
        .one(&*txn)
        .await?;
    Ok(oldest.and_then(|job| (now - job.run_at).to_std().ok()).unwrap_or_default())
}

/// What is due first in one account until an instant: jobs of one instant and one kind, by id. For sandboxes, whose
/// test clock does what the worker does elsewhere.
pub(crate) async fn first_due(store: &Store, account: AccountId, until: Instant, most: u64) -> Result<Vec<job::Model>> {
    let txn = store.snapshot().await?;
    let due = || {
        Entity::of(account)
            .filter(Column::RunAt.lte(until))
            .filter(Column::DeadAt.is_null())
            .filter(Column::Kind.is_not_in([Kind::Clock, Kind::Deliver]))
            .order_by_asc(Column::RunAt)
            .order_by_asc(Column::Kind)
            .order_by_asc(Column::Id)
    };
    let mut jobs = due().limit(most).all(&*txn).await?;
    if let Some(first) = jobs.first().map(|job| (job.run_at, job.kind)) {
        jobs.retain(|job| (job.run_at, job.kind) == first);
    }
    Ok(jobs)
}
