//! Order forms and quotes: what anyone sees, and what it would cost.

use scrip::domain::Role;
use serde_json::json;

use crate::harness::{Backend, House};
use crate::on_both;
use crate::selling::shop::{id, two_tiers};

const QUOTE: &str = "quantity total { minor decimal } pricePerCredit { decimal } credits creditCost expiresAt
    tier { from upTo unitAmount { minor } } moreThanOneFewer { decimal } nextTier { quantity total { decimal } more { decimal } message }
    available covered";

on_both! {
    /// With 1-4 at $100 and 5 or more at $85: 4 cost $400, 5 cost $425, only $25 more.
    async fn a_quote_says_what_a_quantity_costs_and_gives(house: House) {
        let class = house.credit_type("Class", json!({ "after": { "count": 3, "unit": "MONTH" } })).await;
        let product = json!({ "kind": "CREDIT", "slug": "classes", "name": "Classes", "creditTypeId": class, "description": "Any day" });
        let price = json!({ "paid": { "oneTime": { "currency": "USD", "tiers": two_tiers() } }, "maximumQuantity": 50 });
        let (_, price) = house.on_sale(product, price).await;
        let query = format!("query($price: ID!, $quantity: Int!) {{ priceQuote(priceId: $price, quantity: $quantity, account: \"studio\") {{ {QUOTE} }} }}");
        let quote = |quantity: i64| {
            let query = query.clone();
            let (house, price) = (&house, &price);
            async move { house.ask_with(None, &query, json!({ "price": price, "quantity": quantity })).await.1 }
        };
        let four = quote(4).await["data"]["priceQuote"].clone();
        assert_eq!(four["total"], json!({ "minor": 40_000, "decimal": "400.00" }));
        assert_eq!(four["nextTier"], json!({ "quantity": 5, "total": { "decimal": "425.00" }, "more": { "decimal": "25.00" }, "message": "5 cost only 25.00 USD more than 4." }));
        assert_eq!((&four["credits"], &four["expiresAt"]), (&json!(4), &json!("2026-06-01T22:00:00Z")));
        let five = quote(5).await["data"]["priceQuote"].clone();
        assert_eq!((&five["total"]["decimal"], &five["moreThanOneFewer"]["decimal"]), (&json!("425.00"), &json!("25.00")));
        assert_eq!(five["tier"], json!({ "from": 5, "upTo": null, "unitAmount": { "minor": 8_500 } }));
        assert_eq!((&five["pricePerCredit"]["decimal"], &five["nextTier"], &five["covered"]), (&json!("85.00"), &json!(null), &json!(null)));
        let too_many = quote(51).await;
        assert_eq!(too_many["errors"][0]["message"], "quantity: Must be 1 to 50 at this price.");
        let nowhere = house.ask_with(None, &query.replace(", account: \"studio\"", ""), json!({ "price": price, "quantity": 1 })).await.1;
        assert_eq!(nowhere["errors"][0]["extensions"]["code"], "BAD_REQUEST");
        let elsewhere = house.ask_with(None, &query.replace("studio", "nobody"), json!({ "price": price, "quantity": 1 })).await.1;
        assert_eq!(elsewhere["data"]["priceQuote"], json!(null));
    }

    /// The form shows what is on sale, to anyone, and nothing else of the account.
    async fn anyone_sees_what_is_on_sale_and_nothing_else(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        house.ten_pack(&class).await;
        let draft = house.draft("draft", &class).await;
        let unsold = house.price(json!({ "productId": draft, "paid": { "oneTime": { "currency": "CHF", "tiers": two_tiers() } } })).await;
        let quote = "query($price: ID!) { priceQuote(account: \"studio\", priceId: $price, quantity: 1) { credits } }";
        let asked = json!({ "price": unsold["price"]["id"] });
        assert_eq!(house.ask_with(None, quote, asked.clone()).await.1["data"]["priceQuote"], json!(null), "not on sale, not there");
        assert_eq!(house.data(quote, asked).await["priceQuote"]["credits"], 1, "staff may try it out");
        let query = format!("query($slug: String!) {{ orderForm(account: \"studio\", slug: $slug) {{
            name kind creditsPerUnit business {{ name timeZone }} creditType {{ name }}
            prices {{ kind currency tierMode tiers {{ from upTo unitAmount {{ decimal }} }} quote(quantity: 5) {{ {QUOTE} }} none: quote(quantity: 0) {{ quantity }} }} }} }}");
        let form = |slug: &str| {
            let (house, query, slug) = (&house, query.clone(), slug.to_owned());
            async move { house.ask_with(None, &query, json!({ "slug": slug })).await.1 }
        };
        let shown = form("classes").await["data"]["orderForm"].clone();
        assert_eq!((&shown["name"], &shown["business"]["name"], &shown["creditType"]["name"]), (&json!("Classes"), &json!("Studio"), &json!("Class")));
        assert_eq!(shown["prices"][0]["quote"]["total"]["minor"], 42_500);
        assert_eq!(shown["prices"][0]["none"], json!(null));
        assert_eq!(form("draft").await["data"]["orderForm"], json!(null), "a draft is not on sale");
        assert_eq!(form("nothing").await["data"]["orderForm"], json!(null));
        for query in ["{ account { slug } }", "{ orders { nodes { id } } }", "{ customers { nodes { id } } }", "{ creditLiability { sold { credits } } }", "{ viewer { __typename } }"] {
            let (status, answer) = house.ask_with(None, query, json!({})).await;
            assert_eq!((status, answer["errors"][0]["extensions"]["code"].as_str()), (401, Some("UNAUTHENTICATED")), "{query}");
        }
    }

    /// A customer hears whether its credits cover a price in credits, and what they would buy.
    async fn a_customer_hears_whether_its_credits_cover_it(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let session = house.for_credits("session", &class, 2).await;
        house.for_credits("retreat", &class, 50).await;
        let ada = house.customer("Ada").await;
        house.issue(json!({ "customerId": ada, "creditTypeId": class, "amount": 5 })).await;
        let role = Role::Customer(ada.parse().expect("an id"));
        let query = format!("query($price: ID!, $quantity: Int!) {{ priceQuote(priceId: $price, quantity: $quantity) {{ {QUOTE} }} }}");
        let covered = house.ask(role, &query, json!({ "price": session, "quantity": 2 })).await["data"]["priceQuote"].clone();
        assert_eq!((&covered["creditCost"], &covered["available"], &covered["covered"]), (&json!(4), &json!(5), &json!(true)));
        assert_eq!((&covered["total"], &covered["credits"]), (&json!(null), &json!(null)));
        let more = house.ask(role, &query, json!({ "price": session, "quantity": 3 })).await["data"]["priceQuote"].clone();
        assert_eq!(more["covered"], json!(false));
        let offers = "{ viewer { ... on Customer { creditOffers { affordableQuantity product { name } price { id creditAmount } } } } }";
        let offers = house.ask(role, offers, json!({})).await["data"]["viewer"]["creditOffers"].clone();
        assert_eq!(offers, json!([{ "affordableQuantity": 2, "product": { "name": "session" }, "price": { "id": session, "creditAmount": 2 } }]));
        let placed = house.place(&ada, &session, 1).await;
        assert!(!id(&placed["order"]).is_empty());
    }
}
