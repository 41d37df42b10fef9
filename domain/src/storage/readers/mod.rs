//! Connections that read: a turn for everybody who asks, and an end for what nobody waits for any more.
//!
//! Each connection is a pool of its own, so that it is known who reads by which. Whoever asks over the network takes part
//! of them at most, and what reads much takes turns ([`Long`]), so that what is quick finds one free. A statement whose
//! caller is gone is ended at the database: SQLite asks between its steps whether to go on, PostgreSQL is told to cancel.
//! A future that reads is never cut off for that: its statement fails, and it ends as it would with any error.

mod place;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Deref;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, RuntimeErr, Statement};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

pub(crate) use place::Ending;
use place::{Connect, Place};

use super::store::PATIENCE;
use crate::ground::error::{Error, Result};

/// Connections that read.
pub(crate) const READERS: u32 = 8;
/// Those that one caller takes at most.
const SHARE: usize = 6;
/// What reads much at once; of one caller one at a time.
const LONG: usize = 2;
/// What waits for a turn to read much, and has a connection already: the rest is told to come again.
const WAITING: usize = 2;
/// How soon it is looked whether a connection is back whose statement nobody waits for, and how often the statement is ended
/// again at least: there may be another behind it.
const FIRST: Duration = Duration::from_millis(1);
const AGAIN: Duration = Duration::from_millis(50);
/// How long a connection may take to come back once what was read from it is gone; then it is given up.
const LOST: Duration = Duration::from_secs(5);
/// How long the database may take to hear that something is to end.
const TOLD: Duration = Duration::from_secs(1);
/// Callers that are remembered before those are forgotten who read nothing.
const CALLERS: usize = 1_024;

/// All of them.
pub(crate) struct Readers {
    places: Vec<Place>,
    free: Mutex<Vec<usize>>,
    turns: Arc<Semaphore>,
    long: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    shares: Mutex<HashMap<u64, Weak<Share>>>,
    connect: Connect,
    /// For what is part of no transaction: whether the database answers, and that something is to end.
    beside: Place,
    connect_beside: Connect,
}

/// What one caller takes of the connections.
struct Share {
    all: Arc<Semaphore>,
    long: Arc<Semaphore>,
}

/// Who reads over the network, and for how long somebody waits for it.
#[derive(Clone)]
pub struct Reader {
    who: u64,
    gone: CancellationToken,
    turn: Option<Arc<Long>>,
    /// Whether it comes again with a turn to read much, and neither waits for one with a connection nor reads on.
    comes_again: bool,
}

impl Reader {
    /// A caller, known by what it is, for whom somebody waits until `gone`.
    #[must_use]
    pub fn new(who: &impl Hash, gone: CancellationToken) -> Self {
        let mut hasher = DefaultHasher::new();
        who.hash(&mut hasher);
        Self { who: hasher.finish(), gone, turn: None, comes_again: false }
    }

    /// The same, which comes again with a turn to read much, before it has a connection.
    #[must_use]
    pub fn comes_again(self) -> Self {
        Self { comes_again: true, ..self }
    }

    /// The same, with a turn to read much.
    #[must_use]
    pub fn with(self, turn: Arc<Long>) -> Self {
        Self { turn: Some(turn), ..self }
    }
}

/// A turn to read much, until it is dropped.
pub struct Long {
    /// Its caller's own, one of all, and the share, which is there for as long as somebody has a part of it.
    _kept: (OwnedSemaphorePermit, OwnedSemaphorePermit, Arc<Share>),
}

/// One snapshot of the database, and the connection that it is read by.
pub struct Snapshot {
    // Dropped in this order: what is open is undone, then the place is free.
    txn: DatabaseTransaction,
    reading: Reading,
}

impl Deref for Snapshot {
    type Target = DatabaseTransaction;

    fn deref(&self) -> &DatabaseTransaction {
        &self.txn
    }
}

impl Snapshot {
    /// Takes a turn to read much, if whoever reads takes turns and has none. It has a connection already, so that few may
    /// wait; who comes again does not.
    ///
    /// # Errors
    /// [`Error::Conflict`] for who comes again, [`Error::Unavailable`] for who waited.
    pub async fn lengthen(&self) -> Result<()> {
        let Some(reader) = self.reading.reader.as_ref().filter(|reader| reader.turn.is_none()) else { return Ok(()) };
        let readers = &self.reading.readers;
        let turn = async {
            if reader.comes_again {
                return Err(Error::Conflict("those who read much".to_owned()));
            }
            let _waiting = readers.waiting.clone().try_acquire_owned().map_err(|_| busy())?;
            readers.long(reader).await
        };
        let mut kept = self.reading.turn.lock().await;
        if kept.is_none() {
            *kept = Some(Arc::new(turn.await?));
        }
        Ok(())
    }
}

