//! Webhooks: signed, tried again, given up, and a dead endpoint holds up nobody.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use scrip::domain::Role;
use scrip::domain::storage::ports::webhooks::{Unanswered, WebhookPost};
use scrip::gateway::{Names, Poster};
use scrip::worker::Worker;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use crate::flow::receiver::{Received, Receiver, Reply};
use crate::flow::shop::{id, refusal};
use crate::harness::{Backend, House};
use crate::on_both;

/// Waits until something holds, for some seconds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..400 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{what} did not come true");
}

impl House {
    /// An endpoint; its id and its secret.
    async fn endpoint(&self, url: &str, events: &[&str]) -> (String, String) {
        let made = self
            .by_owner(
                "webhookEndpointCreate",
                "webhookEndpoint { id enabled } secret",
                json!({ "url": url, "events": events }),
            )
            .await;
        (id(&made["webhookEndpoint"]), made["secret"].as_str().unwrap_or_else(|| panic!("{made:#}")).to_owned())
    }

    async fn about(&self, endpoint: &str) -> Value {
        let query =
            "query($id: ID!) { webhookEndpoint(id: $id) { enabled disabledReason failingSince deliveries { nodes {
            id status nextAt endedAt event { id name } attempts { at statusCode error } } } } }";
        let response = self.ask(Role::Owner, query, json!({ "id": endpoint })).await;
        assert!(response.get("errors").is_none(), "{response:#}");
        response["data"]["webhookEndpoint"].clone()
    }

    async fn statuses(&self, endpoint: &str) -> Vec<String> {
        let about = self.about(endpoint).await;
        let nodes = about["deliveries"]["nodes"].as_array().expect("nodes");
        nodes.iter().map(|node| node["status"].as_str().expect("text").to_owned()).collect()
    }
}

/// Whether a secret has signed what was received, by the specification's own library. Its `verify` also looks at the
/// clock on the wall, which is not that of these tests; where it is, it is asked as well.
fn is_signed(received: &Received, secret: &str) -> bool {
    let timestamp = received.header("webhook-timestamp").parse().expect("seconds");
    let webhook = Webhook::new(secret).expect("a secret");
    let signed = webhook.sign(received.header("webhook-id"), timestamp, received.body.as_bytes()).expect("signed");
    received.header("webhook-signature").split(' ').any(|signature| signature == signed)
}

fn is_verified(received: &Received, secret: &str) -> bool {
    let mut headers = poem::http::HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, received.header(name).parse().expect("a header"));
    }
    Webhook::new(secret).expect("a secret").verify(received.body.as_bytes(), &headers).is_ok()
}

