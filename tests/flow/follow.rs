//! Looking at events: what cannot be looked at stops nobody, and accounts take turns.

use scrip::domain::Role;
use scrip::domain::dispatch;
use scrip::domain::work::lease;
use scrip::worker;
use serde_json::{Value, json};

use crate::flow::shop::id;
use crate::harness::{Backend, House, new_account};
use crate::on_both;

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
        while dispatch::follow(&house.app, house.account.id).await.expect("looked at") > 0 {}
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

    /// An event that cannot be looked at gets a job of its own; the others of its account are looked at.
    async fn a_poisoned_event_stops_no_other(house: House) {
        let (ada, bob) = (house.customer("Ada").await, house.customer("Bob").await);
        house.triggered("form.submitted", json!({ "actions": [{ "tagCustomer": ["x"] }] })).await;
        match house.backend {
            Backend::Sqlite => {
                house.tamper("CREATE TRIGGER poison BEFORE INSERT ON run WHEN NEW.customer_id = (SELECT id FROM customer WHERE name = 'Ada') BEGIN SELECT RAISE(ABORT, 'poisoned'); END").await;
            }
            Backend::Postgres => {
                house.tamper("CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.customer_id = (SELECT id FROM customer WHERE name = 'Ada') THEN RAISE EXCEPTION 'poisoned'; END IF; RETURN NEW; END $$").await;
                house.tamper("CREATE TRIGGER poison BEFORE INSERT ON run FOR EACH ROW EXECUTE FUNCTION poison()").await;
            }
        }
        for customer in [&bob, &ada, &bob] {
            house.tracked("form.submitted", customer, json!({})).await;
        }
        for _ in 0..8 {
            house.work().await;
            house.tamper("UPDATE job SET not_before = NULL").await;
        }
        assert_eq!((house.tags(&ada).await, house.tags(&bob).await), (json!([]), json!(["x"])));
        let dead = house.data("{ jobs(dead: true) { nodes { id kind } } }", json!({})).await["jobs"]["nodes"].clone();
        assert_eq!((dead.as_array().map(Vec::len), &dead[0]["kind"]), (Some(1), &json!("FOLLOW")));
        house.tamper(if house.backend == Backend::Sqlite { "DROP TRIGGER poison" } else { "DROP TRIGGER poison ON run" }).await;
        house.done("jobRetry", "job { id }", json!({ "id": dead[0]["id"] })).await;
        house.work().await;
        assert_eq!(house.tags(&ada).await, json!(["x"]));
    }

    /// A step that cannot be taken fails its own walk, and goes on when staff asks.
    async fn a_poisoned_step_stops_no_other(house: House) {
        let (ada, bob) = (house.customer("Ada").await, house.customer("Bob").await);
        let broken = house.automation("Broken", json!([{ "does": { "tagCustomer": ["x"] } }])).await;
        let good = house.automation("Good", json!([{ "does": { "tagCustomer": ["y"] } }])).await;
        let failed = id(&house.start(&broken, &ada).await["enrolment"]);
        house.tamper("UPDATE automation_version SET steps = '\"nonsense\"' WHERE automation_id = (SELECT id FROM automation WHERE name = 'Broken')").await;
        house.start(&good, &bob).await;
        for _ in 0..8 {
            house.work().await;
            house.tamper("UPDATE job SET not_before = NULL").await;
        }
        assert_eq!((house.tags(&bob).await, &house.enrolment(&failed).await["status"]), (json!(["y"]), &json!("FAILED")));
        let dead = house.data("{ jobs(dead: true) { nodes { id kind } } }", json!({})).await["jobs"]["nodes"].clone();
        assert_eq!(dead[0]["kind"], "WALK");
        house.tamper("UPDATE automation_version SET steps = '[{\"does\": {\"act\": {\"tag\": {\"tags\": [\"x\"]}}}}]' WHERE steps = '\"nonsense\"'").await;
        let second = id(&house.start(&broken, &ada).await["enrolment"]);
        let retry = json!({ "id": dead[0]["id"] });
        assert_eq!(house.mutate("jobRetry", "job { id }", retry.clone()).await["userErrors"][0]["code"], "ALREADY_ENROLLED", "it has begun anew");
        house.work().await;
        assert_eq!(house.enrolment(&second).await["status"], "DONE");
        house.done("jobRetry", "job { id }", retry).await;
        house.work().await;
        assert_eq!(house.enrolment(&failed).await["status"], "DONE");
    }

    /// The first of two actions is laid aside, the second done; the first is tried again, and the second not once more.
    async fn what_comes_after_a_failed_action_is_done_once(house: House) {
        let ada = house.customer("Ada").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let issue = json!({ "issueCredits": { "creditTypeId": class, "amount": 1 } });
        house.triggered("form.submitted", json!({ "actions": [issue, issue] })).await;
        house.tracked("form.submitted", &ada, json!({})).await;
        while dispatch::follow(&house.app, house.account.id).await.expect("looked at") > 0 {}
        let action = |json: &str| format!("UPDATE run SET action = {json} WHERE position = 0");
        let stored = match house.backend {
            Backend::Sqlite => "(SELECT action FROM run WHERE position = 1)",
            Backend::Postgres => "(SELECT action FROM run r WHERE r.position = 1)",
        };
        house.tamper(&action("'\"nonsense\"'")).await;
        for _ in 0..8 {
            house.work().await;
            house.tamper("UPDATE job SET not_before = NULL").await;
        }
        assert_eq!(house.balance(&ada).await["available"], 1, "the second did not wait for it");
        house.tamper(&action(stored)).await;
        let dead = house.data("{ jobs(dead: true) { nodes { id } } }", json!({})).await["jobs"]["nodes"].clone();
        house.done("jobRetry", "job { id }", json!({ "id": dead[0]["id"] })).await;
        house.work().await;
        assert_eq!(house.balance(&ada).await["available"], 2);
        assert_eq!(house.data("{ jobs { nodes { id } } }", json!({})).await["jobs"]["nodes"], json!([]));
        house.assert_verified().await;
    }

    /// One account has thousands of events and actions waiting; another's one is done in the first rounds.
    async fn accounts_take_turns(house: House) {
        let small = new_account(&house.app, "small").await;
        let ada = house.customer("Ada").await;
        let input = json!({ "actions": [{ "untagCustomer": ["x"] }] });
        house.triggered("form.submitted", input.clone()).await;
        house.tracked("form.submitted", &ada, json!({})).await;
        assert_eq!(house.copy_events("form.submitted", 3_000).await, 3_000);
        // Their actions are due before anything of the other account is.
        for _ in 0..8 {
            dispatch::follow(&house.app, house.account.id).await.expect("looked at");
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
        assert_eq!(dispatch::next_account(&house.app, None).await.expect("looked"), None);
        let trigger = house.triggered("form.submitted", json!({ "actions": [{ "tagCustomer": ["x"] }] })).await;
        house.tracked("other.thing", &ada, json!({})).await;
        assert_eq!(dispatch::next_account(&house.app, None).await.expect("looked"), None);
        house.tracked("form.submitted", &ada, json!({})).await;
        assert_eq!(dispatch::next_account(&house.app, None).await.expect("looked"), Some(house.account.id));
        house.done("triggerDelete", "trigger { id }", json!({ "id": trigger })).await;
        house.work().await;
        house.tracked("form.submitted", &ada, json!({})).await;
        assert_eq!(dispatch::next_account(&house.app, None).await.expect("looked"), None);
        assert_eq!(lease::claim(&house.app, lease::Work::Outside, 10).await.expect("claimed").len(), 0);
    }

    /// The worker leaves sandboxes to their clocks, also where events wait in one.
    async fn the_worker_follows_nothing_in_a_sandbox(house: House) {
        let house = house.sandbox("left-alone", "2026-01-01T00:00:00Z").await;
        let ada = house.customer("Ada").await;
        house.triggered("form.submitted", json!({ "actions": [{ "tagCustomer": ["x"] }] })).await;
        house.tracked("form.submitted", &ada, json!({})).await;
        assert_eq!(house.tags(&ada).await, json!(["x"]), "its own request saw to it");
        house.tamper("UPDATE event SET pending = true WHERE name = 'form.submitted'").await;
        assert_eq!(dispatch::follow(&house.app, house.account.id).await.expect("looked"), 0);
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
        let endpoint = house.by_owner("webhookEndpointCreate", "webhookEndpoint { id }", json!({ "url": "https://127.0.0.1/x", "events": ["*"] })).await;
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
            ("automationStart", json!({ "automationId": walk, "who": { "customerId": ada }, "idempotencyKey": "k" })),
        ] {
            let refused = other.by_owner(mutation, "__typename", input).await;
            assert_eq!(refused["userErrors"][0]["code"], "NOT_FOUND", "{mutation}: {refused:#}");
        }
    }
}
