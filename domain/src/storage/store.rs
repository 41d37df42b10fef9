//! Where rows are kept, by what time, and with which key: connections, migrations, durability.
//!
//! SQLite has one writer (`BEGIN IMMEDIATE`, WAL, `synchronous=FULL`), PostgreSQL a pool of them; both have readers of their
//! own, so that a burst of queries never keeps the ledger from a connection.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, SqliteTransactionMode, Statement,
    TransactionOptions, TransactionTrait,
};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection};

use super::live::Hub;
use super::readers::{Ending, Long, Reader, Readers, Snapshot};
use super::spent;
use crate::ground::clock::{Clock, Instant, SystemClock, truncate};
use crate::ground::error::{Error, Result};
use crate::ground::fault as broken;
use crate::ground::fault::Fault as Broken;
use crate::keys::LedgerKey;

/// How long a statement waits for a lock or a connection before the caller hears `UNAVAILABLE`.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// Pages that SQLite's one writer keeps, in KiB (negative: a size, not a count): 64 MiB, taken as they are needed.
const WRITER_CACHE: &str = "-65536";
/// Connections that write, on PostgreSQL.
const WRITERS: u32 = 8;
/// Connections for what is part of no transaction.
const BESIDE: u32 = 2;
/// After how many of its steps SQLite asks whether to go on: some tenths of a millisecond.
const STEPS: i32 = 4_000;

/// Open grants up to which a wallet is read whole; a wallet with more of them is read in part, half as many at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WholeUpTo(pub u16);

impl Default for WholeUpTo {
    fn default() -> Self {
        Self(128)
    }
}

/// The database, the clock and the ledger's key.
pub struct Store {
    writer: DatabaseConnection,
    readers: Arc<Readers>,
    statements: Arc<AtomicU64>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) key: LedgerKey,
    /// Up to how many open grants wallets are read whole.
    pub(crate) whole_wallets: WholeUpTo,
    /// Who hears of what is committed.
    pub(crate) hub: Arc<Hub>,
    /// Where it is, for who listens there.
    url: String,
}

/// Whether connecting may make a SQLite file that is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    Create,
    Refuse,
}

impl Store {
    /// Connects to `sqlite:PATH` or `postgres://…` and makes sure that what it promises to keep, it keeps.
    pub async fn connect(url: &str, missing: Missing, clock: Arc<dyn Clock>, key: LedgerKey) -> Result<Self> {
        let statements = Arc::new(AtomicU64::new(0));
        let counter = statements.clone();
        let metered = move |mut connection: DatabaseConnection| {
            let counter = counter.clone();
            connection.set_metric_callback(move |info| {
                counter.fetch_add(1, Ordering::Relaxed);
                spent::add(info.elapsed);
                metrics::counter!("scrip_statements_total").increment(1);
                // Without its values: `log = scrip::sql=trace` shows what takes how long, and nobody's data.
                let micros = u64::try_from(info.elapsed.as_micros()).unwrap_or(u64::MAX);
                tracing::trace!(target: "scrip::sql", micros, sql = info.statement.sql, "a statement");
            });
            connection
        };
        let (writer, readers) = if url.starts_with("sqlite:") {
            connect_sqlite(url, missing, metered).await?
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            connect_postgres(url, metered).await?
        } else {
            return Err(Error::Unavailable("the database URL must begin with sqlite: or postgres://".into()));
        };
        let (hub, whole_wallets, url) = (Arc::default(), WholeUpTo::default(), url.to_owned());
        let store = Self { writer, readers, statements, clock, key, whole_wallets, hub, url };
        store.assert_durable().await?;
        Ok(store)
    }

    /// Reads wallets whole up to so many open grants, and in part where they have more.
    #[must_use]
    pub fn with_whole_wallets(mut self, up_to: u16) -> Self {
        self.whole_wallets = WholeUpTo(up_to);
        self
    }

    /// Runs the migrations that have not run; answers how many.
    pub async fn migrate(&self) -> Result<usize> {
        Ok(migration::migrate(&self.writer).await?)
    }

    /// How many migrations have not run. Only reads: a server needs no right to make tables.
    pub async fn pending_migrations(&self) -> Result<usize> {
        Ok(migration::pending(&self.writer).await?)
    }

    /// How the tables differ from what the migrations make, a line each.
    pub async fn differences(&self) -> Result<Vec<String>> {
        Ok(migration::shape::differences(&self.writer).await?)
    }

    /// By how much the database's clock is ahead of this machine's.
    pub async fn clock_ahead(&self) -> Result<TimeDelta> {
        let txn = self.snapshot().await?;
        let theirs = database_now(&txn).await?;
        Ok(theirs - SystemClock.now())
    }

    /// How many connections the database lets in altogether; none where it is in this process.
    pub async fn connections_allowed(&self) -> Result<Option<u32>> {
        if self.has_one_writer() {
            return Ok(None);
        }
        let text = self.setting("SHOW max_connections").await?;
        Ok(text.parse().ok())
    }

