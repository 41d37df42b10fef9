//! How many sockets there may be, how much runs on one, and that what is taken back lets nobody stay.

use scrip::domain::Role;
use scrip::http::Rules;
use serde_json::{Value, json};

use crate::flow::live::{BALANCE, Client, served_by};
use crate::harness::{Backend, House};

async fn house() -> House {
    House::new(Backend::Sqlite).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_runs_fifty_operations_at_a_time() {
    let house = house().await;
    let served = served_by(&house, &house.app, Rules::default()).await;
    let ada = house.customer("Ada").await;
    let mut staff = Client::signed_in(&served.address, &house.token(Role::Staff)).await;
    for n in 0..51 {
        staff.subscribe(&n.to_string(), BALANCE, json!({ "id": ada })).await;
    }
    let refused = staff.next().await;
    assert_eq!((&refused["id"], &refused["type"]), (&json!("50"), &json!("error")));
    assert!(refused["payload"][0]["message"].as_str().is_some_and(|message| message.contains("50")), "{refused}");
    served.stop.cancel();
    assert_eq!(staff.closed().await.0, 1001);
    served.task.await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_has_half_of_the_places_for_sockets_and_gives_them_back() {
    let house = house().await;
    let served = served_by(&house, &house.app, Rules { streams: 4, ..Rules::default() }).await;
    let protocol: &[(&'static str, &str)] = &[("sec-websocket-protocol", "graphql-transport-ws")];
    let first = Client::open(&served.address).await;
    let _second = Client::open(&served.address).await;
    assert_eq!(Client::connect(&served.address, protocol).await.err(), Some(503));
    drop(first);
    let mut third = Client::connect(&served.address, protocol).await;
    for _ in 0..100 {
        if third.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        third = Client::connect(&served.address, protocol).await;
    }
    assert!(third.is_ok(), "the place was not given back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_is_closed_when_its_key_is_revoked_and_asked_for_points() {
    let house = house().await;
    let served = served_by(&house, &house.app, Rules { per_caller: 1, ..Rules::default() }).await;
    let made =
        house.by_owner("apiKeyCreate", "apiKey { id } key", json!({ "name": "Screen", "scopes": ["READ"] })).await;
    let mut screen = Client::signed_in(&served.address, made["key"].as_str().expect("a key")).await;
    let list = "{ customers(first: 100) { nodes { id name email balances { available } } } }";
    let mut limited = Value::Null;
    for n in 0..200 {
        screen.subscribe(&format!("q{n}"), list, json!({})).await;
        let answer = screen.next().await;
        if answer["type"] == "error" {
            limited = answer["payload"][0]["extensions"]["code"].clone();
            break;
        }
        assert_eq!(screen.next().await["type"], "complete");
    }
    assert_eq!(limited, "RATE_LIMITED", "a socket pays like everybody");
    house.by_owner("apiKeyRevoke", "apiKey { id }", json!({ "id": made["apiKey"]["id"] })).await;
    // It looks every fifteen seconds.
    let closed = tokio::time::timeout(std::time::Duration::from_secs(25), async {
        while let Some(more) = screen.try_next().await {
            assert_ne!(more["type"], "next", "{more}");
        }
    });
    closed.await.expect("it is closed");
    assert_eq!(Client::connect(&served.address, &[("origin", "https://evil.example")]).await.err(), Some(403));
}
