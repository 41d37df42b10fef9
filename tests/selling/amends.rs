//! What others would have got wrong: late payments, limits that strangers meet, terms that change, refunds that fail.

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use scrip::domain::Role;
use scrip::gateway::REHEARSAL_SECRET;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::harness::{Backend, House, codes};
use crate::on_both;
use crate::selling::shop::{ORDER, flat, id, refusal};

const STRANGER: &str = "mutation($input: OrderPlaceInput!) { orderPlace(input: $input) {
    receipt { status total { minor } lines { credits } } userErrors { code message field } } }";

fn uuid(number: u32) -> String {
    format!("3f1e6a52-7c4b-4d1e-9a3f-{number:012}")
}

impl House {
    async fn stranger_orders(&self, email: &str, price: &str, quantity: i64, number: u32) -> Value {
        let input = json!({ "account": self.account.slug, "buyer": { "name": "Eve", "email": email },
            "lines": [{ "priceId": price, "quantity": quantity }], "idempotencyKey": uuid(number) });
        self.ask_with(None, STRANGER, json!({ "input": input })).await.1["data"]["orderPlace"].clone()
    }

    async fn rehearses(&self) {
        let query = "mutation { accountUpdate(input: { paymentProvider: \"rehearsal\" }) { userErrors { code } } }";
        assert_eq!(self.ask(Role::Owner, query, json!({})).await["data"]["accountUpdate"]["userErrors"], json!([]));
    }

    /// A message of the provider that rehearses.
    async fn hears(&self, reference: &str, status: &str) {
        let body = json!({ "reference": reference, "status": status }).to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(REHEARSAL_SECRET.as_bytes()).expect("any key");
        mac.update(body.as_bytes());
        let signature = HEXLOWER.encode(&mac.finalize().into_bytes());
        let request = self.client().post(format!("/hooks/rehearsal/{}", self.account.slug)).body(body);
        assert_eq!(request.header("rehearsal-signature", signature).send().await.0.status().as_u16(), 204);
    }

    async fn charged(&self, customer: &str, price: &str, method: &str) -> Value {
        let input = json!({ "customerId": customer, "lines": [{ "priceId": price, "quantity": 1 }], "paymentMethod": method, "idempotencyKey": self.key() });
        self.done("orderPlace", &format!("order {{ {ORDER} }}"), input).await["order"].clone()
    }

    /// The newest order of a subscription.
    async fn newest(&self, subscription: &str) -> Value {
        let query = format!(
            "query($id: ID!) {{ subscription(id: $id) {{ status endedAt renewals(first: 1) {{ nodes {{ status order {{ {ORDER} }} }} }} }} }}"
        );
        self.data(&query, json!({ "id": subscription })).await["subscription"].clone()
    }
}

fn monthly(credit_type: &str, slug: &str, tiers: &Value, more: &Value) -> (Value, Value) {
    let mut paid = json!({ "currency": "CHF", "tiers": tiers, "interval": { "count": 1, "unit": "MONTH" }, "creditsPerRenewal": 4 });
    for (key, value) in more.as_object().expect("an object") {
        paid[key] = value.clone();
    }
    (
        json!({ "kind": "CREDIT", "slug": slug, "name": slug, "creditTypeId": credit_type }),
        json!({ "paid": { "subscription": paid } }),
    )
}

