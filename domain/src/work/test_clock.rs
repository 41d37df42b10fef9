//! The test clock of a sandbox: it stands still until it is told to go on, and then stops at everything that is due.
//!
//! One loop: take what is due first, set the clock to its instant, do it, again; at last the clock is where it was to
//! be. Whatever an area lets happen later is a job, so each new kind of job takes part in this loop by being one.

use std::time::{Duration, Instant as Moment};

use chrono::TimeDelta;
use entity::account::{Column, Entity, Mode, Model};
use entity::job;
use entity::{AccountId, JobId};
use futures_util::future::join_all;
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{ColumnTrait, Condition, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect};

use super::lease::conclude_here;
use super::perform::perform;
use super::purge;
use crate::dispatch::follow;
use crate::ground::clock::{Instant, fresh_id};
use crate::ground::error::{Refusal, Result};
use crate::ground::input;
use crate::ground::scope::Scope;
use crate::identity::app::App;
use crate::identity::caller::{Caller, transact};
use crate::queue::jobs;
use crate::storage::store::database_now;

/// Steps of one call.
const STEPS: u64 = 100_000;
/// How long one call goes on: less than a request may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Jobs of one instant that are done at once.
const TOGETHER: u64 = 256;
/// How long a clock stays taken without a sign of life.
const LEASE: TimeDelta = TimeDelta::seconds(30);
/// How often a sign of life is given.
const SIGN: Duration = Duration::from_secs(5);

/// How far a clock came.
#[derive(Clone, Debug)]
pub struct Advanced {
    pub account: Model,
    /// Jobs that were done.
    pub steps: u64,
    /// Whether it came to where it was to be: if not, the next call goes on.
    pub arrived: bool,
}

/// Lets the clock of the caller's sandbox go on to an instant, doing on its way what falls due.
pub async fn advance(caller: &Caller, to: Instant) -> Result<Advanced> {
    let account = caller.authorise(Scope::AccountWrite)?;
    let to = input::instant("to", to)?;
    let lease = take(caller, to).await?;
    let advanced = walk(caller.app(), account, to, lease).await;
    give_back(caller.app(), account, lease).await?;
    let (steps, arrived) = advanced?;
    let view = caller.view(Scope::AccountWrite).await?;
    Ok(Advanced { account: view.account().clone(), steps, arrived })
}

/// Does what is due in a sandbox at the instant that its clock shows, as far as one request can. In a live account it
/// does nothing: the worker comes there.
pub(crate) async fn catch_up(app: &App, account: AccountId) -> Result<()> {
    let clock = {
        let txn = app.store().snapshot().await?;
        crate::storage::tx::find_account(&txn, account).await?.and_then(|account| account.clock_at)
    };
    let Some(now) = clock else { return Ok(()) };
    let (mut steps, started) = (0, Moment::now());
    while steps < STEPS && started.elapsed() < PATIENCE {
        let followed = follow::all(app, account).await?;
        let done = together(app, account, now).await?;
        if done == 0 && followed == 0 {
            break;
        }
        steps += done;
    }
    Ok(())
}

/// In a sandbox, to which no worker comes, lets what follows from a caller's change happen at once, at the instant that its
/// test clock shows. Elsewhere the worker sees to it.
pub async fn follow_up(caller: &Caller) {
    let Some(account) = caller.stands_in() else { return };
    let followed = match caller.app().is_sandbox(account).await {
        Ok(true) => catch_up(caller.app(), account).await,
        other => other.map(drop),
    };
    if let Err(error) = followed {
        tracing::warn!(%account, %error, "what follows from a change in a sandbox waits for the next one");
    }
}

/// Takes the clock, so that nobody else moves it meanwhile; answers the number to give it back with.
async fn take(caller: &Caller, to: Instant) -> Result<i64> {
    transact!(caller, Scope::AccountWrite, |tx| {
        let Some(clock) = tx.account.clock_at.filter(|_| tx.account.mode == Mode::Sandbox) else {
            return Err(Refusal::NotASandbox.into());
        };
        if to < clock {
            return Err(Refusal::ClockBackwards { clock }.into());
        }
        let now = database_now(tx.db()).await?;
        let row = job::Model {
            account_id: tx.account.id,
            id: JobId(fresh_id()),
            kind: job::Kind::Clock,
            key: String::new(),
            live: false,
            run_at: tx.account.created_at,
            attempts: 0,
            not_before: None,
            lease: 0,
            leased_until: None,
            error: None,
            dead_at: None,
            created_at: tx.now,
        };
        let key = [job::Column::AccountId, job::Column::Kind, job::Column::Key];
        job::Entity::insert_many([row.into_active_model()])
            .on_conflict(OnConflict::columns(key).do_nothing().to_owned())
            .exec_without_returning(tx.db())
            .await?;
        let free = Condition::any().add(job::Column::LeasedUntil.is_null()).add(job::Column::LeasedUntil.lte(now));
        let taken = job::Entity::update_many()
            .col_expr(job::Column::Lease, Expr::col(job::Column::Lease).add(1))
            .col_expr(job::Column::LeasedUntil, Expr::value(now + LEASE))
            .filter(job::Column::AccountId.eq(tx.account.id))
            .filter(job::Column::Kind.eq(job::Kind::Clock))
            .filter(free)
            .exec_with_returning(tx.db())
            .await?;
        let lease = taken.first().ok_or(Refusal::ClockMoving)?.lease;
        Ok(lease)
    })
}

