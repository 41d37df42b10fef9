//! Why an operation did not happen: for the caller in words and a code, for us in full.
//!
//! A new [`Refusal`] does not compile until it has a code, a message and a field.

use std::borrow::Cow;

use entity::Credits;
use sea_orm::{DbErr, RuntimeErr, SqlErr};
use serde::{Deserialize, Serialize};

use super::caller::Scope;

/// The result of everything in this room.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation did not happen.
#[derive(Debug, thiserror::Error)]
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
    /// Try again later: the database is busy, away, or shutting down.
    #[error("unavailable: {0}")]
    Unavailable(Cow<'static, str>),
    /// Our fault. Logged in full, shown to nobody.
    #[error("{0}")]
    Internal(String),
}

/// What a client branches on. The names are part of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    Invalid,
    NotFound,
    Taken,
    InsufficientCredits,
    CreditsDisabled,
    CreditTypeArchived,
    ExpirationNotInFuture,
    IdempotencyKeyReused,
    NothingToVoid,
}

/// A business rule that said no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// One field of the input is outside its limits.
    Invalid { field: String, message: String },
    /// An id in the input leads nowhere that this caller can see.
    NotFound { field: String, what: String },
    /// Another row of the account has this value already.
    Taken { field: String, what: String },
    /// The usable credits do not cover what was asked. Nothing was taken.
    InsufficientCredits {
        requested: Credits,
        available: Credits,
        held: Credits,
        expired: Credits,
        not_yet_effective: Credits,
    },
    /// The account has its credits switched off.
    CreditsDisabled,
    /// The credit type issues no more credits.
    CreditTypeArchived,
    /// The credits would have ended before they began, or before now.
    ExpirationNotInFuture,
    /// The key was used for something else.
    IdempotencyKeyReused,
    /// The grant has no free credits left.
    NothingToVoid,
}

impl Refusal {
    /// The limit that a field is outside of.
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::Invalid { field: field.to_owned(), message: message.into() }
    }

    /// The refusal for an id that leads nowhere.
    #[must_use]
    pub fn not_found(field: &str, what: &str) -> Self {
        Self::NotFound { field: field.to_owned(), what: what.to_owned() }
    }

    /// What a client branches on.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Invalid { .. } => Code::Invalid,
            Self::NotFound { .. } => Code::NotFound,
            Self::Taken { .. } => Code::Taken,
            Self::InsufficientCredits { .. } => Code::InsufficientCredits,
            Self::CreditsDisabled => Code::CreditsDisabled,
            Self::CreditTypeArchived => Code::CreditTypeArchived,
            Self::ExpirationNotInFuture => Code::ExpirationNotInFuture,
            Self::IdempotencyKeyReused => Code::IdempotencyKeyReused,
            Self::NothingToVoid => Code::NothingToVoid,
        }
    }

    /// What happened and what to do next, for people.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Invalid { message, .. } => message.clone(),
            Self::NotFound { what, .. } => format!("There is no such {what}. Check the id."),
            Self::Taken { what, .. } => format!("Another one has this {what} already. Use a different one."),
            Self::InsufficientCredits { requested, available, held, expired, not_yet_effective } => {
                let why = [(held, "held"), (expired, "expired"), (not_yet_effective, "not yet effective")]
                    .into_iter()
                    .filter(|(amount, _)| !amount.is_zero())
                    .map(|(amount, why)| format!("{amount} {why}"))
                    .collect::<Vec<_>>();
                let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join(", ")) };
                format!("{requested} requested, {available} available{why}. Nothing was used.")
            }
            Self::CreditsDisabled => {
                "Credits are switched off for this account. Its owner can switch them on with accountUpdate.".to_owned()
            }
            Self::CreditTypeArchived => {
                "This credit type is archived: what exists can be used, but no more is issued. Choose another type."
                    .to_owned()
            }
            Self::ExpirationNotInFuture => {
                "These credits would end before they could be used. Choose a later expiration.".to_owned()
            }
            Self::NothingToVoid => {
                "Nothing is left in this grant: it was used, ended or voided before. Nothing was changed.".to_owned()
            }
            Self::IdempotencyKeyReused => {
                "This idempotency key was used for a different request. Use a new key for a new request.".to_owned()
            }
        }
    }

    /// The path to the input's field that is to blame, if one is.
    #[must_use]
    pub fn field(&self) -> Option<Vec<String>> {
        let path = |path: &str| Some(path.split('.').map(str::to_owned).collect());
        match self {
            Self::Invalid { field, .. } | Self::NotFound { field, .. } | Self::Taken { field, .. } => path(field),
            Self::InsufficientCredits { .. } => path("amount"),
            Self::CreditTypeArchived => path("creditTypeId"),
            Self::ExpirationNotInFuture => path("expiration"),
            Self::IdempotencyKeyReused => path("idempotencyKey"),
            Self::NothingToVoid => path("grantId"),
            Self::CreditsDisabled => None,
        }
    }

    /// Whether a key remembers it: it depends on what was stored at the time,
    /// so a duplicate that arrives late must not succeed after all.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        match self {
            Self::InsufficientCredits { .. }
            | Self::CreditsDisabled
            | Self::CreditTypeArchived
            | Self::ExpirationNotInFuture
            | Self::NothingToVoid => true,
            Self::Invalid { .. } | Self::NotFound { .. } | Self::Taken { .. } | Self::IdempotencyKeyReused => false,
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What a failed statement means for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Another transaction was in the way: run it again.
    Conflict,
    /// The database is away, full, or busy for too long.
    Away,
    /// Anything else: the statement, or we, are wrong.
    Other,
}

/// Reads a database's error code.
pub(super) fn fault(error: &DbErr) -> Fault {
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
pub(super) fn is_taken(error: &DbErr, table: &str, column: &str) -> bool {
    // PostgreSQL names the constraint, SQLite the columns.
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(text))
        if text.contains(&format!("\"{table}_{column}\"")) || text.contains(&format!("{table}.{column}"))
            || text.contains(&format!("\"{table}_{column}_key\"")))
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        match fault(&error) {
            Fault::Conflict | Fault::Away => Self::Unavailable(error.to_string().into()),
            Fault::Other => Self::Internal(error.to_string()),
        }
    }
}