on_both! {
    async fn what_happens_is_posted_and_signed(house: House) {
        let receiver = Receiver::start().await;
        let (endpoint, secret) = house.endpoint(&format!("{}/in?a=b", receiver.url), &["credits.*", "form.submitted"]).await;
        let worker = Worker::start(house.app.clone());
        let ada = house.customer("Ada").await;
        let event = house.tracked("form.submitted", &ada, json!({ "plan": "gold", "note": "Grüezi" })).await;
        until("the form's event is posted", async || receiver.count() == 1).await;
        let first = receiver.all().remove(0);
        assert_eq!((first.path.as_str(), first.header("content-type"), first.header("webhook-id")), ("/in?a=b", "application/json", event.as_str()));
        assert_eq!(first.header("webhook-timestamp"), house.now().timestamp().to_string());
        assert!(is_signed(&first, &secret) && !is_signed(&first, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
        let body: Value = serde_json::from_str(&first.body).expect("JSON");
        assert_eq!(body, json!({ "type": "form.submitted", "timestamp": "2026-03-01T09:00:00Z", "version": 1,
            "accountId": house.account.id.to_string(), "customerId": ada, "data": { "plan": "gold", "note": "Grüezi" } }));
        let class = house.credit_type("Class", json!({ "never": true })).await;
        house.issue(json!({ "customerId": ada, "creditTypeId": class, "amount": 1 })).await;
        house.tracked("session.delivered", &ada, json!({})).await;
        until("the issue is posted", async || receiver.count() == 2).await;
        until("both are delivered", async || house.statuses(&endpoint).await == ["DELIVERED", "DELIVERED"]).await;
        let about = house.about(&endpoint).await;
        assert_eq!((&about["deliveries"]["nodes"][0]["event"]["name"], &about["deliveries"]["nodes"][0]["attempts"][0]["statusCode"]), (&json!("credits.issued"), &json!(204)));
        worker.stop().await;
        assert_eq!(receiver.count(), 2, "what it does not hear of is not posted");
    }

    async fn a_rotated_secret_signs_beside_the_new_one_for_a_while(house: House) {
        let receiver = Receiver::start().await;
        let (endpoint, old) = house.endpoint(&receiver.url, &["form.submitted"]).await;
        let worker = Worker::start(house.app.clone());
        let ada = house.customer("Ada").await;
        let rotated = house.by_owner("webhookEndpointRotateSecret", "secret webhookEndpoint { previousSecretUntil }", json!({ "id": endpoint, "overlapHours": 2 })).await;
        let new = rotated["secret"].as_str().expect("a secret").to_owned();
        assert_eq!((&rotated["webhookEndpoint"]["previousSecretUntil"], new == old), (&json!("2026-03-01T11:00:00Z"), false));
        house.tracked("form.submitted", &ada, json!({})).await;
        until("the first is posted", async || receiver.count() == 1).await;
        let first = receiver.all().remove(0);
        assert!(is_signed(&first, &old) && is_signed(&first, &new));
        assert_eq!(first.header("webhook-signature").split(' ').count(), 2);
        house.clock.set(house.now() + TimeDelta::hours(2));
        house.tracked("form.submitted", &ada, json!({})).await;
        until("the second is posted", async || receiver.count() == 2).await;
        let second = receiver.all().remove(1);
        assert!(!is_signed(&second, &old) && is_signed(&second, &new));
        assert_eq!(refusal(&house.by_owner("webhookEndpointRotateSecret", "secret", json!({ "id": endpoint, "overlapHours": 200 })).await), ("INVALID".into(), "overlapHours".into()));
        worker.stop().await;
    }

    async fn what_fails_is_tried_again_by_the_schedule(house: House) {
        let receiver = Receiver::start().await;
        receiver.then(&[Reply::Status(500), Reply::With(302, "location: http://127.0.0.1:1/"), Reply::With(429, "retry-after: 3600")]);
        let (endpoint, _) = house.endpoint(&receiver.url, &["form.submitted"]).await;
        let worker = Worker::start(house.app.clone());
        let ada = house.customer("Ada").await;
        house.tracked("form.submitted", &ada, json!({})).await;
        // What the schedule of the specification says, and what the endpoint asks for where that is more.
        for (attempts, least, most) in [(1_usize, 5, 6), (2, 300, 330), (3, 3_600, 3_600)] {
            let mut node = Value::Null;
            until("an attempt is written", async || {
                node = house.about(&endpoint).await["deliveries"]["nodes"][0].clone();
                node["attempts"].as_array().is_some_and(|all| all.len() == attempts)
            }).await;
            let next = crate::harness::at(node["nextAt"].as_str().expect("again"));
            let pause = (next - house.now()).num_seconds();
            assert!((least..=most).contains(&pause), "{attempts}: {pause}");
            house.clock.set(next - TimeDelta::milliseconds(1));
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert_eq!(receiver.count(), attempts, "not before its time");
            house.clock.set(next);
        }
        until("it is delivered", async || house.statuses(&endpoint).await == ["DELIVERED"]).await;
        let node = house.about(&endpoint).await;
        let said = node["deliveries"]["nodes"][0]["attempts"].as_array().expect("attempts").iter().map(|it| it["statusCode"].clone()).collect::<Vec<_>>();
        assert_eq!((said, &node["failingSince"]), (vec![json!(500), json!(302), json!(429), json!(204)], &Value::Null), "a redirect is not followed");
        let ids = receiver.all().iter().map(|it| it.header("webhook-id").to_owned()).collect::<std::collections::HashSet<_>>();
        assert_eq!(ids.len(), 1, "the same message each time");
        worker.stop().await;
    }

    async fn five_days_of_failure_disable_an_endpoint_and_say_so(house: House) {
        let (receiver, watcher) = (Receiver::start().await, Receiver::start().await);
        receiver.always(Reply::Status(503));
        let (endpoint, _) = house.endpoint(&receiver.url, &["form.submitted"]).await;
        house.endpoint(&watcher.url, &["webhook.*"]).await;
        let worker = Worker::start(house.app.clone());
        let ada = house.customer("Ada").await;
        house.tracked("form.submitted", &ada, json!({})).await;
        until("it failed", async || receiver.count() == 1 && house.about(&endpoint).await["failingSince"] != Value::Null).await;
        // Within three days one event is given up, and the endpoint is not yet.
        for attempts in 2..=10 {
            let mut next = Value::Null;
            until("the attempt before is written", async || {
                let node = house.about(&endpoint).await["deliveries"]["nodes"][0].clone();
                next = node["nextAt"].clone();
                node["attempts"].as_array().is_some_and(|all| all.len() + 1 == attempts)
            }).await;
            house.set_clock(next.as_str().expect("again"));
            until("it is tried again", async || receiver.count() == attempts).await;
        }
        until("one event is given up", async || house.statuses(&endpoint).await == ["FAILED"]).await;
        assert_eq!(house.about(&endpoint).await["enabled"], true);
        house.set_clock("2026-03-06T09:00:01Z");
        let lost = house.tracked("form.submitted", &ada, json!({})).await;
        until("it is disabled", async || house.about(&endpoint).await["enabled"] == false).await;
        let about = house.about(&endpoint).await;
        assert_eq!((&about["disabledReason"], house.statuses(&endpoint).await), (&json!("Every attempt failed for 5 days."), vec!["FAILED".to_owned(); 2]));
        until("others hear of it", async || watcher.count() == 1).await;
        assert_eq!(serde_json::from_str::<Value>(&watcher.all()[0].body).expect("JSON")["data"]["webhookEndpointId"], json!(endpoint));
        // By hand: not while it is disabled; then at once.
        receiver.always(Reply::Status(200));
        let delivery = house.about(&endpoint).await["deliveries"]["nodes"][0].clone();
        assert_eq!(delivery["event"]["id"], json!(lost));
        let retry = json!({ "id": delivery["id"] });
        assert_eq!(refusal(&house.by_owner("webhookDeliveryRetry", "__typename", retry.clone()).await), ("ENDPOINT_DISABLED".into(), "id".into()));
        assert_eq!(refusal(&house.by_owner("webhookEndpointTest", "__typename", json!({ "id": endpoint })).await), ("ENDPOINT_DISABLED".into(), "id".into()));
        house.by_owner("webhookEndpointUpdate", "webhookEndpoint { id }", json!({ "id": endpoint, "enabled": true })).await;
        let retried = house.by_owner("webhookDeliveryRetry", "webhookDelivery { status }", retry.clone()).await;
        assert_eq!(retried["webhookDelivery"]["status"], "PENDING");
        until("it is delivered", async || house.statuses(&endpoint).await == ["DELIVERED", "FAILED"]).await;
        worker.stop().await;
    }

    async fn gone_means_gone(house: House) {
        let receiver = Receiver::start().await;
        receiver.always(Reply::Status(410));
        let (endpoint, _) = house.endpoint(&receiver.url, &["form.submitted"]).await;
        let worker = Worker::start(house.app.clone());
        let ada = house.customer("Ada").await;
        house.tracked("form.submitted", &ada, json!({})).await;
        until("it is disabled", async || house.about(&endpoint).await["enabled"] == false).await;
        assert_eq!(house.about(&endpoint).await["disabledReason"], "It answered 410: it is gone.");
        house.tracked("form.submitted", &ada, json!({})).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        worker.stop().await;
        assert_eq!((receiver.count(), house.told("webhook.disabled").await.len()), (1, 1));
    }

    /// One endpoint answers nobody, another one refuses to be connected to: the third gets everything at once.
    async fn a_dead_endpoint_holds_up_nobody(house: House) {
        let (dead, alive) = (Receiver::start().await, Receiver::start().await);
        dead.always(Reply::Stall(Duration::from_secs(30)));
        house.endpoint(&dead.url, &["form.submitted"]).await;
        house.endpoint("http://127.0.0.1:9/", &["form.submitted"]).await;
        let (endpoint, _) = house.endpoint(&alive.url, &["form.submitted"]).await;
        let worker = Worker::start(house.app.clone());
        let ada = house.customer("Ada").await;
        for n in 0..60 {
            house.tracked("form.submitted", &ada, json!({ "n": n })).await;
        }
        until("the living one hears all", async || alive.count() == 60).await;
        assert!(dead.count() <= 8, "no more is posted than answers: {}", dead.count());
        until("all is written", async || house.statuses(&endpoint).await.iter().all(|status| status == "DELIVERED")).await;
        drop(worker);
    }

    async fn a_test_is_posted_whatever_it_hears_of(house: House) {
        let receiver = Receiver::start().await;
        house.clock.set(chrono::DateTime::from(std::time::SystemTime::now()));
        let (endpoint, secret) = house.endpoint(&receiver.url, &["order.paid"]).await;
        let worker = Worker::start(house.app.clone());
        let tested = house.by_owner("webhookEndpointTest", "event { id name } webhookDelivery { status }", json!({ "id": endpoint })).await;
        assert_eq!((&tested["event"]["name"], &tested["webhookDelivery"]["status"]), (&json!("webhook.tested"), &json!("PENDING")));
        until("it is posted", async || receiver.count() == 1).await;
        let first = receiver.all().remove(0);
        assert!(is_verified(&first, &secret) && !is_verified(&first, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
        house.by_owner("webhookEndpointDelete", "webhookEndpoint { id }", json!({ "id": endpoint })).await;
        assert_eq!(house.about(&endpoint).await["enabled"], false);
        worker.stop().await;
    }

    async fn a_private_address_is_refused_and_one_that_turns_private_gets_nothing(house: House) {
        let receiver = Receiver::start().await;
        let port = receiver.url.rsplit(':').next().expect("a port").to_owned();
        let house = house.posting_by(Poster::new(Arc::new(Rebinding(AtomicUsize::new(0))), false).expect("a poster")).await;
        let input = |url: String| json!({ "url": url, "events": ["form.submitted"] });
        for url in [format!("http://127.0.0.1:{port}/"), "https://[::1]/".to_owned(), "https://169.254.169.254/latest".to_owned()] {
            let made = house.by_owner("webhookEndpointCreate", "secret", input(url)).await;
            assert_eq!(refusal(&made), ("ADDRESS_NOT_PUBLIC".into(), "url".into()));
        }
        // Public when it is created, private whenever it is looked up after that.
        let (endpoint, _) = house.endpoint(&format!("http://rebinding.example:{port}/"), &["form.submitted"]).await;
        let refused = house.by_owner("webhookEndpointUpdate", "__typename", json!({ "id": endpoint, "url": format!("http://rebinding.example:{port}/x") })).await;
        assert_eq!(refusal(&refused), ("ADDRESS_NOT_PUBLIC".into(), "url".into()));
        let worker = Worker::start(house.app.clone());
        let ada = house.customer("Ada").await;
        house.tracked("form.submitted", &ada, json!({})).await;
        until("it is tried", async || house.about(&endpoint).await["deliveries"]["nodes"][0]["attempts"][0]["at"].is_string()).await;
        let delivery = house.about(&endpoint).await["deliveries"]["nodes"][0].clone();
        assert_eq!((&delivery["status"], &delivery["attempts"][0]["error"]), (&json!("PENDING"), &json!("rebinding.example does not lead to a public address")));
        worker.stop().await;
        assert_eq!(receiver.count(), 0);
    }

    /// What is on its way to an endpoint that its owner disables is given up; enabled again, it hears of what is new.
    async fn an_endpoint_is_disabled_and_enabled_by_hand(house: House) {
        let receiver = Receiver::start().await;
        receiver.always(Reply::Status(500));
        let (endpoint, _) = house.endpoint(&receiver.url, &["form.submitted"]).await;
        let worker = Worker::start(house.app.clone());
        let ada = house.customer("Ada").await;
        house.tracked("form.submitted", &ada, json!({})).await;
        until("it failed", async || house.about(&endpoint).await["failingSince"] != Value::Null).await;
        house.by_owner("webhookEndpointUpdate", "webhookEndpoint { id }", json!({ "id": endpoint, "enabled": false })).await;
        assert_eq!(house.statuses(&endpoint).await, ["FAILED"]);
        receiver.always(Reply::Status(200));
        house.tracked("form.submitted", &ada, json!({})).await;
        house.by_owner("webhookEndpointUpdate", "webhookEndpoint { id }", json!({ "id": endpoint, "enabled": true })).await;
        house.tracked("form.submitted", &ada, json!({})).await;
        until("it is delivered", async || house.statuses(&endpoint).await == ["DELIVERED", "FAILED"]).await;
        let rotate = json!({ "id": endpoint });
        house.by_owner("webhookEndpointRotateSecret", "secret", rotate.clone()).await;
        assert_eq!(refusal(&house.by_owner("webhookEndpointRotateSecret", "secret", rotate).await), ("INVALID".into(), "overlapHours".into()), "the secret of before is still in use");
        assert!(house.by_owner("webhookEndpointRotateSecret", "secret", json!({ "id": endpoint, "overlapHours": 0 })).await["secret"].is_string());
        worker.stop().await;
    }

    async fn what_is_no_endpoint_is_refused(house: House) {
        let input = |url: &str, events: Value| json!({ "url": url, "events": events });
        for (url, events, field) in [
            ("not a url", json!(["*"]), "url"), ("ftp://example.com", json!(["*"]), "url"), ("https://", json!(["*"]), "url"),
            ("https://user:secret@example.com/", json!(["*"]), "url"), ("https://127.0.0.1/x", json!([]), "events"),
            ("https://127.0.0.1/x", json!(["Credits"]), "events"), ("https://127.0.0.1/x", json!(["credits.exploded"]), "events"),
            ("https://127.0.0.1/x", json!(["*.paid"]), "events"),
        ] {
            let made = house.by_owner("webhookEndpointCreate", "secret", input(url, events.clone())).await;
            assert_eq!(refusal(&made), ("INVALID".into(), field.into()), "{url} {events}");
        }
        let query = "mutation { webhookEndpointCreate(input: { url: \"https://127.0.0.1/\", events: [\"*\"] }) { secret } }";
        let staff = house.ask(Role::Staff, query, json!({})).await;
        assert_eq!(staff["errors"][0]["extensions"]["code"], "FORBIDDEN", "settings are the owner's");
    }
}

/// Names that lead elsewhere each time that they are looked up.
struct Rebinding(AtomicUsize);

#[async_trait]
impl Names for Rebinding {
    async fn look_up(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        let public = self.0.fetch_add(1, Ordering::Relaxed) == 0;
        Ok(vec![if public { IpAddr::from([93, 184, 215, 14]) } else { IpAddr::from([127, 0, 0, 1]) }])
    }
}

/// Public when it is created, private when it is posted to: what is connected to is what was looked at then.
#[tokio::test]
async fn an_address_that_turns_private_between_check_and_use_gets_nothing() {
    let receiver = Receiver::start().await;
    let port = receiver.url.rsplit(':').next().expect("a port").to_owned();
    let poster = Poster::new(Arc::new(Rebinding(AtomicUsize::new(0))), false).expect("a poster");
    let url = format!("http://rebinding.example:{port}/");
    assert_eq!(poster.look(&url).await, Ok(()));
    assert_eq!(
        poster.post(&url, &[], "{}".to_owned()).await,
        Err(Unanswered::NotPublic("rebinding.example".to_owned()))
    );
    assert_eq!(poster.look(&url).await, Err(Unanswered::NotPublic("rebinding.example".to_owned())));
    for literal in [
        "http://127.0.0.1",
        "http://2130706433",
        "http://0x7f.1",
        "http://[::1]",
        "http://[::ffff:127.0.0.1]",
        "http://169.254.169.254",
    ] {
        let url = format!("{literal}:{port}/");
        assert!(matches!(poster.post(&url, &[], "{}".to_owned()).await, Err(Unanswered::NotPublic(_))), "{url}");
        assert!(matches!(poster.look(&url).await, Err(Unanswered::NotPublic(_))), "{url}");
    }
    assert_eq!(receiver.count(), 0);
    let allowed = Poster::new(Arc::new(Rebinding(AtomicUsize::new(1))), true).expect("a poster");
    assert_eq!(allowed.post(&url, &[], "{}".to_owned()).await.map(|answer| answer.status), Ok(204));
}

/// Names that lead into a private network, and names that lead nowhere.
struct Inside;

#[async_trait::async_trait]
impl Names for Inside {
    async fn look_up(&self, host: &str) -> std::io::Result<Vec<IpAddr>> {
        if host.starts_with("inside") {
            Ok(vec!["10.0.0.7".parse().expect("an address")])
        } else {
            Err(std::io::Error::other("no such host"))
        }
    }
}

/// Nobody learns which names there are behind our walls.
#[tokio::test]
async fn a_private_name_and_one_that_is_not_there_look_alike() {
    let poster = Poster::new(Arc::new(Inside), false).expect("a poster");
    let words = |host: &str, found: Result<(), Unanswered>| format!("{found:?}").replace(host, "it");
    for (inside, nowhere) in [("inside.example", "nowhere.example")] {
        let look = async |host: &str| words(host, poster.look(&format!("https://{host}/")).await);
        let post = async |host: &str| {
            words(host, poster.post(&format!("https://{host}/"), &[], "{}".to_owned()).await.map(drop))
        };
        assert_eq!(look(inside).await, look(nowhere).await);
        assert_eq!(post(inside).await, post(nowhere).await);
        assert!(post(inside).await.contains("NotPublic"));
    }
}
