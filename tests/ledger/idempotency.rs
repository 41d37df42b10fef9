//! A key is carried out once, and answered the same for ever.

use serde_json::json;

use crate::harness::{Backend, House, codes};
use crate::on_both;

on_both! {
    async fn the_same_key_answers_the_same(house: House) {
        let customer = house.customer("Ada").await;
        let credit_type = house.credit_type("Session", json!({ "never": true })).await;
        let issue = json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 5, "idempotencyKey": "a" });
        let (first, again) = (house.issue(issue.clone()).await, house.issue(issue).await);
        assert_eq!((&first["replayed"], &again["replayed"]), (&json!(false), &json!(true)));
        assert_eq!(first["grant"]["id"], again["grant"]["id"]);
        assert_eq!(first["activity"], again["activity"]);
        let consume = json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 2, "idempotencyKey": "b" });
        let first = house.consume(consume.clone()).await;
        house.consume(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 1 })).await;
        let again = house.consume(consume).await;
        assert_eq!(first["activity"], again["activity"]);
        // The activity is the recorded one, the balance is today's.
        assert_eq!((&first["balance"]["available"], &again["balance"]["available"]), (&json!(3), &json!(2)));
        house.assert_verified().await;
    }

    /// A default that is said is no other request than one that is left out.
    async fn a_default_is_no_other_request(house: House) {
        let customer = house.customer("Ada").await;
        let credit_type = house.credit_type("Session", json!({ "never": true })).await;
        let mut issue = json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 5, "idempotencyKey": "k" });
        house.issue(issue.clone()).await;
        issue["priority"] = json!(50);
        assert_eq!(house.issue(issue.clone()).await["replayed"], true);
        issue["priority"] = json!(51);
        assert_eq!(codes(&house.issue(issue).await), ["IDEMPOTENCY_KEY_REUSED"]);
        assert_eq!(house.balance(&customer).await["available"], 5);
    }

    async fn a_key_belongs_to_one_request(house: House) {
        let customer = house.customer("Ada").await;
        let credit_type = house.credit_type("Session", json!({ "never": true })).await;
        house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 5, "idempotencyKey": "k" })).await;
        let other_amount =
            house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 6, "idempotencyKey": "k" })).await;
        assert_eq!(codes(&other_amount), ["IDEMPOTENCY_KEY_REUSED"]);
        assert_eq!(other_amount["userErrors"][0]["field"], json!(["idempotencyKey"]));
        let other_mutation =
            house.consume(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 5, "idempotencyKey": "k" })).await;
        assert_eq!(codes(&other_mutation), ["IDEMPOTENCY_KEY_REUSED"]);
        assert_eq!(house.balance(&customer).await["available"], 5);
        house.assert_verified().await;
    }

    async fn a_refusal_is_remembered_for_thirty_days(house: House) {
        let customer = house.customer("Ada").await;
        let credit_type = house.credit_type("Session", json!({ "never": true })).await;
        let consume = json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 1, "idempotencyKey": "late" });
        assert_eq!(codes(&house.consume(consume.clone()).await), ["INSUFFICIENT_CREDITS"]);
        house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 5 })).await;
        // A duplicate that arrives late must not succeed after all.
        let again = house.consume(consume.clone()).await;
        assert_eq!((codes(&again), &again["replayed"]), (vec!["INSUFFICIENT_CREDITS"], &json!(true)));
        let message = again["userErrors"][0]["message"].as_str().expect("a message");
        assert!(message.ends_with("a new attempt needs a new key."), "{message}");
        house.set_clock("2026-03-31T08:59:59Z");
        assert_eq!(codes(&house.consume(consume.clone()).await), ["INSUFFICIENT_CREDITS"]);
        house.set_clock("2026-03-31T09:00:00Z");
        assert_eq!(house.consume(consume).await["balance"]["available"], 4);
        house.assert_verified().await;
    }

    async fn wrong_input_and_unknown_ids_are_not_remembered(house: House) {
        let customer = house.customer("Ada").await;
        let credit_type = house.credit_type("Session", json!({ "never": true })).await;
        let issue = |amount: i64, customer: &str| {
            json!({ "customerId": customer, "creditTypeId": credit_type, "amount": amount, "idempotencyKey": "k" })
        };
        assert_eq!(codes(&house.issue(issue(0, &customer)).await), ["INVALID"]);
        assert_eq!(codes(&house.issue(issue(5, "cus_01h455vb4pex5vsknk084sn02q")).await), ["NOT_FOUND"]);
        assert_eq!(house.issue(issue(5, &customer)).await["grant"]["amount"], 5);
        house.assert_verified().await;
    }

    async fn a_dry_run_writes_nothing_and_knows_no_key(house: House) {
        let customer = house.customer("Ada").await;
        let credit_type =
            house.credit_type("Session", json!({ "after": { "count": 30, "unit": "DAY", "from": "ISSUE" } })).await;
        let cost = json!({ "minor": 1000, "currency": "CHF" });
        let issue = json!({
            "customerId": customer, "creditTypeId": credit_type, "amount": 3, "cost": cost,
            "idempotencyKey": "k", "dryRun": true,
        });
        let preview = house.issue(issue).await;
        assert_eq!(preview["grant"], json!(null));
        assert_eq!(preview["activity"], json!(null));
        assert_eq!(preview["preview"], json!({
            "draws": [], "balanceAfter": 3,
            "wouldExpire": [{ "at": "2026-03-31T22:00:00Z", "amount": 3 }],
            "cost": [{ "decimal": "10.00", "currency": "CHF" }],
        }));
        assert_eq!(house.balance(&customer).await, json!(null));
        let made = house.issue(json!({
            "customerId": customer, "creditTypeId": credit_type, "amount": 3, "cost": cost, "idempotencyKey": "k",
        })).await;
        assert_eq!(made["replayed"], false);
        let consume = json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 2, "dryRun": true });
        let preview = house.consume(consume).await["preview"].clone();
        assert_eq!(preview["draws"], json!([{ "amount": 2, "grant": { "id": made["grant"]["id"] } }]));
        assert_eq!(preview["balanceAfter"], 1);
        assert_eq!(preview["cost"], json!([{ "decimal": "6.66", "currency": "CHF" }]));
        let too_many = json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 4, "dryRun": true });
        assert_eq!(codes(&house.consume(too_many).await), ["INSUFFICIENT_CREDITS"]);
        assert_eq!(house.balance(&customer).await["available"], 3);
        house.assert_verified().await;
    }
}
