//! The only file that changes balances: lock, load, decide each, write.
//!
//! A set of commands becomes one set of rows: what is read is read a set at a time, what is written is written with
//! multi-row statements, and in between each command is decided alone, over what its own account holds, so that one that
//! is refused leaves its neighbours as they are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use entity::activity::{ActorKind, Source};
use entity::{
    AccountId, ActivityId, RunId, account, activity, allocation, converted, credit_grant, event, hold, job, run, wallet,
};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr};

use super::answers::{self, Answer, Outcome};
use super::books::{Ask, Author, Books};
use super::command::Command;
use super::load::{self, Library, Place, Purpose};
use super::record::{Fresh, Posted, Told, record};
use super::runs::Runs;
use super::state::WalletKey;
use super::{facts, watch};
use crate::ground::cause::Cause;
use crate::ground::clock::{Instant, fresh_id, fresh_salt};
use crate::ground::error::{Refusal, Result};
use crate::queue::jobs::{self, wallet_key};
use crate::queue::requests::{self, Known, Recorded, RequestKey};
use crate::storage::rows::{self, Prepared, add, change};
use crate::storage::store::Store;
use crate::storage::tx::Tx;

/// One command, who asked for it, and under which key.
pub struct Job {
    pub account: AccountId,
    once: Once,
    actor: (ActorKind, String),
    source: Source,
    /// What led to it.
    cause: Cause,
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
        let fingerprint = requests::fingerprint(&command);
        Self { account, once: Once::Key(key, fingerprint), actor, source, cause: Cause::default(), command }
    }

    /// A command of a transaction that sees to it itself that it is carried out once.
    pub fn within(account: AccountId, actor: (ActorKind, String), source: Source, command: Command) -> Self {
        Self { account, once: Once::Elsewhere, actor, source, cause: Cause::default(), command }
    }

    /// A command that the server gives itself, and may give again.
    pub fn by_itself(account: AccountId, command: Command) -> Self {
        let actor = (ActorKind::System, String::new());
        Self { account, once: Once::Elsewhere, actor, source: Source::Clock, cause: Cause::default(), command }
    }

    /// An action of a trigger, once: what becomes of it is written on its run in the same transaction.
    pub fn of_run(run: &run::Model, actor: (ActorKind, String), command: Command, ends_job: bool) -> Self {
        let once = Once::Run { id: run.id, ends_job };
        let cause = Cause { depth: run.depth, origin: run.origin_id };
        Self { account: run.account_id, once, actor, source: Source::Trigger, cause, command }
    }

    /// The same, as something that this led to.
    #[must_use]
    pub fn because(self, cause: Cause) -> Self {
        Self { cause, ..self }
    }
}

/// What a set of jobs is posted on.
pub struct Ground<'a> {
    pub txn: &'a DatabaseTransaction,
    /// Those of the jobs, all of them.
    pub accounts: &'a [account::Model],
    pub store: &'a Store,
    /// The transaction that this is a part of, which writes what happened with what else happens in it.
    pub within: Option<&'a Tx>,
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

