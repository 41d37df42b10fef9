//! Events: one for each fact, typed, found by name and by customer, kept for a time.

use std::collections::BTreeMap;

use scrip::domain::Role;
use serde_json::{Value, json};

use crate::flow::shop::{id, refusal};
use crate::harness::{Backend, House, at, codes};
use crate::on_both;

on_both! {
    async fn an_event_of_the_business_s_own_is_written_once_per_key(house: House) {
        let input = json!({ "name": "Ada", "email": "Ada@Example.com", "externalId": "crm-7" });
        let ada = id(&house.done("customerCreate", "customer { id }", input).await["customer"]);
        for who in [json!({ "id": ada }), json!({ "email": "ADA@example.com" }), json!({ "externalId": "crm-7" })] {
            let input = json!({ "name": "form.submitted", "customer": who, "properties": { "plan": "gold" }, "idempotencyKey": house.key() });
            let fields = "replayed event { id name version at depth payload customer { id } }";
            let first = house.done("eventTrack", fields, input.clone()).await;
            assert_eq!((&first["replayed"], &first["event"]["customer"]["id"]), (&json!(false), &json!(ada)));
            assert_eq!(first["event"]["payload"], json!({ "plan": "gold" }));
            assert_eq!(first["event"]["at"], "2026-03-01T09:00:00Z");
            let again = house.done("eventTrack", fields, input.clone()).await;
            assert_eq!((&again["replayed"], &again["event"]), (&json!(true), &first["event"]));
            let mut other = input;
            other["properties"] = json!({ "plan": "silver" });
            assert_eq!(refusal(&house.mutate("eventTrack", fields, other).await), ("IDEMPOTENCY_KEY_REUSED".into(), "idempotencyKey".into()));
        }
        assert_eq!(house.told("form.submitted").await.len(), 3);
    }

    async fn what_is_no_event_is_refused(house: House) {
        let ada = house.customer("Ada").await;
        let long = "x".repeat(65);
        for name in ["", "Form", "1form", "form submitted", "form-submitted", long.as_str(), "credits.issued", "order.mine", "customer.vip"] {
            assert_eq!(refusal(&house.track(name, &ada, json!({})).await), ("INVALID".into(), "name".into()), "{name}");
        }
        let mut deep = json!(1);
        for _ in 0..9 {
            deep = json!({ "in": deep });
        }
        for properties in [json!([1]), json!("text"), json!({ "long": "x".repeat(17_000) }), deep, json!({ "nul": "\0" })] {
            assert_eq!(refusal(&house.track("form.submitted", &ada, properties).await), ("INVALID".into(), "properties".into()));
        }
        let nobody = house.track("form.submitted", "cus_01h455vb4pex5vsknk084sn02q", json!({})).await;
        assert_eq!(refusal(&nobody), ("NOT_FOUND".into(), "customer".into()));
        let unread = house.track("form.submitted", "ada", json!({})).await;
        assert_eq!(refusal(&unread), ("NOT_FOUND".into(), "customer.id".into()));
        assert_eq!(house.told("form.submitted").await.len(), 0);
    }

    /// Whatever happens in the ledger, in selling and to customers is told in the shape that `eventTypes` promises.
    async fn every_payload_is_what_its_type_says(house: House) {
        let house = house.sandbox("all-of-it", "2026-01-01T09:00:00Z").await;
        let (ada, bob) = (house.customer("Ada").await, house.customer("Bob").await);
        let input = json!({ "name": "Class", "expiration": { "after": { "count": 60, "unit": "DAY" } }, "lowBalanceAt": 3, "expiryNoticeDays": [7] });
        let class = id(&house.done("creditTypeCreate", "creditType { id }", input).await["creditType"]);
        let of = |customer: &str, amount: i64| json!({ "customerId": customer, "creditTypeId": class, "amount": amount });
        let issued = house.issue(of(&ada, 10)).await;
        let consumed = house.ledger("creditsConsume", of(&ada, 7)).await;
        house.ledger("activityReverse", json!({ "activityId": consumed["activity"]["id"], "amount": 5, "reason": "Undone" })).await;
        let hold = |until: &str| { let mut input = of(&ada, 1); input["expiresAt"] = json!(until); input };
        for (mutation, until) in [("holdCapture", "2026-01-05T00:00:00Z"), ("holdRelease", "2026-01-05T00:00:00Z")] {
            let placed = house.ledger("holdPlace", hold(until)).await;
            house.ledger(mutation, json!({ "holdId": placed["activity"]["hold"]["id"] })).await;
        }
        house.ledger("holdPlace", hold("2026-01-03T00:00:00Z")).await;
        house.ledger("creditsTransfer", json!({ "fromCustomerId": ada, "toCustomerId": bob, "creditTypeId": class, "amount": 2 })).await;
        let gift = house.issue(of(&bob, 3)).await;
        let slip = house.ledger("grantVoid", json!({ "grantId": gift["grant"]["id"], "reason": "A mistake" })).await;
        house.ledger("activityReverse", json!({ "activityId": slip["activity"]["id"], "reason": "None" })).await;
        house.ledger("grantVoid", json!({ "grantId": gift["grant"]["id"], "reason": "One after all" })).await;
        house.ledger("grantExtend", json!({ "grantId": issued["grant"]["id"], "to": { "by": { "count": 1, "unit": "WEEK" } }, "reason": "Closed" })).await;
        house.done("customerTag", "customer { id }", json!({ "id": ada, "tags": ["vip"] })).await;
        house.data("mutation($input: CustomerTagInput!) { customerUntag(input: $input) { customer { id } } }", json!({ "input": { "id": ada, "tags": ["vip"] } })).await;
        house.by_owner("accountUpdate", "account { id }", json!({ "paymentProvider": "rehearsal", "eventDays": 400 })).await;
        let product = json!({ "kind": "CREDIT", "slug": "monthly", "name": "Monthly", "creditTypeId": class });
        let product = id(&house.done("productCreate", "product { id }", product).await["product"]);
        let paid = json!({ "subscription": { "currency": "CHF", "tiers": [{ "from": 1, "unitAmount": 9_900 }], "interval": { "count": 1, "unit": "MONTH" }, "creditsPerRenewal": 4 } });
        let price = id(&house.done("priceCreate", "price { id }", json!({ "productId": product, "paid": paid })).await["price"]);
        house.done("productActivate", "product { id }", json!({ "id": product })).await;
        let order = |method: &str| json!({ "customerId": bob, "lines": [{ "priceId": price, "quantity": 1 }], "paymentMethod": method, "idempotencyKey": house.key() });
        let fields = "order { id status subscription { id } }";
        let first = house.done("orderPlace", fields, order("succeed")).await;
        let subscription = first["order"]["subscription"]["id"].clone();
        let second = house.done("orderPlace", fields, order("fail")).await;
        house.done("orderCancel", "order { id }", json!({ "orderId": second["order"]["id"] })).await;
        let refund = json!({ "orderId": first["order"]["id"], "reason": "Changed their mind", "idempotencyKey": house.key() });
        house.done("orderRefund", "order { status }", refund).await;
        house.done("subscriptionPause", "subscription { id }", json!({ "subscriptionId": subscription })).await;
        house.done("subscriptionResume", "subscription { id }", json!({ "subscriptionId": subscription })).await;
        house.advance("2026-04-15T00:00:00Z").await;
        house.ledger("grantExtend", json!({ "grantId": issued["grant"]["id"], "to": { "at": "2026-06-01T00:00:00Z" }, "reason": "Ill" })).await;
        house.done("subscriptionCancel", "subscription { id }", json!({ "subscriptionId": subscription })).await;
        assert_typed(&house, &[
            "balance.low", "balance.recovered", "credits.captured", "credits.consumed", "credits.expired", "credits.expiring_soon",
            "credits.extended", "credits.held", "credits.issued", "credits.lapsed", "credits.reinstated", "credits.released", "credits.reversed",
            "credits.revived", "credits.transferred_in", "credits.transferred_out", "credits.voided", "customer.created",
            "customer.tagged", "customer.untagged", "order.cancelled", "order.paid", "order.placed", "order.refunded",
            "order.payment_failed", "subscription.cancelled", "subscription.paused", "subscription.renewed",
            "subscription.resumed", "subscription.started",
        ]).await;
        house.assert_verified().await;
    }

    /// The same of money that comes in parts, twice, too late, is disputed and goes back.
    async fn what_money_does_is_told_as_its_type_says(house: House) {
        let house = house.sandbox("all-of-money", "2026-01-01T09:00:00Z").await;
        let ada = house.customer("Ada").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let product = json!({ "kind": "CREDIT", "slug": "pass", "name": "Pass", "creditTypeId": class, "creditsPerUnit": 4 });
        let product = id(&house.done("productCreate", "product { id }", product).await["product"]);
        let paid = json!({ "oneTime": { "currency": "CHF", "tiers": [{ "from": 1, "unitAmount": 4_000 }] } });
        let price = json!({ "productId": product, "paid": paid, "expiration": { "on": "2026-01-31" } });
        let price = id(&house.done("priceCreate", "price { id }", price).await["price"]);
        house.done("productActivate", "product { status }", json!({ "id": product })).await;
        let order = async || {
            let input = json!({ "customerId": ada, "lines": [{ "priceId": price, "quantity": 1 }], "idempotencyKey": house.key() });
            id(&house.done("orderPlace", "order { id }", input).await["order"])
        };
        let record = async |order: &str, amount: i64| {
            let input = json!({ "orderId": order, "amount": amount, "idempotencyKey": house.key() });
            house.done("paymentRecord", "order { payments { id } }", input).await["order"]["payments"].clone()
        };
        let first = order().await;
        record(&first, 1_000).await;
        record(&first, 3_000).await;
        let payments = record(&first, 500).await;
        let input = json!({ "orderId": first, "amount": 1_000, "keepCredits": true, "reason": "Sorry", "idempotencyKey": house.key() });
        house.done("orderRefund", "order { status }", input).await;
        for (payment, outcome) in [(0, "OPENED"), (0, "WON"), (1, "LOST")] {
            let input = json!({ "paymentId": payments[payment]["id"], "outcome": outcome, "idempotencyKey": house.key() });
            house.done("disputeRecord", "order { status }", input).await;
        }
        let late = order().await;
        house.advance("2026-02-02T09:00:00Z").await;
        record(&late, 4_000).await;
        let input = json!({ "orderId": late, "position": 0, "expiration": { "never": true }, "reason": "Our mistake", "idempotencyKey": house.key() });
        house.done("orderFulfil", "order { status }", input).await;
        assert_typed(&house, &[
            "credits.frozen", "credits.repriced", "credits.thawed", "credits.voided", "order.charged_back", "order.disputed",
            "order.dispute_ended", "order.fulfilled", "order.paid", "order.paid_again", "order.partly_paid", "order.refunded",
            "order.unfulfilled",
        ]).await;
        house.assert_verified().await;
    }

    async fn events_are_found_by_name_and_by_customer_and_kept_for_their_time(house: House) {
        let house = house.sandbox("kept", "2026-01-01T09:00:00Z").await;
        let (ada, bob) = (house.customer("Ada").await, house.customer("Bob").await);
        for (customer, name) in [(&ada, "form.submitted"), (&bob, "form.submitted"), (&ada, "session.delivered")] {
            house.tracked(name, customer, json!({})).await;
        }
        let query = "query($name: String, $customer: ID, $after: String) { events(name: $name, customerId: $customer, first: 2, after: $after) {
            nodes { name customer { name } } pageInfo { hasNextPage endCursor } } }";
        let of_ada = house.data(query, json!({ "customer": ada })).await["events"].clone();
        assert_eq!(of_ada["nodes"], json!([{ "name": "session.delivered", "customer": { "name": "Ada" } }, { "name": "form.submitted", "customer": { "name": "Ada" } }]));
        let next = house.data(query, json!({ "customer": ada, "after": of_ada["pageInfo"]["endCursor"] })).await;
        assert_eq!(next["events"]["nodes"], json!([{ "name": "customer.created", "customer": { "name": "Ada" } }]));
        let both = house.data(query, json!({ "customer": bob, "name": "form.submitted" })).await;
        assert_eq!(both["events"]["nodes"].as_array().map(Vec::len), Some(1));
        assert_eq!(house.data(query, json!({ "customer": "cus_x" })).await["events"]["nodes"], json!([]));
        let kept = house.by_owner("accountUpdate", "account { eventDays }", json!({ "eventDays": 10 })).await;
        assert_eq!(kept["account"]["eventDays"], 10);
        assert_eq!(codes(&house.by_owner("accountUpdate", "account { id }", json!({ "eventDays": 0 })).await), ["INVALID"]);
        house.advance("2026-01-08T00:00:00Z").await;
        house.tracked("form.submitted", &ada, json!({})).await;
        assert_eq!(house.told("form.submitted").await.len(), 3);
        house.advance("2026-01-12T00:00:00Z").await;
        assert_eq!(house.told("form.submitted").await.len(), 1, "the others were kept for ten days");
    }

    /// The same in a live account, where a job forgets.
    async fn the_worker_forgets_in_its_time(house: House) {
        let ada = house.customer("Ada").await;
        house.by_owner("accountUpdate", "account { id }", json!({ "eventDays": 2 })).await;
        for n in 0..3 {
            house.tracked("form.submitted", &ada, json!({ "n": n })).await;
        }
        // More than a page, and one that something still waits for.
        assert_eq!(house.copy_events("form.submitted", 800).await, 2_400);
        house.tamper("UPDATE event SET pending = true WHERE id = (SELECT id FROM event WHERE name = 'form.submitted' ORDER BY id LIMIT 1)").await;
        let waits = "SELECT count(*) FROM event WHERE name = 'form.submitted'";
        assert_eq!(house.counted(waits).await, 2_403);
        house.work().await;
        house.clock.set(at("2026-03-02T09:00:00Z"));
        house.tracked("form.submitted", &ada, json!({ "n": 4 })).await;
        house.work().await;
        assert_eq!(house.counted(waits).await, 2_404);
        house.tamper("UPDATE event SET pending = true WHERE id = (SELECT id FROM event WHERE name = 'form.submitted' ORDER BY id LIMIT 1)").await;
        house.clock.set(at("2026-03-04T08:00:00Z"));
        house.do_jobs().await;
        assert_eq!(house.counted(waits).await, 2, "the newest, and the one that waits");
        house.work().await;
        let jobs = house.data("{ jobs { nodes { kind } } }", json!({})).await;
        assert_eq!(jobs["jobs"]["nodes"], json!([]), "housekeeping is not shown");
    }
}

