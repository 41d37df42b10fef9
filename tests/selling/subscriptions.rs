//! Subscriptions: periods by the calendar, each once; paused, missed, past due, changed, ended.

use futures_util::future::join_all;
use scrip::domain::Role;
use scrip::worker;
use serde_json::{Value, json};

use crate::harness::{Backend, House, codes};
use crate::on_both;
use crate::selling::shop::{ORDER, flat, id, refusal};

const SUBSCRIPTION: &str = "id status nextAt anchorAt endedAt reason cancelAtPeriodEnd
    upcomingRenewals(first: 2) { number startsAt total { minor } credits }
    renewals(last: 50) { nodes { number status startsAt order { id status } } }";

impl House {
    /// A subscription product; the price's id.
    async fn monthly(&self, slug: &str, credit_type: &str, more: Value) -> String {
        let mut paid = json!({ "currency": "USD", "tiers": flat(9_900), "interval": { "count": 1, "unit": "MONTH" }, "creditsPerRenewal": 4 });
        for (key, value) in more.as_object().expect("an object") {
            paid[key] = value.clone();
        }
        let product = json!({ "kind": "CREDIT", "slug": slug, "name": slug, "creditTypeId": credit_type });
        self.on_sale(product, json!({ "paid": { "subscription": paid } })).await.1
    }

    async fn subscription(&self, subscription: &str) -> Value {
        let query = format!("query($id: ID!) {{ subscription(id: $id) {{ {SUBSCRIPTION} }} }}");
        self.data(&query, json!({ "id": subscription })).await["subscription"].clone()
    }

    /// Each period's number, status and beginning, oldest first.
    async fn periods(&self, subscription: &str) -> Vec<(i64, String, String)> {
        let nodes = self.subscription(subscription).await["renewals"]["nodes"].as_array().expect("nodes").clone();
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        nodes
            .iter()
            .rev()
            .map(|node| (node["number"].as_i64().expect("a number"), text(&node["status"]), text(&node["startsAt"])))
            .collect()
    }

    /// Pays the order of a subscription's newest period.
    async fn pay_newest(&self, subscription: &str) -> Value {
        let order = self.subscription(subscription).await["renewals"]["nodes"][0]["order"]["id"]
            .as_str()
            .expect("an order")
            .to_owned();
        self.pay(&order).await
    }

    async fn owner(&self, input: &str) {
        let set = self
            .ask(
                Role::Owner,
                &format!("mutation {{ accountUpdate(input: {{ {input} }}) {{ userErrors {{ code }} }} }}"),
                json!({}),
            )
            .await;
        assert_eq!(set["data"]["accountUpdate"]["userErrors"], json!([]), "{set:#}");
    }
}

fn of(subscription: &str) -> Value {
    json!({ "subscriptionId": subscription })
}

/// A sandbox, a customer, and a subscription that was ordered and paid.
async fn begun(house: House, slug: &str, clock: &str, more: Value) -> (House, String, String) {
    let house = house.sandbox(slug, clock).await;
    let class = house.credit_type("Class", json!({ "never": true })).await;
    let price = house.monthly("monthly", &class, more).await;
    let ada = house.customer("Ada").await;
    let order = house.bought(&ada, &price, 1).await;
    let subscription = id(&order["subscription"]);
    (house, ada, subscription)
}

