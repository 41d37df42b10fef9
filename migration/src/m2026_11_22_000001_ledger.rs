//! Accounts, customers, credit types, the ledger, and what happens later.
//!
//! `account_id` is part of every primary, unique and foreign key and leads every index, so that accounts cannot meet
//! and the tables can be sharded by it. The grant holds its whole arithmetic from the beginning:
//! SQLite cannot add a CHECK later.

/// In the words of `dialect`.
pub const UP: &[&str] = &[
    "CREATE TABLE account (
        id {uuid} NOT NULL PRIMARY KEY,
        slug {text} NOT NULL UNIQUE,
        name {text} NOT NULL,
        time_zone {text} NOT NULL,
        currency {text} NOT NULL,
        credits_enabled {bool} NOT NULL,
        mode {text} NOT NULL CHECK (mode IN ('live', 'sandbox')),
        clock_at {instant},
        sender_name {text},
        logo_url {text},
        support_address {text},
        key_check {bytes} NOT NULL,
        hold_limit_days {int} NOT NULL CHECK (hold_limit_days BETWEEN 1 AND 3660),
        created_at {instant} NOT NULL,
        updated_at {instant} NOT NULL,
        CONSTRAINT account_clock CHECK ((mode = 'sandbox') = (clock_at IS NOT NULL))
    ) {strict}",
    "CREATE TABLE customer (
        account_id {uuid} NOT NULL REFERENCES account (id),
        id {uuid} NOT NULL,
        name {text} NOT NULL,
        email {text},
        external_id {text},
        locale {text},
        metadata {json} NOT NULL,
        archived_at {instant},
        created_at {instant} NOT NULL,
        updated_at {instant} NOT NULL,
        PRIMARY KEY (account_id, id),
        CONSTRAINT customer_email UNIQUE (account_id, email),
        CONSTRAINT customer_external_id UNIQUE (account_id, external_id)
    ) {strict}",
    "CREATE TABLE customer_tag (
        account_id {uuid} NOT NULL,
        customer_id {uuid} NOT NULL,
        tag {text} NOT NULL,
        PRIMARY KEY (account_id, customer_id, tag),
        FOREIGN KEY (account_id, customer_id) REFERENCES customer (account_id, id)
    ) {strict}",
    "CREATE INDEX customer_tag_by_tag ON customer_tag (account_id, tag, customer_id)",
    "CREATE TABLE customer_term (
        account_id {uuid} NOT NULL,
        customer_id {uuid} NOT NULL,
        term {text} NOT NULL,
        PRIMARY KEY (account_id, customer_id, term),
        FOREIGN KEY (account_id, customer_id) REFERENCES customer (account_id, id)
    ) {strict}",
    "CREATE INDEX customer_term_by_term ON customer_term (account_id, term, customer_id)",
    "CREATE TABLE credit_type (
        account_id {uuid} NOT NULL REFERENCES account (id),
        id {uuid} NOT NULL,
        name {text} NOT NULL,
        description {text},
        expiration {text} NOT NULL,
        period_count {int},
        period_unit {text},
        period_from {text},
        expires_on {date},
        low_balance_at {long} CHECK (low_balance_at >= 0),
        expiry_notice_days {json} NOT NULL,
        archived_at {instant},
        created_at {instant} NOT NULL,
        updated_at {instant} NOT NULL,
        PRIMARY KEY (account_id, id),
        CONSTRAINT credit_type_name UNIQUE (account_id, name),
        CONSTRAINT credit_type_policy CHECK (
            CASE expiration
                WHEN 'never' THEN period_count IS NULL AND expires_on IS NULL
                WHEN 'after' THEN period_count >= 1 AND period_unit IS NOT NULL AND period_from IS NOT NULL
                    AND expires_on IS NULL
                WHEN 'on' THEN period_count IS NULL AND expires_on IS NOT NULL
                ELSE false
            END)
    ) {strict}",
    "CREATE TABLE wallet (
        account_id {uuid} NOT NULL,
        customer_id {uuid} NOT NULL,
        credit_type_id {uuid} NOT NULL,
        sequence {long} NOT NULL CHECK (sequence >= 0),
        hash {bytes} NOT NULL CHECK (length(hash) = 32),
        newest_at {instant} NOT NULL,
        balance {long} NOT NULL CHECK (balance >= 0),
        held {long} NOT NULL CHECK (held >= 0),
        issued {long} NOT NULL,
        consumed {long} NOT NULL CHECK (consumed >= 0),
        expired {long} NOT NULL CHECK (expired >= 0),
        voided {long} NOT NULL CHECK (voided >= 0),
        transferred {long} NOT NULL CHECK (transferred >= 0),
        PRIMARY KEY (account_id, customer_id, credit_type_id),
        FOREIGN KEY (account_id, customer_id) REFERENCES customer (account_id, id),
        FOREIGN KEY (account_id, credit_type_id) REFERENCES credit_type (account_id, id),
        CONSTRAINT wallet_sum CHECK (issued = balance + held + consumed + expired + voided + transferred)
    ) {strict}",
    "CREATE TABLE credit_grant (
        account_id {uuid} NOT NULL,
        id {uuid} NOT NULL,
        customer_id {uuid} NOT NULL,
        credit_type_id {uuid} NOT NULL,
        amount {long} NOT NULL CHECK (amount >= 1),
        remaining {long} NOT NULL CHECK (remaining >= 0),
        held {long} NOT NULL CHECK (held >= 0),
        consumed {long} NOT NULL CHECK (consumed >= 0),
        expired {long} NOT NULL CHECK (expired >= 0),
        voided {long} NOT NULL CHECK (voided >= 0),
        transferred {long} NOT NULL CHECK (transferred >= 0),
        open {bool} NOT NULL,
        priority {small} NOT NULL,
        promotional {bool} NOT NULL,
        effective_at {instant} NOT NULL,
        expires_at {instant},
        expiration {text} NOT NULL,
        period_count {int},
        period_unit {text},
        period_from {text},
        expires_on {date},
        time_zone {text} NOT NULL,
        first_used_at {instant},
        cost {long} NOT NULL CHECK (cost >= 0),
        cost_left {long} NOT NULL CHECK (cost_left >= 0),
        cost_held {long} NOT NULL CHECK (cost_held >= 0),
        cost_consumed {long} NOT NULL CHECK (cost_consumed >= 0),
        cost_expired {long} NOT NULL CHECK (cost_expired >= 0),
        cost_voided {long} NOT NULL CHECK (cost_voided >= 0),
        cost_transferred {long} NOT NULL CHECK (cost_transferred >= 0),
        currency {text} NOT NULL,
        source {text} NOT NULL,
        origin_id {uuid},
        metadata {json} NOT NULL,
        created_at {instant} NOT NULL,
        PRIMARY KEY (account_id, id),
        FOREIGN KEY (account_id, customer_id, credit_type_id)
            REFERENCES wallet (account_id, customer_id, credit_type_id),
        CONSTRAINT credit_grant_sum
            CHECK (amount = remaining + held + consumed + expired + voided + transferred),
        CONSTRAINT credit_grant_cost_sum
            CHECK (cost = cost_left + cost_held + cost_consumed + cost_expired + cost_voided + cost_transferred),
        CONSTRAINT credit_grant_cost_left CHECK (remaining > 0 OR cost_left = 0),
        CONSTRAINT credit_grant_cost_held CHECK (held > 0 OR cost_held = 0),
        CONSTRAINT credit_grant_promotional CHECK (cost = 0 OR NOT promotional),
        CONSTRAINT credit_grant_open CHECK (open = (remaining > 0)),
        CONSTRAINT credit_grant_validity CHECK (expires_at > effective_at),
        CONSTRAINT credit_grant_policy CHECK (
            CASE expiration
                WHEN 'never' THEN expires_at IS NULL
                WHEN 'after' THEN period_count >= 1 AND period_unit IS NOT NULL AND period_from IS NOT NULL
                    AND (expires_at IS NOT NULL OR (period_from = 'first_use' AND first_used_at IS NULL))
                WHEN 'on' THEN expires_on IS NOT NULL AND expires_at IS NOT NULL
                WHEN 'at' THEN expires_at IS NOT NULL
                ELSE false
            END)
    ) {strict}",
    "CREATE INDEX credit_grant_by_wallet ON credit_grant (account_id, customer_id, credit_type_id, open)",
    // What ends next in an account. Leaves out what is used up: the flag flips once, so a consume keeps the row's place.
    "CREATE INDEX credit_grant_by_end ON credit_grant (account_id, expires_at) WHERE open",
    // No foreign key to account: each commit would lock its one row. The wallet's is locked already.
    "CREATE TABLE activity (
        account_id {uuid} NOT NULL,
        id {uuid} NOT NULL,
        customer_id {uuid} NOT NULL,
        credit_type_id {uuid} NOT NULL,
        sequence {long} NOT NULL CHECK (sequence >= 1),
        kind {text} NOT NULL,
        amount {long} NOT NULL,
        held_amount {long} NOT NULL,
        balance_before {long} NOT NULL CHECK (balance_before >= 0),
        balance_after {long} NOT NULL CHECK (balance_after >= 0),
        actor_kind {text} NOT NULL,
        actor {text} NOT NULL,
        source {text} NOT NULL,
        reference {text},
        reason {text},
        note {text},
        internal_note {text},
        note_salt {bytes},
        note_digest {bytes},
        hold_id {uuid},
        reverses_id {uuid},
        at {instant} NOT NULL,
        hash {bytes} NOT NULL CHECK (length(hash) = 32),
        PRIMARY KEY (account_id, id),
        CONSTRAINT activity_sequence UNIQUE (account_id, customer_id, credit_type_id, sequence),
        FOREIGN KEY (account_id, customer_id, credit_type_id)
            REFERENCES wallet (account_id, customer_id, credit_type_id),
        CONSTRAINT activity_balance CHECK (balance_after = balance_before + amount)
    ) {strict}",
    "CREATE INDEX activity_by_customer ON activity (account_id, customer_id, at, sequence, id)",
    "CREATE INDEX activity_by_reversed ON activity (account_id, reverses_id) WHERE reverses_id IS NOT NULL",
    "CREATE TABLE allocation (
        account_id {uuid} NOT NULL,
        activity_id {uuid} NOT NULL,
        position {int} NOT NULL,
        grant_id {uuid} NOT NULL,
        amount {long} NOT NULL CHECK (amount >= 0),
        cost {long} NOT NULL CHECK (cost >= 0),
        ends_before {instant},
        ends_after {instant},
        PRIMARY KEY (account_id, activity_id, position),
        FOREIGN KEY (account_id, activity_id) REFERENCES activity (account_id, id),
        FOREIGN KEY (account_id, grant_id) REFERENCES credit_grant (account_id, id)
    ) {strict}",
    "CREATE INDEX allocation_by_grant ON allocation (account_id, grant_id, activity_id)",
    "CREATE TABLE hold (
        account_id {uuid} NOT NULL,
        id {uuid} NOT NULL,
        customer_id {uuid} NOT NULL,
        credit_type_id {uuid} NOT NULL,
        activity_id {uuid} NOT NULL,
        amount {long} NOT NULL CHECK (amount >= 1),
        captured {long} NOT NULL CHECK (captured BETWEEN 0 AND amount),
        status {text} NOT NULL CHECK (status IN ('open', 'captured', 'released', 'lapsed')),
        open {bool} NOT NULL CHECK (open = (status = 'open')),
        reference {text},
        placed_at {instant} NOT NULL,
        expires_at {instant} NOT NULL CHECK (expires_at > placed_at),
        closed_at {instant} CHECK ((closed_at IS NULL) = (status = 'open')),
        PRIMARY KEY (account_id, id),
        FOREIGN KEY (account_id, customer_id, credit_type_id)
            REFERENCES wallet (account_id, customer_id, credit_type_id),
        CONSTRAINT hold_captured CHECK (captured = 0 OR status = 'captured')
    ) {strict}",
    "CREATE INDEX hold_by_wallet ON hold (account_id, customer_id, credit_type_id, open)",
    "CREATE INDEX hold_by_lapse ON hold (account_id, expires_at) WHERE open",
    // What happened, once more, for whoever follows: written with the fact.
    "CREATE TABLE event (
        account_id {uuid} NOT NULL,
        id {uuid} NOT NULL,
        name {text} NOT NULL,
        version {small} NOT NULL,
        customer_id {uuid},
        subject_id {uuid} NOT NULL,
        payload {json} NOT NULL,
        at {instant} NOT NULL,
        PRIMARY KEY (account_id, id)
    ) {strict}",
    "CREATE TABLE job (
        account_id {uuid} NOT NULL,
        id {uuid} NOT NULL,
        kind {text} NOT NULL,
        key {text} NOT NULL,
        live {bool} NOT NULL,
        run_at {instant} NOT NULL,
        attempts {int} NOT NULL CHECK (attempts >= 0),
        not_before {instant},
        lease {long} NOT NULL CHECK (lease >= 0),
        leased_until {instant},
        error {text},
        dead_at {instant},
        created_at {instant} NOT NULL,
        PRIMARY KEY (account_id, id),
        CONSTRAINT job_key UNIQUE (account_id, kind, key)
    ) {strict}",
    "CREATE INDEX job_by_account ON job (account_id, run_at, kind, id)",
    "CREATE INDEX job_by_death ON job (account_id, id) WHERE dead_at IS NOT NULL",
    // The one kind of index that no account leads: what is due on live accounts, looked up without a lock.
    // Each row found is then claimed by its whole key.
    "CREATE INDEX job_due ON job (run_at) WHERE live AND dead_at IS NULL",
    "CREATE TABLE bulk_operation (
        account_id {uuid} NOT NULL,
        id {uuid} NOT NULL,
        kind {text} NOT NULL CHECK (kind IN ('issue', 'extend', 'enrol')),
        input {json} NOT NULL,
        actor_kind {text} NOT NULL,
        actor {text} NOT NULL,
        status {text} NOT NULL CHECK (status IN ('running', 'done', 'failed')),
        cursor {uuid},
        total {long} NOT NULL CHECK (total >= 0),
        done {long} NOT NULL CHECK (done >= 0),
        refused {long} NOT NULL CHECK (refused >= 0),
        created_at {instant} NOT NULL,
        finished_at {instant} CHECK ((finished_at IS NULL) = (status = 'running')),
        PRIMARY KEY (account_id, id)
    ) {strict}",
    "CREATE TABLE bulk_refusal (
        account_id {uuid} NOT NULL,
        operation_id {uuid} NOT NULL,
        subject_id {uuid} NOT NULL,
        customer_id {uuid} NOT NULL,
        refusal {json} NOT NULL,
        PRIMARY KEY (account_id, operation_id, subject_id),
        FOREIGN KEY (account_id, operation_id) REFERENCES bulk_operation (account_id, id)
    ) {strict}",
    "CREATE TABLE request (
        account_id {uuid} NOT NULL,
        caller {text} NOT NULL,
        key {text} NOT NULL,
        fingerprint {bytes} NOT NULL,
        outcome {json} NOT NULL,
        created_at {instant} NOT NULL,
        expires_at {instant},
        PRIMARY KEY (account_id, caller, key)
    ) {strict}",
];
