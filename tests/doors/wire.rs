//! What browsers and proxies see: origins, headers, compression, trusted documents.

use std::io::Read;

use poem::http::Method;
use scrip::domain::Role;
use scrip::http::{Documents, Rules, Trust};
use serde_json::{Value, json};

use crate::harness::{Backend, House};

async fn house(rules: Rules) -> House {
    House::new(Backend::Sqlite).await.behind(rules)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_listed_origins_may_and_of_others_may_not() {
    let house = house(Rules { origins: vec!["https://app.example".to_owned()], ..Rules::default() }).await;
    let ask = |origin: &'static str, method: Method, path: &'static str| {
        let request =
            house.client().request(method.clone(), path).header("host", "scrip.example").header("origin", origin);
        let request =
            if method == Method::OPTIONS { request.header("access-control-request-method", "POST") } else { request };
        async move { request.send().await.0 }
    };
    for origin in ["https://app.example", "https://scrip.example"] {
        let preflight = ask(origin, Method::OPTIONS, "/graphql").await;
        assert_eq!((preflight.status().as_u16(), preflight.header("access-control-allow-origin")), (204, Some(origin)));
        assert!(
            preflight.header("access-control-allow-headers").is_some_and(|headers| headers.contains("authorization"))
        );
        let answer = ask(origin, Method::GET, "/graphql?query=%7B__typename%7D").await;
        assert_eq!((answer.status().as_u16(), answer.header("access-control-allow-origin")), (200, Some(origin)));
        assert!(answer.headers().get_all("vary").iter().any(|value| value == "Origin"));
    }
    for origin in [
        "https://evil.example",
        "https://app.example.evil.example",
        "null",
        "http://app.example",
        "http://localhost:5173",
    ] {
        let preflight = ask(origin, Method::OPTIONS, "/graphql").await;
        assert_eq!(
            (preflight.status().as_u16(), preflight.header("access-control-allow-origin")),
            (403, None),
            "{origin}"
        );
        let answer = ask(origin, Method::GET, "/graphql?query=%7B__typename%7D").await;
        assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
    }
    // No page of another origin reads this server's own pages, nor anything by cookies.
    let page = ask("https://app.example", Method::GET, "/graphiql").await;
    assert_eq!(page.header("access-control-allow-origin"), None);
    let answer = ask("https://app.example", Method::GET, "/graphql?query=%7B__typename%7D").await;
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    assert_eq!(house.client().request(Method::OPTIONS, "/graphql").send().await.0.status().as_u16(), 405);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_answers_are_compressed_for_who_takes_it() {
    let house = house(Rules::default()).await;
    let introspection = include_str!("../api/introspection.graphql");
    let ask = |query: &str, accept: Option<&str>, encoding: Option<&str>| {
        let mut request = house.client().post("/graphql").body_json(&json!({ "query": query }));
        if let Some(accept) = accept {
            request = request.header("accept", accept);
        }
        if let Some(encoding) = encoding {
            request = request.header("accept-encoding", encoding);
        }
        request.send()
    };
    let plain = ask(introspection, None, None).await.0.into_body().into_vec().await.expect("bytes");
    let answer = ask(introspection, None, Some("br, gzip")).await.0;
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    assert!(answer.headers().get_all("vary").iter().any(|value| value == "Accept-Encoding"));
    let packed = answer.into_body().into_vec().await.expect("bytes");
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut unpacked).expect("gzip");
    assert_eq!(unpacked, plain);
    assert!(packed.len() * 4 < plain.len(), "{} of {}", packed.len(), plain.len());
    for (query, accept, encoding) in [
        ("{ __typename }", None, Some("gzip")),
        (introspection, None, Some("gzip;q=0")),
        (introspection, Some("text/event-stream"), Some("gzip")),
    ] {
        let answer = ask(query, accept, encoding).await.0;
        assert_eq!(
            (answer.status().as_u16(), answer.header("content-encoding")),
            (200, None),
            "{accept:?} {encoding:?}"
        );
    }
    // Pages too.
    let page = house.client().get("/graphiql/graphiql.min.js").header("accept-encoding", "gzip").send().await.0;
    assert_eq!(page.header("content-encoding"), Some("gzip"));
    // Nothing that comes in is inflated.
    let bomb = house
        .client()
        .post("/graphql")
        .header("content-encoding", "gzip")
        .content_type("application/json")
        .body(packed)
        .send()
        .await;
    assert_eq!(bomb.0.status().as_u16(), 415);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_a_thousand_times_is_said_in_few_words() {
    let house = house(Rules::default()).await;
    let wrong = (0..90).fold(String::new(), |text, n| format!("{text} a{n}: nothing{}", "x".repeat(2_000)));
    let response =
        house.client().post("/graphql").body_json(&json!({ "query": format!("{{ {wrong} }}") })).send().await;
    let text = response.0.into_body().into_string().await.expect("text");
    assert!(text.len() < 60_000, "{} bytes", text.len());
    let unparsed = json!({ "query": format!("{{ {} ", "x".repeat(200_000)) });
    let response = house.client().post("/graphql").body_json(&unparsed).send().await;
    assert!(response.0.into_body().into_string().await.expect("text").len() < 2_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_tells_browsers_to_be_careful() {
    let proxies = vec!["0.0.0.0/0".parse().expect("a network")];
    let house = house(Rules { proxies, ..Rules::default() }).await;
    let token = house.token(Role::Staff);
    for path in
        ["/", "/graphql?query=%7B__typename%7D", "/graphiql", "/o/studio/x", "/nowhere", "/reports/liability.csv"]
    {
        let answer = house.client().get(path).header("authorization", format!("Bearer {token}")).send().await.0;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path} {name}");
        }
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(
            policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        assert_eq!(answer.header("strict-transport-security"), None, "{path}: it came by plain HTTP");
        if path.contains("query") || path.contains("reports") {
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trusted_documents_run_by_their_ids_and_where_they_must_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("manifest.json");
    std::fs::write(
        &file,
        json!({ "slug": "{ account { slug } }", "me": "query Me { viewer { __typename } }" }).to_string(),
    )
    .expect("a file");
    let ask = async |house: &House, body: Value| {
        let token = house.token(Role::Staff);
        let request = house.client().post("/graphql").header("authorization", format!("Bearer {token}"));
        let response = request.body_json(&body).send().await;
        let status = response.0.status().as_u16();
        (status, response.json::<Value>().await)
    };
    let allow =
        house(Rules { documents: Documents::read(Trust::Allow, Some(&file)).expect("a manifest"), ..Rules::default() })
            .await;
    let (status, answer) = ask(&allow, json!({ "documentId": "slug" })).await;
    assert_eq!((status, answer), (200, json!({ "data": { "account": { "slug": "studio" } } })));
    assert_eq!(ask(&allow, json!({ "query": "{ __typename }" })).await.0, 200);
    let apollo = json!({ "extensions": { "persistedQuery": { "version": 1, "sha256Hash": "slug" } } });
    assert_eq!(ask(&allow, apollo).await.1["data"]["account"]["slug"], "studio");
    let require = house(Rules {
        documents: Documents::read(Trust::Require, Some(&file)).expect("a manifest"),
        ..Rules::default()
    })
    .await;
    let by_get = require
        .client()
        .get("/graphql")
        .query("documentId", "me")
        .header("authorization", format!("Bearer {}", require.token(Role::Staff)));
    assert_eq!(by_get.send().await.0.status().as_u16(), 200);
    for body in [
        json!({ "query": "{ __typename }" }),
        json!({ "documentId": "nope" }),
        json!({ "documentId": "slug", "query": "{ __typename }" }),
        json!({}),
    ] {
        let (status, answer) = ask(&require, body.clone()).await;
        assert_eq!(status, 400, "{body}");
        assert!(
            answer["errors"][0]["message"].as_str().is_some_and(|message| message.len() > 10)
                && answer.get("data").is_none()
        );
    }
    let off = house(Rules::default()).await;
    assert_eq!(ask(&off, json!({ "documentId": "slug" })).await.0, 400);
}
