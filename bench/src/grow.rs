//! A ledger with millions of activities, written in bulk and signed, so that it verifies like any other.
//!
//! Every wallet begins with one grant and uses one credit of it again and again; all wallets take turns, so that what
//! belongs to one customer lies scattered, as it does after years. One heavy customer has enough for a thousand pages.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use entity::activity::{ActorKind, Kind, Source};
use entity::{ActivityId, Credits, ExpirationKind, GrantId, Minor, activity, allocation, credit_grant, wallet};
use scrip::domain::clock::{Clock, SystemClock};
use scrip::domain::ledger::LedgerKey;
use scrip::domain::ledger::chain::{GENESIS, Record};
use sea_orm::{DatabaseConnection, EntityTrait, IntoActiveModel};
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, SqliteConnection};
use uuid::{NoContext, Timestamp, Uuid};

use crate::house::{Backend, LEDGER_KEY, Place, Purse, furnish, open};

/// Credits of each wallet.
const PLENTY: i64 = 1_000_000_000;
/// Activities of the heavy customer: more than a thousand pages of twenty.
const HEAVY: usize = 21_000;
/// Rows of one statement.
const ROWS: usize = 400;

/// A ledger that has grown.
pub struct Grown {
    pub place: Place,
    /// Those with activity; the first is the heavy one's, if there is one.
    pub purses: Vec<Purse>,
    pub took: Duration,
}

/// A wallet on the way.
struct State {
    wallet: wallet::Model,
    grant: credit_grant::Model,
}

/// Makes one with so many activities over so many customers.
pub async fn grow(backend: Backend, activities: usize, customers: usize) -> Result<Grown> {
    let began = Instant::now();
    let place = Place::new(backend).await?;
    let app = open(&place.url).await?;
    let mut purses = furnish(&app, &place, 0, customers).await?;
    app.close().await;
    purses.truncate(customers.min(activities / 2));
    let mut bulk = Bulk::open(&place).await?;
    let key = LedgerKey::new(SecretString::from(LEDGER_KEY));
    let year = TimeDelta::days(365);
    let (first, step) = (SystemClock.now() - year, year / i32::try_from(activities).context("that many?")?);
    let mut states: Vec<State> = Vec::with_capacity(purses.len());
    let mut rows = Rows::default();
    let every = (activities / HEAVY).max(1);
    for n in 0..activities {
        let at = first + step * i32::try_from(n)?;
        let number = match n {
            n if n < purses.len() => {
                states.push(begin(&purses[n], n, at));
                n
            }
            n if every > 1 && n % every == 0 => 0,
            n => n * 7_919 % purses.len(),
        };
        rows.push(&key, &mut states[number], n, at);
        if rows.0.len() == ROWS {
            bulk.write(&std::mem::take(&mut rows)).await?;
        }
    }
    if !rows.0.is_empty() {
        bulk.write(&rows).await?;
    }
    bulk.close().await?;
    let connection = place.connect().await?;
    write_states(&connection, states).await?;
    connection.close().await?;
    place.tidy().await?;
    Ok(Grown { place, purses, took: began.elapsed() })
}

/// An id that was made at an instant; those of later numbers sort after it.
fn id(at: DateTime<Utc>, number: usize) -> Uuid {
    let millis = u64::try_from(at.timestamp_millis()).unwrap_or_default();
    let made = Uuid::new_v7(Timestamp::from_unix(
        NoContext,
        millis / 1000,
        u32::try_from(millis % 1000 * 1_000_000).unwrap_or_default(),
    ));
    // Within a millisecond the number decides.
    let number = u128::try_from(number % 4096).unwrap_or_default();
    Uuid::from_u128(made.as_u128() & !(0xfff << 64) | number << 64)
}

/// A wallet before its first activity, with the grant that this will make.
fn begin(purse: &Purse, number: usize, at: DateTime<Utc>) -> State {
    let (account_id, customer_id, credit_type_id) = (purse.account, purse.customer, purse.credit_type);
    let wallet = wallet::Model {
        account_id,
        customer_id,
        credit_type_id,
        sequence: 0,
        hash: GENESIS.to_vec(),
        newest_at: at,
        balance: Credits::ZERO,
        held: Credits::ZERO,
        issued: Credits::ZERO,
        consumed: Credits::ZERO,
        expired: Credits::ZERO,
        voided: Credits::ZERO,
        transferred: Credits::ZERO,
        noticed_at: None,
        open_grants: 1,
        last_begins_at: Some(at),
    };
    let grant = credit_grant::Model {
        account_id,
        id: GrantId(id(at, number)),
        customer_id,
        credit_type_id,
        amount: Credits(PLENTY),
        remaining: Credits(PLENTY),
        held: Credits::ZERO,
        consumed: Credits::ZERO,
        expired: Credits::ZERO,
        voided: Credits::ZERO,
        transferred: Credits::ZERO,
        open: true,
        priority: 50,
        promotional: true,
        effective_at: at,
        expires_at: None,
        expiration: ExpirationKind::Never,
        period_count: None,
        period_unit: None,
        period_from: None,
        expires_on: None,
        time_zone: "UTC".to_owned(),
        first_used_at: None,
        cost: Minor::ZERO,
        cost_left: Minor::ZERO,
        cost_held: Minor::ZERO,
        cost_consumed: Minor::ZERO,
        cost_expired: Minor::ZERO,
        cost_voided: Minor::ZERO,
        cost_transferred: Minor::ZERO,
        currency: "CHF".to_owned(),
        source: Source::Manual,
        origin_id: None,
        metadata: serde_json::json!({}),
        created_at: at,
    };
    State { wallet, grant }
}

