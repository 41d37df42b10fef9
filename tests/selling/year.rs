//! A year of five plans, worked by hand: one that begins on 31 December, with a 29 February in it. Everybody uses three
//! credits in each period, five days after it began.

use serde_json::{Value, json};

use crate::harness::{Backend, House, codes};
use crate::on_both;
use crate::selling::shop::id;

/// The first instants of the periods, by the calendar of Zurich, each counted from 31 December at ten in the morning.
const PERIODS: [&str; 12] = [
    "2027-12-31T09:00:00Z",
    "2028-01-31T09:00:00Z",
    "2028-02-29T09:00:00Z",
    "2028-03-31T08:00:00Z",
    "2028-04-30T08:00:00Z",
    "2028-05-31T08:00:00Z",
    "2028-06-30T08:00:00Z",
    "2028-07-31T08:00:00Z",
    "2028-08-31T08:00:00Z",
    "2028-09-30T08:00:00Z",
    "2028-10-31T09:00:00Z",
    "2028-11-30T09:00:00Z",
];

/// What each has just after a period began: ten that end with it; ten that stay; ten of which two stay; four each month of
/// a year that is paid at once, which end with their month; five for nothing that stay.
const WANTED: [[i64; 5]; 12] = [
    [10, 10, 10, 4, 5],
    [10, 17, 12, 4, 7],
    [10, 24, 12, 4, 9],
    [10, 31, 12, 4, 11],
    [10, 38, 12, 4, 13],
    [10, 45, 12, 4, 15],
    [10, 52, 12, 4, 17],
    [10, 59, 12, 4, 19],
    [10, 66, 12, 4, 21],
    [10, 73, 12, 4, 23],
    [10, 80, 12, 4, 25],
    [10, 87, 12, 4, 27],
];

on_both! {
    async fn five_plans_for_a_year(house: House) {
        let house = house.sandbox("a-year", PERIODS[0]).await;
        house.by_owner("accountUpdate", "account { id }", json!({ "paymentProvider": "rehearsal" })).await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let month = json!({ "count": 1, "unit": "MONTH" });
        let plan = |minor: i64, credits: i64, interval: &Value, rollover: Value| {
            json!({ "currency": "CHF", "tiers": [{ "from": 1, "unitAmount": minor }], "interval": interval, "creditsPerRenewal": credits, "rollover": rollover })
        };
        let mut yearly = plan(60_000, 4, &json!({ "count": 1, "unit": "YEAR" }), json!({ "none": true }));
        yearly["grantEvery"] = month.clone();
        let plans = [
            plan(9_000, 10, &month, json!({ "none": true })),
            plan(12_000, 10, &month, json!({ "all": true })),
            plan(10_000, 10, &month, json!({ "upTo": 2 })),
            yearly,
            plan(0, 5, &month, json!({ "all": true })),
        ];
        let mut people = Vec::new();
        for (number, plan) in plans.into_iter().enumerate() {
            let product = json!({ "kind": "CREDIT", "slug": format!("plan-{number}"), "name": "Plan", "creditTypeId": class });
            let mut price = json!({ "paid": { "subscription": plan } });
            if number == 4 {
                price["maxPerCustomer"] = json!(1);
            }
            let price = house.on_sale(product, price).await.1;
            let customer = house.customer(&format!("Member {number}")).await;
            let input = json!({ "customerId": customer, "lines": [{ "priceId": price, "quantity": 1 }], "paymentMethod": "succeed", "idempotencyKey": house.key() });
            let order = house.done("orderPlace", "order { status subscription { id } }", input).await["order"].clone();
            assert_eq!(order["status"], "PAID");
            people.push((customer, id(&order["subscription"])));
        }
        for (at, (begins, wanted)) in PERIODS.iter().zip(WANTED).enumerate() {
            if at > 0 {
                while house.advance(begins).await["arrived"] != true {}
            }
            let mut has = [0; 5];
            for (number, (customer, _)) in people.iter().enumerate() {
                has[number] = house.balance(customer).await["available"].as_i64().expect("credits");
            }
            assert_eq!(has, wanted, "at {begins}");
            let fifth = crate::harness::at(begins) + chrono::TimeDelta::days(5);
            while house.advance(&fifth.to_rfc3339()).await["arrived"] != true {}
            for (customer, _) in &people {
                let used = house.consume(json!({ "customerId": customer, "creditTypeId": class, "amount": 3 })).await;
                assert_eq!(codes(&used), Vec::<&str>::new());
            }
        }
        // What each has paid: twelve months, or the year.
        for ((_, subscription), (periods, minor)) in people.iter().zip([(12, 9_000), (12, 12_000), (12, 10_000), (1, 60_000), (12, 0)]) {
            let query = "query($id: ID!) { subscription(id: $id) { renewals(first: 100) { nodes { order { total { minor } status } } } } }";
            let paid = house.data(query, json!({ "id": subscription })).await["subscription"]["renewals"]["nodes"].clone();
            let wanted = json!({ "order": { "total": { "minor": minor }, "status": "PAID" } });
            assert_eq!(paid, Value::Array(vec![wanted; periods]));
        }
        // 12 x 3 used by each; the first lets 7 end eleven times, the third 5 and then 7 ten times, the fourth 1 eleven times.
        let query = "{ creditLiability { earned { credits } breakage { credits } deferred { credits } sold { credits } } }";
        let books = house.data(query, json!({})).await["creditLiability"].clone();
        let sum = |pool: &str| books.as_array().expect("lines").iter().map(|line| line[pool]["credits"].as_i64().expect("credits")).sum::<i64>();
        assert_eq!((sum("earned"), sum("breakage")), (5 * 36, 11 * 7 + 5 + 10 * 7 + 11));
        assert_eq!(sum("sold"), 120 + 120 + 120 + 48 + 60);
        house.assert_verified().await;
    }
}
