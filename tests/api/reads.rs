//! Reading: one snapshot, and a number of statements that does not grow with the number of customers.

use entity::{Owned, activity};
use futures_util::future::join_all;
use scrip::domain::Role;
use sea_orm::{ConnectionTrait, Database, FromQueryResult, QueryTrait};
use serde_json::{Value, json};

use crate::harness::{Backend, House};
use crate::on_both;

on_both! {
    /// A page reads its rows in another way than a look at one of them does.
    async fn a_page_shows_of_each_activity_what_it_shows_by_itself(house: House) {
        let credit_type = house.credit_type("Session", json!({ "never": true })).await;
        let customer = house.customer("Ada").await;
        let with = |extra: Value| {
            let mut input = json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 3 });
            input.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
            input
        };
        house.ledger("creditsIssue", with(json!({ "amount": 20 }))).await;
        let words = json!({ "note": "Thank you", "internalNote": "a friend", "reference": "booking 5" });
        let used = house.ledger("creditsConsume", with(words)).await["activity"]["id"].clone();
        house.ledger("activityReverse", json!({ "activityId": used, "amount": 1, "reason": "ill" })).await;
        house.ledger("holdPlace", with(json!({ "expiresAt": "2026-03-05T09:00:00Z" }))).await;
        house.ledger("creditsConsume", with(json!({}))).await;
        let fields = "id kind sequence amount heldAmount balanceBefore balanceAfter actor { kind subject } source reference
            reason note internalNote at hold { id } reverses { id } reversedBy { id } customer { id } creditType { id }";
        let query = format!("query($id: ID!) {{ customer(by: {{ id: $id }}) {{ activity {{ nodes {{ {fields} }} }} }} }}");
        let page = house.data(&query, json!({ "id": customer })).await["customer"]["activity"]["nodes"].clone();
        let nodes = page.as_array().expect("nodes");
        assert_eq!(nodes.len(), 5, "{page:#}");
        for node in nodes {
            let query = format!("query($id: ID!) {{ activity(id: $id) {{ {fields} }} }}");
            assert_eq!(house.data(&query, json!({ "id": node["id"] })).await["activity"], *node);
        }
        let database = Database::connect(&house.url).await.expect("a connection");
        let select = activity::Entity::of(house.account.id).into_query();
        for row in database.query_all(&select).await.expect("rows") {
            let by_name = activity::Model::from_query_result(&row, "").expect("a row");
            assert_eq!(activity::Entity::read(&row).expect("a row"), by_name);
        }
    }

    async fn statements_do_not_grow_with_customers(house: House) {
        let types = [house.credit_type("Session", json!({ "never": true })).await, house.credit_type("Class", json!({ "never": true })).await];
        let customers = {
            let mut customers = Vec::new();
            for n in 0..100 {
                customers.push(house.customer(&format!("Customer {n}")).await);
            }
            customers
        };
        let issues = customers.iter().flat_map(|customer| types.iter().map(move |credit_type| (customer, credit_type)));
        join_all(issues.map(|(customer, credit_type)| {
            house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 2 }))
        })).await;
        let query = "query($first: Int!) { customers(first: $first) { nodes { name tags
            balances { available creditType { name } nextExpiry { at } }
            activity(first: 1) { nodes { amount allocations { amount grant { id creditType { name } } } } }
            grants(first: 2) { nodes { id status } } } } }";
        let mut counted = Vec::new();
        for first in [1, 10, 100] {
            let before = house.statements().await;
            let data = house.data(query, json!({ "first": first })).await;
            let nodes = data["customers"]["nodes"].as_array().expect("nodes").clone();
            assert_eq!(nodes.len(), first);
            assert!(nodes.iter().all(|node| node["balances"].as_array().is_some_and(|balances| balances.len() == 2)));
            assert!(nodes.iter().all(|node| node["activity"]["nodes"][0]["allocations"][0]["amount"] == 2));
            counted.push(house.app.store().statements() - before);
        }
        // Account, customers, tags, wallets, open grants, credit types of balances, newest activities, allocations,
        // their grants, their types, pages of grants.
        assert_eq!(counted, [11, 11, 11]);
    }

    async fn a_consume_takes_the_same_statements_for_one_as_for_many(house: House) {
        let credit_type = house.credit_type("Session", json!({ "never": true })).await;
        let customer = house.customer("Ada").await;
        house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 1000 })).await;
        let mutation = "mutation($input: CreditsConsumeInput!) { creditsConsume(input: $input) { replayed } }";
        let consume = |n: usize| {
            let input = json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 1, "idempotencyKey": format!("c-{n}") });
            house.data(mutation, json!({ "input": input }))
        };
        let before = house.statements().await;
        consume(0).await;
        let one = house.app.store().statements() - before;
        // Read: account, wallets, types, grants, keys. Written: wallet, grants, activities, allocations, events, keys.
        assert_eq!(one, 11);
        let before = house.statements().await;
        join_all((1..=64).map(consume)).await;
        let many = house.app.store().statements() - before;
        assert!(many < 64 * one / 2, "64 at once took {many} statements, one takes {one}");
    }

    async fn balance_and_activity_are_of_one_snapshot(house: House) {
        let credit_type = house.credit_type("Session", json!({ "never": true })).await;
        let customer = house.customer("Ada").await;
        house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 200 })).await;
        let writes = async {
            for _ in 0..100 {
                house.consume(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 1 })).await;
            }
        };
        let query = "query($id: ID!) { customer(by: { id: $id }) { balances { available } activity(first: 1) { nodes { balanceAfter } } } }";
        let reads = async {
            let mut seen = Vec::new();
            for _ in 0..100 {
                let customer = house.data(query, json!({ "id": customer })).await["customer"].clone();
                let pair = (customer["balances"][0]["available"].clone(), customer["activity"]["nodes"][0]["balanceAfter"].clone());
                assert_eq!(pair.0, pair.1);
                seen.push(pair.0);
            }
            seen
        };
        let ((), seen) = tokio::join!(writes, reads);
        assert!(seen.first() != seen.last(), "the reads met no write");
    }

    async fn each_mutation_of_a_request_sees_what_the_one_before_wrote(house: House) {
        let credit_type = house.credit_type("Session", json!({ "never": true })).await;
        let customer = house.customer("Ada").await;
        let query = "mutation($c: ID!, $t: ID!) {
            a: creditsIssue(input: { customerId: $c, creditTypeId: $t, amount: 5, idempotencyKey: \"a\" }) { balance { available } }
            b: creditsConsume(input: { customerId: $c, creditTypeId: $t, amount: 2, idempotencyKey: \"b\" }) { balance { available } }
            c: creditsConsume(input: { customerId: $c, creditTypeId: $t, amount: 9, idempotencyKey: \"c\" }) { balance { available } userErrors { code } }
            d: creditsConsume(input: { customerId: $c, creditTypeId: $t, amount: 3, idempotencyKey: \"d\" }) { balance { available } } }";
        let data = house.data(query, json!({ "c": customer, "t": credit_type })).await;
        let available = ["a", "b", "d"].map(|alias| data[alias]["balance"]["available"].clone());
        assert_eq!(available, [json!(5), json!(3), json!(0)]);
        assert_eq!(data["c"], json!({ "balance": null, "userErrors": [{ "code": "INSUFFICIENT_CREDITS" }] }));
    }

    async fn activity_is_paged_and_filtered(house: House) {
        let (session, class) = (house.credit_type("Session", json!({ "never": true })).await, house.credit_type("Class", json!({ "never": true })).await);
        let customer = house.customer("Ada").await;
        for (n, credit_type) in [(1, &session), (2, &class), (3, &session)] {
            house.set_clock(&format!("2026-03-0{n}T10:00:00Z"));
            house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": n })).await;
            house.consume(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 1, "note": format!("use {n}") })).await;
        }
        let amounts = |arguments: &str| {
            let query = format!("query($id: ID!) {{ customer(by: {{ id: $id }}) {{ activity({arguments}) {{ nodes {{ amount }} pageInfo {{ endCursor hasNextPage }} }} }} }}");
            let (house, customer) = (&house, customer.clone());
            async move {
                let page = house.data(&query, json!({ "id": customer })).await["customer"]["activity"].clone();
                let nodes = page["nodes"].as_array().expect("nodes").clone();
                (nodes.iter().map(|node| node["amount"].as_i64().expect("a number")).collect::<Vec<_>>(), page["pageInfo"].clone())
            }
        };
        assert_eq!(amounts("first: 100").await.0, [-1, 3, -1, 2, -1, 1]);
        assert_eq!(amounts("kinds: [ISSUE]").await.0, [3, 2, 1]);
        assert_eq!(amounts(&format!("creditTypeId: \"{class}\"")).await.0, [-1, 2]);
        assert_eq!(amounts("from: \"2026-03-02T10:00:00Z\", to: \"2026-03-03T10:00:00Z\"").await.0, [-1, 2]);
        assert_eq!(amounts("last: 2").await.0, [-1, 1]);
        let (page, info) = amounts("first: 4").await;
        assert_eq!((page, &info["hasNextPage"]), (vec![-1, 3, -1, 2], &json!(true)));
        let (rest, info) = amounts(&format!("first: 4, after: {}", info["endCursor"])).await;
        assert_eq!((rest, &info["hasNextPage"]), (vec![-1, 1], &json!(false)));
        let grants = "query($id: ID!) { customer(by: { id: $id }) {
            usable: grants(status: USABLE) { nodes { remaining } } used: grants(status: USED_UP) { nodes { amount } } } }";
        let data = house.data(grants, json!({ "id": customer })).await["customer"].clone();
        assert_eq!(data, json!({ "usable": { "nodes": [{ "remaining": 2 }, { "remaining": 1 }] }, "used": { "nodes": [{ "amount": 1 }] } }));
    }

    async fn a_deep_tree_of_people_is_within_the_limits(house: House) {
        for n in 0..3 {
            house.customer(&format!("Customer {n}")).await;
        }
        let within = "{ customers(first: 100) { nodes { name balances { available } activity(first: 1) { nodes { amount } } } } }";
        assert_eq!(house.ask(Role::Staff, within, json!({})).await.get("errors"), None);
        let beyond = "{ customers(first: 100) { nodes { activity(first: 100) { nodes { customer { activity(first: 100) { nodes { id } } } } } } } }";
        let response: Value = house.ask(Role::Staff, beyond, json!({})).await;
        assert_eq!(response["errors"][0]["extensions"]["code"], "QUERY_TOO_LARGE");
    }

    /// More pages than one statement can hold.
    async fn six_pages_of_a_hundred_customers_each(house: House) {
        for n in 0..100 {
            house.customer(&format!("Customer {n}")).await;
        }
        let pages = (1..=6).fold(String::new(), |text, n| format!("{text} p{n}: activity(first: {n}) {{ nodes {{ id }} }}"));
        let data = house.data(&format!("{{ customers(first: 100) {{ nodes {{ {pages} }} }} }}"), json!({})).await;
        assert_eq!(data["customers"]["nodes"].as_array().map(Vec::len), Some(100));
    }

    /// A payload's snapshot is given back before the next mutation asks for one: else all wait for each other.
    async fn many_requests_of_two_mutations_do_not_wait_for_each_other(house: House) {
        let credit_type = house.credit_type("Session", json!({ "never": true })).await;
        let customer = house.customer("Ada").await;
        house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 100 })).await;
        let query = "mutation($c: ID!, $t: ID!, $k: String!) {
            a: creditsConsume(input: { customerId: $c, creditTypeId: $t, amount: 1, idempotencyKey: $k }) { balance { available } }
            b: creditsConsume(input: { customerId: $c, creditTypeId: $t, amount: 1, idempotencyKey: \"x\", dryRun: true }) {
                preview { balanceAfter } } }";
        let asks = (0..32).map(|n| house.data(query, json!({ "c": customer, "t": credit_type, "k": format!("k-{n}") })));
        let answers = join_all(asks).await;
        assert!(answers.iter().all(|answer| answer["b"]["preview"]["balanceAfter"].is_number()));
    }
}