/// Every event is of a type that the API tells of, with its properties and no others; and each of these happened.
async fn assert_typed(house: &House, wanted: &[&str]) {
    let types = house.data("{ eventTypes { name version properties { name kind nullable } } }", json!({})).await;
    let types = types["eventTypes"].as_array().expect("types").clone();
    let by_name =
        types.iter().map(|event| (event["name"].as_str().expect("a name"), event)).collect::<BTreeMap<_, _>>();
    let mut seen = BTreeMap::new();
    let mut after = Value::Null;
    loop {
        let query = "query($after: String) { events(first: 100, after: $after) { nodes { name version payload } pageInfo { hasNextPage endCursor } } }";
        let page = house.data(query, json!({ "after": after })).await["events"].clone();
        for event in page["nodes"].as_array().expect("nodes") {
            let name = event["name"].as_str().expect("a name").to_owned();
            let of_type = by_name.get(name.as_str()).unwrap_or_else(|| panic!("{name} is no type"));
            assert_eq!(event["version"], of_type["version"]);
            let mut properties = of_type["properties"].as_array().expect("properties").clone();
            let said = event["payload"].as_object().expect("an object");
            assert_eq!(said.len(), properties.len(), "{event:#}");
            for property in properties.drain(..) {
                let value = said
                    .get(property["name"].as_str().expect("a name"))
                    .unwrap_or_else(|| panic!("{property} of {event:#}"));
                let fits = match property["kind"].as_str().expect("a kind") {
                    _ if value.is_null() => property["nullable"] == true,
                    "ID" => value.as_str().is_some_and(|id| id.len() == 30 && id.as_bytes()[3] == b'_'),
                    "TEXT" => value.is_string(),
                    "WHOLE" => value.is_i64(),
                    "INSTANT" => value.as_str().is_some_and(|text| chrono::DateTime::parse_from_rfc3339(text).is_ok()),
                    "LIST" => value.is_array(),
                    "OBJECT" => value.is_object(),
                    other => panic!("{other}"),
                };
                assert!(fits, "{property} of {event:#}");
            }
            *seen.entry(name).or_insert(0) += 1;
        }
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
    let missing = wanted.iter().filter(|name| !seen.contains_key(**name)).collect::<Vec<_>>();
    assert!(missing.is_empty(), "never happened: {missing:?}; {seen:?}");
    let (_, seen) = house.ask_with(Some(&house.token(Role::Staff)), "{ eventTypes { name } }", json!({})).await;
    assert!(seen.get("errors").is_none());
}