/// Activities, each with its one allocation.
#[derive(Default)]
struct Rows(Vec<(activity::Model, allocation::Model)>);

impl Rows {
    /// The next activity of a wallet: its issue, or the use of one credit.
    fn push(&mut self, key: &LedgerKey, state: &mut State, number: usize, at: DateTime<Utc>) {
        let (wallet, grant) = (&mut state.wallet, &mut state.grant);
        let (kind, amount, total) = match wallet.sequence {
            0 => (Kind::Issue, Credits(PLENTY), Credits(PLENTY)),
            _ => (Kind::Consume, Credits(-1), Credits(1)),
        };
        let mut activity = activity::Model {
            account_id: wallet.account_id,
            id: ActivityId(id(at, number)),
            customer_id: wallet.customer_id,
            credit_type_id: wallet.credit_type_id,
            sequence: wallet.sequence + 1,
            kind,
            amount,
            held_amount: Credits::ZERO,
            balance_before: wallet.balance,
            balance_after: wallet.balance + amount,
            actor_kind: ActorKind::Staff,
            actor: "bench".to_owned(),
            source: Source::Manual,
            reference: None,
            reason: None,
            note: None,
            internal_note: None,
            note_salt: None,
            note_digest: None,
            hold_id: None,
            reverses_id: None,
            at,
            hash: Vec::new(),
        };
        let allocation = allocation::Model {
            account_id: wallet.account_id,
            activity_id: activity.id,
            position: 0,
            grant_id: grant.id,
            amount: total,
            cost: Minor::ZERO,
            ends_before: None,
            ends_after: None,
        };
        let issued = if kind == Kind::Issue { std::slice::from_ref(&*grant) } else { &[] };
        let record =
            Record { activity: &activity, allocations: std::slice::from_ref(&allocation), issued, opened: None };
        activity.hash = key.sign(&wallet.hash, &record);
        wallet.hash.clone_from(&activity.hash);
        (wallet.sequence, wallet.newest_at, wallet.balance) = (activity.sequence, at, activity.balance_after);
        if kind == Kind::Issue {
            wallet.issued += total;
        } else {
            wallet.consumed += total;
            grant.consumed += total;
            grant.remaining += amount;
            grant.first_used_at = grant.first_used_at.or(Some(at));
        }
        self.0.push((activity, allocation));
    }
}

async fn write_states(connection: &DatabaseConnection, states: Vec<State>) -> Result<()> {
    let mut states = states.into_iter().peekable();
    while states.peek().is_some() {
        let (wallets, grants): (Vec<_>, Vec<_>) = states
            .by_ref()
            .take(ROWS)
            .map(|state| (state.wallet.into_active_model(), state.grant.into_active_model()))
            .unzip();
        wallet::Entity::insert_many(wallets).exec_without_returning(connection).await?;
        credit_grant::Entity::insert_many(grants).exec_without_returning(connection).await?;
    }
    Ok(())
}

const ACTIVITY: &str = "account_id, id, customer_id, credit_type_id, sequence, kind, amount, held_amount, balance_before, balance_after, actor_kind, actor, source, at, hash";
const ALLOCATION: &str = "account_id, activity_id, position, grant_id, amount, cost";

/// A connection that writes fast and, until it is closed, without indexes, checks and flushes.
enum Bulk {
    Sqlite { connection: SqliteConnection, indexes: Vec<String> },
    Postgres { pool: sqlx::PgPool, connection: sqlx::pool::PoolConnection<sqlx::Postgres>, indexes: Vec<String> },
}

