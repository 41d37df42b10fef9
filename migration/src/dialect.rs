//! One text of SQL for both databases: `{uuid}` and the like become each one's own type.

use sea_orm::{ConnectionTrait, DbBackend, DbErr};

/// Placeholder, SQLite, PostgreSQL. SQLite's tables are STRICT, so it has five types;
/// a text column compares byte by byte on both.
const WORDS: &[(&str, &str, &str)] = &[
    ("{uuid}", "blob", "uuid"),
    ("{text}", "text", "text COLLATE \"C\""),
    ("{bytes}", "blob", "bytea"),
    ("{bool}", "integer", "boolean"),
    ("{true}", "1", "true"),
    ("{false}", "0", "false"),
    ("{small}", "integer", "smallint"),
    ("{int}", "integer", "integer"),
    ("{long}", "integer", "bigint"),
    ("{instant}", "text", "timestamptz"),
    ("{date}", "text", "date"),
    ("{json}", "text", "jsonb"),
    // Behind every instant.
    ("{never}", "'~'", "'infinity'::timestamptz"),
    ("{strict}", "STRICT, WITHOUT ROWID", ""),
];

/// Runs each statement, in its database's own words. One that begins with `{only sqlite}` or `{only postgres}` is for that
/// database alone.
pub async fn run(connection: &impl ConnectionTrait, statements: &[&str]) -> Result<(), DbErr> {
    let sqlite = connection.get_database_backend() == DbBackend::Sqlite;
    let (ours, other) =
        if sqlite { ("{only sqlite}", "{only postgres}") } else { ("{only postgres}", "{only sqlite}") };
    for statement in statements.iter().filter(|statement| !statement.starts_with(other)) {
        let sql = WORDS.iter().fold(statement.replace(ours, ""), |sql, (word, on_sqlite, on_postgres)| {
            sql.replace(word, if sqlite { on_sqlite } else { on_postgres })
        });
        connection.execute_unprepared(&sql).await?;
    }
    Ok(())
}

/// Tells SQLite once and for all what its tables look like when they are full: one account may own every row, so that
/// an index is only as good as its columns behind `account_id`. Without statistics SQLite takes the first column of any
/// index for selective, and walks through all rows of an account. An index of some rows is taken for smaller than one of
/// all, and for finding fewer: otherwise one that leads as well to an account, or to a wallet, would be preferred to it.
const STATISTICS: &[&str] = &[
    "ANALYZE",
    "DELETE FROM sqlite_stat1",
    "INSERT INTO sqlite_stat1 (tbl, idx, stat)
        SELECT tbl, idx, many || CASE WHEN columns > 1 THEN ' ' || many ELSE '' END
            || replace(hex(zeroblob(max(columns - 2, 0))), '00', CASE WHEN partial THEN ' 50' ELSE ' 100' END)
            || CASE WHEN is_unique THEN ' 1' WHEN partial THEN ' 10' ELSE ' 20' END
        FROM (
            SELECT t.name AS tbl, CASE i.origin WHEN 'pk' THEN t.name ELSE i.name END AS idx, i.\"unique\" AS is_unique, i.partial,
                CASE WHEN i.partial THEN '10000' ELSE '1000000' END AS many,
                (SELECT count(*) FROM pragma_index_info(i.name)) AS columns
            FROM sqlite_master t, pragma_index_list(t.name) i
            WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%' AND t.name <> 'seaql_migrations'
        )",
    // Reads the statistics anew.
    "ANALYZE sqlite_schema",
];

/// Fixes the statistics of all tables, on SQLite; PostgreSQL keeps its own. To be called when tables or indexes change.
pub async fn fix_statistics(connection: &impl ConnectionTrait) -> Result<(), DbErr> {
    if connection.get_database_backend() == DbBackend::Sqlite {
        for statement in STATISTICS {
            connection.execute_unprepared(statement).await?;
        }
    }
    Ok(())
}
