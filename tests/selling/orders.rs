//! Orders: placed, paid, given, once; and what is refused.

use std::sync::Arc;

use entity::CustomerId;
use futures_util::future::join_all;
use scrip::domain::sales::payments::{self, MarkPaid};
use scrip::domain::{Caller, Role};
use serde_json::{Value, json};

use crate::harness::{Backend, House, codes};
use crate::on_both;
use crate::selling::shop::{ORDER, flat, id, refusal};

fn said(code: &str, field: &str) -> (String, String) {
    (code.to_owned(), field.to_owned())
}

fn own(customer: &str) -> Role {
    Role::Customer(customer.parse::<CustomerId>().expect("an id"))
}

on_both! {
    /// The whole way: ordered, paid, its credits issued at what they cost, one spent on a service.
    async fn five_are_bought_and_one_is_spent(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let (pack, session) = (house.ten_pack(&class).await, house.for_credits("session", &class, 1).await);
        let ada = house.customer("Ada").await;
        let order = house.ordered(&ada, &pack, 5).await;
        assert_eq!((&order["status"], &order["total"], &order["number"]), (&json!("AWAITING_PAYMENT"), &json!({ "minor": 42_500, "currency": "CHF" }), &json!(1)));
        assert_eq!(order["fulfilment"], json!([]));
        assert_eq!(house.balance(&ada).await, json!(null), "nothing is issued before it is paid");
        let paid = house.pay(&id(&order)).await["order"].clone();
        assert_eq!((&paid["status"], &paid["payments"][0]["status"]), (&json!("PAID"), &json!("SUCCEEDED")));
        let given = &paid["fulfilment"][0];
        assert_eq!((&given["grant"]["amount"], &given["grant"]["cost"]["minor"], &given["grant"]["source"]), (&json!(5), &json!(42_500), &json!("ORDER")));
        assert_eq!(given["activity"], json!({ "kind": "ISSUE", "amount": 5 }));
        let spent = house.ordered(&ada, &session, 1).await;
        assert_eq!((&spent["status"], &spent["total"], &spent["currency"], &spent["number"]), (&json!("PAID"), &json!(null), &json!(null), &json!(2)));
        assert_eq!(spent["fulfilment"][0]["activity"], json!({ "kind": "CONSUME", "amount": -1 }));
        assert_eq!(spent["fulfilment"][0]["grant"], json!(null));
        assert_eq!(house.balance(&ada).await["available"], 4);
        let events = house.data("{ events(first: 20) { nodes { name } } }", json!({})).await;
        let names = events["events"]["nodes"].as_array().expect("events").iter().map(|event| event["name"].as_str().expect("a name")).collect::<Vec<_>>();
        assert_eq!(names, ["order.paid", "order.placed", "credits.consumed", "order.paid", "credits.issued", "order.placed", "customer.created"]);
        let own_orders = "{ viewer { ... on Customer { orders { nodes { number status metadata lines { product { name } } } } } } }";
        let seen = house.ask(own(&ada), own_orders, json!({})).await;
        assert_eq!(seen["data"]["viewer"]["orders"]["nodes"][0], json!({ "number": 2, "status": "PAID", "metadata": null, "lines": [{ "product": { "name": "session" } }] }));
        house.assert_verified().await;
    }

    /// Several lines in one order, each with what it gave; a service issues nothing.
    async fn each_line_says_what_it_gave(house: House) {
        let (class, talk) = (house.credit_type("Class", json!({ "never": true })).await, house.credit_type("Talk", json!({ "never": true })).await);
        let pack = house.ten_pack(&class).await;
        let product = json!({ "kind": "CREDIT", "slug": "talks", "name": "Talks", "creditTypeId": talk, "creditsPerUnit": 3, "expiration": { "after": { "count": 30, "unit": "DAY" } } });
        let (_, talks) = house.on_sale(product, json!({ "paid": { "oneTime": { "currency": "CHF", "tiers": flat(1_000) } }, "expiration": { "on": "2026-12-31" } })).await;
        let (_, mat) = house.on_sale(json!({ "kind": "SERVICE", "slug": "mat", "name": "Mat" }), json!({ "paid": { "oneTime": { "currency": "CHF", "tiers": flat(2_500) } } })).await;
        let ada = house.customer("Ada").await;
        let lines = json!([{ "priceId": pack, "quantity": 1 }, { "priceId": talks, "quantity": 2 }, { "priceId": mat, "quantity": 1 }]);
        let input = json!({ "customerId": ada, "lines": lines, "idempotencyKey": house.key(), "note": "For the summer", "metadata": { "till": 3 } });
        let order = house.done("orderPlace", "order { id total { minor } note metadata }", input).await["order"].clone();
        assert_eq!((&order["total"]["minor"], &order["note"], &order["metadata"]), (&json!(14_500), &json!("For the summer"), &json!({ "till": 3 })));
        let paid = house.pay(&id(&order)).await["order"]["fulfilment"].clone();
        assert_eq!(paid.as_array().expect("three").len(), 3);
        assert_eq!((&paid[1]["grant"]["amount"], &paid[1]["grant"]["cost"]["minor"]), (&json!(6), &json!(2_000)));
        assert_eq!(paid[1]["grant"]["expiresAt"], "2026-12-31T23:00:00Z", "the price's own expiration comes first");
        assert_eq!((&paid[2]["issuesNothing"], &paid[2]["grant"]), (&json!(true), &json!(null)));
        house.assert_verified().await;
    }

    /// One grant, however often it is said and under whatever key; the same key is answered alike.
    async fn an_order_is_paid_once(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let pack = house.ten_pack(&class).await;
        let ada = house.customer("Ada").await;
        let order = id(&house.ordered(&ada, &pack, 2).await);
        let second = house.second_server().await;
        let apps = [house.app.clone(), second.clone()];
        let tries = (0..50).map(|number| {
            let caller = Caller::of(apps[number % 2].clone(), house.account.id, Role::Staff, "tester");
            let paid = MarkPaid { order: order.parse().expect("an id"), reference: None };
            async move { payments::mark_paid(&caller, paid, &format!("pay-{}", number / 5)).await }
        });
        let outcomes = join_all(tries).await;
        let first = outcomes.iter().filter(|outcome| matches!(outcome, Ok((_, false)))).count();
        let replayed = outcomes.iter().filter(|outcome| matches!(outcome, Ok((_, true)))).count();
        assert_eq!((first, replayed), (1, 4), "{outcomes:?}");
        let read = house.order(&order).await;
        assert_eq!((read["fulfilment"].as_array().expect("one").len(), read["payments"].as_array().expect("one").len()), (1, 1));
        assert_eq!(house.balance(&ada).await["available"], 2);
        assert_eq!(refusal(&house.pay(&order).await), said("ORDER_NOT_AWAITING_PAYMENT", "orderId"));
        house.assert_verified().await;
        second.close().await;
    }

    /// Placing twice under one key places once; another order under it is refused; a refusal is remembered.
    async fn an_order_is_placed_once_per_key(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let (pack, session) = (house.ten_pack(&class).await, house.for_credits("session", &class, 1).await);
        let ada = house.customer("Ada").await;
        let place = |price: &str, key: &str| {
            let input = json!({ "customerId": ada, "lines": [{ "priceId": price, "quantity": 1 }], "idempotencyKey": key });
            let house = &house;
            async move { house.mutate("orderPlace", "replayed order { id number }", input).await }
        };
        let all = join_all((0..12).map(|_| place(&pack, "cart-1"))).await;
        let ids = all.iter().map(|payload| id(&payload["order"])).collect::<std::collections::BTreeSet<_>>();
        assert_eq!((ids.len(), all.iter().filter(|payload| payload["replayed"] == false).count()), (1, 1));
        assert_eq!(refusal(&place(&session, "cart-1").await), said("IDEMPOTENCY_KEY_REUSED", "idempotencyKey"));
        let refused = place(&session, "cart-2").await;
        assert_eq!((refusal(&refused), &refused["replayed"]), (said("INSUFFICIENT_CREDITS", "lines.0.quantity"), &json!(false)));
        house.issue(json!({ "customerId": ada, "creditTypeId": class, "amount": 5 })).await;
        let late = place(&session, "cart-2").await;
        assert_eq!((codes(&late), &late["replayed"]), (vec!["INSUFFICIENT_CREDITS"], &json!(true)), "a late duplicate does not succeed after all");
        assert_eq!(place(&session, "cart-3").await["order"]["number"], 2, "what was refused took no number");
    }

    async fn an_order_outside_its_limits_is_refused(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let pack = house.ten_pack(&class).await;
        let session = house.for_credits("session", &class, 1).await;
        let bounded = json!({ "kind": "CREDIT", "slug": "bounded", "name": "Bounded", "creditTypeId": class });
        let (_, bounded) = house.on_sale(bounded, json!({ "paid": { "oneTime": { "currency": "EUR", "tiers": flat(100) } }, "minimumQuantity": 2, "maximumQuantity": 4 })).await;
        let draft = house.draft("draft", &class).await;
        let unsold = id(&house.price(json!({ "productId": draft, "paid": { "oneTime": { "currency": "CHF", "tiers": flat(1) } } })).await["price"]);
        let ada = house.customer("Ada").await;
        for (price, quantity, wanted) in [
            (&bounded, 1, said("QUANTITY_OUT_OF_RANGE", "lines.0.quantity")),
            (&bounded, 5, said("QUANTITY_OUT_OF_RANGE", "lines.0.quantity")),
            (&pack, 0, said("QUANTITY_OUT_OF_RANGE", "lines.0.quantity")),
            (&pack, 2_000_000_000, said("INVALID", "lines.0.quantity")),
            (&unsold, 1, said("PRODUCT_NOT_ACTIVE", "lines.0.priceId")),
            (&"prc_01h455vb4pex5vsknk084sn02q".to_owned(), 1, said("NOT_FOUND", "lines.0.priceId")),
        ] {
            assert_eq!(refusal(&house.place(&ada, price, quantity).await), wanted, "{quantity} at {price}");
        }
        let many = |lines: Value| {
            let input = json!({ "customerId": ada, "lines": lines, "idempotencyKey": house.key() });
            let house = &house;
            async move { refusal(&house.mutate("orderPlace", "order { id }", input).await) }
        };
        assert_eq!(many(json!([])).await, said("INVALID", "lines"));
        let line = |price: &str| json!({ "priceId": price, "quantity": 2 });
        assert_eq!(many(json!(vec![line(&pack); 21])).await, said("INVALID", "lines"));
        assert_eq!(many(json!([line(&pack), line(&bounded)])).await, said("MIXED_PAYMENT", "lines.1.priceId"));
        assert_eq!(many(json!([line(&pack), line(&session)])).await, said("MIXED_PAYMENT", "lines.1.priceId"));
        house.done("customerArchive", "customer { id }", json!({ "id": ada })).await;
        assert_eq!(refusal(&house.place(&ada, &pack, 1).await), said("CUSTOMER_ARCHIVED", "customerId"));
        house.done("customerUnarchive", "customer { id }", json!({ "id": ada })).await;
        let archived = json!({ "productId": house.data("query($id: ID!) { node(id: $id) { ... on Price { product { id } } } }", json!({ "id": pack })).await["node"]["product"]["id"], "replacesPriceId": pack, "paid": { "oneTime": { "currency": "CHF", "tiers": flat(1) } } });
        assert_eq!(codes(&house.price(archived).await), Vec::<&str>::new());
        assert_eq!(refusal(&house.place(&ada, &pack, 1).await), said("PRICE_ARCHIVED", "lines.0.priceId"));
        let nobody = json!({ "customerId": "cus_01h455vb4pex5vsknk084sn02q", "lines": [line(&session)], "idempotencyKey": "k" });
        assert_eq!(refusal(&house.mutate("orderPlace", "order { id }", nobody).await), said("NOT_FOUND", "customerId"));
    }

    /// What is placed is kept, whatever is switched off or archived meanwhile; what is asked for then is not.
    async fn what_was_agreed_before_goes_on(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let (pack, session) = (house.ten_pack(&class).await, house.for_credits("session", &class, 1).await);
        let ada = house.customer("Ada").await;
        let order = id(&house.ordered(&ada, &pack, 2).await);
        house.done("creditTypeArchive", "creditType { id }", json!({ "id": class })).await;
        house.done("customerArchive", "customer { id }", json!({ "id": ada })).await;
        let query = "mutation { accountUpdate(input: { creditsEnabled: false }) { account { creditsEnabled } } }";
        house.ask(Role::Owner, query, json!({})).await;
        let paid = house.pay(&order).await;
        assert_eq!((codes(&paid), &paid["order"]["fulfilment"][0]["grant"]["remaining"]), (vec![], &json!(2)));
        assert_eq!(refusal(&house.place(&ada, &session, 1).await), said("CREDITS_DISABLED", ""));
        house.ask(Role::Owner, &query.replace("false", "true"), json!({})).await;
        assert_eq!(refusal(&house.place(&ada, &pack, 1).await), said("CREDIT_TYPE_ARCHIVED", "lines.0.priceId"));
        assert_eq!(house.ordered(&ada, &session, 1).await["status"], "PAID", "what there is can be used");
        house.assert_verified().await;
    }

    /// Credits that would have ended before they began: the order is paid all the same, and says why it gave none.
    async fn what_cannot_be_issued_is_written_down_with_the_reason(house: House) {
        let class = house.credit_type("Class", json!({ "on": "2026-03-31" })).await;
        let pack = house.ten_pack(&class).await;
        let ada = house.customer("Ada").await;
        let order = id(&house.ordered(&ada, &pack, 1).await);
        house.set_clock("2026-04-02T09:00:00Z");
        let paid = house.pay(&order).await["order"].clone();
        assert_eq!((&paid["status"], &paid["fulfilment"][0]["refused"]["code"], &paid["fulfilment"][0]["grant"]), (&json!("PAID"), &json!("EXPIRATION_NOT_IN_FUTURE"), &json!(null)));
        // Nothing was given for it, so all of it goes back.
        let refunded = house.refund(&order, json!({})).await;
        assert_eq!((&refunded["order"]["status"], &refunded["order"]["refunded"]["minor"]), (&json!("REFUNDED"), &json!(10_000)));
    }

    async fn an_order_that_awaits_payment_can_be_cancelled(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let pack = house.ten_pack(&class).await;
        let (ada, bob) = (house.customer("Ada").await, house.customer("Bob").await);
        let order = id(&house.ordered(&ada, &pack, 1).await);
        let cancel = "mutation($input: OrderCancelInput!) { orderCancel(input: $input) { order { status reason } userErrors { code message field } } }";
        let input = json!({ "input": { "orderId": order, "reason": "Too late" } });
        let others = house.ask(own(&bob), cancel, input.clone()).await;
        assert_eq!(refusal(&others["data"]["orderCancel"]), said("NOT_FOUND", "orderId"));
        let cancelled = house.ask(own(&ada), cancel, input.clone()).await["data"]["orderCancel"].clone();
        assert_eq!(cancelled["order"], json!({ "status": "CANCELLED", "reason": "Too late" }));
        assert_eq!(house.ask(own(&ada), cancel, input).await["data"]["orderCancel"]["userErrors"], json!([]), "twice changes nothing");
        assert_eq!(refusal(&house.pay(&order).await), said("ORDER_NOT_AWAITING_PAYMENT", "orderId"));
        assert_eq!(refusal(&house.refund(&order, json!({})).await), said("ORDER_NOT_PAID", "orderId"));
        let paid = id(&house.bought(&ada, &pack, 1).await);
        let late = house.mutate("orderCancel", "order { id }", json!({ "orderId": paid })).await;
        assert_eq!(refusal(&late), said("ORDER_NOT_AWAITING_PAYMENT", "orderId"));
    }

    /// Free of charge, so at once; and no more than one customer may have.
    async fn a_free_order_is_given_at_once_and_has_its_limit(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let product = json!({ "kind": "CREDIT", "slug": "trial", "name": "Trial", "creditTypeId": class });
        let (_, trial) = house.on_sale(product, json!({ "paid": { "oneTime": { "currency": "CHF", "tiers": flat(0) } }, "maxPerCustomer": 1 })).await;
        let ada = house.customer("Ada").await;
        let order = house.ordered(&ada, &trial, 1).await;
        assert_eq!((&order["status"], &order["fulfilment"][0]["grant"]["amount"], &order["payments"]), (&json!("PAID"), &json!(1), &json!([])));
        assert_eq!(refusal(&house.place(&ada, &trial, 1).await), said("LIMIT_PER_CUSTOMER", "lines.0.quantity"));
        let bob = house.customer("Bob").await;
        let all = join_all((0..8).map(|_| house.place(&bob, &trial, 1))).await;
        assert_eq!(all.iter().filter(|payload| codes(payload).is_empty()).count(), 1, "also where they come at once");
        assert_eq!(house.balance(&bob).await["available"], 1);
        let refunded = house.refund(&id(&order), json!({})).await["order"].clone();
        assert_eq!((&refunded["status"], &refunded["refunds"][0]["credits"]), (&json!("REFUNDED"), &json!(1)));
        assert_eq!(house.balance(&ada).await["available"], 0);
    }

    /// A dry run says what it would come to, or why not, and leaves nothing.
    async fn a_dry_run_leaves_nothing(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let (pack, session) = (house.ten_pack(&class).await, house.for_credits("session", &class, 1).await);
        let ada = house.customer("Ada").await;
        let dry = |price: &str, quantity: i64| {
            let input = json!({ "customerId": ada, "lines": [{ "priceId": price, "quantity": quantity }], "idempotencyKey": "dry", "dryRun": true });
            let house = &house;
            async move { house.mutate("orderPlace", "order { id } preview { amount { minor } credits }", input).await }
        };
        assert_eq!(dry(&pack, 5).await, json!({ "order": null, "preview": { "amount": { "minor": 42_500 }, "credits": 5 }, "userErrors": [] }));
        assert_eq!(refusal(&dry(&session, 1).await), said("INSUFFICIENT_CREDITS", "lines.0.quantity"));
        assert_eq!(house.data("{ orders { nodes { id } } }", json!({})).await["orders"]["nodes"], json!([]));
        let order = id(&house.ordered(&ada, &pack, 5).await);
        let mark = json!({ "orderId": order, "idempotencyKey": "dry", "dryRun": true });
        let marked = house.mutate("orderMarkPaid", &format!("order {{ {ORDER} }} preview {{ amount {{ minor }} credits }}"), mark).await;
        assert_eq!((&marked["order"], &marked["preview"]), (&json!(null), &json!({ "amount": { "minor": 42_500 }, "credits": 5 })));
        assert_eq!(house.order(&order).await["status"], "AWAITING_PAYMENT");
        house.pay(&order).await;
        let refund = house.refund(&order, json!({ "dryRun": true })).await;
        assert_eq!((&refund["order"], &refund["preview"]), (&json!(null), &json!({ "amount": { "minor": 42_500 }, "credits": 5 })));
        assert_eq!(house.balance(&ada).await["available"], 5);
    }
}

/// Many lines of orders are read in as many statements as one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_are_read_in_few_statements() {
    let house = Arc::new(House::new(Backend::Sqlite).await);
    let class = house.credit_type("Class", json!({ "never": true })).await;
    let pack = house.ten_pack(&class).await;
    let query = format!(
        "{{ customers(first: 5) {{ nodes {{ orders(first: 5) {{ nodes {{ {ORDER} }} }} subscriptions(first: 5) {{ nodes {{ id }} }} creditOffers {{ affordableQuantity }} }} }} }}"
    );
    let mut counts = Vec::new();
    for name in ["Ada", "Bob", "Cleo"] {
        let customer = house.customer(name).await;
        for _ in 0..3 {
            house.bought(&customer, &pack, 1).await;
        }
        let before = house.statements().await;
        house.data(&query, json!({})).await;
        counts.push(house.app.store().statements() - before);
    }
    assert_eq!(counts[0], counts[2], "{counts:?}");
    assert!(counts[0] <= 22, "{counts:?}");
}
