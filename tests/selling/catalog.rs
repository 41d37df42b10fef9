//! Products and prices: what can be put on sale, and what is refused.

use scrip::domain::Role;
use serde_json::json;

use crate::harness::{Backend, House, codes};
use crate::on_both;
use crate::selling::shop::{flat, id, refusal, two_tiers};

fn said(code: &str, field: &str) -> (String, String) {
    (code.to_owned(), field.to_owned())
}

on_both! {
    /// A credit product is a draft until it has a credit type and a price.
    async fn a_product_is_sold_once_it_has_what_it_is_sold_with(house: House) {
        let input = json!({ "kind": "CREDIT", "slug": "ten-pack", "name": "Ten classes" });
        let made = house.done("productCreate", "product { id status orderFormPath }", input).await["product"].clone();
        assert_eq!((&made["status"], &made["orderFormPath"]), (&json!("DRAFT"), &json!("/o/studio/ten-pack")));
        let product = id(&made);
        let activate = || house.mutate("productActivate", "product { status }", json!({ "id": product }));
        assert_eq!(refusal(&activate().await), said("PRODUCT_INCOMPLETE", "id"));
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let changes = json!({ "id": product, "creditTypeId": class, "creditsPerUnit": 10, "name": "Ten classes, any day" });
        let updated = house.done("productUpdate", "product { name creditsPerUnit creditType { name } }", changes).await;
        assert_eq!(updated["product"], json!({ "name": "Ten classes, any day", "creditsPerUnit": 10, "creditType": { "name": "Class" } }));
        assert_eq!(refusal(&activate().await), said("PRODUCT_INCOMPLETE", "id"));
        let price = house.price(json!({ "productId": product, "paid": { "oneTime": { "currency": "CHF", "tiers": flat(65_000) } } })).await;
        assert_eq!(activate().await["product"]["status"], "ACTIVE");
        let cleared = house.mutate("productUpdate", "product { id }", json!({ "id": product, "creditTypeId": null })).await;
        assert_eq!(refusal(&cleared), said("PRODUCT_INCOMPLETE", "creditTypeId"));
        // The last price on sale is replaced, never just taken away.
        let last = house.mutate("priceArchive", "price { id }", json!({ "id": price["price"]["id"] })).await;
        assert_eq!(refusal(&last), said("INVALID", "id"));
        let replaced = json!({ "productId": product, "replacesPriceId": price["price"]["id"], "paid": { "oneTime": { "currency": "CHF", "tiers": flat(60_000) } } });
        let next = house.price(replaced).await;
        assert_eq!(codes(&next), Vec::<&str>::new());
        let query = "query($id: ID!) { product(id: $id) { prices { id } all: prices(includeArchived: true) { id archivedAt replaces { id } } } }";
        let read = house.data(query, json!({ "id": product })).await["product"].clone();
        assert_eq!(read["prices"], json!([{ "id": next["price"]["id"] }]));
        assert_eq!(read["all"][1]["replaces"]["id"], price["price"]["id"]);
        assert!(read["all"][0]["archivedAt"].is_string());
        assert_eq!(house.done("productArchive", "product { status }", json!({ "id": product })).await["product"]["status"], "ARCHIVED");
        let again = house.price(json!({ "productId": product, "paid": { "oneTime": { "currency": "CHF", "tiers": flat(1) } } })).await;
        assert_eq!(refusal(&again), said("PRODUCT_NOT_ACTIVE", "productId"));
    }

    async fn a_product_outside_its_limits_is_refused(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        house.draft("taken", &class).await;
        let with = |key: &str, value: serde_json::Value| {
            let mut input = json!({ "kind": "CREDIT", "slug": "fine", "name": "Fine", "creditTypeId": class });
            input[key] = value;
            input
        };
        for (input, wanted) in [
            (with("slug", json!("taken")), said("TAKEN", "slug")),
            (with("slug", json!("No spaces")), said("INVALID", "slug")),
            (with("slug", json!("graphql")), said("INVALID", "slug")),
            (with("name", json!(" ")), said("INVALID", "name")),
            (with("imageUrl", json!("javascript:alert(1)")), said("INVALID", "imageUrl")),
            (with("redirectUrl", json!("nowhere")), said("INVALID", "redirectUrl")),
            (with("creditsPerUnit", json!(0)), said("INVALID", "creditsPerUnit")),
            (with("creditTypeId", json!("ctp_01h455vb4pex5vsknk084sn02q")), said("NOT_FOUND", "creditTypeId")),
            (with("kind", json!("SERVICE")), said("INVALID", "creditTypeId")),
            (with("expiration", json!({ "at": "2030-01-01T00:00:00Z" })), said("INVALID", "expiration.at")),
            (with("expiration", json!({ "on": "2020-01-01" })), said("EXPIRATION_NOT_IN_FUTURE", "expiration")),
            (with("metadata", json!([1])), said("INVALID", "metadata")),
        ] {
            let refused = house.mutate("productCreate", "product { id }", input.clone()).await;
            assert_eq!(refusal(&refused), wanted, "{input}");
        }
        house.done("creditTypeArchive", "creditType { id }", json!({ "id": class })).await;
        let refused = house.mutate("productCreate", "product { id }", with("name", json!("Fine"))).await;
        assert_eq!(refusal(&refused), said("CREDIT_TYPE_ARCHIVED", "creditTypeId"));
        let query = "{ products { nodes { id } } }";
        let customer = house.ask(Role::Customer(house.customer("Ada").await.parse().expect("an id")), query, json!({})).await;
        assert_eq!(customer["errors"][0]["extensions"]["code"], "FORBIDDEN");
    }

    /// Each thing that can be wrong with a price says where it is.
    async fn a_price_outside_its_limits_is_refused(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let product = house.draft("classes", &class).await;
        let service = json!({ "kind": "SERVICE", "slug": "session", "name": "Session" });
        let service = id(&house.done("productCreate", "product { id }", service).await["product"]);
        let once = |tiers: serde_json::Value| json!({ "oneTime": { "currency": "CHF", "tiers": tiers } });
        let renews = |more: serde_json::Value| {
            let mut input = json!({ "currency": "CHF", "tiers": flat(9_900), "interval": { "count": 1, "unit": "MONTH" }, "creditsPerRenewal": 4 });
            for (key, value) in more.as_object().expect("an object") {
                input[key] = value.clone();
            }
            json!({ "subscription": input })
        };
        let of = |paid: serde_json::Value| json!({ "productId": product, "paid": paid });
        let with = |mut input: serde_json::Value, key: &str, value: serde_json::Value| {
            input[key] = value;
            input
        };
        let gap = json!([{ "from": 1, "upTo": 4, "unitAmount": 1 }, { "from": 6, "unitAmount": 1 }]);
        let overlap = json!([{ "from": 1, "upTo": 4, "unitAmount": 1 }, { "from": 4, "unitAmount": 1 }]);
        let ends = json!([{ "from": 1, "upTo": 4, "unitAmount": 1 }]);
        for (input, wanted) in [
            (of(once(gap)), said("INVALID", "paid.oneTime.tiers.1.from")),
            (of(once(overlap)), said("INVALID", "paid.oneTime.tiers.1.from")),
            (of(once(json!([{ "from": 2, "unitAmount": 1 }]))), said("INVALID", "paid.oneTime.tiers.0.from")),
            (of(once(json!([]))), said("INVALID", "paid.oneTime.tiers")),
            (of(once(flat(-1))), said("INVALID", "paid.oneTime.tiers.0.unitAmount")),
            (of(once(ends.clone())), said("INVALID", "paid.oneTime.tiers.0.upTo")),
            (of(json!({ "oneTime": { "currency": "XXY", "tiers": flat(1) } })), said("INVALID", "paid.oneTime.currency")),
            (of(once(flat(0))), said("INVALID", "maxPerCustomer")),
            (with(of(once(flat(1))), "minimumQuantity", json!(0)), said("INVALID", "minimumQuantity")),
            (with(with(of(once(flat(1))), "minimumQuantity", json!(5)), "maximumQuantity", json!(4)), said("INVALID", "maximumQuantity")),
            (with(of(once(flat(1))), "expiration", json!({ "at": "2030-01-01T00:00:00Z" })), said("INVALID", "expiration.at")),
            (with(of(once(flat(1))), "productId", json!("prd_01h455vb4pex5vsknk084sn02q")), said("NOT_FOUND", "productId")),
            (of(renews(json!({ "interval": { "count": 0, "unit": "MONTH" } }))), said("INVALID", "paid.subscription.interval.count")),
            (of(renews(json!({ "interval": { "count": 11, "unit": "YEAR" } }))), said("INVALID", "paid.subscription.interval.count")),
            (of(renews(json!({ "creditsPerRenewal": 0 }))), said("INVALID", "paid.subscription.creditsPerRenewal")),
            (of(renews(json!({ "grantEvery": { "count": 1, "unit": "WEEK" } }))), said("INVALID", "paid.subscription.grantEvery")),
            (of(renews(json!({ "rollover": { "all": false } }))), said("INVALID", "paid.subscription.rollover")),
            (of(renews(json!({ "rollover": { "upTo": -1 } }))), said("INVALID", "paid.subscription.rollover.upTo")),
            (with(of(renews(json!({ "rollover": { "none": true } }))), "expiration", json!({ "never": true })), said("INVALID", "expiration")),
            (with(of(renews(json!({}))), "productId", json!(service)), said("INVALID", "paid.subscription")),
            (of(json!({ "credits": { "creditTypeId": class, "amount": 1 } })), said("INVALID", "paid.credits")),
            (with(of(json!({ "credits": { "creditTypeId": class, "amount": 0 } })), "productId", json!(service)), said("INVALID", "paid.credits.amount")),
            (with(of(json!({ "credits": { "creditTypeId": "ctp_x", "amount": 1 } })), "productId", json!(service)), said("NOT_FOUND", "paid.credits.creditTypeId")),
        ] {
            assert_eq!(refusal(&house.price(input.clone()).await), wanted, "{input}");
        }
        let until = with(of(once(ends)), "maximumQuantity", json!(4));
        assert_eq!(codes(&house.price(until).await), Vec::<&str>::new());
    }

    /// Where more units cost less in total, it is created, and says so.
    async fn more_that_costs_less_is_warned_of(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let product = house.draft("classes", &class).await;
        let tiers = json!([{ "from": 1, "upTo": 9, "unitAmount": 1_000 }, { "from": 10, "unitAmount": 800 }]);
        let made = house.price(json!({ "productId": product, "paid": { "oneTime": { "currency": "CHF", "tiers": tiers } } })).await;
        assert!(made["price"]["id"].is_string());
        assert_eq!(made["warnings"], json!([{ "code": "MORE_COSTS_LESS", "message": "10 cost 80.00 CHF, and 9 cost 90.00 CHF: who wants fewer pays more." }]));
        let fine = house.price(json!({ "productId": product, "paid": { "oneTime": { "currency": "CHF", "tiers": two_tiers() } } })).await;
        assert_eq!(fine["warnings"], json!([]));
    }
}
