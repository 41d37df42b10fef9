//! Queries that ask the same of the same account at the same time are read together: from one snapshot, in one statement
//! for each level and table, whatever their variables. As the ledger commits in groups, so these are answered in groups.
//!
//! Nobody waits for company: who comes while enough groups of a question are under way is in the next one, with all that
//! came meanwhile, and so sees a snapshot that is younger than its request. Each is still authorised by itself; what a
//! group shares is what all of it may see, and a question, so that nobody waits for a dearer one. A question whose answer
//! takes reads of its own, a report or a search, is asked alone: which it is, its first run shows.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::num::NonZero;
use std::ops::RangeInclusive;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_graphql::Response as Answer;
use async_graphql::parser::types::OperationType;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use moka::sync::Cache;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};

use super::apart;
use super::budget::as_error;
use super::operation::Operation;
use crate::domain::Seen;
use crate::domain::storage::spent;
use crate::graphql::batches::Batches;
use crate::graphql::context::{Manner, Session, Snapshot};
use crate::graphql::{COMPLEXITY, ScripSchema, broke};

/// Groups of one question that run at once: one for each processor, at least one that waits for the database beside one
/// that does not, at most as many as there are connections to read by. More of them would be smaller.
const AT_ONCE: RangeInclusive<usize> = 2..=8;
/// Queries in one group, which together cost no more than one may.
const MOST: usize = 32;
/// How long a query goes on that was ended, before it is dropped.
const GIVEN_UP: Duration = Duration::from_secs(5);
/// Bytes of questions of which it is known how they are read, and for how long.
const KNOWN: u64 = 4 * 1024 * 1024;
const KNOWN_FOR: Duration = Duration::from_mins(10);

/// What is under way, and what waits for the next group.
#[derive(Clone)]
pub struct Groups {
    schema: ScripSchema,
    tracker: TaskTracker,
    asked: Arc<Mutex<HashMap<Arc<Question>, Asked>>>,
    /// How a question that was asked lately is read.
    known: Cache<Arc<Question>, Manner>,
    at_once: usize,
}

/// What makes queries alike: what they read, and the text that says what of it.
#[derive(PartialEq, Eq, Hash)]
struct Question {
    seen: Seen,
    text: String,
    operation: Option<String>,
}

#[derive(Default)]
struct Asked {
    running: usize,
    waiting: VecDeque<Asking>,
}

impl Asked {
    /// Who is in the next group: those who still wait, oldest first.
    fn next(&mut self) -> Vec<Asking> {
        let (mut group, mut left) = (Vec::new(), COMPLEXITY);
        while let Some(asking) = self.waiting.pop_front_if(|asking| {
            group.is_empty() || !asking.waits() || (group.len() < MOST && asking.operation.cost <= left)
        }) {
            if asking.waits() {
                left = left.saturating_sub(asking.operation.cost);
                group.push(asking);
            }
        }
        group
    }
}

/// Somebody who waits for an answer.
struct Asking {
    operation: Operation,
    session: Session,
    span: Span,
    /// Where the answer goes, once, and the place in the server that is free again then.
    answer: Mutex<Option<(oneshot::Sender<Answer>, OwnedSemaphorePermit)>>,
    /// Comes true when nobody waits any more.
    gone: CancellationToken,
}

/// Waits for an answer. When it is dropped without one, nobody waits any more, and what only reads is ended.
pub struct Waiting {
    answer: oneshot::Receiver<Answer>,
    gone: DropGuard,
}

/// Why there is no answer.
pub enum Unanswered {
    /// It takes too long.
    Late,
    /// Answering it ended in a panic.
    Broken,
}

impl Waiting {
    /// The answer, if it comes in time.
    pub async fn answer(mut self, patience: Duration) -> Result<Answer, Unanswered> {
        let answer = tokio::time::timeout(patience, &mut self.answer).await.map_err(|_| Unanswered::Late)?;
        // Who has read it lets its connection go by itself.
        self.gone.disarm();
        answer.map_err(|_| Unanswered::Broken)
    }
}

