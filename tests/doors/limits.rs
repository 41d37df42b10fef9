//! How much anybody may ask for.

use scrip::domain::Role;
use scrip::http::Rules;
use serde_json::{Value, json};

use crate::harness::{Backend, House};

async fn house(rules: Rules) -> House {
    House::new(Backend::Sqlite).await.behind(rules)
}

const LIST: &str = "{ customers(first: 100) { nodes { id name email balances { available } } } }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_spends_too_much_is_told_when_to_come_again() {
    let house = house(Rules { per_caller: 1, ..Rules::default() }).await;
    // One query of the largest kind fits, and not many.
    let mut answered = 0;
    let limited = loop {
        let token = house.token(Role::Staff);
        let request = house.client().post("/graphql").header("authorization", format!("Bearer {token}"));
        let response = request.body_json(&json!({ "query": LIST })).send().await;
        if response.0.status().as_u16() != 200 {
            break response;
        }
        answered += 1;
    };
    assert!((10..100).contains(&answered), "{answered} were answered");
    assert_eq!(limited.0.status().as_u16(), 429);
    let wait: u64 = limited.0.header("retry-after").expect("when").parse().expect("seconds");
    let body: Value = limited.json().await;
    let extensions = &body["errors"][0]["extensions"];
    assert_eq!((&extensions["code"], extensions["retryAfter"].as_u64()), (&json!("RATE_LIMITED"), Some(wait)));
    assert!(wait >= 1 && body.get("data").is_none(), "{body}");
    // Another caller is not held up by the first.
    assert_eq!(house.ask_with(Some(&house.token(Role::Owner)), LIST, json!({})).await.0, 200);
    // Nor is a mutation run that was not paid for.
    let (status, _) = house
        .ask_with(
            Some(&house.token(Role::Staff)),
            "mutation { customerCreate(input: { name: \"X\" }) { customer { id name email tags } } }",
            json!({}),
        )
        .await;
    let count = house.ask_with(Some(&house.token(Role::Owner)), "{ customers { nodes { id } } }", json!({})).await.1;
    let made = usize::from(status == 200);
    assert_eq!(count["data"]["customers"]["nodes"].as_array().map(Vec::len), Some(made), "{count}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_brings_no_token_has_less() {
    let house = house(Rules { per_stranger: 20, ..Rules::default() }).await;
    let form = "{ orderForm(account: \"studio\", slug: \"nothing\") { name prices { id } } }";
    let mut statuses = Vec::new();
    for _ in 0..200 {
        statuses.push(house.ask_with(None, form, json!({})).await.0);
    }
    assert!(statuses.starts_with(&[200; 20]) && statuses.contains(&429), "{statuses:?}");
    assert_eq!(house.ask_with(Some(&house.token(Role::Staff)), "{ account { slug } }", json!({})).await.0, 200);
    assert_eq!(house.client().get("/o/studio/nothing").send().await.0.status().as_u16(), 429);
    let house = self::house(Rules { per_stranger: 20, ..Rules::default() }).await;
    let large = house.ask_with(None, LIST, json!({})).await.1;
    assert!(large["errors"][0]["message"].as_str().is_some_and(|message| message.contains("token")), "{large}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_tokens_is_dear_and_health_is_free() {
    // A point comes back in a second: none of the pages below, which cost ten, is paid for by the time that passes.
    let house = house(Rules { per_address: 1, ..Rules::default() }).await;
    let mut statuses = Vec::new();
    for _ in 0..300 {
        statuses.push(house.ask_with(Some("scrip_live_guess"), "{ __typename }", json!({})).await.0);
    }
    let guesses = statuses.iter().filter(|status| **status == 401).count();
    assert!((100..=260).contains(&guesses) && statuses.contains(&429), "{guesses} guesses were looked at");
    for path in ["/", "/graphiql", "/o/studio/x", "/reports/liability.csv"] {
        assert_eq!(house.client().get(path).send().await.0.status().as_u16(), 429, "{path}");
    }
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(house.client().get(path).send().await.0.status().as_u16(), 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_on_event_streams_and_files_take_places_too() {
    let house = std::sync::Arc::new(house(Rules { at_once: 1, per_caller: 1, ..Rules::default() }).await);
    let ada = house.customer("Ada").await;
    let asked = (0..40).map(|_| {
        let house = house.clone();
        tokio::spawn(async move {
            let token = house.token(Role::Owner);
            let request = house.client().post("/graphql").header("authorization", format!("Bearer {token}"));
            let request = request
                .header("accept", "text/event-stream")
                .body_json(&json!({ "query": "{ customers { nodes { id } } }" }));
            request.send().await.0.into_body().into_string().await.expect("text")
        })
    });
    let mut busy = 0;
    for answer in asked.collect::<Vec<_>>() {
        let text = answer.await.expect("an answer");
        busy += usize::from(text.contains("UNAVAILABLE"));
        assert!(text.contains("UNAVAILABLE") || text.contains("nodes"), "{text}");
    }
    assert!(busy >= 1, "forty ran at once where one may");
    // A file costs as much as many queries.
    let mut statuses = Vec::new();
    for _ in 0..30 {
        let token = house.token(Role::Staff);
        let request =
            house.client().get(format!("/exports/{ada}.json")).header("authorization", format!("Bearer {token}"));
        statuses.push(request.send().await.0.status().as_u16());
    }
    assert!(statuses.starts_with(&[200; 10]) && statuses.contains(&429), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_server_says_so_at_once() {
    let house = std::sync::Arc::new(house(Rules { at_once: 1, ..Rules::default() }).await);
    let ada = house.customer("Ada").await;
    let session = house.credit_type("Session", json!({ "never": true })).await;
    house.issue(json!({ "customerId": ada, "creditTypeId": session, "amount": 1000 })).await;
    let asked = (0..64).map(|n| {
        let (house, input) = (
            house.clone(),
            json!({ "customerId": ada, "creditTypeId": session, "amount": 1, "idempotencyKey": format!("k{n}") }),
        );
        tokio::spawn(async move {
            let query = "mutation($input: CreditsConsumeInput!) { creditsConsume(input: $input) { activity { id } } }";
            house.ask_with(Some(&house.token(Role::Staff)), query, json!({ "input": input })).await
        })
    });
    let (mut done, mut busy) = (0, 0);
    for answer in asked.collect::<Vec<_>>() {
        match answer.await.expect("an answer") {
            (200, _) => done += 1,
            (503, body) => {
                assert_eq!(body["errors"][0]["extensions"]["code"], "UNAVAILABLE", "{body}");
                busy += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(done >= 3 && busy >= 1, "{done} done, {busy} told that it is busy");
    // What was accepted was done, and nothing else was.
    assert_eq!(house.balance(&ada).await["available"], 1000 - done);
}
