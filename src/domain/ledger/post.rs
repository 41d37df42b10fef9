//! The only file that changes balances: lock, load, decide each, write.
//!
//! A set of commands of one account becomes one set of rows: what is read is read a set at a time, what is written is
//! written with multi-row statements, and in between each command is decided alone, so that one that is refused leaves
//! its neighbours as they are.

use std::collections::{BTreeSet, HashMap};

use entity::activity::{ActorKind, Source};
use entity::{AccountId, account, activity, allocation, credit_grant, hold, job, wallet};
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
use super::state::{Wallet, WalletKey};
use crate::domain::clock::{Instant, fresh_id};
use crate::domain::error::{Refusal, Result};
use crate::domain::event;
use crate::domain::jobs::{self, wallet_key};
use crate::domain::store::Store;
use crate::domain::tx;

/// Rows per statement: the widest table has 36 columns, and SQLite binds at most 32,766 values.
const ROWS: usize = 900;

/// One command, who asked for it, and under which key.
pub struct Job {
    pub account: AccountId,
    /// The key, and what tells requests under it apart; none for what can be done again without harm.
    key: Option<(RequestKey, Vec<u8>)>,
    actor: (ActorKind, String),
    source: Source,
    pub command: Command,
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
        Self { account, key: Some((key, fingerprint)), actor, source, command }
    }

    /// A command of a transaction that sees to it itself that it is carried out once.
    pub fn within(account: AccountId, actor: (ActorKind, String), source: Source, command: Command) -> Self {
        Self { account, key: None, actor, source, command }
    }

    /// A command that the server gives itself, and may give again.
    pub fn by_itself(account: AccountId, command: Command) -> Self {
        let actor = (ActorKind::System, String::new());
        Self { account, key: None, actor, source: Source::Clock, command }
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
    let wanted = jobs.iter().filter_map(|job| job.key.as_ref()).map(|(key, _)| key.clone());
    let mut known = requests::load(ground.txn, ground.account.id, wanted, server_clock).await?;

    let mut written = Written::default();
    let mut answers = Vec::with_capacity(jobs.len());
    for job in jobs {
        if let Some((key, fingerprint)) = &job.key
            && let Some(known) = known.get(key)
        {
            answers.push(known.answer(fingerprint));
            continue;
        }
        let (answer, recorded) = match run(ground, clock, &mut books, &mut written, job) {
            Ok(posted) => {
                let ids = posted.iter().map(|(activity, _)| activity.id).collect();
                (Answer::Done(posted), Some(Recorded::Done(ids)))
            }
            Err(refusal) => {
                let recorded = refusal.is_recorded().then(|| Recorded::Refused(refusal.clone()));
                (Answer::Refused(refusal), recorded)
            }
        };
        if let (Some((key, fingerprint)), Some(recorded)) = (&job.key, recorded) {
            known.insert(key.clone(), Known { fingerprint: fingerprint.clone(), recorded, fresh: true });
        }
        answers.push(answer);
    }
    write(ground, &books, written).await?;
    schedule(ground, &books, &due_before, &commands).await?;
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
    let ask = Ask { command: &job.command, source: job.source, clock, fresh: &fresh_id };
    books.play(&ask, &mut |wallet, entry, author| {
        let told = if author == Author::Command { &by_command } else { &by_time };
        let posted = record(&ground.store.key, wallet, entry, told);
        let hash = posted.0.hash.clone();
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
    let touched = || books.wallets.values().filter(|wallet| !wallet.touched.is_empty());
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
    let events = written.activities.iter().map(event::of_activity).collect();
    overwrite::<wallet::Entity>(ground.txn, wallets).await?;
    overwrite::<credit_grant::Entity>(ground.txn, grants).await?;
    add::<activity::Entity>(ground.txn, written.activities).await?;
    overwrite::<hold::Entity>(ground.txn, holds).await?;
    add::<allocation::Entity>(ground.txn, written.allocations).await?;
    add::<entity::event::Entity>(ground.txn, events).await
}

/// Adds rows.
async fn add<E>(txn: &DatabaseTransaction, rows: Vec<E::Model>) -> Result<(), DbErr>
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
async fn overwrite<E>(txn: &DatabaseTransaction, rows: Vec<E::Model>) -> Result<(), DbErr>
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
    books.wallets.iter().filter_map(|(key, wallet)| Some((*key, wallet.next_due()?))).collect()
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
    let next = |key: &WalletKey| books.wallets.get(key).and_then(Wallet::next_due);
    let sooner = books.wallets.keys().filter(|key| !settled.contains(key)).filter_map(|key| {
        let next = next(key)?;
        before.get(key).is_none_or(|due| next < *due).then(|| (wallet_key(*key), next))
    });
    jobs::schedule(ground.txn, ground.account, job::Kind::Settle, sooner.collect(), ground.store.clock.now()).await?;
    let settled = settled.iter().map(|key| (wallet_key(*key), next(key))).collect();
    jobs::reschedule(ground.txn, ground.account, job::Kind::Settle, settled).await
}
