//! Why: the answers that support gives, as queries.

use scrip::domain::Role;
use serde_json::{Value, json};

use crate::harness::{Backend, House};
use crate::on_both;

async fn status(house: &House, customer: &str, credit_type: &str, amount: i64) -> Value {
    let query = "query($id: ID!, $t: ID!, $n: Credits) { customer(by: { id: $id }) { creditStatus(creditTypeId: $t, amount: $n) {
        canConsume available reasons { code amount until message } } } }";
    house.data(query, json!({ "id": customer, "t": credit_type, "n": amount })).await["customer"]["creditStatus"]
        .clone()
}

fn reasons(status: &Value) -> Vec<(String, i64)> {
    let line =
        |why: &Value| (why["code"].as_str().expect("a code").to_owned(), why["amount"].as_i64().expect("a number"));
    status["reasons"].as_array().expect("reasons").iter().map(line).collect()
}

async fn explain(house: &House, customer: &str, credit_type: &str, at: Option<&str>) -> Value {
    let query = "query($id: ID!, $t: ID!, $at: DateTime) { customer(by: { id: $id }) { balanceExplanation(creditTypeId: $t, at: $at) {
        at available held notYetEffective
        grants(first: 50) { nodes { place skipped remaining held consumed expired voided transferred expiresAt grant { amount }
            movements(first: 10) { amount activity { kind at } } } } } } }";
    house.data(query, json!({ "id": customer, "t": credit_type, "at": at })).await["customer"]["balanceExplanation"]
        .clone()
}

