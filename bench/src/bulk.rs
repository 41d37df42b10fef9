//! Rows of a ledger written in bulk: without indexes, checks and flushes until all of them are there.

use std::borrow::Cow;
use std::fmt::Write as _;

use anyhow::Result;
use chrono::{DateTime, Utc};
use entity::activity::Kind;
use entity::{EventId, activity, allocation};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, SqliteConnection};
use uuid::Uuid;

use crate::house::{Backend, Place};

/// An activity and what is written with it: its one allocation, its event, and the key that it was asked for with.
pub struct Entry {
    pub activity: activity::Model,
    pub allocation: allocation::Model,
    pub event: EventId,
    pub key: String,
}

/// A value of a row.
enum Cell<'a> {
    Uuid(Uuid),
    Integer(i64),
    Flag(bool),
    Text(Cow<'a, str>),
    Instant(DateTime<Utc>),
    Bytes(Cow<'a, [u8]>),
}

/// Tables, the columns that are written, and their values.
type Table = (&'static str, &'static str, fn(&Entry) -> Vec<Cell<'_>>);

const TABLES: [Table; 4] = [
    (
        "activity",
        "account_id, id, customer_id, credit_type_id, sequence, kind, amount, held_amount, balance_before, balance_after, actor_kind, actor, source, at, hash",
        |Entry { activity: row, .. }| {
            vec![
                Cell::Uuid(row.account_id.0),
                Cell::Uuid(row.id.0),
                Cell::Uuid(row.customer_id.0),
                Cell::Uuid(row.credit_type_id.0),
                Cell::Integer(row.sequence),
                Cell::Text(if row.kind == Kind::Issue { "issue" } else { "consume" }.into()),
                Cell::Integer(row.amount.0),
                Cell::Integer(row.held_amount.0),
                Cell::Integer(row.balance_before.0),
                Cell::Integer(row.balance_after.0),
                Cell::Text("staff".into()),
                Cell::Text((&row.actor).into()),
                Cell::Text("manual".into()),
                Cell::Instant(row.at),
                Cell::Bytes((&row.hash).into()),
            ]
        },
    ),
    ("allocation", "account_id, activity_id, position, grant_id, amount, cost", |Entry { allocation: row, .. }| {
        vec![
            Cell::Uuid(row.account_id.0),
            Cell::Uuid(row.activity_id.0),
            Cell::Integer(row.position.into()),
            Cell::Uuid(row.grant_id.0),
            Cell::Integer(row.amount.0),
            Cell::Integer(row.cost.0),
        ]
    }),
    (
        "event",
        "account_id, id, name, version, customer_id, subject_id, payload, at, depth, pending",
        |Entry { activity: row, event, .. }| {
            let payload = format!(
                r#"{{"activityId":"{}","creditTypeId":"{}","amount":{},"heldAmount":0,"balanceAfter":{},"holdId":null,"reversesId":null}}"#,
                row.id, row.credit_type_id, row.amount.0, row.balance_after.0
            );
            vec![
                Cell::Uuid(row.account_id.0),
                Cell::Uuid(event.0),
                Cell::Text(if row.kind == Kind::Issue { "credits.issued" } else { "credits.consumed" }.into()),
                Cell::Integer(1),
                Cell::Uuid(row.customer_id.0),
                Cell::Uuid(row.id.0),
                Cell::Text(payload.into()),
                Cell::Instant(row.at),
                Cell::Integer(0),
                Cell::Flag(false),
            ]
        },
    ),
    ("request", "account_id, caller, key, fingerprint, outcome, created_at", |Entry { activity: row, key, .. }| {
        vec![
            Cell::Uuid(row.account_id.0),
            Cell::Text("staff".into()),
            Cell::Text(key.into()),
            Cell::Bytes([&[1], row.hash.as_slice()].concat().into()),
            Cell::Text(format!(r#"{{"done":["{}"]}}"#, row.id).into()),
            Cell::Instant(row.at),
        ]
    }),
];

/// A connection that writes fast, and puts the indexes back when it is closed.
pub enum Bulk {
    Sqlite { connection: SqliteConnection, indexes: Vec<String> },
    Postgres { pool: sqlx::PgPool, connection: sqlx::pool::PoolConnection<sqlx::Postgres>, indexes: Vec<String> },
}

impl Bulk {
    pub async fn open(place: &Place) -> Result<Self> {
        if place.backend == Backend::Sqlite {
            let options = place.url.parse::<sqlx::sqlite::SqliteConnectOptions>()?;
            let options = options
                .foreign_keys(false)
                .journal_mode(sqlx::sqlite::SqliteJournalMode::Off)
                .synchronous(sqlx::sqlite::SqliteSynchronous::Off)
                .pragma("cache_size", "-4000000");
            let mut connection = options.disable_statement_logging().connect().await?;
            let sql = "SELECT 'DROP INDEX ' || name, sql FROM sqlite_master
                WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN ('activity', 'allocation', 'event', 'request')";
            let mut indexes = Vec::new();
            for row in sqlx::query(sql).fetch_all(&mut connection).await? {
                sqlx::query(AssertSqlSafe(row.get::<String, _>(0))).execute(&mut connection).await?;
                indexes.push(row.get(1));
            }
            sqlx::query("BEGIN").execute(&mut connection).await?;
            return Ok(Self::Sqlite { connection, indexes });
        }
        let pool = sqlx::postgres::PgPoolOptions::new().max_connections(1).connect(&place.url).await?;
        let mut connection = pool.acquire().await?;
        for sql in [
            "SET session_replication_role = replica",
            "SET synchronous_commit = off",
            "SET maintenance_work_mem = '1GB'",
        ] {
            sqlx::query(sql).execute(&mut *connection).await?;
        }
        // The keys of requests come in no order, and nothing points at them: their primary key is made afterwards too.
        let sql = "SELECT format('DROP INDEX %I', indexname), indexdef FROM pg_indexes
                WHERE tablename IN ('activity', 'allocation', 'event', 'request') AND indexname NOT IN (SELECT conname FROM pg_constraint)
            UNION ALL SELECT format('ALTER TABLE request DROP CONSTRAINT %I', conname),
                format('ALTER TABLE request ADD CONSTRAINT %I %s', conname, pg_get_constraintdef(oid))
                FROM pg_constraint WHERE conrelid = 'request'::regclass AND contype = 'p'";
        let mut indexes = Vec::new();
        for row in sqlx::query(sql).fetch_all(&mut *connection).await? {
            sqlx::query(AssertSqlSafe(row.get::<String, _>(0))).execute(&mut *connection).await?;
            indexes.push(row.get(1));
        }
        Ok(Self::Postgres { pool, connection, indexes })
    }

    pub async fn write(&mut self, entries: &[Entry]) -> Result<()> {
        for (table, columns, values) in TABLES {
            match self {
                Self::Sqlite { connection, .. } => {
                    insert(connection, table, columns, entries.iter().map(values)).await?;
                }
                Self::Postgres { connection, .. } => {
                    let mut copy = connection.copy_in_raw(&format!("COPY {table} ({columns}) FROM STDIN")).await?;
                    copy.send(lines(entries.iter().map(values))?.into_bytes()).await?;
                    copy.finish().await?;
                }
            }
        }
        Ok(())
    }

    pub async fn close(self) -> Result<()> {
        match self {
            Self::Sqlite { mut connection, indexes } => {
                sqlx::query("COMMIT").execute(&mut connection).await?;
                for sql in indexes {
                    sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await?;
                }
                connection.close().await?;
            }
            Self::Postgres { pool, mut connection, indexes } => {
                for sql in indexes {
                    sqlx::query(AssertSqlSafe(sql)).execute(&mut *connection).await?;
                }
                drop(connection);
                pool.close().await;
            }
        }
        Ok(())
    }
}

/// One statement of many rows.
async fn insert<'a>(
    connection: &mut SqliteConnection,
    table: &str,
    columns: &str,
    rows: impl ExactSizeIterator<Item = Vec<Cell<'a>>>,
) -> Result<()> {
    let marks = format!("({})", vec!["?"; columns.split(", ").count()].join(","));
    let sql = format!("INSERT INTO {table} ({columns}) VALUES {}", vec![marks; rows.len()].join(","));
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for cell in rows.flatten() {
        query = match cell {
            Cell::Uuid(value) => query.bind(value),
            Cell::Integer(value) => query.bind(value),
            Cell::Flag(value) => query.bind(value),
            Cell::Text(value) => query.bind(value.into_owned()),
            Cell::Instant(value) => query.bind(value),
            Cell::Bytes(value) => query.bind(value.into_owned()),
        };
    }
    query.execute(connection).await?;
    Ok(())
}

/// What `COPY` reads. No text here has a tab, an end of line or a backslash.
fn lines<'a>(rows: impl Iterator<Item = Vec<Cell<'a>>>) -> Result<String> {
    let mut text = String::new();
    for row in rows {
        for (place, cell) in row.into_iter().enumerate() {
            if place > 0 {
                text.push('\t');
            }
            match cell {
                Cell::Uuid(value) => write!(text, "{value}")?,
                Cell::Integer(value) => write!(text, "{value}")?,
                Cell::Flag(value) => write!(text, "{value}")?,
                Cell::Text(value) => text.push_str(&value),
                Cell::Instant(value) => text.push_str(&value.to_rfc3339()),
                Cell::Bytes(value) => {
                    text.push_str("\\\\x");
                    value.iter().try_for_each(|byte| write!(text, "{byte:02x}"))?;
                }
            }
        }
        text.push('\n');
    }
    Ok(text)
}
