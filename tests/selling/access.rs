//! Who may do what: another account's things are not there, and each token does what is its own.

use scrip::domain::Role;
use serde_json::{Value, json};

use crate::harness::{Backend, House};
use crate::on_both;
use crate::selling::shop::{flat, id, refusal};

/// Everything of a shop that has an id.
struct Shop {
    customer: String,
    credit_type: String,
    product: String,
    price: String,
    renewing: String,
    order: String,
    subscription: String,
}

async fn shop(house: &House) -> Shop {
    let credit_type = house.credit_type("Class", json!({ "never": true })).await;
    let product = json!({ "kind": "CREDIT", "slug": "classes", "name": "Classes", "creditTypeId": credit_type });
    let (product, price) =
        house.on_sale(product, json!({ "paid": { "oneTime": { "currency": "CHF", "tiers": flat(1_000) } } })).await;
    let paid = json!({ "subscription": { "currency": "CHF", "tiers": flat(9_900), "interval": { "count": 1, "unit": "MONTH" }, "creditsPerRenewal": 4 } });
    let monthly = json!({ "kind": "CREDIT", "slug": "monthly", "name": "Monthly", "creditTypeId": credit_type });
    let (_, renewing) = house.on_sale(monthly, json!({ "paid": paid })).await;
    let customer = house.customer("Ada").await;
    let order = id(&house.ordered(&customer, &price, 1).await);
    let subscription = id(&house.bought(&customer, &renewing, 1).await["subscription"]);
    Shop { customer, credit_type, product, price, renewing, order, subscription }
}

/// Each mutation of selling with ids in its input; and the field that does not resolve where they are another account's.
fn mutations(shop: &Shop) -> Vec<(&'static str, Value, &'static str)> {
    let lines = json!([{ "priceId": shop.price, "quantity": 1 }]);
    let once = json!({ "oneTime": { "currency": "CHF", "tiers": flat(1) } });
    vec![
        ("productUpdate", json!({ "id": shop.product, "name": "Mine" }), "id"),
        ("productActivate", json!({ "id": shop.product }), "id"),
        ("productArchive", json!({ "id": shop.product }), "id"),
        (
            "productCreate",
            json!({ "kind": "CREDIT", "slug": "mine", "name": "Mine", "creditTypeId": shop.credit_type }),
            "creditTypeId",
        ),
        ("priceCreate", json!({ "productId": shop.product, "paid": once }), "productId"),
        ("priceArchive", json!({ "id": shop.price }), "id"),
        (
            "orderPlace",
            json!({ "customerId": shop.customer, "lines": lines, "idempotencyKey": "k-1" }),
            "lines.0.priceId",
        ),
        ("orderMarkPaid", json!({ "orderId": shop.order, "idempotencyKey": "k-2" }), "orderId"),
        ("orderCancel", json!({ "orderId": shop.order }), "orderId"),
        ("orderRefund", json!({ "orderId": shop.order, "reason": "Mine", "idempotencyKey": "k-3" }), "orderId"),
        (
            "subscriptionUpdate",
            json!({ "subscriptionId": shop.subscription, "priceId": shop.renewing }),
            "subscriptionId",
        ),
        ("subscriptionPause", json!({ "subscriptionId": shop.subscription }), "subscriptionId"),
        ("subscriptionResume", json!({ "subscriptionId": shop.subscription }), "subscriptionId"),
        ("subscriptionCancel", json!({ "subscriptionId": shop.subscription }), "subscriptionId"),
    ]
}

fn query(mutation: &str) -> String {
    let (first, rest) = mutation.split_at(1);
    let input = format!("{}{rest}Input", first.to_uppercase());
    format!("mutation($input: {input}!) {{ {mutation}(input: $input) {{ userErrors {{ code message field }} }} }}")
}