/// Posts jobs, in order. Nothing of it lasts until the caller commits.
pub async fn post(ground: &Ground<'_>, jobs: &[&Job]) -> Result<Vec<Result<Outcome>>, Failure> {
    let commands = jobs.iter().map(|job| (job.account, &job.command)).collect::<Vec<_>>();
    let purpose = Purpose::Change(ground.store.whole_wallets);
    let known = ground.within.map(Tx::known).unwrap_or_default();
    let (mut library, server_clock) =
        load::library(ground.txn, (ground.accounts, known), &commands, purpose, || ground.store.clock.now()).await?;
    let due_before = due(&library);
    let accounts = ground.accounts.iter().map(|account| (account.id, account)).collect::<Accounts>();
    let wanted = jobs.iter().filter_map(|job| match &job.once {
        Once::Key(key, _) => Some((job.account, key.clone())),
        _ => None,
    });
    let mut known = requests::load(ground.txn, wanted, server_clock).await?;
    let wanted = jobs.iter().filter_map(|job| match &job.once {
        Once::Run { id, .. } => Some((job.account, *id)),
        _ => None,
    });
    let mut runs = Runs::load(ground.txn, wanted.collect()).await?;

    let mut written = Vec::new();
    let mut answers = Vec::with_capacity(jobs.len());
    for job in jobs {
        let before = match &job.once {
            Once::Key(key, fingerprint) => {
                let known = known.get(&(job.account, key.clone())).filter(|known| known.concerns(fingerprint));
                known.map(|known| known.answer(fingerprint))
            }
            Once::Run { id, .. } => runs.answer((job.account, *id))?,
            Once::Elsewhere => None,
        };
        if let Some(answer) = before {
            answers.push((job.account, answer));
            continue;
        }
        let books = library.get_mut(&job.account).expect("the ground has the accounts of its jobs");
        let clock = accounts[&job.account].clock_at.unwrap_or(server_clock);
        let (answer, recorded) = match run(ground, clock, books, &mut written, job) {
            Ok(posted) => {
                let ids = posted.iter().map(|posted| posted.0.id).collect();
                (Answer::Done(posted), Recorded::Done(ids))
            }
            Err(refusal) => (Answer::Refused(refusal.clone()), Recorded::Refused(refusal)),
        };
        match (&job.once, recorded) {
            // What depends on nothing that is stored is refused again anyhow.
            (Once::Key(..), Recorded::Refused(refusal)) if !refusal.is_recorded() => {}
            (Once::Key(key, fingerprint), recorded) => {
                let place = (job.account, key.clone());
                known.insert(place, Known { fingerprint: fingerprint.clone(), recorded, fresh: true, earlier: false });
            }
            (Once::Run { id, ends_job }, recorded) => {
                runs.end((job.account, *id), &recorded, *ends_job, clock)?;
            }
            (Once::Elsewhere, _) => {}
        }
        answers.push((job.account, answer));
    }
    rows::run(ground.txn, statements(ground.txn.get_database_backend(), &library, &written)).await?;
    let facts = facts(&accounts, &library, &written);
    if let Some(tx) = ground.within {
        tx.keep(facts);
    } else {
        rows::run(ground.txn, rows::add::<event::Entity>(ground.txn.get_database_backend(), facts)).await?;
    }
    // From now on the answers alone have the entries.
    drop(written);
    runs.write(ground.txn).await?;
    for (id, books) in &library {
        let account = accounts[id];
        let settled = commands.iter().filter(|(of, command)| of == id && matches!(command, Command::Settle(_)));
        let settled = settled.map(|(_, command)| command.wallet()).collect();
        schedule(ground, (account, books), &due_before, &settled).await?;
        jobs::reschedule(ground.txn, account, job::Kind::Act, runs.ended_jobs(*id)).await?;
        let clock = account.clock_at.unwrap_or(server_clock);
        let next = runs.next(*id).into_iter().map(|run| (run.to_string(), clock)).collect();
        jobs::schedule(ground.txn, account, job::Kind::Act, next, clock).await?;
    }
    if !requests::record(ground.txn, &known, server_clock).await? {
        return Err(Failure::Twin);
    }
    Ok(answers::finish(ground.txn, answers).await?)
}

/// The accounts of the jobs.
type Accounts<'a> = BTreeMap<AccountId, &'a account::Model>;

/// An entry that was decided, and how many triggers and automations led to it.
type Written = (Arc<Posted>, Cause);

/// What writes the entries, and what they changed: parents before children.
fn statements<'a>(
    backend: DbBackend,
    library: &'a Library,
    written: &'a [Written],
) -> impl Iterator<Item = Result<Prepared, DbErr>> + 'a {
    let wallets = || library.values().flat_map(|books| books.wallets.values());
    let touched = || wallets().filter(|wallet| wallet.noticed || !wallet.touched.is_empty());
    let mut wallets = touched().map(|wallet| wallet.row.clone()).collect::<Vec<_>>();
    wallets.sort_by_key(|row| (row.account_id, row.customer_id, row.credit_type_id));
    let wallets = converted(wallets);
    let (mut new_grants, mut grants, mut new_holds, mut holds) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for wallet in touched() {
        for grant in wallet.grants.iter().filter(|grant| wallet.touched.contains(&grant.id)) {
            if wallet.made.contains(&grant.id.0) { &mut new_grants } else { &mut grants }.push(grant.clone());
        }
        for held in wallet.holds.iter().filter(|held| wallet.touched_holds.contains(&held.row.id)) {
            if wallet.made.contains(&held.row.id.0) { &mut new_holds } else { &mut holds }.push(held.row.clone());
        }
    }
    grants.sort_by_key(|grant| (grant.account_id, grant.id));
    holds.sort_by_key(|hold| (hold.account_id, hold.id));
    let activities = written.iter().map(|(posted, _)| posted.0.clone().into());
    let allocations = written.iter().flat_map(|(posted, _)| posted.1.iter().cloned().map(Into::into));
    change::<wallet::Entity>(backend, wallets)
        .chain(change::<credit_grant::Entity>(backend, converted(grants)))
        .chain(add::<credit_grant::Entity>(backend, converted(new_grants)))
        .chain(add::<activity::Entity>(backend, activities))
        .chain(change::<hold::Entity>(backend, converted(holds)))
        .chain(add::<hold::Entity>(backend, converted(new_holds)))
        .chain(add::<allocation::Entity>(backend, allocations))
}

