//! The only file that changes balances: lock, load, decide each, write.
//!
//! A set of commands of one account becomes one set of rows: what is read is read a set at a time, what is written is
//! written with multi-row statements, and in between each command is decided alone, so that one that is refused leaves
//! its neighbours as they are.

use std::collections::{BTreeSet, HashMap};

use entity::activity::{ActorKind, Source};
use entity::{AccountId, RunId, account, activity, allocation, credit_grant, hold, job, run, wallet};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelBehavior, ActiveModelTrait, DatabaseTransaction, DbErr, EntityTrait, IdenStatic, IntoActiveModel,
    Iterable, PrimaryKeyToColumn,
};

use super::books::{Ask, Author, Books};
use super::command::{Command, Outcome};
use super::load::{self, Purpose};
use super::record::{Posted, Told, record};
use super::requests::{self, Answer, Known, Recorded, RequestKey};
use super::runs::Runs;
use super::state::WalletKey;
use super::watch;
use crate::domain::clock::{Instant, fresh_id};
use crate::domain::error::{Refusal, Result};
use crate::domain::events;
use crate::domain::jobs::{self, wallet_key};
use crate::domain::store::Store;
use crate::domain::tx;

/// Rows per statement: the widest table has 36 columns, and SQLite binds at most 32,766 values.
const ROWS: usize = 900;

/// One command, who asked for it, and under which key.
pub struct Job {
    pub account: AccountId,
    once: Once,
    actor: (ActorKind, String),
    source: Source,
    /// How many triggers and automations led to it, one after another.
    depth: i16,
    pub command: Command,
}

/// What sees to it that a command is carried out once.
enum Once {
    /// A key, and what tells requests under it apart.
    Key(RequestKey, Vec<u8>),
    /// The row of the run that it is, and whether its job is done with it.
    Run { id: RunId, ends_job: bool },
    /// Nothing here: it can be done again without harm, or its transaction sees to it.
    Elsewhere,
}

impl Job {
    /// A command that somebody asks for, once per key.
    pub fn once(
        account: AccountId,
        key: RequestKey,
        actor: (ActorKind, String),
        source: Source,
        command: Command,
    ) -> Self {
        // Here, not in the lane, where everybody would wait for it.
        let fingerprint = command.fingerprint();
        Self { account, once: Once::Key(key, fingerprint), actor, source, depth: 0, command }
    }

    /// A command of a transaction that sees to it itself that it is carried out once.
    pub fn within(account: AccountId, actor: (ActorKind, String), source: Source, command: Command) -> Self {
        Self { account, once: Once::Elsewhere, actor, source, depth: 0, command }
    }

    /// A command that the server gives itself, and may give again.
    pub fn by_itself(account: AccountId, command: Command) -> Self {
        let actor = (ActorKind::System, String::new());
        Self { account, once: Once::Elsewhere, actor, source: Source::Clock, depth: 0, command }
    }

    /// An action of a trigger, once: what becomes of it is written on its run in the same transaction.
    pub fn of_run(run: &run::Model, actor: (ActorKind, String), command: Command, ends_job: bool) -> Self {
        let once = Once::Run { id: run.id, ends_job };
        Self { account: run.account_id, once, actor, source: Source::Trigger, depth: run.depth, command }
    }

    /// The same, as something that so many triggers and automations led to.
    #[must_use]
    pub fn at_depth(self, depth: i16) -> Self {
        Self { depth, ..self }
    }
}

/// What a set of jobs is posted on.
pub struct Ground<'a> {
    pub txn: &'a DatabaseTransaction,
    pub account: &'a account::Model,
    pub store: &'a Store,
}

/// Why a set could not be posted.
pub enum Failure {
    /// Another transaction wrote one of the keys first: run again, and it is found.
    Twin,
    Database(DbErr),
}

