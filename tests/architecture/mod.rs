//! The house keeps its shape: who may mention whom, how long a file may be, and that accounts cannot meet.

mod floors;
mod plans;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::harness::{Backend, House};
use crate::on_both;
use plans::{PLANS, POSTGRES_PLANS};

/// Crates that a room must not build on, even by way of another of ours: Cargo keeps what is not in its list.
const FORBIDDEN_CRATES: &[(&str, &[&str])] = &[
    (
        "ledger",
        &["sqlx", "tokio", "async-graphql", "poem", "reqwest", "entity", "domain", "graphql", "migration", "scrip"],
    ),
    ("entity", &["async-graphql", "poem", "reqwest", "domain", "graphql", "migration", "scrip"]),
    ("migration", &["async-graphql", "poem", "reqwest", "domain", "graphql", "entity", "scrip"]),
    ("domain", &["async-graphql", "async-graphql-poem", "poem", "reqwest", "graphql", "scrip"]),
    ("graphql", &["sea-orm", "sqlx", "async-graphql-poem", "poem", "reqwest", "migration", "scrip"]),
];

/// What files of the server's rooms must not mention, as whole words of the code.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("src/http", &["sea_orm", "sqlx", "entity", "migration", "crate::cli", "crate::config"]),
    (
        "src/worker",
        &["sea_orm", "sqlx", "entity", "migration", "async_graphql", "poem", "graphql", "crate::http", "crate::cli"],
    ),
    ("src/gateway", &["sea_orm", "sqlx", "migration", "async_graphql", "poem", "graphql", "crate::http", "crate::cli"]),
    ("src/config.rs", &["crate::"]),
];

/// Where our code is.
const ROOMS: &[&str] = &["src", "domain/src", "graphql/src", "entity/src", "ledger/src", "migration/src", "tests"];

/// Lines of a file.
const LONGEST: usize = 400;

/// Names that say nothing.
const EMPTY_NAMES: &[&str] = &["utils", "util", "helpers", "common", "types", "service", "services", "manager", "misc"];

fn sources(place: &str) -> Vec<PathBuf> {
    let path = Path::new(place);
    if path.is_file() {
        return vec![path.to_path_buf()];
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).unwrap_or_else(|error| panic!("{place}: {error}")) {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(path.to_str().expect("a plain name")));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn mentions(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !is_word(before) && (word.ends_with(':') || !is_word(after))
    })
}

