//! Accounts, customers, scopes: every field of the API's roots is called by whoever must get nothing from it. A field
//! without a rule makes the test fail, and so does a rule whose template is wrong: its own account must get through.

use std::collections::BTreeSet;
use std::time::Duration;

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{TypeKind, TypeSystemDefinition};
use scrip::domain::Role;
use serde_json::{Value, json};

use crate::doors::rules::{Anyone, Customer, MUTATIONS, NODES, Operator, Owner, QUERIES, Staff, WATCHED};
use crate::doors::shop::Shop;
use crate::harness::{Backend, House, new_account};
use crate::on_both;

/// The fields of an object type of the schema, and the object types that have an id.
fn schema() -> (impl Fn(&str) -> BTreeSet<String>, BTreeSet<String>) {
    let document = parse_schema(include_str!("../../schema.graphql")).expect("the schema");
    let objects = document.definitions.into_iter().filter_map(|definition| match definition {
        TypeSystemDefinition::Type(definition) => match definition.node.kind {
            TypeKind::Object(object) => Some((definition.node.name.node.to_string(), object)),
            _ => None,
        },
        _ => None,
    });
    let objects = objects.collect::<Vec<_>>();
    let is_node = |name: &str| name == "Node";
    let nodes = objects.iter().filter(|(_, object)| object.implements.iter().any(|name| is_node(&name.node)));
    let nodes = nodes.map(|(name, _)| name.clone()).collect();
    let fields = move |wanted: &str| {
        let (_, object) = objects.iter().find(|(name, _)| name == wanted).unwrap_or_else(|| panic!("no {wanted}"));
        object.fields.iter().map(|field| field.node.name.node.to_string()).collect()
    };
    (fields, nodes)
}

#[test]
fn every_field_of_the_roots_and_every_kind_of_node_has_a_rule() {
    let (fields, nodes) = schema();
    let names = |rules: Vec<&str>| rules.into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(fields("Query"), names(QUERIES.iter().map(|rule| rule.0).collect()));
    assert_eq!(fields("Mutation"), names(MUTATIONS.iter().map(|rule| rule.0).collect()));
    assert_eq!(fields("Live"), names(WATCHED.to_vec()));
    assert_eq!(nodes, names(NODES.iter().map(|rule| rule.0).collect()));
}

/// A mutation's text: what it answers does not matter, what it refuses does.
pub fn mutation(name: &str) -> String {
    let (first, rest) = name.split_at(1);
    format!(
        "mutation($input: {}{rest}Input!) {{ {name}(input: $input) {{ userErrors {{ code field }} }} }}",
        first.to_uppercase()
    )
    .replace("CustomerUntagInput", "CustomerTagInput")
}

/// What became of a request: the code of its error, the code of its refusal, or `done`.
fn outcome(response: &Value, field: &str) -> String {
    let code = response["errors"][0]["extensions"]["code"].as_str();
    let refusal = response["data"][field]["userErrors"][0]["code"].as_str();
    code.or(refusal).unwrap_or("done").to_owned()
}

/// Somebody of another account, with every right there.
async fn stranger(house: &House) -> String {
    let other = new_account(&house.app, "other").await;
    house.tokens.make(Some(other.id), Role::Owner, "stranger", Duration::from_mins(10)).expect("a token")
}

/// A key of the account with every scope but one.
async fn lacking(house: &House, scope: &str) -> String {
    let all = [
        "READ",
        "CUSTOMERS_WRITE",
        "CATALOG_WRITE",
        "CREDITS_WRITE",
        "ORDERS_WRITE",
        "EVENTS_WRITE",
        "AUTOMATIONS_WRITE",
        "WEBHOOKS_WRITE",
        "SESSIONS_WRITE",
        "CUSTOMERS_ERASE",
    ];
    let scopes = all.into_iter().filter(|known| *known != scope).collect::<Vec<_>>();
    let made =
        house.by_owner("apiKeyCreate", "key", json!({ "name": format!("without {scope}"), "scopes": scopes })).await;
    made["key"].as_str().expect("a key").to_owned()
}

/// A key of the account with one scope.
async fn only(house: &House, scope: &str) -> String {
    let made =
        house.by_owner("apiKeyCreate", "key", json!({ "name": format!("only {scope}"), "scopes": [scope] })).await;
    made["key"].as_str().expect("a key").to_owned()
}

