//! A database of an earlier version, with data: migrated, it says what it said, verifies, and goes on.
//!
//! `tests/upgrade/` holds databases as the version before API keys left them (three migrations): customers, three kinds of
//! credit types, uses, holds, returns, transfers, orders, a trigger, an automation; and what each customer was told then.

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use scrip::domain::Role;
use serde_json::{Value, json};

use crate::harness::{Backend, House, codes, postgres};

const CUSTOMER: &str = "query($id: ID!) { customer(by: { id: $id }) { name tags
    balances { creditType { name } available held notYetEffective totals { issued consumed expired voided transferred } }
    activity(first: 3) { nodes { id kind amount balanceAfter note at } } orders(first: 5) { nodes { number status total { minor } } } } }";

fn unpacked(name: &str) -> Vec<u8> {
    let packed = std::fs::read(Path::new("tests/upgrade").join(name)).expect("the file is there");
    let mut bytes = Vec::new();
    GzDecoder::new(packed.as_slice()).read_to_end(&mut bytes).expect("a whole file");
    bytes
}

/// The house is open: its tables are up to date.
async fn goes_on(house: House, told: &str) {
    let told = std::fs::read_to_string(Path::new("tests/upgrade").join(told)).expect("the file is there");
    let told: Value = serde_json::from_str(&told).expect("JSON");
    house.assert_verified().await;
    for (id, told) in told.as_object().expect("customers") {
        let now = house.data(CUSTOMER, json!({ "id": id })).await;
        assert_eq!(&now["customer"], told, "{id}");
    }
    // The first issue of all is remembered, and new things happen.
    let (id, first) = told.as_object().expect("customers").iter().next().expect("one");
    let types = house.data("{ creditTypes(first: 10) { nodes { id name } } }", json!({})).await;
    let session =
        types["creditTypes"]["nodes"].as_array().expect("nodes").iter().find(|node| node["name"] == "Session");
    let session = session.expect("it is there")["id"].clone();
    let again = json!({ "customerId": id, "creditTypeId": session, "amount": 1, "idempotencyKey": "k-23" });
    assert_eq!(codes(&house.consume(again).await), ["IDEMPOTENCY_KEY_REUSED"], "keys are still known");
    let before = first["balances"].as_array().expect("balances").iter().find(|b| b["creditType"]["name"] == "Session");
    let before = before.expect("a balance")["available"].as_i64().expect("a number");
    let issued = house.issue(json!({ "customerId": id, "creditTypeId": session, "amount": 5 })).await;
    assert_eq!(codes(&issued), [] as [&str; 0]);
    let used = house.consume(json!({ "customerId": id, "creditTypeId": session, "amount": before + 5 })).await;
    assert_eq!(used["balance"]["available"], json!(0), "{used}");
    // What came with the migration works: an erasure, a key.
    let erased = house.by_owner("customerErase", "customer { name }", json!({ "id": id })).await;
    assert_eq!(erased["customer"]["name"], "(erased)");
    let key = "mutation { apiKeyCreate(input: { name: \"new\", scopes: [READ] }) { key } }";
    assert!(house.ask(Role::Owner, key, json!({})).await["data"]["apiKeyCreate"]["key"].is_string());
    house.assert_verified().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_sqlite_database_is_migrated_and_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("scrip.db");
    std::fs::write(&path, unpacked("0003.db.gz")).expect("a file");
    let url = format!("sqlite:{}", path.display());
    goes_on(House::found(Backend::Sqlite, url, "studio").await, "0003.sqlite.json").await;
}

#[cfg_attr(not(postgres), ignore = "there is no PostgreSQL: install initdb, or set TEST_POSTGRES_URL")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_postgresql_database_is_migrated_and_goes_on() {
    let url = postgres::database().await;
    let pool = sqlx::PgPool::connect(&url).await.expect("a connection");
    let dump = String::from_utf8(unpacked("0003.sql.gz")).expect("text");
    sqlx::raw_sql(sqlx::AssertSqlSafe(dump)).execute(&pool).await.expect("restored");
    pool.close().await;
    goes_on(House::found(Backend::Postgres, url, "studio").await, "0003.postgres.json").await;
}
