//! Prices and calendars, through selling: a quote for each quantity, a subscription for each period.

use serde_json::{Value, json};

use crate::conformance::text;
use crate::harness::{House, at, codes};

/// A currency with three decimals: some of the published prices are parts of a cent.
const CURRENCY: &str = "KWD";

async fn done(house: &House, mutation: &str, fields: &str, input: Value) -> Value {
    let payload = house.mutate(mutation, fields, input).await;
    assert_eq!(codes(&payload), Vec::<&str>::new(), "{mutation}: {payload:#}");
    payload
}

/// A decimal number in thousandths.
fn minor(number: &str) -> i64 {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    format!("{whole}{part:0<3}").parse().unwrap_or_else(|_| panic!("{number} has more than three decimals"))
}

async fn on_sale(house: &House, per_unit: i64, paid: Value) -> String {
    let class = house.credit_type("Credit", json!({ "never": true })).await;
    let product = json!({ "kind": "CREDIT", "slug": "credits", "name": "Credits", "creditTypeId": class, "creditsPerUnit": per_unit });
    let product = done(house, "productCreate", "product { id }", product).await["product"]["id"].clone();
    let price = done(house, "priceCreate", "price { id }", json!({ "productId": product, "paid": paid })).await;
    done(house, "productActivate", "product { id }", json!({ "id": product })).await;
    text(&price["price"], "id").to_owned()
}

/// What each quantity costs. Nobody orders none: where the source has a price for 0, it is refused.
pub async fn pricing_case(house: House, slug: &str, case: &Value) {
    let house = house.sandbox(slug, "2026-01-01T00:00:00Z").await;
    let package = &case["package"];
    let size = package["size"].as_i64().unwrap_or(1);
    let tiers = match case["tiers"].as_array() {
        None => json!([{ "from": 1, "unitAmount": minor(text(package, "price")) }]),
        Some(tiers) => {
            let mut from = 1;
            let tiers = tiers.iter().map(|tier| {
                let begin = from;
                from = tier["up_to"].as_i64().map_or(from, |last| last + 1);
                let flat = tier["flat"].as_str().map_or(0, minor);
                json!({ "from": begin, "upTo": tier["up_to"], "unitAmount": minor(text(tier, "unit")), "flatAmount": flat })
            });
            json!(tiers.collect::<Vec<_>>())
        }
    };
    let mode = if case["model"] == "graduated" { "GRADUATED" } else { "VOLUME" };
    let paid = json!({ "oneTime": { "currency": CURRENCY, "tierMode": mode, "tiers": tiers } });
    let price = on_sale(&house, size, paid).await;
    let query = "query($price: ID!, $quantity: Int!) { priceQuote(priceId: $price, quantity: $quantity) { total { minor } credits } }";
    for expected in case["expect"].as_array().expect("what is expected") {
        let wanted = expected["quantity"].as_i64().expect("a quantity");
        // A package is a unit of so many credits: who wants 121 buys 13 packages of 10.
        let quantity = (wanted + size - 1) / size;
        let variables = json!({ "price": price, "quantity": quantity });
        let answer = house.ask(scrip::domain::Role::Staff, query, variables).await;
        if quantity == 0 {
            assert_eq!(answer["errors"][0]["message"], "quantity: Must be 1 or more at this price.", "{}", case["id"]);
            continue;
        }
        let quote = &answer["data"]["priceQuote"];
        assert_eq!(quote["total"]["minor"], json!(minor(text(expected, "total"))), "{}: {expected}", case["id"]);
        assert_eq!(quote["credits"], json!(quantity * size), "{}", case["id"]);
    }
}

/// The interval of a case's period.
fn interval(case: &Value) -> Value {
    let period = case["period"].as_object().expect("a period");
    assert_eq!(period.len(), 1, "{}: a period has one unit", case["id"]);
    let (unit, count) = period.iter().next().expect("one");
    json!({ "count": count, "unit": unit.trim_end_matches('s').to_uppercase() })
}

/// A subscription that begins at an instant; its id.
async fn subscription(house: &House, case: &Value) -> String {
    let zone = case["timezone"].as_str().unwrap_or("UTC");
    let query = "mutation($zone: TimeZone!) { accountUpdate(input: { timeZone: $zone, paymentProvider: \"rehearsal\" }) { userErrors { code } } }";
    let set = house.ask(scrip::domain::Role::Owner, query, json!({ "zone": zone })).await;
    assert_eq!(set["data"]["accountUpdate"]["userErrors"], json!([]), "{set}");
    let tiers = json!([{ "from": 1, "unitAmount": 1 }]);
    let paid = json!({ "subscription": { "currency": CURRENCY, "tiers": tiers, "interval": interval(case), "creditsPerRenewal": 1 } });
    let price = on_sale(house, 1, paid).await;
    let customer = house.customer("Ada").await;
    let input = json!({ "customerId": customer, "lines": [{ "priceId": price, "quantity": 1 }], "paymentMethod": "succeed", "idempotencyKey": "order" });
    let order = done(house, "orderPlace", "order { status subscription { id } }", input).await["order"].clone();
    text(&order["subscription"], "id").to_owned()
}