/// Every row of an account, but for who did what.
async fn rows(house: &House) -> Vec<(String, String)> {
    let account = house.account.id.0;
    let mut all = Vec::new();
    match house.backend {
        Backend::Sqlite => {
            let pool = sqlx::SqlitePool::connect(&house.url).await.expect("a connection");
            let tables: Vec<(String, String)> = sqlx::query_as(
                "SELECT t.name, group_concat('quote(\"' || c.name || '\")', ' || ')
                FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table' AND EXISTS (
                    SELECT 1 FROM pragma_table_info(t.name) k WHERE k.name = 'account_id') GROUP BY t.name",
            )
            .fetch_all(&pool)
            .await
            .expect("tables");
            let account = format!("x'{}'", account.simple());
            for (table, columns) in tables {
                let sql = format!(
                    "SELECT coalesce(group_concat(r, char(10)), '') FROM (
                    SELECT {columns} AS r FROM {table} WHERE account_id = {account} ORDER BY 1)"
                );
                let rows: String = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&pool).await.expect("rows");
                all.push((table, rows));
            }
            pool.close().await;
        }
        Backend::Postgres => {
            let pool = sqlx::PgPool::connect(&house.url).await.expect("a connection");
            let tables: Vec<String> = sqlx::query_scalar(
                "SELECT table_name::text FROM information_schema.columns
                WHERE table_schema = 'public' AND column_name = 'account_id' ORDER BY 1",
            )
            .fetch_all(&pool)
            .await
            .expect("tables");
            for table in tables {
                let sql = format!(
                    "SELECT coalesce(string_agg(t::text, chr(10) ORDER BY t::text), '') FROM {table} t
                    WHERE account_id = '{account}'"
                );
                let rows: String = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&pool).await.expect("rows");
                all.push((table, rows));
            }
            pool.close().await;
        }
    }
    // When a key was last used is written beside the request; so is who did what.
    all.retain(|(table, _)| table != "access_entry" && table != "api_key");
    all
}

