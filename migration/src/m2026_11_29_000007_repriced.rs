//! Refunds take cost off credits that stay, disputes freeze what is free, and a lost one charges it back; what comes back
//! after a renewal falls under its rollover cap.

/// In the words of `dialect`.
pub const UP: &[&str] = &[
    "ALTER TABLE allocation ADD COLUMN cost_from {text}",
    "ALTER TABLE allocation ADD COLUMN cost_to {text}",
    "ALTER TABLE allocation ADD COLUMN refunded {bool} NOT NULL DEFAULT {false}",
    "ALTER TABLE credit_grant ADD COLUMN cost_returned {long} NOT NULL DEFAULT 0
        CONSTRAINT credit_grant_cost_returned CHECK (cost_returned BETWEEN 0 AND cost_voided)",
    "ALTER TABLE credit_grant ADD COLUMN cost_reduced {long} NOT NULL DEFAULT 0 CHECK (cost_reduced >= 0)",
    "ALTER TABLE credit_grant ADD COLUMN cost_lost {long} NOT NULL DEFAULT 0 CHECK (cost_lost >= 0)",
    "ALTER TABLE credit_grant ADD COLUMN cost_short {long} NOT NULL DEFAULT 0 CHECK (cost_short >= 0)",
    "ALTER TABLE credit_grant ADD COLUMN expired_marked {long} NOT NULL DEFAULT 0
        CONSTRAINT credit_grant_expired_marked CHECK (expired_marked BETWEEN 0 AND expired)",
    "ALTER TABLE credit_grant ADD COLUMN expired_capped {long} NOT NULL DEFAULT 0
        CONSTRAINT credit_grant_expired_capped CHECK (expired_capped BETWEEN 0 AND expired)",
    "ALTER TABLE credit_grant ADD COLUMN frozen {bool} NOT NULL DEFAULT {false}",
    "ALTER TABLE wallet ADD COLUMN frozen_grants {int} NOT NULL DEFAULT 0 CHECK (frozen_grants >= 0)",
    "ALTER TABLE refund ADD COLUMN surplus_amount {long} NOT NULL DEFAULT 0 CHECK (surplus_amount >= 0)",
    "ALTER TABLE refund ADD COLUMN of_lines {json} NOT NULL DEFAULT '[]'",
    "ALTER TABLE credit_grant ADD COLUMN subscription_id {uuid}",
    "ALTER TABLE credit_grant ADD COLUMN period {long}",
    "ALTER TABLE credit_grant ADD COLUMN rollover_limit {long}",
    "ALTER TABLE credit_grant ADD COLUMN allowance {long} CHECK (allowance >= 0)",
    "ALTER TABLE credit_grant ADD COLUMN capped_at {long}",
    "ALTER TABLE allocation ADD COLUMN allowance {long}",
    "ALTER TABLE hold ADD COLUMN sequence {long} NOT NULL DEFAULT 0",
    "UPDATE hold SET sequence = (SELECT activity.sequence FROM activity
        WHERE activity.account_id = hold.account_id AND activity.id = hold.activity_id)",
    "ALTER TABLE wallet ADD COLUMN caps {int} NOT NULL DEFAULT 0 CHECK (caps >= 0)",
    "ALTER TABLE subscription ADD COLUMN pending_quantity {long} CHECK (pending_quantity >= 1)",
    "ALTER TABLE product_order ADD COLUMN covered {long} NOT NULL DEFAULT 0 CHECK (covered >= 0)",
    "CREATE INDEX credit_grant_by_cap ON credit_grant (account_id, customer_id, credit_type_id)
        WHERE capped_at IS NOT NULL",
    "CREATE INDEX credit_grant_by_origin ON credit_grant (account_id, origin_id) WHERE origin_id IS NOT NULL",
    "{only postgres} ALTER TABLE credit_grant DROP CONSTRAINT credit_grant_cost_sum, ADD CONSTRAINT credit_grant_cost_sum
        CHECK (cost = cost_left + cost_held + cost_consumed + cost_expired + cost_voided + cost_transferred
            + cost_reduced + cost_lost)",
    "{only postgres} ALTER TABLE product_order DROP CONSTRAINT product_order_status_check,
        ADD CONSTRAINT product_order_status CHECK (status IN
            ('awaiting_payment', 'paid', 'partially_refunded', 'refunded', 'cancelled', 'charged_back'))",
    "{only postgres} ALTER TABLE payment DROP CONSTRAINT payment_status_check,
        ADD CONSTRAINT payment_status CHECK (status IN
            ('pending', 'requires_action', 'succeeded', 'failed', 'refunded', 'disputed', 'charged_back'))",
    // SQLite changes a CHECK in the text of its table (its manual, ALTER TABLE, 7); what is stored keeps all of these.
    "{only sqlite} PRAGMA writable_schema = ON",
    "{only sqlite} UPDATE sqlite_schema SET sql = replace(sql, '+ cost_voided + cost_transferred)',
        '+ cost_voided + cost_transferred + cost_reduced + cost_lost)') WHERE type = 'table' AND name = 'credit_grant'",
    "{only sqlite} UPDATE sqlite_schema SET sql = replace(sql, '''refunded'', ''cancelled'')',
        '''refunded'', ''cancelled'', ''charged_back'')') WHERE type = 'table' AND name = 'product_order'",
    "{only sqlite} UPDATE sqlite_schema SET sql = replace(sql, '''refunded'', ''disputed'')',
        '''refunded'', ''disputed'', ''charged_back'')') WHERE type = 'table' AND name = 'payment'",
    "{only sqlite} PRAGMA writable_schema = RESET",
    // Makes every other connection read the schema again.
    "ALTER TABLE refund RENAME COLUMN voids TO taken",
];
