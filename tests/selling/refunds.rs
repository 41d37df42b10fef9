//! Refunds: what is unused goes back at what it cost; more only if somebody says so.

use serde_json::{Value, json};

use crate::harness::{Backend, House, codes};
use crate::on_both;
use crate::selling::shop::{flat, id, refusal};

async fn used(house: &House, customer: &str, credit_type: &str, amount: i64) -> String {
    let used = house.consume(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": amount })).await;
    assert_eq!(codes(&used), Vec::<&str>::new());
    id(&used["activity"])
}

fn said(code: &str, field: &str) -> (String, String) {
    (code.to_owned(), field.to_owned())
}

/// Refunded so far, the order's status, and what is left of its grant.
fn state(payload: &Value) -> (Value, Value, Value) {
    let order = &payload["order"];
    (order["refunded"]["minor"].clone(), order["status"].clone(), order["fulfilment"][0]["grant"]["remaining"].clone())
}

on_both! {
    /// Five at 85 each, two used: three go back at 85 each, never priced again by tier.
    async fn what_is_unused_goes_back_at_what_it_cost(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let pack = house.ten_pack(&class).await;
        let ada = house.customer("Ada").await;
        let order = id(&house.bought(&ada, &pack, 5).await);
        used(&house, &ada, &class, 2).await;
        assert_eq!(refusal(&house.refund(&order, json!({ "amount": 25_501 })).await), said("CREDITS_USED", "amount"));
        let refunded = house.refund(&order, json!({})).await;
        assert_eq!(state(&refunded), (json!(25_500), json!("PARTIALLY_REFUNDED"), json!(0)));
        assert_eq!(refunded["order"]["refunds"], json!([{ "status": "SUCCEEDED", "amount": { "minor": 25_500 }, "credits": 3, "reason": "Changed their mind" }]));
        assert_eq!(refunded["order"]["payments"][0]["refunded"]["minor"], 25_500);
        assert_eq!(house.balance(&ada).await["available"], 0);
        assert_eq!(refusal(&house.refund(&order, json!({})).await), said("NOTHING_TO_REFUND", "orderId"));
        assert_eq!(refusal(&house.refund(&order, json!({ "amount": 17_001, "usedCredits": true })).await), said("MORE_THAN_PAID", "amount"));
        let rest = house.refund(&order, json!({ "amount": 17_000, "usedCredits": true })).await;
        assert_eq!(state(&rest), (json!(42_500), json!("REFUNDED"), json!(0)));
        assert_eq!(rest["order"]["payments"][0]["status"], "REFUNDED");
        assert_eq!(refusal(&house.refund(&order, json!({ "amount": 1, "usedCredits": true })).await), said("ORDER_NOT_PAID", "orderId"));
        house.assert_verified().await;
    }

    /// A default refund leaves what was used alone: undone later, it can be used, and goes back at what it cost (S4, S9).
    async fn what_a_default_refund_left_comes_back(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let pack = house.ten_pack(&class).await;
        let ada = house.customer("Ada").await;
        let order = id(&house.bought(&ada, &pack, 5).await);
        let one = used(&house, &ada, &class, 1).await;
        assert_eq!(state(&house.refund(&order, json!({})).await), (json!(34_000), json!("PARTIALLY_REFUNDED"), json!(0)));
        house.ledger("activityReverse", json!({ "activityId": one, "reason": "The teacher was ill" })).await;
        assert_eq!(house.balance(&ada).await["available"], 1);
        // What a refund took back, nobody gives back by hand.
        let query = "query($id: ID!) { customer(by: { id: $id }) { activity(last: 10) { nodes { id kind } } } }";
        let lines = house.data(query, json!({ "id": ada })).await["customer"]["activity"]["nodes"].clone();
        let void = lines.as_array().expect("activity").iter().find(|line| line["kind"] == "VOID").expect("a void")["id"].clone();
        let by_hand = house.ledger("activityReverse", json!({ "activityId": void, "reason": "A present" })).await;
        assert_eq!(codes(&by_hand), ["NOT_REVERSIBLE"]);
        assert_eq!(state(&house.refund(&order, json!({})).await), (json!(42_500), json!("REFUNDED"), json!(0)));
        assert_eq!(house.balance(&ada).await["available"], 0);
        house.assert_verified().await;
    }

    /// Whoever was paid back for credits that were used or have ended gets none of them back later.
    async fn what_was_paid_back_as_used_does_not_come_back(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let pack = house.ten_pack(&class).await;
        let ada = house.customer("Ada").await;
        let order = id(&house.bought(&ada, &pack, 5).await);
        let all = used(&house, &ada, &class, 5).await;
        let refunded = house.refund(&order, json!({ "amount": 42_500, "usedCredits": true })).await;
        assert_eq!(state(&refunded), (json!(42_500), json!("REFUNDED"), json!(0)));
        let undone = house.ledger("activityReverse", json!({ "activityId": all, "amount": 2, "reason": "Called off" })).await;
        let kinds = undone["activities"].as_array().expect("activities").iter().map(|line| (line["kind"].clone(), line["amount"].clone()));
        assert_eq!(kinds.collect::<Vec<_>>(), [(json!("REVERSE"), json!(2)), (json!("VOID"), json!(-2))]);
        assert_eq!(house.balance(&ada).await["available"], 0);
        house.assert_verified().await;
    }

    async fn what_had_ended_and_was_paid_back_cannot_be_revived(house: House) {
        let pass = house.credit_type("Pass", json!({ "on": "2026-03-31" })).await;
        let pack = house.ten_pack(&pass).await;
        let bob = house.customer("Bob").await;
        let order = house.bought(&bob, &pack, 5).await;
        let grant = order["fulfilment"][0]["grant"]["id"].clone();
        used(&house, &bob, &pass, 2).await;
        house.set_clock("2026-04-02T09:00:00Z");
        assert_eq!(refusal(&house.refund(&id(&order), json!({})).await), said("NOTHING_TO_REFUND", "orderId"));
        let refunded = house.refund(&id(&order), json!({ "amount": 25_500, "usedCredits": true })).await;
        assert_eq!(refunded["order"]["refunded"]["minor"], 25_500);
        let extended = house.ledger("grantExtend", json!({ "grantId": grant, "to": { "on": "2026-05-31" }, "reason": "Illness" })).await;
        assert_eq!(codes(&extended), ["NOTHING_TO_EXTEND"]);
        assert_eq!(house.balance(&bob).await["available"], 0);
        assert_eq!(refusal(&house.refund(&id(&order), json!({})).await), said("NOTHING_TO_REFUND", "orderId"));
        house.assert_verified().await;
    }

    async fn credits_set_aside_refuse_it_and_transferred_ones_count_as_used(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let pack = house.ten_pack(&class).await;
        let (ada, bob) = (house.customer("Ada").await, house.customer("Bob").await);
        let order = id(&house.bought(&ada, &pack, 5).await);
        let hold = house.ledger("holdPlace", json!({ "customerId": ada, "creditTypeId": class, "amount": 1, "expiresAt": "2026-03-20T00:00:00Z" })).await;
        assert_eq!(refusal(&house.refund(&order, json!({})).await), said("CREDITS_HELD", "orderId"));
        assert_eq!(refusal(&house.refund(&order, json!({ "dryRun": true })).await), said("CREDITS_HELD", "orderId"));
        assert_eq!(house.balance(&ada).await["available"], 4, "a refusal voids nothing");
        house.ledger("holdRelease", json!({ "holdId": hold["activity"]["hold"]["id"] })).await;
        house.ledger("creditsTransfer", json!({ "fromCustomerId": ada, "toCustomerId": bob, "creditTypeId": class, "amount": 2 })).await;
        assert_eq!(refusal(&house.refund(&order, json!({ "amount": 30_000 })).await), said("CREDITS_USED", "amount"));
        let refunded = house.refund(&order, json!({})).await;
        assert_eq!(state(&refunded), (json!(25_500), json!("PARTIALLY_REFUNDED"), json!(0)));
        assert_eq!(house.balance(&bob).await["available"], 2);
        house.assert_verified().await;
    }

    /// Out of goodwill: money goes back, and the credits stay.
    async fn credits_may_stay(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let pack = house.ten_pack(&class).await;
        let ada = house.customer("Ada").await;
        let order = id(&house.bought(&ada, &pack, 5).await);
        assert_eq!(refusal(&house.refund(&order, json!({ "keepCredits": true })).await), said("INVALID", "amount"));
        assert_eq!(refusal(&house.refund(&order, json!({ "amount": 0 })).await), said("INVALID", "amount"));
        let kept = house.refund(&order, json!({ "keepCredits": true, "amount": 2_500 })).await;
        assert_eq!(state(&kept), (json!(2_500), json!("PARTIALLY_REFUNDED"), json!(5)));
        let rest = house.refund(&order, json!({})).await;
        assert_eq!(state(&rest), (json!(42_500), json!("REFUNDED"), json!(0)), "at most what was paid");
        house.assert_verified().await;
    }

    /// A service that was paid in money goes back whole, beside credits of the same order; what is over is not asked for twice.
    async fn lines_that_issue_nothing_go_back_too(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let pack = house.ten_pack(&class).await;
        let (_, mat) = house.on_sale(json!({ "kind": "SERVICE", "slug": "mat", "name": "Mat" }), json!({ "paid": { "oneTime": { "currency": "CHF", "tiers": flat(2_500) } } })).await;
        let ada = house.customer("Ada").await;
        let lines = json!([{ "priceId": pack, "quantity": 2 }, { "priceId": mat, "quantity": 1 }]);
        let input = json!({ "customerId": ada, "lines": lines, "idempotencyKey": house.key() });
        let order = id(&house.done("orderPlace", "order { id }", input).await["order"]);
        house.pay(&order).await;
        used(&house, &ada, &class, 1).await;
        let part = house.refund(&order, json!({ "amount": 11_000 })).await;
        assert_eq!(state(&part), (json!(11_000), json!("PARTIALLY_REFUNDED"), json!(0)));
        let rest = house.refund(&order, json!({})).await;
        assert_eq!(state(&rest).0, json!(12_500), "10000 for the free one, 2500 for the mat");
        assert_eq!(refusal(&house.refund(&order, json!({})).await), said("NOTHING_TO_REFUND", "orderId"));
        house.assert_verified().await;
    }

    /// What was paid in credits goes back in credits.
    async fn an_order_in_credits_is_undone(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let session = house.for_credits("session", &class, 2).await;
        let ada = house.customer("Ada").await;
        house.issue(json!({ "customerId": ada, "creditTypeId": class, "amount": 6 })).await;
        let order = id(&house.ordered(&ada, &session, 2).await);
        assert_eq!(house.balance(&ada).await["available"], 2);
        assert_eq!(refusal(&house.refund(&order, json!({ "amount": 5 })).await), said("INVALID", "amount"));
        let back = house.refund(&order, json!({})).await["order"].clone();
        assert_eq!((&back["status"], &back["refunds"][0]["credits"], &back["refunds"][0]["amount"]), (&json!("REFUNDED"), &json!(4), &json!(null)));
        assert_eq!(house.balance(&ada).await["available"], 6);
        let by_hand = house.ordered(&ada, &session, 1).await;
        let activity = house.data("query($id: ID!) { order(id: $id) { fulfilment { activity { id } } } }", json!({ "id": by_hand["id"] })).await["order"]["fulfilment"][0]["activity"]["id"].clone();
        house.ledger("activityReverse", json!({ "activityId": activity, "reason": "By hand" })).await;
        assert_eq!(refusal(&house.refund(&id(&by_hand), json!({})).await), said("NOTHING_TO_REFUND", "orderId"));
        house.assert_verified().await;
    }

    async fn a_refund_happens_once_per_key(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let pack = house.ten_pack(&class).await;
        let ada = house.customer("Ada").await;
        let order = id(&house.bought(&ada, &pack, 5).await);
        let input = json!({ "orderId": order, "amount": 1_000, "keepCredits": true, "reason": "Sorry", "idempotencyKey": "sorry-1" });
        let all = futures_util::future::join_all((0..8).map(|_| house.mutate("orderRefund", "replayed order { refunded { minor } }", input.clone()))).await;
        assert_eq!(all.iter().filter(|payload| payload["replayed"] == false).count(), 1, "{all:#?}");
        assert_eq!(house.order(&order).await["refunded"]["minor"], 1_000);
    }

    /// Of each line no more than is unused of it goes back, whatever is unused of the others.
    async fn an_unused_line_pays_for_no_used_one(house: House) {
        let types = [house.credit_type("Class", json!({ "never": true })).await, house.credit_type("Call", json!({ "never": true })).await];
        let ada = house.customer("Ada").await;
        let mut lines = Vec::new();
        for (slug, class) in ["class", "call"].iter().zip(&types) {
            let product = json!({ "kind": "CREDIT", "slug": slug, "name": slug, "creditTypeId": class });
            let price = house.on_sale(product, json!({ "paid": { "oneTime": { "currency": "CHF", "tiers": flat(100) } } })).await.1;
            lines.push(json!({ "priceId": price, "quantity": 10 }));
        }
        let input = json!({ "customerId": ada, "lines": lines, "idempotencyKey": house.key() });
        let order = id(&house.done("orderPlace", "order { id }", input).await["order"]);
        house.pay(&order).await;
        let call = used(&house, &ada, &types[1], 10).await;
        let lines = json!([{ "position": 0, "amount": 100 }, { "position": 1, "amount": 900 }]);
        assert_eq!(refusal(&house.refund(&order, json!({ "lines": lines })).await).0, "CREDITS_USED");
        assert_eq!(state(&house.refund(&order, json!({ "lines": lines, "usedCredits": true })).await).0, 1_000);
        house.ledger("activityReverse", json!({ "activityId": call, "reason": "Nobody rang" })).await;
        let query = "query($id: ID!) { customer(by: { id: $id }) { balances { available } } }";
        let free = house.data(query, json!({ "id": ada })).await["customer"]["balances"].clone();
        assert_eq!(free, json!([{ "available": 9 }, { "available": 1 }]), "the other nine went back in money");
        house.assert_verified().await;
    }
}
