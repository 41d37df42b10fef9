//! One text of SQL for both databases: `{uuid}` and the like become each one's own type.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

/// Placeholder, SQLite, PostgreSQL. SQLite's tables are STRICT, so it has five types;
/// a text column compares byte by byte on both.
const WORDS: &[(&str, &str, &str)] = &[
    ("{uuid}", "blob", "uuid"),
    ("{text}", "text", "text COLLATE \"C\""),
    ("{bytes}", "blob", "bytea"),
    ("{bool}", "integer", "boolean"),
    ("{small}", "integer", "smallint"),
    ("{int}", "integer", "integer"),
    ("{long}", "integer", "bigint"),
    ("{instant}", "text", "timestamptz"),
    ("{date}", "text", "date"),
    ("{json}", "text", "jsonb"),
    ("{strict}", "STRICT, WITHOUT ROWID", ""),
];

/// Runs each statement, in its database's own words.
pub async fn run(manager: &SchemaManager<'_>, statements: &[&str]) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    let sqlite = connection.get_database_backend() == DbBackend::Sqlite;
    for statement in statements {
        let sql = WORDS.iter().fold((*statement).to_owned(), |sql, (word, on_sqlite, on_postgres)| {
            sql.replace(word, if sqlite { on_sqlite } else { on_postgres })
        });
        connection.execute_unprepared(&sql).await?;
    }
    Ok(())
}
