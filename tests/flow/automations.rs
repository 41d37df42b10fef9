//! Automations: steps that are taken once, in order, however long it takes.

use serde_json::{Value, json};

use crate::flow::shop::{id, refusal};
use crate::harness::{Backend, House, codes};
use crate::on_both;

#[expect(clippy::needless_pass_by_value, reason = "it reads as what is built")]
fn does(step: Value) -> Value {
    json!({ "does": step })
}

/// Each step of a history in a word or two.
fn words(enrolment: &Value) -> Vec<String> {
    let taken = enrolment["history"].as_array().unwrap_or_else(|| panic!("{enrolment:#}"));
    let word = |run: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let kind =
            if run["step"]["kind"] == "ACT" { text(&run["activity"]["kind"]) } else { text(&run["step"]["kind"]) };
        let more = match (&run["branchHeld"], &run["userError"]["code"], &run["waitedUntil"]) {
            (Value::Bool(held), ..) => format!(" {held}"),
            (_, Value::String(code), _) => format!(" {code}"),
            (.., Value::String(until)) => format!(" {until}"),
            _ => String::new(),
        };
        format!("{kind}{more}")
    };
    taken.iter().map(word).collect()
}

on_both! {
    async fn a_walk_takes_its_steps_in_order_by_the_account_s_clock(house: House) {
        let house = house.sandbox("walk", "2026-03-27T09:00:00Z").await;
        let ada = house.customer("Ada").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let hook = house.by_owner("webhookEndpointCreate", "webhookEndpoint { id } secret", json!({ "url": "http://127.0.0.1:9/x", "events": ["order.paid"] })).await;
        let steps = json!([
            does(json!({ "issueCredits": { "creditTypeId": class, "amount": 2, "note": "Trial" } })),
            does(json!({ "wait": { "count": 2, "unit": "DAY" } })),
            does(json!({ "branch": { "conditions": [{ "balance": { "creditTypeId": class, "atLeast": 2 } }, { "property": { "property": "plan", "test": { "equals": "gold" } } }], "then": "unused" } })),
            does(json!({ "stop": true })),
            { "label": "unused", "does": { "tagCustomer": ["cold"] } },
            does(json!({ "waitUntil": "2026-04-02" })),
            does(json!({ "branch": { "match": "ANY", "conditions": [{ "tag": "Cold" }], "otherwise": "end" } })),
            does(json!({ "consumeCredits": { "creditTypeId": class, "amount": 1 } })),
            does(json!({ "callWebhook": hook["webhookEndpoint"]["id"] })),
            { "label": "end", "does": { "untagCustomer": ["cold"] } },
        ]);
        let walk = house.automation("Trial", steps).await;
        house.triggered("form.submitted", json!({ "actions": [{ "startAutomation": walk }] })).await;
        house.tracked("form.submitted", &ada, json!({ "plan": "gold" })).await;
        let query = "query($id: ID!) { customer(by: { id: $id }) { enrolments { nodes { id automation { name steps { kind } } event { name } } } } }";
        let enrolments = house.data(query, json!({ "id": ada })).await["customer"]["enrolments"]["nodes"].clone();
        assert_eq!((&enrolments[0]["event"]["name"], enrolments[0]["automation"]["steps"].as_array().map(Vec::len)), (&json!("form.submitted"), Some(10)));
        let enrolment = id(&enrolments[0]);
        let waiting = house.enrolment(&enrolment).await;
        // The clocks go forward in the night to the 29th: two days later at the same time of day is an hour less.
        assert_eq!((&waiting["status"], &waiting["wakeAt"], &waiting["nextStep"]), (&json!("RUNNING"), &json!("2026-03-29T08:00:00Z"), &json!(2)));
        assert_eq!(house.balance(&ada).await["available"], 2);
        house.advance("2026-03-29T07:59:59Z").await;
        assert_eq!(house.enrolment(&enrolment).await["nextStep"], 2);
        house.advance("2026-03-29T08:00:00Z").await;
        assert_eq!((house.tags(&ada).await, &house.enrolment(&enrolment).await["wakeAt"]), (json!(["cold"]), &json!("2026-04-01T22:00:00Z")));
        house.advance("2026-05-01T00:00:00Z").await;
        let done = house.enrolment(&enrolment).await;
        assert_eq!((&done["status"], &done["endedAt"]), (&json!("DONE"), &json!("2026-04-01T22:00:00Z")));
        assert_eq!(words(&done), ["ISSUE", "WAIT 2026-03-29T08:00:00Z", "BRANCH true", "", "WAIT_UNTIL 2026-04-01T22:00:00Z", "BRANCH true", "CONSUME", "CALL_WEBHOOK", ""]);
        assert_eq!(done["history"][0]["activity"], json!({ "kind": "ISSUE", "amount": 2, "source": "AUTOMATION", "actor": { "kind": "AUTOMATION", "subject": walk }, "reference": enrolment, "note": "Trial" }));
        assert_eq!((house.balance(&ada).await["available"].clone(), house.tags(&ada).await), (json!(1), json!([])));
        let called = house.told("automation.webhook").await;
        assert_eq!((&called[0].0["facts"], called.len()), (&json!({ "plan": "gold" }), 1));
        let posts = "{ webhookEndpoints { nodes { deliveries { nodes { event { name } status } } } } }";
        let posts = house.ask(scrip::domain::Role::Owner, posts, json!({})).await;
        assert_eq!(posts["data"]["webhookEndpoints"]["nodes"][0]["deliveries"]["nodes"], json!([{ "event": { "name": "automation.webhook" }, "status": "PENDING" }]));
        house.assert_verified().await;
    }

    async fn a_refused_step_is_recorded_and_the_walk_goes_on_or_ends(house: House) {
        let ada = house.customer("Ada").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let consume = json!({ "consumeCredits": { "creditTypeId": class, "amount": 1 } });
        let goes_on = house.automation("Goes on", json!([does(consume.clone()), does(json!({ "issueCredits": { "creditTypeId": class, "amount": 5 } }))])).await;
        let ends = json!([{ "does": { "consumeCredits": { "creditTypeId": class, "amount": 9 } }, "whenRefused": "END" }, does(json!({ "tagCustomer": ["x"] }))]);
        let ends = house.automation("Ends", ends).await;
        let first = id(&house.start(&goes_on, &ada).await["enrolment"]);
        house.work().await;
        let first = house.enrolment(&first).await;
        assert_eq!((words(&first), &first["status"], &first["reason"]), (vec![" INSUFFICIENT_CREDITS".to_owned(), "ISSUE".to_owned()], &json!("DONE"), &Value::Null));
        let second = id(&house.start(&ends, &ada).await["enrolment"]);
        house.work().await;
        let second = house.enrolment(&second).await;
        assert_eq!((words(&second).len(), &second["status"]), (1, &json!("DONE")));
        assert_eq!(second["reason"], "9 requested, 5 available. Nothing was used.");
        assert_eq!(house.tags(&ada).await, json!([]));
        house.assert_verified().await;
    }

    async fn missing_credits_in_a_step_begin_another_automation(house: House) {
        let ada = house.customer("Ada").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let other = house.automation("Other", json!([does(json!({ "tagCustomer": ["asked"] }))])).await;
        let walk = json!([does(json!({ "consumeCredits": { "creditTypeId": class, "amount": 1, "otherwiseAutomationId": other } }))]);
        let walk = house.automation("Walk", walk).await;
        let enrolment = id(&house.start(&walk, &ada).await["enrolment"]);
        house.work().await;
        assert_eq!(house.enrolment(&enrolment).await["history"][0]["began"]["automation"]["name"], "Other");
        assert_eq!(house.tags(&ada).await, json!(["asked"]));
    }

    /// Those who have begun go on with what they began.
    async fn a_new_version_is_for_those_who_begin_then(house: House) {
        let house = house.sandbox("versions", "2026-01-01T00:00:00Z").await;
        let (ada, bob) = (house.customer("Ada").await, house.customer("Bob").await);
        let steps = |tag: &str| json!([does(json!({ "wait": { "count": 1, "unit": "HOUR" } })), does(json!({ "tagCustomer": [tag] }))]);
        let walk = house.automation("Walk", steps("old")).await;
        house.start(&walk, &ada).await;
        let fields = "automation { version steps { kind } old: steps(version: 1) { kind } }";
        let same = house.done("automationUpdate", fields, json!({ "id": walk, "steps": steps("old"), "name": "Walks" })).await;
        assert_eq!(same["automation"]["version"], 1);
        let new = json!([does(json!({ "tagCustomer": ["new"] }))]);
        let changed = house.done("automationUpdate", fields, json!({ "id": walk, "steps": new })).await;
        assert_eq!(changed["automation"], json!({ "version": 2, "steps": [{ "kind": "ACT" }], "old": [{ "kind": "WAIT" }, { "kind": "ACT" }] }));
        assert_eq!(house.start(&walk, &bob).await["enrolment"]["version"], 2);
        house.advance("2026-01-02T00:00:00Z").await;
        assert_eq!((house.tags(&ada).await, house.tags(&bob).await), (json!(["old"]), json!(["new"])));
    }

    async fn a_walk_is_stopped_and_resumed(house: House) {
        let house = house.sandbox("stopping", "2026-01-01T00:00:00Z").await;
        let ada = house.customer("Ada").await;
        let walk = house.automation("Walk", json!([does(json!({ "wait": { "count": 10, "unit": "DAY" } })), does(json!({ "tagCustomer": ["done"] }))])).await;
        let enrolment = id(&house.start(&walk, &ada).await["enrolment"]);
        let stop = json!({ "enrolmentId": enrolment, "reason": "On holiday" });
        let stopped = house.done("automationStop", "enrolment { status reason }", stop.clone()).await;
        assert_eq!(stopped["enrolment"], json!({ "status": "STOPPED", "reason": "On holiday" }));
        assert_eq!(refusal(&house.mutate("automationStop", "enrolment { id }", stop).await), ("ENROLMENT_STATUS".into(), "enrolmentId".into()));
        assert_eq!(codes(&house.start(&walk, &ada).await), ["ALREADY_ENROLLED"], "it may still go on");
        house.advance("2026-01-20T00:00:00Z").await;
        assert_eq!(house.tags(&ada).await, json!([]));
        let resume = json!({ "enrolmentId": enrolment });
        house.done("automationResume", "enrolment { status }", resume.clone()).await;
        assert_eq!((house.tags(&ada).await, &house.enrolment(&enrolment).await["status"]), (json!(["done"]), &json!("DONE")));
        assert_eq!(codes(&house.mutate("automationResume", "enrolment { id }", resume).await), ["ENROLMENT_STATUS"]);
        let again = id(&house.start(&walk, &ada).await["enrolment"]);
        house.done("automationStop", "enrolment { status }", json!({ "enrolmentId": again })).await;
        let over = house.done("automationStop", "enrolment { status endedAt }", json!({ "enrolmentId": again, "end": true })).await;
        assert_eq!(over["enrolment"], json!({ "status": "DONE", "endedAt": "2026-01-20T00:00:00Z" }));
        assert_eq!(codes(&house.start(&walk, &ada).await), Vec::<&str>::new(), "it is over for good");
    }

    async fn a_customer_begins_once_per_key_and_walks_once_at_a_time(house: House) {
        let ada = house.customer("Ada").await;
        let walk = house.automation("Walk", json!([does(json!({ "wait": { "count": 1, "unit": "MINUTE" } }))])).await;
        let input = json!({ "automationId": walk, "who": { "customerId": ada }, "idempotencyKey": "start-1" });
        let first = house.done("automationStart", "replayed enrolment { id }", input.clone()).await;
        let again = house.done("automationStart", "replayed enrolment { id }", input).await;
        assert_eq!((&first["enrolment"], &again["replayed"]), (&again["enrolment"], &json!(true)));
        assert_eq!(codes(&house.start(&walk, &ada).await), ["ALREADY_ENROLLED"]);
        house.work().await;
        house.clock.set(house.now() + chrono::TimeDelta::minutes(1));
        house.work().await;
        assert_eq!(codes(&house.start(&walk, &ada).await), Vec::<&str>::new(), "the first walk is over");
        house.done("automationUpdate", "automation { id }", json!({ "id": walk, "enabled": false })).await;
        let bob = house.customer("Bob").await;
        assert_eq!(refusal(&house.start(&walk, &bob).await), ("AUTOMATION_DISABLED".into(), "automationId".into()));
    }

    async fn everybody_with_a_tag_begins(house: House) {
        let mut people = Vec::new();
        for n in 0..5 {
            let customer = house.customer(&format!("Customer {n}")).await;
            if n < 4 { house.done("customerTag", "customer { id }", json!({ "id": customer, "tags": ["vip"] })).await; }
            people.push(customer);
        }
        let walk = house.automation("Walk", json!([does(json!({ "tagCustomer": ["walked"] })), does(json!({ "wait": { "count": 1, "unit": "YEAR" } }))])).await;
        house.start(&walk, &people[0]).await;
        house.work().await;
        let input = json!({ "automationId": walk, "who": { "tag": "VIP" }, "idempotencyKey": "all" });
        let begun = house.done("automationStart", "replayed operation { id kind tag total }", input.clone()).await;
        assert_eq!((&begun["operation"]["kind"], &begun["operation"]["total"]), (&json!("ENROL"), &json!(4)));
        house.work().await;
        let again = house.done("automationStart", "replayed operation { id }", input).await;
        assert_eq!((&again["replayed"], &again["operation"]["id"]), (&json!(true), &begun["operation"]["id"]));
        let query = "query($id: ID!) { bulkOperation(id: $id) { status done refused refusals { nodes { customer { name } userError { code } } } } }";
        let operation = house.data(query, json!({ "id": begun["operation"]["id"] })).await["bulkOperation"].clone();
        assert_eq!(operation, json!({ "status": "DONE", "done": 3, "refused": 1, "refusals": { "nodes": [{ "customer": { "name": "Customer 0" }, "userError": { "code": "ALREADY_ENROLLED" } }] } }));
        assert_eq!((house.tags(&people[3]).await, house.tags(&people[4]).await), (json!(["vip", "walked"]), json!([])));
    }

    async fn what_would_never_work_is_refused(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let stop = || does(json!({ "stop": true }));
        let branch = |then: &str| json!({ "branch": { "conditions": [{ "tag": "x" }], "then": then } });
        let property = |a: Value, b: Value| does(json!({ "branch": { "conditions": [{ "property": { "property": "a", "test": a } }, { "property": { "property": "a", "test": b } }] } }));
        for (steps, code, field) in [
            (json!([]), "INVALID", "steps"),
            (json!(vec![stop(); 51]), "INVALID", "steps"),
            (json!([{ "label": "here", "does": branch("here") }]), "INVALID", "steps.0.does.branch.then"),
            (json!([{ "label": "back", "does": { "stop": true } }, does(branch("back"))]), "INVALID", "steps.1.does.branch.then"),
            (json!([does(branch("nowhere"))]), "INVALID", "steps.0.does.branch.then"),
            (json!([{ "label": "a", "does": { "stop": true } }, { "label": "a", "does": { "stop": true } }]), "INVALID", "steps.1.label"),
            (json!([does(json!({ "stop": false }))]), "INVALID", "steps.0.does.stop"),
            (json!([does(json!({ "wait": { "count": 0, "unit": "DAY" } }))]), "INVALID", "steps.0.does.wait.count"),
            (json!([does(json!({ "branch": { "conditions": [] } }))]), "INVALID", "steps.0.does.branch.conditions"),
            (json!([property(json!({ "equals": 1 }), json!({ "equals": 2 }))]), "INVALID", "steps.0.does.branch.conditions"),
            (json!([does(json!({ "branch": { "conditions": [{ "tag": "x" }, { "property": { "property": "", "test": { "exists": true } } }] } }))]), "INVALID", "steps.0.does.branch.conditions.1.property.property"),
            (json!([does(json!({ "waitUntil": "9999-01-01" }))]), "INVALID", "steps.0.does.waitUntil"),
            (json!([does(json!({ "wait": { "count": 101, "unit": "YEAR" } }))]), "INVALID", "steps.0.does.wait.count"),
            (json!([does(json!({ "consumeCredits": { "creditTypeId": class, "amount": 0 } }))]), "INVALID", "steps.0.does.consumeCredits.amount"),
            (json!([does(json!({ "branch": { "conditions": [{ "balance": { "creditTypeId": "ctp_x", "atLeast": 1 } }] } }))]), "NOT_FOUND", "steps.0.does.branch.conditions.0.balance.creditTypeId"),
            (json!([does(json!({ "callWebhook": "whe_01h455vb4pex5vsknk084sn02q" }))]), "NOT_FOUND", "steps.0.does.callWebhook"),
            (json!([does(json!({ "startAutomation": "aut_01h455vb4pex5vsknk084sn02q" }))]), "NOT_FOUND", "steps.0.does.startAutomation"),
        ] {
            let made = house.mutate("automationCreate", "automation { id }", json!({ "name": "Walk", "steps": steps.clone() })).await;
            assert_eq!(refusal(&made), (code.into(), field.into()), "{steps}");
        }
        assert_eq!(house.data("{ automations { nodes { id } } }", json!({})).await["automations"]["nodes"], json!([]));
    }
}
