//! Persons: all that is kept about one, and forgetting who it was.

use scrip::domain::Role;
use serde_json::{Value, json};

use crate::doors::keys::key;
use crate::doors::sessions::session;
use crate::doors::shop::Shop;
use crate::harness::{Backend, House, codes};
use crate::on_both;

on_both! {
    async fn an_export_holds_all_that_is_kept_and_nothing_of_others(house: House) {
        let shop = Shop::open(&house).await;
        let (_, token) = session(&house, &shop.ada).await;
        let get = |token: String, id: String| house.client().get(format!("/exports/{id}.json"))
            .header("authorization", format!("Bearer {token}")).send();
        let response = get(house.token(Role::Staff), shop.ada.clone()).await;
        assert_eq!(response.0.status().as_u16(), 200);
        assert_eq!(response.0.header("cache-control"), Some("no-store"));
        let text = response.0.into_body().into_string().await.expect("text");
        let export: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(export["customer"]["email"], "ada@example.com", "{export:#}");
        for (part, least) in [
            ("tags", 1), ("wallets", 1), ("grants", 1), ("activities", 2), ("allocations", 2), ("holds", 1), ("orders", 1),
            ("orderLines", 1), ("events", 3), ("enrolments", 1), ("sessions", 1),
        ] {
            assert!(export[part].as_array().is_some_and(|rows| rows.len() >= least), "{part}: {export:#}");
        }
        let notes = export["activities"].as_array().expect("rows").iter().filter_map(|row| row["note"].as_str());
        assert!(notes.collect::<Vec<_>>().contains(&"Ada's own note"));
        assert!(!text.contains(&shop.bob) && !text.contains("Bob"), "{text}");
        for secret in ["digest", "hash", "noteSalt", "accountId", "account_id"] {
            assert!(!text.contains(&format!("\"{secret}")), "{secret}");
        }
        // Nobody but staff gets one.
        for (token, status) in [(token, 403), (String::new(), 401)] {
            assert_eq!(get(token, shop.ada.clone()).await.0.status().as_u16(), status);
        }
        let missing = "cus_01h455vb4pex5vsknk084sn02q".to_owned();
        assert_eq!(get(house.token(Role::Staff), missing).await.0.status().as_u16(), 404);
        assert_eq!(get(house.token(Role::Staff), "nonsense".to_owned()).await.0.status().as_u16(), 404);
    }

    async fn an_erasure_leaves_numbers_and_a_ledger_that_verifies(house: House) {
        let shop = Shop::open(&house).await;
        let (_, token) = session(&house, &shop.ada).await;
        let before = house.balance(&shop.ada).await;
        let erase = |role: Role| {
            let query = "mutation($id: ID!) { customerErase(input: { id: $id }) {
                customer { name email externalId locale tags metadata erasedAt archivedAt } userErrors { code message } } }";
            let (house, id) = (&house, shop.ada.clone());
            async move { house.ask(role, query, json!({ "id": id })).await }
        };
        let refused = erase(Role::Staff).await;
        assert_eq!(refused["errors"][0]["extensions"]["code"], "FORBIDDEN");
        let erased = erase(Role::Owner).await["data"]["customerErase"]["customer"].clone();
        assert_eq!(erased["name"], "(erased)", "{erased}");
        for gone in ["email", "externalId", "locale"] {
            assert_eq!(erased[gone], Value::Null, "{gone}");
        }
        assert_eq!((&erased["tags"], &erased["metadata"]), (&json!([]), &json!({})));
        assert!(erased["erasedAt"].is_string() && erased["archivedAt"].is_string());
        assert_eq!(erase(Role::Owner).await["data"]["customerErase"]["customer"], erased, "twice is once");
        // What was counted is as it was, and nothing says any more who it was.
        assert_eq!(house.balance(&shop.ada).await, before);
        house.assert_verified().await;
        assert_eq!(house.ask_with(Some(&token), "{ viewer { __typename } }", json!({})).await.0, 401);
        let response = house.client().get(format!("/exports/{}.json", shop.ada))
            .header("authorization", format!("Bearer {}", house.token(Role::Staff))).send().await;
        let left = response.0.into_body().into_string().await.expect("text");
        for word in ["Ada", "ada@", "own note", "secret of staff", "crm-7", "vip", "de-CH", "shoe size"] {
            assert!(!left.contains(word), "{word} is still there: {left}");
        }
        let ada = shop.ada.parse::<entity::CustomerId>().expect("an id").0.simple();
        let ada = if house.backend == Backend::Sqlite { format!("x'{ada}'") } else { format!("'{ada}'") };
        for (table, id, column) in [
            ("customer", "id", "name"), ("customer", "id", "email"), ("activity", "customer_id", "note"),
            ("activity", "customer_id", "internal_note"), ("product_order", "customer_id", "note"),
            ("product_order", "customer_id", "CAST(metadata AS text)"), ("event", "customer_id", "CAST(payload AS text)"),
            ("enrolment", "customer_id", "CAST(facts AS text)"), ("customer_term", "customer_id", "term"),
            ("credit_grant", "customer_id", "CAST(metadata AS text)"),
        ] {
            let words = ["%ada%", "%secret of staff%", "%shoe size%"].map(|word| format!("lower({column}) LIKE '{word}'"));
            let found = format!("UPDATE {table} SET account_id = account_id WHERE {id} = {ada} AND ({})", words.join(" OR "));
            assert_eq!(house.tamper(&found).await, 0, "{table}.{column}");
        }
        let found = house.data("{ customers(search: \"ada\", includeArchived: true) { nodes { id } } }", json!({})).await;
        assert_eq!(found["customers"]["nodes"], json!([]));
        // Nor does the file say it, for who looks beside the tables; the last line of the access log is written by now.
        let written = "UPDATE access_entry SET outcome = outcome WHERE operation = 'customerErase'";
        for _ in 0..200 {
            if house.tamper(written).await == 3 { break; }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(house.tamper(written).await, 3);
        assert_eq!(house.tamper("UPDATE access_entry SET about = about WHERE about LIKE '%crm-7%'").await, 0);
        if house.backend == Backend::Sqlite {
            let path = house.url.trim_start_matches("sqlite:");
            for end in ["", "-wal"] {
                let bytes = std::fs::read(format!("{path}{end}")).unwrap_or_default();
                for word in ["crm-7", "Ada's own note"] {
                    let found = bytes.windows(word.len()).any(|part| part == word.as_bytes());
                    assert!(!found, "{word} is still in the file{end}");
                }
            }
        }
        // It stays erased, and what is said of it later is refused.
        let track = json!({ "name": "form.sent", "customer": { "id": shop.ada }, "idempotencyKey": "late" });
        assert_eq!(codes(&house.mutate("eventTrack", "event { id }", track).await), ["INVALID"]);
        let lines = json!([{ "priceId": shop.id("price"), "quantity": 1 }]);
        let order = json!({ "customerId": shop.ada, "lines": lines, "note": "late", "idempotencyKey": "late-order" });
        assert_eq!(codes(&house.mutate("orderPlace", "order { id }", order).await), ["INVALID"]);
        for (mutation, input) in [
            ("customerUpdate", json!({ "id": shop.ada, "name": "Ada" })),
            ("customerUnarchive", json!({ "id": shop.ada })),
            ("customerTag", json!({ "id": shop.ada, "tags": ["x"] })),
            ("customerSessionCreate", json!({ "customerId": shop.ada })),
        ] {
            let fields = if mutation == "customerSessionCreate" { "token" } else { "customer { id }" };
            assert_eq!(codes(&house.mutate(mutation, fields, input).await), ["INVALID"], "{mutation}");
        }
        // Somebody new may have the address.
        house.customer("Ada").await;
    }

    async fn who_is_charged_is_not_erased(house: House) {
        let shop = Shop::open(&house).await;
        let subscription = shop.subscribe(&house, &shop.ada).await;
        let erase = || house.by_owner("customerErase", "customer { id }", json!({ "id": shop.ada }));
        assert_eq!(codes(&erase().await), ["INVALID"]);
        house.mutate("subscriptionCancel", "subscription { status }", json!({ "subscriptionId": subscription })).await;
        assert_eq!(codes(&erase().await), [] as [&str; 0]);
    }

    async fn a_key_erases_if_it_may(house: House) {
        let ada = house.customer("Ada").await;
        let query = "mutation($id: ID!) { customerErase(input: { id: $id }) { customer { id } userErrors { code } } }";
        let (_, reader) = key(&house, &["READ", "CUSTOMERS_WRITE"]).await;
        let (_, refused) = house.ask_with(Some(&reader), query, json!({ "id": ada })).await;
        assert_eq!(refused["errors"][0]["extensions"]["code"], "FORBIDDEN");
        let (_, program) = key(&house, &["CUSTOMERS_ERASE"]).await;
        let (_, erased) = house.ask_with(Some(&program), query, json!({ "id": ada })).await;
        assert_eq!(erased["data"]["customerErase"]["customer"]["id"], json!(ada), "{erased}");
        let read = house.data("query($id: ID!) { customer(by: { id: $id }) { name } }", json!({ "id": ada })).await;
        assert_eq!(read["customer"]["name"], "(erased)");
    }
}
