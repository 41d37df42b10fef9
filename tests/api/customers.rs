//! Customers: creating, changing, finding.

use futures_util::future::join_all;
use scrip::domain::Role;
use serde_json::{Value, json};

use crate::harness::{Backend, House};
use crate::on_both;

const CREATE: &str = "mutation($input: CustomerCreateInput!) { customerCreate(input: $input) {
    customer { id name email externalId locale tags metadata } userErrors { code message field } } }";
const UPDATE: &str = "mutation($input: CustomerUpdateInput!) { customerUpdate(input: $input) {
    customer { id name email externalId locale tags metadata } userErrors { code message field } } }";

async fn names(house: &House, arguments: &str) -> Vec<String> {
    let data = house.data(&format!("{{ customers({arguments}) {{ nodes {{ name }} }} }}"), json!({})).await;
    let nodes = data["customers"]["nodes"].as_array().expect("nodes").clone();
    nodes.iter().map(|node| node["name"].as_str().expect("a name").to_owned()).collect()
}

on_both! {
    async fn a_customer_is_kept_as_given(house: House) {
        let input = json!({
            "name": "  Ada Lovelace ", "email": " Ada@Example.COM ", "externalId": "crm-1", "locale": "en-GB",
            "tags": ["VIP", "vip", " early "], "metadata": { "z": 1, "a": [true, null] },
        });
        let made = house.data(CREATE, json!({ "input": input })).await["customerCreate"]["customer"].clone();
        let expected = json!({
            "id": made["id"], "name": "Ada Lovelace", "email": "ada@example.com", "externalId": "crm-1",
            "locale": "en-GB", "tags": ["early", "vip"], "metadata": { "z": 1, "a": [true, null] },
        });
        assert_eq!(made, expected);
        for by in [json!({ "id": made["id"] }), json!({ "email": "ADA@example.com" }), json!({ "externalId": "crm-1" })] {
            let found = house.data("query($by: CustomerBy!) { customer(by: $by) { id } }", json!({ "by": by })).await;
            assert_eq!(found["customer"]["id"], made["id"]);
        }
    }

    async fn what_is_unique_is_refused_with_its_field(house: House) {
        house.data(CREATE, json!({ "input": { "name": "Ada", "email": "ada@example.com", "externalId": "1" } })).await;
        for (input, field) in [
            (json!({ "name": "Eve", "email": "ADA@example.com" }), "email"),
            (json!({ "name": "Eve", "externalId": "1" }), "externalId"),
        ] {
            let refused = house.data(CREATE, json!({ "input": input })).await["customerCreate"].clone();
            assert_eq!(refused["customer"], Value::Null);
            assert_eq!(refused["userErrors"][0]["code"], "TAKEN");
            assert_eq!(refused["userErrors"][0]["field"], json!([field]));
        }
        let input = json!({ "input": { "name": "Twin", "email": "twin@example.com" } });
        let answers = join_all((0..10).map(|_| house.data(CREATE, input.clone()))).await;
        let made = answers.iter().filter(|answer| answer["customerCreate"]["customer"].is_object()).count();
        let taken = answers.iter().filter(|a| a["customerCreate"]["userErrors"][0]["field"] == json!(["email"])).count();
        assert_eq!((made, taken), (1, 9));
        // Absent is not equal to absent.
        for name in ["No", "Mail"] {
            let made = house.data(CREATE, json!({ "input": { "name": name } })).await;
            assert!(made["customerCreate"]["customer"].is_object());
        }
    }

    async fn left_out_stays_and_null_clears(house: House) {
        let input = json!({ "name": "Ada", "email": "ada@example.com", "externalId": "1", "tags": ["a"] });
        let id = house.data(CREATE, json!({ "input": input })).await["customerCreate"]["customer"]["id"].clone();
        let update = |input: Value| {
            let house = &house;
            async move { house.data(UPDATE, json!({ "input": input })).await["customerUpdate"].clone() }
        };
        let renamed = update(json!({ "id": id, "name": "Ada King" })).await["customer"].clone();
        assert_eq!((&renamed["name"], &renamed["email"], &renamed["tags"]), (&json!("Ada King"), &json!("ada@example.com"), &json!(["a"])));
        let cleared = update(json!({ "id": id, "email": null, "tags": [] })).await["customer"].clone();
        assert_eq!((&cleared["email"], &cleared["externalId"], &cleared["tags"]), (&Value::Null, &json!("1"), &json!([])));
        // An omitted variable is left out, not null.
        let query = "mutation($id: ID!, $externalId: String) { customerUpdate(input: { id: $id, externalId: $externalId }) {
            customer { externalId } } }";
        let kept = house.data(query, json!({ "id": id })).await;
        assert_eq!(kept["customerUpdate"]["customer"]["externalId"], "1");
        let emptied = update(json!({ "id": id, "tags": null, "metadata": null })).await["customer"].clone();
        assert_eq!((&emptied["tags"], &emptied["metadata"]), (&json!([]), &json!({})));
        assert_eq!(update(json!({ "id": id, "name": null })).await["userErrors"][0]["field"], json!(["name"]));
        let unknown = update(json!({ "id": "cus_01h455vb4pex5vsknk084sn02q", "name": "x" })).await;
        assert_eq!(unknown["userErrors"][0]["code"], "NOT_FOUND");
        let wrong = update(json!({ "id": id, "email": "no address" })).await;
        assert_eq!(wrong["userErrors"][0]["field"], json!(["email"]));
    }

    async fn tags_are_put_on_and_taken_off(house: House) {
        let id = house.customer("Ada").await;
        let change = |mutation: &str, tags: Value| {
            let query = format!(
                "mutation($input: CustomerTagInput!) {{ {mutation}(input: $input) {{ customer {{ tags }} userErrors {{ code }} }} }}"
            );
            let (house, mutation, id) = (&house, mutation.to_owned(), id.clone());
            async move {
                let data = house.data(&query, json!({ "input": { "id": id, "tags": tags } })).await;
                data[&mutation]["customer"]["tags"].clone()
            }
        };
        assert_eq!(change("customerTag", json!(["b", "A"])).await, json!(["a", "b"]));
        assert_eq!(change("customerTag", json!(["c"])).await, json!(["a", "b", "c"]));
        assert_eq!(change("customerUntag", json!(["B", "x"])).await, json!(["a", "c"]));
        assert_eq!(names(&house, "tag: \"A\"").await, ["Ada"]);
        assert!(names(&house, "tag: \"b\"").await.is_empty());
    }

    async fn customers_are_found_by_beginnings_of_words(house: House) {
        for name in ["Ada Lovelace", "Grace Hopper", "Adele Goldberg", "Émilie du Châtelet", "Ada Yonath"] {
            house.customer(name).await;
        }
        assert_eq!(names(&house, "search: \"ada\"").await, ["Ada Yonath", "Ada Lovelace"]);
        assert_eq!(names(&house, "search: \"AD GOLD\"").await, ["Adele Goldberg"]);
        assert_eq!(names(&house, "search: \"grace.hopper@example\"").await, ["Grace Hopper"]);
        assert_eq!(names(&house, "search: \"émi\"").await, ["Émilie du Châtelet"]);
        assert_eq!(names(&house, "search: \"lace\"").await, Vec::<String>::new());
        assert_eq!(names(&house, "search: \"%\"").await, Vec::<String>::new());
        assert_eq!(names(&house, "search: \"grace hopper grace hopper grace nobody\"").await, ["Grace Hopper"]);
        assert_eq!(names(&house, "search: \"  \"").await.len(), 5);
        let rename = json!({ "input": { "id": house.customer("Old Name").await, "name": "Fresh Name" } });
        house.data(UPDATE, rename).await;
        assert_eq!(names(&house, "search: \"fresh\"").await, ["Fresh Name"]);
    }

    async fn pages_hold_everyone_once_in_both_directions(house: House) {
        let mut made = Vec::new();
        for n in 0..25 {
            made.push(house.customer(&format!("Customer {n}")).await);
        }
        made.reverse();
        let walk = |forwards: bool| {
            let house = &house;
            async move {
                let mut cursor = Value::Null;
                let mut seen: Vec<String> = Vec::new();
                loop {
                    let query = if forwards {
                        "query($c: String) { customers(first: 10, after: $c) { edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage endCursor startCursor } } }"
                    } else {
                        "query($c: String) { customers(last: 10, before: $c) { edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage endCursor startCursor } } }"
                    };
                    let page = house.data(query, json!({ "c": cursor })).await["customers"].clone();
                    let edges = page["edges"].as_array().expect("edges").clone();
                    let ids = edges.iter().map(|edge| edge["node"]["id"].as_str().expect("an id").to_owned());
                    let (more, next) = if forwards { ("hasNextPage", "endCursor") } else { ("hasPreviousPage", "startCursor") };
                    if forwards { seen.extend(ids) } else { seen.splice(0..0, ids); }
                    if page["pageInfo"][more] == false {
                        return seen;
                    }
                    cursor = page["pageInfo"][next].clone();
                }
            }
        };
        assert_eq!(walk(true).await, made);
        assert_eq!(walk(false).await, made);
    }

    async fn pages_have_limits(house: House) {
        for (arguments, field) in [
            ("first: 0", "first"), ("first: -5", "first"), ("first: 101", "first"), ("last: 101", "last"),
            ("first: 1, last: 1", "last"), ("after: \"nonsense\"", "after"), ("before: \"%%%\"", "before"),
        ] {
            let response = house.ask(Role::Staff, &format!("{{ customers({arguments}) {{ nodes {{ id }} }} }}"), json!({})).await;
            assert_eq!(response["errors"][0]["extensions"]["code"], "BAD_REQUEST", "{field} {response}");
        }
        let nodes = house.ask(Role::Staff, "query($ids: [ID!]!) { nodes(ids: $ids) { id } }", json!({ "ids": vec!["x"; 101] })).await;
        assert_eq!(nodes["errors"][0]["message"], "ids: At most 100 ids.");
    }

    /// Tags put on at once are all there, and none of the calls fails.
    async fn tags_put_on_at_once_are_all_there(house: House) {
        let id = house.customer("Ada").await;
        let query = "mutation($input: CustomerTagInput!) { customerTag(input: $input) { userErrors { code } } }";
        let calls = (0..24).map(|n| house.data(query, json!({ "input": { "id": id, "tags": ["same", format!("tag {}", n / 2)] } })));
        let answers = join_all(calls).await;
        assert!(answers.iter().all(|answer| answer["customerTag"]["userErrors"] == json!([])));
        let found = house.data("query($id: ID!) { customer(by: { id: $id }) { tags } }", json!({ "id": id })).await;
        assert_eq!(found["customer"]["tags"].as_array().map(Vec::len), Some(13));
    }

    /// What no row can hold is found nowhere, on either database.
    async fn a_text_that_no_row_can_hold_is_not_found(house: House) {
        house.customer("Ada").await;
        for by in [json!({ "email": "a\u{0}b" }), json!({ "externalId": "a\u{0}b" })] {
            let found = house.data("query($by: CustomerBy!) { customer(by: $by) { id } account { slug } }", json!({ "by": by })).await;
            assert_eq!(found, json!({ "customer": null, "account": { "slug": "studio" } }));
        }
        let tagged = house.data("query($tag: String) { customers(tag: $tag) { nodes { id } } }", json!({ "tag": "a\u{0}b" })).await;
        assert_eq!(tagged["customers"]["nodes"], json!([]));
    }
}
