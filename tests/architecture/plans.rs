//! How queries find their rows.

/// Queries, and the part of an index by which SQLite finds their rows.
pub const PLANS: &[(&str, &str)] = &[
    (
        "SELECT * FROM wallet WHERE (account_id, customer_id, credit_type_id) IN (SELECT * FROM (VALUES (?, ?, ?), (?, ?, ?)) AS keys) ORDER BY account_id, customer_id, credit_type_id",
        "PRIMARY KEY (account_id=? AND customer_id=? AND credit_type_id=?)",
    ),
    (
        "SELECT * FROM credit_grant WHERE (account_id, customer_id, credit_type_id) IN (SELECT * FROM (VALUES (?, ?, ?), (?, ?, ?)) AS keys) AND credit_grant.open",
        "credit_grant_in_burn_order (account_id=? AND customer_id=? AND credit_type_id=?)",
    ),
    (
        "SELECT * FROM credit_grant WHERE account_id = ? AND customer_id IN (?, ?) AND credit_grant.open",
        "credit_grant_in_burn_order (account_id=? AND customer_id=?)",
    ),
    (
        "SELECT * FROM credit_grant WHERE account_id = ? AND customer_id = ? AND credit_type_id = ? AND credit_grant.open AND priority >= ? ORDER BY priority, COALESCE(credit_grant.expires_at, '~'), promotional DESC, effective_at, id LIMIT 64",
        "credit_grant_in_burn_order (account_id=? AND customer_id=? AND credit_type_id=? AND priority>?)",
    ),
    (
        "SELECT SUM(remaining) FROM credit_grant WHERE account_id = ? AND customer_id = ? AND credit_type_id = ? AND credit_grant.open AND priority IN (?, ?) AND COALESCE(credit_grant.expires_at, '~') = ?",
        "credit_grant_in_burn_order (account_id=? AND customer_id=? AND credit_type_id=? AND priority=? AND <expr>=?)",
    ),
    (
        "UPDATE credit_grant SET remaining = rows.c2 FROM (SELECT column1 AS c0, column2 AS c1, column3 AS c2 FROM (VALUES (?, ?, ?), (?, ?, ?))) AS rows WHERE credit_grant.account_id = rows.c0 AND credit_grant.id = rows.c1",
        "PRIMARY KEY (account_id=? AND id=?)",
    ),
    (
        "SELECT * FROM request WHERE (account_id, caller, key) IN (SELECT * FROM (VALUES (?, ?, ?), (?, ?, ?)) AS keys)",
        "PRIMARY KEY (account_id=? AND caller=? AND key=?)",
    ),
    (
        "SELECT * FROM activity WHERE (account_id, reverses_id) IN (SELECT * FROM (VALUES (?, ?), (?, ?)) AS keys) AND reverses_id IS NOT NULL",
        "activity_by_reversed (account_id=? AND reverses_id=?)",
    ),
    (
        "SELECT * FROM allocation WHERE (account_id, activity_id) IN (SELECT * FROM (VALUES (?, ?), (?, ?)) AS keys) ORDER BY account_id, activity_id, position",
        "PRIMARY KEY (account_id=? AND activity_id=?)",
    ),
    (
        "SELECT * FROM hold WHERE (account_id, customer_id, credit_type_id) IN (SELECT * FROM (VALUES (?, ?, ?)) AS keys) AND open = ?",
        "hold_by_wallet (account_id=? AND customer_id=? AND credit_type_id=? AND open=?)",
    ),
    (
        "SELECT * FROM credit_grant WHERE (account_id, id) IN (SELECT * FROM (VALUES (?, ?), (?, ?)) AS keys)",
        "PRIMARY KEY (account_id=? AND id=?)",
    ),
    (
        "SELECT * FROM activity WHERE account_id = ? AND customer_id = ? AND (at, sequence, id) < (?, ?, ?) ORDER BY at DESC, sequence DESC, id DESC LIMIT 21",
        "activity_by_customer (account_id=? AND customer_id=? AND (at,sequence,id)<(?,?,?))",
    ),
    (
        "SELECT * FROM activity WHERE account_id = ? AND customer_id = ? AND reverses_id IN (?, ?)",
        "activity_by_reversed (account_id=? AND reverses_id=?)",
    ),
    (
        "SELECT * FROM allocation WHERE account_id = ? AND grant_id = ? ORDER BY activity_id DESC LIMIT 20",
        "allocation_by_grant (account_id=? AND grant_id=?)",
    ),
    (
        "SELECT * FROM hold h JOIN allocation a ON a.account_id = h.account_id AND a.activity_id = h.activity_id WHERE h.account_id = ? AND h.open AND h.expires_at <= ?",
        "hold_by_lapse (account_id=? AND expires_at<?)",
    ),
    (
        "SELECT * FROM activity CROSS JOIN allocation CROSS JOIN credit_grant WHERE activity.account_id = ? AND allocation.account_id = ? AND allocation.activity_id = activity.id AND credit_grant.account_id = ? AND credit_grant.id = allocation.grant_id AND activity.at >= ? AND activity.at < ?",
        "activity_by_time (account_id=? AND at>? AND at<?)",
    ),
    (
        "SELECT * FROM product_order WHERE account_id = ? AND customer_id = ? ORDER BY id DESC LIMIT 21",
        "product_order_by_customer (account_id=? AND customer_id=?)",
    ),
    (
        "SELECT * FROM product_order WHERE account_id = ? AND status = ? ORDER BY id DESC LIMIT 21",
        "product_order_by_status (account_id=? AND status=?)",
    ),
    (
        "SELECT * FROM order_line WHERE account_id = ? AND order_id IN (SELECT id FROM product_order WHERE account_id = ? AND customer_id = ? AND status <> ?) AND price_id IN (?, ?)",
        "product_order_by_customer (account_id=? AND customer_id=?)",
    ),
    (
        "SELECT * FROM fulfilment WHERE account_id = ? AND order_id IN (SELECT id FROM product_order WHERE account_id = ? AND subscription_id = ? AND renewal_number < ?)",
        "(account_id=? AND subscription_id=? AND renewal_number<?)",
    ),
    (
        "SELECT * FROM payment WHERE account_id = ? AND provider = ? AND provider_reference = ?",
        "(account_id=? AND provider=? AND provider_reference=?)",
    ),
    (
        "SELECT * FROM renewal WHERE account_id = ? AND subscription_id = ? AND status IN ('due', 'past_due') ORDER BY number",
        "PRIMARY KEY (account_id=? AND subscription_id=?)",
    ),
    (
        "SELECT account_id FROM event WHERE pending AND account_id > ? ORDER BY account_id LIMIT 1",
        "event_pending (account_id>?)",
    ),
    ("SELECT id FROM event WHERE account_id = ? AND pending ORDER BY id LIMIT 256", "event_pending (account_id=?)"),
    (
        "SELECT * FROM event WHERE account_id = ? AND name = ? ORDER BY id DESC LIMIT 21",
        "event_by_name (account_id=? AND name=?)",
    ),
    (
        "SELECT * FROM event WHERE account_id = ? AND customer_id = ? ORDER BY id DESC LIMIT 21",
        "event_by_customer (account_id=? AND customer_id=?)",
    ),
    (
        "SELECT * FROM run WHERE account_id = ? AND trigger_id = ? ORDER BY id DESC LIMIT 21",
        "run_by_trigger (account_id=? AND trigger_id=?)",
    ),
    (
        "SELECT * FROM run WHERE account_id = ? AND trigger_id = ? AND status = ? ORDER BY id DESC LIMIT 21",
        "run_by_trigger_status (account_id=? AND trigger_id=? AND status=?)",
    ),
    (
        "SELECT * FROM run WHERE account_id = ? AND status = ? ORDER BY id DESC LIMIT 21",
        "run_by_status (account_id=? AND status=?)",
    ),
    (
        "SELECT * FROM run WHERE account_id = ? AND event_id = ? AND trigger_id IS NOT NULL ORDER BY id DESC LIMIT 21",
        "run_by_event (account_id=? AND event_id=?)",
    ),
    (
        "SELECT * FROM webhook_delivery WHERE account_id = ? AND endpoint_id = ? AND next_at <= ? ORDER BY next_at LIMIT 8",
        "webhook_delivery_due (account_id=? AND endpoint_id=? AND next_at<?)",
    ),
    ("SELECT * FROM access_entry WHERE account_id = ? ORDER BY id DESC LIMIT 21", "PRIMARY KEY (account_id=?)"),
    (
        "SELECT * FROM access_entry WHERE account_id = ? AND actor_kind = ? AND actor = ? ORDER BY id DESC LIMIT 21",
        "access_entry_by_actor (account_id=? AND actor_kind=? AND actor=?)",
    ),
    (
        "SELECT * FROM customer_session WHERE account_id = ? AND customer_id = ? ORDER BY id DESC LIMIT 21",
        "customer_session_by_customer (account_id=? AND customer_id=?)",
    ),
    (
        "UPDATE activity SET note = NULL WHERE account_id = ? AND customer_id = ? AND note_salt IS NOT NULL",
        "activity_by_customer (account_id=? AND customer_id=?)",
    ),
    (
        "SELECT * FROM job WHERE live AND run_at <= ? AND dead_at IS NULL ORDER BY run_at LIMIT 256",
        "job_due (run_at<?)",
    ),
];

