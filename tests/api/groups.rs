//! Queries that are asked at the same time are read together, and nobody can tell by what is answered.

use std::time::Duration;

use entity::CustomerId;
use futures_util::future::join_all;
use scrip::domain::Role;
use serde_json::{Value, json};

use crate::harness::{Backend, House, new_account};
use crate::on_both;

const CUSTOMER: &str = "query($id: ID!) { customer(by: { id: $id }) {
    id name balances { available creditType { name } } activity(first: 3) { nodes { balanceAfter } } } }";

/// Customers with one credit, two credits, and so on; they were asked for once, so that it is known how the question is read.
async fn customers(house: &House, count: usize) -> Vec<String> {
    let credit_type = house.credit_type("Session", json!({ "never": true })).await;
    let mut customers = Vec::new();
    for n in 1..=count {
        let customer = house.customer(&format!("Customer {n}")).await;
        house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": n })).await;
        customers.push(customer);
    }
    house.data(CUSTOMER, json!({ "id": customers[0] })).await;
    customers
}

on_both! {
    async fn many_at_once_take_few_statements_and_each_hears_its_own(house: House) {
        let customers = customers(&house, 64).await;
        let ask = |id: &String| house.data(CUSTOMER, json!({ "id": id }));
        let before = house.statements().await;
        ask(&customers[0]).await;
        let one = house.app.store().statements() - before;
        // Account, customer, wallets, open grants, newest activities, credit types.
        assert_eq!(one, 6);
        let before = house.statements().await;
        let answers = house.together(customers.iter().map(ask)).await;
        let many = house.app.store().statements() - before - House::READERS as u64;
        for (n, (answer, id)) in (1..).zip(answers.iter().zip(&customers)) {
            assert_eq!(answer["customer"], json!({
                "id": id, "name": format!("Customer {n}"),
                "balances": [{ "available": n, "creditType": { "name": "Session" } }],
                "activity": { "nodes": [{ "balanceAfter": n }] },
            }));
        }
        // As many groups at once as there are readers, of whom each is one, and two of all others.
        assert!(many <= 10 * one, "64 at once took {many} statements, one takes {one}");
    }

    async fn who_sees_something_else_is_in_another_group(house: House) {
        let customers = customers(&house, 2).await;
        let other = new_account(&house.app, "other").await;
        let stranger = house.tokens.make(Some(other.id), Role::Staff, "tester", Duration::from_mins(1)).expect("a token");
        let ids = [0, 1].map(|n| customers[n].parse::<CustomerId>().expect("an id"));
        let tokens = [house.token(Role::Staff), house.token(Role::Customer(ids[0])), house.token(Role::Customer(ids[1])), stranger];
        let asked = (0..200).map(|n| (&tokens[n % 4], n % 4, n / 4 % 2));
        let answers = asked.map(|(token, who, of)| {
            let (house, id) = (&house, &customers[of]);
            async move { (who, of, house.ask_with(Some(token), CUSTOMER, json!({ "id": id })).await.1) }
        });
        for (who, of, answer) in house.together(answers).await {
            assert_eq!(answer.get("errors"), None, "{answer}");
            let seen = answer["data"]["customer"]["id"].as_str();
            let may = who == 0 || who == of + 1;
            assert_eq!(seen, may.then_some(customers[of].as_str()), "caller {who} asked for customer {of}");
        }
    }

    async fn who_may_not_read_hears_so_in_company_too(house: House) {
        let endpoint = json!({ "url": "https://127.0.0.1/x", "events": ["*"] });
        let endpoint = house.by_owner("webhookEndpointCreate", "webhookEndpoint { id }", endpoint).await["webhookEndpoint"]["id"].clone();
        let key = json!({ "name": "Hooks", "scopes": ["WEBHOOKS_WRITE"] });
        let key = house.by_owner("apiKeyCreate", "key", key).await["key"].as_str().expect("a key").to_owned();
        let owner = house.token(Role::Owner);
        let query = "query($id: ID!) { webhookEndpoint(id: $id) { url } }";
        assert!(house.ask(Role::Owner, query, json!({ "id": endpoint })).await.get("errors").is_none());
        let asked = (0..60).map(|n| {
            let (house, id, token) = (&house, &endpoint, if n % 3 == 0 { &key } else { &owner });
            async move { (n % 3 == 0, house.ask_with(Some(token), query, json!({ "id": id })).await.1) }
        });
        for (is_key, answer) in house.together(asked).await {
            if is_key {
                assert_eq!(answer["errors"][0]["extensions"]["code"], "FORBIDDEN", "{answer}");
                assert_eq!(answer["data"], json!({ "webhookEndpoint": null }));
            } else {
                assert_eq!(answer["data"], json!({ "webhookEndpoint": { "url": "https://127.0.0.1/x" } }), "{answer}");
            }
        }
    }

    /// What a question reads may depend on its variables.
    async fn who_leaves_its_company_is_answered_alone(house: House) {
        let customers = customers(&house, 32).await;
        let query = "query($id: ID!, $search: Boolean!) { customer(by: { id: $id }) { id }
            customers(search: \"customer\", first: 2) @include(if: $search) { nodes { id } } }";
        house.data(query, json!({ "id": customers[0], "search": false })).await;
        for _ in 0..2 {
            let asked = customers.iter().enumerate().map(|(n, id)| house.data(query, json!({ "id": id, "search": n % 4 == 3 })));
            for (n, answer) in house.together(asked).await.iter().enumerate() {
                assert_eq!(answer["customer"]["id"], json!(customers[n]));
                assert_eq!(answer["customers"]["nodes"].as_array().map(Vec::len), (n % 4 == 3).then_some(2));
            }
        }
    }

    /// A search is of one query alone: together they would wait for each other on one connection.
    async fn what_is_read_past_the_loaders_is_asked_alone(house: House) {
        customers(&house, 3).await;
        let ask = || house.data("{ customers(search: \"customer\", first: 3) { nodes { id } } }", json!({}));
        ask().await;
        let before = house.statements().await;
        ask().await;
        let one = house.app.store().statements() - before;
        let before = house.statements().await;
        let answers = join_all((0..24).map(|_| ask())).await;
        assert!(answers.iter().all(|answer| answer["customers"]["nodes"].as_array().is_some_and(|nodes| nodes.len() == 3)));
        assert_eq!(house.app.store().statements() - before, 24 * one);
    }

    /// Who is gone is in no group, or its answer is thrown away.
    async fn who_hangs_up_holds_up_nobody(house: House) {
        let customers = customers(&house, 32).await;
        let asked = customers.iter().enumerate().map(|(n, id)| {
            let patience = Duration::from_millis(if n % 4 == 3 { 100 } else { 20_000 });
            tokio::time::timeout(patience, house.data(CUSTOMER, json!({ "id": id })))
        });
        for (n, answer) in house.together(asked).await.into_iter().enumerate() {
            let name = answer.ok().map(|answer| answer["customer"]["name"].clone());
            assert_eq!(name, (n % 4 != 3).then(|| json!(format!("Customer {}", n + 1))));
        }
        assert_eq!(house.data(CUSTOMER, json!({ "id": customers[3] })).await["customer"]["name"], "Customer 4");
    }

    /// A group costs no more than one query may: of these there is room for one.
    async fn dear_queries_are_in_groups_of_their_own(house: House) {
        let customers = customers(&house, 16).await;
        let fields = "nodes { id kind sequence amount heldAmount balanceBefore balanceAfter source reference reason note internalNote at }";
        let dear = (0..9).map(|n| format!("a{n}: activity(first: 100) {{ {fields} }}")).collect::<Vec<_>>().concat();
        let dear = format!("query($id: ID!) {{ customer(by: {{ id: $id }}) {{ name {dear} }} }}");
        let ask = |id: &String| house.data(&dear, json!({ "id": id }));
        ask(&customers[0]).await;
        let before = house.statements().await;
        ask(&customers[0]).await;
        let one = house.app.store().statements() - before;
        let before = house.statements().await;
        let answers = house.together(customers.iter().map(ask)).await;
        let many = house.app.store().statements() - before - House::READERS as u64;
        for (n, answer) in answers.iter().enumerate() {
            assert_eq!(answer["customer"]["name"], format!("Customer {}", n + 1));
        }
        assert_eq!(many, 16 * one);
    }

    /// Each hears of it, and the next one is answered.
    async fn a_snapshot_that_cannot_be_opened_breaks_all_of_its_group(house: House) {
        let customers = customers(&house, 24).await;
        house.tamper("ALTER TABLE account RENAME TO lost").await;
        let asked = customers.iter().map(|id| house.ask(Role::Staff, CUSTOMER, json!({ "id": id })));
        for answer in join_all(asked).await {
            assert_eq!(answer["errors"][0]["extensions"]["code"], "INTERNAL", "{answer}");
        }
        house.tamper("ALTER TABLE lost RENAME TO account").await;
        assert_eq!(house.data(CUSTOMER, json!({ "id": customers[0] })).await["customer"]["name"], "Customer 1");
    }

    async fn what_was_acknowledged_is_seen_by_who_asks_after_it(house: House) {
        let customers = customers(&house, 24).await;
        let credit_type = house.credit_type("Class", json!({ "never": true })).await;
        join_all(customers.iter().map(|id| {
            let (house, credit_type) = (&house, &credit_type);
            async move {
                for amount in 1..=12 {
                    house.issue(json!({ "customerId": id, "creditTypeId": credit_type, "amount": 1 })).await;
                    let seen = house.data(CUSTOMER, json!({ "id": id })).await["customer"].clone();
                    let class = seen["balances"].as_array().expect("balances").iter().find(|b| b["creditType"]["name"] == "Class");
                    assert_eq!(class.map(|balance| &balance["available"]), Some(&json!(amount)));
                    assert_eq!(seen["activity"]["nodes"][0]["balanceAfter"], amount);
                }
            }
        })).await;
    }

    /// On PostgreSQL a statement that fails ends the transaction that the others read from as well.
    async fn what_breaks_one_breaks_no_other(house: House) {
        let customers = customers(&house, 32).await;
        house.tamper("ALTER TABLE customer_tag RENAME TO lost").await;
        let query = "query($id: ID!, $tags: Boolean!) { customer(by: { id: $id }) {
            id tags @include(if: $tags) balances { available } } }";
        house.data(query, json!({ "id": customers[0], "tags": false })).await;
        let asked = customers.iter().enumerate().map(|(n, id)| {
            house.ask(Role::Staff, query, json!({ "id": id, "tags": n % 8 == 7 }))
        });
        for (n, answer) in house.together(asked).await.into_iter().enumerate() {
            if n % 8 == 7 {
                assert_eq!(answer["errors"][0]["extensions"]["code"], "INTERNAL", "{answer}");
            } else {
                assert_eq!(answer.get("errors"), None, "{answer}");
                assert_eq!(answer["data"]["customer"]["balances"], json!([{ "available": n + 1 }]));
            }
        }
        house.tamper("ALTER TABLE lost RENAME TO customer_tag").await;
        let healed: Value = house.data(query, json!({ "id": customers[0], "tags": true })).await;
        assert_eq!(healed["customer"]["tags"], json!([]));
    }
}
