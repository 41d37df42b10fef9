//! Wallets with many open grants are read in part, in burn order.

/// In the words of `dialect`.
pub const UP: &[&str] = &[
    "ALTER TABLE wallet ADD COLUMN open_grants {int} NOT NULL DEFAULT 0 CHECK (open_grants >= 0)",
    "ALTER TABLE wallet ADD COLUMN last_begins_at {instant}",
    "UPDATE wallet SET
        open_grants = (SELECT COUNT(*) FROM credit_grant AS g WHERE g.account_id = wallet.account_id
            AND g.customer_id = wallet.customer_id AND g.credit_type_id = wallet.credit_type_id AND g.open),
        last_begins_at = (SELECT MAX(effective_at) FROM credit_grant AS g WHERE g.account_id = wallet.account_id
            AND g.customer_id = wallet.customer_id AND g.credit_type_id = wallet.credit_type_id)",
    // Has no column that a consume changes: SQLite writes every index again that has one.
    "DROP INDEX credit_grant_by_wallet",
    "CREATE INDEX credit_grant_by_wallet ON credit_grant (account_id, customer_id, credit_type_id, id)",
    "CREATE INDEX credit_grant_in_burn_order ON credit_grant (account_id, customer_id, credit_type_id, priority,
        COALESCE(expires_at, {never}), promotional DESC, effective_at, id) WHERE open",
];
