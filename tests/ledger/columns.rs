//! Every column is seen by `verify`, or named in docs/security.md with the reason why not: a new one fails here.

use std::collections::{BTreeMap, BTreeSet};

use scrip::domain::credits::verify;
use scrip::domain::{Caller, Role};
use serde_json::json;
use sqlx::{Row, SqlitePool};

use crate::harness::{Backend, House, open};
use crate::selling::shop::flat;

/// Tables that are nobody's.
const NOBODYS: [&str; 3] = ["seaql_migrations", "sqlite_stat1", "sqlite_stat4"];

/// What docs/security.md says of the columns: those that are seen, and those that are not.
fn said() -> BTreeMap<String, (Vec<String>, Vec<String>)> {
    let text = std::fs::read_to_string("docs/security.md").expect("the page");
    let (_, part) = text.split_once("## What `verify` sees").expect("its heading");
    let part = part.split("\n## ").next().expect("a part");
    let rows = part.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"));
    let mut said: BTreeMap<String, (Vec<String>, Vec<String>)> = BTreeMap::new();
    for row in rows {
        let cells = row.split(" | ").collect::<Vec<_>>();
        let [table, seen, unseen, why] = cells[..] else { panic!("four cells: {row}") };
        let names =
            |cell: &str| cell.split_whitespace().filter(|name| *name != "-").map(str::to_owned).collect::<Vec<_>>();
        let table = said.entry(table.trim_end_matches('`').to_owned()).or_default();
        table.0.extend(names(seen));
        table.1.extend(names(unseen));
        assert!(unseen == "-" || why.len() >= "likewise".len(), "no reason: {row}");
    }
    said
}

/// A ledger with a little of everything, and money.
async fn fill(house: &House) {
    let class = house.credit_type("Class", json!({ "never": true })).await;
    let pack = house.ten_pack(&class).await;
    let (ada, bob) = (house.customer("Ada").await, house.customer("Bob").await);
    let order = house.bought(&ada, &pack, 5).await;
    let issue = json!({ "customerId": ada, "creditTypeId": class, "amount": 4, "note": "A gift", "internalNote": "for May",
        "expiration": { "after": { "count": 30, "unit": "DAY", "from": "FIRST_USE" } } });
    house.issue(issue).await;
    let used =
        house.consume(json!({ "customerId": ada, "creditTypeId": class, "amount": 2, "reference": "b-1" })).await;
    let place = json!({ "customerId": ada, "creditTypeId": class, "amount": 2, "expiresAt": "2026-03-20T09:00:00Z", "reference": "b-2" });
    house.ledger("holdPlace", place.clone()).await;
    let held = house.ledger("holdPlace", place).await["activity"]["hold"]["id"].clone();
    house.ledger("holdCapture", json!({ "holdId": held, "amount": 1 })).await;
    house
        .ledger("activityReverse", json!({ "activityId": used["activity"]["id"], "amount": 1, "reason": "Ill" }))
        .await;
    let give = json!({ "fromCustomerId": ada, "toCustomerId": bob, "creditTypeId": class, "amount": 1 });
    house.ledger("creditsTransfer", give).await;
    let product = json!({ "kind": "CREDIT", "slug": "club", "name": "Club", "creditTypeId": class });
    let paid = json!({ "currency": "CHF", "tiers": flat(9_900), "interval": { "count": 1, "unit": "MONTH" }, "creditsPerRenewal": 4, "rollover": { "upTo": 2 } });
    let (_, club) = house.on_sale(product, json!({ "paid": { "subscription": paid } })).await;
    house.bought(&bob, &club, 1).await;
    house.refund(order["id"].as_str().expect("an id"), json!({ "amount": 2_500 })).await;
}

/// Another value for a column, as SQL.
fn other(column: &str, kind: &str) -> String {
    if kind.eq_ignore_ascii_case("boolean") {
        return format!("NOT coalesce({column}, FALSE)");
    }
    match kind.to_lowercase().as_str() {
        "integer" | "bigint" | "smallint" => format!("coalesce({column}, 0) + 1"),
        "blob" | "uuid" => {
            format!("CASE WHEN {column} IS NULL THEN randomblob(16) ELSE randomblob(length({column})) END")
        }
        _ if column.ends_with("_at") || column == "at" || column.starts_with("ends_") => {
            "'2036-01-01T00:00:00+00:00'".to_owned()
        }
        _ if column == "expires_on" => "'2036-01-01'".to_owned(),
        _ => format!("coalesce({column}, '') || 'x'"),
    }
}

#[tokio::test]
async fn every_column_is_seen_or_named() {
    let house = House::new(Backend::Sqlite).await;
    fill(&house).await;
    house.assert_verified().await;
    let pool = SqlitePool::connect(&house.url).await.expect("a connection");
    let tables =
        sqlx::query("SELECT name FROM sqlite_master WHERE type = 'table'").fetch_all(&pool).await.expect("tables");
    let mut columns: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for table in tables.iter().map(|row| row.get::<String, _>(0)).filter(|table| !NOBODYS.contains(&table.as_str())) {
        let sql = format!("PRAGMA table_info({table})");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&pool).await.expect("columns");
        columns.insert(table, rows.iter().map(|row| (row.get(1), row.get(2))).collect());
    }
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&pool).await.expect("a checkpoint");
    let said = said();
    assert_eq!(said.keys().collect::<Vec<_>>(), columns.keys().collect::<Vec<_>>(), "the tables of docs/security.md");
    let folder = tempfile::tempdir().expect("a folder");
    let path = house.url.strip_prefix("sqlite:").expect("a file");
    let mut unseen = Vec::new();
    for (table, (seen, named)) in &said {
        let there = columns[table].keys().collect::<BTreeSet<_>>();
        let all = seen.iter().chain(named).collect::<BTreeSet<_>>();
        assert_eq!(all, there, "the columns of {table} in docs/security.md");
        for column in seen {
            let copy = folder.path().join(format!("{table}-{column}.db"));
            std::fs::copy(path, &copy).expect("a copy");
            let url = format!("sqlite:{}", copy.display());
            let beside = sqlx::sqlite::SqliteConnectOptions::new().filename(&copy).foreign_keys(false);
            let beside = beside.pragma("ignore_check_constraints", "ON");
            let alone = SqlitePool::connect_with(beside).await.expect("a connection");
            let sql = format!("UPDATE {table} SET {column} = {}", other(column, &columns[table][column]));
            let changed = sqlx::query(sqlx::AssertSqlSafe(sql.clone())).execute(&alone).await;
            alone.close().await;
            // What a unique index refuses cannot be altered so.
            let Ok(changed) = changed else { continue };
            assert!(changed.rows_affected() > 0, "{sql} changed nothing");
            let app = open(&url, house.clock.clone()).await;
            let caller = Caller::of(app, house.account.id, Role::Staff, "tester");
            // A row that cannot be read any more is no clean report either.
            if verify::verify(&caller, |_, _| ()).await.is_ok_and(|report| report.findings.is_empty()) {
                unseen.push(format!("{table}.{column}"));
            }
        }
    }
    assert_eq!(unseen, Vec::<String>::new(), "verify is clean though these were changed");
}
