//! A shop on a server: products, prices and orders in one line each.

use serde_json::{Value, json};

use crate::harness::{House, codes};

/// What an order is asked for.
pub const ORDER: &str = "id number status total { minor currency } refunded { minor } currency paidAt
    lines { quantity credits amount { minor } product { name } }
    fulfilment { part issuesNothing grant { id amount remaining cost { minor } expiresAt effectiveAt source }
        activity { kind amount } refused { code } }
    payments { id provider providerReference status amount { minor } refunded { minor } actionUrl failure }
    refunds { status amount { minor } credits reason }
    subscription { id status } renewalNumber";

/// Tiers of 1-4 at 100 and 5 or more at 85, in the currency's main unit.
pub fn two_tiers() -> Value {
    json!([{ "from": 1, "upTo": 4, "unitAmount": 10_000 }, { "from": 5, "unitAmount": 8_500 }])
}

/// One price for every unit.
pub fn flat(minor: i64) -> Value {
    json!([{ "from": 1, "unitAmount": minor }])
}

impl House {
    /// A credit product that is a draft.
    pub async fn draft(&self, slug: &str, credit_type: &str) -> String {
        let input = json!({ "kind": "CREDIT", "slug": slug, "name": slug, "creditTypeId": credit_type });
        id(&self.done("productCreate", "product { id }", input).await["product"])
    }

    /// A price; its payload.
    pub async fn price(&self, input: Value) -> Value {
        self.mutate("priceCreate", "price { id kind tiers { from upTo } archivedAt } warnings { code message }", input)
            .await
    }

    /// A product on sale at one price; its id and the price's.
    pub async fn on_sale(&self, product: Value, price: Value) -> (String, String) {
        let product = id(&self.done("productCreate", "product { id }", product).await["product"]);
        let mut input = price;
        input["productId"] = json!(product);
        let made = self.price(input).await;
        assert_eq!(codes(&made), Vec::<&str>::new(), "{made:#}");
        self.done("productActivate", "product { status }", json!({ "id": product })).await;
        (product, id(&made["price"]))
    }

    /// A credit product at the two tiers; the price's id.
    pub async fn ten_pack(&self, credit_type: &str) -> String {
        let product = json!({ "kind": "CREDIT", "slug": "classes", "name": "Classes", "creditTypeId": credit_type });
        let price = json!({ "paid": { "oneTime": { "currency": "CHF", "tiers": two_tiers() } } });
        self.on_sale(product, price).await.1
    }

    /// A service product that costs credits; the price's id.
    pub async fn for_credits(&self, slug: &str, credit_type: &str, amount: i64) -> String {
        let product = json!({ "kind": "SERVICE", "slug": slug, "name": slug });
        let price = json!({ "paid": { "credits": { "creditTypeId": credit_type, "amount": amount } } });
        self.on_sale(product, price).await.1
    }

    /// `orderPlace` by staff for a customer; the payload.
    pub async fn place(&self, customer: &str, price: &str, quantity: i64) -> Value {
        let lines = json!([{ "priceId": price, "quantity": quantity }]);
        let input = json!({ "customerId": customer, "lines": lines, "idempotencyKey": self.key() });
        self.mutate("orderPlace", &format!("replayed order {{ {ORDER} }}"), input).await
    }

    /// An order that was placed.
    pub async fn ordered(&self, customer: &str, price: &str, quantity: i64) -> Value {
        let placed = self.place(customer, price, quantity).await;
        assert_eq!(codes(&placed), Vec::<&str>::new(), "{placed:#}");
        placed["order"].clone()
    }

    /// `orderMarkPaid`; the payload.
    pub async fn pay(&self, order: &str) -> Value {
        let input = json!({ "orderId": order, "idempotencyKey": self.key() });
        self.mutate("orderMarkPaid", &format!("replayed order {{ {ORDER} }}"), input).await
    }

    /// An order that was placed and paid.
    pub async fn bought(&self, customer: &str, price: &str, quantity: i64) -> Value {
        let order = self.ordered(customer, price, quantity).await;
        let paid = self.pay(&id(&order)).await;
        assert_eq!(codes(&paid), Vec::<&str>::new(), "{paid:#}");
        paid["order"].clone()
    }

    /// An order as it is now.
    pub async fn order(&self, order: &str) -> Value {
        let query = format!("query($id: ID!) {{ order(id: $id) {{ {ORDER} }} }}");
        self.data(&query, json!({ "id": order })).await["order"].clone()
    }

    /// `orderRefund`; the payload.
    pub async fn refund(&self, order: &str, mut input: Value) -> Value {
        input["orderId"] = json!(order);
        input["reason"] = json!("Changed their mind");
        input["idempotencyKey"] = json!(self.key());
        self.mutate(
            "orderRefund",
            &format!("replayed preview {{ amount {{ minor }} credits }} order {{ {ORDER} }}"),
            input,
        )
        .await
    }
}

/// The id of a thing.
pub fn id(thing: &Value) -> String {
    thing["id"].as_str().unwrap_or_else(|| panic!("no id: {thing:#}")).to_owned()
}

/// The code and the field of a payload's only refusal.
pub fn refusal(payload: &Value) -> (String, String) {
    let errors = payload["userErrors"].as_array().unwrap_or_else(|| panic!("{payload:#}"));
    assert_eq!(errors.len(), 1, "{payload:#}");
    let field = errors[0]["field"]
        .as_array()
        .map(|path| path.iter().map(|part| part.as_str().expect("text")).collect::<Vec<_>>().join("."));
    assert!(errors[0]["message"].as_str().is_some_and(|message| message.len() > 10), "{payload:#}");
    (errors[0]["code"].as_str().expect("a code").to_owned(), field.unwrap_or_default())
}
