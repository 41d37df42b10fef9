//! What a request brings along: who asks, and one snapshot to read from.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_graphql::Context;
use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::batches::Batches;
use super::loaders::Reads;
use domain::accounts::tokens::Tokens;
use domain::{Caller, Error, Result, Role, Scope};

/// One request: its caller, and the snapshot that its answers are read from, opened when first needed.
#[derive(Clone)]
pub struct Session {
    caller: Caller,
    tokens: Arc<Tokens>,
    /// Names the request, in the log and in the access log.
    id: String,
    /// Whether it changes something: what it answers may then be read by whoever may change and not read.
    changes: bool,
    reads: Snapshot,
    batches: Batches,
}

impl Session {
    /// A request by a caller, under an id, that changes something or does not.
    #[must_use]
    pub fn new(caller: Caller, tokens: Arc<Tokens>, id: &str, changes: bool) -> Self {
        let (reads, batches) = (Snapshot::default(), Batches::default());
        Self { caller, tokens, id: id.to_owned(), changes, reads, batches }
    }

    /// The same, read together with others of equal sight: from one snapshot, in the same batches.
    #[must_use]
    pub fn beside(&self, snapshot: &Snapshot, batches: &Batches) -> Self {
        Self { reads: snapshot.clone(), batches: batches.clone(), ..self.clone() }
    }

    /// The same, for somebody who waits until `gone`: what is read for it takes turns, and ends with that.
    #[must_use]
    pub fn waited_for(self, gone: CancellationToken) -> Self {
        Self { caller: self.caller.waited_for(gone), ..self }
    }

    /// The same, which comes again [`at_length`](Self::at_length) before it reads much.
    #[must_use]
    pub fn comes_again(self) -> Self {
        Self { caller: self.caller.comes_again(), ..self }
    }

    /// The same, with a turn to read much, once it has come.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where that takes too long.
    pub async fn at_length(self) -> Result<Self> {
        Ok(Self { caller: self.caller.at_length().await?, ..self })
    }

    /// Who asks.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The request's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What runs the request, so that what it reads is read together.
    #[must_use]
    pub fn batches(&self) -> Batches {
        self.batches.clone()
    }

    /// What it reads from, to be let go between the answers of a stream.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.reads.clone()
    }

    async fn open(&self) -> Result<Arc<Reads>> {
        let caller = &self.caller;
        let view = if self.changes { caller.view_of_answer().await? } else { caller.view(Scope::OwnRead).await? };
        Ok(Arc::new(Reads::new(view, &self.batches, &self.reads.company)))
    }

    /// Lets what follows see what was just written.
    pub(super) fn refresh(&self) {
        self.reads.release();
    }
}

/// The snapshot of a request or of a group of them, which may be let go. What could not be opened is not tried again for
/// each who asks.
#[derive(Clone, Default)]
pub struct Snapshot {
    reads: Arc<Mutex<Opened>>,
    company: Arc<Company>,
}

/// What came of opening a snapshot, once somebody needed it.
type Opened = Arc<OnceCell<Result<Arc<Reads>>>>;

/// How a question is read, from what is known of it the longer the farther down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manner {
    /// By the loaders, together with others who ask the same.
    Together,
    /// By reads of its own.
    Alone,
    /// By reads of its own which may be long, and take turns.
    Long,
}

/// Whether a snapshot is read from for several queries, and whether one of them wanted to read past the loaders, and much.
#[derive(Default)]
pub struct Company {
    several: bool,
    left: AtomicBool,
    long: AtomicBool,
    turned_away: AtomicBool,
}

impl Company {
    /// Refuses to a query in company what is read for one alone. It is asked again alone, and its question from then on.
    pub fn leave(&self) -> Result<()> {
        self.left.store(true, Ordering::Relaxed);
        if self.several { Err(Error::Conflict("the rest of its group".to_owned())) } else { Ok(()) }
    }

    /// The same, for what may read much.
    pub fn leave_for_long(&self) -> Result<()> {
        self.long.store(true, Ordering::Relaxed);
        self.leave()
    }

    /// There was no turn to read much: it is asked again, with one.
    pub fn turn_away(&self) {
        self.turned_away.store(true, Ordering::Relaxed);
    }
}

impl Snapshot {
    /// One for several queries.
    #[must_use]
    pub fn of_several() -> Self {
        Self { company: Arc::new(Company { several: true, ..Company::default() }), ..Self::default() }
    }

    /// Lets it go: what is read next is read from a new one.
    pub fn release(&self) {
        *self.reads.lock().expect("nobody panics while changing snapshots") = Arc::default();
    }

    /// How it was read; unknown if nothing was.
    #[must_use]
    pub fn manner(&self) -> Option<Manner> {
        if self.company.long.load(Ordering::Relaxed) {
            return Some(Manner::Long);
        }
        if self.company.left.load(Ordering::Relaxed) {
            return Some(Manner::Alone);
        }
        matches!(self.cell().get(), Some(Ok(_))).then_some(Manner::Together)
    }

    /// Whether somebody wanted to read much, and is to come again with a turn.
    #[must_use]
    pub fn is_turned_away(&self) -> bool {
        self.company.turned_away.load(Ordering::Relaxed)
    }

    fn cell(&self) -> Opened {
        self.reads.lock().expect("nobody panics while changing snapshots").clone()
    }
}

/// What resolvers ask of the context.
pub(super) trait Ask {
    /// Who asks.
    fn caller(&self) -> Result<&Caller>;
    /// What makes tokens.
    fn tokens(&self) -> Result<&Tokens>;
    /// The request.
    fn session(&self) -> Result<&Session>;
    /// The request's snapshot, for a caller that may read so much.
    async fn reads(&self, scope: Scope) -> Result<Arc<Reads>>;
    /// Lets a query leave its company before it reads past the loaders.
    fn leave_company(&self) -> Result<()>;
    /// Whether what only staff sees is shown.
    fn is_staff(&self) -> bool;
}

impl Ask for Context<'_> {
    fn session(&self) -> Result<&Session> {
        self.data_opt::<Session>().ok_or_else(|| Error::Internal("a request without a session".to_owned()))
    }

    fn caller(&self) -> Result<&Caller> {
        Ok(&self.session()?.caller)
    }

    fn tokens(&self) -> Result<&Tokens> {
        Ok(&self.session()?.tokens)
    }

    async fn reads(&self, scope: Scope) -> Result<Arc<Reads>> {
        let session = self.session()?;
        let is_answer = session.changes && scope == Scope::OwnRead;
        if !(is_answer && matches!(session.caller.role(), Role::Key(..))) {
            session.caller.authorise(scope)?;
        }
        if !session.changes {
            // Whoever opens a snapshot may read; so must whoever reads from one that is open.
            session.caller.authorise(Scope::OwnRead)?;
        }
        let cell = session.reads.cell();
        if let Some(opened) = cell.get() {
            return opened.clone();
        }
        // In a box of no type: the future of every field that reads has this one within, and is as large, and the compiler
        // looks through all of it.
        let opening: BoxFuture<'_, _> = Box::pin(cell.get_or_init(|| session.open()));
        opening.await.clone()
    }

    fn leave_company(&self) -> Result<()> {
        self.session()?.reads.company.leave()
    }

    fn is_staff(&self) -> bool {
        self.caller().is_ok_and(|caller| caller.role().may(Scope::StaffRead))
    }
}
