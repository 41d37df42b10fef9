//! Whether the tables are as the migrations make them: nothing planted (a trigger, a view, a rule), nothing dropped (a CHECK).

use std::collections::BTreeSet;

use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr, Statement};

/// What PostgreSQL has of ours, a line each; a test keeps it. Constraints that older versions do not count are left out.
const POSTGRES: &str = include_str!("shape.postgres.txt");

/// What SQLite has, in the words in which it was made.
const OF_SQLITE: &str = "SELECT type || ' ' || tbl_name || '.' || name || ' ' || coalesce(sql, '') FROM sqlite_master
    WHERE name NOT LIKE 'sqlite\\_stat%' ESCAPE '\\'";

/// What PostgreSQL has of our tables, and what could act in our place; not what belongs to an extension.
const OF_POSTGRES: &str = "WITH ours AS (
        SELECT c.oid, c.relname FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
            AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e'))
    SELECT 'column ' || o.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
            || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
        FROM ours o JOIN pg_attribute a ON a.attrelid = o.oid WHERE a.attnum > 0 AND NOT a.attisdropped
    UNION ALL SELECT 'constraint ' || o.relname || '.' || k.conname FROM ours o JOIN pg_constraint k ON k.conrelid = o.oid
        WHERE k.contype <> 'n'
    UNION ALL SELECT 'index ' || o.relname || '.' || i.relname || CASE WHEN x.indisunique THEN ' unique' ELSE '' END
        FROM ours o JOIN pg_index x ON x.indrelid = o.oid JOIN pg_class i ON i.oid = x.indexrelid
    UNION ALL SELECT 'trigger ' || o.relname || '.' || t.tgname FROM ours o JOIN pg_trigger t ON t.tgrelid = o.oid
        WHERE NOT t.tgisinternal
    UNION ALL SELECT 'rule ' || o.relname || '.' || r.rulename FROM ours o JOIN pg_rewrite r ON r.ev_class = o.oid
    UNION ALL SELECT 'policy ' || o.relname || '.' || p.polname FROM ours o JOIN pg_policy p ON p.polrelid = o.oid
    UNION ALL SELECT 'view ' || c.relname FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace
        AND c.relkind IN ('v', 'm') AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
    UNION ALL SELECT 'function ' || f.proname FROM pg_proc f WHERE f.pronamespace = current_schema()::regnamespace
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = f.oid AND d.deptype = 'e')";

/// How the tables differ from what the migrations make, a line each; none if they do not. All migrations have run.
///
/// # Errors
/// Those of the database.
pub async fn differences(connection: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
    let found = lines(connection).await?;
    let made = match connection.get_database_backend() {
        DbBackend::Sqlite => {
            let fresh = Database::connect("sqlite::memory:").await?;
            super::migrate(&fresh).await?;
            lines(&fresh).await?
        }
        _ => POSTGRES.lines().map(str::to_owned).collect(),
    };
    let short = |line: &String| line.lines().next().unwrap_or_default().chars().take(120).collect::<String>();
    let planted = found.difference(&made).map(|line| format!("no migration makes: {}", short(line)));
    let gone = made.difference(&found).map(|line| format!("is gone or altered: {}", short(line)));
    Ok(planted.chain(gone).collect())
}

/// What there is, a line each.
///
/// # Errors
/// Those of the database.
pub async fn lines(connection: &impl ConnectionTrait) -> Result<BTreeSet<String>, DbErr> {
    let backend = connection.get_database_backend();
    let sql = if backend == DbBackend::Sqlite { OF_SQLITE } else { OF_POSTGRES };
    let rows = connection.query_all_raw(Statement::from_string(backend, sql)).await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}