/// The same questions as PostgreSQL is asked them: by arrays. None reads a table from end to end.
pub const POSTGRES_PLANS: &[&str] = &[
    "SELECT * FROM wallet WHERE (account_id, customer_id, credit_type_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[])) ORDER BY account_id, customer_id, credit_type_id FOR UPDATE",
    "SELECT * FROM credit_grant WHERE (account_id, customer_id, credit_type_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[])) AND credit_grant.open",
    "SELECT * FROM credit_grant WHERE account_id = $1::uuid AND customer_id = $2::uuid AND credit_type_id = $3::uuid AND credit_grant.open AND priority >= 0 ORDER BY priority, COALESCE(credit_grant.expires_at, 'infinity'::timestamptz), promotional DESC, effective_at, id LIMIT 64",
    "UPDATE credit_grant SET remaining = rows.c2 FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS rows (c0, c1, c2) WHERE credit_grant.account_id = rows.c0 AND credit_grant.id = rows.c1",
    "SELECT * FROM request WHERE (account_id, caller, key) IN (SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[]))",
    "SELECT * FROM activity WHERE (account_id, reverses_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[])) AND reverses_id IS NOT NULL",
    "SELECT * FROM allocation WHERE (account_id, activity_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[])) ORDER BY account_id, activity_id, position",
    "SELECT * FROM hold WHERE (account_id, customer_id, credit_type_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[])) AND open = true",
    "SELECT * FROM activity WHERE account_id = $1::uuid AND customer_id = $2::uuid AND (at, sequence, id) < (now(), 7, $2::uuid) ORDER BY at DESC, sequence DESC, id DESC LIMIT 21",
    "SELECT account_id FROM event WHERE pending AND account_id > $1::uuid ORDER BY account_id LIMIT 1",
    "SELECT id FROM event WHERE account_id = $1::uuid AND pending ORDER BY id LIMIT 256",
    "SELECT * FROM event WHERE account_id = $1::uuid AND customer_id = $2::uuid ORDER BY id DESC LIMIT 21",
    "SELECT * FROM job WHERE live AND run_at <= now() AND dead_at IS NULL ORDER BY run_at LIMIT 256",
    "SELECT * FROM product_order WHERE account_id = $1::uuid AND customer_id = $2::uuid ORDER BY id DESC LIMIT 21",
    "SELECT * FROM run WHERE account_id = $1::uuid AND trigger_id = $2::uuid ORDER BY id DESC LIMIT 21",
    "SELECT * FROM access_entry WHERE account_id = $1::uuid ORDER BY id DESC LIMIT 21",
];
