//! Why an operation did not happen: for the caller in words and a code, for us in full.

use std::borrow::Cow;
use std::time::Duration;

use sea_orm::{DbErr, RuntimeErr, SqlErr};

pub use super::refusal::Refusal;
pub use super::refusal::code::Code;
use super::refusal::flow::Flow;
use super::refusal::sale::Sale;
use crate::ground::scope::Scope;

/// The result of everything in this room.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation did not happen.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A business rule said no. The caller can change the request and try again.
    #[error("{}", .0.message())]
    Refused(Refusal),
    /// A business rule said no the first time that this idempotency key was sent, and this is that answer once more.
    #[error("{}", .0.message())]
    RefusedBefore(Refusal),
    /// The caller is known and may not do this.
    #[error("not allowed: {0:?}")]
    Forbidden(Scope),
    /// The caller is not known.
    #[error("not signed in")]
    Unauthenticated,
    /// Another transaction was in the way.
    #[error("in the way of another: {0}")]
    Conflict(String),
    /// Try again later: the database is busy, away, or shutting down.
    #[error("unavailable: {0}")]
    Unavailable(Cow<'static, str>),
    /// Whoever asks has asked for too much in too little time, and may again after a while.
    #[error("too much was asked for at once")]
    RateLimited { wait: Duration },
    /// Our fault. Logged in full, shown to nobody.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// Its name, as clients see it in a code.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Refused(refusal) | Self::RefusedBefore(refusal) => refusal.code().name(),
            Self::Forbidden(_) => "FORBIDDEN",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Conflict(_) | Self::Unavailable(_) => "UNAVAILABLE",
            Self::RateLimited { .. } => "RATE_LIMITED",
            Self::Internal(_) => "INTERNAL",
        }
    }

    /// Whether it passes by itself: nothing is wrong with what was asked, nor with us.
    #[must_use]
    pub fn passes(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Conflict(_))
    }
}

impl From<Sale> for Error {
    fn from(sale: Sale) -> Self {
        Self::Refused(sale.into())
    }
}

impl From<Flow> for Error {
    fn from(flow: Flow) -> Self {
        Self::Refused(flow.into())
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What a failed statement means for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Another transaction was in the way: run it again.
    Conflict,
    /// The database is away, full, or busy for too long.
    Away,
    /// Anything else: the statement, or we, are wrong.
    Other,
}

/// Reads a database's error code.
pub(crate) fn fault(error: &DbErr) -> Fault {
    let (DbErr::Conn(runtime) | DbErr::Exec(runtime) | DbErr::Query(runtime)) = error else {
        return if matches!(error, DbErr::ConnectionAcquire(_)) { Fault::Away } else { Fault::Other };
    };
    let RuntimeErr::SqlxError(sqlx) = runtime else { return Fault::Other };
    let sqlx::Error::Database(database) = sqlx.as_ref() else {
        let away = matches!(
            sqlx.as_ref(),
            sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed
                | sqlx::Error::Protocol(_)
        );
        return if away { Fault::Away } else { Fault::Other };
    };
    let code = database.code().unwrap_or_default();
    // SQLite: the primary code is the low byte (busy 5, locked 6, i/o 10, full 13, cannot open 14).
    // Busy is not tried again: the driver has waited already, and a transaction that begins immediately meets none later.
    if let Ok(extended) = code.parse::<i32>()
        && code.len() < 5
    {
        return match extended & 0xff {
            5 | 6 | 10 | 13 | 14 => Fault::Away,
            _ => Fault::Other,
        };
    }
    // PostgreSQL: serialization failure, deadlock; lock or statement timeout; connection, resources, shutdown.
    match code.as_ref() {
        "40001" | "40P01" => Fault::Conflict,
        "55P03" | "57014" => Fault::Away,
        code if ["08", "53", "57P", "58"].iter().any(|class| code.starts_with(class)) => Fault::Away,
        _ => Fault::Other,
    }
}

/// Whether a statement failed on the unique constraint `{table}_{column}`.
pub(crate) fn is_taken(error: &DbErr, table: &str, column: &str) -> bool {
    // PostgreSQL names the constraint, SQLite the columns.
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(text))
        if text.contains(&format!("\"{table}_{column}\"")) || text.contains(&format!("{table}.{column}"))
            || text.contains(&format!("\"{table}_{column}_key\"")))
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        match fault(&error) {
            Fault::Conflict => Self::Conflict(error.to_string()),
            Fault::Away => Self::Unavailable(error.to_string().into()),
            Fault::Other => Self::Internal(error.to_string()),
        }
    }
}
