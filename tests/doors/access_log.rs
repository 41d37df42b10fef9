//! Who did what, for staff.

use std::time::Duration;

use scrip::domain::Role;
use serde_json::{Value, json};

use crate::doors::keys::key;
use crate::harness::{Backend, House};
use crate::on_both;

/// The newest lines, once there are so many.
async fn lines(house: &House, actor: Value, wanted: usize) -> Vec<Value> {
    let query = "query($actor: AccessActorInput) { accessLog(actor: $actor, first: 100) {
        nodes { at operation about outcome requestId actor { kind subject } } } }";
    for _ in 0..200 {
        let found = house.data(query, json!({ "actor": actor })).await["accessLog"]["nodes"].clone();
        let found = found.as_array().expect("nodes").clone();
        if found.len() >= wanted {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("there are no {wanted} lines");
}

on_both! {
    async fn each_change_leaves_a_line_with_its_outcome(house: House) {
        let (ada, session) = (house.customer("Ada").await, house.credit_type("Session", json!({ "never": true })).await);
        house.consume(json!({ "customerId": ada, "creditTypeId": session, "amount": 1 })).await;
        house.ask(Role::Staff, "mutation { accountUpdate(input: { name: \"x\" }) { account { id } } }", json!({})).await;
        house.ask(Role::Staff, "mutation { alias: customerArchive(input: { id: \"cus_\\u0000x\" }) { customer { id } } }", json!({})).await;
        let (id, program) = key(&house, &["EVENTS_WRITE"]).await;
        let track = "mutation { eventTrack(input: { name: \"form.sent\", idempotencyKey: \"f\", customer: { email: \"ada@example.com\" } }) { event { id } } }";
        let request = house.client().post("/graphql").header("authorization", format!("Bearer {program}"))
            .header("x-request-id", "from-the-form").body_json(&json!({ "query": track }));
        assert_eq!(request.send().await.0.status().as_u16(), 200);
        let all = lines(&house, Value::Null, 7).await;
        let told = all.iter().rev().map(|line| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (text(&line["actor"]["kind"]), text(&line["operation"]), text(&line["outcome"]))
        });
        let told = told.collect::<Vec<_>>();
        let staff = |operation: &str, outcome: &str| ("STAFF".to_owned(), operation.to_owned(), outcome.to_owned());
        assert_eq!(told, [
            staff("customerCreate", "done"),
            staff("creditTypeCreate", "done"),
            staff("creditsConsume", "INSUFFICIENT_CREDITS"),
            staff("accountUpdate", "FORBIDDEN"),
            staff("customerArchive", "NOT_FOUND"),
            staff("apiKeyCreate", "done"),
            ("API_KEY".to_owned(), "eventTrack".to_owned(), "done".to_owned()),
        ]);
        let its_own = lines(&house, json!({ "kind": "API_KEY", "subject": id }), 1).await;
        assert_eq!(its_own.len(), 1);
        assert_eq!(its_own[0]["requestId"], "from-the-form");
        let about = |operation: &str| all.iter().find(|line| line["operation"] == operation).expect("a line")["about"].clone();
        assert_eq!((about("creditsConsume"), about("customerCreate")), (json!(ada), Value::Null));
        // What a customer was refused is nobody's to read: it could fill the log for others.
        let own = Role::Customer(ada.parse().expect("an id"));
        house.ask(own, "mutation { customerCreate(input: { name: \"x\" }) { customer { id } } }", json!({})).await;
        house.customer("Last").await;
        let all = lines(&house, Value::Null, 8).await;
        assert_eq!((all.len(), &all[0]["operation"], &all[0]["actor"]["kind"]), (8, &json!("customerCreate"), &json!("STAFF")));
        // It is staff's, and this account's.
        let customer = Role::Customer(ada.parse().expect("an id"));
        let refused = house.ask(customer, "{ accessLog { nodes { id } } }", json!({})).await;
        assert_eq!(refused["errors"][0]["extensions"]["code"], "FORBIDDEN");
    }

    /// What waits is written before the server ends.
    async fn no_line_is_lost_when_the_server_is_stopped(house: House) {
        for n in 0..20 {
            house.customer(&format!("Customer {n}")).await;
        }
        house.app.close().await;
        let found = house.tamper("UPDATE access_entry SET outcome = outcome").await;
        assert_eq!(found, 20);
    }
}
