-- What a business might write instead of a ledger: one stored procedure for each consume, over the same tables, rows and
-- keys. It locks the wallet, takes the first grant in burn order, and writes what the ledger writes. Its ids are
-- ordered by time as the ledger's are, so that indexes grow at their end.
CREATE FUNCTION bench_id() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0')
        || '7' || substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid
$$;

CREATE FUNCTION bench_consume(a uuid, c uuid, t uuid, k text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    w wallet; g credit_grant; act uuid := bench_id(); at_ timestamptz := clock_timestamp();
    sign bytea := decode(repeat('07', 32), 'hex');
BEGIN
    PERFORM 1 FROM account WHERE id = a;
    SELECT * INTO w FROM wallet WHERE account_id = a AND customer_id = c AND credit_type_id = t FOR UPDATE;
    SELECT * INTO g FROM credit_grant
        WHERE account_id = a AND customer_id = c AND credit_type_id = t AND open AND effective_at <= at_
            AND (expires_at IS NULL OR expires_at > at_)
        ORDER BY priority, expires_at NULLS LAST, promotional DESC, effective_at, id LIMIT 1;
    PERFORM 1 FROM credit_type WHERE account_id = a AND id = t;
    PERFORM 1 FROM request WHERE account_id = a AND caller = 'staff' AND key = k;
    IF FOUND THEN RETURN w.balance; END IF;
    IF g.remaining IS NULL OR g.remaining < 1 THEN RAISE EXCEPTION 'not enough'; END IF;
    UPDATE credit_grant SET remaining = remaining - 1, consumed = consumed + 1, open = remaining > 1,
        first_used_at = coalesce(first_used_at, at_) WHERE account_id = a AND id = g.id;
    UPDATE wallet SET sequence = sequence + 1, balance = balance - 1, consumed = consumed + 1, newest_at = at_, hash = sign
        WHERE account_id = a AND customer_id = c AND credit_type_id = t;
    INSERT INTO activity (account_id, id, customer_id, credit_type_id, sequence, kind, amount, held_amount, balance_before,
        balance_after, actor_kind, actor, source, at, hash)
        VALUES (a, act, c, t, w.sequence + 1, 'consume', -1, 0, w.balance, w.balance - 1, 'staff', 'bench', 'manual', at_, sign);
    INSERT INTO allocation (account_id, activity_id, position, grant_id, amount, cost) VALUES (a, act, 0, g.id, 1, 0);
    INSERT INTO event (account_id, id, name, version, customer_id, subject_id, payload, at, depth, pending)
        VALUES (a, bench_id(), 'credits.consumed', 1, c, act, jsonb_build_object('activityId', act, 'creditTypeId', t,
            'amount', -1, 'heldAmount', 0, 'balanceAfter', w.balance - 1, 'holdId', null, 'reversesId', null), at_, 0, false);
    INSERT INTO request (account_id, caller, key, fingerprint, outcome, created_at)
        VALUES (a, 'staff', k, sign, jsonb_build_object('done', jsonb_build_array(act)), at_);
    RETURN w.balance - 1;
END $$;

-- The wallets by number, for pgbench to choose from.
CREATE TABLE bench_wallet AS
    SELECT row_number() OVER (ORDER BY account_id, customer_id)::integer AS n, account_id AS a, customer_id AS c, credit_type_id AS t
    FROM wallet;
ALTER TABLE bench_wallet ADD PRIMARY KEY (n);
ANALYZE;
