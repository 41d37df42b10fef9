//! Who may come in: API keys and customers' sessions; who did what; and customers that were erased.

/// In the words of `dialect`.
pub const UP: &[&str] = &[
    "ALTER TABLE customer ADD COLUMN erased_at {instant}",
    "CREATE TABLE api_key (
        account_id {uuid} NOT NULL REFERENCES account (id),
        id {uuid} NOT NULL,
        name {text} NOT NULL,
        scopes {json} NOT NULL,
        digest {bytes} NOT NULL CHECK (length(digest) = 32),
        ending {text} NOT NULL,
        created_by {text} NOT NULL,
        created_at {instant} NOT NULL,
        expires_at {instant},
        last_used_at {instant},
        revoked_at {instant},
        PRIMARY KEY (account_id, id)
    ) {strict}",
    "CREATE TABLE customer_session (
        account_id {uuid} NOT NULL,
        id {uuid} NOT NULL,
        customer_id {uuid} NOT NULL,
        digest {bytes} NOT NULL CHECK (length(digest) = 32),
        created_by {text} NOT NULL,
        created_at {instant} NOT NULL,
        expires_at {instant} NOT NULL,
        revoked_at {instant},
        PRIMARY KEY (account_id, id),
        FOREIGN KEY (account_id, customer_id) REFERENCES customer (account_id, id)
    ) {strict}",
    "CREATE INDEX customer_session_by_customer ON customer_session (account_id, customer_id, id)",
    "CREATE TABLE access_entry (
        account_id {uuid} NOT NULL,
        id {uuid} NOT NULL,
        at {instant} NOT NULL,
        actor_kind {text} NOT NULL,
        actor {text} NOT NULL,
        operation {text} NOT NULL,
        about {text},
        outcome {text} NOT NULL,
        request_id {text} NOT NULL,
        PRIMARY KEY (account_id, id)
    ) {strict}",
    "CREATE INDEX access_entry_by_actor ON access_entry (account_id, actor_kind, actor, id)",
];
