//! Time: what has ended has ended, whether or not any job has run.

use serde_json::{Value, json};

use crate::harness::{Backend, House, codes};
use crate::on_both;

async fn kinds(house: &House, customer: &str) -> Vec<(String, i64, String)> {
    let query = "query($id: ID!) { customer(by: { id: $id }) { activity { nodes { kind amount at } } } }";
    let data = house.data(query, json!({ "id": customer })).await;
    let nodes = data["customer"]["activity"]["nodes"].as_array().expect("nodes").clone();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    nodes.iter().map(|n| (text(&n["kind"]), n["amount"].as_i64().expect("a number"), text(&n["at"]))).collect()
}

on_both! {
    async fn credits_end_by_the_clock_and_the_ledger_says_when(house: House) {
        let customer = house.customer("Ada").await;
        let credit_type =
            house.credit_type("Class", json!({ "after": { "count": 90, "unit": "DAY", "from": "ISSUE" } })).await;
        let issued = house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 5 })).await;
        // 1 March and 90 days is 30 May, which in Zurich ends at 22:00 UTC.
        assert_eq!(issued["grant"]["expiresAt"], "2026-05-30T22:00:00Z");
        house.consume(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 2 })).await;
        house.set_clock("2026-05-30T21:59:59.999999Z");
        assert_eq!(house.balance(&customer).await["available"], 3);
        house.set_clock("2026-05-30T22:00:00Z");
        // Nothing has run: the balance is right, and nothing is written.
        let balance = house.balance(&customer).await;
        assert_eq!(balance["available"], 0);
        assert_eq!(balance["nextExpiry"], json!(null));
        assert_eq!(balance["totals"], json!({ "issued": 5, "consumed": 2, "expired": 3, "voided": 0 }));
        assert_eq!(kinds(&house, &customer).await.len(), 2);
        let status = "query($id: ID!) { grant(id: $id) { status remaining expired } }";
        let grant = house.data(status, json!({ "id": issued["grant"]["id"] })).await["grant"].clone();
        assert_eq!(grant, json!({ "status": "EXPIRED", "remaining": 0, "expired": 3 }));
        // The next to come settles first: the end is written with its own date, also when the command is refused.
        house.set_clock("2026-07-01T00:00:00Z");
        let refused = house.consume(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 1 })).await;
        let error = &refused["userErrors"][0];
        assert_eq!(codes(&refused), ["INSUFFICIENT_CREDITS"]);
        assert_eq!((&error["requested"], &error["available"], &error["expired"]), (&json!(1), &json!(0), &json!(3)));
        assert_eq!(error["message"], "1 requested, 0 available (3 expired). Nothing was used.");
        assert_eq!(kinds(&house, &customer).await[0], ("EXPIRE".into(), -3, "2026-05-30T22:00:00Z".into()));
        house.assert_verified().await;
    }

    async fn ends_are_written_oldest_first(house: House) {
        let customer = house.customer("Ada").await;
        let credit_type = house.credit_type("Class", json!({ "never": true })).await;
        for (amount, end) in [(1, "2026-03-03T00:00:00Z"), (2, "2026-03-02T00:00:00Z"), (4, "2026-03-04T00:00:00Z")] {
            let expiration = json!({ "at": end });
            house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": amount, "expiration": expiration })).await;
        }
        house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 8 })).await;
        house.set_clock("2026-03-05T00:00:00Z");
        house.consume(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 1 })).await;
        let newest = kinds(&house, &customer).await.into_iter().take(4).map(|(_, amount, _)| amount).collect::<Vec<_>>();
        assert_eq!(newest, [-1, -4, -1, -2]);
        house.assert_verified().await;
    }

    async fn what_counts_later_is_not_used_now(house: House) {
        let customer = house.customer("Ada").await;
        let credit_type = house.credit_type("Class", json!({ "never": true })).await;
        let later = json!({
            "customerId": customer, "creditTypeId": credit_type, "amount": 5, "effectiveAt": "2026-04-01T00:00:00+02:00",
        });
        let issued = house.issue(later).await;
        assert_eq!(issued["grant"]["status"], "SCHEDULED");
        assert_eq!(issued["balance"], json!({ "available": 0, "notYetEffective": 5, "nextExpiry": null }));
        let refused = house.consume(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 1 })).await;
        assert_eq!(refused["userErrors"][0]["notYetEffective"], 5);
        house.set_clock("2026-03-31T22:00:00Z");
        let used = house.consume(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 1 })).await;
        assert_eq!(used["balance"]["available"], 4);
        house.assert_verified().await;
    }

    async fn first_use_sets_the_end(house: House) {
        let customer = house.customer("Ada").await;
        let policy = json!({ "after": { "count": 1, "unit": "MONTH", "from": "FIRST_USE" } });
        let credit_type = house.credit_type("Pass", policy).await;
        let issued = house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 3 })).await;
        assert_eq!(issued["grant"]["expiresAt"], json!(null));
        house.set_clock("2027-01-31T10:00:00Z");
        house.consume(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 1 })).await;
        let next = house.balance(&customer).await["nextExpiry"].clone();
        assert_eq!(next, json!({ "at": "2027-02-28T23:00:00Z", "amount": 2 }));
        house.set_clock("2027-02-10T10:00:00Z");
        house.consume(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 1 })).await;
        // A second use moves nothing.
        assert_eq!(house.balance(&customer).await["nextExpiry"]["at"], "2027-02-28T23:00:00Z");
        house.set_clock("2027-03-01T00:00:00Z");
        assert_eq!(house.balance(&customer).await["totals"]["expired"], 1);
        house.assert_verified().await;
    }

    async fn burn_order_is_priority_end_gift_age(house: House) {
        let customer = house.customer("Ada").await;
        let credit_type = house.credit_type("Class", json!({ "never": true })).await;
        let cost = json!({ "minor": 100, "currency": "CHF" });
        let mut grants = Vec::new();
        for extra in [
            json!({ "cost": cost }),
            json!({}),
            json!({ "cost": cost, "expiration": { "at": "2026-12-01T00:00:00Z" } }),
            json!({ "cost": cost, "expiration": { "at": "2026-06-01T00:00:00Z" } }),
            json!({ "priority": 60, "expiration": { "at": "2026-04-01T00:00:00Z" } }),
            json!({ "priority": 10 }),
            json!({}),
        ] {
            let mut input = json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 1 });
            input.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
            grants.push(house.issue(input).await["grant"]["id"].clone());
        }
        let used = house.consume(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 7 })).await;
        let allocations = used["activity"]["allocations"].as_array().expect("allocations").clone();
        let order = allocations.iter().map(|allocation| {
            grants.iter().position(|grant| *grant == allocation["grant"]["id"]).expect("a grant of these")
        });
        assert_eq!(order.collect::<Vec<_>>(), [5, 3, 2, 1, 6, 0, 4]);
        house.assert_verified().await;
    }

    async fn a_clock_that_goes_back_does_not_take_the_ledger_along(house: House) {
        let customer = house.customer("Ada").await;
        let credit_type = house.credit_type("Class", json!({ "never": true })).await;
        house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 2 })).await;
        house.set_clock("2026-02-01T00:00:00Z");
        let used = house.consume(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 1 })).await;
        assert_eq!(used["activity"]["at"], "2026-03-01T09:00:00Z");
        house.assert_verified().await;
    }

    async fn credits_that_would_end_before_they_begin_are_refused(house: House) {
        let customer = house.customer("Ada").await;
        let credit_type = house.credit_type("Class", json!({ "on": "2026-03-02" })).await;
        house.set_clock("2026-03-03T09:00:00Z");
        let past = house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 1 })).await;
        assert_eq!(codes(&past), ["EXPIRATION_NOT_IN_FUTURE"]);
        let before = json!({
            "customerId": customer, "creditTypeId": credit_type, "amount": 1,
            "effectiveAt": "2026-06-01T00:00:00Z", "expiration": { "at": "2026-05-01T00:00:00Z" },
        });
        assert_eq!(codes(&house.issue(before).await), ["EXPIRATION_NOT_IN_FUTURE"]);
        assert_eq!(house.balance(&customer).await, json!(null));
        house.assert_verified().await;
    }

    async fn cost_is_shared_to_the_last_cent(house: House) {
        let customer = house.customer("Ada").await;
        let credit_type = house.credit_type("Class", json!({ "never": true })).await;
        let cost = json!({ "minor": 1000, "currency": "CHF" });
        house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 3, "cost": cost })).await;
        let mut costs = Vec::new();
        for _ in 0..3 {
            let used = house.consume(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 1 })).await;
            costs.push(used["activity"]["allocations"][0]["cost"]["decimal"].clone());
        }
        assert_eq!(costs, ["3.33", "3.33", "3.34"]);
        house.assert_verified().await;
    }

    async fn what_is_left_of_a_grant_can_be_voided_once(house: House) {
        let customer = house.customer("Ada").await;
        let credit_type = house.credit_type("Class", json!({ "never": true })).await;
        let cost = json!({ "minor": 1000, "currency": "CHF" });
        let issued = house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 3, "cost": cost })).await;
        house.consume(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 1 })).await;
        let query = "mutation($input: GrantVoidInput!) { grantVoid(input: $input) {
            replayed grant { status remaining consumed voided costLeft { minor } }
            activity { kind amount reason balanceAfter allocations { cost { minor } } }
            balance { available totals { voided } } preview { balanceAfter draws { amount } cost { decimal } }
            userErrors { code message field } } }";
        let void = |extra: Value| {
            let mut input = json!({ "grantId": issued["grant"]["id"], "reason": "Paid back", "idempotencyKey": "v" });
            input.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
            let house = &house;
            async move { house.data(query, json!({ "input": input })).await["grantVoid"].clone() }
        };
        let preview = void(json!({ "dryRun": true })).await;
        assert_eq!(preview["preview"], json!({ "balanceAfter": 0, "draws": [{ "amount": 2 }], "cost": [{ "decimal": "6.67" }] }));
        for (extra, code, field) in [
            (json!({ "reason": " " }), "INVALID", "reason"),
            (json!({ "grantId": "grt_01h455vb4pex5vsknk084sn02q" }), "NOT_FOUND", "grantId"),
            (json!({ "grantId": customer }), "NOT_FOUND", "grantId"),
        ] {
            let refused = void(extra).await;
            assert_eq!((codes(&refused), &refused["userErrors"][0]["field"]), (vec![code], &json!([field])));
        }
        let done = void(json!({})).await;
        assert_eq!(done["grant"], json!({ "status": "VOIDED", "remaining": 0, "consumed": 1, "voided": 2, "costLeft": { "minor": 0 } }));
        assert_eq!(done["activity"], json!({
            "kind": "VOID", "amount": -2, "reason": "Paid back", "balanceAfter": 0, "allocations": [{ "cost": { "minor": 667 } }],
        }));
        assert_eq!(done["balance"], json!({ "available": 0, "totals": { "voided": 2 } }));
        assert_eq!(void(json!({})).await["replayed"], true);
        assert_eq!(codes(&void(json!({ "reason": "Another" })).await), ["IDEMPOTENCY_KEY_REUSED"]);
        assert_eq!(codes(&void(json!({ "idempotencyKey": "w" })).await), ["NOTHING_TO_VOID"]);
        house.assert_verified().await;
    }
}
