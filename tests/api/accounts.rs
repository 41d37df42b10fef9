//! The account and its switch.

use scrip::domain::Role;
use serde_json::{Value, json};

use crate::harness::{Backend, House, codes};
use crate::on_both;

const UPDATE: &str = "mutation($input: AccountUpdateInput!) { accountUpdate(input: $input) {
    account { name slug timeZone currency creditsEnabled senderName logoUrl supportAddress }
    userErrors { code message field } } }";

on_both! {
    async fn credits_disabled_refuses_and_nothing_is_lost(house: House) {
        let customer = house.customer("Ada").await;
        let credit_type = house.credit_type("Session", json!({ "never": true })).await;
        let input = json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 3 });
        house.issue(input.clone()).await;
        let end = json!({ "at": "2026-03-15T00:00:00Z" });
        house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 4, "expiration": end })).await;
        house.ask(Role::Owner, UPDATE, json!({ "input": { "creditsEnabled": false } })).await;
        let mut late = input.clone();
        late["idempotencyKey"] = json!("while-disabled");
        for refused in [house.issue(input.clone()).await, house.consume(late.clone()).await] {
            assert_eq!(codes(&refused), ["CREDITS_DISABLED"]);
        }
        // Staff still reads; a customer sees none, which is data.
        assert_eq!(house.balance(&customer).await["available"], 7);
        let me = Role::Customer(customer.parse().expect("an id"));
        let own = house.ask(me, "{ viewer { ... on Customer { balances { available } } } }", json!({})).await;
        assert_eq!(own, json!({ "data": { "viewer": { "balances": [] } } }));
        house.set_clock("2026-03-20T00:00:00Z");
        house.ask(Role::Owner, UPDATE, json!({ "input": { "creditsEnabled": true } })).await;
        // The grants are there again, less what ended by the clock.
        assert_eq!(house.balance(&customer).await["available"], 3);
        assert_eq!(codes(&house.consume(late).await), ["CREDITS_DISABLED"]);
        assert_eq!(house.consume(input).await["balance"]["available"], 0);
        house.assert_verified().await;
    }

    async fn settings_are_checked_and_kept(house: House) {
        let update = |input: Value| {
            let house = &house;
            async move { house.ask(Role::Owner, UPDATE, json!({ "input": input })).await["data"]["accountUpdate"].clone() }
        };
        let changed = update(json!({
            "name": "New", "slug": "new-name", "timeZone": "America/New_York", "currency": "USD",
            "senderName": "The Team", "logoUrl": "https://example.com/logo.png", "supportAddress": "Help@example.com",
        })).await["account"].clone();
        assert_eq!(changed, json!({
            "name": "New", "slug": "new-name", "timeZone": "America/New_York", "currency": "USD", "creditsEnabled": true,
            "senderName": "The Team", "logoUrl": "https://example.com/logo.png", "supportAddress": "help@example.com",
        }));
        assert_eq!(update(json!({ "logoUrl": null })).await["account"]["logoUrl"], Value::Null);
        for (input, field) in [
            (json!({ "timeZone": "Mars/Olympus" }), "timeZone"),
            (json!({ "currency": "XQZ" }), "currency"),
            (json!({ "slug": "No Spaces" }), "slug"),
            (json!({ "slug": "graphql" }), "slug"),
            (json!({ "logoUrl": "javascript:alert(1)" }), "logoUrl"),
            (json!({ "name": "" }), "name"),
        ] {
            let refused = update(input).await;
            assert_eq!(refused["userErrors"][0]["field"], json!([field]));
        }
    }

    async fn operators_create_accounts(house: House) {
        let create = "mutation($input: AccountCreateInput!) { accountCreate(input: $input) {
            account { id mode clockAt creditsEnabled } ownerToken userErrors { code field } } }";
        let input = json!({ "name": "B", "slug": "bee", "timeZone": "UTC", "currency": "EUR" });
        let made = house.ask(Role::Operator, create, json!({ "input": input })).await["data"]["accountCreate"].clone();
        assert_eq!(made["account"]["mode"], "LIVE");
        let token = made["ownerToken"].as_str().expect("a token");
        let owned = house.ask_with(Some(token), "{ account { slug } viewer { ... on Staff { owner } } }", json!({})).await.1;
        assert_eq!(owned["data"], json!({ "account": { "slug": "bee" }, "viewer": { "owner": true } }));
        let again = house.ask(Role::Operator, create, json!({ "input": input })).await["data"]["accountCreate"].clone();
        assert_eq!(again["userErrors"], json!([{ "code": "TAKEN", "field": ["slug"] }]));
        assert_eq!(again["ownerToken"], Value::Null);
        let sandbox = json!({
            "name": "S", "slug": "sandbox", "timeZone": "UTC", "currency": "EUR", "mode": "SANDBOX", "clockAt": "2030-01-01T00:00:00Z",
        });
        let made = house.ask(Role::Operator, create, json!({ "input": sandbox })).await["data"]["accountCreate"].clone();
        assert_eq!(made["account"]["clockAt"], "2030-01-01T00:00:00Z");
        let live = json!({ "name": "L", "slug": "livee", "timeZone": "UTC", "currency": "EUR", "clockAt": "2030-01-01T00:00:00Z" });
        let refused = house.ask(Role::Operator, create, json!({ "input": live })).await["data"]["accountCreate"].clone();
        assert_eq!(refused["userErrors"][0]["field"], json!(["clockAt"]));
    }
}
