//! Group commit: what is waiting is committed together, because a flush costs the same for one command as for many.
//!
//! A command goes to the lane of its wallet and waits there. The lane takes whatever is queued, posts it in one
//! transaction and answers each; one command alone commits at once. SQLite has one lane, being one writer. A transaction
//! holds commands of several accounts, each decided over what its own account holds; where tables are sharded by account,
//! of one only. The lane, not the request, owns the write: a caller that hangs up leaves it to finish.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant as Stopwatch};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::answers::Outcome;
use super::post::{self, Failure, Ground, Job};
use crate::ground::error::{Error, Fault, Result, fault};
use crate::storage::store::Store;
use crate::storage::tx;

/// The most commands in one commit, where nothing else is said.
pub const BATCH: usize = 256;
/// The most commands that wait in a lane before the next one hears `UNAVAILABLE`.
const QUEUE: usize = 4_096;
/// Lanes on PostgreSQL: as many commits are under way at once, so that some work while others wait for their flush. More
/// of them would share the same commands out over more commits.
const LANES: usize = 4;
/// Turns that a lane leaves to others once it has answered: whoever asks again at once is in the next commit, not in the
/// one after it.
const TURNS: u32 = 8;
/// Commands in a row that find the database away before the rest of their batch is not tried.
const GIVE_UP: u32 = 2;
/// The ways into the ledger.
pub struct Lanes {
    senders: RwLock<Vec<mpsc::Sender<Waiting>>>,
    limits: Arc<Limits>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// What goes into one commit.
struct Limits {
    /// At most so many commands.
    batch: AtomicUsize,
    /// Of one account only.
    apart: AtomicBool,
}

struct Waiting {
    job: Job,
    answer: oneshot::Sender<Result<Outcome>>,
}

impl Lanes {
    /// Starts them.
    pub fn start(store: &Arc<Store>) -> Self {
        let lanes = if store.has_one_writer() { 1 } else { LANES };
        let limits = Arc::new(Limits { batch: AtomicUsize::new(BATCH), apart: AtomicBool::new(false) });
        let (senders, tasks) = (0..lanes)
            .map(|_| {
                let (sender, queue) = mpsc::channel(QUEUE);
                (sender, tokio::spawn(work(store.clone(), queue, limits.clone())))
            })
            .unzip();
        Self { senders: RwLock::new(senders), limits, tasks: Mutex::new(tasks) }
    }

    /// Puts at most so many commands into one commit from now on: 1 to [`BATCH`].
    pub fn limit(&self, batch: usize) {
        self.limits.batch.store(batch.clamp(1, BATCH), Ordering::Relaxed);
    }

    /// Puts commands of one account only into one commit from now on, or of any.
    pub fn keep_accounts_apart(&self, apart: bool) {
        self.limits.apart.store(apart, Ordering::Relaxed);
    }

    /// Queues a job and waits for what became of it.
    pub async fn submit(&self, job: Job) -> Result<Outcome> {
        let (answer, outcome) = oneshot::channel();
        {
            let senders = self.senders.read().expect("nobody panics while choosing a lane");
            if senders.is_empty() {
                return Err(Error::Unavailable("the server is shutting down".into()));
            }
            let mut hasher = DefaultHasher::new();
            (job.account, job.command.wallet()).hash(&mut hasher);
            let lane = usize::try_from(hasher.finish() % senders.len() as u64).unwrap_or_default();
            senders[lane]
                .try_send(Waiting { job, answer })
                .map_err(|_| Error::Unavailable("too many writes are waiting".into()))?;
        }
        outcome.await.unwrap_or_else(|_| Err(Error::Internal("a ledger lane ended before it answered".into())))
    }

    /// How many jobs wait in all lanes.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let senders = self.senders.read().expect("nobody panics while choosing a lane");
        senders.iter().map(|sender| sender.max_capacity() - sender.capacity()).sum()
    }

    /// Finishes what is queued and takes no more.
    pub async fn close(&self) {
        self.senders.write().expect("nobody panics while choosing a lane").clear();
        let tasks = std::mem::take(&mut *self.tasks.lock().expect("nobody panics while closing"));
        for task in tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a ledger lane did not end by itself");
            }
        }
    }
}

/// One lane: takes what is queued, commits it, answers, again.
async fn work(store: Arc<Store>, mut queue: mpsc::Receiver<Waiting>, limits: Arc<Limits>) {
    while let Some(first) = queue.recv().await {
        let mut batch = vec![first];
        let limit = limits.batch.load(Ordering::Relaxed);
        while batch.len() < limit
            && let Ok(next) = queue.try_recv()
        {
            batch.push(next);
        }
        let (jobs, answers): (Vec<_>, Vec<_>) = batch.into_iter().map(|waiting| (waiting.job, waiting.answer)).unzip();
        let apart = limits.apart.load(Ordering::Relaxed);
        let outcomes = commit_all(&store, &Arc::new(jobs), apart).await;
        for (answer, outcome) in answers.into_iter().zip(outcomes) {
            // A caller that hung up is told nothing; the key knows.
            drop(answer.send(outcome));
        }
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
    }
}

