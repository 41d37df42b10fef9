//! Who may do what, and that nobody meets another's data.

use std::time::Duration;

use entity::CustomerId;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use scrip::domain::Role;
use serde_json::{Value, json};

use crate::harness::{Backend, House, SIGNING_SECRET, new_account};
use crate::on_both;

/// A token by hand: the claims as given.
fn forged(claims: &Value, secret: &str, algorithm: Algorithm) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes()))
        .expect("a token")
}

fn without(claims: &Value, name: &str) -> Value {
    let mut claims = claims.clone();
    claims.as_object_mut().expect("an object").remove(name);
    claims
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

on_both! {
    async fn a_token_that_is_not_right_is_401_and_says_no_more(house: House) {
        let now = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).timestamp();
        let claims = json!({
            "iss": "scrip", "aud": "scrip", "sub": "x", "exp": now + 600, "role": "staff", "account": house.account.id,
        });
        let sign = |claims: &Value| forged(claims, SIGNING_SECRET, Algorithm::HS256);
        assert_eq!(house.ask_with(Some(&sign(&claims)), "{ account { slug } }", json!({})).await.0, 200);
        let none = {
            let encode = |value: &Value| data_encoding::BASE64URL_NOPAD.encode(value.to_string().as_bytes());
            format!("{}.{}.", encode(&json!({ "alg": "none", "typ": "JWT" })), encode(&claims))
        };
        let mut tokens = vec![
            ("expired", sign(&with(&claims, "exp", json!(now - 120)))),
            ("not yet valid", sign(&with(&claims, "nbf", json!(now + 120)))),
            ("another issuer", sign(&with(&claims, "iss", json!("other")))),
            ("another audience", sign(&with(&claims, "aud", json!("other")))),
            ("an unknown role", sign(&with(&claims, "role", json!("root")))),
            ("a customer without an id", sign(&with(&claims, "role", json!("customer")))),
            ("staff with a customer's id", sign(&with(&claims, "customer", json!(CustomerId(house.account.id.0))))),
            ("an operator with an account", sign(&with(&claims, "role", json!("operator")))),
            ("a malformed account", sign(&with(&claims, "account", json!("acc_x")))),
            ("another secret", forged(&claims, "another secret of thirty-two bytes", Algorithm::HS256)),
            ("another algorithm", forged(&claims, SIGNING_SECRET, Algorithm::HS512)),
            ("alg none", none),
            ("nothing", String::new()),
            ("noise", "a.b.c".to_owned()),
            ("very long", "x".repeat(100_000)),
        ];
        for claim in ["iss", "aud", "sub", "exp", "account", "role"] {
            tokens.push((claim, sign(&without(&claims, claim))));
        }
        for (what, token) in tokens {
            let (status, response) = house.ask_with(Some(&token), "{ __typename }", json!({})).await;
            assert_eq!(status, 401, "{what}");
            assert_eq!(response["errors"][0]["message"], "The token is invalid or expired. Sign in again, or ask for a new one.", "{what}");
            assert_eq!(response["errors"][0]["extensions"]["code"], "UNAUTHENTICATED", "{what}");
            assert_eq!(response.get("data"), None, "{what}");
        }
    }

    /// It is remembered that a token was good, and not for longer than it is.
    async fn a_token_that_was_good_ends_all_the_same(house: House) {
        let seconds = || chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).timestamp();
        // Two machines' clocks may differ by thirty seconds.
        let end = seconds() + 10 - 30;
        let claims = json!({ "iss": "scrip", "aud": "scrip", "sub": "x", "exp": end, "role": "staff", "account": house.account.id });
        let token = forged(&claims, SIGNING_SECRET, Algorithm::HS256);
        for _ in 0..2 {
            assert_eq!(house.ask_with(Some(&token), "{ account { slug } }", json!({})).await.0, 200);
        }
        while seconds() <= end + 30 {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        assert_eq!(house.ask_with(Some(&token), "{ account { slug } }", json!({})).await.0, 401);
    }

    async fn without_a_token_there_is_the_schema_and_nothing_else(house: House) {
        let (status, response) = house.ask_with(None, "{ __schema { queryType { name } } }", json!({})).await;
        assert_eq!((status, &response["data"]["__schema"]["queryType"]["name"]), (200, &json!("Query")));
        for query in ["{ account { slug } }", "{ customers { nodes { id } } }", "{ nodes(ids: []) { id } }"] {
            let (status, response) = house.ask_with(None, query, json!({})).await;
            assert_eq!((status, &response["errors"][0]["extensions"]["code"]), (401, &json!("UNAUTHENTICATED")), "{query}");
        }
        let (_, response) = house.ask_with(None, "mutation { customerCreate(input: { name: \"x\" }) { customer { id } } }", json!({})).await;
        assert_eq!(response["errors"][0]["extensions"]["code"], "UNAUTHENTICATED");
        assert_eq!(response["data"], json!({ "customerCreate": null }));
    }

    async fn roles_have_their_limits(house: House) {
        let update = "mutation { accountUpdate(input: { name: \"New\" }) { account { name } userErrors { code } } }";
        let create = "mutation { accountCreate(input: { name: \"B\", slug: \"bbb\", timeZone: \"UTC\", currency: \"EUR\" }) {
            account { slug mode creditsEnabled } ownerToken userErrors { code field } } }";
        let customers = "{ customers { nodes { id } } }";
        let may = |response: &Value| response.get("errors").is_none();
        for (role, name, [updates, creates, lists]) in [
            (Role::Owner, "owner", [true, false, true]),
            (Role::Staff, "staff", [false, false, true]),
            (Role::Operator, "operator", [false, true, false]),
        ] {
            assert_eq!(may(&house.ask(role, update, json!({})).await), updates, "{name}");
            assert_eq!(may(&house.ask(role, create, json!({})).await), creates, "{name}");
            let listed = house.ask(role, customers, json!({})).await;
            assert_eq!(may(&listed), lists, "{name}");
            if !lists {
                assert_eq!(listed["errors"][0]["extensions"]["code"], "FORBIDDEN");
            }
        }
        let viewer = "{ viewer { __typename ... on Staff { subject owner } } }";
        assert_eq!(house.ask(Role::Owner, viewer, json!({})).await["data"]["viewer"], json!({ "__typename": "Staff", "subject": "tester", "owner": true }));
        assert_eq!(house.ask(Role::Operator, viewer, json!({})).await["data"]["viewer"], Value::Null);
    }

    async fn a_customer_sees_itself_only(house: House) {
        let (ada, eve) = (house.customer("Ada").await, house.customer("Eve").await);
        let (session, class) = (house.credit_type("Session", json!({ "never": true })).await, house.credit_type("Class", json!({ "never": true })).await);
        let tag = "mutation($id: ID!) { customerTag(input: { id: $id, tags: [\"difficult\"] }) { userErrors { code } } }";
        house.data(tag, json!({ "id": ada })).await;
        let mut activities = Vec::new();
        let mut grants = Vec::new();
        for customer in [&ada, &eve] {
            let issued = house.issue(json!({
                "customerId": customer, "creditTypeId": session, "amount": 2, "note": "Welcome", "internalNote": "rude",
                "metadata": { "secret": true },
            })).await;
            activities.push(issued["activity"]["id"].clone());
            grants.push(issued["grant"]["id"].clone());
        }
        let me = Role::Customer(ada.parse().expect("an id"));
        let own = "{ viewer { ... on Customer { name tags metadata
            balances { available creditType { name } }
            grants { nodes { amount metadata } }
            activity { nodes { note internalNote actor { kind subject } } } } } account { name } }";
        let seen = house.ask(me, own, json!({})).await["data"].clone();
        assert_eq!(seen["viewer"], json!({
            "name": "Ada", "tags": null, "metadata": null,
            "balances": [{ "available": 2, "creditType": { "name": "Session" } }],
            "grants": { "nodes": [{ "amount": 2, "metadata": null }] },
            "activity": { "nodes": [{ "note": "Welcome", "internalNote": null, "actor": { "kind": "STAFF", "subject": null } }] },
        }));
        // Another's ids are answered like ids that never were; so are credit types that it has no credits of.
        for id in [json!(eve), activities[1].clone(), grants[1].clone(), json!(class)] {
            let node = house.ask(me, "query($id: ID!) { node(id: $id) { id } }", json!({ "id": id })).await;
            assert_eq!(node, json!({ "data": { "node": null } }), "{id}");
        }
        for id in [json!(ada), activities[0].clone(), grants[0].clone(), json!(session)] {
            let node = house.ask(me, "query($id: ID!) { node(id: $id) { id } }", json!({ "id": id })).await;
            assert_eq!(node["data"]["node"]["id"], id);
        }
        for by in [json!({ "id": eve }), json!({ "email": "eve@example.com" })] {
            let found = house.ask(me, "query($by: CustomerBy!) { customer(by: $by) { id } }", json!({ "by": by })).await;
            assert_eq!(found, json!({ "data": { "customer": null } }));
        }
        for query in ["{ customers { nodes { id } } }", "{ creditTypes { nodes { id } } }", "{ creditType(id: \"x\") { id } }"] {
            let response = house.ask(me, query, json!({})).await;
            assert_eq!(response["errors"][0]["extensions"]["code"], "FORBIDDEN", "{query}");
        }
        for mutation in [
            format!("mutation {{ creditsIssue(input: {{ customerId: \"{ada}\", creditTypeId: \"{session}\", amount: 1, idempotencyKey: \"k\" }}) {{ replayed }} }}"),
            format!("mutation {{ creditsConsume(input: {{ customerId: \"{ada}\", creditTypeId: \"{session}\", amount: 1, idempotencyKey: \"k\", dryRun: true }}) {{ replayed }} }}"),
            format!("mutation {{ grantVoid(input: {{ grantId: {}, reason: \"x\", idempotencyKey: \"k\" }}) {{ replayed }} }}", grants[0]),
            format!("mutation {{ customerUpdate(input: {{ id: \"{ada}\", name: \"x\" }}) {{ customer {{ id }} }} }}"),
            format!("mutation {{ creditTypeArchive(input: {{ id: \"{session}\" }}) {{ creditType {{ id }} }} }}"),
            "mutation { creditTypeCreate(input: { name: \"x\" }) { creditType { id } } }".to_owned(),
            "mutation { accountUpdate(input: { name: \"x\" }) { account { id } } }".to_owned(),
        ] {
            let response = house.ask(me, &mutation, json!({})).await;
            assert_eq!(response["errors"][0]["extensions"]["code"], "FORBIDDEN", "{mutation}");
            let message = response["errors"][0]["message"].as_str().unwrap_or_default();
            assert!(message.starts_with("This token may not do this. It takes a"), "{message}");
        }
    }

    async fn accounts_cannot_meet(house: House) {
        let ada = house.customer("Ada").await;
        let session = house.credit_type("Session", json!({ "never": true })).await;
        let issued = house.issue(json!({ "customerId": ada, "creditTypeId": session, "amount": 2 })).await;
        let other = new_account(&house.app, "other").await;
        let token = house.tokens.make(Some(other.id), Role::Owner, "rival", Duration::from_mins(5)).expect("a token");
        let ask = |query: &str, variables: Value| {
            let (house, token, query) = (&house, token.clone(), query.to_owned());
            async move { house.ask_with(Some(&token), &query, variables).await.1 }
        };
        for id in [json!(ada), json!(session), issued["grant"]["id"].clone(), issued["activity"]["id"].clone(), json!(house.account.id)] {
            let node = ask("query($id: ID!) { node(id: $id) { id } }", json!({ "id": id })).await;
            assert_eq!(node, json!({ "data": { "node": null } }));
        }
        let consume = "mutation($c: ID!, $t: ID!) { creditsConsume(input: { customerId: $c, creditTypeId: $t, amount: 1, idempotencyKey: \"k\" }) {
            activity { id } userErrors { code field } } }";
        let refused = ask(consume, json!({ "c": ada, "t": session })).await;
        let never = ask(consume, json!({ "c": "cus_01h455vb4pex5vsknk084sn02q", "t": session })).await;
        assert_eq!(refused, never);
        assert_eq!(refused["data"]["creditsConsume"]["userErrors"], json!([{ "code": "NOT_FOUND", "field": ["customerId"] }]));
        let update = ask("mutation($id: ID!) { customerUpdate(input: { id: $id, name: \"x\" }) { userErrors { code } } }", json!({ "id": ada })).await;
        assert_eq!(update["data"]["customerUpdate"]["userErrors"][0]["code"], "NOT_FOUND");
        assert_eq!(ask("{ customers { nodes { id } } creditTypes { nodes { id } } }", json!({})).await["data"],
            json!({ "customers": { "nodes": [] }, "creditTypes": { "nodes": [] } }));
        // The same e-mail and the same key belong to each account apart.
        let create = "mutation { customerCreate(input: { name: \"Ada\", email: \"ada@example.com\" }) { customer { name } } }";
        assert_eq!(ask(create, json!({})).await["data"]["customerCreate"]["customer"]["name"], "Ada");
        // A token of an account that is gone, or of another server's, is nobody's.
        let gone = house.tokens.make(Some(entity::AccountId(other.id.0)), Role::Staff, "x", Duration::from_mins(5)).expect("a token");
        house.tamper("DELETE FROM customer_term WHERE account_id IN (SELECT id FROM account WHERE slug = 'other')").await;
        house.tamper("DELETE FROM customer WHERE account_id IN (SELECT id FROM account WHERE slug = 'other')").await;
        house.tamper("DELETE FROM account WHERE slug = 'other'").await;
        assert_eq!(house.ask_with(Some(&gone), "{ account { slug } }", json!({})).await.0, 401);
    }
}
