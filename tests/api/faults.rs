//! A database that does not answer: the client hears so in time, and the key finds what was written.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Backend, House, postgres};
use crate::on_both;

on_both! {
    async fn a_locked_database_is_unavailable_and_the_key_works_later(house: House) {
        let credit_type = house.credit_type("Session", json!({ "never": true })).await;
        let customer = house.customer("Ada").await;
        house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 5 })).await;
        let query = "mutation($input: CreditsConsumeInput!) { creditsConsume(input: $input) { replayed activity { amount } userErrors { code } } }";
        let input = json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 1, "idempotencyKey": "k" });
        let ask = || house.ask(scrip::domain::Role::Staff, query, json!({ "input": input }));
        let started = Instant::now();
        let response = match house.backend {
            Backend::Sqlite => {
                let pool = sqlx::SqlitePool::connect(&house.url).await.expect("a connection");
                let lock = pool.begin_with("BEGIN IMMEDIATE").await.expect("the lock");
                let response = ask().await;
                lock.rollback().await.expect("an end");
                response
            }
            Backend::Postgres => {
                let pool = sqlx::PgPool::connect(&house.url).await.expect("a connection");
                let mut lock = pool.begin().await.expect("a transaction");
                sqlx::query("LOCK TABLE wallet IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.expect("the lock");
                let response = ask().await;
                lock.rollback().await.expect("an end");
                response
            }
        };
        assert!(started.elapsed() < Duration::from_secs(25), "the deadline has passed");
        assert_eq!(response["errors"][0]["extensions"]["code"], "UNAVAILABLE");
        assert!(!response.to_string().contains("wallet"), "{response}");
        let again = ask().await["data"]["creditsConsume"].clone();
        assert_eq!(again, json!({ "replayed": false, "activity": { "amount": -1 }, "userErrors": [] }));
        assert_eq!(house.balance(&customer).await["available"], 4);
        house.assert_verified().await;
    }

    async fn what_fails_inside_is_masked(house: House) {
        house.customer("Ada").await;
        house.tamper("ALTER TABLE customer_tag RENAME TO elsewhere").await;
        let response = house.ask(scrip::domain::Role::Staff, "{ customers { nodes { name tags } } }", json!({})).await;
        let error = &response["errors"][0];
        assert_eq!(error["extensions"]["code"], "INTERNAL");
        assert_eq!(error["message"], "Something went wrong on our side. Give the requestId to those who run this server.");
        assert!(error["extensions"]["requestId"].as_str().is_some_and(|id| !id.is_empty()));
        assert!(!response.to_string().contains("customer_tag"), "{response}");
        house.tamper("ALTER TABLE elsewhere RENAME TO customer_tag").await;
    }
}

/// PostgreSQL stops amid work: every request is answered in time, and none says more than that it is away.
#[cfg_attr(not(initdb), ignore = "there is no initdb on this machine")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_gone_is_unavailable() {
    let cluster = postgres::own_cluster().await;
    let house = House::at(Backend::Postgres, cluster.url("postgres"), None).await;
    let credit_type = house.credit_type("Session", json!({ "never": true })).await;
    let customer = house.customer("Ada").await;
    house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 5 })).await;
    cluster.stop();
    let consume = format!(
        "mutation {{ creditsConsume(input: {{ customerId: \"{customer}\", creditTypeId: \"{credit_type}\", amount: 1,
            idempotencyKey: \"k\" }}) {{ replayed }} }}"
    );
    for query in [consume.as_str(), "{ account { slug } }", "{ customers { nodes { id } } }"] {
        let started = Instant::now();
        let response = house.ask(scrip::domain::Role::Staff, query, json!({})).await;
        assert!(started.elapsed() < Duration::from_secs(25), "the deadline has passed");
        assert_eq!(response["errors"][0]["extensions"]["code"], "UNAVAILABLE", "{response}");
        assert!(
            response["errors"][0]["message"]
                .as_str()
                .is_some_and(|text| text.starts_with("The server cannot answer now."))
        );
    }
    let ready = house.client().get("/health/ready").send().await;
    assert_eq!(ready.0.status().as_u16(), 503);
}
