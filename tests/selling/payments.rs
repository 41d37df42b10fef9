//! Payment providers: what they say counts once, however often, however late.

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use scrip::domain::Role;
use scrip::gateway::REHEARSAL_SECRET;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::harness::{Backend, House, codes};
use crate::on_both;
use crate::selling::shop::{ORDER, id, refusal};

/// A sandbox that is settled by the provider that rehearses.
async fn rehearsing(house: House, slug: &str) -> House {
    let house = house.sandbox(slug, "2026-03-01T09:00:00Z").await;
    let query = "mutation { accountUpdate(input: { paymentProvider: \"rehearsal\" }) { account { paymentProvider } userErrors { code } } }";
    let set = house.ask(Role::Owner, query, json!({})).await;
    assert_eq!(set["data"]["accountUpdate"]["account"]["paymentProvider"], "rehearsal", "{set:#}");
    house
}

async fn order_with(house: &House, customer: &str, price: &str, method: &str) -> Value {
    let input = json!({ "customerId": customer, "lines": [{ "priceId": price, "quantity": 1 }], "paymentMethod": method, "idempotencyKey": house.key() });
    house.done("orderPlace", &format!("order {{ {ORDER} }}"), input).await["order"].clone()
}

/// A message at the inbound door; the status of the answer.
async fn message(house: &House, body: &str, secret: &str) -> u16 {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key");
    mac.update(body.as_bytes());
    let signature = HEXLOWER.encode(&mac.finalize().into_bytes());
    let request = house.client().post(format!("/hooks/rehearsal/{}", house.account.slug)).body(body.to_owned());
    request.header("rehearsal-signature", signature).send().await.0.status().as_u16()
}