#[test]
fn rooms_mention_only_whom_they_may() {
    let mut wrong = Vec::new();
    for (room, words) in FORBIDDEN {
        for file in sources(room) {
            let text = std::fs::read_to_string(&file).expect("a file");
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                let imports = code.trim_start().starts_with("use ") || code.contains("::");
                for word in words.iter().filter(|word| imports && mentions(code, word)) {
                    wrong.push(format!("{}:{} mentions {word}", file.display(), number + 1));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// The names in the list of what a crate builds on, of a `Cargo.toml`.
fn dependencies(manifest: &str) -> BTreeSet<&str> {
    let list = manifest.split("\n[").find_map(|table| table.strip_prefix("dependencies]")).unwrap_or_default();
    list.lines().filter_map(|line| line.split(['.', ' ', '=']).next()).filter(|name| !name.is_empty()).collect()
}

#[test]
fn crates_build_only_on_what_they_may() {
    for (room, forbidden) in FORBIDDEN_CRATES {
        let manifest = std::fs::read_to_string(format!("{room}/Cargo.toml")).expect("a manifest");
        let found = dependencies(&manifest);
        assert!(!found.is_empty(), "{room}");
        assert_eq!(
            forbidden.iter().filter(|name| found.contains(*name)).collect::<Vec<_>>(),
            Vec::<&&str>::new(),
            "{room}"
        );
    }
}

/// What the heart is built on when nobody asks for column types: no database, no runtime, no network.
#[test]
fn the_ledger_stands_on_nothing_that_has_effects() {
    let asked = ["tree", "--offline", "--locked", "-p", "ledger", "-e", "normal", "--prefix", "none"];
    let tree = std::process::Command::new(env!("CARGO")).args(asked).output().expect("cargo");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).expect("text");
    let names = tree.lines().filter_map(|line| line.split(' ').next()).collect::<BTreeSet<_>>();
    assert!(names.contains("chrono") && names.len() > 10, "{tree}");
    for name in ["sea-orm", "sqlx", "sqlx-core", "tokio", "async-graphql", "poem", "hyper", "entity", "domain"] {
        assert!(!names.contains(name), "ledger is built on {name}");
    }
}

#[test]
fn the_check_of_crates_can_fail() {
    let manifest = "[package]\nname = \"x\"\n\n[dependencies]\npoem.workspace = true\nentity = { path = \"entity\" }\n\n[lints]\nworkspace = true\n";
    assert_eq!(dependencies(manifest), BTreeSet::from(["entity", "poem"]));
}

#[test]
fn the_check_of_mentions_can_fail() {
    assert!(mentions("use sea_orm::Value;", "sea_orm"));
    assert!(!mentions("use my_sea_orm::Value;", "sea_orm"));
    assert!(mentions("let x = crate::http::serve();", "crate::http"));
}

#[test]
fn files_are_short_begin_with_a_sentence_and_have_a_name() {
    let mut wrong = Vec::new();
    for file in ROOMS.iter().flat_map(|place| sources(place)) {
        let text = std::fs::read_to_string(&file).expect("a file");
        let lines = text.lines().count();
        if lines > LONGEST {
            wrong.push(format!("{} has {lines} lines", file.display()));
        }
        if !text.starts_with("//!") {
            wrong.push(format!("{} does not begin with a //! line", file.display()));
        }
        let name = file.file_stem().and_then(|name| name.to_str()).expect("a name");
        if EMPTY_NAMES.contains(&name) {
            wrong.push(format!("{} is named for nothing", file.display()));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// Every key and index of the database: its table, its name, its columns in order, and whether it may lack the account.
type Keys = BTreeMap<(String, String), Vec<String>>;

/// Invariant 1: `account_id` is part of every primary, unique and foreign key, and leads every index but the due one.
fn assert_led_by_account(keys: &Keys) {
    let tables = keys.keys().map(|(table, _)| table.clone()).collect::<BTreeSet<_>>();
    let expected = [
        "access_entry",
        "account",
        "activity",
        "allocation",
        "api_key",
        "automation",
        "automation_version",
        "bulk_operation",
        "bulk_refusal",
        "credit_grant",
        "credit_type",
        "customer",
        "customer_session",
        "customer_tag",
        "customer_term",
        "enrolment",
        "event",
        "event_trigger",
        "fulfilment",
        "hold",
        "job",
        "order_counter",
        "order_line",
        "payment",
        "price",
        "product",
        "product_order",
        "refund",
        "renewal",
        "request",
        "run",
        "subscription",
        "wallet",
        "webhook_delivery",
        "webhook_endpoint",
    ];
    assert_eq!(tables.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    for ((table, key), columns) in keys {
        if table == "account" {
            assert!(columns == &["id"] || columns == &["slug"], "{table}.{key}: {columns:?}");
        } else if key == "job_due" {
            // The one kind of index that no account leads: what is due, looked up without a lock.
            assert_eq!(columns, &["run_at"], "{table}.{key}");
        } else {
            assert_eq!(columns.first().map(String::as_str), Some("account_id"), "{table}.{key}: {columns:?}");
        }
    }
}

#[tokio::test]
async fn accounts_cannot_meet_in_sqlite() {
    let house = House::new(Backend::Sqlite).await;
    let pool = sqlx::SqlitePool::connect(&house.url).await.expect("a connection");
    let mut keys = Keys::new();
    let indexes =
        "SELECT t.name, i.name, c.name FROM sqlite_master t, pragma_index_list(t.name) i, pragma_index_info(i.name) c
        WHERE t.type = 'table' AND t.name <> 'seaql_migrations' ORDER BY t.name, i.name, c.seqno";
    let foreign =
        "SELECT t.name, 'foreign key ' || f.id, f.\"from\" FROM sqlite_master t, pragma_foreign_key_list(t.name) f
        WHERE t.type = 'table' ORDER BY t.name, f.id, f.seq";
    for query in [indexes, foreign] {
        let rows: Vec<(String, String, String)> = sqlx::query_as(query).fetch_all(&pool).await.expect("the catalogue");
        for (table, key, column) in rows {
            keys.entry((table, key)).or_default().push(column);
        }
    }
    pool.close().await;
    assert!(keys.len() > 25, "{keys:#?}");
    assert_led_by_account(&keys);
}

#[cfg_attr(not(postgres), ignore = "there is no PostgreSQL: install initdb, or set TEST_POSTGRES_URL")]
#[tokio::test]
async fn accounts_cannot_meet_in_postgres() {
    let house = House::new(Backend::Postgres).await;
    let pool = sqlx::PgPool::connect(&house.url).await.expect("a connection");
    let mut keys = Keys::new();
    let indexes = "SELECT t.relname::text, i.relname::text, a.attname::text
        FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
        JOIN pg_namespace n ON n.oid = t.relnamespace AND n.nspname = 'public'
        CROSS JOIN LATERAL unnest(x.indkey) WITH ORDINALITY AS k(attnum, place)
        JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum
        WHERE t.relname <> 'seaql_migrations' ORDER BY 1, 2, k.place";
    let foreign = "SELECT t.relname::text, c.conname::text, a.attname::text
        FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid
        CROSS JOIN LATERAL unnest(c.conkey) WITH ORDINALITY AS k(attnum, place)
        JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum
        WHERE c.contype = 'f' ORDER BY 1, 2, k.place";
    for query in [indexes, foreign] {
        let rows: Vec<(String, String, String)> = sqlx::query_as(query).fetch_all(&pool).await.expect("the catalogue");
        for (table, key, column) in rows {
            keys.entry((table, key)).or_default().push(column);
        }
    }
    pool.close().await;
    assert!(keys.len() > 25, "{keys:#?}");
    assert_led_by_account(&keys);
}

/// One account may own every row: a query finds its rows by what stands behind the account in an index.
#[tokio::test]
async fn sqlite_does_not_walk_through_an_account() {
    let house = House::new(Backend::Sqlite).await;
    let pool = sqlx::SqlitePool::connect(&house.url).await.expect("a connection");
    for (query, wanted) in PLANS {
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}")))
                .fetch_all(&pool)
                .await
                .expect(query);
        let plan = plan.into_iter().map(|(.., step)| step).collect::<Vec<_>>().join("; ");
        // The keys that are looked up are gone through, nothing else.
        let is_of_keys =
            |step: &str| step.ends_with("VALUES CLAUSE") || step.ends_with("CONSTANT ROW") || step == "SCAN keys";
        let walks = plan.split("; ").any(|step| step.starts_with("SCAN") && !is_of_keys(step));
        assert!(plan.contains(wanted) && !walks, "{query}: {plan}");
        assert!(!query.contains("ORDER BY priority") || !plan.contains("ORDER BY"), "is sorted: {plan}");
    }
    pool.close().await;
}

/// The same on PostgreSQL: there is an index by which each question can be answered. (How it plans with many rows,
/// `scrip-bench growth` asks.)
#[cfg_attr(not(postgres), ignore = "there is no PostgreSQL: install initdb, or set TEST_POSTGRES_URL")]
#[tokio::test]
async fn postgresql_does_not_walk_through_a_table() {
    let house = House::new(Backend::Postgres).await;
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(1).connect(&house.url).await.expect("a connection");
    sqlx::query("SET enable_seqscan = off").execute(&pool).await.expect("set");
    sqlx::query("SET plan_cache_mode = force_generic_plan").execute(&pool).await.expect("set");
    for (number, query) in POSTGRES_PLANS.iter().enumerate() {
        let nulls =
            (1..=3).filter(|place| query.contains(&format!("${place}"))).map(|_| "NULL").collect::<Vec<_>>().join(", ");
        let arguments = if nulls.is_empty() { String::new() } else { format!("({nulls})") };
        let prepare = format!("PREPARE q{number} AS {query}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(prepare)).execute(&pool).await.expect(query);
        let explain = format!("EXPLAIN EXECUTE q{number}{arguments}");
        let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(explain)).fetch_all(&pool).await.expect(query);
        let plan = rows.iter().map(|row| sqlx::Row::get::<String, _>(row, 0)).collect::<Vec<_>>().join("\n");
        assert!(plan.contains("Index") && !plan.contains("Seq Scan"), "{query}\n{plan}");
        assert!(!query.contains("ORDER BY priority") || !plan.contains("Sort"), "is sorted:\n{plan}");
    }
    pool.close().await;
}

on_both! {
    /// The tables hold the grant's arithmetic themselves: a statement that breaks it fails, whoever sends it.
    async fn a_grant_that_does_not_add_up_cannot_be_stored(house: House) {
        let customer = house.customer("Ada").await;
        let credit_type = house.credit_type("Session", serde_json::json!({ "never": true })).await;
        let input = serde_json::json!({
            "customerId": customer, "creditTypeId": credit_type, "amount": 5, "cost": { "minor": 500, "currency": "CHF" },
        });
        house.issue(input).await;
        for (sql, constraint) in [
            ("UPDATE credit_grant SET remaining = remaining - 1", "credit_grant_sum"),
            ("UPDATE credit_grant SET remaining = -1, consumed = 6, open = false", ""),
            ("UPDATE credit_grant SET cost_left = cost_left + 1", "credit_grant_cost_sum"),
            ("UPDATE credit_grant SET remaining = 0, consumed = 5", "credit_grant_"),
            ("UPDATE credit_grant SET held = 5, remaining = 0", "credit_grant_"),
            ("UPDATE credit_grant SET open = NOT open", "credit_grant_open"),
            ("UPDATE credit_grant SET expires_at = effective_at", "credit_grant_"),
            ("UPDATE credit_grant SET promotional = NOT promotional", "credit_grant_promotional"),
            ("UPDATE wallet SET balance = balance + 1", "wallet_sum"),
            ("UPDATE activity SET balance_after = balance_after + 1", "activity_balance"),
        ] {
            let failed = match house.backend {
                Backend::Sqlite => {
                    let pool = sqlx::SqlitePool::connect(&house.url).await.expect("a connection");
                    sqlx::query(sql).execute(&pool).await.map(drop)
                }
                Backend::Postgres => {
                    let pool = sqlx::PgPool::connect(&house.url).await.expect("a connection");
                    sqlx::query(sql).execute(&pool).await.map(drop)
                }
            };
            let message = failed.expect_err(sql).to_string();
            assert!(message.contains(constraint), "{sql}: {message}");
        }
        house.assert_verified().await;
    }
}