on_both! {
    async fn another_account_s_things_are_not_there(house: House) {
        let theirs = shop(&house).await;
        let other = house.beside().sandbox("other", "2026-03-01T09:00:00Z").await;
        let stranger = other.customer("Eve").await;
        for (mutation, input, field) in mutations(&theirs) {
            let answer = other.ask(Role::Owner, &query(mutation), json!({ "input": input })).await;
            assert_eq!(refusal(&answer["data"][mutation]), ("NOT_FOUND".to_owned(), field.to_owned()), "{mutation}: {answer}");
        }
        let own = json!({ "customerId": stranger, "lines": [{ "priceId": theirs.price, "quantity": 1 }], "idempotencyKey": "k-9" });
        let answer = other.ask(Role::Owner, &query("orderPlace"), json!({ "input": own })).await;
        assert_eq!(refusal(&answer["data"]["orderPlace"]).0, "NOT_FOUND");
        let read = "query($product: ID!, $price: ID!, $order: ID!, $subscription: ID!) {
            product(id: $product) { id } order(id: $order) { id } subscription(id: $subscription) { id } priceQuote(priceId: $price, quantity: 1) { quantity }
            nodes(ids: [$product, $price, $order, $subscription]) { id }
            products { nodes { id } } orders { nodes { id } } subscriptions { nodes { id } } creditLiability { asOf } }";
        let variables = json!({ "product": theirs.product, "price": theirs.price, "order": theirs.order, "subscription": theirs.subscription });
        let answer = other.ask(Role::Owner, read, variables.clone()).await;
        let nothing = json!({ "nodes": [] });
        assert_eq!(answer["data"], json!({
            "product": null, "order": null, "subscription": null, "priceQuote": null, "nodes": [null, null, null, null],
            "products": nothing, "orders": nothing, "subscriptions": nothing, "creditLiability": [],
        }));
        // Where they are at home, they are there.
        let answer = house.ask(Role::Staff, read, variables).await;
        assert!(answer["data"]["nodes"].as_array().expect("nodes").iter().all(|node| node["id"].is_string()), "{answer}");
    }

    /// A customer buys for itself; what is staff's is refused; without a token nothing is changed but by an order form.
    async fn each_token_does_what_is_its_own(house: House) {
        let theirs = shop(&house).await;
        let bob = Role::Customer(house.customer("Bob").await.parse().expect("an id"));
        let staffs = ["product", "price", "orderMarkPaid", "orderRefund"];
        for (mutation, input, field) in mutations(&theirs) {
            let answer = house.ask(bob, &query(mutation), json!({ "input": input })).await;
            if staffs.iter().any(|staffs| mutation.starts_with(staffs)) {
                assert_eq!(answer["errors"][0]["extensions"]["code"], "FORBIDDEN", "{mutation}: {answer}");
            } else {
                let field = if mutation == "orderPlace" { "customerId" } else { field };
                assert_eq!(refusal(&answer["data"][mutation]), ("NOT_FOUND".to_owned(), field.to_owned()), "{mutation}: {answer}");
            }
            let (status, answer) = house.ask_with(None, &query(mutation), json!({ "input": input })).await;
            if mutation == "orderPlace" {
                assert_eq!(refusal(&answer["data"][mutation]).1, "account", "{answer}");
            } else {
                assert_eq!((status, &answer["errors"][0]["extensions"]["code"]), (401, &json!("UNAUTHENTICATED")), "{mutation}: {answer}");
            }
        }
        for query in ["{ products { nodes { id } } }", "{ orders { nodes { id } } }", "{ subscriptions { nodes { id } } }", "{ creditLiability { asOf } }"] {
            assert_eq!(house.ask(bob, query, json!({})).await["errors"][0]["extensions"]["code"], "FORBIDDEN", "{query}");
        }
        let ada = Role::Customer(theirs.customer.parse().expect("an id"));
        let own = "query($order: ID!, $product: ID!) { order(id: $order) { buyerEmail metadata payments { failure }
            lines { product { name metadata } price { kind } } customer { name tags } } node(id: $product) { id } }";
        let seen = house.ask(ada, own, json!({ "order": theirs.order, "product": theirs.product })).await;
        assert_eq!(seen["data"], json!({
            "order": { "buyerEmail": null, "metadata": null, "payments": [],
                "lines": [{ "product": { "name": "Classes", "metadata": null }, "price": { "kind": "ONE_TIME" } }],
                "customer": { "name": "Ada", "tags": null } },
            "node": null,
        }));
    }

    /// What was bought issues no credits: whoever asks why there are none hears so.
    async fn why_there_are_no_credits_of_what_was_bought(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let (_, mat) = house.on_sale(json!({ "kind": "SERVICE", "slug": "mat", "name": "Mat" }), json!({ "paid": { "oneTime": { "currency": "CHF", "tiers": flat(2_500) } } })).await;
        let ada = house.customer("Ada").await;
        let ask = "query($id: ID!, $type: ID!) { customer(by: { id: $id }) { creditStatus(creditTypeId: $type) { reasons { code amount message } } } }";
        let codes = || async {
            let data = house.data(ask, json!({ "id": ada, "type": class })).await;
            let reasons = data["customer"]["creditStatus"]["reasons"].as_array().expect("reasons").clone();
            reasons.iter().map(|reason| reason["code"].as_str().expect("a code").to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(codes().await, ["NONE_ISSUED"]);
        house.bought(&ada, &mat, 1).await;
        assert_eq!(codes().await, ["NONE_ISSUED", "PRODUCT_ISSUES_NOTHING"]);
        let pack = house.ten_pack(&class).await;
        let order = id(&house.ordered(&ada, &pack, 1).await);
        assert_eq!(codes().await, ["NONE_ISSUED", "PRODUCT_ISSUES_NOTHING", "ORDER_AWAITING_PAYMENT"]);
        house.pay(&order).await;
        assert_eq!(codes().await, Vec::<String>::new(), "what can be used needs no reason");
    }
}