on_both! {
    /// Begun on 31 January in New York: the last day of each month, at the same time of day through both changes of the
    /// clocks; paused over two periods; one month paid late.
    async fn a_year_of_a_monthly_subscription(house: House) {
        let house = house.sandbox("year", "2026-01-31T15:00:00Z").await;
        house.owner("timeZone: \"America/New_York\", renewalDueDays: 7, renewalGraceDays: 20").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let price = house.monthly("monthly", &class, json!({ "rollover": { "none": true } })).await;
        let ada = house.customer("Ada").await;
        let order = house.ordered(&ada, &price, 1).await;
        let subscription = id(&order["subscription"]);
        assert_eq!(house.subscription(&subscription).await["status"], "PENDING");
        let paid = house.pay(&id(&order)).await["order"].clone();
        assert_eq!(paid["fulfilment"][0]["grant"]["expiresAt"], "2026-02-28T15:00:00Z");
        assert_eq!(house.subscription(&subscription).await["upcomingRenewals"][1], json!({ "number": 2, "startsAt": "2026-03-31T14:00:00Z", "total": { "minor": 9_900 }, "credits": 4 }));
        let pay_at = |at: &'static str| {
            let (house, subscription) = (&house, &subscription);
            async move {
                house.advance(at).await;
                let paid = house.pay_newest(subscription).await;
                assert_eq!(codes(&paid), Vec::<&str>::new(), "{at}");
                paid["order"]["fulfilment"][0]["grant"].clone()
            }
        };
        let february = pay_at("2026-03-01T00:00:00Z").await;
        assert_eq!((&february["effectiveAt"], &february["expiresAt"], &february["source"]), (&json!("2026-02-28T15:00:00Z"), &json!("2026-03-31T14:00:00Z"), &json!("RENEWAL")));
        // March is missed: due on the 31st, past due on 7 April, paid on the 20th, six days before it would have ended.
        house.advance("2026-04-08T00:00:00Z").await;
        assert_eq!(house.subscription(&subscription).await["status"], "PAST_DUE");
        assert_eq!(house.balance(&ada).await["available"], 0);
        pay_at("2026-04-20T00:00:00Z").await;
        assert_eq!((&house.subscription(&subscription).await["status"], &house.balance(&ada).await["available"]), (&json!("ACTIVE"), &json!(4)));
        pay_at("2026-05-01T00:00:00Z").await;
        house.done("subscriptionPause", "subscription { status }", of(&subscription)).await;
        house.advance("2026-07-15T00:00:00Z").await;
        assert_eq!(house.balance(&ada).await["available"], 0);
        house.done("subscriptionResume", "subscription { status }", of(&subscription)).await;
        house.pay_newest(&subscription).await;
        for at in ["2026-08-16T00:00:00Z", "2026-09-16T00:00:00Z", "2026-10-16T00:00:00Z", "2026-11-16T00:00:00Z", "2026-12-16T00:00:00Z"] {
            pay_at(at).await;
        }
        let wanted = [
            (0, "PAID", "2026-01-31T15:00:00Z"), (1, "PAID", "2026-02-28T15:00:00Z"), (2, "PAID", "2026-03-31T14:00:00Z"),
            (3, "PAID", "2026-04-30T14:00:00Z"), (4, "SKIPPED", "2026-05-31T14:00:00Z"), (5, "SKIPPED", "2026-06-30T14:00:00Z"),
            // Resumed later than what was paid: from there on (selling.md, S13).
            (6, "PAID", "2026-07-15T00:00:00Z"), (7, "PAID", "2026-08-15T00:00:00Z"), (8, "PAID", "2026-09-15T00:00:00Z"),
            (9, "PAID", "2026-10-15T00:00:00Z"), (10, "PAID", "2026-11-15T01:00:00Z"), (11, "PAID", "2026-12-15T01:00:00Z"),
        ];
        let wanted = wanted.map(|(number, status, at)| (number, status.to_owned(), at.to_owned()));
        assert_eq!(house.periods(&subscription).await, wanted);
        house.done("subscriptionUpdate", "subscription { id }", json!({ "subscriptionId": subscription, "cancelAtPeriodEnd": true })).await;
        house.advance("2027-03-01T00:00:00Z").await;
        let ended = house.subscription(&subscription).await;
        assert_eq!((&ended["status"], &ended["endedAt"], &ended["nextAt"], &ended["upcomingRenewals"]), (&json!("CANCELLED"), &json!("2027-01-15T01:00:00Z"), &json!(null), &json!([])));
        let balance = house.balance(&ada).await;
        assert_eq!((&balance["available"], &balance["totals"]["issued"], &balance["totals"]["expired"]), (&json!(0), &json!(40), &json!(40)));
        house.assert_verified().await;
    }

    /// Nobody pays: past due, then cancelled, with what is unpaid of it.
    async fn what_is_not_paid_is_cancelled_after_the_grace(house: House) {
        let (house, ada, subscription) = begun(house, "unpaid", "2026-01-10T12:00:00Z", json!({})).await;
        house.owner("renewalDueDays: 3, renewalGraceDays: 5").await;
        house.advance("2026-02-13T11:59:59Z").await;
        assert_eq!(house.periods(&subscription).await[1].1, "DUE");
        let status = "query($id: ID!, $type: ID!) { customer(by: { id: $id }) { creditStatus(creditTypeId: $type, amount: 9) { canConsume reasons { code amount } } } }";
        let class = house.data("{ creditTypes { nodes { id } } }", json!({})).await["creditTypes"]["nodes"][0]["id"].clone();
        let why = house.data(status, json!({ "id": ada, "type": class })).await["customer"]["creditStatus"]["reasons"].clone();
        assert!(why.as_array().expect("reasons").contains(&json!({ "code": "ORDER_AWAITING_PAYMENT", "amount": 4 })), "{why}");
        house.advance("2026-02-13T12:00:00Z").await;
        assert_eq!(house.periods(&subscription).await[1].1, "PAST_DUE");
        let why = house.data(status, json!({ "id": ada, "type": class })).await["customer"]["creditStatus"]["reasons"].clone();
        assert!(why.as_array().expect("reasons").contains(&json!({ "code": "RENEWAL_PAST_DUE", "amount": 4 })), "{why}");
        let paused = house.mutate("subscriptionPause", "subscription { id }", of(&subscription)).await;
        assert_eq!(refusal(&paused), ("SUBSCRIPTION_STATUS".to_owned(), "subscriptionId".to_owned()));
        house.advance("2026-03-01T00:00:00Z").await;
        let ended = house.subscription(&subscription).await;
        assert_eq!((&ended["status"], &ended["endedAt"], &ended["reason"]), (&json!("CANCELLED"), &json!("2026-02-18T12:00:00Z"), &json!("A renewal was not paid")));
        assert_eq!(ended["renewals"]["nodes"][0]["order"]["status"], "CANCELLED");
        assert_eq!(house.balance(&ada).await["available"], 4, "what was paid stays");
        let events = house.data("{ events(first: 100) { nodes { name } } }", json!({})).await["events"]["nodes"].to_string();
        for name in ["subscription.started", "subscription.renewal_failed", "subscription.cancelled", "order.cancelled"] {
            assert!(events.contains(name), "{name}: {events}");
        }
        assert_eq!(house.data("{ jobs { nodes { kind } } }", json!({})).await["jobs"]["nodes"], json!([]), "nothing is left to be done");
        house.assert_verified().await;
    }

    /// At most so many stay when the next ones come: those that would be used last.
    async fn what_is_unused_rolls_over_as_the_price_says(house: House) {
        let (house, ada, subscription) = begun(house, "rollover", "2026-01-10T12:00:00Z", json!({ "rollover": { "upTo": 1 } })).await;
        let class = house.data("{ creditTypes { nodes { id } } }", json!({})).await["creditTypes"]["nodes"][0]["id"].clone();
        house.issue(json!({ "customerId": ada, "creditTypeId": class, "amount": 10, "priority": 90 })).await;
        house.advance("2026-02-10T12:00:00Z").await;
        assert_eq!(house.balance(&ada).await["available"], 14, "nothing goes before the new ones are paid for");
        house.pay_newest(&subscription).await;
        assert_eq!(house.balance(&ada).await["available"], 15, "3 of 4 went, 4 came, and what is not the subscription's stayed");
        let lines = house.history(&ada).await.into_iter().rev().take(2).collect::<Vec<_>>();
        assert_eq!(lines.iter().map(|line| (line.0.as_str(), line.1)).collect::<Vec<_>>(), [("ISSUE", 4), ("EXPIRE", -3)]);
        house.consume(json!({ "customerId": ada, "creditTypeId": class, "amount": 5 })).await;
        house.advance("2026-03-10T12:00:00Z").await;
        house.pay_newest(&subscription).await;
        assert_eq!(house.balance(&ada).await["available"], 14, "there was nothing left to go");
        house.assert_verified().await;
    }

    /// Monthly credits on a yearly price: all of them with the payment, each from its month on.
    async fn credits_come_more_often_than_it_is_paid(house: House) {
        let more = json!({ "interval": { "count": 1, "unit": "YEAR" }, "grantEvery": { "count": 1, "unit": "MONTH" }, "rollover": { "none": true }, "tiers": flat(100_000), "creditsPerRenewal": 2 });
        let (house, ada, subscription) = begun(house, "yearly", "2024-01-31T11:00:00Z", more).await;
        let order = house.subscription(&subscription).await["renewals"]["nodes"][0]["order"]["id"].as_str().expect("an order").to_owned();
        let given = house.order(&order).await["fulfilment"].as_array().expect("parts").clone();
        assert_eq!(given.len(), 12);
        let begins = given.iter().map(|part| part["grant"]["effectiveAt"].as_str().expect("an instant")[..10].to_owned()).collect::<Vec<_>>();
        assert_eq!(begins[..4], ["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"]);
        assert_eq!(given.iter().map(|part| part["grant"]["cost"]["minor"].as_i64().expect("a cost")).sum::<i64>(), 100_000);
        let balance = house.balance(&ada).await;
        assert_eq!((&balance["available"], &balance["notYetEffective"]), (&json!(2), &json!(22)));
        house.advance("2024-03-15T00:00:00Z").await;
        let balance = house.balance(&ada).await;
        assert_eq!((&balance["available"], &balance["notYetEffective"], &balance["totals"]["expired"]), (&json!(2), &json!(20), &json!(2)));
        let refunded = house.refund(&order, json!({})).await["order"].clone();
        assert_eq!(refunded["refunded"]["minor"], 100_000 - 100_000 / 12, "all but what ended");
        house.assert_verified().await;
    }

    /// A renewal that is issued before it is paid: given once; given up, what is free of it is taken back.
    async fn credits_may_come_before_the_payment(house: House) {
        let (house, ada, subscription) = begun(house, "ahead", "2026-01-10T12:00:00Z", json!({ "issueBeforePayment": true })).await;
        house.advance("2026-02-10T12:00:00Z").await;
        assert_eq!(house.balance(&ada).await["available"], 8);
        let paid = house.pay_newest(&subscription).await["order"].clone();
        assert_eq!((paid["fulfilment"].as_array().map(Vec::len), &house.balance(&ada).await["available"]), (Some(1), &json!(8)));
        house.advance("2026-03-10T12:00:00Z").await;
        assert_eq!(house.balance(&ada).await["available"], 12);
        house.done("subscriptionCancel", "subscription { status }", json!({ "subscriptionId": subscription, "reason": "Moved away" })).await;
        assert_eq!(house.balance(&ada).await["available"], 8);
        house.assert_verified().await;
    }

    /// An unpaid renewal that is given up gives nothing back later: neither what was set aside nor what was used (S9).
    async fn what_an_unpaid_renewal_gave_does_not_come_back(house: House) {
        let (house, ada, subscription) = begun(house, "unpaid", "2026-01-10T12:00:00Z", json!({ "issueBeforePayment": true })).await;
        house.advance("2026-02-10T12:00:00Z").await;
        assert_eq!(house.balance(&ada).await["available"], 8, "four are paid, four are not");
        let class = house.data("{ creditTypes { nodes { id } } }", json!({})).await["creditTypes"]["nodes"][0]["id"].clone();
        let wallet = |amount: i64| json!({ "customerId": ada, "creditTypeId": class, "amount": amount });
        let mut booking = wallet(6);
        booking["expiresAt"] = json!("2026-02-20T00:00:00Z");
        let released = house.ledger("holdPlace", booking.clone()).await["activity"]["hold"]["id"].clone();
        booking["amount"] = json!(1);
        house.ledger("holdPlace", booking).await;
        let used = house.consume(wallet(1)).await["activity"]["id"].clone();
        house.done("subscriptionCancel", "subscription { status }", json!({ "subscriptionId": subscription, "reason": "Moved away" })).await;
        assert_eq!(house.balance(&ada).await["available"], 0);
        house.ledger("activityReverse", json!({ "activityId": used, "reason": "Called off" })).await;
        assert_eq!(house.balance(&ada).await["available"], 0, "the one that was used had not been paid");
        house.ledger("holdRelease", json!({ "holdId": released })).await;
        assert_eq!(house.balance(&ada).await["available"], 4, "of six the four that were paid");
        house.advance("2026-02-21T00:00:00Z").await;
        assert_eq!(house.balance(&ada).await["available"], 4, "what lapsed had not been paid");
        house.assert_verified().await;
    }

    /// Renewals are charged to the stored method; one that fails is past due at once, and another method mends it.
    async fn renewals_are_charged(house: House) {
        let house = house.sandbox("charged", "2026-01-10T12:00:00Z").await;
        house.owner("paymentProvider: \"rehearsal\"").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let price = house.monthly("monthly", &class, json!({})).await;
        let ada = house.customer("Ada").await;
        assert_eq!(refusal(&house.place(&ada, &price, 1).await), ("PAYMENT_METHOD_MISSING".to_owned(), "paymentMethod".to_owned()));
        let input = json!({ "customerId": ada, "lines": [{ "priceId": price, "quantity": 2 }], "paymentMethod": "succeed", "idempotencyKey": "s" });
        let order = house.done("orderPlace", &format!("order {{ {ORDER} }}"), input).await["order"].clone();
        assert_eq!((&order["status"], &order["subscription"]["status"]), (&json!("PAID"), &json!("ACTIVE")));
        let subscription = id(&order["subscription"]);
        house.advance("2026-03-20T00:00:00Z").await;
        assert_eq!(house.periods(&subscription).await.iter().map(|period| period.1.as_str()).collect::<Vec<_>>(), ["PAID"; 3]);
        assert_eq!(house.balance(&ada).await["available"], 24);
        let method = |method: &str| json!({ "subscriptionId": subscription, "paymentMethod": method });
        house.done("subscriptionUpdate", "subscription { id }", method("fail")).await;
        house.advance("2026-04-11T00:00:00Z").await;
        assert_eq!((&house.subscription(&subscription).await["status"], &house.balance(&ada).await["available"]), (&json!("PAST_DUE"), &json!(24)));
        house.done("subscriptionUpdate", "subscription { id }", method("succeed")).await;
        assert_eq!((&house.subscription(&subscription).await["status"], &house.balance(&ada).await["available"]), (&json!("ACTIVE"), &json!(32)));
        house.assert_verified().await;
    }

    /// Another price from the next period on; another rhythm is counted from there.
    async fn a_changed_price_counts_from_the_next_period(house: House) {
        let (house, ada, subscription) = begun(house, "change", "2026-01-31T11:00:00Z", json!({})).await;
        let class = house.data("{ creditTypes { nodes { id } } }", json!({})).await["creditTypes"]["nodes"][0]["id"].as_str().expect("an id").to_owned();
        let weekly = house.monthly("weekly", &class, json!({ "interval": { "count": 1, "unit": "WEEK" }, "creditsPerRenewal": 1, "tiers": flat(3_000) })).await;
        let francs = house.monthly("francs", &class, json!({ "currency": "CHF" })).await;
        let once = house.ten_pack(&class).await;
        let to = |price: Value| json!({ "subscriptionId": subscription, "priceId": price });
        for (price, code) in [(json!(francs), "INVALID"), (json!(once), "INVALID"), (json!("prc_x"), "NOT_FOUND")] {
            let refused = house.mutate("subscriptionUpdate", "subscription { id }", to(price)).await;
            assert_eq!(refusal(&refused), (code.to_owned(), "priceId".to_owned()));
        }
        house.done("subscriptionUpdate", "subscription { nextPrice { id } }", to(json!(weekly))).await;
        let upcoming = house.subscription(&subscription).await["upcomingRenewals"].clone();
        assert_eq!(upcoming, json!([
            { "number": 1, "startsAt": "2026-02-28T11:00:00Z", "total": { "minor": 3_000 }, "credits": 1 },
            { "number": 2, "startsAt": "2026-03-07T11:00:00Z", "total": { "minor": 3_000 }, "credits": 1 },
        ]));
        house.advance("2026-03-10T00:00:00Z").await;
        let begins = house.periods(&subscription).await.into_iter().map(|period| period.2).collect::<Vec<_>>();
        assert_eq!(begins, ["2026-01-31T11:00:00Z", "2026-02-28T11:00:00Z", "2026-03-07T11:00:00Z"]);
        house.pay_newest(&subscription).await;
        assert_eq!(house.balance(&ada).await["available"], 5);
        let kept = house.done("subscriptionUpdate", "subscription { nextPrice { id } price { id } }", to(json!(null))).await;
        assert_eq!(kept["subscription"], json!({ "nextPrice": null, "price": { "id": weekly } }));
    }

    /// Free of charge: begun and renewed without anybody paying, and no more than one customer may have.
    async fn what_costs_nothing_renews_by_itself(house: House) {
        let house = house.sandbox("free", "2026-01-10T12:00:00Z").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let product = json!({ "kind": "CREDIT", "slug": "club", "name": "Club", "creditTypeId": class });
        let paid = json!({ "subscription": { "currency": "CHF", "tiers": flat(0), "interval": { "count": 2, "unit": "WEEK" }, "creditsPerRenewal": 1, "rollover": { "none": true } } });
        let (_, price) = house.on_sale(product, json!({ "paid": paid, "maxPerCustomer": 1 })).await;
        let ada = house.customer("Ada").await;
        let order = house.ordered(&ada, &price, 1).await;
        assert_eq!((&order["status"], &order["subscription"]["status"], &order["renewalNumber"]), (&json!("PAID"), &json!("ACTIVE"), &json!(0)));
        assert_eq!(order["fulfilment"][0]["grant"]["expiresAt"], "2026-01-24T12:00:00Z");
        house.advance("2026-02-22T00:00:00Z").await;
        let subscription = id(&order["subscription"]);
        assert_eq!(house.periods(&subscription).await.iter().map(|period| period.1.as_str()).collect::<Vec<_>>(), ["PAID"; 4]);
        let balance = house.balance(&ada).await;
        assert_eq!((&balance["available"], &balance["totals"]["issued"]), (&json!(1), &json!(4)));
        assert_eq!(refusal(&house.place(&ada, &price, 1).await).0, "LIMIT_PER_CUSTOMER");
        house.assert_verified().await;
    }

    /// A customer's own: paused, resumed and ended by itself, and seen by nobody else.
    async fn a_subscription_is_its_customer_s_own(house: House) {
        let (house, ada, subscription) = begun(house, "own", "2026-01-10T12:00:00Z", json!({})).await;
        let bob = house.customer("Bob").await;
        let role = |customer: &str| Role::Customer(customer.parse().expect("an id"));
        let pause = "mutation($input: SubscriptionPauseInput!) { subscriptionPause(input: $input) { subscription { status upcomingRenewals { number } } userErrors { code message field } } }";
        let other = house.ask(role(&bob), pause, json!({ "input": of(&subscription) })).await;
        assert_eq!(refusal(&other["data"]["subscriptionPause"]), ("NOT_FOUND".to_owned(), "subscriptionId".to_owned()));
        let own = house.ask(role(&ada), pause, json!({ "input": of(&subscription) })).await;
        assert_eq!(own["data"]["subscriptionPause"]["subscription"], json!({ "status": "PAUSED", "upcomingRenewals": [] }));
        let seen = "{ viewer { ... on Customer { subscriptions { nodes { id status } } } } }";
        assert_eq!(house.ask(role(&bob), seen, json!({})).await["data"]["viewer"]["subscriptions"]["nodes"], json!([]));
        assert_eq!(house.ask(role(&ada), seen, json!({})).await["data"]["viewer"]["subscriptions"]["nodes"], json!([{ "id": subscription, "status": "PAUSED" }]));
        let query = "query($id: ID!) { subscription(id: $id) { id } node(id: $id) { id } }";
        assert_eq!(house.ask(role(&bob), query, json!({ "id": subscription })).await["data"], json!({ "subscription": null, "node": null }));
    }

    /// Three servers on one live account: what is due is done once, and a server that was away catches up one by one.
    async fn the_same_period_is_renewed_once(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let (all, none) = (house.monthly("all", &class, json!({})).await, house.monthly("none", &class, json!({ "rollover": { "none": true } })).await);
        let mut subscriptions = Vec::new();
        for number in 0..6 {
            let customer = house.customer(&format!("Customer {number}")).await;
            let order = house.bought(&customer, if number % 2 == 0 { &all } else { &none }, 1).await;
            subscriptions.push(id(&order["subscription"]));
        }
        house.set_clock("2026-04-15T09:00:00Z");
        let (second, third) = (house.second_server().await, house.second_server().await);
        join_all([&house.app, &second, &third].map(|app| async move {
            while worker::round(app).await.expect("a round") > 0 {}
        })).await;
        // Some were in another's hands: their leases are over by now.
        while worker::round(&house.app).await.expect("a round") > 0 {}
        for (number, subscription) in subscriptions.iter().enumerate() {
            let statuses = house.periods(subscription).await.into_iter().map(|period| (period.0, period.1)).collect::<Vec<_>>();
            assert_eq!(statuses, [(0, "PAID".to_owned()), (1, "DUE".to_owned())], "{number}");
        }
        house.set_clock("2026-04-22T09:00:00Z");
        while worker::round(&house.app).await.expect("a round") > 0 {}
        assert_eq!(house.periods(&subscriptions[0]).await[1].1, "PAST_DUE");
        second.close().await;
        third.close().await;
        house.assert_verified().await;
    }

    /// A server that was away for months: one renewal per period that is over, and none for what nobody could have used.
    async fn missed_periods_are_caught_up_one_by_one(house: House) {
        house.owner("renewalDueDays: 366").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let (all, none) = (house.monthly("all", &class, json!({})).await, house.monthly("none", &class, json!({ "rollover": { "none": true } })).await);
        let (ada, bob) = (house.customer("Ada").await, house.customer("Bob").await);
        let first = id(&house.bought(&ada, &all, 1).await["subscription"]);
        let second = id(&house.bought(&bob, &none, 1).await["subscription"]);
        house.set_clock("2026-06-15T09:00:00Z");
        while worker::round(&house.app).await.expect("a round") > 0 {}
        let statuses = |periods: Vec<(i64, String, String)>| periods.into_iter().map(|period| period.1).collect::<Vec<_>>();
        assert_eq!(statuses(house.periods(&first).await), ["PAID", "DUE", "DUE", "DUE"]);
        assert_eq!(statuses(house.periods(&second).await), ["PAID", "SKIPPED", "SKIPPED", "DUE"]);
        // Asked by the customer before any worker came, the answer is the same.
        house.set_clock("2026-07-15T09:00:00Z");
        house.done("subscriptionPause", "subscription { status }", of(&first)).await;
        assert_eq!(statuses(house.periods(&first).await), ["PAID", "DUE", "DUE", "DUE", "DUE"]);
        assert_eq!(house.data("{ orders(status: AWAITING_PAYMENT) { nodes { number } } }", json!({})).await["orders"]["nodes"].as_array().map(Vec::len), Some(5));
    }
}