    /// Answers if the database does.
    pub async fn ping(&self) -> Result<()> {
        let asked = Statement::from_string(self.writer.get_database_backend(), "SELECT 1");
        Ok(self.beside(asked).await?)
    }

    /// How many SQL statements have run since the start, transaction brackets left out.
    #[must_use]
    pub fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// The connections: what each kind is for, how many there are, and how many of these do nothing.
    pub(crate) fn pools(&self) -> [(&'static str, u32, usize); 2] {
        let (writers, idle_writers) = if self.has_one_writer() {
            let pool = self.writer.get_sqlite_connection_pool();
            (pool.size(), pool.num_idle())
        } else {
            let pool = self.writer.get_postgres_connection_pool();
            (pool.size(), pool.num_idle())
        };
        let (readers, idle_readers) = self.readers.count();
        [("write", writers, idle_writers), ("read", readers, idle_readers)]
    }

    /// Those that write, for what is no transaction.
    pub(crate) fn writer(&self) -> &DatabaseConnection {
        &self.writer
    }

    /// Those that read.
    pub(crate) fn readers(&self) -> &Readers {
        &self.readers
    }

    /// Takes care that what was overwritten does not stay readable beside the tables: on SQLite the log of changes begins
    /// anew. Where others still read from it, the next checkpoint does it.
    pub(crate) async fn forget_overwritten(&self) -> Result<()> {
        if self.has_one_writer() {
            self.writer.execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)").await?;
        }
        Ok(())
    }

    /// Runs a statement that is part of no transaction, and takes a moment.
    pub(crate) async fn beside(&self, statement: Statement) -> Result<(), DbErr> {
        self.readers.beside(statement).await
    }

    /// Where the database is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Whether one connection does all the writing.
    pub(crate) fn has_one_writer(&self) -> bool {
        self.writer.get_database_backend() == DbBackend::Sqlite
    }

    /// Opens a transaction that writes.
    pub(crate) async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        let options = match self.writer.get_database_backend() {
            DbBackend::Sqlite => TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..TransactionOptions::default()
            },
            _ => TransactionOptions::default(),
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the door to writing: Caller::begin and the ledger's lanes come here"
        )]
        self.writer.begin_with_options(options).await
    }

    /// Opens a transaction that sees one snapshot and writes nothing, for this server's own work.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot> {
        self.readers.snapshot(None).await
    }

    /// The same, for somebody who takes turns with others, where it is known who that is.
    pub(crate) async fn snapshot_for(&self, reader: Option<&Reader>) -> Result<Snapshot> {
        self.readers.snapshot(reader).await
    }

    /// A turn to read much.
    pub(crate) async fn turn(&self, reader: &Reader) -> Result<Long> {
        self.readers.long(reader).await
    }

    /// Closes every connection once its work is done.
    pub(crate) async fn close(&self) {
        for closed in [self.writer.close_by_ref().await, self.readers.close().await] {
            if let Err(error) = closed {
                tracing::warn!(%error, "a database connection did not close cleanly");
            }
        }
    }

    /// Refuses a database that would forget a committed write.
    async fn assert_durable(&self) -> Result<()> {
        let flushes = if broken::is(Broken::Flush) { "0" } else { "2" };
        let expected: &[(&str, &str)] = match self.writer.get_database_backend() {
            DbBackend::Sqlite => {
                &[("PRAGMA journal_mode", "wal"), ("PRAGMA synchronous", flushes), ("PRAGMA foreign_keys", "1")]
            }
            _ => &[("SHOW fsync", "on"), ("SHOW full_page_writes", "on"), ("SHOW synchronous_commit", "on")],
        };
        for (question, wanted) in expected {
            let found = self.setting(question).await?;
            // remote_write and remote_apply wait for more than the local flush.
            let stricter = *question == "SHOW synchronous_commit" && found.starts_with("remote");
            if found != *wanted && !stricter {
                return Err(Error::Unavailable(
                    format!("the database answers {question} with {found:?}; Scrip needs {wanted:?} to keep what it acknowledged").into(),
                ));
            }
        }
        if self.writer.get_database_backend() == DbBackend::Postgres {
            let version = self.setting("SHOW server_version_num").await?;
            if version.parse::<u32>().is_ok_and(|version| version < 150_000) {
                return Err(Error::Unavailable("Scrip needs PostgreSQL 15 or newer".into()));
            }
        }
        Ok(())
    }

    async fn setting(&self, question: &str) -> Result<String> {
        let statement = Statement::from_string(self.writer.get_database_backend(), question);
        let row = self.writer.query_one_raw(statement).await?;
        let row = row.ok_or_else(|| Error::Internal(format!("{question} answered nothing")))?;
        let text = row.try_get_by_index::<String>(0);
        Ok(text.or_else(|_| row.try_get_by_index::<i32>(0).map(|number| number.to_string()))?)
    }
}

/// What is done to every connection before it is used.
trait Metered: Fn(DatabaseConnection) -> DatabaseConnection + Clone + Send + Sync + 'static {}

