//! What PostgreSQL knows of tables that grow, by which it plans. Of a table that was never looked at it knows nothing: any
//! index that begins with the account looks as good as the one that finds the row, and the plans that check foreign keys
//! stay as they were made. Autovacuum comes by within a minute; until then every check walks through an account
//! (docs/decisions/0014).

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

use super::store::Store;
use crate::ground::error::Result;

/// Tables of ours that have more than four times the pages that they had when they were last looked at, which this role
/// may look at.
const OUTGROWN: &str = "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) \
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE n.nspname = current_schema() AND c.relkind = 'r' AND pg_has_role(c.relowner, 'USAGE') \
     AND pg_relation_size(c.oid) > 4::bigint * c.relpages * current_setting('block_size')::bigint";

impl Store {
    /// Has PostgreSQL look at the tables that have outgrown what it knows of them; answers how many it looked at: one
    /// that cannot be looked at keeps none of the others from it. SQLite's statistics are fixed (docs/decisions/0004). A
    /// role that does not own the tables looks at none: autovacuum does.
    ///
    /// # Errors
    /// What the database says, if it is away.
    pub async fn look_at_grown_tables(&self) -> Result<usize> {
        if self.has_one_writer() {
            return Ok(0);
        }
        let txn = self.snapshot().await?;
        let rows = txn.query_all_raw(Statement::from_string(DbBackend::Postgres, OUTGROWN)).await?;
        drop(txn);
        let mut looked_at = 0;
        for row in &rows {
            let table = row.try_get_by_index::<String>(0)?;
            match self.writer().execute_unprepared(&format!("ANALYZE {table}")).await {
                Ok(_) => looked_at += 1,
                Err(error @ (DbErr::Conn(_) | DbErr::ConnectionAcquire(_))) => return Err(error.into()),
                Err(error) => tracing::debug!(table, %error, "the database could not look at this table"),
            }
        }
        Ok(looked_at)
    }
}
