//! What leads to one another is bounded in width: runs know the event that all began with. Strangers' orders that nobody
//! pays are counted by where they came from, and go in the end.

/// In the words of `dialect`.
pub const UP: &[&str] = &[
    "ALTER TABLE event ADD COLUMN origin_id {uuid}",
    "ALTER TABLE run ADD COLUMN origin {uuid}",
    "ALTER TABLE enrolment ADD COLUMN origin_id {uuid}",
    "ALTER TABLE account ADD COLUMN order_days {int} NOT NULL DEFAULT 30 CHECK (order_days BETWEEN 1 AND 366)",
    "ALTER TABLE product_order ADD COLUMN stranger {bytes}",
    "CREATE INDEX product_order_by_stranger ON product_order (account_id, stranger, id)
        WHERE stranger IS NOT NULL AND status = 'awaiting_payment'",
    "{only postgres} ALTER TABLE run DROP CONSTRAINT run_status_check,
        ADD CONSTRAINT run_status CHECK (status IN ('pending', 'done', 'refused', 'failed', 'cancelled'))",
    // SQLite changes a CHECK in the text of its table (its manual, ALTER TABLE, 7); what is stored keeps it.
    "{only sqlite} PRAGMA writable_schema = ON",
    "{only sqlite} UPDATE sqlite_schema SET sql = replace(sql, '''refused'', ''failed'')',
        '''refused'', ''failed'', ''cancelled'')') WHERE type = 'table' AND name = 'run'",
    "{only sqlite} PRAGMA writable_schema = RESET",
    // Makes every other connection read the schema again.
    "ALTER TABLE run RENAME COLUMN origin TO origin_id",
    "CREATE INDEX run_by_origin ON run (account_id, origin_id) WHERE origin_id IS NOT NULL",
];