on_both! {
    async fn nobody_changes_what_is_not_theirs(house: House) {
        let shop = Shop::subscribed(&house).await;
        let stranger = stranger(&house).await;
        let mut keys = Vec::new();
        for scope in ["", "CUSTOMERS_WRITE", "CATALOG_WRITE", "CREDITS_WRITE", "ORDERS_WRITE", "EVENTS_WRITE",
            "AUTOMATIONS_WRITE", "WEBHOOKS_WRITE", "SESSIONS_WRITE", "CUSTOMERS_ERASE"] {
            keys.push((scope, lacking(&house, scope).await));
        }
        let bob = shop.bobs_token(&house);
        let staff = house.token(Role::Staff);
        let before = rows(&house).await;
        let mut wrong = Vec::new();
        for (name, who, scope, template) in MUTATIONS {
            let input = json!({ "input": shop.filled(template) });
            let ask = async |token: Option<&str>| outcome(&house.ask_with(token, &mutation(name), input.clone()).await.1, name);
            let names_something = template.contains("\"$");
            let mut expect = |by: &str, found: String, wanted: &[&str]| {
                if !wanted.contains(&found.as_str()) {
                    wrong.push(format!("{name} by {by}: {found}, not {wanted:?}"));
                }
            };
            // Another account's owner: nothing of this account is there for it.
            match who {
                Operator => expect("a stranger", ask(Some(&stranger)).await, &["FORBIDDEN"]),
                _ if names_something => expect("a stranger", ask(Some(&stranger)).await, &["NOT_FOUND"]),
                _ => {}
            }
            // Nobody, and a customer whose it is not.
            match who {
                Anyone => {
                    expect("nobody", ask(None).await, &["INVALID", "NOT_FOUND", "SIGN_IN_REQUIRED"]);
                    expect("a customer", ask(Some(&bob)).await, &["NOT_FOUND"]);
                }
                Customer => {
                    expect("nobody", ask(None).await, &["UNAUTHENTICATED"]);
                    expect("a customer", ask(Some(&bob)).await, &["NOT_FOUND"]);
                }
                _ => {
                    expect("nobody", ask(None).await, &["UNAUTHENTICATED"]);
                    expect("a customer", ask(Some(&bob)).await, &["FORBIDDEN"]);
                }
            }
            if matches!(who, Owner | Operator) {
                expect("staff", ask(Some(&staff)).await, &["FORBIDDEN"]);
            }
            let key = keys.iter().find(|(lacks, _)| lacks == scope).map(|(_, key)| key.as_str());
            expect("a key without the scope", ask(key).await, &["FORBIDDEN"]);
        }
        assert_eq!(wrong, Vec::<String>::new());
        assert_eq!(rows(&house).await, before, "something was changed");
        house.assert_verified().await;

        // Each template is right: a key with the one scope, where there is one, and else the account's own owner gets as far
        // as a rule of the business, or through.
        for (name, who, scope, template) in MUTATIONS.iter().filter(|rule| rule.1 != Operator) {
            let token = if scope.is_empty() { house.token(Role::Owner) } else { only(&house, scope).await };
            let input = json!({ "input": shop.filled(template) });
            let response = house.ask_with(Some(&token), &mutation(name), input).await.1;
            let found = outcome(&response, name);
            let through = !["NOT_FOUND", "UNAUTHENTICATED", "FORBIDDEN", "INTERNAL", "BAD_REQUEST"].contains(&found.as_str());
            assert!(through, "{name} ({who:?}) by its own: {response:#}");
        }
        house.assert_verified().await;
    }

    async fn nobody_reads_what_is_not_theirs(house: House) {
        let shop = Shop::subscribed(&house).await;
        let stranger = stranger(&house).await;
        let (bob, staff, owner) = (shop.bobs_token(&house), house.token(Role::Staff), house.token(Role::Owner));
        let key = lacking(&house, "READ").await;
        let theirs = shop.ids.iter().filter(|(name, _)| !name.starts_with("bob") && *name != "subscription" && *name != "account");
        // A credit type that a customer has credits of, and what is on sale, is no secret.
        let theirs = theirs.filter(|(name, _)| !["creditType", "product", "price"].contains(name)).map(|(_, id)| id.clone());
        let theirs = theirs.chain(["Ada's own note".to_owned()]).collect::<Vec<_>>();
        let all = shop.ids.iter().map(|(_, id)| id.clone()).collect::<Vec<_>>();
        let mut wrong = Vec::new();
        for (name, who, arguments, fields) in QUERIES {
            let text = shop.with_ids(&format!("{{ {name}{arguments} {fields} }}"));
            let ask = async |token: Option<&str>| house.ask_with(token, &text, json!({})).await.1;
            let tells = |by: &str, response: &Value, hidden: &[String]| {
                let told = response.to_string();
                let found = hidden.iter().find(|id| told.contains(id.as_str()));
                found.map(|found| format!("{name} tells {by} of {found}: {response}"))
            };
            if *who != Anyone {
                let response = ask(Some(&stranger)).await;
                wrong.extend(tells("a stranger", &response, &all));
                let response = ask(None).await;
                wrong.extend(tells("nobody", &response, &all));
                if response["errors"][0]["extensions"]["code"] != "UNAUTHENTICATED" && *name != "eventTypes" {
                    wrong.push(format!("{name} answers nobody: {response}"));
                }
            }
            let response = ask(Some(&bob)).await;
            wrong.extend(tells("another customer", &response, &theirs));
            if matches!(who, Staff | Owner) && response["errors"][0]["extensions"]["code"] != "FORBIDDEN" && *name != "eventTypes" {
                wrong.push(format!("{name} answers a customer: {response}"));
            }
            let response = ask(Some(&key)).await;
            if !matches!(who, Anyone) && *name != "viewer" && *name != "eventTypes" && response["errors"][0]["extensions"]["code"] != "FORBIDDEN" {
                wrong.push(format!("{name} answers a key that may not read: {response}"));
            }
            let response = ask(Some(if *who == Owner { &owner } else { &staff })).await;
            if response.get("errors").is_some() {
                wrong.push(format!("{name} does not answer its own: {response}"));
            }
            if *who == Owner && ask(Some(&staff)).await["errors"][0]["extensions"]["code"] != "FORBIDDEN" {
                wrong.push(format!("{name} answers staff"));
            }
        }
        for (kind, name) in NODES {
            let query = "query($id: ID!) { node(id: $id) { __typename id } }";
            let ask = async |token: &str| house.ask_with(Some(token), query, json!({ "id": shop.id(name) })).await.1;
            assert_eq!(ask(&owner).await["data"]["node"]["__typename"], *kind, "{name} is no {kind}");
            assert_eq!(ask(&stranger).await["data"]["node"], Value::Null, "{kind} is there for a stranger");
            if !["Account", "CreditType"].contains(kind) {
                assert_eq!(ask(&bob).await["data"]["node"], Value::Null, "{kind} is there for another customer");
            }
            assert_eq!(ask(&key).await["errors"][0]["extensions"]["code"], "FORBIDDEN", "{kind}");
        }
        assert_eq!(wrong, Vec::<String>::new());
    }

    async fn nobody_watches_what_is_not_theirs(house: House) {
        let shop = Shop::subscribed(&house).await;
        let stranger = stranger(&house).await;
        let key = lacking(&house, "READ").await;
        for field in WATCHED {
            let query = format!("subscription($id: ID!) {{ {field}(customerId: $id) {{ __typename }} }}");
            for (by, token) in [("a stranger", Some(&stranger)), ("a customer", Some(&shop.bobs_token(&house))), ("a key", Some(&key)), ("nobody", None)] {
                let mut request = house.client().post("/graphql").header("accept", "text/event-stream")
                    .body_json(&json!({ "query": query, "variables": { "id": shop.ada } }));
                if let Some(token) = token {
                    request = request.header("authorization", format!("Bearer {token}"));
                }
                let response = request.send().await;
                let text = tokio::time::timeout(Duration::from_secs(5), response.0.into_body().into_string()).await;
                let text = text.unwrap_or_else(|_| panic!("{field} by {by} goes on")).expect("text");
                let refused = ["NOT_FOUND", "FORBIDDEN", "UNAUTHENTICATED", "BAD_REQUEST"].iter().any(|code| text.contains(code));
                assert!(refused && !text.contains("\"__typename\""), "{field} by {by}: {text}");
            }
        }
    }
}
