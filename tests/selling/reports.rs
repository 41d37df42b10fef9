//! Reports: what is owed, earned and was never used adds up, at any date, whether or not a job has run.

use serde_json::{Value, json};

use crate::harness::{Backend, House};
use crate::on_both;
use crate::selling::shop::id;

const LIABILITY: &str = "query($at: DateTime) { creditLiability(asOf: $at) { creditType { name }
    sold { credits cost { minor currency } } deferred { credits cost { minor } } earned { credits cost { minor } }
    breakage { credits cost { minor } } voided { credits cost { minor } } } }";

/// Credits and money of each pool: sold, deferred, earned, breakage, voided.
async fn liability(house: &House, at: Option<&str>) -> Vec<(i64, i64)> {
    let data = house.data(LIABILITY, json!({ "at": at })).await;
    let Some(line) = data["creditLiability"].get(0) else { return Vec::new() };
    let number = |value: &Value| value.as_i64().expect("a number");
    let pools = ["sold", "deferred", "earned", "breakage", "voided"];
    let sums = pools.map(|pool| (number(&line[pool]["credits"]), number(&line[pool]["cost"]["minor"]))).to_vec();
    let parts = sums[1..].iter().fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
    assert_eq!(sums[0], parts, "it adds up: {line:#}");
    sums
}