/// Commits a batch: whole where it can be, one command at a time where no command explains why it failed.
async fn commit_all(store: &Arc<Store>, jobs: &Arc<Vec<Job>>, apart: bool) -> Vec<Result<Outcome>> {
    let mut outcomes = Vec::with_capacity(jobs.len());
    for unit in units(jobs, apart) {
        let started = Stopwatch::now();
        let posted = match guarded(store, jobs, &unit).await {
            Ok(posted) => posted,
            Err(error) if unit.len() > 1 => {
                tracing::warn!(%error, commands = unit.len(), "a batch failed: its commands are run one at a time");
                one_at_a_time(store, jobs, &unit).await
            }
            Err(error) => unit.iter().map(|_| Err(share(&error))).collect(),
        };
        metrics::histogram!("scrip_ledger_commit_seconds").record(started.elapsed().as_secs_f64());
        metrics::histogram!("scrip_ledger_batch_commands")
            .record(f64::from(u32::try_from(unit.len()).unwrap_or(u32::MAX)));
        outcomes.extend(unit.into_iter().zip(posted));
    }
    outcomes.sort_by_key(|(index, _)| *index);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// Runs each command alone: one that cannot be posted, or whose wallet somebody holds, leaves the others as they are.
/// Where the database is away for several, it is away for the rest.
async fn one_at_a_time(store: &Arc<Store>, jobs: &Arc<Vec<Job>>, unit: &[usize]) -> Vec<Result<Outcome>> {
    let mut outcomes: Vec<Result<Outcome>> = Vec::with_capacity(unit.len());
    let mut away = 0;
    for index in unit {
        let outcome = match outcomes.last() {
            Some(Err(error)) if away >= GIVE_UP => Err(share(error)),
            _ => guarded(store, jobs, &[*index]).await.and_then(|mut one| one.remove(0)),
        };
        away = if outcome.as_ref().is_err_and(Error::passes) { away + 1 } else { 0 };
        outcomes.push(outcome);
    }
    outcomes
}

/// Commits in a task of its own, so that a panic in one command ends neither its lane nor its neighbours.
async fn guarded(store: &Arc<Store>, jobs: &Arc<Vec<Job>>, unit: &[usize]) -> Result<Vec<Result<Outcome>>> {
    let (store, jobs, unit) = (store.clone(), jobs.clone(), unit.to_vec());
    let span = tracing::info_span!("ledger_commit", commands = unit.len());
    let committed = tokio::spawn(async move { commit(&store, &jobs, &unit).await }.instrument(span)).await;
    committed.unwrap_or_else(|error| Err(Error::Internal(format!("a ledger command ended in a panic: {error}"))))
}

/// What goes into one transaction: everything, because a flush is a flush; or one account's commands.
fn units(jobs: &[Job], apart: bool) -> Vec<Vec<usize>> {
    let mut units: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (index, job) in jobs.iter().enumerate() {
        units.entry(apart.then_some(job.account)).or_default().push(index);
    }
    units.into_values().collect()
}

/// Commits some jobs in one transaction, again where another was in the way.
async fn commit(store: &Store, jobs: &[Job], unit: &[usize]) -> Result<Vec<Result<Outcome>>> {
    let mut pause = Duration::from_millis(2);
    for _ in 1..tx::TRIES {
        match attempt(store, jobs, unit).await {
            Err(Failure::Twin) => {}
            Err(Failure::Database(error)) if fault(&error) == Fault::Conflict => {
                tokio::time::sleep(pause).await;
                pause *= 3;
            }
            Err(Failure::Database(error)) => return Err(error.into()),
            Ok(outcomes) => return Ok(outcomes),
        }
    }
    match attempt(store, jobs, unit).await {
        Err(Failure::Twin) => Err(Error::Unavailable("another server keeps writing the same key".into())),
        Err(Failure::Database(error)) => Err(error.into()),
        Ok(outcomes) => Ok(outcomes),
    }
}

/// One transaction.
async fn attempt(store: &Store, jobs: &[Job], unit: &[usize]) -> Result<Vec<Result<Outcome>>, Failure> {
    let txn = store.begin().await?;
    let accounts = unit.iter().map(|index| jobs[*index].account).collect();
    let accounts = tx::find_accounts(&txn, accounts).await?;
    let is_there = |job: &&Job| accounts.iter().any(|account| account.id == job.account);
    let ground = Ground { txn: &txn, accounts: &accounts, store, within: None };
    let jobs = || unit.iter().map(|index| &jobs[*index]);
    let mut posted = post::post(&ground, &jobs().filter(is_there).collect::<Vec<_>>()).await?.into_iter();
    txn.commit().await?;
    let mut changed: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for job in jobs() {
        changed.entry(job.account).or_default().extend(job.command.customers());
    }
    for (account, customers) in changed {
        store.hub.changed(account, customers);
    }
    if accounts.iter().any(|account| account.followed.as_array().is_some_and(|followed| !followed.is_empty())) {
        store.hub.wake();
    }
    let outcome = |job| is_there(&job).then(|| posted.next()).flatten().unwrap_or(Err(Error::Unauthenticated));
    Ok(jobs().map(outcome).collect())
}

/// The same bad news for each of a batch.
fn share(error: &Error) -> Error {
    match error {
        Error::Unavailable(why) => Error::Unavailable(why.clone()),
        Error::Conflict(why) => Error::Conflict(why.clone()),
        other => Error::Internal(other.to_string()),
    }
}
