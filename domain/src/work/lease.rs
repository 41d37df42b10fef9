//! Who does a job: claiming it for a while, keeping it, and saying what became of it.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use entity::job::{Column, Entity, Kind, Model};
use entity::{AccountId, JobId};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, Condition, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::automations::{runs, walk};
use crate::bulk;
use crate::ground::clock::{Instant, fresh_salt};
use crate::ground::error::{Error, Fault, Result, fault};
use crate::identity::app::App;
use crate::queue::jobs::After;
use crate::storage::store::{Store, database_now};
use crate::storage::tx;

/// How long a claim lasts unless it is renewed.
const LEASE: TimeDelta = TimeDelta::seconds(30);
/// How often a job is tried before it is laid aside.
const TRIES: i32 = 8;
/// The longest pause between two tries.
const LONGEST: TimeDelta = TimeDelta::hours(1);
/// Characters of an error that are kept.
const ERROR: usize = 500;

/// A job that this server has for a while.
#[derive(Clone, Debug)]
pub struct Claimed(pub(crate) Model);

impl From<Claimed> for Model {
    fn from(claimed: Claimed) -> Self {
        claimed.0
    }
}

impl Claimed {
    /// Which job.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.0.id
    }
}

/// Not leased to anybody, and not waiting for its next try.
fn is_free(now: Instant) -> Condition {
    Condition::all()
        .add(Column::DeadAt.is_null())
        .add(Condition::any().add(Column::LeasedUntil.is_null()).add(Column::LeasedUntil.lte(now)))
        .add(Condition::any().add(Column::NotBefore.is_null()).add(Column::NotBefore.lte(now)))
}

/// Which jobs are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// What is done here.
    Inside,
    /// What waits for others to answer.
    Outside,
}

/// Rows that are looked at in order to find what is due.
const WINDOW: u64 = 1_024;
/// How often more is looked at, where few accounts have all that was seen.
const WINDOWS: usize = 8;

/// Claims jobs of live accounts that are due, at most so many. They are looked up without a lock; each is then claimed
/// by its whole key, account by account, and only if nobody was faster.
pub async fn claim(app: &App, work: Work, most: usize) -> Result<Vec<Claimed>> {
    let store = app.store();
    let due = store.clock.now();
    let found = in_turn(find(store, work, due, most).await?, most);
    let mut claimed = Vec::new();
    for (account, jobs) in found {
        match claim_in(store, account, &jobs, due).await {
            Ok(rows) => claimed.extend(rows.into_iter().map(Claimed)),
            // Another server was claiming the same ones: they are in good hands.
            Err(error) if fault(&error) == Fault::Conflict => {}
            // What is in hand is done first; the next round tells of the trouble once more.
            Err(error) if claimed.is_empty() => return Err(error.into()),
            Err(_) => break,
        }
    }
    // One that never says what became of it takes its server down each time.
    let (ended, claimed): (Vec<_>, Vec<_>) = claimed.into_iter().partition(|Claimed(job)| job.attempts > TRIES);
    for job in ended {
        conclude(app, &job, Err(Error::Internal("its server ended each time it was tried".to_owned()))).await?;
    }
    Ok(claimed)
}

/// What is due, oldest first within each account. An account with more than a window of it hides nobody: what follows
/// is looked for without it.
async fn find(store: &Store, work: Work, due: Instant, most: usize) -> Result<BTreeMap<AccountId, Vec<JobId>>> {
    let mut found: BTreeMap<AccountId, Vec<JobId>> = BTreeMap::new();
    let txn = store.snapshot().await?;
    let now = database_now(&txn).await?;
    for _ in 0..WINDOWS {
        #[expect(
            clippy::disallowed_methods,
            reason = "the worker serves every account; each row is claimed by its key"
        )]
        let mut select = Entity::find()
            .select_only()
            .columns([Column::AccountId, Column::Id])
            // As the index has it: SQLite does not see that a bound value is the same.
            .filter(Expr::cust("live"))
            .filter(Column::RunAt.lte(due))
            .filter(is_free(now));
        select = match work {
            Work::Inside => select.filter(Column::Kind.ne(Kind::Deliver)),
            Work::Outside => select.filter(Column::Kind.eq(Kind::Deliver)),
        };
        if !found.is_empty() {
            select = select.filter(Column::AccountId.is_not_in(found.keys().copied()));
        }
        let rows: Vec<(AccountId, JobId)> =
            select.order_by_asc(Column::RunAt).limit(WINDOW).into_tuple().all(&*txn).await?;
        let last = (rows.len() as u64) < WINDOW;
        for (account, job) in rows {
            found.entry(account).or_default().push(job);
        }
        if last || found.len() >= most {
            break;
        }
    }
    Ok(found)
}