/// The periods of a subscription that have begun, newest first, and when the next ones will.
async fn periods(house: &House, subscription: &str) -> (Vec<Value>, Vec<Value>) {
    let query = "query($id: ID!) { subscription(id: $id) { renewals(first: 100) { nodes { startsAt endsAt } } upcomingRenewals(first: 10) { startsAt } } }";
    let read = house.data(query, json!({ "id": subscription })).await["subscription"].clone();
    let list = |value: &Value| value.as_array().expect("a list").clone();
    (list(&read["renewals"]["nodes"]), list(&read["upcomingRenewals"]))
}

fn same(found: &Value, wanted: &Value, case: &Value) {
    let instant = |value: &Value| at(value.as_str().unwrap_or_else(|| panic!("{}: {value}", case["id"])));
    assert_eq!(instant(found), instant(wanted), "{}", case["id"]);
}

/// When periods begin and end, and when a lot is good.
pub async fn calendar_case(house: House, slug: &str, case: &Value) {
    match text(case, "compute") {
        "add_period" => {
            let house = house.sandbox(slug, text(case, "start")).await;
            let subscription = subscription(&house, case).await;
            let (begun, upcoming) = periods(&house, &subscription).await;
            same(&begun[0]["endsAt"], &case["expect"], case);
            same(&upcoming[0]["startsAt"], &case["expect"], case);
        }
        "period_containing" => {
            let house = house.sandbox(slug, text(case, "anchor")).await;
            let subscription = subscription(&house, case).await;
            assert_eq!(house.advance(text(case, "at")).await["arrived"], true);
            let (begun, _) = periods(&house, &subscription).await;
            same(&begun[0]["startsAt"], &case["expect"]["from"], case);
            same(&begun[0]["endsAt"], &case["expect"]["to"], case);
        }
        "renewal_sequence" => {
            let house = house.sandbox(slug, text(case, "anchor")).await;
            let subscription = subscription(&house, case).await;
            let wanted = case["expect"].as_array().expect("instants");
            let (_, upcoming) = periods(&house, &subscription).await;
            assert_eq!(upcoming.len(), 10, "{}", case["id"]);
            for (found, wanted) in upcoming.iter().zip(wanted) {
                same(&found["startsAt"], wanted, case);
            }
            assert_eq!(house.advance(wanted.last().and_then(Value::as_str).expect("the last")).await["arrived"], true);
            let (begun, _) = periods(&house, &subscription).await;
            assert_eq!(begun.len(), wanted.len() + 1, "{}", case["id"]);
            for (found, wanted) in begun.iter().rev().skip(1).zip(wanted) {
                same(&found["startsAt"], wanted, case);
            }
        }
        "active_window" => window(house, slug, case).await,
        other => panic!("{} computes {other}, and is neither replayed nor skipped with a reason", case["id"]),
    }
}

/// A lot is good from its beginning to its end, and not once it was voided.
async fn window(house: House, slug: &str, case: &Value) {
    let begin = text(case, "effective_at");
    let voided = case["voided_at"].as_str();
    let first = voided.filter(|voided| at(voided) < at(begin)).unwrap_or(begin);
    let house = house.sandbox(slug, first).await;
    let class = house.credit_type("Credit", json!({ "never": true })).await;
    let customer = house.customer("Ada").await;
    let end = case["expires_at"].as_str();
    let expiration = end.map_or_else(|| json!({ "never": true }), |end| json!({ "at": end }));
    let input = json!({ "customerId": customer, "creditTypeId": class, "amount": 1, "effectiveAt": begin, "expiration": expiration });
    let issued = house.issue(input).await;
    if end.is_some_and(|end| at(end) <= at(begin)) {
        assert_eq!(codes(&issued), ["EXPIRATION_NOT_IN_FUTURE"], "{}: what is never good is not issued", case["id"]);
        return;
    }
    let grant = text(&issued["grant"], "id").to_owned();
    let mut steps = case["expect"]
        .as_array()
        .expect("instants")
        .iter()
        .map(|step| (text(step, "at"), step["active"].as_bool()))
        .collect::<Vec<_>>();
    steps.extend(voided.map(|voided| (voided, None)));
    // What is voided at an instant is so when it is looked at in that instant.
    steps.sort_by_key(|(instant, active)| (at(instant), active.is_some()));
    for (instant, active) in steps {
        assert_eq!(house.advance(instant).await["arrived"], true);
        match active {
            None => drop(house.ledger("grantVoid", json!({ "grantId": grant, "reason": "Withdrawn" })).await),
            Some(active) => {
                let balance = house.balance(&customer).await;
                assert_eq!(balance["available"], json!(i64::from(active)), "{} at {instant}", case["id"]);
            }
        }
    }
    house.assert_verified().await;
}