impl From<DbErr> for Failure {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

/// Posts jobs of one account, in order. Nothing of it lasts until the caller commits.
pub async fn post(ground: &Ground<'_>, jobs: &[&Job]) -> Result<Vec<Result<Outcome>>, Failure> {
    let commands = jobs.iter().map(|job| &job.command).collect::<Vec<_>>();
    let mut books = load::books(ground.txn, ground.account, &commands, Purpose::Change).await?;
    let due_before = due(&books);
    // The time is read after the locks: whoever waited for one decides by the time at which it got it.
    let (server_clock, clock) = (ground.store.clock.now(), tx::account_now(ground.account, ground.store));
    let wanted = jobs.iter().filter_map(|job| if let Once::Key(key, _) = &job.once { Some(key.clone()) } else { None });
    let mut known = requests::load(ground.txn, ground.account.id, wanted, server_clock).await?;
    let wanted = jobs.iter().filter_map(|job| if let Once::Run { id, .. } = &job.once { Some(*id) } else { None });
    let mut runs = Runs::load(ground.txn, ground.account.id, wanted.collect()).await?;

    let mut written = Written::default();
    let mut answers = Vec::with_capacity(jobs.len());
    for job in jobs {
        let before = match &job.once {
            Once::Key(key, fingerprint) => known.get(key).map(|known| known.answer(fingerprint)),
            Once::Run { id, .. } => runs.answer(*id)?,
            Once::Elsewhere => None,
        };
        if let Some(answer) = before {
            answers.push(answer);
            continue;
        }
        let (answer, recorded) = match run(ground, clock, &mut books, &mut written, job) {
            Ok(posted) => {
                let ids = posted.iter().map(|(activity, _)| activity.id).collect();
                (Answer::Done(posted), Recorded::Done(ids))
            }
            Err(refusal) => (Answer::Refused(refusal.clone()), Recorded::Refused(refusal)),
        };
        match (&job.once, recorded) {
            // What depends on nothing that is stored is refused again anyhow.
            (Once::Key(..), Recorded::Refused(refusal)) if !refusal.is_recorded() => {}
            (Once::Key(key, fingerprint), recorded) => {
                known.insert(key.clone(), Known { fingerprint: fingerprint.clone(), recorded, fresh: true });
            }
            (Once::Run { id, ends_job }, recorded) => runs.end(*id, &recorded, *ends_job, clock)?,
            (Once::Elsewhere, _) => {}
        }
        answers.push(answer);
    }
    write(ground, &books, written).await?;
    runs.write(ground.txn).await?;
    schedule(ground, &books, &due_before, &commands).await?;
    jobs::reschedule(ground.txn, ground.account, job::Kind::Act, runs.ended_jobs()).await?;
    let next = runs.next().into_iter().map(|run| (run.to_string(), clock)).collect();
    jobs::schedule(ground.txn, ground.account, job::Kind::Act, next, clock).await?;
    if !requests::record(ground.txn, ground.account.id, &known, server_clock).await? {
        return Err(Failure::Twin);
    }
    Ok(requests::finish(ground.txn, ground.account.id, answers).await?)
}

/// The rows to write that are only ever added.
#[derive(Default)]
struct Written {
    activities: Vec<activity::Model>,
    allocations: Vec<allocation::Model>,
    events: Vec<entity::event::Model>,
}

/// Settles and decides one command, and makes the rows of both; answers those of the command.
fn run(
    ground: &Ground<'_>,
    clock: Instant,
    books: &mut Books,
    written: &mut Written,
    job: &Job,
) -> Result<Vec<Posted>, Refusal> {
    let (by_command, by_time) = (Told::by(job.actor.clone(), job.source, &job.command), Told::by_time());
    let mut answer = Vec::new();
    let ask = Ask { command: &job.command, source: job.source, depth: job.depth, clock, fresh: &fresh_id };
    books.play(&ask, &mut |wallet, entry, author| {
        let told = if author == Author::Command { &by_command } else { &by_time };
        let posted = record(&ground.store.key, wallet, entry, told);
        let hash = posted.0.hash.clone();
        let depth = if author == Author::Command { job.depth } else { 0 };
        written.events.push(events::of_activity(ground.account, &posted.0, depth));
        written.activities.push(posted.0.clone());
        written.allocations.extend(posted.1.iter().cloned());
        if author == Author::Command {
            answer.push(posted);
        }
        hash
    })?;
    Ok(answer)
}

/// Writes what changed: parents before children.
async fn write(ground: &Ground<'_>, books: &Books, written: Written) -> Result<(), DbErr> {
    let touched = || books.wallets.values().filter(|wallet| wallet.noticed || !wallet.touched.is_empty());
    let mut wallets = touched().map(|wallet| wallet.row.clone()).collect::<Vec<_>>();
    let grants =
        touched().flat_map(|wallet| wallet.grants.iter().filter(|grant| wallet.touched.contains(&grant.id)).cloned());
    let mut grants = grants.collect::<Vec<_>>();
    let holds = touched().flat_map(|wallet| {
        let rows = wallet.holds.iter().map(|held| &held.row);
        rows.filter(|row| wallet.touched_holds.contains(&row.id)).cloned()
    });
    let mut holds = holds.collect::<Vec<_>>();
    wallets.sort_by_key(|row| (row.customer_id, row.credit_type_id));
    grants.sort_by_key(|grant| grant.id);
    holds.sort_by_key(|hold| hold.id);
    let mut events = written.events;
    events.extend(books.noticed.iter().map(|noticed| events::of_notice(ground.account, noticed)));
    overwrite::<wallet::Entity>(ground.txn, wallets).await?;
    overwrite::<credit_grant::Entity>(ground.txn, grants).await?;
    add::<activity::Entity>(ground.txn, written.activities).await?;
    overwrite::<hold::Entity>(ground.txn, holds).await?;
    add::<allocation::Entity>(ground.txn, written.allocations).await?;
    add::<entity::event::Entity>(ground.txn, events).await
}

/// Adds rows.
pub(super) async fn add<E>(txn: &DatabaseTransaction, rows: Vec<E::Model>) -> Result<(), DbErr>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
    E::ActiveModel: ActiveModelBehavior + Send,
{
    let mut rows = rows.into_iter().map(IntoActiveModel::into_active_model).peekable();
    while rows.peek().is_some() {
        E::insert_many(rows.by_ref().take(ROWS)).exec_without_returning(txn).await?;
    }
    Ok(())
}

/// Writes full rows over those with the same key: SeaORM has no multi-row UPDATE.
pub(super) async fn overwrite<E>(txn: &DatabaseTransaction, rows: Vec<E::Model>) -> Result<(), DbErr>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
    E::ActiveModel: ActiveModelTrait<Entity = E> + ActiveModelBehavior + Send,
{
    let key = E::PrimaryKey::iter().map(PrimaryKeyToColumn::into_column).collect::<Vec<_>>();
    let is_key = |column: &E::Column| key.iter().any(|key| key.as_str() == column.as_str());
    let over = OnConflict::columns(key.iter().copied())
        .update_columns(E::Column::iter().filter(|column| !is_key(column)))
        .to_owned();
    let mut rows = rows.into_iter().map(IntoActiveModel::into_active_model).peekable();
    while rows.peek().is_some() {
        E::insert_many(rows.by_ref().take(ROWS)).on_conflict(over.clone()).exec_without_returning(txn).await?;
    }
    Ok(())
}

/// When time next does something to each wallet.
fn due(books: &Books) -> HashMap<WalletKey, Instant> {
    books.wallets.keys().filter_map(|key| Some((*key, next_due(books, key)?))).collect()
}

/// When time next does something to a wallet, or crosses a threshold in it.
fn next_due(books: &Books, key: &WalletKey) -> Option<Instant> {
    let wallet = books.wallets.get(key)?;
    let crossing = books.types.get(&key.1).and_then(|credit_type| watch::next_crossing(wallet, credit_type));
    wallet.next_due().into_iter().chain(crossing).min()
}

/// Sees to it that what time will do is written down when it has: a job per wallet, due when time next does something.
///
/// A due instant that moved back leaves its job: it finds nothing to do, and asks again for what comes next.
/// So only what makes or lengthens no end costs no row.
async fn schedule(
    ground: &Ground<'_>,
    books: &Books,
    before: &HashMap<WalletKey, Instant>,
    commands: &[&Command],
) -> Result<(), DbErr> {
    let settled = commands.iter().filter(|command| matches!(command, Command::Settle(_)));
    let settled = settled.map(|command| command.wallet()).collect::<BTreeSet<_>>();
    let next = |key: &WalletKey| next_due(books, key);
    let sooner = books.wallets.keys().filter(|key| !settled.contains(key)).filter_map(|key| {
        let next = next(key)?;
        before.get(key).is_none_or(|due| next < *due).then(|| (wallet_key(*key), next))
    });
    jobs::schedule(ground.txn, ground.account, job::Kind::Settle, sooner.collect(), ground.store.clock.now()).await?;
    let settled = settled.iter().map(|key| (wallet_key(*key), next(key))).collect();
    jobs::reschedule(ground.txn, ground.account, job::Kind::Settle, settled).await
}