/// So many of them, each account in turn.
fn in_turn(mut due: BTreeMap<AccountId, Vec<JobId>>, most: usize) -> BTreeMap<AccountId, Vec<JobId>> {
    let mut left = most;
    let mut accounts = due.len();
    let mut fewest_first = due.keys().copied().collect::<Vec<_>>();
    fewest_first.sort_by_key(|account| due[account].len());
    for account in fewest_first {
        let jobs = due.entry(account).or_default();
        // Those who have less than their share leave the rest to the others.
        jobs.truncate(left.div_ceil(accounts).min(left));
        left -= jobs.len();
        accounts -= 1;
    }
    due.retain(|_, jobs| !jobs.is_empty());
    due
}

async fn claim_in(store: &Store, account: AccountId, jobs: &[JobId], due: Instant) -> Result<Vec<Model>, DbErr> {
    let txn = store.begin().await?;
    let now = database_now(&txn).await?;
    let rows = Entity::update_many()
        .col_expr(Column::Lease, Expr::col(Column::Lease).add(1))
        .col_expr(Column::LeasedUntil, Expr::value(now + LEASE))
        .col_expr(Column::Attempts, Expr::col(Column::Attempts).add(1))
        .filter(Column::AccountId.eq(account))
        .filter(Column::Id.is_in(jobs.iter().copied()))
        .filter(Column::RunAt.lte(due))
        .filter(is_free(now))
        .exec_with_returning(&txn)
        .await?;
    txn.commit().await?;
    Ok(rows)
}

/// Renews the leases of jobs whose work goes on; those that were lost meanwhile stay lost.
pub async fn heartbeat(app: &App, claimed: &[Claimed]) -> Result<()> {
    let mut by_account: BTreeMap<AccountId, Vec<&Model>> = BTreeMap::new();
    for Claimed(job) in claimed {
        by_account.entry(job.account_id).or_default().push(job);
    }
    for (account, jobs) in by_account {
        let txn = app.store().begin().await?;
        let now = database_now(&txn).await?;
        let mut mine = Condition::any();
        for job in jobs {
            mine = mine.add(Condition::all().add(Column::Id.eq(job.id)).add(Column::Lease.eq(job.lease)));
        }
        Entity::update_many()
            .col_expr(Column::LeasedUntil, Expr::value(now + LEASE))
            .filter(Column::AccountId.eq(account))
            .filter(Column::LeasedUntil.is_not_null())
            .filter(mine)
            .exec(&txn)
            .await?;
        txn.commit().await?;
    }
    Ok(())
}

/// Says what became of a job. Who lost the lease meanwhile is not listened to.
pub async fn conclude(app: &App, Claimed(job): &Claimed, became: Result<After>) -> Result<()> {
    if matches!(became, Ok(After::Said)) {
        return Ok(());
    }
    let store = app.store();
    let txn = store.begin().await?;
    let mine = Condition::all()
        .add(Column::AccountId.eq(job.account_id))
        .add(Column::Id.eq(job.id))
        .add(Column::Lease.eq(job.lease));
    match became {
        Ok(After::Said) => unreachable!("there was nothing left to say"),
        Ok(After::Done) => {
            Entity::delete_many().filter(mine).exec(&txn).await?;
        }
        Ok(After::Again) => {
            let again = Entity::update_many()
                .col_expr(Column::Attempts, Expr::value(0))
                .col_expr(Column::Error, Expr::value(Option::<String>::None))
                .col_expr(Column::LeasedUntil, Expr::value(Option::<Instant>::None));
            again.filter(mine).exec(&txn).await?;
        }
        Err(error) => {
            let now = database_now(&txn).await?;
            // What the database cannot do now is not the job's fault, and not a try.
            let counts = !error.passes();
            let dead = counts && job.attempts >= TRIES;
            tracing::warn!(job = %job.id, kind = ?job.kind, attempts = job.attempts, dead, %error, "a job failed");
            let said = error.to_string().chars().take(ERROR).collect::<String>();
            let failed = Entity::update_many()
                .col_expr(Column::Error, Expr::value(said))
                .col_expr(Column::NotBefore, Expr::value(now + pause(job.attempts)))
                .col_expr(Column::Attempts, Expr::value(if counts { job.attempts } else { job.attempts - 1 }))
                .col_expr(Column::DeadAt, Expr::value(dead.then(|| store.clock.now())))
                .col_expr(Column::LeasedUntil, Expr::value(Option::<Instant>::None))
                .filter(mine)
                .exec(&txn)
                .await?;
            if dead && failed.rows_affected == 1 {
                metrics::counter!("scrip_jobs_dead_total").increment(1);
                lay_aside(&txn, job, store.clock.now()).await?;
            }
        }
    }
    Ok(txn.commit().await?)
}

