//! The disk is full: nothing is acknowledged that is not kept, clients hear that it passes, and once there is room it does.

use std::sync::atomic::{AtomicUsize, Ordering};

use powercut::Disk;
use serde_json::{Value, json};

use crate::harness::{Backend, House, codes};

/// Consumes one at a time; how many went through, and how many were told that it passes.
async fn consume(house: &House, customer: &str, credit_type: &str, times: usize) -> (usize, usize) {
    static KEYS: AtomicUsize = AtomicUsize::new(0);
    let query = "mutation($input: CreditsConsumeInput!) { creditsConsume(input: $input) { activity { id } userErrors { code } } }";
    let (mut done, mut unavailable) = (0, 0);
    for _ in 0..times {
        let key = format!("full-{}", KEYS.fetch_add(1, Ordering::Relaxed));
        let input = json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 1, "idempotencyKey": key });
        let answer = house.ask(scrip::domain::Role::Staff, query, json!({ "input": input })).await;
        match answer["errors"][0]["extensions"]["code"].as_str() {
            Some("UNAVAILABLE") => unavailable += 1,
            None => {
                assert_eq!(codes(&answer["data"]["creditsConsume"]), [] as [&str; 0], "{answer}");
                done += 1;
            }
            Some(_) => panic!("{answer}"),
        }
    }
    (done, unavailable)
}

async fn set_up(house: &House) -> (String, String) {
    let customer = house.customer("Ada").await;
    let credit_type = house.credit_type("Class", json!({ "never": true })).await;
    house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 1_000_000 })).await;
    (customer, credit_type)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_sqlite_is_unavailable_until_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Disk::at(folder.path());
    let url = format!("sqlite:{}?vfs={}", folder.path().join("scrip.db").display(), powercut::NAME);
    let house = House::at(Backend::Sqlite, url, None).await;
    let (customer, credit_type) = set_up(&house).await;
    let before = consume(&house, &customer, &credit_type, 50).await;
    assert_eq!(before, (50, 0));
    disk.limit(Some(100_000));
    let (done, unavailable) = consume(&house, &customer, &credit_type, 200).await;
    assert!(unavailable > 0, "the disk was not full");
    disk.limit(None);
    assert_eq!(consume(&house, &customer, &credit_type, 50).await, (50, 0), "it goes on by itself");
    let balance = house.balance(&customer).await;
    println!("{done} done, {unavailable} told that it passes, {balance}");
    assert_eq!(balance["totals"]["consumed"], json!(50 + done + 50));
    house.assert_verified().await;
    house.app.close().await;
}

/// What PostgreSQL answers when its disk is full, from the statement that would write.
#[cfg_attr(not(postgres), ignore = "there is no PostgreSQL: install initdb, or set TEST_POSTGRES_URL")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_postgresql_is_unavailable_until_there_is_room() {
    let house = House::new(Backend::Postgres).await;
    let (customer, credit_type) = set_up(&house).await;
    house.tamper("CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$").await;
    house.tamper("CREATE TRIGGER full_disk BEFORE INSERT ON allocation EXECUTE FUNCTION full_disk()").await;
    assert_eq!(consume(&house, &customer, &credit_type, 3).await, (0, 3));
    house.tamper("DROP TRIGGER full_disk ON allocation").await;
    assert_eq!(consume(&house, &customer, &credit_type, 3).await, (3, 0));
    let used: Value = house.balance(&customer).await["totals"]["consumed"].clone();
    assert_eq!(used, json!(3));
    house.assert_verified().await;
}