/// A place that is taken, until it is dropped.
struct Reading {
    readers: Arc<Readers>,
    place: usize,
    reader: Option<Reader>,
    turn: tokio::sync::Mutex<Option<Arc<Long>>>,
    /// Comes true when it is dropped, for who looks whether somebody still waits.
    over: Option<CancellationToken>,
    permits: Option<Permits>,
}

/// The turn of whoever reads, and its share.
type Permits = (OwnedSemaphorePermit, Option<(OwnedSemaphorePermit, Arc<Share>)>);

impl Drop for Reading {
    fn drop(&mut self) {
        match (&self.over, self.permits.take()) {
            // Whoever looks after it has the permits, and lets the place go.
            (Some(over), _) => over.cancel(),
            (None, permits) => self.readers.release(self.place, permits),
        }
    }
}

fn busy() -> Error {
    Error::Unavailable("all connections that read are taken".into())
}

fn unwanted() -> Error {
    Error::Unavailable("nobody waits for what was to be read".into())
}

impl Readers {
    /// Connections that are made when they are needed, and one for what is part of no transaction.
    pub fn new(connect: Connect, connect_beside: Connect) -> Arc<Self> {
        let places = (0..READERS).map(|_| Place::new(&connect)).collect::<Vec<_>>();
        Arc::new(Self {
            free: Mutex::new((0..places.len()).rev().collect()),
            turns: Arc::new(Semaphore::new(places.len())),
            places,
            long: Arc::new(Semaphore::new(LONG)),
            waiting: Arc::new(Semaphore::new(WAITING)),
            shares: Mutex::default(),
            connect,
            beside: Place::new(&connect_beside),
            connect_beside,
        })
    }

    /// Runs a statement that is part of no transaction, and takes a moment.
    pub async fn beside(&self, statement: Statement) -> Result<(), DbErr> {
        if let Ok(done) = tokio::time::timeout(TOLD, self.beside.connection().execute_raw(statement)).await {
            return done.map(drop);
        }
        self.beside.renew(&self.connect_beside);
        Err(DbErr::Conn(RuntimeErr::SqlxError(Arc::new(sqlx::Error::PoolTimedOut))))
    }

    /// How many there are, and how many do nothing.
    pub fn count(&self) -> (u32, usize) {
        self.places.iter().map(Place::pool).fold((0, 0), |(all, idle), (size, at_rest)| (all + size, idle + at_rest))
    }

    /// For how long somebody has read by one of them, the longest of all.
    pub fn longest(&self) -> Duration {
        self.places.iter().filter_map(Place::reading_for).max().unwrap_or_default()
    }

    /// Opens a transaction that sees one snapshot and writes nothing: for this server itself, or for somebody who takes
    /// turns with others.
    pub async fn snapshot(self: &Arc<Self>, reader: Option<&Reader>) -> Result<Snapshot> {
        let gone = async {
            match reader {
                Some(reader) => reader.gone.cancelled().await,
                None => std::future::pending().await,
            }
        };
        let permits = tokio::select! {
            biased;
            () = gone => return Err(unwanted()),
            permits = tokio::time::timeout(PATIENCE, self.permits(reader)) => permits.map_err(|_| busy())?,
        };
        // From here on nothing is cut off: a connection would be half-way into a transaction.
        let place = self.take();
        let reading = self.reading(place, reader, permits);
        match self.places[place].begin().await {
            Ok(txn) => Ok(Snapshot { txn, reading }),
            Err(error) => {
                if self.places[place].is_out() {
                    self.give_up(place);
                }
                Err(error.into())
            }
        }
    }

    async fn permits(&self, reader: Option<&Reader>) -> Permits {
        let share = match reader {
            Some(reader) => {
                let share = self.share(reader.who);
                Some((acquired(&share.all).await, share))
            }
            None => None,
        };
        (acquired(&self.turns).await, share)
    }