/// Says what became of a job that a sandbox did for itself, without a lease: who does it as well does nothing twice.
/// What fails is laid aside at once.
pub(crate) async fn conclude_here(app: &App, job: &Model, became: Result<After>) -> Result<()> {
    let store = app.store();
    let it = Condition::all().add(Column::AccountId.eq(job.account_id)).add(Column::Id.eq(job.id));
    match became {
        Ok(After::Said | After::Again) => return Ok(()),
        Ok(After::Done) => {
            let txn = store.begin().await?;
            Entity::delete_many().filter(it).exec(&txn).await?;
            txn.commit().await?;
        }
        Err(error) => {
            tracing::warn!(job = %job.id, kind = ?job.kind, %error, "a job of a sandbox failed");
            let txn = store.begin().await?;
            let account = tx::find_account(&txn, job.account_id).await?;
            let now = account.map_or(job.run_at, |account| tx::account_now(&account, store));
            Entity::update_many()
                .col_expr(Column::Attempts, Expr::col(Column::Attempts).add(1))
                .col_expr(Column::Error, Expr::value(error.to_string().chars().take(ERROR).collect::<String>()))
                .col_expr(Column::DeadAt, Expr::value(Some(now)))
                .filter(it)
                .exec(&txn)
                .await?;
            lay_aside(&txn, job, now).await?;
            txn.commit().await?;
        }
    }
    Ok(())
}

/// Whoever shows what the job was about shows that it failed.
async fn lay_aside(txn: &DatabaseTransaction, job: &Model, now: Instant) -> Result<()> {
    match job.kind {
        Kind::Bulk => bulk::fail(txn, job, now).await,
        Kind::Act => runs::lay_aside(txn, job, now).await,
        Kind::Walk => walk::lay_aside(txn, job, now).await,
        _ => Ok(()),
    }
}

/// How long to wait before the next try: twice as long each time, and somewhere between half of that and all of it, so
/// that what failed together does not come back together.
fn pause(attempts: i32) -> TimeDelta {
    let whole = TimeDelta::seconds(1 << attempts.clamp(0, 12)).min(LONGEST);
    let random = u16::from_be_bytes([fresh_salt()[0], fresh_salt()[1]]);
    let half = whole / 2;
    half + TimeDelta::microseconds(half.num_microseconds().unwrap_or(0) * i64::from(random) / i64::from(u16::MAX))
}

impl From<tokio::task::JoinError> for Error {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Internal(format!("a task ended early: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_take_turns_however_much_one_of_them_has() {
        let account = |number: u128| AccountId(uuid::Uuid::from_u128(number));
        let jobs = |count: usize| (0..count).map(|_| JobId(uuid::Uuid::nil())).collect::<Vec<_>>();
        let due = BTreeMap::from([(account(1), jobs(1_000)), (account(2), jobs(3)), (account(3), jobs(500))]);
        let taken = in_turn(due, 256);
        let counts = taken.values().map(Vec::len).collect::<Vec<_>>();
        assert_eq!((counts[1], counts.iter().sum::<usize>()), (3, 256));
        assert!(counts[0].abs_diff(counts[2]) <= 1, "{counts:?}");
        assert_eq!(in_turn((0..300).map(|n| (account(n), jobs(2))).collect(), 256).len(), 256);
    }

    #[test]
    fn pauses_grow_and_differ() {
        let pauses = (1..=TRIES).map(pause).collect::<Vec<_>>();
        assert!(pauses.windows(2).all(|pair| pair[1] * 2 >= pair[0]), "{pauses:?}");
        assert!(pauses[0] >= TimeDelta::seconds(1) && pause(100) <= LONGEST);
        let same = (0..20).map(|_| pause(6)).collect::<std::collections::HashSet<_>>();
        assert!(same.len() > 10, "{same:?}");
    }
}