impl Asking {
    /// Whether somebody waits: nobody was told, and nobody hung up.
    fn waits(&self) -> bool {
        !self.gone.is_cancelled() && self.answer.lock().expect("nobody panics while answering").is_some()
    }

    /// Who has hung up hears nothing.
    fn tell(&self, answer: Answer) {
        let waits = self.answer.lock().expect("nobody panics while answering").take();
        if let Some((to, _place)) = waits {
            drop(to.send(answer));
        }
    }
}

impl Groups {
    /// Groups of operations that a schema answers, in tasks that are kept track of.
    #[must_use]
    pub fn new(schema: ScripSchema, tracker: TaskTracker) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let at_once = processors.clamp(*AT_ONCE.start(), *AT_ONCE.end());
        let bytes = |question: &Arc<Question>, _: &Manner| u32::try_from(question.text.len() + 256).unwrap_or(u32::MAX);
        let known = Cache::builder().weigher(bytes).max_capacity(KNOWN).time_to_live(KNOWN_FOR).build();
        Self { schema, tracker, asked: Arc::default(), known, at_once }
    }

    /// Runs an operation in a task of its own or, if it is a query, of its group. The receiver fails if that panicked.
    pub fn ask(&self, operation: Operation, session: Session, place: OwnedSemaphorePermit) -> Waiting {
        let (to, answer) = oneshot::channel();
        let gone = CancellationToken::new();
        let waiting = Waiting { answer, gone: gone.clone().drop_guard() };
        let question = question(&operation, &session);
        let span = tracing::info_span!("operation");
        // What changes something goes on, whoever waits.
        let reads = operation.kind == Some(OperationType::Query);
        let session = if reads { session.waited_for(gone.clone()).comes_again() } else { session };
        let asking = Asking { operation, session, span, answer: Mutex::new(Some((to, place))), gone };
        let suits = |question: &Arc<Question>| self.known.get(question) == Some(Manner::Together);
        let Some(question) = question.as_ref().filter(|question| suits(question)) else {
            self.tracker.spawn(self.clone().alone(question, asking));
            return waiting;
        };
        let mut asked = self.asked.lock().expect("nobody panics while asking");
        let of_question = asked.entry(question.clone()).or_default();
        if of_question.running == self.at_once {
            of_question.waiting.push_back(asking);
        } else {
            of_question.running += 1;
            self.tracker.spawn(self.clone().run(question.clone(), vec![asking]));
        }
        waiting
    }

    /// Answers one group after another, for as long as somebody waits.
    async fn run(self, question: Arc<Question>, mut group: Vec<Asking>) {
        loop {
            self.answer(&question, group).await;
            group = match self.asked.lock().expect("nobody panics while asking").entry(question.clone()) {
                Entry::Vacant(_) => return,
                Entry::Occupied(mut asked) => {
                    let next = asked.get_mut().next();
                    if next.is_empty() {
                        asked.get_mut().running -= 1;
                        if asked.get().running == 0 {
                            asked.remove();
                        }
                        return;
                    }
                    next
                }
            };
        }
    }

    /// Answers a group. Whoever is not answered in it is asked again, each alone, since a query changes nothing: what
    /// breaks one query may break the others that share its transaction.
    async fn answer(&self, question: &Arc<Question>, group: Vec<Asking>) {
        let company = group.len() > 1;
        let together = AssertUnwindSafe(together(&self.schema, &group, company)).catch_unwind();
        if let Ok(manner) = together.await {
            self.learn(Some(question), manner);
        } else {
            tracing::error!(queries = group.len(), "a group of queries ended in a panic");
            self.learn(Some(question), Some(Manner::Alone));
        }
        for asking in group.into_iter().filter(|asking| company && asking.waits()) {
            self.tracker.spawn(self.clone().alone(Some(question.clone()), asking));
        }
    }

    async fn alone(self, question: Option<Arc<Question>>, mut asking: Asking) {
        let known = question.as_ref().and_then(|question| self.known.get(question));
        if known != Some(Manner::Long) {
            let manner = together(&self.schema, std::slice::from_ref(&asking), false).await;
            self.learn(question.as_ref(), manner);
            if manner != Some(Manner::Long) || !asking.waits() {
                return;
            }
        }
        // What is known to read much waits for its turn before it has a connection.
        match asking.session.clone().at_length().await {
            Ok(session) => asking.session = session,
            Err(error) => return asking.tell(Answer::from_errors(vec![as_error(error)])),
        }
        let schema = self.schema.clone();
        let read = apart::run(async move { together(&schema, std::slice::from_ref(&asking), false).await });
        match read.await {
            Ok(manner) => self.learn(question.as_ref(), manner),
            Err(error) => tracing::error!(%error, "a query that reads much ended in a panic"),
        }
    }

    /// Remembers how a question was read, as far as that is news: once alone, alone for as long as it is known.
    fn learn(&self, question: Option<&Arc<Question>>, manner: Option<Manner>) {
        if let (Some(question), Some(manner)) = (question, manner)
            && self.known.get(question).is_none_or(|known| manner > known)
        {
            self.known.insert(question.clone(), manner);
        }
    }
}

