//! Erasures beside others who write about the same person, held at a barrier: whichever is first, nothing that says who it
//! was is left, and nobody signs in as it.

use std::time::Duration;

use scrip::domain::Role;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, Row};

use crate::harness::{Backend, House};

/// What must not be left.
const SAID: &str = "the third of May";

/// Whoever writes to the table waits at the barrier, while somebody keeps it shut.
const BARRIER: &str = "CREATE FUNCTION wait_at_barrier() RETURNS trigger AS $$ BEGIN
    PERFORM pg_advisory_xact_lock_shared(7); RETURN NEW; END $$ LANGUAGE plpgsql";

struct Barrier(PgConnection);

impl Barrier {
    async fn run(&mut self, sql: &str) {
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut self.0).await.expect(sql);
    }

    /// How many wait, at the barrier or behind another.
    async fn waiting(&mut self) -> i64 {
        let sql =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        sqlx::query(sql).fetch_one(&mut self.0).await.expect(sql).get(0)
    }

    /// Until so many wait, or the work of one has ended.
    async fn until(&mut self, waiting: i64, ended: &dyn Fn() -> bool) {
        for _ in 0..1_000 {
            if ended() || self.waiting().await >= waiting {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{waiting} did not come to wait");
    }
}

async fn ask(house: House, mutation: &'static str, mut input: Value, by: Role) -> Value {
    if !["customerErase", "customerSessionCreate", "customerTag"].contains(&mutation) {
        input["idempotencyKey"] = json!(format!("{mutation}-{input}").chars().take(60).collect::<String>());
    }
    let (first, rest) = mutation.split_at(1);
    let text = format!(
        "mutation($input: {}{rest}Input!) {{ {mutation}(input: $input) {{ userErrors {{ code message }} }} }}",
        first.to_uppercase()
    );
    let answer = house.ask(by, &text, json!({ "input": input })).await;
    assert!(answer.get("errors").is_none(), "{mutation}: {answer:#}");
    answer["data"][mutation].clone()
}

/// All that is kept about somebody.
async fn kept(house: &House, id: &str) -> (String, Value) {
    let response = house
        .client()
        .get(format!("/exports/{id}.json"))
        .header("authorization", format!("Bearer {}", house.token(Role::Staff)))
        .send()
        .await;
    let text = response.0.into_body().into_string().await.expect("text");
    let json = serde_json::from_str(&text).expect("JSON");
    (text, json)
}

#[cfg_attr(not(postgres), ignore = "there is no PostgreSQL: install initdb, or set TEST_POSTGRES_URL")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_writes_about_a_person_and_who_erases_it_come_one_after_the_other() {
    let house = House::new(Backend::Postgres).await;
    let class = house.credit_type("Class", json!({ "never": true })).await;
    let pack = house.ten_pack(&class).await;
    let friend = house.customer("Friend").await;
    let walk = json!({ "name": "Walk", "steps": [{ "does": { "wait": { "count": 30, "unit": "DAY" } } }] });
    let walk = house.by_owner("automationCreate", "automation { id }", walk).await["automation"]["id"].clone();
    assert!(walk.is_string(), "{walk}");
    let mut barrier = Barrier(PgConnection::connect(&house.url).await.expect("a connection"));
    barrier.run(BARRIER).await;
    // What is written, where it waits, and as what.
    let writes: [(&str, &str, Value); 9] = [
        ("customerSessionCreate", "customer_session", json!({ "customerId": "$", "minutes": 60 })),
        (
            "eventTrack",
            "event",
            json!({ "customer": { "id": "$" }, "name": "note.taken", "properties": { "said": SAID } }),
        ),
        (
            "creditsIssue",
            "activity",
            json!({ "customerId": "$", "creditTypeId": class, "amount": 1, "note": SAID, "metadata": { "said": SAID } }),
        ),
        ("creditsConsume", "activity", json!({ "customerId": "$", "creditTypeId": class, "amount": 1, "note": SAID })),
        (
            "holdPlace",
            "activity",
            json!({ "customerId": "$", "creditTypeId": class, "amount": 1, "expiresAt": "2026-03-20T09:00:00Z", "internalNote": SAID }),
        ),
        (
            "creditsTransfer",
            "activity",
            json!({ "fromCustomerId": friend, "toCustomerId": "$", "creditTypeId": class, "amount": 1, "note": SAID }),
        ),
        ("customerTag", "customer_tag", json!({ "id": "$", "tags": [SAID] })),
        ("automationStart", "enrolment", json!({ "automationId": walk, "who": { "customerId": "$" } })),
        (
            "orderPlace",
            "product_order",
            json!({ "customerId": "$", "lines": [{ "priceId": pack, "quantity": 1 }], "note": SAID }),
        ),
    ];
    house.issue(json!({ "customerId": friend, "creditTypeId": class, "amount": 100 })).await;
    for (mutation, table, input) in &writes {
        for erases_first in [false, true] {
            let ada = house.customer("Ada").await;
            house.issue(json!({ "customerId": ada, "creditTypeId": class, "amount": 5 })).await;
            let input =
                serde_json::from_str(&input.to_string().replace("\"$\"", &json!(ada).to_string())).expect("JSON");
            let (events, at) = if erases_first { ("UPDATE", "customer") } else { ("INSERT", *table) };
            barrier
                .run(&format!(
                    "CREATE TRIGGER barrier BEFORE {events} ON {at} FOR EACH ROW EXECUTE FUNCTION wait_at_barrier()"
                ))
                .await;
            barrier.run("SELECT pg_advisory_lock(7)").await;
            let write = || tokio::spawn(ask(house.beside(), mutation, input, Role::Staff));
            let erase = || tokio::spawn(ask(house.beside(), "customerErase", json!({ "id": ada }), Role::Owner));
            let (write, erase) = if erases_first {
                let erase = erase();
                barrier.until(1, &|| erase.is_finished()).await;
                let write = write();
                barrier.until(2, &|| write.is_finished()).await;
                (write, erase)
            } else {
                let write = write();
                barrier.until(1, &|| write.is_finished()).await;
                let erase = erase();
                barrier.until(2, &|| erase.is_finished()).await;
                (write, erase)
            };
            barrier.run("SELECT pg_advisory_unlock(7)").await;
            let (written, erased) = (write.await.expect("no panic"), erase.await.expect("no panic"));
            barrier.run(&format!("DROP TRIGGER barrier ON {at}")).await;
            assert_eq!(erased["userErrors"], json!([]), "{mutation}, erased first: {erases_first}: {erased}");
            assert_eq!(written["userErrors"] == json!([]), !erases_first, "{mutation}: {written}");
            let (text, all) = kept(&house, &ada).await;
            assert!(
                !text.to_lowercase().contains(&SAID.to_lowercase()),
                "{mutation}, erased first: {erases_first}: {all:#}"
            );
            assert_eq!(all["sessions"], json!([]), "{mutation}");
            let walks = all["enrolments"].as_array().expect("rows");
            assert!(walks.iter().all(|walk| walk["active"] == false), "{mutation}: {all:#}");
        }
    }
    house.assert_verified().await;
}
