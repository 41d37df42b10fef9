//! API keys: shown once, good for what they were given and no more, gone when they are revoked.

use chrono::TimeDelta;
use scrip::domain::Role;
use serde_json::{Value, json};

use crate::harness::{Backend, House, codes};
use crate::on_both;

/// A key with scopes; its id and its text.
pub async fn key(house: &House, scopes: &[&str]) -> (String, String) {
    let fields = "apiKey { id name scopes ending createdBy } key";
    let made = house.by_owner("apiKeyCreate", fields, json!({ "name": "Calendar", "scopes": scopes })).await;
    assert_eq!(codes(&made), [] as [&str; 0], "{made}");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    (text(&made["apiKey"]["id"]), text(&made["key"]))
}

const ISSUE: &str = "mutation($input: CreditsIssueInput!) { creditsIssue(input: $input) {
    activity { amount balanceAfter actor { kind subject } customer { id } } userErrors { code } } }";

on_both! {
    async fn a_key_does_what_it_was_given_and_no_more(house: House) {
        let (ada, session) = (house.customer("Ada").await, house.credit_type("Session", json!({ "never": true })).await);
        let (id, key) = key(&house, &["CREDITS_WRITE"]).await;
        assert!(key.starts_with("scrip_live_") && key.len() == 11 + 52 + 1 + 52 + 6, "{key}");
        let input = json!({ "customerId": ada, "creditTypeId": session, "amount": 3, "idempotencyKey": "k" });
        let (status, issued) = house.ask_with(Some(&key), ISSUE, json!({ "input": input })).await;
        assert_eq!(status, 200);
        // It hears what became of what it did, and not what only staff reads.
        assert_eq!(issued["data"]["creditsIssue"]["activity"], json!({
            "amount": 3, "balanceAfter": 3, "actor": { "kind": "API_KEY", "subject": null }, "customer": { "id": ada },
        }));
        let forbidden = |response: Value| response["errors"][0]["extensions"]["code"].clone();
        for query in [
            "{ customers { nodes { id } } }",
            "{ account { name } }",
            "{ apiKeys { nodes { id } } }",
            "mutation { customerCreate(input: { name: \"Eve\" }) { customer { id } } }",
            "mutation { apiKeyCreate(input: { name: \"More\", scopes: [READ] }) { key } }",
            "mutation { accountUpdate(input: { name: \"Mine\" }) { account { id } } }",
            "mutation { webhookEndpointCreate(input: { url: \"https://example.com\", events: [\"*\"] }) { webhookEndpoint { id } } }",
        ] {
            let (_, response) = house.ask_with(Some(&key), query, json!({})).await;
            assert_eq!(forbidden(response), "FORBIDDEN", "{query}");
        }
        let viewer = "{ viewer { __typename ... on ApiKey { id scopes } } }";
        let (_, response) = house.ask_with(Some(&key), viewer, json!({})).await;
        assert_eq!(response["data"]["viewer"], json!({ "__typename": "ApiKey", "id": id, "scopes": ["CREDITS_WRITE"] }));
        // The ledger says who did it, and staff reads that.
        let actor = house.data("query($id: ID!) { customer(by: { id: $id }) { activity { nodes { actor { kind subject } } } } }",
            json!({ "id": ada })).await;
        assert_eq!(actor["customer"]["activity"]["nodes"][0]["actor"], json!({ "kind": "API_KEY", "subject": id }));
        house.assert_verified().await;
    }

    /// Without READ it gets ids and outcomes, and is told so before anything is done.
    async fn a_key_that_may_not_read_learns_of_nobody(house: House) {
        let ada = house.customer("Ada").await;
        let session = house.credit_type("Session", json!({ "never": true })).await;
        house.issue(json!({ "customerId": ada, "creditTypeId": session, "amount": 3 })).await;
        let (_, tracks) = key(&house, &["EVENTS_WRITE"]).await;
        let track = |fields: &str| format!("mutation($input: EventTrackInput!) {{ eventTrack(input: $input) {{ {fields} userErrors {{ code }} }} }}");
        let input = json!({ "input": { "customer": { "id": ada }, "name": "form.sent", "idempotencyKey": "one" } });
        for (fields, path) in [
            ("event { customer { name } }", "event.customer.name"),
            ("event { customer { balances { available } } }", "event.customer.balances"),
        ] {
            let (status, response) = house.ask_with(Some(&tracks), &track(fields), input.clone()).await;
            assert_eq!((status, &response["errors"][0]["extensions"]["code"]), (403, &json!("FORBIDDEN")), "{fields}: {response}");
            assert!(response["errors"][0]["message"].as_str().is_some_and(|message| message.contains(&format!("eventTrack.{path}`"))), "{response}");
        }
        let spread = format!("{} fragment All on Event {{ name customer {{ ... on Customer {{ id email }} }} }}", track("event { ...All }"));
        let (_, response) = house.ask_with(Some(&tracks), &spread, input.clone()).await;
        assert_eq!(response["errors"][0]["extensions"]["code"], "FORBIDDEN", "{response}");
        assert_eq!(house.data("{ events(name: \"form.sent\") { nodes { id } } }", json!({})).await["events"]["nodes"], json!([]), "nothing was done");
        let (_, done) = house.ask_with(Some(&tracks), &track("replayed event { name payload customer { id __typename } }"), input).await;
        assert_eq!(done["data"]["eventTrack"]["event"], json!({ "name": "form.sent", "payload": {}, "customer": { "id": ada, "__typename": "Customer" } }));
        // What it changes itself it does not read back either.
        let (_, writes) = key(&house, &["CUSTOMERS_WRITE"]).await;
        let update = "mutation($id: ID!) { customerUpdate(input: { id: $id }) { customer { id email } userErrors { code } } }";
        assert_eq!(house.ask_with(Some(&writes), update, json!({ "id": ada })).await.0, 403);
        let (_, both) = key(&house, &["CUSTOMERS_WRITE", "READ"]).await;
        assert_eq!(house.ask_with(Some(&both), update, json!({ "id": ada })).await.1["data"]["customerUpdate"]["customer"]["id"], json!(ada));
    }

    /// Each key has idempotency keys of its own: staff's are not taken by it. What it sent before that is found again.
    async fn keys_have_keys_of_their_own(house: House) {
        let ada = house.customer("Ada").await;
        let session = house.credit_type("Session", json!({ "never": true })).await;
        let input = |amount: i64, key: &str| json!({ "customerId": ada, "creditTypeId": session, "amount": amount, "idempotencyKey": key });
        let (_, first) = key(&house, &["CREDITS_WRITE"]).await;
        let (_, second) = key(&house, &["CREDITS_WRITE"]).await;
        let issue = "mutation($input: CreditsIssueInput!) { creditsIssue(input: $input) { replayed userErrors { code } } }";
        let sends = async |key: &str, amount: i64, name: &str| {
            let answer = house.ask_with(Some(key), issue, json!({ "input": input(amount, name) })).await.1;
            answer["data"]["creditsIssue"].clone()
        };
        let by = async |key: &str, amount: i64| sends(key, amount, "booking-1").await;
        let done = |replayed: bool| json!({ "replayed": replayed, "userErrors": [] });
        assert_eq!(by(&first, 2).await, done(false));
        assert_eq!(codes(&house.issue(input(5, "booking-1")).await), [] as [&str; 0], "staff has the key too");
        assert_eq!(by(&second, 3).await, done(false));
        assert_eq!((by(&first, 2).await, by(&second, 3).await), (done(true), done(true)));
        assert_eq!(by(&first, 3).await["userErrors"][0]["code"], "IDEMPOTENCY_KEY_REUSED");
        assert_eq!(house.balance(&ada).await["available"], 10);
        // As an earlier version recorded it.
        assert_eq!(sends(&first, 1, "old").await, done(false));
        house.tamper("UPDATE request SET caller = 'staff' WHERE caller LIKE 'key:%' AND key = 'old'").await;
        assert_eq!(sends(&first, 1, "old").await, done(true));
        assert_eq!(sends(&second, 4, "old").await, done(false), "another request is no repetition of that");
    }

    async fn a_key_that_reads_reads_and_writes_nothing(house: House) {
        let ada = house.customer("Ada").await;
        let (_, key) = key(&house, &["READ"]).await;
        let (_, response) = house.ask_with(Some(&key), "{ customers { nodes { id tags } } accessLog { nodes { id } } }", json!({})).await;
        assert_eq!(response["data"]["customers"]["nodes"], json!([{ "id": ada, "tags": [] }]));
        let update = "mutation($id: ID!) { customerUpdate(input: { id: $id, name: \"Eve\" }) { customer { name } } }";
        let (_, response) = house.ask_with(Some(&key), update, json!({ "id": ada })).await;
        assert_eq!(response["errors"][0]["extensions"]["code"], "FORBIDDEN");
    }

    async fn a_revoked_or_expired_or_altered_key_is_nobody_s(house: House) {
        let (id, revoked) = key(&house, &["READ"]).await;
        let query = "{ account { slug } }";
        assert_eq!(house.ask_with(Some(&revoked), query, json!({})).await.0, 200);
        let again = || house.by_owner("apiKeyRevoke", "apiKey { id revokedAt }", json!({ "id": id }));
        let first = again().await;
        assert!(first["apiKey"]["revokedAt"].is_string(), "{first}");
        assert_eq!(again().await, first);
        assert_eq!(house.ask_with(Some(&revoked), query, json!({})).await.0, 401);

        let soon = house.now() + TimeDelta::hours(1);
        let input = json!({ "name": "Short", "scopes": ["READ"], "expiresAt": soon });
        let made = house.by_owner("apiKeyCreate", "key", input).await;
        let short = made["key"].as_str().expect("a key").to_owned();
        assert_eq!(house.ask_with(Some(&short), query, json!({})).await.0, 200);
        house.clock.set(soon);
        assert_eq!(house.ask_with(Some(&short), query, json!({})).await.0, 401);

        let (_, good) = key(&house, &["READ"]).await;
        let (_, other) = key(&house, &["READ"]).await;
        // The secret of one does not open the other, whatever the checksum says.
        let head = good.rfind('_').expect("parts") + 1;
        let mixed = format!("{}{}", &good[..head], &other[head..]);
        for wrong in [mixed, format!("{good}x"), good[..good.len() - 1].to_owned(), good.to_uppercase(), "scrip_live_".to_owned()] {
            assert_eq!(house.ask_with(Some(&wrong), query, json!({})).await.0, 401, "{wrong}");
        }
    }

    async fn keys_are_the_owner_s_and_their_texts_nobody_s(house: House) {
        let (id, text) = key(&house, &["READ", "CREDITS_WRITE"]).await;
        let (_, response) = house.ask_with(Some(&house.token(Role::Staff)), "{ apiKeys { nodes { id } } }", json!({})).await;
        assert_eq!(response["errors"][0]["extensions"]["code"], "FORBIDDEN");
        let list = house.ask(Role::Owner, "{ apiKeys { nodes { id name scopes ending lastUsedAt } } }", json!({})).await;
        let listed = &list["data"]["apiKeys"]["nodes"][0];
        assert_eq!((&listed["id"], listed["ending"].as_str()), (&json!(id), text.get(text.len() - 4..)));
        assert!(!list.to_string().contains(&text[..text.len() - 8]));
        // Neither in the database: what is there does not lead back to it.
        let secret = &text[text.rfind('_').expect("parts") + 1..];
        let found = house.tamper(&format!("UPDATE api_key SET name = name WHERE name LIKE '%{secret}%' OR created_by LIKE '%{secret}%'")).await;
        assert_eq!(found, 0);
        for (input, code) in [
            (json!({ "name": "", "scopes": ["READ"] }), "INVALID"),
            (json!({ "name": "None", "scopes": [] }), "INVALID"),
            (json!({ "name": "Past", "scopes": ["READ"], "expiresAt": "2020-01-01T00:00:00Z" }), "INVALID"),
        ] {
            assert_eq!(codes(&house.by_owner("apiKeyCreate", "key", input).await), [code]);
        }
        assert_eq!(codes(&house.by_owner("apiKeyRevoke", "apiKey { id }", json!({ "id": "key_nope" })).await), ["NOT_FOUND"]);
    }

    async fn when_a_key_was_last_used_is_known_to_a_minute(house: House) {
        let (_, text) = key(&house, &["READ"]).await;
        let last = async |house: &House| {
            for _ in 0..100 {
                let list = house.ask(Role::Owner, "{ apiKeys { nodes { lastUsedAt } } }", json!({})).await;
                let at = list["data"]["apiKeys"]["nodes"][0]["lastUsedAt"].clone();
                if at.is_string() {
                    return at;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            panic!("it was never written");
        };
        for _ in 0..10 {
            assert_eq!(house.ask_with(Some(&text), "{ account { slug } }", json!({})).await.0, 200);
        }
        assert_eq!(last(&house).await, json!("2026-03-01T09:00:00Z"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_s_keys_say_so() {
    let house = House::new(Backend::Sqlite).await;
    let sandbox = house.sandbox("try-out", "2026-01-01T00:00:00Z").await;
    assert!(key(&sandbox, &["READ"]).await.1.starts_with("scrip_test_"));
}