on_both! {
    async fn every_reason_is_told_at_once(house: House) {
        let (ada, grace) = (house.customer("Ada").await, house.customer("Grace").await);
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let none = status(&house, &ada, &class, 1).await;
        assert_eq!((&none["canConsume"], reasons(&none)), (&json!(false), vec![("NONE_ISSUED".into(), 0)]));
        let issue = |amount: i64, extra: Value| {
            let mut input = json!({ "customerId": ada, "creditTypeId": class, "amount": amount });
            input.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
            let house = &house;
            async move { house.issue(input).await["grant"]["id"].clone() }
        };
        issue(1, json!({ "expiration": { "at": "2026-03-02T00:00:00Z" }, "priority": 90 })).await;
        issue(2, json!({ "effectiveAt": "2026-04-01T00:00:00Z" })).await;
        let voided = issue(3, json!({ "priority": 80 })).await;
        house.ledger("grantVoid", json!({ "grantId": voided, "reason": "Paid back" })).await;
        issue(9, json!({ "priority": 1 })).await;
        house.ledger("creditsTransfer", json!({ "fromCustomerId": ada, "toCustomerId": grace, "creditTypeId": class, "amount": 2 })).await;
        house.consume(json!({ "customerId": ada, "creditTypeId": class, "amount": 3 })).await;
        house.ledger("holdPlace", json!({ "customerId": ada, "creditTypeId": class, "amount": 3, "expiresAt": "2026-03-08T00:00:00Z" })).await;
        house.set_clock("2026-03-03T00:00:00Z");
        let now = status(&house, &ada, &class, 1).await;
        assert_eq!(now, json!({ "canConsume": true, "available": 1, "reasons": [] }));
        let now = status(&house, &ada, &class, 2).await;
        let wanted = [("NOT_ENOUGH", 1), ("HELD", 3), ("NOT_YET_EFFECTIVE", 2), ("EXPIRED", 1), ("VOIDED", 3), ("TRANSFERRED", 2), ("USED", 3)];
        assert_eq!(reasons(&now), wanted.map(|(code, amount)| (code.to_owned(), amount)));
        assert_eq!((&now["reasons"][1]["until"], &now["reasons"][2]["until"]), (&json!("2026-03-08T00:00:00Z"), &json!("2026-04-01T00:00:00Z")));
        assert_eq!(now["reasons"][1]["message"], "3 are set aside: capture or release a hold. The first that gives back what can be used lapses at 2026-03-08T00:00:00Z.");
        // What it says is what a consume is told.
        let refused = house.consume(json!({ "customerId": ada, "creditTypeId": class, "amount": 2 })).await;
        assert_eq!(refused["userErrors"][0]["available"], 1);
        house.ask(Role::Owner, "mutation { accountUpdate(input: { creditsEnabled: false }) { account { id } } }", json!({})).await;
        assert_eq!(reasons(&status(&house, &ada, &class, 1).await), [("CREDITS_DISABLED".into(), 0)]);
        // A customer sees no balances then, and hears why.
        let own = "query($t: ID!) { viewer { ... on Customer { balances { available } creditStatus(creditTypeId: $t) { canConsume reasons { code } } } } }";
        let seen = house.ask(Role::Customer(ada.parse().expect("an id")), own, json!({ "t": class })).await["data"]["viewer"].clone();
        assert_eq!((&seen["balances"], &seen["creditStatus"]["reasons"]), (&json!([]), &json!([{ "code": "CREDITS_DISABLED" }])));
        assert_eq!(status(&house, &ada, "ctp_01h455vb4pex5vsknk084sn02q", 1).await, json!(null), "there is no such type");
        let zero = "query($id: ID!, $t: ID!) { customer(by: { id: $id }) { name creditStatus(creditTypeId: $t, amount: 0) { available } } }";
        let answer = house.ask(Role::Staff, zero, json!({ "id": ada, "t": class })).await;
        assert_eq!(answer["data"]["customer"], json!({ "name": "Ada", "creditStatus": null }), "one field fails, not the customer");
        house.assert_verified().await;
    }

    /// What is held of a grant that will have ended when the hold lapses does not come back to be used.
    async fn a_lapse_that_helps_nobody_is_not_promised(house: House) {
        let ada = house.customer("Ada").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        house.issue(json!({ "customerId": ada, "creditTypeId": class, "amount": 4, "expiration": { "at": "2026-03-10T00:00:00Z" } })).await;
        house.ledger("holdPlace", json!({ "customerId": ada, "creditTypeId": class, "amount": 4, "expiresAt": "2026-03-20T00:00:00Z" })).await;
        let now = status(&house, &ada, &class, 1).await;
        assert_eq!((&now["reasons"][0]["code"], &now["reasons"][0]["until"]), (&json!("HELD"), &json!(null)));
        assert_eq!(now["reasons"][0]["message"], "4 are set aside, and will have ended when the holds lapse: capture or release them.");
    }

    async fn a_balance_is_explained_at_any_instant(house: House) {
        let ada = house.customer("Ada").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let issue = |amount: i64, extra: Value| {
            let mut input = json!({ "customerId": ada, "creditTypeId": class, "amount": amount });
            input.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
            let house = &house;
            async move { house.issue(input).await; }
        };
        issue(5, json!({ "expiration": { "at": "2026-03-20T00:00:00Z" } })).await;
        issue(4, json!({})).await;
        issue(3, json!({ "effectiveAt": "2026-04-01T00:00:00Z" })).await;
        house.set_clock("2026-03-02T00:00:00Z");
        house.consume(json!({ "customerId": ada, "creditTypeId": class, "amount": 2 })).await;
        house.set_clock("2026-03-03T00:00:00Z");
        house.ledger("holdPlace", json!({ "customerId": ada, "creditTypeId": class, "amount": 4, "expiresAt": "2026-03-25T00:00:00Z" })).await;
        house.set_clock("2026-03-10T00:00:00Z");
        let line = |node: &Value| {
            let number = |field: &str| node[field].as_i64().expect("a number");
            (node["place"].clone(), node["skipped"].clone(), ["remaining", "held", "consumed", "expired"].map(number))
        };
        let lines = |explanation: &Value| explanation["grants"]["nodes"].as_array().expect("grants").iter().map(line).collect::<Vec<_>>();
        let now = explain(&house, &ada, &class, None).await;
        assert_eq!((&now["available"], &now["held"], &now["notYetEffective"]), (&json!(3), &json!(4), &json!(3)));
        assert_eq!(lines(&now), [
            (json!(1), json!(null), [3, 1, 0, 0]),
            (json!(null), json!("HELD"), [0, 3, 2, 0]),
            (json!(null), json!("NOT_YET_EFFECTIVE"), [3, 0, 0, 0]),
        ]);
        let touched = now["grants"]["nodes"][1]["movements"].as_array().expect("movements").iter().map(|m| (m["activity"]["kind"].clone(), m["amount"].clone()));
        assert_eq!(touched.collect::<Vec<_>>(), [(json!("HOLD"), json!(3)), (json!("CONSUME"), json!(2)), (json!("ISSUE"), json!(5))]);
        // As it was: before the hold, and before anything was used.
        let before = explain(&house, &ada, &class, Some("2026-03-02T12:00:00Z")).await;
        assert_eq!(lines(&before)[..2], [(json!(1), json!(null), [3, 0, 2, 0]), (json!(2), json!(null), [4, 0, 0, 0])]);
        assert_eq!(before["grants"]["nodes"][0]["movements"].as_array().map(Vec::len), Some(2));
        let first = explain(&house, &ada, &class, Some("2026-03-01T09:00:00Z")).await;
        assert_eq!((&first["available"], lines(&first)[0].2), (&json!(9), [5, 0, 0, 0]));
        let nothing = explain(&house, &ada, &class, Some("2026-02-01T00:00:00Z")).await;
        assert_eq!((&nothing["available"], &nothing["grants"]["nodes"]), (&json!(0), &json!([])));
        // As it will be, by time alone: what is held goes back, and what is of the ended grant ends with that.
        let later = explain(&house, &ada, &class, Some("2026-04-02T00:00:00Z")).await;
        assert_eq!((&later["available"], &later["held"]), (&json!(7), &json!(0)));
        assert_eq!(lines(&later)[2], (json!(null), json!("EXPIRED"), [0, 0, 2, 3]));
        // Nothing of this was written.
        assert_eq!(house.history(&ada).await.len(), 5);
        let query = "query($id: ID!) { customer(by: { id: $id }) { balanceExplanation(creditTypeId: \"ctp_01h455vb4pex5vsknk084sn02q\") { available } } }";
        assert_eq!(house.data(query, json!({ "id": ada })).await["customer"]["balanceExplanation"], json!(null));
        house.assert_verified().await;
    }

    async fn what_will_end_is_forecast(house: House) {
        let (ada, grace) = (house.customer("Ada").await, house.customer("Grace").await);
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let workshop = house.credit_type("Workshop", json!({ "never": true })).await;
        for (customer, credit_type, amount, end) in [
            (&ada, &class, 5, "2026-03-10T00:00:00Z"),
            (&ada, &class, 2, "2026-03-20T00:00:00Z"),
            (&ada, &workshop, 3, "2026-03-10T00:00:00Z"),
            (&grace, &class, 4, "2026-03-10T00:00:00Z"),
            (&grace, &class, 7, "2026-05-01T00:00:00Z"),
        ] {
            house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": amount, "expiration": { "at": end } })).await;
        }
        let hold = |customer: &String, amount: i64, until: &str| {
            let input = json!({ "customerId": customer, "creditTypeId": class, "amount": amount, "expiresAt": until });
            let house = &house;
            async move { assert_eq!(house.ledger("holdPlace", input).await["userErrors"], json!([])); }
        };
        // Two come back in time, three only after their grant has ended, one beyond the horizon.
        hold(&ada, 2, "2026-03-05T00:00:00Z").await;
        hold(&ada, 3, "2026-03-15T00:00:00Z").await;
        hold(&grace, 1, "2026-08-01T00:00:00Z").await;
        let lines = |found: &Value| {
            let line = |e: &Value| format!("{} {} {}", e["at"].as_str().expect("text"), e["creditType"]["name"].as_str().expect("text"), e["amount"]);
            let mut lines = found.as_array().expect("a forecast").iter().map(line).collect::<Vec<_>>();
            lines.sort();
            lines
        };
        let query = "query($id: ID!, $days: Int!) { customer(by: { id: $id }) { expiryForecast(days: $days) { at amount creditType { name } } }
            expiryForecast(days: $days) { at amount creditType { name } } }";
        let data = house.data(query, json!({ "id": ada, "days": 30 })).await;
        let of_ada = ["2026-03-10T00:00:00Z Class 2", "2026-03-10T00:00:00Z Workshop 3", "2026-03-15T00:00:00Z Class 3", "2026-03-20T00:00:00Z Class 2"];
        assert_eq!(lines(&data["customer"]["expiryForecast"]), of_ada);
        let of_all = ["2026-03-10T00:00:00Z Class 5", "2026-03-10T00:00:00Z Workshop 3", "2026-03-15T00:00:00Z Class 3", "2026-03-20T00:00:00Z Class 2"];
        assert_eq!(lines(&data["expiryForecast"]), of_all);
        // The whole account's is what its customers' add up to, also when nothing of the past is written down.
        house.set_clock("2026-03-12T00:00:00Z");
        let data = house.data(query, json!({ "id": ada, "days": 366 })).await;
        assert_eq!(lines(&data["customer"]["expiryForecast"]), ["2026-03-15T00:00:00Z Class 3", "2026-03-20T00:00:00Z Class 2"]);
        let of_all = ["2026-03-15T00:00:00Z Class 3", "2026-03-20T00:00:00Z Class 2", "2026-05-01T00:00:00Z Class 7", "2026-08-01T00:00:00Z Class 1"];
        assert_eq!(lines(&data["expiryForecast"]), of_all);
        let refused = house.ask(Role::Staff, "{ expiryForecast(days: 0) { amount } }", json!({})).await;
        assert_eq!(refused["errors"][0]["message"], "days: Must be 1 to 366.");
        // The dated ends are what happens.
        house.set_clock("2026-08-01T00:00:00Z");
        assert_eq!(house.balance(&grace).await["totals"]["expired"], 11);
        house.assert_verified().await;
    }
}
