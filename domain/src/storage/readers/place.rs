//! The place of one connection that reads, and what ends a statement of it.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use sea_orm::{
    AccessMode, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, IsolationLevel, TransactionOptions,
    TransactionTrait,
};

/// Makes the connection of a place, and tells the place what ends a statement of it.
pub(crate) type Connect = Box<dyn Fn(&Arc<Ending>) -> DatabaseConnection + Send + Sync>;

/// What ends the statement that runs on a connection.
#[derive(Default)]
pub(crate) struct Ending {
    /// On SQLite: asked between steps.
    pub cut: AtomicBool,
    /// On PostgreSQL: the process that serves the connection; 0 before there is one.
    pub backend: AtomicI32,
}

/// A connection, and who reads by it.
pub struct Place {
    connection: RwLock<DatabaseConnection>,
    pub ending: Arc<Ending>,
    /// Whether somebody reads by it, and since when somebody or nobody does.
    since: Mutex<(bool, Instant)>,
}

impl Place {
    /// One whose connection is made when it is needed.
    pub fn new(connect: &Connect) -> Self {
        let ending = Arc::default();
        Self { connection: RwLock::new(connect(&ending)), ending, since: Mutex::new((false, Instant::now())) }
    }

    /// Somebody reads by it from now on.
    pub fn begins(&self) {
        *self.since.lock().expect("nobody panics while beginning") = (true, Instant::now());
    }

    /// Nobody reads by it from now on.
    pub fn ends(&self) {
        *self.since.lock().expect("nobody panics while ending") = (false, Instant::now());
    }

    /// For how long somebody has read by it, if somebody does.
    pub fn reading_for(&self) -> Option<Duration> {
        let (reads, since) = *self.since.lock().expect("nobody panics while looking");
        reads.then(|| since.elapsed())
    }

    /// Whether nobody has read by it for so long, and its connection has not come back.
    pub fn is_lost(&self, after: Duration) -> bool {
        let (reads, since) = *self.since.lock().expect("nobody panics while looking");
        !reads && since.elapsed() > after && self.is_out()
    }

    /// Puts another connection in the place of one that does not come back.
    pub fn renew(&self, connect: &Connect) {
        let anew = connect(&self.ending);
        self.ending.backend.store(0, Ordering::Relaxed);
        drop(std::mem::replace(&mut *self.connection.write().expect("nobody panics while replacing"), anew));
    }

    pub fn connection(&self) -> DatabaseConnection {
        self.connection.read().expect("nobody panics while reading").clone()
    }

    /// Whether it has a connection, and whether that does nothing.
    pub fn pool(&self) -> (u32, usize) {
        let connection = self.connection();
        if connection.get_database_backend() == DbBackend::Sqlite {
            let pool = connection.get_sqlite_connection_pool();
            (pool.size(), pool.num_idle())
        } else {
            let pool = connection.get_postgres_connection_pool();
            (pool.size(), pool.num_idle())
        }
    }

    /// Whether its connection is somewhere, and not here.
    pub fn is_out(&self) -> bool {
        matches!(self.pool(), (1.., 0))
    }

    pub async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        let connection = self.connection();
        let options = match connection.get_database_backend() {
            // A reader's connection cannot write (query_only), and a WAL reader sees one snapshot per transaction.
            DbBackend::Sqlite => TransactionOptions::default(),
            _ => TransactionOptions {
                isolation_level: Some(IsolationLevel::RepeatableRead),
                access_mode: Some(AccessMode::ReadOnly),
                ..TransactionOptions::default()
            },
        };
        #[expect(clippy::disallowed_methods, reason = "the door to reading: Caller::view comes here")]
        connection.begin_with_options(options).await
    }
}
