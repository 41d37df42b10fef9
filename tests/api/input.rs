//! Bad input: a refusal with field and limit, and nothing written.

use scrip::domain::Role;
use serde_json::{Value, json};

use crate::harness::{Backend, House, codes};
use crate::on_both;

on_both! {
    async fn amounts_have_limits(house: House) {
        let customer = house.customer("Ada").await;
        let credit_type = house.credit_type("Session", json!({ "never": true })).await;
        for amount in [json!(0), json!(-1), json!(1_000_000_001), json!(i64::MAX), json!(1.5), json!("ten"), json!(1e30), json!(true)] {
            let input = json!({ "customerId": customer, "creditTypeId": credit_type, "amount": amount });
            for payload in [house.issue(input.clone()).await, house.consume(input).await] {
                let error = &payload["userErrors"][0];
                assert_eq!(codes(&payload), ["INVALID"], "{amount}");
                assert_eq!(error["field"], json!(["amount"]), "{amount}");
                assert_eq!(error["message"], "Must be a whole number from 1 to 1,000,000,000.");
            }
        }
        assert_eq!(house.balance(&customer).await, Value::Null);
        let most = json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 1_000_000_000 });
        for _ in 0..3 {
            assert_eq!(codes(&house.issue(most.clone()).await), [""; 0]);
        }
        assert_eq!(house.balance(&customer).await["available"], 3_000_000_000_i64);
        house.assert_verified().await;
    }

    /// What a check came to is remembered for other ids, and for nothing else.
    async fn a_check_that_passed_is_no_pass_for_other_values(house: House) {
        let customer = house.customer("Ada").await;
        let query = "query($id: ID!, $first: Int, $kinds: [ActivityKind!], $from: DateTime) { customer(by: { id: $id }) {
            name activity(first: $first, kinds: $kinds, from: $from) { nodes { id } } } }";
        let ask = |variables: Value| house.ask(Role::Staff, query, variables);
        for _ in 0..2 {
            for id in [customer.as_str(), "cus_01h455vb4pex5vsknk084sn02q", "nonsense"] {
                let answer = ask(json!({ "id": id, "first": 2 })).await;
                assert_eq!(answer.get("errors"), None, "{answer}");
                assert_eq!(answer["data"]["customer"]["name"], if id == customer { json!("Ada") } else { Value::Null });
            }
            for (wrong, code) in [
                (json!({ "id": customer, "first": 101 }), json!("BAD_REQUEST")),
                (json!({ "id": customer, "first": "2" }), Value::Null),
                (json!({ "id": customer, "first": 2.5 }), Value::Null),
                (json!({ "id": true, "first": 2 }), Value::Null),
                (json!({ "id": [customer], "first": 2 }), Value::Null),
                (json!({ "id": null, "first": 2 }), Value::Null),
                (json!({ "first": 2 }), Value::Null),
                (json!({ "id": customer, "first": 2, "kinds": ["NONE"] }), Value::Null),
                (json!({ "id": customer, "first": 2, "from": "yesterday" }), Value::Null),
            ] {
                let answer = ask(wrong.clone()).await;
                assert!(answer["errors"].as_array().is_some_and(|errors| !errors.is_empty()), "{wrong}: {answer}");
                assert!(code.is_null() || answer["errors"][0]["extensions"]["code"] == code, "{wrong}: {answer}");
            }
        }
    }

    async fn ids_that_lead_nowhere_are_not_found(house: House) {
        let customer = house.customer("Ada").await;
        let credit_type = house.credit_type("Session", json!({ "never": true })).await;
        for id in ["", "x", "cus_", "cus_01h455vb4pex5vsknk084sn02q", credit_type.as_str(), "😀"] {
            let payload = house.issue(json!({ "customerId": id, "creditTypeId": credit_type, "amount": 1 })).await;
            assert_eq!(codes(&payload), ["NOT_FOUND"], "{id}");
            assert_eq!(payload["userErrors"][0]["field"], json!(["customerId"]));
            let look_up = house.data("query($id: ID!) { customer(by: { id: $id }) { id } }", json!({ "id": id })).await;
            assert_eq!(look_up["customer"], Value::Null);
        }
        let payload = house.issue(json!({ "customerId": customer, "creditTypeId": customer, "amount": 1 })).await;
        assert_eq!(payload["userErrors"][0]["field"], json!(["creditTypeId"]));
        let payload = house.consume(json!({ "customerId": customer, "creditTypeId": "ctp_01h455vb4pex5vsknk084sn02q", "amount": 1 })).await;
        assert_eq!(payload["userErrors"][0]["field"], json!(["creditTypeId"]));
        let nodes = house.data(
            "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }",
            json!({ "ids": [customer, "grt_01h455vb4pex5vsknk084sn02q", "nothing", credit_type] }),
        ).await;
        let expected = json!([
            { "__typename": "Customer", "id": customer }, null, null, { "__typename": "CreditType", "id": credit_type },
        ]);
        assert_eq!(nodes["nodes"], expected);
    }

    async fn texts_and_choices_have_limits(house: House) {
        let customer = house.customer("Ada").await;
        let credit_type = house.credit_type("Session", json!({ "never": true })).await;
        let issue = |extra: Value| {
            let mut input = json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 1 });
            input.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
            input
        };
        for (extra, field) in [
            (json!({ "note": "x".repeat(2001) }), json!(["note"])),
            (json!({ "note": "a\u{0}b" }), json!(["note"])),
            (json!({ "reference": "x".repeat(256) }), json!(["reference"])),
            (json!({ "priority": 101 }), json!(["priority"])),
            (json!({ "priority": 70000 }), json!(["priority"])),
            (json!({ "cost": { "minor": -1, "currency": "CHF" } }), json!(["cost", "minor"])),
            (json!({ "cost": { "minor": 1, "currency": "XQZ" } }), json!(["cost", "currency"])),
            (json!({ "metadata": [1] }), json!(["metadata"])),
            (json!({ "metadata": { "a": "x".repeat(17_000) } }), json!(["metadata"])),
            (json!({ "metadata": { "a": "\u{0}" } }), json!(["metadata"])),
            (json!({ "expiration": { "after": { "count": 0, "unit": "DAY" } } }), json!(["expiration", "after", "count"])),
            (json!({ "expiration": { "never": false } }), json!(["expiration", "never"])),
            (json!({ "effectiveAt": "9999-01-01T00:00:00Z" }), json!(["effectiveAt"])),
            (json!({ "idempotencyKey": "" }), json!(["idempotencyKey"])),
            (json!({ "idempotencyKey": "k".repeat(256) }), json!(["idempotencyKey"])),
        ] {
            let payload = house.issue(issue(extra.clone())).await;
            assert_eq!(codes(&payload), ["INVALID"], "{extra}");
            assert_eq!(payload["userErrors"][0]["field"], field, "{extra}");
        }
        assert_eq!(house.balance(&customer).await, Value::Null);
    }

    async fn archived_types_issue_no_more_and_can_be_used(house: House) {
        let customer = house.customer("Ada").await;
        let credit_type = house.credit_type("Session", json!({ "never": true })).await;
        house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 2 })).await;
        let archive = "mutation($id: ID!) { creditTypeArchive(input: { id: $id }) { creditType { archivedAt } userErrors { code } } }";
        let archived = house.data(archive, json!({ "id": credit_type })).await;
        assert_eq!(archived["creditTypeArchive"]["creditType"]["archivedAt"], "2026-03-01T09:00:00Z");
        let refused = house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 2 })).await;
        assert_eq!(codes(&refused), ["CREDIT_TYPE_ARCHIVED"]);
        let used = house.consume(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 1 })).await;
        assert_eq!(used["balance"]["available"], 1);
        let listed = house.data("{ creditTypes { nodes { id } } all: creditTypes(includeArchived: true) { nodes { id } } }", json!({})).await;
        assert_eq!(listed["creditTypes"]["nodes"], json!([]));
        assert_eq!(listed["all"]["nodes"], json!([{ "id": credit_type }]));
        house.assert_verified().await;
    }

    async fn credit_types_keep_their_whole_policy(house: House) {
        let create = "mutation($input: CreditTypeCreateInput!) { creditTypeCreate(input: $input) {
            creditType { expiration { never after { count unit from } on at } lowBalanceAt expiryNoticeDays }
            userErrors { code field } } }";
        let mut number = 0;
        for (policy, answer) in [
            (json!({ "never": true }), json!({ "never": true, "after": null, "on": null, "at": null })),
            (
                json!({ "after": { "count": 2, "unit": "WEEK" } }),
                json!({ "never": null, "after": { "count": 2, "unit": "WEEK", "from": "ISSUE" }, "on": null, "at": null }),
            ),
            (
                json!({ "after": { "count": 1, "unit": "YEAR", "from": "FIRST_USE" } }),
                json!({ "never": null, "after": { "count": 1, "unit": "YEAR", "from": "FIRST_USE" }, "on": null, "at": null }),
            ),
            (json!({ "on": "2026-12-31" }), json!({ "never": null, "after": null, "on": "2026-12-31", "at": null })),
        ] {
            number += 1;
            let input = json!({
                "name": format!("Type {number}"), "expiration": policy, "lowBalanceAt": 3, "expiryNoticeDays": [30, 7, 7],
            });
            let made = house.data(create, json!({ "input": input })).await["creditTypeCreate"]["creditType"].clone();
            assert_eq!(made["expiration"], answer);
            assert_eq!((&made["lowBalanceAt"], &made["expiryNoticeDays"]), (&json!(3), &json!([7, 30])));
        }
        for (input, field) in [
            (json!({ "name": "Type 1" }), json!(["name"])),
            (json!({ "name": " " }), json!(["name"])),
            (json!({ "name": "At", "expiration": { "at": "2027-01-01T00:00:00Z" } }), json!(["expiration", "at"])),
            (json!({ "name": "Past", "expiration": { "on": "2026-02-28" } }), json!(["expiration"])),
            (json!({ "name": "Long", "expiration": { "after": { "count": 101, "unit": "YEAR" } } }), json!(["expiration", "after", "count"])),
            (json!({ "name": "Low", "lowBalanceAt": -1 }), json!(["lowBalanceAt"])),
            (json!({ "name": "Days", "expiryNoticeDays": [1, 2, 3, 4, 5, 6] }), json!(["expiryNoticeDays"])),
            (json!({ "name": "Days", "expiryNoticeDays": [0] }), json!(["expiryNoticeDays"])),
        ] {
            let refused = house.data(create, json!({ "input": input })).await["creditTypeCreate"].clone();
            assert_eq!(refused["userErrors"][0]["field"], field, "{refused}");
        }
    }

    async fn a_changed_policy_leaves_what_is_issued(house: House) {
        let customer = house.customer("Ada").await;
        let credit_type = house.credit_type("Session", json!({ "after": { "count": 1, "unit": "DAY" } })).await;
        let issue = json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 1 });
        let before = house.issue(issue.clone()).await["grant"].clone();
        let update = "mutation($input: CreditTypeUpdateInput!) { creditTypeUpdate(input: $input) {
            creditType { name description expiration { never } } userErrors { code } } }";
        let input = json!({ "id": credit_type, "expiration": { "never": true }, "description": "An hour" });
        let updated = house.data(update, json!({ "input": input })).await["creditTypeUpdate"]["creditType"].clone();
        assert_eq!(updated, json!({ "name": "Session", "description": "An hour", "expiration": { "never": true } }));
        let after = house.issue(issue).await["grant"].clone();
        assert_eq!((&before["expiresAt"], &after["expiresAt"]), (&json!("2026-03-02T23:00:00Z"), &Value::Null));
        let read = house.data("query($id: ID!) { grant(id: $id) { expiresAt } }", json!({ "id": before["id"] })).await;
        assert_eq!(read["grant"]["expiresAt"], "2026-03-02T23:00:00Z");
    }

    /// A value that is of no type is refused before anything runs, not in the middle.
    async fn a_date_that_is_none_stops_the_request_before_it_begins(house: House) {
        let query = "mutation($on: Date!) {
            a: customerCreate(input: { name: \"Sibling\" }) { customer { id } }
            b: creditTypeCreate(input: { name: \"x\", expiration: { on: $on } }) { creditType { id } } }";
        let response = house.ask(scrip::domain::Role::Staff, query, json!({ "on": "2027-02-30" })).await;
        assert_eq!((response.get("data"), &response["errors"][0]["extensions"]["code"]), (None, &json!("BAD_REQUEST")));
        assert_eq!(house.data("{ customers { nodes { id } } }", json!({})).await["customers"]["nodes"], json!([]));
    }
}
