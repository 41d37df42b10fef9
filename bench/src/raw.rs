//! The limit: the same rows, constraints and flushes, in SQL written by hand, 256 consumes in each commit.
//!
//! It knows beforehand what a ledger has to find out: that every wallet has one grant with credits enough, that no key
//! is known, that nobody follows. It reads and writes what the ledger does, with bytes for signatures, and holds no rule.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use chrono::{DateTime, Utc};
use scrip::domain::ground::clock::{Clock, SystemClock, fresh_id};
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use crate::house::{self, Backend, Purse, Size};
use crate::load::{Dice, Figures};

/// Consumes in each commit.
const BATCH: usize = 256;
/// Commits at once, on PostgreSQL; one where there is one wallet, for which they would wait.
const CONNECTIONS: usize = 4;

/// A database with wallets, and the connections that use them.
pub struct House {
    /// Keeps the database where it is.
    _there: house::House,
    purses: Arc<Vec<Purse>>,
    to: Pool,
    keys: Arc<AtomicU64>,
}

#[derive(Clone)]
enum Pool {
    Sqlite(sqlx::SqlitePool),
    Postgres(sqlx::PgPool),
}

impl House {
    /// One like the ledger's own.
    pub async fn new(backend: Backend, size: Size) -> Result<Self> {
        let house = house::House::new(backend, size).await?;
        house.app.close().await;
        let to = match backend {
            Backend::Sqlite => {
                let options = house.place.url.parse::<sqlx::sqlite::SqliteConnectOptions>()?;
                let options = options
                    .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
                    .synchronous(sqlx::sqlite::SqliteSynchronous::Full)
                    .foreign_keys(true)
                    .pragma("cache_size", "-65536");
                Pool::Sqlite(sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect_with(options).await?)
            }
            Backend::Postgres => Pool::Postgres(sqlx::PgPool::connect(&house.place.url).await?),
        };
        Ok(Self { purses: Arc::new(house.purses.clone()), _there: house, to, keys: Arc::default() })
    }

    /// Consumes for a while, as fast as it goes.
    pub async fn load(&self, lasts: Duration, hot: f64) -> Result<Figures> {
        let connections =
            if matches!(self.to, Pool::Sqlite(_)) || hot >= 1.0 { 1 } else { CONNECTIONS.min(self.purses.len()) };
        let began = Instant::now();
        let tasks = (0..connections).map(|n| {
            let (to, purses, keys) = (self.to.clone(), self.purses.clone(), self.keys.clone());
            tokio::spawn(async move {
                let mut dice = Dice::new(n as u64 + 1);
                let mut done = 0;
                // Each has wallets of its own.
                let own = (n..purses.len()).step_by(connections).collect::<Vec<_>>();
                while began.elapsed() < lasts {
                    let batch = (0..BATCH).map(|_| &purses[own[dice.wallet(own.len(), hot)]]);
                    let first = keys.fetch_add(BATCH as u64, Ordering::Relaxed);
                    let batch = Batch::new(batch.collect(), first);
                    match &to {
                        Pool::Sqlite(pool) => sqlite(pool, batch).await?,
                        Pool::Postgres(pool) => postgres(pool, batch).await?,
                    }
                    done += BATCH;
                }
                anyhow::Ok(done)
            })
        });
        let tasks = tasks.collect::<Vec<_>>();
        let mut done = 0;
        for task in tasks {
            done += task.await??;
        }
        Ok(Figures { done, lasted: began.elapsed(), took: Vec::new() })
    }
}

/// A wallet, of which account, customer and credit type.
type Key = (Uuid, Uuid, Uuid);

fn key(purse: &Purse) -> Key {
    (purse.account.0, purse.customer.0, purse.credit_type.0)
}

/// What a wallet holds, and what became of it.
#[derive(Default)]
struct State {
    sequence: i64,
    balance: i64,
    consumed: i64,
    grant: Uuid,
    remaining: i64,
    grant_consumed: i64,
}

/// One consume, as rows need it.
struct Line {
    wallet: Key,
    activity: Uuid,
    event: Uuid,
    key: String,
    sequence: i64,
    before: i64,
    grant: Uuid,
    payload: String,
    outcome: String,
}

struct Batch<'a> {
    purses: Vec<&'a Purse>,
    keys: Vec<String>,
    wallets: Vec<Key>,
    now: DateTime<Utc>,
}

impl<'a> Batch<'a> {
    fn new(purses: Vec<&'a Purse>, first: u64) -> Self {
        let keys = (first..).take(purses.len()).map(|n| format!("raw-{n:016x}")).collect();
        let wallets = purses.iter().map(|purse| key(purse)).collect::<BTreeSet<_>>().into_iter().collect();
        Self { purses, keys, wallets, now: SystemClock.now() }
    }