on_both! {
    /// A spring by hand: bought, used, ended, refunded; every date tells what was true then.
    async fn every_date_tells_what_was_true_then(house: House) {
        let class = house.credit_type("Class", json!({ "after": { "count": 30, "unit": "DAY" } })).await;
        let pack = house.ten_pack(&class).await;
        let (ada, bob) = (house.customer("Ada").await, house.customer("Bob").await);
        assert_eq!(liability(&house, None).await, []);
        let first = id(&house.bought(&ada, &pack, 5).await);
        house.set_clock("2026-03-05T09:00:00Z");
        house.consume(json!({ "customerId": ada, "creditTypeId": class, "amount": 2 })).await;
        house.set_clock("2026-03-10T09:00:00Z");
        let second = id(&house.bought(&bob, &pack, 1).await);
        let hold = json!({ "customerId": bob, "creditTypeId": class, "amount": 1, "expiresAt": "2026-04-20T00:00:00Z" });
        house.ledger("holdPlace", hold).await;
        house.set_clock("2026-03-15T09:00:00Z");
        let used = house.consume(json!({ "customerId": ada, "creditTypeId": class, "amount": 1 })).await;
        house.set_clock("2026-03-16T09:00:00Z");
        house.ledger("activityReverse", json!({ "activityId": used["activity"]["id"], "reason": "Ill" })).await;
        house.set_clock("2026-03-17T09:00:00Z");
        house.refund(&first, json!({})).await;
        assert_eq!(liability(&house, None).await, [(6, 52_500), (1, 10_000), (2, 17_000), (0, 0), (3, 25_500)]);
        // Bob's has ended on 10 April while it was held, and lapses on the 20th: then it is breakage, and nobody wrote it.
        house.set_clock("2026-05-01T00:00:00Z");
        let found = liability(&house, None).await;
        assert_eq!(found, [(6, 52_500), (0, 0), (2, 17_000), (1, 10_000), (3, 25_500)]);
        let at = |at: &'static str| liability(&house, Some(at));
        let before = [
            at("2026-03-01T08:59:59Z").await, at("2026-03-01T09:00:00Z").await, at("2026-03-09T00:00:00Z").await,
            at("2026-03-15T12:00:00Z").await, at("2026-03-16T12:00:00Z").await, at("2026-04-19T23:59:59Z").await, at("2026-04-20T00:00:00Z").await,
        ];
        let wanted = [
            vec![],
            vec![(5, 42_500), (5, 42_500), (0, 0), (0, 0), (0, 0)],
            vec![(5, 42_500), (3, 25_500), (2, 17_000), (0, 0), (0, 0)],
            vec![(6, 52_500), (3, 27_000), (3, 25_500), (0, 0), (0, 0)],
            vec![(6, 52_500), (4, 35_500), (2, 17_000), (0, 0), (0, 0)],
            vec![(6, 52_500), (1, 10_000), (2, 17_000), (0, 0), (3, 25_500)],
            found.clone(),
        ];
        assert_eq!(before.to_vec(), wanted.to_vec());
        let grants = "query { customers { nodes { grants { nodes { amount cost { minor } } } } } }";
        let read = house.data(grants, json!({})).await;
        let all = read["customers"]["nodes"].as_array().expect("customers").iter().flat_map(|one| one["grants"]["nodes"].as_array().expect("grants"));
        let sold = all.fold((0, 0), |sum, grant| (sum.0 + grant["amount"].as_i64().expect("credits"), sum.1 + grant["cost"]["minor"].as_i64().expect("money")));
        assert_eq!(sold, found[0], "what was sold is what the grants say");
        // Written down by the worker, nothing changes.
        while scrip::worker::round(&house.app).await.expect("a round") > 0 {}
        assert_eq!(liability(&house, None).await, found);
        assert_eq!(liability(&house, Some("2026-04-19T23:59:59Z")).await, wanted[5]);
        assert_eq!(house.order(&second).await["status"], "PAID");
        house.assert_verified().await;
    }

    async fn what_was_used_and_what_ended_by_stretches_of_time(house: House) {
        let class = house.credit_type("Class", json!({ "on": "2026-04-10" })).await;
        let pack = house.ten_pack(&class).await;
        let (ada, bob) = (house.customer("Ada").await, house.customer("Bob").await);
        house.bought(&ada, &pack, 5).await;
        house.bought(&bob, &pack, 1).await;
        for (day, amount) in [("2026-03-30T09:00:00Z", 1), ("2026-03-31T22:30:00Z", 1)] {
            house.set_clock(day);
            house.consume(json!({ "customerId": ada, "creditTypeId": class, "amount": amount })).await;
        }
        house.set_clock("2026-05-01T00:00:00Z");
        let query = "query($from: DateTime!, $to: DateTime!, $by: ReportGrouping!) {
            used: creditConsumption(from: $from, to: $to, groupBy: $by) { from customer { name } sum { credits cost { minor } } }
            ended: creditBreakage(from: $from, to: $to) { sum { credits cost { minor } } } }";
        let ask = |by: &'static str| house.data(query, json!({ "from": "2026-03-01T00:00:00Z", "to": "2026-05-01T00:00:00Z", "by": by }));
        let whole = ask("CREDIT_TYPE").await;
        assert_eq!(whole["used"], json!([{ "from": null, "customer": null, "sum": { "credits": 2, "cost": { "minor": 17_000 } } }]));
        assert_eq!(whole["ended"], json!([{ "sum": { "credits": 4, "cost": { "minor": 35_500 } } }]));
        let months = ask("MONTH").await["used"].clone();
        assert_eq!(months, json!([
            { "from": "2026-03-01T00:00:00Z", "customer": null, "sum": { "credits": 1, "cost": { "minor": 8_500 } } },
            { "from": "2026-03-31T22:00:00Z", "customer": null, "sum": { "credits": 1, "cost": { "minor": 8_500 } } },
        ]), "22:30 UTC is April in Zurich");
        assert_eq!(ask("CUSTOMER").await["used"][0]["customer"]["name"], "Ada");
        assert_eq!(ask("DAY").await["used"].as_array().map(Vec::len), Some(2));
        // What comes back counts on its day, against what was used and what had ended.
        let back = house.history(&ada).await;
        assert_eq!(back.len(), 3);
        let grant = house.data("query($id: ID!) { customer(by: { id: $id }) { grants { nodes { id } } activity(first: 1, kinds: [CONSUME]) { nodes { id } } } }", json!({ "id": ada })).await["customer"].clone();
        house.ledger("grantExtend", json!({ "grantId": grant["grants"]["nodes"][0]["id"], "to": { "on": "2026-06-30" }, "reason": "Ill" })).await;
        house.ledger("activityReverse", json!({ "activityId": grant["activity"]["nodes"][0]["id"], "reason": "Ill" })).await;
        house.set_clock("2026-05-02T00:00:00Z");
        let after = house.data(query, json!({ "from": "2026-05-01T00:00:00Z", "to": "2026-05-02T00:00:00Z", "by": "CREDIT_TYPE" })).await;
        assert_eq!((&after["used"][0]["sum"], &after["ended"][0]["sum"]), (&json!({ "credits": -1, "cost": { "minor": -8_500 } }), &json!({ "credits": -3, "cost": { "minor": -25_500 } })));
        for (from, to) in [("2026-04-01T00:00:00Z", "2026-04-10T22:00:00Z"), ("2026-04-10T22:00:01Z", "2026-05-01T00:00:00Z")] {
            let none = house.data(query, json!({ "from": from, "to": to, "by": "CREDIT_TYPE" })).await;
            assert_eq!(none["ended"], json!([]), "{from} to {to}");
        }
        for (query, field) in [
            ("{ creditLiability(asOf: \"2030-01-01T00:00:00Z\") { sold { credits } } }", "asOf: Must not be in the future."),
            ("{ creditBreakage(from: \"2026-02-01T00:00:00Z\", to: \"2026-01-01T00:00:00Z\") { sum { credits } } }", "to: Must be later than from."),
            ("{ creditConsumption(from: \"2020-01-01T00:00:00Z\", to: \"2026-01-01T00:00:00Z\", groupBy: DAY) { sum { credits } } }", "to: At most 366 days at once. Ask for a shorter time."),
        ] {
            let refused = house.ask(scrip::domain::Role::Staff, query, json!({})).await;
            assert_eq!(refused["errors"][0]["message"], field, "{refused}");
        }
    }

    /// The same as files, with a token of staff.
    async fn reports_come_as_files(house: House) {
        let class = house.credit_type("=Class", json!({ "never": true })).await;
        let pack = house.ten_pack(&class).await;
        let ada = house.customer("Ada").await;
        house.bought(&ada, &pack, 5).await;
        house.consume(json!({ "customerId": ada, "creditTypeId": class, "amount": 1 })).await;
        let get = |path: &'static str, token: Option<String>| {
            let house = &house;
            async move {
                let mut request = house.client().get(path);
                if let Some(token) = token {
                    request = request.header("authorization", format!("Bearer {token}"));
                }
                let response = request.send().await;
                let status = response.0.status().as_u16();
                let kind = response.0.header("content-type").unwrap_or_default().to_owned();
                (status, kind, response.0.into_body().into_string().await.expect("text"))
            }
        };
        let staff = || Some(house.token(scrip::domain::Role::Staff));
        let (status, kind, text) = get("/reports/liability.csv", staff()).await;
        assert_eq!((status, kind.as_str()), (200, "text/csv; charset=utf-8"));
        let lines = text.lines().collect::<Vec<_>>();
        assert!(lines[0].starts_with("as_of,credit_type_id,credit_type,currency,sold_credits,sold_minor,sold,deferred_credits"), "{text}");
        assert!(lines[1].contains(",'=Class,CHF,5,42500,425.00,4,34000,340.00,1,8500,85.00,0,0,0.00,0,0,0.00"), "{text}");
        let (status, _, text) = get("/reports/consumption.csv?from=2026-01-01T00:00:00Z&to=2026-12-31T00:00:00Z&groupBy=CUSTOMER", staff()).await;
        assert!(status == 200 && text.contains(",Ada,CHF,1,8500,85.00"), "{text}");
        let (status, _, text) = get("/reports/breakage.csv?from=2026-01-01T00:00:00Z&to=2026-12-31T00:00:00Z", staff()).await;
        assert_eq!((status, text.lines().count()), (200, 1));
        for (path, token, wanted) in [
            ("/reports/liability.csv", None, 401),
            ("/reports/liability.csv", Some(house.token(scrip::domain::Role::Customer(ada.parse().expect("an id")))), 403),
            ("/reports/liability.csv?asOf=2100-01-01T00:00:00Z", staff(), 400),
            ("/reports/liability.csv?asOf=yesterday", staff(), 400),
            ("/reports/breakage.csv", staff(), 400),
            ("/reports/consumption.csv?from=2026-01-01T00:00:00Z&to=2026-12-31T00:00:00Z&groupBy=NOTHING", staff(), 400),
            ("/reports/nothing.csv", staff(), 404),
            ("/reports/nothing.csv", None, 401),
            ("/reports/liability.csv?asOf=yesterday", None, 401),
        ] {
            let (status, _, text) = get(path, token).await;
            assert_eq!(status, wanted, "{path}: {text}");
            assert!(text.len() > 20, "{path} says why: {text}");
        }
    }
}
