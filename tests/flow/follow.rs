//! Looking at events: what cannot be looked at stops nobody, and accounts take turns.

use scrip::domain::{Caller, Role, events, jobs};
use scrip::worker;
use serde_json::{Value, json};

use crate::harness::{Backend, House, new_account};
use crate::on_both;
use crate::shop::id;

on_both! {
    /// A trigger whose stored form is broken fails where staff sees it; the others of the same event go on.
    async fn a_poisoned_trigger_stops_no_other(house: House) {
        let ada = house.customer("Ada").await;
        let broken = house.triggered("form.submitted", json!({ "actions": [{ "tagCustomer": ["never"] }] })).await;
        let good = house.triggered("form.submitted", json!({ "name": "good", "actions": [{ "tagCustomer": ["always"] }] })).await;
        house.tamper("UPDATE event_trigger SET actions = '{\"nonsense\": true}' WHERE name <> 'good'").await;
        house.tracked("form.submitted", &ada, json!({})).await;
        house.work().await;
        assert_eq!(house.tags(&ada).await, json!(["always"]));
        assert_eq!(house.runs(&good).await[0]["status"], "DONE");
        let query = "query($id: ID!) { trigger(id: $id) { runs { nodes { status } } } }";
        assert_eq!(house.data(query, json!({ "id": broken })).await["trigger"]["runs"]["nodes"], json!([{ "status": "FAILED" }]));
    }

    /// An action that always fails is tried again later each time, in the end laid aside, and done when staff asks.
    async fn a_poisoned_action_is_laid_aside_and_tried_again(house: House) {
        let (ada, bob) = (house.customer("Ada").await, house.customer("Bob").await);
        let trigger = house.triggered("form.submitted", json!({ "actions": [{ "tagCustomer": ["x"] }] })).await;
        house.tracked("form.submitted", &ada, json!({})).await;
        while events::follow(&house.app, house.account.id).await.expect("looked at") > 0 {}
        let good = "UPDATE run SET action = '{\"tag\": {\"tags\": [\"x\"]}}' WHERE status = 'failed'";
        house.tamper("UPDATE run SET action = '\"nonsense\"' WHERE status = 'pending'").await;
        house.tracked("form.submitted", &bob, json!({})).await;
        for _ in 0..8 {
            house.work().await;
            house.tamper("UPDATE job SET not_before = NULL").await;
        }
        assert_eq!((house.tags(&ada).await, house.tags(&bob).await), (json!([]), json!(["x"])));
        let statuses = house.data("query($id: ID!) { trigger(id: $id) { runs { nodes { status } } } }", json!({ "id": trigger })).await;
        assert_eq!(statuses["trigger"]["runs"]["nodes"], json!([{ "status": "DONE" }, { "status": "FAILED" }]));
        let dead = house.data("{ jobs(dead: true) { nodes { id kind } } }", json!({})).await["jobs"]["nodes"].clone();
        assert_eq!((dead.as_array().map(Vec::len), &dead[0]["kind"]), (Some(1), &json!("ACT")));
        house.tamper(good).await;
        house.done("jobRetry", "job { id }", json!({ "id": dead[0]["id"] })).await;
        house.work().await;
        assert_eq!(house.tags(&ada).await, json!(["x"]));
    }

    /// One account has thousands of events and actions waiting; another's one is done in the first rounds.
    async fn accounts_take_turns(house: House) {
        let small = new_account(&house.app, "small").await;
        let ada = house.customer("Ada").await;
        let input = json!({ "actions": [{ "untagCustomer": ["x"] }] });
        house.triggered("form.submitted", input.clone()).await;
        house.tracked("form.submitted", &ada, json!({})).await;
        let copies = match house.backend {
            Backend::Sqlite => "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
                INSERT INTO event SELECT account_id, randomblob(16), name, version, customer_id, subject_id, payload, at, depth, pending FROM event, n WHERE name = 'form.submitted'",
            Backend::Postgres => "INSERT INTO event (account_id, id, name, version, customer_id, subject_id, payload, at, depth, pending)
                SELECT account_id, gen_random_uuid(), name, version, customer_id, subject_id, payload, at, depth, pending FROM event, generate_series(1, 3000) WHERE name = 'form.submitted'",
        };
        assert_eq!(house.tamper(copies).await, 3_000);
        // Their actions are due before anything of the other account is.
        for _ in 0..8 {
            events::follow(&house.app, house.account.id).await.expect("looked at");
        }
        let mut other = house.beside();
        other.account = small;
        let bob = other.customer("Bob").await;
        other.triggered("form.submitted", json!({ "actions": [{ "tagCustomer": ["done"] }] })).await;
        other.tracked("form.submitted", &bob, json!({})).await;
        let mut rounds = 0;
        while other.tags(&bob).await != json!(["done"]) {
            worker::round(&house.app).await.expect("a round");
            rounds += 1;
            assert!(rounds <= 2, "the other account still waits");
        }
        let left = house.data("{ jobs(first: 100) { nodes { kind } } }", json!({})).await;
        assert!(left["jobs"]["nodes"].as_array().is_some_and(|jobs| jobs.len() == 100), "the large one is not done yet");
    }

    /// What nobody follows costs its row and nothing else: nothing is pending.
    async fn what_nobody_follows_waits_for_nobody(house: House) {
        let ada = house.customer("Ada").await;
        house.tracked("form.submitted", &ada, json!({})).await;
        assert_eq!(events::next_account(&house.app, None).await.expect("looked"), None);
        let trigger = house.triggered("form.submitted", json!({ "actions": [{ "tagCustomer": ["x"] }] })).await;
        house.tracked("other.thing", &ada, json!({})).await;
        assert_eq!(events::next_account(&house.app, None).await.expect("looked"), None);
        house.tracked("form.submitted", &ada, json!({})).await;
        assert_eq!(events::next_account(&house.app, None).await.expect("looked"), Some(house.account.id));
        house.done("triggerDelete", "trigger { id }", json!({ "id": trigger })).await;
        house.work().await;
        house.tracked("form.submitted", &ada, json!({})).await;
        assert_eq!(events::next_account(&house.app, None).await.expect("looked"), None);
        assert_eq!(jobs::claim(&house.app, jobs::Work::Outside, 10).await.expect("claimed").len(), 0);
    }

    /// The worker leaves sandboxes to their clocks, also where events wait in one.
    async fn the_worker_follows_nothing_in_a_sandbox(house: House) {
        let house = house.sandbox("left-alone", "2026-01-01T00:00:00Z").await;
        let ada = house.customer("Ada").await;
        house.triggered("form.submitted", json!({ "actions": [{ "tagCustomer": ["x"] }] })).await;
        house.tracked("form.submitted", &ada, json!({})).await;
        assert_eq!(house.tags(&ada).await, json!(["x"]), "its own request saw to it");
        house.tamper("UPDATE event SET pending = true WHERE name = 'form.submitted'").await;
        assert_eq!(events::follow(&house.app, house.account.id).await.expect("looked"), 0);
        assert_eq!(worker::round(&house.app).await.expect("a round"), 0);
    }

    /// Another account's triggers, automations, events and endpoints are not there.
    async fn another_account_s_are_not_there(house: House) {
        let ada = house.customer("Ada").await;
        let walk = house.automation("Walk", json!([{ "does": { "wait": { "count": 1, "unit": "DAY" } } }])).await;
        let trigger = house.triggered("form.submitted", json!({ "actions": [{ "startAutomation": walk }] })).await;
        let event = house.tracked("form.submitted", &ada, json!({})).await;
        house.work().await;
        let run = id(&house.runs(&trigger).await[0]);
        let enrolment = id(&house.runs(&trigger).await[0]["began"]);
        let endpoint = house.owner("webhookEndpointCreate", "webhookEndpoint { id }", json!({ "url": "https://127.0.0.1/x", "events": ["*"] })).await;
        let endpoint = id(&endpoint["webhookEndpoint"]);
        let mut other = house.beside();
        other.account = new_account(&house.app, "other").await;
        for it in [&walk, &trigger, &event, &run, &enrolment, &endpoint] {
            let seen = other.ask(Role::Owner, "query($id: ID!) { node(id: $id) { id } }", json!({ "id": it })).await;
            assert_eq!((&seen["data"]["node"], seen.get("errors")), (&Value::Null, None), "{it}");
            let own = house.ask(Role::Owner, "query($id: ID!) { node(id: $id) { id } }", json!({ "id": it })).await;
            assert_eq!(own["data"]["node"]["id"], json!(it));
        }
        for (mutation, input) in [
            ("triggerUpdate", json!({ "id": trigger, "enabled": false })), ("triggerDelete", json!({ "id": trigger })),
            ("triggerTest", json!({ "triggerId": trigger, "eventId": event })), ("automationUpdate", json!({ "id": walk, "enabled": false })),
            ("automationStop", json!({ "enrolmentId": enrolment })), ("automationResume", json!({ "enrolmentId": enrolment })),
            ("webhookEndpointUpdate", json!({ "id": endpoint, "enabled": false })), ("webhookEndpointDelete", json!({ "id": endpoint })),
            ("webhookEndpointRotateSecret", json!({ "id": endpoint })), ("webhookEndpointTest", json!({ "id": endpoint })),
            ("eventTrack", json!({ "name": "a", "customer": { "id": ada }, "idempotencyKey": "k" })),
            ("automationStart", json!({ "automationId": walk, "for": { "customerId": ada }, "idempotencyKey": "k" })),
        ] {
            let refused = other.owner(mutation, "__typename", input).await;
            assert_eq!(refused["userErrors"][0]["code"], "NOT_FOUND", "{mutation}: {refused:#}");
        }
        let stranger = Caller::of(other.app.clone(), other.account.id, Role::Owner, "x");
        assert!(stranger.authorise(scrip::domain::Scope::WebhooksWrite).is_ok());
    }
}
