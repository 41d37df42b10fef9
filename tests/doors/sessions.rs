//! Customers' sessions: what a portal lets one customer in with.

use std::time::Duration;

use chrono::TimeDelta;
use scrip::domain::Role;
use serde_json::{Value, json};

use crate::doors::keys::key;
use crate::harness::{Backend, House, codes};
use crate::on_both;

/// A session of a customer; its id and its token.
pub async fn session(house: &House, customer: &str) -> (String, String) {
    let fields = "session { id expiresAt customer { id } } token";
    let made = house.mutate("customerSessionCreate", fields, json!({ "customerId": customer })).await;
    assert_eq!(codes(&made), [] as [&str; 0], "{made}");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    (text(&made["session"]["id"]), text(&made["token"]))
}

const ME: &str = "{ viewer { __typename ... on Customer { id } } }";

on_both! {
    async fn a_session_lets_one_customer_in_until_it_ends(house: House) {
        let (ada, bob) = (house.customer("Ada").await, house.customer("Bob").await);
        let (id, token) = session(&house, &ada).await;
        let (status, me) = house.ask_with(Some(&token), ME, json!({})).await;
        assert_eq!((status, &me["data"]["viewer"]), (200, &json!({ "__typename": "Customer", "id": ada })));
        let other = "query($id: ID!) { customer(by: { id: $id }) { id } node(id: $id) { id } }";
        let (_, response) = house.ask_with(Some(&token), other, json!({ "id": bob })).await;
        assert_eq!((&response["data"]["customer"], &response["data"]["node"]), (&Value::Null, &Value::Null));
        // It may end its own, and nobody else's.
        let (foreign, foreign_token) = session(&house, &bob).await;
        let end = "mutation($id: ID!) { customerSessionRevoke(input: { id: $id }) { session { revokedAt } userErrors { code } } }";
        let (_, response) = house.ask_with(Some(&token), end, json!({ "id": foreign })).await;
        assert_eq!(response["data"]["customerSessionRevoke"]["userErrors"], json!([{ "code": "NOT_FOUND" }]));
        let (_, response) = house.ask_with(Some(&token), end, json!({ "id": id })).await;
        assert!(response["data"]["customerSessionRevoke"]["session"]["revokedAt"].is_string(), "{response}");
        assert_eq!(house.ask_with(Some(&token), ME, json!({})).await.0, 401);
        // The other one goes on until its time is over.
        assert_eq!(house.ask_with(Some(&foreign_token), ME, json!({})).await.0, 200);
        house.clock.set(house.now() + TimeDelta::minutes(60));
        assert_eq!(house.ask_with(Some(&foreign_token), ME, json!({})).await.0, 401);
    }

    async fn sessions_are_made_by_staff_and_keys_that_may(house: House) {
        let ada = house.customer("Ada").await;
        let create = "mutation($id: ID!, $minutes: Int) { customerSessionCreate(input: { customerId: $id, minutes: $minutes }) {
            session { expiresAt createdAt } token userErrors { code field } } }";
        let (_, portal) = key(&house, &["SESSIONS_WRITE"]).await;
        let (_, made) = house.ask_with(Some(&portal), create, json!({ "id": ada, "minutes": 5 })).await;
        assert_eq!(made["data"]["customerSessionCreate"]["session"]["expiresAt"], "2026-03-01T09:05:00Z", "{made}");
        let (_, other) = key(&house, &["READ", "CREDITS_WRITE"]).await;
        let (_, refused) = house.ask_with(Some(&other), create, json!({ "id": ada })).await;
        assert_eq!(refused["errors"][0]["extensions"]["code"], "FORBIDDEN");
        let (_, own) = session(&house, &ada).await;
        let (_, refused) = house.ask_with(Some(&own), create, json!({ "id": ada })).await;
        assert_eq!(refused["errors"][0]["extensions"]["code"], "FORBIDDEN");
        for (minutes, field) in [(0, "minutes"), (1441, "minutes")] {
            let refused = house.ask(Role::Staff, create, json!({ "id": ada, "minutes": minutes })).await;
            let error = &refused["data"]["customerSessionCreate"]["userErrors"][0];
            assert_eq!(error, &json!({ "code": "INVALID", "field": [field] }));
        }
        let refused = house.ask(Role::Staff, create, json!({ "id": "cus_01h455vb4pex5vsknk084sn02q" })).await;
        assert_eq!(refused["data"]["customerSessionCreate"]["userErrors"][0]["code"], "NOT_FOUND");
        let list = house.data("query($id: ID!) { customer(by: { id: $id }) { sessions(first: 1) { nodes { id } pageInfo { hasNextPage } } } }",
            json!({ "id": ada })).await;
        assert_eq!(list["customer"]["sessions"]["pageInfo"]["hasNextPage"], true);
    }

    async fn an_event_stream_ends_when_its_session_is_revoked(house: House) {
        let ada = house.customer("Ada").await;
        let (id, token) = session(&house, &ada).await;
        let query = "subscription($id: ID!) { activityAdded(customerId: $id) { id } }";
        let response = house.client().post("/graphql").header("authorization", format!("Bearer {token}"))
            .header("accept", "text/event-stream").body_json(&json!({ "query": query, "variables": { "id": ada } }))
            .send().await;
        assert_eq!(response.0.status().as_u16(), 200);
        house.mutate("customerSessionRevoke", "session { id }", json!({ "id": id })).await;
        // It looks every fifteen seconds.
        let rest = tokio::time::timeout(Duration::from_secs(30), response.0.into_body().into_string()).await;
        assert!(!rest.expect("the stream ends").expect("text").contains("complete"));
    }
}