impl<F: Fn(DatabaseConnection) -> DatabaseConnection + Clone + Send + Sync + 'static> Metered for F {}

async fn connect_sqlite(
    url: &str,
    missing: Missing,
    metered: impl Metered,
) -> Result<(DatabaseConnection, Arc<Readers>)> {
    let options = SqliteConnectOptions::from_str(url)
        .map_err(|error| Error::Unavailable(format!("the database URL is not understood: {error}").into()))?
        .create_if_missing(missing == Missing::Create)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(if broken::is(Broken::Flush) { SqliteSynchronous::Off } else { SqliteSynchronous::Full })
        .foreign_keys(true)
        .busy_timeout(PATIENCE)
        .disable_statement_logging();
    let pool = || {
        let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(PATIENCE);
        let pool = pool.idle_timeout(None).max_lifetime(None);
        pool.before_acquire(|connection, _| Box::pin(async { Ok(is_clean(connection)) }))
    };
    let writer = pool()
        // What is erased is not to be read in the file either.
        .connect_with(options.clone().pragma("cache_size", WRITER_CACHE).pragma("secure_delete", "ON"))
        .await
        .map_err(|error| unreachable(&error))?;
    let options = options.create_if_missing(false).pragma("query_only", "1");
    let (aside, also) = (options.clone(), metered.clone());
    let beside = move |_: &Arc<Ending>| also(pool().connect_lazy_with(aside.clone()).into());
    let (writer, connect) = (metered(writer.into()), move |ending: &Arc<Ending>| {
        let ending = ending.clone();
        let pool = pool().after_connect(move |connection, _| {
            let ending = ending.clone();
            Box::pin(async move {
                let mut handle = connection.lock_handle().await?;
                handle.set_progress_handler(STEPS, move || !ending.cut.load(Ordering::Relaxed));
                Ok(())
            })
        });
        metered(pool.connect_lazy_with(options.clone()).into())
    });
    Ok((writer, Readers::new(Box::new(connect), Box::new(beside))))
}

async fn connect_postgres(url: &str, metered: impl Metered) -> Result<(DatabaseConnection, Arc<Readers>)> {
    let patience = format!("{}ms", PATIENCE.as_millis());
    let options = PgConnectOptions::from_str(url)
        .map_err(|error| Error::Unavailable(format!("the database URL is not understood: {error}").into()))?
        .application_name("scrip")
        .options([
            ("lock_timeout", patience.as_str()),
            ("statement_timeout", "15s"),
            ("idle_in_transaction_session_timeout", "60s"),
            // A plan that walks through a small table would walk through it when it has grown; every statement here has an
            // index that fits (docs/decisions/0014).
            ("enable_seqscan", "off"),
        ])
        .disable_statement_logging();
    let pool = |most| {
        let pool = PgPoolOptions::new().max_connections(most).acquire_timeout(PATIENCE);
        pool.before_acquire(|connection, _| Box::pin(async { Ok(is_clean(connection)) }))
    };
    let writer = pool(WRITERS).connect_with(options.clone()).await.map_err(|error| unreachable(&error))?;
    let (aside, also) = (options.clone(), metered.clone());
    let beside = move |_: &Arc<Ending>| also(pool(BESIDE).connect_lazy_with(aside.clone()).into());
    let (writer, connect) = (metered(writer.into()), move |ending: &Arc<Ending>| {
        let ending = ending.clone();
        let pool = pool(1).after_connect(move |connection, _| {
            let ending = ending.clone();
            Box::pin(async move {
                let backend = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(connection).await?;
                ending.backend.store(backend, Ordering::Relaxed);
                Ok(())
            })
        });
        metered(pool.connect_lazy_with(options.clone()).into())
    });
    Ok((writer, Readers::new(Box::new(connect), Box::new(beside))))
}

/// Whether a connection can be used again. One whose commit and rollback both failed, as they do on a full disk, still has
/// its transaction open: the next one would begin within it, and be acknowledged without ever being committed.
/// Such a connection is closed, which undoes what was open.
fn is_clean(connection: &impl Connection) -> bool {
    !connection.is_in_transaction()
}

/// Says what the driver said; the driver never repeats the URL's password.
fn unreachable(error: &sqlx::Error) -> Error {
    Error::Unavailable(format!("the database cannot be reached: {error}").into())
}

/// The database's clock: that by which several servers agree on leases. SQLite is in this process, and so is its clock.
pub(crate) async fn database_now(txn: &DatabaseTransaction) -> Result<Instant, DbErr> {
    use sea_orm::ConnectionTrait;
    if txn.get_database_backend() == DbBackend::Sqlite {
        return Ok(SystemClock.now());
    }
    let question = Statement::from_string(txn.get_database_backend(), "SELECT clock_timestamp()");
    let row = txn.query_one_raw(question).await?;
    let row = row.ok_or_else(|| DbErr::Custom("the database does not say what time it is".to_owned()))?;
    row.try_get_by_index::<Instant>(0).map(truncate)
}