on_both! {
    /// A free subscription once more for the same address: the answer is the same, and no period of it gives anything.
    async fn a_second_free_subscription_gives_nothing_ever(house: House) {
        let house = house.sandbox("club", "2026-01-10T12:00:00Z").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let (product, mut price) = monthly(&class, "club", &flat(0), &json!({}));
        price["maxPerCustomer"] = json!(1);
        let (_, price) = house.on_sale(product, price).await;
        let answers = [house.stranger_orders("eve@example.com", &price, 1, 1).await, house.stranger_orders("eve@example.com", &price, 1, 2).await];
        assert_eq!((&answers[0], &answers[0]["receipt"]["status"]), (&answers[1], &json!("PAID")));
        house.advance("2026-04-15T00:00:00Z").await;
        let read = house.data("{ customer(by: { email: \"eve@example.com\" }) { id subscriptions { nodes { status } } } }", json!({})).await["customer"].clone();
        assert_eq!(read["subscriptions"]["nodes"], json!([{ "status": "CANCELLED" }, { "status": "ACTIVE" }]));
        assert_eq!(house.balance(&id(&read)).await["totals"]["issued"], 16, "four periods of the one");
    }

    /// What a stranger orders for somebody takes nothing from them: what gave nothing does not count.
    async fn a_stranger_uses_up_nobody_s_limit(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let product = json!({ "kind": "CREDIT", "slug": "trial", "name": "Trial", "creditTypeId": class });
        let (_, trial) = house.on_sale(product, json!({ "paid": { "oneTime": { "currency": "CHF", "tiers": flat(0) } }, "maxPerCustomer": 1 })).await;
        let ada = house.customer("Ada").await;
        let two = house.stranger_orders("ada@example.com", &trial, 2, 3).await;
        assert_eq!(refusal(&two), ("QUANTITY_OUT_OF_RANGE".to_owned(), "lines.0.quantity".to_owned()));
        house.done("customerArchive", "customer { id }", json!({ "id": ada })).await;
        assert_eq!(house.stranger_orders("ada@example.com", &trial, 1, 4).await["receipt"]["status"], "PAID");
        house.done("customerUnarchive", "customer { id }", json!({ "id": ada })).await;
        assert_eq!(house.balance(&ada).await, json!(null));
        assert_eq!(house.ordered(&ada, &trial, 1).await["fulfilment"][0]["grant"]["amount"], 1);
    }

    /// What was paid otherwise, or given up, before anybody was charged is not charged any more.
    async fn nobody_is_charged_for_what_is_settled(house: House) {
        let house = house.sandbox("settled", "2026-01-10T12:00:00Z").await;
        house.rehearses().await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let pack = house.ten_pack(&class).await;
        let ada = house.customer("Ada").await;
        let (paid, cancelled) = (house.charged(&ada, &pack, "away").await, house.charged(&ada, &pack, "away").await);
        house.pay(&id(&paid)).await;
        house.done("orderCancel", "order { id }", json!({ "orderId": cancelled["id"] })).await;
        house.advance("2026-01-12T00:00:00Z").await;
        for (order, why) in [(&paid, "paid"), (&cancelled, "cancelled")] {
            let payment = house.order(&id(order)).await["payments"][0].clone();
            assert_eq!((&payment["status"], &payment["failure"]), (&json!("FAILED"), &json!(format!("the order was {why} before anybody was charged"))));
        }
        // One that was begun, and is paid although its order was paid otherwise, is not lost: it can be given back.
        let twice = house.charged(&ada, &pack, "ask").await;
        house.pay(&id(&twice)).await;
        house.hears(twice["payments"][0]["providerReference"].as_str().expect("a reference"), "succeeded").await;
        let read = house.order(&id(&twice)).await;
        assert_eq!((read["fulfilment"].as_array().map(Vec::len), read["payments"].as_array().map(Vec::len)), (Some(1), Some(2)));
        let back = house.refund(&id(&twice), json!({ "amount": 10_000, "usedCredits": true, "keepCredits": true })).await;
        assert_eq!((codes(&back), &back["order"]["refunded"]["minor"]), (vec![], &json!(10_000)));
        let events = house.data("{ events(first: 50) { nodes { name } } }", json!({})).await.to_string();
        assert!(events.contains("order.paid_again"), "{events}");
        house.assert_verified().await;
    }

    /// A renewal that was issued ahead, given up and paid after all: what was taken back is there again (S6), what was set
    /// aside as well.
    async fn what_was_taken_back_comes_again_with_a_late_payment(house: House) {
        let house = house.sandbox("late", "2026-01-10T12:00:00Z").await;
        house.rehearses().await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let (product, price) = monthly(&class, "ahead", &flat(4_000), &json!({ "issueBeforePayment": true }));
        let (_, price) = house.on_sale(product, price).await;
        let ada = house.customer("Ada").await;
        let order = house.charged(&ada, &price, "succeed").await;
        let subscription = id(&order["subscription"]);
        house.done("subscriptionUpdate", "subscription { id }", json!({ "subscriptionId": subscription, "paymentMethod": "ask" })).await;
        house.advance("2026-02-10T12:00:00Z").await;
        house.consume(json!({ "customerId": ada, "creditTypeId": class, "amount": 5 })).await;
        assert_eq!(house.balance(&ada).await["available"], 3);
        let booking = |until: &str| json!({ "customerId": ada, "creditTypeId": class, "amount": 1, "expiresAt": until });
        let early = house.ledger("holdPlace", booking("2026-03-01T00:00:00Z")).await["activity"]["hold"]["id"].clone();
        let late = house.ledger("holdPlace", booking("2026-03-01T00:00:00Z")).await["activity"]["hold"]["id"].clone();
        let renewal = house.newest(&subscription).await["renewals"]["nodes"][0]["order"].clone();
        let cancel = "mutation($input: OrderCancelInput!) { orderCancel(input: $input) { userErrors { code message field } } }";
        let own = house.ask(Role::Customer(ada.parse().expect("an id")), cancel, json!({ "input": { "orderId": renewal["id"] } })).await;
        assert_eq!(refusal(&own["data"]["orderCancel"]), ("ORDER_RENEWS".to_owned(), "orderId".to_owned()), "who has used it does not wave it away");
        house.done("subscriptionCancel", "subscription { id }", json!({ "subscriptionId": subscription })).await;
        house.ledger("holdRelease", json!({ "holdId": early })).await;
        assert_eq!(house.balance(&ada).await["available"], 0);
        house.hears(renewal["payments"][0]["providerReference"].as_str().expect("a reference"), "succeeded").await;
        let read = house.newest(&subscription).await;
        let order = &read["renewals"]["nodes"][0]["order"];
        assert_eq!((&read["status"], &order["status"], &house.balance(&ada).await["available"]), (&json!("CANCELLED"), &json!("PAID"), &json!(2)));
        house.ledger("holdRelease", json!({ "holdId": late })).await;
        assert_eq!(house.balance(&ada).await["available"], 3);
        assert_eq!((order["fulfilment"].as_array().map(Vec::len), &order["fulfilment"][0]["grant"]["amount"]), (Some(1), &json!(4)), "not issued anew");
        let refunded = house.refund(&id(order), json!({})).await;
        assert_eq!(refunded["order"]["refunded"]["minor"], 3_000, "one of four was used");
        house.assert_verified().await;
    }

    /// Given up before its first payment, and paid after all: what was paid for, and nothing more.
    async fn a_subscription_that_was_given_up_does_not_go_on(house: House) {
        let house = house.sandbox("revived", "2026-01-10T12:00:00Z").await;
        house.rehearses().await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let (product, price) = monthly(&class, "plan", &flat(4_000), &json!({}));
        let (_, price) = house.on_sale(product, price).await;
        let ada = house.customer("Ada").await;
        let order = house.charged(&ada, &price, "ask").await;
        let subscription = id(&order["subscription"]);
        house.done("subscriptionCancel", "subscription { id }", json!({ "subscriptionId": subscription })).await;
        house.hears(order["payments"][0]["providerReference"].as_str().expect("a reference"), "succeeded").await;
        assert_eq!((&house.newest(&subscription).await["status"], &house.balance(&ada).await["available"]), (&json!("ACTIVE"), &json!(4)));
        house.advance("2026-04-01T00:00:00Z").await;
        let ended = house.newest(&subscription).await;
        assert_eq!((&ended["status"], &ended["endedAt"], &house.balance(&ada).await["totals"]["issued"]), (&json!("CANCELLED"), &json!("2026-02-10T12:00:00Z"), &json!(4)));
    }

    /// Another card: what is being paid is not charged twice, what nobody could use any more is not charged at all.
    async fn another_card_charges_what_is_open_and_of_use(house: House) {
        let house = house.sandbox("card", "2026-03-01T12:00:00Z").await;
        house.rehearses().await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let weekly = json!({ "interval": { "count": 1, "unit": "WEEK" }, "rollover": { "none": true } });
        let (product, price) = monthly(&class, "weekly", &flat(1_000), &weekly);
        let (_, price) = house.on_sale(product, price).await;
        let ada = house.customer("Ada").await;
        let subscription = id(&house.charged(&ada, &price, "succeed").await["subscription"]);
        let method = |method: &str| json!({ "subscriptionId": subscription, "paymentMethod": method });
        house.done("subscriptionUpdate", "subscription { id }", method("fail")).await;
        house.advance("2026-03-16T00:00:00Z").await;
        house.done("subscriptionUpdate", "subscription { id }", method("ask")).await;
        house.done("subscriptionUpdate", "subscription { id }", method("succeed")).await;
        let query = "query($id: ID!) { subscription(id: $id) { status renewals { nodes { status order { status payments { status } } } } } }";
        let read = house.data(query, json!({ "id": subscription })).await["subscription"].clone();
        assert_eq!(read["renewals"]["nodes"][1], json!({ "status": "CANCELLED", "order": { "status": "CANCELLED", "payments": [{ "status": "FAILED" }] } }));
        assert_eq!(read["renewals"]["nodes"][0]["order"], json!({ "status": "AWAITING_PAYMENT", "payments": [{ "status": "FAILED" }, { "status": "REQUIRES_ACTION" }] }));
        assert_eq!(house.balance(&ada).await["available"], 0);
    }

    /// A refund that the provider refuses has not happened: the money is still there to go back, and so are the credits (S7).
    async fn a_refund_that_fails_can_be_made_again(house: House) {
        let house = house.sandbox("refused", "2026-01-10T12:00:00Z").await;
        house.rehearses().await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let pack = house.ten_pack(&class).await;
        let ada = house.customer("Ada").await;
        let order = id(&house.charged(&ada, &pack, "no-refund").await);
        house.refund(&order, json!({})).await;
        let read = house.order(&order).await;
        assert_eq!((&read["status"], &read["refunded"]["minor"], &read["refunds"][0]["status"]), (&json!("PAID"), &json!(0), &json!("FAILED")));
        assert_eq!((&read["payments"][0]["status"], &read["payments"][0]["refunded"]["minor"]), (&json!("SUCCEEDED"), &json!(0)));
        assert_eq!(house.balance(&ada).await["available"], 1);
        let again = house.refund(&order, json!({ "amount": 10_000, "usedCredits": true })).await;
        assert_eq!(codes(&again), Vec::<&str>::new());
        let query = "query($id: ID!) { customer(by: { id: $id }) { activity(last: 10) { nodes { kind amount } } grants(last: 1) { nodes { closed } } } }";
        let read = house.data(query, json!({ "id": ada })).await["customer"].clone();
        let line = |kind: &str, amount: i64| json!({ "kind": kind, "amount": amount });
        let back = [line("VOID", -1), line("REINSTATE", 1)];
        let mut lines = read["activity"]["nodes"].as_array().expect("activity").clone();
        lines.sort_by_key(|line| line["kind"] != "ISSUE");
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert!(lines[1..].iter().all(|line| back.contains(line)), "{lines:?}");
        assert_eq!(read["grants"]["nodes"], json!([{ "closed": false }]));
        // What has ended meanwhile, or was used before, is as it would be without the refund.
        house.consume(json!({ "customerId": ada, "creditTypeId": class, "amount": 1 })).await;
        house.assert_verified().await;
    }

    /// What is ordered keeps its terms: a product's type stays, and its new expiration is for orders to come.
    async fn what_was_ordered_keeps_its_terms(house: House) {
        let (class, other) = (house.credit_type("Class", json!({ "never": true })).await, house.credit_type("Other", json!({ "never": true })).await);
        let product = json!({ "kind": "CREDIT", "slug": "year", "name": "Year", "creditTypeId": class, "expiration": { "after": { "count": 1, "unit": "YEAR" } } });
        let (product, price) = house.on_sale(product, json!({ "paid": { "oneTime": { "currency": "CHF", "tiers": flat(1_000) } } })).await;
        let ada = house.customer("Ada").await;
        let order = id(&house.ordered(&ada, &price, 1).await);
        let month = json!({ "id": product, "expiration": { "after": { "count": 1, "unit": "MONTH" } }, "creditsPerUnit": 2 });
        house.done("productUpdate", "product { id }", month).await;
        let paid = house.pay(&order).await["order"]["fulfilment"][0]["grant"].clone();
        assert_eq!((&paid["expiresAt"], &paid["amount"]), (&json!("2027-03-01T23:00:00Z"), &json!(1)));
        for (credit_type, code) in [(json!(other), "INVALID"), (json!(null), "PRODUCT_INCOMPLETE")] {
            let changed = house.mutate("productUpdate", "product { id }", json!({ "id": product, "creditTypeId": credit_type })).await;
            assert_eq!(refusal(&changed), (code.to_owned(), "creditTypeId".to_owned()));
        }
        house.done("productArchive", "product { id }", json!({ "id": product })).await;
        let cleared = json!({ "id": product, "creditTypeId": null, "creditsPerUnit": null });
        assert_eq!(refusal(&house.mutate("productUpdate", "product { id }", cleared).await).0, "PRODUCT_INCOMPLETE");
    }

    /// Limits are for orders: renewals do not use them up, and a change of price does not evade them.
    async fn limits_count_what_was_ordered(house: House) {
        let house = house.sandbox("limits", "2026-01-10T12:00:00Z").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let (product, mut price) = monthly(&class, "two", &flat(1_000), &json!({}));
        price["maxPerCustomer"] = json!(2);
        let (_, two) = house.on_sale(product, price).await;
        let (product, mut price) = monthly(&class, "gift", &flat(0), &json!({}));
        price["maxPerCustomer"] = json!(1);
        let (_, gift) = house.on_sale(product, price).await;
        let ada = house.customer("Ada").await;
        let subscription = id(&house.bought(&ada, &two, 1).await["subscription"]);
        house.advance("2026-02-15T00:00:00Z").await;
        assert_eq!(codes(&house.place(&ada, &two, 1).await), Vec::<&str>::new(), "one was ordered, and renewed");
        let bob = house.customer("Bob").await;
        let both = id(&house.bought(&bob, &two, 2).await["subscription"]);
        let to = |subscription: &str| json!({ "subscriptionId": subscription, "priceId": gift });
        assert_eq!(refusal(&house.mutate("subscriptionUpdate", "subscription { id }", to(&both)).await), ("QUANTITY_OUT_OF_RANGE".to_owned(), "priceId".to_owned()));
        let trial = house.ordered(&ada, &gift, 1).await;
        assert_eq!(refusal(&house.mutate("subscriptionUpdate", "subscription { id }", to(&subscription)).await), ("LIMIT_PER_CUSTOMER".to_owned(), "priceId".to_owned()));
        assert_eq!(trial["status"], "PAID");
        let cleo = house.customer("Cleo").await;
        let subscription = id(&house.bought(&cleo, &two, 1).await["subscription"]);
        assert_eq!(codes(&house.mutate("subscriptionUpdate", "subscription { id }", to(&subscription)).await), Vec::<&str>::new());
    }

    /// Days begin where they begin, also where one has no midnight (Cairo, 26 April 2024).
    async fn days_of_a_report_begin_where_days_begin(house: House) {
        let house = house.sandbox("cairo", "2024-04-25T12:00:00Z").await;
        house.ask(Role::Owner, "mutation { accountUpdate(input: { timeZone: \"Africa/Cairo\" }) { userErrors { code } } }", json!({})).await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let ada = house.customer("Ada").await;
        house.issue(json!({ "customerId": ada, "creditTypeId": class, "amount": 9 })).await;
        // Half past midnight on the 28th, in Cairo's summer.
        house.advance("2024-04-27T21:30:00Z").await;
        house.consume(json!({ "customerId": ada, "creditTypeId": class, "amount": 1 })).await;
        house.advance("2024-05-02T00:00:00Z").await;
        let query = "{ creditConsumption(from: \"2024-04-26T01:00:00Z\", to: \"2024-05-01T00:00:00Z\", groupBy: DAY) { from sum { credits } } }";
        assert_eq!(house.data(query, json!({})).await["creditConsumption"], json!([{ "from": "2024-04-27T21:00:00Z", "sum": { "credits": 1 } }]));
    }
}
