//! GraphQL over HTTP, as attackers and old clients speak it.

use std::fmt::Write;
use std::time::{Duration, Instant};

use poem::http::{Method, header};
use scrip::domain::Role;
use serde_json::{Value, json};

use crate::harness::{Backend, House, body};

async fn house() -> House {
    House::new(Backend::Sqlite).await
}

/// Sends a body; answers status, time taken and response.
async fn post(house: &House, content_type: &str, text: String) -> (u16, Duration, Value) {
    let token = house.token(Role::Staff);
    let started = Instant::now();
    let response = house
        .client()
        .post("/graphql")
        .content_type(content_type)
        .header("authorization", format!("Bearer {token}"))
        .body(text)
        .send()
        .await;
    let status = response.0.status().as_u16();
    assert!(response.0.headers().contains_key("x-request-id"));
    let value = body(response).await;
    (status, started.elapsed(), value)
}

async fn refused(house: &House, status: u16, query: &str) {
    let (found, took, response) = post(house, "application/json", json!({ "query": query }).to_string()).await;
    let start = query.chars().take(80).collect::<String>();
    assert_eq!(found, status, "{start}: {response}");
    assert!(took < Duration::from_secs(2), "{start} took {took:?}");
    assert_eq!(response.get("data"), None, "{start}");
    assert!(
        response["errors"][0]["extensions"]["code"].is_string()
            && response["errors"][0]["extensions"]["requestId"].is_string()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_is_refused_at_once() {
    let house = house().await;
    let mut bomb = String::from("{ ...f0 }");
    for level in 0..21 {
        write!(bomb, " fragment f{level} on Query {{ ...f{0} ...f{0} }}", level + 1).expect("a string grows");
    }
    bomb.push_str(" fragment f21 on Query { __typename }");
    refused(&house, 400, &bomb).await;
    refused(&house, 400, &format!("{}{{ __typename }}", &bomb[9..])).await;
    refused(&house, 400, &format!("{}id{}", "{ node(id: 1) ".repeat(50), " }".repeat(50))).await;
    let aliases = (0..200).fold(String::new(), |text, n| format!("{text} a{n}: __typename"));
    refused(&house, 400, &format!("{{ {aliases} }}")).await;
    refused(&house, 400, &format!("{{ {} }}", "__typename ".repeat(3_000))).await;
    refused(&house, 400, &format!("{{ __typename {} }}", "@skip(if: false) ".repeat(500))).await;
    let nothing = bomb.replace("{ __typename }", "{ ...nope }");
    refused(&house, 200, &nothing).await;
    let chain = (0..3_000)
        .fold(String::from("{ ...f0 }"), |text, n| format!("{text} fragment f{n} on Query {{ ...f{} }}", n + 1));
    refused(&house, 400, &format!("{chain} fragment f3000 on Query {{ __typename }}")).await;
    refused(&house, 400, "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }").await;
    let nested = "{ customers(first: 100) { nodes { activity(first: 100) { nodes { customer { name grants(first: 100) { nodes { id } } } } } } } }";
    refused(&house, 400, nested).await;
}

/// A condition is true, false, or a variable that is one: nothing else is taken for false.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_condition_that_is_none_is_refused() {
    let house = house().await;
    for wrong in [
        "{ account { id name @include(if: \"text\") } }",
        "{ account { id name @skip(if: 0) } }",
        "{ account { id ...All @include(if: null) } } fragment All on Account { name }",
        "{ account { id ... @skip(if: [true]) { name } } }",
        "query($v: String! = \"x\") { account { id name @include(if: $v) } }",
        "{ account { id name @include } }",
    ] {
        let answer = house.ask(Role::Staff, wrong, json!({})).await;
        assert_eq!(
            (&answer["errors"][0]["extensions"]["code"], answer.get("data")),
            (&json!("BAD_REQUEST"), None),
            "{wrong}: {answer}"
        );
    }
    let right = "query($v: Boolean!) { account { slug @skip(if: true) name @include(if: $v) } }";
    assert_eq!(
        house.ask(Role::Staff, right, json!({ "v": true })).await["data"]["account"]
            .as_object()
            .map(serde_json::Map::len),
        Some(1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_request_is_refused_at_once() {
    let house = house().await;
    for (content_type, text, status) in [
        ("application/json", "{".to_owned(), 400),
        ("application/json", "[{\"query\":\"{ __typename }\"}]".to_owned(), 400),
        ("application/json", "\"{ __typename }\"".to_owned(), 400),
        ("application/json", "{}".to_owned(), 400),
        ("application/json", "{\"query\": 1}".to_owned(), 400),
        ("application/json", "{\"query\":\"{ __typename }\",\"variables\":[]}".to_owned(), 400),
        ("application/json", format!("{{\"query\":\"{}\"}}", " ".repeat(1 << 20)), 413),
        ("text/plain", "{\"query\":\"{ __typename }\"}".to_owned(), 415),
        ("application/x-www-form-urlencoded", "query={__typename}".to_owned(), 415),
        ("application/json; charset=utf-16", "{\"query\":\"{ __typename }\"}".to_owned(), 415),
        ("multipart/form-data; boundary=x", "--x--".to_owned(), 415),
        ("application/json", "[".repeat(200_000), 400),
    ] {
        let (found, took, response) = post(&house, content_type, text.clone()).await;
        assert_eq!(found, status, "{} {response}", &text[..text.len().min(60)]);
        assert!(took < Duration::from_secs(2), "took {took:?}");
        assert!(response["errors"][0]["message"].is_string());
    }
    let brackets = format!("{{ nodes(ids: {}{}) {{ id }} }}", "[".repeat(50_000), "]".repeat(50_000));
    let (status, took, _) = post(&house, "application/json", json!({ "query": brackets }).to_string()).await;
    assert!((200..500).contains(&status) && took < Duration::from_secs(2), "{status} in {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mutation_runs_by_post_only_and_once() {
    let house = house().await;
    let mutation = "mutation { customerCreate(input: { name: \"Ada\" }) { customer { id } } }";
    let token = house.token(Role::Staff);
    let get = house
        .client()
        .get("/graphql")
        .query("query", mutation)
        .header("authorization", format!("Bearer {token}"))
        .send()
        .await;
    assert_eq!((get.0.status().as_u16(), get.0.header("allow")), (405, Some("POST")));
    let hidden = "query A { __typename } mutation B { customerCreate(input: { name: \"Ada\" }) { customer { id } } }";
    let get = house
        .client()
        .get("/graphql")
        .query("query", hidden)
        .query("operationName", "B")
        .header("authorization", format!("Bearer {token}"))
        .send()
        .await;
    assert_eq!(get.0.status().as_u16(), 405);
    let twice = "mutation { customerCreate(input: { name: \"Ada\" }) { customer { id } } customerCreate(input: { name: \"Ada\" }) { customer { id } } }";
    refused(&house, 200, twice).await;
    refused(&house, 200, "mutation($name: String!) { customerCreate(input: { name: $name }) { customer { id } } }")
        .await;
    let count = house.data("{ customers { nodes { id } } }", json!({})).await;
    assert_eq!(count["customers"]["nodes"], json!([]));
    for method in [Method::PUT, Method::DELETE, Method::PATCH] {
        let response = house.client().request(method, "/graphql").send().await;
        assert_eq!((response.0.status().as_u16(), response.0.header("allow")), (405, Some("GET, POST")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_follow_what_the_client_accepts() {
    let house = house().await;
    let ask = |accept: &'static str, query: &'static str| {
        let house = &house;
        async move {
            let response = house
                .client()
                .post("/graphql")
                .header("accept", accept)
                .body_json(&json!({ "query": query }))
                .send()
                .await;
            (response.0.status().as_u16(), response.0.header(header::CONTENT_TYPE).unwrap_or_default().to_owned())
        }
    };
    let (json, graphql) = ("application/json; charset=utf-8", "application/graphql-response+json; charset=utf-8");
    assert_eq!(ask("application/json", "{ __typename }").await, (200, json.to_owned()));
    assert_eq!(ask("*/*", "{ __typename }").await, (200, json.to_owned()));
    assert_eq!(ask("application/graphql-response+json", "{ __typename }").await, (200, graphql.to_owned()));
    assert_eq!(ask("application/graphql-response+json", "{ nothing }").await, (400, graphql.to_owned()));
    assert_eq!(ask("application/json", "{ nothing }").await, (200, json.to_owned()));
    assert_eq!(ask("text/html", "{ __typename }").await.0, 406);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_an_answer_come_in_the_order_of_the_query() {
    let house = house().await;
    let token = house.token(Role::Staff);
    let query = "{ z: __typename account { timeZone slug name } a: __typename }";
    let response = house
        .client()
        .post("/graphql")
        .header("authorization", format!("Bearer {token}"))
        .body_json(&json!({ "query": query }))
        .send()
        .await;
    let text = response.0.into_body().into_string().await.expect("text");
    assert_eq!(
        text,
        r#"{"data":{"z":"Query","account":{"timeZone":"Europe/Zurich","slug":"studio","name":"Studio"},"a":"Query"}}"#
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_has_its_id_and_its_headers() {
    let house = house().await;
    for path in [
        "/",
        "/graphql",
        "/graphiql",
        "/health/live",
        "/health/ready",
        "/nowhere",
        "/graphiql/README.md",
        "/graphiql/..%2f..%2fmod.rs",
    ] {
        let response = house.client().get(path).header("x-request-id", "mine-1").send().await;
        assert_eq!(response.0.header("x-request-id"), Some("mine-1"), "{path}");
        assert_eq!(response.0.header("x-content-type-options"), Some("nosniff"), "{path}");
    }
    let made = house.client().get("/nowhere").header("x-request-id", "not an id!").send().await;
    assert_eq!(made.0.status().as_u16(), 404);
    assert_eq!(made.0.header("x-request-id").map(str::len), Some(32));
    let page = house.client().get("/graphiql").send().await;
    let policy = page.0.header("content-security-policy").unwrap_or_default().to_owned();
    assert!(policy.contains("script-src 'self'; ") && policy.starts_with("default-src 'none'"), "{policy}");
    let html = page.0.into_body().into_string().await.expect("text");
    assert!(
        html.contains("/graphiql/graphiql.min.js") && !html.contains("http://") && !html.contains("https://"),
        "{html}"
    );
    for file in [
        "graphiql.min.js",
        "graphiql.min.css",
        "react.production.min.js",
        "react-dom.production.min.js",
        "page.js",
        "page.css",
    ] {
        assert_eq!(house.client().get(format!("/graphiql/{file}")).send().await.0.status().as_u16(), 200, "{file}");
    }
}

/// The query that GraphiQL sends first, and what it may cost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_explorer_s_introspection_goes_through() {
    let house = house().await;
    let query = include_str!("introspection.graphql");
    let (status, response) = house.ask_with(None, query, json!({})).await;
    assert_eq!((status, response.get("errors")), (200, None));
    assert!(response["data"]["__schema"]["types"].as_array().is_some_and(|types| types.len() > 50));
}
