//! Whether a void closes its grant, and what a refund voided, is written down, not read from how much was voided.

/// In the words of `dialect`.
pub const UP: &[&str] = &[
    "ALTER TABLE allocation ADD COLUMN leaves_open {bool} NOT NULL DEFAULT {false}",
    "ALTER TABLE credit_grant ADD COLUMN closed {bool} NOT NULL DEFAULT {false}
        CONSTRAINT credit_grant_closed CHECK (NOT closed OR remaining = 0)",
    "ALTER TABLE refund ADD COLUMN voids {json} NOT NULL DEFAULT '[]'",
    // Until now each void closed its grant.
    "UPDATE credit_grant SET closed = {true} WHERE voided > 0 AND remaining = 0",
];