/// What happened: each entry, and what followed from it for those who watch a wallet.
fn facts<'a>(
    accounts: &'a Accounts<'a>,
    library: &'a Library,
    written: &'a [Written],
) -> impl Iterator<Item = event::Model> + 'a {
    let facts = written.iter().map(|(posted, cause)| {
        let activity = &posted.0;
        facts::of_activity(accounts[&activity.account_id], activity, *cause)
    });
    let notices = library
        .iter()
        .flat_map(|(id, books)| books.noticed.iter().map(|noticed| facts::of_notice(accounts[id], noticed)));
    facts.chain(notices)
}

/// Settles and decides one command, and makes the entries of both; answers those of the command.
fn run(
    ground: &Ground<'_>,
    clock: Instant,
    books: &mut Books,
    written: &mut Vec<Written>,
    job: &Job,
) -> Result<Vec<Arc<Posted>>, Refusal> {
    let (by_command, by_time) = (Told::by(job.actor.clone(), job.source, &job.command), Told::by_time());
    let mut answer = Vec::new();
    let ask = Ask { command: &job.command, source: job.source, cause: job.cause, clock, fresh: &fresh_id };
    books.play(&ask, &mut |wallet, entry, author| {
        let told = if author == Author::Command { &by_command } else { &by_time };
        if entry.follows {
            entry.reverses = written.last().map(|(posted, _)| posted.0.id);
        }
        let fresh = Fresh { id: ActivityId(fresh_id()), salt: fresh_salt };
        let posted = Arc::new(record(&ground.store.key.chain, wallet, entry, told, &fresh));
        let hash = posted.0.hash.clone();
        let cause = if author == Author::Command { job.cause } else { Cause::default() };
        if author == Author::Command {
            answer.push(posted.clone());
        }
        written.push((posted, cause));
        hash
    })?;
    Ok(answer)
}

/// When time next does something to each wallet.
fn due(library: &Library) -> HashMap<Place, Instant> {
    let of = |(account, books): (&AccountId, &Books)| {
        let due = books.wallets.keys().filter_map(|key| Some(((*account, *key), next_due(books, key)?)));
        due.collect::<Vec<_>>()
    };
    library.iter().flat_map(of).collect()
}

/// When time next does something to what was read of a wallet, or crosses a threshold in it. What was not read has its job
/// since it came.
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
    (account, books): (&account::Model, &Books),
    before: &HashMap<Place, Instant>,
    settled: &BTreeSet<WalletKey>,
) -> Result<(), DbErr> {
    let next = |key: &WalletKey| next_due(books, key);
    let sooner = books.wallets.keys().filter(|key| !settled.contains(key)).filter_map(|key| {
        let next = next(key)?;
        before.get(&(account.id, *key)).is_none_or(|due| next < *due).then(|| (wallet_key(*key), next))
    });
    jobs::schedule(ground.txn, account, job::Kind::Settle, sooner.collect(), ground.store.clock.now()).await?;
    // Whoever settles looks at what was not read in time.
    let unread = |key: &WalletKey| watch::next_look(books.wallets.get(key)?, books.types.get(&key.1)?);
    let settled =
        settled.iter().map(|key| (wallet_key(*key), next(key).into_iter().chain(unread(key)).min())).collect();
    jobs::reschedule(ground.txn, account, job::Kind::Settle, settled).await
}