impl Bulk {
    async fn open(place: &Place) -> Result<Self> {
        if place.backend == Backend::Sqlite {
            let options = place.url.parse::<sqlx::sqlite::SqliteConnectOptions>()?;
            let options = options
                .foreign_keys(false)
                .journal_mode(sqlx::sqlite::SqliteJournalMode::Off)
                .synchronous(sqlx::sqlite::SqliteSynchronous::Off)
                .pragma("cache_size", "-4000000");
            let mut connection = options.disable_statement_logging().connect().await?;
            let sql = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN ('activity', 'allocation')";
            let mut indexes = Vec::new();
            for row in sqlx::query(sql).fetch_all(&mut connection).await? {
                let (name, sql): (String, String) = (row.get(0), row.get(1));
                sqlx::query(AssertSqlSafe(format!("DROP INDEX {name}"))).execute(&mut connection).await?;
                indexes.push(sql);
            }
            sqlx::query("BEGIN").execute(&mut connection).await?;
            return Ok(Self::Sqlite { connection, indexes });
        }
        let pool = sqlx::postgres::PgPoolOptions::new().max_connections(1).connect(&place.url).await?;
        let mut connection = pool.acquire().await?;
        for sql in [
            "SET session_replication_role = replica",
            "SET synchronous_commit = off",
            "SET maintenance_work_mem = '1GB'",
        ] {
            sqlx::query(sql).execute(&mut *connection).await?;
        }
        let sql = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename IN ('activity', 'allocation')
            AND indexname NOT IN (SELECT conname FROM pg_constraint)";
        let mut indexes = Vec::new();
        for row in sqlx::query(sql).fetch_all(&mut *connection).await? {
            let (name, sql): (String, String) = (row.get(0), row.get(1));
            sqlx::query(AssertSqlSafe(format!("DROP INDEX {name}"))).execute(&mut *connection).await?;
            indexes.push(sql);
        }
        Ok(Self::Postgres { pool, connection, indexes })
    }

    async fn write(&mut self, rows: &Rows) -> Result<()> {
        match self {
            Self::Sqlite { connection, .. } => {
                let values = |width: usize| vec![format!("({})", vec!["?"; width].join(",")); rows.0.len()].join(",");
                let sql = format!("INSERT INTO activity ({ACTIVITY}) VALUES {}", values(15));
                let mut query = sqlx::query(AssertSqlSafe(sql));
                for (row, _) in &rows.0 {
                    query =
                        query.bind(row.account_id.0).bind(row.id.0).bind(row.customer_id.0).bind(row.credit_type_id.0);
                    query = query.bind(row.sequence).bind(kind(row)).bind(row.amount.0).bind(row.held_amount.0);
                    query = query.bind(row.balance_before.0).bind(row.balance_after.0).bind("staff").bind(&row.actor);
                    query = query.bind("manual").bind(row.at).bind(&row.hash);
                }
                query.execute(&mut *connection).await?;
                let sql = format!("INSERT INTO allocation ({ALLOCATION}) VALUES {}", values(6));
                let mut query = sqlx::query(AssertSqlSafe(sql));
                for (_, row) in &rows.0 {
                    query = query.bind(row.account_id.0).bind(row.activity_id.0).bind(row.position);
                    query = query.bind(row.grant_id.0).bind(row.amount.0).bind(row.cost.0);
                }
                query.execute(&mut *connection).await?;
            }
            Self::Postgres { connection, .. } => {
                let (mut activities, mut allocations) = (String::new(), String::new());
                for (row, allocation) in &rows.0 {
                    let hash = row.hash.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
                    writeln!(
                        activities,
                        "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\tstaff\t{}\tmanual\t{}\t\\\\x{hash}",
                        row.account_id.0,
                        row.id.0,
                        row.customer_id.0,
                        row.credit_type_id.0,
                        row.sequence,
                        kind(row),
                        row.amount.0,
                        row.held_amount.0,
                        row.balance_before.0,
                        row.balance_after.0,
                        row.actor,
                        row.at.to_rfc3339(),
                    )?;
                    writeln!(
                        allocations,
                        "{}\t{}\t{}\t{}\t{}\t{}",
                        allocation.account_id.0,
                        allocation.activity_id.0,
                        allocation.position,
                        allocation.grant_id.0,
                        allocation.amount.0,
                        allocation.cost.0,
                    )?;
                }
                for (table, columns, text) in
                    [("activity", ACTIVITY, activities), ("allocation", ALLOCATION, allocations)]
                {
                    let mut copy = connection.copy_in_raw(&format!("COPY {table} ({columns}) FROM STDIN")).await?;
                    copy.send(text.into_bytes()).await?;
                    copy.finish().await?;
                }
            }
        }
        Ok(())
    }

    async fn close(self) -> Result<()> {
        match self {
            Self::Sqlite { mut connection, indexes } => {
                sqlx::query("COMMIT").execute(&mut connection).await?;
                for sql in indexes {
                    sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await?;
                }
                connection.close().await?;
            }
            Self::Postgres { pool, mut connection, indexes } => {
                for sql in indexes {
                    sqlx::query(AssertSqlSafe(sql)).execute(&mut *connection).await?;
                }
                drop(connection);
                pool.close().await;
            }
        }
        Ok(())
    }
}

fn kind(row: &activity::Model) -> &'static str {
    if row.kind == Kind::Issue { "issue" } else { "consume" }
}
