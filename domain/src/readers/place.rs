//! The place of one connection that reads, and what ends a statement of it.

use std::sync::atomic::{AtomicBool, AtomicI32};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Instant;

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
    pub connection: RwLock<DatabaseConnection>,
    pub ending: Arc<Ending>,
    /// Since when somebody reads by it.
    pub since: Mutex<Option<Instant>>,
}

impl Place {
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