async fn walk(app: &App, account: AccountId, to: Instant, lease: i64) -> Result<(u64, bool)> {
    let started = Moment::now();
    let (mut steps, mut sign) = (0, started);
    loop {
        follow::all(app, account).await?;
        let jobs = jobs::first_due(app.store(), account, to, 1).await?;
        let Some(first) = jobs.first() else {
            set(app, account, to, lease).await?;
            // What was asked for just before the clock arrived may be due by now.
            if jobs::first_due(app.store(), account, to, 1).await?.is_empty() {
                purge::all(app, account).await?;
                return Ok((steps, true));
            }
            continue;
        };
        if steps >= STEPS || started.elapsed() > PATIENCE {
            return Ok((steps, false));
        }
        set(app, account, first.run_at, lease).await?;
        steps += together(app, account, first.run_at).await?;
        if sign.elapsed() > SIGN {
            renew(app, account, lease).await?;
            sign = Moment::now();
        }
    }
}

/// Does the jobs of the earliest instant and kind that is due: they do not touch each other, so they commit together.
async fn together(app: &App, account: AccountId, until: Instant) -> Result<u64> {
    let jobs = jobs::first_due(app.store(), account, until, TOGETHER).await?;
    let count = jobs.len() as u64;
    let done = join_all(jobs.into_iter().map(|job| async move {
        let became = perform(app, job.clone()).await;
        match became {
            // What the database cannot do now is not the job's fault: the clock stays here, and another call goes on.
            Err(error) if error.passes() => Err(error),
            became => conclude_here(app, &job, became).await,
        }
    }))
    .await;
    done.into_iter().collect::<Result<Vec<()>>>()?;
    Ok(count)
}

/// Sets the clock: forward only, and only for whoever has taken it.
async fn set(app: &App, account: AccountId, at: Instant, lease: i64) -> Result<()> {
    let txn = app.store().begin().await?;
    holds(&txn, account, lease).await?;
    Entity::update_many()
        .col_expr(Column::ClockAt, Expr::value(at))
        .filter(Column::Id.eq(account))
        .filter(Column::ClockAt.lt(at))
        .exec(&txn)
        .await?;
    Ok(txn.commit().await?)
}

/// Whoever lost the clock, because nothing was heard of it for too long, moves it no more.
async fn holds(txn: &sea_orm::DatabaseTransaction, account: AccountId, lease: i64) -> Result<()> {
    use entity::Owned;
    let row = job::Entity::of(account).filter(job::Column::Kind.eq(job::Kind::Clock)).lock_exclusive().one(txn).await?;
    if row.is_some_and(|row| row.lease == lease) { Ok(()) } else { Err(Refusal::ClockMoving.into()) }
}

async fn renew(app: &App, account: AccountId, lease: i64) -> Result<()> {
    let txn = app.store().begin().await?;
    let until = database_now(&txn).await? + LEASE;
    lease_until(&txn, account, lease, Some(until)).await?;
    Ok(txn.commit().await?)
}

async fn give_back(app: &App, account: AccountId, lease: i64) -> Result<()> {
    let txn = app.store().begin().await?;
    lease_until(&txn, account, lease, None).await?;
    Ok(txn.commit().await?)
}

async fn lease_until(
    txn: &sea_orm::DatabaseTransaction,
    account: AccountId,
    lease: i64,
    until: Option<Instant>,
) -> Result<()> {
    job::Entity::update_many()
        .col_expr(job::Column::LeasedUntil, Expr::value(until))
        .filter(job::Column::AccountId.eq(account))
        .filter(job::Column::Kind.eq(job::Kind::Clock))
        .filter(job::Column::Lease.eq(lease))
        .exec(txn)
        .await?;
    Ok(())
}