    /// A turn to read much: of one caller one at a time, so that others come next.
    pub async fn long(&self, reader: &Reader) -> Result<Long> {
        let share = self.share(reader.who);
        let turn = async {
            let own = acquired(&share.long).await;
            (own, acquired(&self.long).await)
        };
        tokio::select! {
            () = reader.gone.cancelled() => Err(unwanted()),
            turn = tokio::time::timeout(PATIENCE, turn) => {
                let (own, one) = turn.map_err(|_| busy())?;
                Ok(Long { _kept: (own, one, share.clone()) })
            }
        }
    }

    fn share(&self, who: u64) -> Arc<Share> {
        let mut shares = self.shares.lock().expect("nobody panics while sharing");
        if let Some(share) = shares.get(&who).and_then(Weak::upgrade) {
            return share;
        }
        if shares.len() >= CALLERS {
            shares.retain(|_, share| share.strong_count() > 0);
        }
        let share = Arc::new(Share { all: Arc::new(Semaphore::new(SHARE)), long: Arc::new(Semaphore::new(1)) });
        shares.insert(who, Arc::downgrade(&share));
        share
    }

    /// A free place, for whoever has a turn: one whose connection waits for work, if there is one.
    fn take(&self) -> usize {
        let mut free = self.free.lock().expect("nobody panics while taking a place");
        for place in free.iter().filter(|place| self.places[**place].is_lost(LOST)) {
            self.give_up(*place);
        }
        let at = |fits: fn((u32, usize)) -> bool| free.iter().rposition(|place| fits(self.places[*place].pool()));
        let at = at(|(_, idle)| idle > 0).or_else(|| at(|(size, _)| size == 0)).unwrap_or(0);
        let place = free.remove(at);
        self.places[place].begins();
        place
    }

    fn release(&self, place: usize, permits: Option<Permits>) {
        self.places[place].ends();
        self.free.lock().expect("nobody panics while leaving a place").push(place);
        drop(permits);
    }

    fn reading(self: &Arc<Self>, place: usize, reader: Option<&Reader>, permits: Permits) -> Reading {
        let turn = tokio::sync::Mutex::new(reader.and_then(|reader| reader.turn.clone()));
        let (readers, reader) = (self.clone(), reader.cloned());
        let Some(gone) = reader.as_ref().map(|reader| reader.gone.clone()) else {
            return Reading { readers, place, reader, turn, over: None, permits: Some(permits) };
        };
        let over = CancellationToken::new();
        let (watched, until) = (self.clone(), over.clone());
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = until.cancelled() => {}
                () = gone.cancelled() => watched.end(place, &until).await,
            }
            watched.release(place, Some(permits));
        });
        Reading { readers, place, reader, turn, over: Some(over), permits: None }
    }

    /// Ends what runs on a connection, and what comes after it, until the connection is back.
    async fn end(&self, place: usize, over: &CancellationToken) {
        let at = &self.places[place];
        at.ending.cut.store(true, Ordering::Relaxed);
        let (mut since, mut pause) = (None, FIRST);
        while !over.is_cancelled() || at.is_out() {
            tokio::time::sleep(pause).await;
            if pause > FIRST {
                self.cancel(at).await;
            }
            pause = AGAIN.min(pause * 2);
            if over.is_cancelled() && since.get_or_insert_with(Instant::now).elapsed() > LOST {
                self.give_up(place);
                break;
            }
        }
        at.ending.cut.store(false, Ordering::Relaxed);
    }

    /// Tells PostgreSQL that a connection's statement is to end.
    async fn cancel(&self, place: &Place) {
        let backend = place.ending.backend.load(Ordering::Relaxed);
        if backend == 0 {
            return;
        }
        let cancel =
            Statement::from_sql_and_values(DbBackend::Postgres, "SELECT pg_cancel_backend($1)", [backend.into()]);
        if let Err(error) = self.beside(cancel).await {
            tracing::debug!(%error, "a statement could not be cancelled; it is tried again");
        }
    }

    /// Puts another connection in the place of one that does not come back.
    fn give_up(&self, place: usize) {
        self.places[place].renew(&self.connect);
        metrics::counter!("scrip_connections_lost_total").increment(1);
        tracing::error!(place, "a connection that read did not come back: it is given up, and another one is made");
    }

    /// Closes every connection once its work is done.
    pub async fn close(&self) -> Result<(), DbErr> {
        for place in &self.places {
            place.connection().close_by_ref().await?;
        }
        self.beside.connection().close_by_ref().await
    }
}

async fn acquired(semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    semaphore.clone().acquire_owned().await.expect("it is never closed")
}