/// What a query has in common with others; none where it shares nothing.
fn question(operation: &Operation, session: &Session) -> Option<Arc<Question>> {
    if operation.kind != Some(OperationType::Query) {
        return None;
    }
    let seen = session.caller().sees()?;
    let (text, name) = operation.question();
    Some(Arc::new(Question { seen, text, operation: name }))
}

/// Runs a group as one request, each of whose answers is told as soon as it is there. In company what broke is left, but
/// for what nobody could have read. Answers how it was read. Once nobody waits for any of them, what they read is ended; who
/// does not end with it is dropped.
async fn together(schema: &ScripSchema, group: &[Asking], company: bool) -> Option<Manner> {
    let snapshot = if company { Snapshot::of_several() } else { Snapshot::default() };
    let batches = Batches::default();
    let (gone, failed) = (CancellationToken::new(), AtomicBool::new(false));
    let all = group.iter().map(|asking| {
        let session = asking.session.beside(&snapshot, &batches);
        let session = if company { session.waited_for(gone.clone()).comes_again() } else { session };
        let query = asking.operation.query().data(session);
        let (snapshot, failed) = (&snapshot, &failed);
        let run = async move {
            let answer = schema.execute(query).await;
            failed.fetch_or(answer.is_err(), Ordering::Relaxed);
            let again = snapshot.is_turned_away() || company && broke(&answer) && snapshot.manner().is_some();
            if !again {
                asking.tell(answer);
            }
        };
        run.instrument(asking.span.clone())
    });
    let all = all.collect::<FuturesUnordered<_>>();
    let span = group.first().filter(|_| !company).map_or_else(Span::none, |asking| asking.span.clone());
    let unfinished = batches.clone();
    let run = spent::counted(batches.run(all.for_each(|()| std::future::ready(()))).instrument(span));
    tokio::select! {
        ((), spent) = run => {
            let each = spent / u32::try_from(group.len()).unwrap_or(u32::MAX);
            for asking in group {
                asking.operation.took(each);
            }
        }
        () = nobody_waits(group, &gone) => {
            tracing::error!(queries = group.len(), "queries that nobody waits for did not end: they are dropped");
        }
    }
    // A field that failed leaves those beside it unread, in the middle of a statement perhaps.
    let alone = snapshot.manner().is_some_and(|manner| manner > Manner::Together);
    if failed.into_inner() && (alone || unfinished.are_unfinished()) {
        match group {
            [asking] if !snapshot.is_turned_away() => asking.gone.cancel(),
            _ => gone.cancel(),
        }
    }
    snapshot.manner()
}

/// Comes true when queries should long have ended: nobody waits for any of them. What changes something goes on for ever.
async fn nobody_waits(group: &[Asking], gone: &CancellationToken) {
    if group.iter().any(|asking| asking.operation.kind != Some(OperationType::Query)) {
        return std::future::pending().await;
    }
    for asking in group {
        asking.gone.cancelled().await;
    }
    gone.cancel();
    tokio::time::sleep(GIVEN_UP).await;
}