on_both! {
    /// Told to succeed, to fail, to answer late: what is paid is given, what is not waits.
    async fn what_the_provider_says_is_followed(house: House) {
        let house = rehearsing(house, "pay-one").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let pack = house.ten_pack(&class).await;
        let ada = house.customer("Ada").await;
        let paid = order_with(&house, &ada, &pack, "succeed").await;
        assert_eq!((&paid["status"], &paid["payments"][0]["status"], &paid["payments"][0]["provider"]), (&json!("PAID"), &json!("SUCCEEDED"), &json!("rehearsal")));
        assert_eq!(house.balance(&ada).await["available"], 1);
        let failed = order_with(&house, &ada, &pack, "fail").await;
        assert_eq!((&failed["status"], &failed["payments"][0]["status"], &failed["payments"][0]["failure"]), (&json!("AWAITING_PAYMENT"), &json!("FAILED"), &json!("declined, as it was told to be")));
        // Staff may still say that it was paid otherwise.
        assert_eq!(house.pay(&id(&failed)).await["order"]["status"], "PAID");
        let late = order_with(&house, &ada, &pack, "late").await;
        assert_eq!((&late["status"], &late["payments"][0]["status"]), (&json!("AWAITING_PAYMENT"), &json!("PENDING")));
        house.advance("2026-03-03T00:00:00Z").await;
        assert_eq!(house.order(&id(&late)).await["status"], "PAID", "it was asked again");
        let asks = order_with(&house, &ada, &pack, "ask").await;
        assert!(asks["payments"][0]["actionUrl"].as_str().is_some_and(|url| url.starts_with("https://")));
        assert_eq!(house.balance(&ada).await["available"], 3);
        let refunded = house.refund(&id(&paid), json!({})).await["order"].clone();
        assert_eq!((&refunded["status"], &refunded["payments"][0]["status"]), (&json!("REFUNDED"), &json!("REFUNDED")));
        assert_eq!(house.order(&id(&paid)).await["refunds"][0]["status"], "SUCCEEDED", "the provider was told");
        house.assert_verified().await;
    }

    /// A message counts once, also when it comes twice, late, or after the order was given up; a forged one never.
    async fn a_message_counts_once(house: House) {
        let house = rehearsing(house, "pay-two").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let pack = house.ten_pack(&class).await;
        let ada = house.customer("Ada").await;
        let asks = order_with(&house, &ada, &pack, "ask").await;
        let reference = asks["payments"][0]["providerReference"].as_str().expect("a reference").to_owned();
        let says = |status: &str| json!({ "reference": reference, "status": status }).to_string();
        assert_eq!(message(&house, &says("succeeded"), "another key").await, 401);
        assert_eq!(house.order(&id(&asks)).await["status"], "AWAITING_PAYMENT");
        house.done("orderCancel", "order { status }", json!({ "orderId": asks["id"], "reason": "Nobody paid" })).await;
        let all = futures_util::future::join_all((0..5).map(|_| { let (house, body) = (&house, says("succeeded")); async move { message(house, &body, REHEARSAL_SECRET).await } })).await;
        assert!(all.iter().all(|status| *status == 204), "{all:?}");
        let order = house.order(&id(&asks)).await;
        assert_eq!((&order["status"], order["fulfilment"].as_array().map(Vec::len)), (&json!("PAID"), Some(1)), "what is paid counts, also when it comes late");
        assert_eq!(house.balance(&ada).await["available"], 1);
        assert_eq!(message(&house, &says("failed"), REHEARSAL_SECRET).await, 204);
        assert_eq!(house.order(&id(&asks)).await["payments"][0]["status"], "SUCCEEDED", "what was paid stays so");
        assert_eq!(message(&house, &says("disputed"), REHEARSAL_SECRET).await, 204);
        assert_eq!(house.order(&id(&asks)).await["payments"][0]["status"], "DISPUTED");
        assert_eq!(message(&house, &says("succeeded"), REHEARSAL_SECRET).await, 204);
        let events = house.data("{ events(first: 9) { nodes { name } } }", json!({})).await["events"]["nodes"].to_string();
        assert!(events.contains("order.dispute_ended") && !events.contains("order.paid_again"), "{events}");
        let unknown = json!({ "reference": "ask:nothing", "status": "succeeded" }).to_string();
        assert_eq!(message(&house, &unknown, REHEARSAL_SECRET).await, 503, "to be said again");
        for path in ["/hooks/rehearsal/studio", "/hooks/rehearsal/nobody", "/hooks/nobody/pay-two"] {
            assert_eq!(house.client().post(path).body("{}").send().await.0.status().as_u16(), 404, "{path}");
        }
        assert_eq!(house.client().post("/hooks/manual/pay-two").body("{}").send().await.0.status().as_u16(), 401);
        let large = "x".repeat(300 * 1024);
        assert_eq!(house.client().post("/hooks/rehearsal/pay-two").body(large).send().await.0.status().as_u16(), 413);
        house.assert_verified().await;
    }

    /// A provider that is away is asked again, and nothing is lost meanwhile.
    async fn a_provider_that_is_away_loses_nothing(house: House) {
        let house = rehearsing(house, "pay-three").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let pack = house.ten_pack(&class).await;
        let ada = house.customer("Ada").await;
        let order = order_with(&house, &ada, &pack, "away").await;
        assert_eq!((&order["status"], &order["payments"][0]["status"]), (&json!("AWAITING_PAYMENT"), &json!("PENDING")));
        let jobs = house.data("{ jobs { nodes { kind } } }", json!({})).await;
        assert_eq!(jobs["jobs"]["nodes"], json!([{ "kind": "COLLECT" }]));
        assert_eq!(codes(&house.pay(&id(&order)).await), Vec::<&str>::new());
        assert_eq!(house.advance("2026-03-10T00:00:00Z").await["arrived"], true, "the clock does not wait for it");
        let late = json!({ "orderId": order["id"], "idempotencyKey": house.key(), "reference": "bank-1" });
        // Another reference is another payment: it is here, and can go back.
        let twice = house.done("orderMarkPaid", "order { status paid { minor } }", late).await["order"].clone();
        assert_eq!(twice["status"], "PAID");
        assert_eq!(twice["paid"]["minor"].as_i64(), order["total"]["minor"].as_i64().map(|total| 2 * total), "{twice} {order}");
        assert_eq!(refusal(&house.pay(&id(&order)).await).0, "ORDER_NOT_AWAITING_PAYMENT", "the same once more says nothing new");
    }

    async fn a_live_account_is_not_settled_by_rehearsal(house: House) {
        let query = "mutation($name: String!) { accountUpdate(input: { paymentProvider: $name }) { account { slug } userErrors { code message field } } }";
        for name in ["rehearsal", "nobody"] {
            let set = house.ask(Role::Owner, query, json!({ "name": name })).await["data"]["accountUpdate"].clone();
            assert_eq!(refusal(&set), ("INVALID".to_owned(), "paymentProvider".to_owned()));
            assert_eq!(set["userErrors"][0]["message"], "Must be one of: manual.");
        }
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let pack = house.ten_pack(&class).await;
        let ada = house.customer("Ada").await;
        let (first, second) = (id(&house.ordered(&ada, &pack, 1).await), id(&house.ordered(&ada, &pack, 1).await));
        let mark = |order: &str, key: &str| {
            let input = json!({ "orderId": order, "reference": "bank-77", "idempotencyKey": key });
            let house = &house;
            async move { house.mutate("orderMarkPaid", "order { status }", input).await }
        };
        assert_eq!(mark(&first, "a").await["order"]["status"], "PAID");
        assert_eq!(refusal(&mark(&second, "b").await), ("TAKEN".to_owned(), "reference".to_owned()), "one payment settles one order");
    }

    /// Money that comes back after a lost dispute may be the last that was missing.
    async fn a_reinstated_payment_settles_what_awaits_it(house: House) {
        let house = rehearsing(house, "pay-back").await;
        house.by_owner("accountUpdate", "account { id }", json!({ "paymentProvider": "manual" })).await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let pack = house.ten_pack(&class).await;
        let ada = house.customer("Ada").await;
        let order = house.ordered(&ada, &pack, 1).await;
        let total = order["total"]["minor"].as_i64().expect("money");
        let pay = |amount: i64| {
            let input = json!({ "orderId": order["id"], "amount": amount, "idempotencyKey": house.key() });
            house.done("paymentRecord", "order { status payments { id } }", input)
        };
        let payment = pay(400).await["order"]["payments"][0]["id"].clone();
        let says = |outcome: &'static str| {
            let input = json!({ "paymentId": payment, "outcome": outcome, "idempotencyKey": house.key() });
            house.done("disputeRecord", "order { status }", input)
        };
        says("LOST").await;
        assert_eq!(pay(total - 400).await["order"]["status"], "AWAITING_PAYMENT");
        says("REINSTATED").await;
        assert_eq!((house.order(&id(&order)).await["status"].clone(), house.balance(&ada).await["available"].clone()), (json!("PAID"), json!(1)));
        // What is closed by hand is nobody else's to open.
        let query = "query($id: ID!) { customer(by: { id: $id }) { grants(last: 1) { nodes { id } } } }";
        let grant = house.data(query, json!({ "id": ada })).await["customer"]["grants"]["nodes"][0]["id"].clone();
        house.ledger("grantVoid", json!({ "grantId": grant, "reason": "A mistake" })).await;
        for outcome in ["LOST", "REINSTATED"] {
            says(outcome).await;
            assert_eq!(house.balance(&ada).await["available"], 0, "{outcome}");
        }
        house.assert_verified().await;
    }

    /// What is set aside when a dispute is lost, and used later, is lost with it; with the money it is earned after all.
    async fn a_booking_that_is_used_after_a_lost_dispute_is_a_loss(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let pack = house.ten_pack(&class).await;
        let ada = house.customer("Ada").await;
        let order = house.bought(&ada, &pack, 3).await;
        let place = json!({ "customerId": ada, "creditTypeId": class, "amount": 2, "expiresAt": "2026-04-01T09:00:00Z" });
        let hold = id(&house.ledger("holdPlace", place).await["activity"]["hold"]);
        let says = async |outcome: &str| {
            let input = json!({ "paymentId": order["payments"][0]["id"], "outcome": outcome, "idempotencyKey": house.key() });
            house.done("disputeRecord", "order { status }", input).await
        };
        let pools = async || {
            let query = "{ creditLiability { earned { credits cost { minor } } losses { cost { minor } } voided { cost { minor } } deferred { cost { minor } } } }";
            let line = house.data(query, json!({})).await["creditLiability"][0].clone();
            let cost = |pool: &str| line[pool]["cost"]["minor"].as_i64().expect("a number");
            [cost("earned"), cost("losses"), cost("voided"), cost("deferred")]
        };
        says("OPENED").await;
        says("LOST").await;
        assert_eq!(pools().await, [0, 0, 10_000, 20_000]);
        let captured = house.ledger("holdCapture", json!({ "holdId": hold, "amount": 1 })).await;
        assert_eq!(pools().await, [0, 10_000, 20_000, 0], "{captured:#}");
        house.assert_verified().await;
        says("REINSTATED").await;
        assert_eq!(pools().await, [10_000, 0, 0, 20_000]);
        let undone = house.ledger("activityReverse", json!({ "activityId": captured["activity"]["id"], "reason": "Ill" })).await;
        assert_eq!(codes(&undone), Vec::<&str>::new(), "{undone:#}");
        assert_eq!(pools().await, [0, 0, 0, 30_000]);
        assert_eq!(house.balance(&ada).await["available"], 3);
        house.assert_verified().await;
    }
}