    fn decide(&self, states: &mut BTreeMap<Key, State>) -> Vec<Line> {
        let lines = self.purses.iter().zip(&self.keys).map(|(purse, request)| {
            let wallet = key(purse);
            let state = states.get_mut(&wallet).expect("every wallet was read");
            let before = state.balance;
            state.sequence += 1;
            state.balance -= 1;
            state.consumed += 1;
            state.remaining -= 1;
            state.grant_consumed += 1;
            let activity = fresh_id();
            let id = entity::ActivityId(activity);
            Line {
                wallet,
                activity,
                event: fresh_id(),
                key: request.clone(),
                sequence: state.sequence,
                before,
                grant: state.grant,
                payload: format!(
                    r#"{{"activityId":"{id}","creditTypeId":"{}","amount":-1,"heldAmount":0,"balanceAfter":{},"holdId":null,"reversesId":null}}"#,
                    purse.credit_type, state.balance
                ),
                outcome: format!(r#"{{"done":["{id}"]}}"#),
            }
        });
        lines.collect()
    }
}

/// `(?,?),(?,?)`: so many rows of so many values.
fn rows(count: usize, width: usize) -> String {
    let row = format!("({})", vec!["?"; width].join(","));
    vec![row; count].join(",")
}

const ACTIVITY: &str = "INSERT INTO activity (account_id, id, customer_id, credit_type_id, sequence, kind, amount, held_amount, balance_before, balance_after, actor_kind, actor, source, at, hash)";

#[expect(clippy::too_many_lines, reason = "one statement after another, as they run")]
async fn sqlite(pool: &sqlx::SqlitePool, batch: Batch<'_>) -> Result<()> {
    let mut connection = pool.acquire().await?;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    let mut accounts = batch.wallets.iter().map(|(account, ..)| *account).collect::<Vec<_>>();
    accounts.dedup();
    let sql = format!("SELECT * FROM account WHERE id IN {}", rows(1, accounts.len()));
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for account in &accounts {
        query = query.bind(account);
    }
    query.fetch_all(&mut *connection).await?;
    // SQLite looks pairs up in an index where they come from a table.
    let wallets = rows(batch.wallets.len(), 3);
    let sql = format!(
        "WITH w (a, c, t) AS (VALUES {wallets}) SELECT wallet.* FROM w CROSS JOIN wallet ON account_id = a AND customer_id = c AND credit_type_id = t"
    );
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for (account, customer, credit_type) in &batch.wallets {
        query = query.bind(account).bind(customer).bind(credit_type);
    }
    let mut states = BTreeMap::new();
    for row in query.fetch_all(&mut *connection).await? {
        let key: Key = (row.get("account_id"), row.get("customer_id"), row.get("credit_type_id"));
        let (sequence, balance, consumed) = (row.get("sequence"), row.get("balance"), row.get("consumed"));
        states.insert(key, State { sequence, balance, consumed, ..State::default() });
    }
    let sql = format!(
        "WITH w (a, c, t) AS (VALUES {wallets}) SELECT g.* FROM w CROSS JOIN credit_grant g ON account_id = a AND customer_id = c AND credit_type_id = t AND open = 1"
    );
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for (account, customer, credit_type) in &batch.wallets {
        query = query.bind(account).bind(customer).bind(credit_type);
    }
    for row in query.fetch_all(&mut *connection).await? {
        let key: Key = (row.get("account_id"), row.get("customer_id"), row.get("credit_type_id"));
        let state = states.get_mut(&key).expect("its wallet was read");
        (state.grant, state.remaining, state.grant_consumed) =
            (row.get("id"), row.get("remaining"), row.get("consumed"));
    }
    let sql = format!("SELECT * FROM credit_type WHERE (account_id, id) IN (VALUES {})", rows(accounts.len(), 2));
    let mut query = sqlx::query(AssertSqlSafe(sql));
    let mut types = batch.wallets.iter().map(|(account, _, credit_type)| (account, credit_type)).collect::<Vec<_>>();
    types.dedup();
    for (account, credit_type) in types {
        query = query.bind(account).bind(credit_type);
    }
    query.fetch_all(&mut *connection).await?;
    let sql = format!(
        "WITH k (a, b) AS (VALUES {}) SELECT request.* FROM k CROSS JOIN request ON account_id = a AND caller = 'staff' AND key = b",
        rows(batch.keys.len(), 2)
    );
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for (purse, key) in batch.purses.iter().zip(&batch.keys) {
        query = query.bind(purse.account.0).bind(key);
    }
    ensure!(query.fetch_all(&mut *connection).await?.is_empty(), "no key is known");
    let lines = batch.decide(&mut states);
    let (now, hash) = (batch.now, [7_u8; 32]);
    let sql = format!(
        "WITH v (a, c, t, s, b, u) AS (VALUES {}) UPDATE wallet SET sequence = s, balance = b, consumed = u, newest_at = ?, hash = ? FROM v WHERE account_id = a AND customer_id = c AND credit_type_id = t",
        rows(states.len(), 6)
    );
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for ((account, customer, credit_type), state) in &states {
        query = query.bind(account).bind(customer).bind(credit_type);
        query = query.bind(state.sequence).bind(state.balance).bind(state.consumed);
    }
    query.bind(now).bind(hash.as_slice()).execute(&mut *connection).await?;
    let sql = format!(
        "WITH v (a, g, r, u) AS (VALUES {}) UPDATE credit_grant SET remaining = r, consumed = u, open = r > 0, first_used_at = coalesce(first_used_at, ?) FROM v WHERE account_id = a AND id = g",
        rows(states.len(), 4)
    );
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for ((account, ..), state) in &states {
        query = query.bind(account).bind(state.grant).bind(state.remaining).bind(state.grant_consumed);
    }
    query.bind(now).execute(&mut *connection).await?;
    let sql = format!("{ACTIVITY} VALUES {}", rows(lines.len(), 15));
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for line in &lines {
        let (account, customer, credit_type) = line.wallet;
        query = query.bind(account).bind(line.activity).bind(customer).bind(credit_type).bind(line.sequence);
        query = query.bind("consume").bind(-1).bind(0).bind(line.before).bind(line.before - 1);
        query = query.bind("staff").bind("bench").bind("manual").bind(now).bind(hash.as_slice());
    }
    query.execute(&mut *connection).await?;
    let sql = format!(
        "INSERT INTO allocation (account_id, activity_id, position, grant_id, amount, cost) VALUES {}",
        rows(lines.len(), 6)
    );
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for line in &lines {
        query = query.bind(line.wallet.0).bind(line.activity).bind(0).bind(line.grant).bind(1).bind(0);
    }
    query.execute(&mut *connection).await?;
    let sql = format!(
        "INSERT INTO event (account_id, id, name, version, customer_id, subject_id, payload, at, depth, pending) VALUES {}",
        rows(lines.len(), 10)
    );
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for line in &lines {
        query = query.bind(line.wallet.0).bind(line.event).bind("credits.consumed").bind(1).bind(line.wallet.1);
        query = query.bind(line.activity).bind(&line.payload).bind(now).bind(0).bind(false);
    }
    query.execute(&mut *connection).await?;
    let sql = format!(
        "INSERT INTO request (account_id, caller, key, fingerprint, outcome, created_at) VALUES {}",
        rows(lines.len(), 6)
    );
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for line in &lines {
        query =
            query.bind(line.wallet.0).bind("staff").bind(&line.key).bind(hash.as_slice()).bind(&line.outcome).bind(now);
    }
    query.execute(&mut *connection).await?;
    sqlx::query("COMMIT").execute(&mut *connection).await?;
    Ok(())
}

#[expect(clippy::too_many_lines, reason = "one statement after another, as they run")]
async fn postgres(pool: &sqlx::PgPool, batch: Batch<'_>) -> Result<()> {
    let mut txn = pool.begin().await?;
    let of = |part: fn(&Key) -> Uuid| batch.wallets.iter().map(part).collect::<Vec<_>>();
    let (accounts, customers, types) = (of(|key| key.0), of(|key| key.1), of(|key| key.2));
    sqlx::query("SELECT * FROM account WHERE id = ANY($1)").bind(&accounts).fetch_all(&mut *txn).await?;
    let sql = "SELECT wallet.* FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) w (a, c, t)
        JOIN wallet ON account_id = a AND customer_id = c AND credit_type_id = t
        ORDER BY account_id, customer_id, credit_type_id FOR UPDATE OF wallet";
    let found = sqlx::query(sql).bind(&accounts).bind(&customers).bind(&types).fetch_all(&mut *txn).await?;
    let mut states = BTreeMap::new();
    for row in found {
        let key: Key = (row.get("account_id"), row.get("customer_id"), row.get("credit_type_id"));
        let (sequence, balance, consumed) = (row.get("sequence"), row.get("balance"), row.get("consumed"));
        states.insert(key, State { sequence, balance, consumed, ..State::default() });
    }
    let sql = "SELECT g.* FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) w (a, c, t)
        JOIN credit_grant g ON account_id = a AND customer_id = c AND credit_type_id = t AND open";
    for row in sqlx::query(sql).bind(&accounts).bind(&customers).bind(&types).fetch_all(&mut *txn).await? {
        let key: Key = (row.get("account_id"), row.get("customer_id"), row.get("credit_type_id"));
        let state = states.get_mut(&key).expect("its wallet was read");
        (state.grant, state.remaining, state.grant_consumed) =
            (row.get("id"), row.get("remaining"), row.get("consumed"));
    }
    let sql = "SELECT * FROM credit_type WHERE (account_id, id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))";
    sqlx::query(sql).bind(&accounts).bind(&types).fetch_all(&mut *txn).await?;
    let owners = batch.purses.iter().map(|purse| purse.account.0).collect::<Vec<_>>();
    let sql = "SELECT request.* FROM unnest($1::uuid[], $2::text[]) k (a, b)
        JOIN request ON account_id = a AND caller = 'staff' AND key = b";
    ensure!(sqlx::query(sql).bind(&owners).bind(&batch.keys).fetch_all(&mut *txn).await?.is_empty(), "no key is known");
    let lines = batch.decide(&mut states);
    let (now, hash) = (batch.now, [7_u8; 32]);
    let number = |part: fn(&State) -> i64| states.values().map(part).collect::<Vec<_>>();
    let sql = "UPDATE wallet SET sequence = s, balance = b, consumed = u, newest_at = $7, hash = $8
        FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[]) v (a, c, t, s, b, u)
        WHERE account_id = a AND customer_id = c AND credit_type_id = t";
    sqlx::query(sql)
        .bind(states.keys().map(|key| key.0).collect::<Vec<_>>())
        .bind(states.keys().map(|key| key.1).collect::<Vec<_>>())
        .bind(states.keys().map(|key| key.2).collect::<Vec<_>>())
        .bind(number(|state| state.sequence))
        .bind(number(|state| state.balance))
        .bind(number(|state| state.consumed))
        .bind(now)
        .bind(hash.as_slice())
        .execute(&mut *txn)
        .await?;
    let sql =
        "UPDATE credit_grant SET remaining = r, consumed = u, open = r > 0, first_used_at = coalesce(first_used_at, $5)
        FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[]) v (a, g, r, u) WHERE account_id = a AND id = g";
    sqlx::query(sql)
        .bind(states.keys().map(|key| key.0).collect::<Vec<_>>())
        .bind(states.values().map(|state| state.grant).collect::<Vec<_>>())
        .bind(number(|state| state.remaining))
        .bind(number(|state| state.grant_consumed))
        .bind(now)
        .execute(&mut *txn)
        .await?;
    let id = |part: fn(&Line) -> Uuid| lines.iter().map(part).collect::<Vec<_>>();
    let (owners, activities) = (id(|line| line.wallet.0), id(|line| line.activity));
    let sql = format!(
        "{ACTIVITY} SELECT a, i, c, t, s, 'consume', -1, 0, b, b - 1, 'staff', 'bench', 'manual', $7, $8
        FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::bigint[], $6::bigint[]) v (a, i, c, t, s, b)"
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(&owners)
        .bind(&activities)
        .bind(id(|line| line.wallet.1))
        .bind(id(|line| line.wallet.2))
        .bind(lines.iter().map(|line| line.sequence).collect::<Vec<_>>())
        .bind(lines.iter().map(|line| line.before).collect::<Vec<_>>())
        .bind(now)
        .bind(hash.as_slice())
        .execute(&mut *txn)
        .await?;
    let sql = "INSERT INTO allocation (account_id, activity_id, position, grant_id, amount, cost)
        SELECT a, i, 0, g, 1, 0 FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) v (a, i, g)";
    sqlx::query(sql).bind(&owners).bind(&activities).bind(id(|line| line.grant)).execute(&mut *txn).await?;
    let sql = "INSERT INTO event (account_id, id, name, version, customer_id, subject_id, payload, at, depth, pending)
        SELECT a, i, 'credits.consumed', 1, c, s, p::jsonb, $6, 0, false
        FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[]) v (a, i, c, s, p)";
    sqlx::query(sql)
        .bind(&owners)
        .bind(id(|line| line.event))
        .bind(id(|line| line.wallet.1))
        .bind(&activities)
        .bind(lines.iter().map(|line| line.payload.clone()).collect::<Vec<_>>())
        .bind(now)
        .execute(&mut *txn)
        .await?;
    let sql = "INSERT INTO request (account_id, caller, key, fingerprint, outcome, created_at)
        SELECT a, 'staff', k, $4, o::jsonb, $5 FROM unnest($1::uuid[], $2::text[], $3::text[]) v (a, k, o)";
    sqlx::query(sql)
        .bind(&owners)
        .bind(lines.iter().map(|line| line.key.clone()).collect::<Vec<_>>())
        .bind(lines.iter().map(|line| line.outcome.clone()).collect::<Vec<_>>())
        .bind(hash.as_slice())
        .bind(now)
        .execute(&mut *txn)
        .await?;
    txn.commit().await?;
    Ok(())
}
