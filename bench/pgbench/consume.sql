\set n random(1, :wallets)
SELECT bench_consume(a, c, t, bench_id()::text) FROM bench_wallet WHERE n = :n;
