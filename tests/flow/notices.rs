//! Thresholds: told of when they are crossed, once per crossing, with the grants and the exact instant.

use serde_json::{Value, json};

use crate::flow::shop::id;
use crate::harness::{Backend, House};
use crate::on_both;

impl House {
    async fn telling(&self, low: Value, days: Value) -> String {
        let input =
            json!({ "name": "Class", "expiration": { "never": true }, "lowBalanceAt": low, "expiryNoticeDays": days });
        id(&self.done("creditTypeCreate", "creditType { id }", input).await["creditType"])
    }
}

/// Of each: when, and what of it matters here.
fn said(told: &[(Value, String)], names: &[&str]) -> Vec<(String, Vec<Value>)> {
    told.iter().map(|(payload, at)| (at.clone(), names.iter().map(|name| payload[*name].clone()).collect())).collect()
}

on_both! {
    async fn credits_that_end_soon_are_told_of_on_each_day_once(house: House) {
        let house = house.sandbox("ending", "2026-03-01T09:00:00Z").await;
        let ada = house.customer("Ada").await;
        let class = house.telling(Value::Null, json!([7, 1])).await;
        let issue = |amount: i64, end: &str| json!({ "customerId": ada, "creditTypeId": class, "amount": amount, "expiration": { "at": end } });
        let first = house.issue(issue(3, "2026-04-01T10:00:00Z")).await;
        let second = house.issue(issue(2, "2026-04-01T10:00:00Z")).await;
        house.issue(issue(9, "2026-03-04T00:00:00Z")).await;
        house.advance("2026-03-20T00:00:00Z").await;
        let names = ["days", "amount", "expiresAt"];
        let told = house.told("credits.expiring_soon").await;
        // Issued three days before their end: only the one day is crossed.
        assert_eq!(said(&told, &names), [("2026-03-03T00:00:00Z".into(), vec![json!(1), json!(9), json!("2026-03-04T00:00:00Z")])]);
        let use_one = json!({ "customerId": ada, "creditTypeId": class, "amount": 1 });
        house.consume(use_one).await;
        house.advance("2026-03-27T00:00:00Z").await;
        let told = house.told("credits.expiring_soon").await;
        // A week before, at the same time of day in Zurich, where the clocks go forward in between.
        assert_eq!(said(&told[1..], &names), [("2026-03-25T11:00:00Z".into(), vec![json!(7), json!(4), json!("2026-04-01T10:00:00Z")])]);
        assert_eq!(told[1].0["grants"], json!([
            { "grantId": first["grant"]["id"], "amount": 2, "expiresAt": "2026-04-01T10:00:00Z" },
            { "grantId": second["grant"]["id"], "amount": 2, "expiresAt": "2026-04-01T10:00:00Z" },
        ]));
        // What gets a later end crosses again, what stays is told of once more on the last day.
        house.ledger("grantExtend", json!({ "grantId": second["grant"]["id"], "to": { "at": "2026-04-20T10:00:00Z" }, "reason": "Ill" })).await;
        house.advance("2026-05-01T00:00:00Z").await;
        let told = house.told("credits.expiring_soon").await;
        assert_eq!(said(&told[2..], &names), [
            ("2026-03-31T10:00:00Z".into(), vec![json!(1), json!(2), json!("2026-04-01T10:00:00Z")]),
            ("2026-04-13T10:00:00Z".into(), vec![json!(7), json!(2), json!("2026-04-20T10:00:00Z")]),
            ("2026-04-19T10:00:00Z".into(), vec![json!(1), json!(2), json!("2026-04-20T10:00:00Z")]),
        ]);
        house.assert_verified().await;
    }

    async fn a_balance_is_low_and_recovers_once_per_crossing(house: House) {
        let house = house.sandbox("low", "2026-03-01T09:00:00Z").await;
        let ada = house.customer("Ada").await;
        let class = house.telling(json!(3), json!([])).await;
        let of = |amount: i64| json!({ "customerId": ada, "creditTypeId": class, "amount": amount });
        house.issue(of(5)).await;
        assert_eq!(house.told("balance.recovered").await.len(), 0, "the first credits are no recovery");
        house.consume(of(1)).await;
        assert_eq!(house.told("balance.low").await.len(), 0);
        house.advance("2026-03-02T09:00:00Z").await;
        let used = house.consume(of(1)).await;
        house.consume(of(1)).await;
        let low = house.told("balance.low").await;
        assert_eq!(said(&low, &["threshold", "before", "available"]), [("2026-03-02T09:00:00Z".into(), vec![json!(3), json!(4), json!(3)])]);
        assert_eq!(low[0].0["grants"].as_array().map(Vec::len), Some(1));
        let mut later = of(10);
        later["effectiveAt"] = json!("2026-04-01T00:00:00Z");
        later["expiration"] = json!({ "at": "2026-04-10T00:00:00Z" });
        house.issue(later).await;
        assert_eq!(house.told("balance.recovered").await.len(), 0, "they count only later");
        house.advance("2026-03-20T00:00:00Z").await;
        house.ledger("activityReverse", json!({ "activityId": used["activity"]["id"], "reason": "Undone" })).await;
        assert_eq!(house.told("balance.recovered").await.len(), 0, "three are still low");
        house.advance("2026-05-01T00:00:00Z").await;
        let recovered = house.told("balance.recovered").await;
        assert_eq!(said(&recovered, &["before", "available"]), [("2026-04-01T00:00:00Z".into(), vec![json!(3), json!(13)])], "time alone crossed it");
        let low = house.told("balance.low").await;
        assert_eq!(said(&low[1..], &["before", "available"]), [("2026-04-10T00:00:00Z".into(), vec![json!(13), json!(3)])]);
        house.assert_verified().await;
    }

    /// One month's credits end as the next one's begin: never low in between.
    async fn what_begins_as_another_ends_keeps_a_balance_up(house: House) {
        let house = house.sandbox("turn", "2026-03-01T00:00:00Z").await;
        let ada = house.customer("Ada").await;
        let class = house.telling(json!(0), json!([])).await;
        for (from, to) in [("2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"), ("2026-04-01T00:00:00Z", "2026-05-01T00:00:00Z")] {
            house.issue(json!({ "customerId": ada, "creditTypeId": class, "amount": 4, "effectiveAt": from, "expiration": { "at": to } })).await;
        }
        house.advance("2026-06-01T00:00:00Z").await;
        assert_eq!(said(&house.told("balance.low").await, &["available"]), [("2026-05-01T00:00:00Z".into(), vec![json!(0)])]);
        assert_eq!(house.told("balance.recovered").await.len(), 0);
    }

    /// Whoever comes first, the worker or a consume: the same notices, dated alike, each once.
    async fn a_late_worker_tells_the_same(house: House) {
        let class = house.telling(json!(2), json!([5])).await;
        let mut both = Vec::new();
        for name in ["Ada", "Bob"] {
            let customer = house.customer(name).await;
            house.issue(json!({ "customerId": customer, "creditTypeId": class, "amount": 2, "expiration": { "at": "2026-03-20T00:00:00Z" } })).await;
            house.issue(json!({ "customerId": customer, "creditTypeId": class, "amount": 2 })).await;
            both.push(customer);
        }
        // For Ada the worker is there at the time; for Bob nobody is until much later.
        house.set_clock("2026-03-15T00:00:00Z");
        house.data("mutation($input: CreditsConsumeInput!) { creditsConsume(input: $input) { replayed } }",
            json!({ "input": { "customerId": both[0], "creditTypeId": class, "amount": 1, "idempotencyKey": "one" } })).await;
        house.set_clock("2026-04-20T00:00:00Z");
        house.work().await;
        house.work().await;
        let query = "query($id: ID) { soon: events(name: \"credits.expiring_soon\", customerId: $id) { nodes { at payload } }
            low: events(name: \"balance.low\", customerId: $id) { nodes { at payload } } }";
        for (customer, before) in [(&both[0], 3), (&both[1], 4)] {
            let told = house.data(query, json!({ "id": customer })).await;
            let soon = &told["soon"]["nodes"];
            assert_eq!((soon.as_array().map(Vec::len), &soon[0]["at"], &soon[0]["payload"]["amount"]), (Some(1), &json!("2026-03-15T00:00:00Z"), &json!(2)), "{told:#}");
            let low = &told["low"]["nodes"];
            assert_eq!((low.as_array().map(Vec::len), &low[0]["at"], &low[0]["payload"]["before"]), (Some(1), &json!("2026-03-20T00:00:00Z"), &json!(before)), "{told:#}");
        }
        house.assert_verified().await;
    }

    /// A threshold that is changed counts from then on, for credits that are there already too.
    async fn a_new_threshold_counts_from_now_on(house: House) {
        let ada = house.customer("Ada").await;
        let class = house.telling(Value::Null, json!([])).await;
        for end in ["2026-03-04T00:00:00Z", "2026-03-20T00:00:00Z"] {
            house.issue(json!({ "customerId": ada, "creditTypeId": class, "amount": 2, "expiration": { "at": end } })).await;
        }
        house.set_clock("2026-03-02T00:00:00Z");
        house.done("creditTypeUpdate", "creditType { id }", json!({ "id": class, "expiryNoticeDays": [7], "lowBalanceAt": 3 })).await;
        house.work().await;
        assert_eq!(house.told("credits.expiring_soon").await.len(), 0, "the first would have been told of before");
        house.set_clock("2026-03-13T00:00:00Z");
        house.work().await;
        let told = house.told("credits.expiring_soon").await;
        assert_eq!(said(&told, &["days", "amount"]), [("2026-03-13T00:00:00Z".into(), vec![json!(7), json!(2)])]);
        assert_eq!(said(&house.told("balance.low").await, &["available"]), [("2026-03-04T00:00:00Z".into(), vec![json!(2)])]);
    }
}
