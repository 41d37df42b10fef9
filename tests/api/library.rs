//! What this version of the GraphQL library is chosen for: each of these failed in another.

use async_graphql::{EmptyMutation, EmptySubscription, InputObject, MaybeUndefined, Object, Schema, Variables};
use serde_json::json;

struct Query;

#[derive(InputObject)]
struct Update {
    name: MaybeUndefined<String>,
}

#[Object]
impl Query {
    #[expect(clippy::unused_async, reason = "the library asks for it")]
    async fn fails(&self) -> Result<i32, String> {
        Err("no".to_owned())
    }

    async fn update(&self, input: Update) -> &'static str {
        match input.name {
            MaybeUndefined::Undefined => "left out",
            MaybeUndefined::Null => "null",
            MaybeUndefined::Value(_) => "set",
        }
    }
}

/// 7.1 to 7.2.1 dropped the failing field and kept the rest.
#[tokio::test]
async fn a_failing_non_null_field_nulls_its_parent() {
    let schema = Schema::new(Query, EmptyMutation, EmptySubscription);
    let response = schema.execute("{ __typename fails }").await;
    assert_eq!(response.data.into_json().expect("JSON"), json!(null));
    assert_eq!(response.errors.len(), 1);
}

/// All of 7 made it null, so that a partial update erased fields.
#[tokio::test]
async fn an_omitted_variable_is_left_out() {
    let schema = Schema::new(Query, EmptyMutation, EmptySubscription);
    for (variables, expected) in
        [(json!({}), "left out"), (json!({ "name": null }), "null"), (json!({ "name": "x" }), "set")]
    {
        let request = async_graphql::Request::new("query($name: String) { update(input: { name: $name }) }")
            .variables(Variables::from_json(variables));
        assert_eq!(schema.execute(request).await.data.into_json().expect("JSON")["update"], expected);
    }
}

#[tokio::test]
async fn aliases_have_a_limit() {
    let schema = Schema::build(Query, EmptyMutation, EmptySubscription).limit_aliases(2).finish();
    assert!(schema.execute("{ a: __typename b: __typename }").await.is_ok());
    assert!(schema.execute("{ a: __typename b: __typename c: __typename }").await.is_err());
}
