//! How the tables came to be. Knows nobody: an old migration must not change when a table does.

mod dialect;
mod m2026_11_22_000001_ledger;
mod m2026_11_24_000002_selling;
mod m2026_11_24_000003_events;
mod m2026_11_24_000004_access;
mod m2026_11_28_000005_parts;
mod m2026_11_29_000006_closed;
mod m2026_11_29_000007_repriced;
mod m2026_11_30_000008_bounded;
pub mod shape;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement, TransactionOptions, TransactionTrait};

/// One step of the tables, with the name under which the database remembers it.
struct Migration {
    name: &'static str,
    up: &'static [&'static str],
}

/// All migrations, oldest first.
const MIGRATIONS: [Migration; 8] = [
    Migration { name: "m2026_11_22_000001_ledger", up: m2026_11_22_000001_ledger::UP },
    Migration { name: "m2026_11_24_000002_selling", up: m2026_11_24_000002_selling::UP },
    Migration { name: "m2026_11_24_000003_events", up: m2026_11_24_000003_events::UP },
    Migration { name: "m2026_11_24_000004_access", up: m2026_11_24_000004_access::UP },
    Migration { name: "m2026_11_28_000005_parts", up: m2026_11_28_000005_parts::UP },
    Migration { name: "m2026_11_29_000006_closed", up: m2026_11_29_000006_closed::UP },
    Migration { name: "m2026_11_29_000007_repriced", up: m2026_11_29_000007_repriced::UP },
    Migration { name: "m2026_11_30_000008_bounded", up: m2026_11_30_000008_bounded::UP },
];

/// The table in which the database remembers what has run; earlier versions made it under this name.
const APPLIED: &str =
    "CREATE TABLE IF NOT EXISTS seaql_migrations (version varchar NOT NULL PRIMARY KEY, applied_at bigint NOT NULL)";

/// How many migrations have not run. Only reads.
///
/// # Errors
/// Those of the database.
pub async fn pending(connection: &impl ConnectionTrait) -> Result<usize, DbErr> {
    let backend = connection.get_database_backend();
    let is_there = match backend {
        DbBackend::Sqlite => "SELECT count(*) > 0 FROM sqlite_master WHERE name = 'seaql_migrations'",
        _ => "SELECT to_regclass('seaql_migrations') IS NOT NULL",
    };
    let row = connection.query_one_raw(Statement::from_string(backend, is_there)).await?;
    let is_there: bool = row.map_or(Ok(false), |row| row.try_get_by_index(0))?;
    let applied = if is_there { applied(connection).await? } else { Vec::new() };
    Ok(MIGRATIONS.iter().filter(|migration| !applied.iter().any(|name| name == migration.name)).count())
}

/// Runs the migrations that have not run, each in a transaction of its own; answers how many. Several servers may call it
/// at the same time: one of them runs each.
///
/// # Errors
/// Those of the database; what ran before stays.
pub async fn migrate(connection: &DatabaseConnection) -> Result<usize, DbErr> {
    let backend = connection.get_database_backend();
    let mut ran = 0;
    connection.execute_unprepared(APPLIED).await?;
    for migration in &MIGRATIONS {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(sea_orm::SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        #[expect(clippy::disallowed_methods, reason = "what makes the tables knows no account")]
        let txn = connection.begin_with_options(options).await?;
        if backend == DbBackend::Postgres {
            txn.execute_unprepared("LOCK TABLE seaql_migrations IN EXCLUSIVE MODE").await?;
        }
        if applied(&txn).await?.iter().any(|name| name == migration.name) {
            txn.rollback().await?;
            continue;
        }
        dialect::run(&txn, migration.up).await?;
        dialect::fix_statistics(&txn).await?;
        let now = if backend == DbBackend::Sqlite { "unixepoch()" } else { "extract(epoch FROM now())::bigint" };
        let name = migration.name;
        txn.execute_unprepared(&format!("INSERT INTO seaql_migrations (version, applied_at) VALUES ('{name}', {now})"))
            .await?;
        txn.commit().await?;
        ran += 1;
    }
    Ok(ran)
}

/// The names of those that have run.
async fn applied(connection: &impl ConnectionTrait) -> Result<Vec<String>, DbErr> {
    let names = Statement::from_string(connection.get_database_backend(), "SELECT version FROM seaql_migrations");
    connection.query_all_raw(names).await?.iter().map(|row| row.try_get_by_index(0)).collect()
}
