//! Triggers: event, conditions, actions; each action once, and what is refused is recorded.

use scrip::domain::Role;
use serde_json::{Value, json};

use crate::flow::shop::{id, refusal};
use crate::harness::{Backend, House, codes};
use crate::on_both;

on_both! {
    /// The issue's own sentence: a form is submitted, the customer gets a credit; a session is delivered, one is used.
    async fn a_form_gives_a_credit_and_a_session_uses_one(house: House) {
        let ada = house.customer("Ada").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let gives = json!({ "actions": [{ "issueCredits": { "creditTypeId": class, "amount": 1, "note": "Welcome" } }],
            "conditions": [{ "property": "form", "test": { "equals": "intro" } }] });
        let gives = house.triggered("form.submitted", gives).await;
        let uses = json!({ "actions": [{ "consumeCredits": { "creditTypeId": class, "amount": 1, "note": "Session" } }] });
        let uses = house.triggered("session.delivered", uses).await;
        house.tracked("form.submitted", &ada, json!({ "form": "newsletter" })).await;
        let event = house.tracked("form.submitted", &ada, json!({ "form": "intro" })).await;
        house.work().await;
        assert_eq!(house.balance(&ada).await["available"], 1);
        let runs = house.runs(&gives).await;
        assert_eq!(runs.len(), 1, "{runs:#?}");
        let run = &runs[0];
        assert_eq!((&run["status"], &run["event"]["id"], &run["triggerVersion"]), (&json!("DONE"), &json!(event), &json!(1)));
        assert_eq!(run["activity"], json!({ "kind": "ISSUE", "amount": 1, "source": "TRIGGER", "actor": { "kind": "TRIGGER", "subject": gives }, "reference": event, "note": "Welcome" }));
        house.tracked("session.delivered", &ada, json!({})).await;
        house.work().await;
        assert_eq!(house.balance(&ada).await["available"], 0);
        house.tracked("session.delivered", &ada, json!({})).await;
        house.work().await;
        let runs = house.runs(&uses).await;
        assert_eq!(runs.iter().map(|run| run["status"].as_str().expect("text")).collect::<Vec<_>>(), ["DONE", "REFUSED"]);
        assert_eq!(runs[1]["userError"]["code"], "INSUFFICIENT_CREDITS");
        assert_eq!((&runs[1]["userError"]["requested"], &runs[1]["userError"]["available"]), (&json!(1), &json!(0)));
        let told = house.data("query($id: ID!) { node(id: $id) { ... on Event { runs { nodes { status } } } } }", json!({ "id": event })).await;
        assert_eq!(told["node"]["runs"]["nodes"], json!([{ "status": "DONE" }]));
        house.assert_verified().await;
    }

    /// The same event again, the same trigger looked at again: nothing happens twice.
    async fn every_action_happens_once(house: House) {
        let ada = house.customer("Ada").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let issue = |amount: i64| json!({ "issueCredits": { "creditTypeId": class, "amount": amount } });
        let trigger = house.triggered("form.submitted", json!({ "actions": [issue(1), issue(10), { "tagCustomer": ["Lead"] }] })).await;
        house.tracked("form.submitted", &ada, json!({})).await;
        house.work().await;
        assert_eq!((house.balance(&ada).await["available"].clone(), house.tags(&ada).await), (json!(11), json!(["lead"])));
        // As if the server had ended between the effect and what it remembers of the event.
        house.tamper("UPDATE event SET pending = true WHERE name = 'form.submitted'").await;
        house.work().await;
        assert_eq!((house.balance(&ada).await["available"].clone(), house.runs(&trigger).await.len()), (json!(11), 3));
        let tagged = house.told("customer.tagged").await;
        assert_eq!(tagged.len(), 1);
        assert_eq!(tagged[0].0["tags"], json!(["lead"]));
    }

    /// Two servers work on one database at the same time: what both find is done once.
    async fn two_servers_share_the_work_and_double_nothing(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let issue = json!({ "actions": [{ "issueCredits": { "creditTypeId": class, "amount": 1 } }, { "tagCustomer": ["seen"] }] });
        let trigger = house.triggered("form.submitted", issue).await;
        let mut customers = Vec::new();
        for n in 0..5 {
            customers.push(house.customer(&format!("Customer {n}")).await);
        }
        for n in 0..100_usize {
            house.tracked("form.submitted", &customers[n % 5], json!({ "n": n })).await;
        }
        let second = house.second_server().await;
        let rounds = |app: scrip::domain::App| async move {
            let mut quiet = 0;
            while quiet < 20 {
                quiet = if scrip::worker::round(&app).await.is_ok_and(|count| count > 0) { 0 } else { quiet + 1 };
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::join!(rounds(house.app.clone()), rounds(second.clone()));
        second.close().await;
        for customer in &customers {
            assert_eq!(house.balance(customer).await["available"], 20);
        }
        let query = "query($id: ID!) { trigger(id: $id) { runs(first: 1, status: PENDING) { nodes { id } } } }";
        assert_eq!(house.data(query, json!({ "id": trigger })).await["trigger"]["runs"]["nodes"], json!([]));
        house.assert_verified().await;
    }

    async fn missing_credits_begin_an_automation(house: House) {
        let ada = house.customer("Ada").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let remind = house.automation("Remind", json!([{ "does": { "tagCustomer": ["out-of-credits"] } }])).await;
        let uses = json!({ "actions": [{ "consumeCredits": { "creditTypeId": class, "amount": 2, "otherwiseAutomationId": remind } }] });
        let uses = house.triggered("session.delivered", uses).await;
        house.tracked("session.delivered", &ada, json!({})).await;
        house.work().await;
        let runs = house.runs(&uses).await;
        assert_eq!(runs.iter().map(|run| (run["position"].as_i64(), run["status"].as_str().expect("text"))).collect::<Vec<_>>(), [(Some(0), "REFUSED"), (Some(1_000), "DONE")]);
        assert_eq!(runs[1]["began"]["automation"]["name"], "Remind");
        assert_eq!(house.tags(&ada).await, json!(["out-of-credits"]));
        // With enough of them, it does not.
        house.issue(json!({ "customerId": ada, "creditTypeId": class, "amount": 2 })).await;
        house.tracked("session.delivered", &ada, json!({})).await;
        house.work().await;
        assert_eq!(house.runs(&uses).await.len(), 3);
    }

    /// The server dies after an action was refused and before what follows on that is written: it follows all the same, once.
    async fn what_follows_on_a_refusal_survives_a_crash(house: House) {
        let ada = house.customer("Ada").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let remind = house.automation("Remind", json!([{ "does": { "tagCustomer": ["out-of-credits"] } }])).await;
        let uses = json!({ "actions": [{ "consumeCredits": { "creditTypeId": class, "amount": 2, "otherwiseAutomationId": remind } }] });
        let uses = house.triggered("session.delivered", uses).await;
        house.tracked("session.delivered", &ada, json!({})).await;
        scrip::domain::dispatch::follow(&house.app, house.account.id).await.expect("followed");
        house.tamper("CREATE TABLE kept AS SELECT * FROM job WHERE kind = 'act'").await;
        house.work().await;
        // As the crash left it: the refusal is written, the job is still there, and nothing follows.
        let untag = "mutation($input: CustomerTagInput!) { customerUntag(input: $input) { userErrors { code } } }";
        house.data(untag, json!({ "input": { "id": ada, "tags": ["out-of-credits"] } })).await;
        for sql in ["DELETE FROM run WHERE position <> 0 OR enrolment_id IS NOT NULL", "DELETE FROM enrolment", "INSERT INTO job SELECT * FROM kept"] {
            assert_ne!(house.tamper(sql).await, 0, "{sql}");
        }
        for _ in 0..2 {
            house.work().await;
            let runs = house.runs(&uses).await;
            assert_eq!(runs.iter().map(|run| (run["position"].as_i64(), run["status"].as_str().expect("text"))).collect::<Vec<_>>(), [(Some(0), "REFUSED"), (Some(1_000), "DONE")]);
            assert_eq!(house.tags(&ada).await, json!(["out-of-credits"]));
        }
    }

    /// Triggers that set each other off end after eight in a row, with a reason.
    async fn a_loop_ends_at_its_limit(house: House) {
        let house = house.sandbox("loops", "2026-01-01T00:00:00Z").await;
        let ada = house.customer("Ada").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let again = house.triggered("credits.issued", json!({ "actions": [{ "issueCredits": { "creditTypeId": class, "amount": 1 } }] })).await;
        house.issue(json!({ "customerId": ada, "creditTypeId": class, "amount": 1 })).await;
        let runs = house.runs(&again).await;
        assert_eq!((runs.len(), house.balance(&ada).await["available"].clone()), (9, json!(9)));
        assert_eq!((&runs[8]["status"], &runs[8]["userError"]["code"], &runs[8]["event"]["depth"]), (&json!("REFUSED"), &json!("LOOP_LIMIT"), &json!(8)));
        assert!(runs[..8].iter().all(|run| run["status"] == "DONE"));
    }

    /// An automation that begins itself by the tag that it puts on: the same limit.
    async fn a_loop_through_an_automation_ends_too(house: House) {
        let house = house.sandbox("tag-loops", "2026-01-01T00:00:00Z").await;
        let ada = house.customer("Ada").await;
        let walk = house.automation("Around", json!([{ "does": { "untagCustomer": ["x"] } }, { "does": { "wait": { "count": 1, "unit": "DAY" } } }, { "does": { "tagCustomer": ["x"] } }])).await;
        let starts = house.triggered("customer.tagged", json!({ "actions": [{ "startAutomation": walk }], "conditions": [{ "property": "tags", "test": { "contains": "x" } }] })).await;
        house.done("customerTag", "customer { id }", json!({ "id": ada, "tags": ["x"] })).await;
        house.advance("2026-03-01T00:00:00Z").await;
        let runs = house.runs(&starts).await;
        assert_eq!(runs.len(), 9);
        assert_eq!(runs.last().expect("a run")["userError"]["code"], "LOOP_LIMIT", "{runs:#?}");
    }

    /// Two automations that begin each other: the same limit.
    async fn automations_that_begin_each_other_end_too(house: House) {
        let house = house.sandbox("ping-pong", "2026-01-01T00:00:00Z").await;
        let ada = house.customer("Ada").await;
        let ping = house.automation("Ping", json!([{ "does": { "tagCustomer": ["x"] } }])).await;
        let other = house.automation("Pong", json!([{ "does": { "startAutomation": ping } }])).await;
        house.done("automationUpdate", "automation { version }", json!({ "id": ping, "steps": [{ "does": { "startAutomation": other } }] })).await;
        house.start(&ping, &ada).await;
        house.advance("2026-01-02T00:00:00Z").await;
        let query = "query($id: ID!) { customer(by: { id: $id }) { enrolments(first: 100) { nodes { status history { status userError { code } } } } } }";
        let walks = house.data(query, json!({ "id": ada })).await["customer"]["enrolments"]["nodes"].clone();
        assert_eq!(walks.as_array().map(Vec::len), Some(8), "{walks:#}");
        assert_eq!(walks[0]["history"], json!([{ "status": "REFUSED", "userError": { "code": "LOOP_LIMIT" } }]));
    }

    async fn a_test_says_what_would_happen_and_changes_nothing(house: House) {
        let ada = house.customer("Ada").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        house.issue(json!({ "customerId": ada, "creditTypeId": class, "amount": 3 })).await;
        let actions = json!([{ "consumeCredits": { "creditTypeId": class, "amount": 2 } }, { "consumeCredits": { "creditTypeId": class, "amount": 4 } }, { "tagCustomer": ["x"] }]);
        let conditions = json!([{ "property": "minutes", "test": { "greater": 30 } }, { "property": "kind", "test": { "in": ["yoga", "pilates"] } }]);
        let trigger = house.triggered("session.delivered", json!({ "actions": actions, "conditions": conditions, "enabled": false })).await;
        let (long, short) = (house.tracked("session.delivered", &ada, json!({ "minutes": 60, "kind": "yoga" })).await, house.tracked("session.delivered", &ada, json!({ "minutes": 20 })).await);
        let fields = "fires conditions { condition { property operator value } found holds }
            actions { action { kind amount } preview { balanceAfter draws { amount } } userError { code } }";
        let test = |event: String| json!({ "triggerId": trigger, "eventId": event });
        let fires = house.done("triggerTest", fields, test(long)).await;
        assert_eq!(fires["fires"], true);
        assert_eq!(fires["conditions"][0], json!({ "condition": { "property": "minutes", "operator": "GREATER", "value": 30 }, "found": 60, "holds": true }));
        assert_eq!(fires["actions"], json!([
            { "action": { "kind": "CONSUME_CREDITS", "amount": 2 }, "preview": { "balanceAfter": 1, "draws": [{ "amount": 2 }] }, "userError": null },
            { "action": { "kind": "CONSUME_CREDITS", "amount": 4 }, "preview": null, "userError": { "code": "INSUFFICIENT_CREDITS" } },
            { "action": { "kind": "TAG_CUSTOMER", "amount": null }, "preview": null, "userError": null },
        ]));
        let not = house.done("triggerTest", fields, test(short)).await;
        assert_eq!((&not["fires"], &not["actions"], &not["conditions"][1]["found"]), (&json!(false), &json!([]), &Value::Null));
        house.work().await;
        assert_eq!((house.balance(&ada).await["available"].clone(), house.runs(&trigger).await.len()), (json!(3), 0));
        let unknown = house.mutate("triggerTest", "fires", json!({ "triggerId": trigger, "eventId": "evt_x" })).await;
        assert_eq!(refusal(&unknown), ("NOT_FOUND".into(), "eventId".into()));
    }

    async fn a_trigger_is_changed_disabled_and_deleted(house: House) {
        let ada = house.customer("Ada").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let issue = |amount: i64| json!([{ "issueCredits": { "creditTypeId": class, "amount": amount } }]);
        let trigger = house.triggered("form.submitted", json!({ "actions": issue(1) })).await;
        let update = |mut input: Value| { input["id"] = json!(trigger); input };
        let fields = "trigger { version enabled eventName match conditions { property operator value } actions { kind amount } deletedAt } warnings { code }";
        let renamed = house.done("triggerUpdate", fields, update(json!({ "name": "Another name" }))).await;
        assert_eq!(renamed["trigger"]["version"], 1, "what it does is the same");
        house.tracked("form.submitted", &ada, json!({})).await;
        house.work().await;
        let changed = house.done("triggerUpdate", fields, update(json!({ "actions": issue(5), "match": "ANY", "conditions": [{ "property": "a", "test": { "exists": true } }] }))).await;
        assert_eq!(changed["trigger"], json!({ "version": 2, "enabled": true, "eventName": "form.submitted", "match": "ANY",
            "conditions": [{ "property": "a", "operator": "EXISTS", "value": true }], "actions": [{ "kind": "ISSUE_CREDITS", "amount": 5 }], "deletedAt": null }));
        house.tracked("form.submitted", &ada, json!({ "a": 1 })).await;
        house.work().await;
        assert_eq!(house.balance(&ada).await["available"], 6);
        let all = house.done("triggerUpdate", fields, update(json!({ "match": "ALL" }))).await;
        assert_eq!((&all["trigger"]["match"], all["trigger"]["conditions"].as_array().map(Vec::len)), (&json!("ALL"), Some(1)), "what is left out stays");
        house.done("triggerUpdate", fields, update(json!({ "enabled": false }))).await;
        house.tracked("form.submitted", &ada, json!({ "a": 1 })).await;
        house.work().await;
        house.done("triggerUpdate", fields, update(json!({ "enabled": true }))).await;
        house.done("triggerDelete", fields, json!({ "id": trigger })).await;
        house.done("triggerDelete", fields, json!({ "id": trigger })).await;
        house.tracked("form.submitted", &ada, json!({ "a": 1 })).await;
        house.work().await;
        assert_eq!((house.balance(&ada).await["available"].clone(), house.runs(&trigger).await.len()), (json!(6), 2), "its log stays");
        assert_eq!(house.data("{ triggers { nodes { id } } }", json!({})).await["triggers"]["nodes"], json!([]));
        assert_eq!(refusal(&house.mutate("triggerUpdate", fields, update(json!({ "name": "x" }))).await), ("NOT_FOUND".into(), "id".into()));
    }

    async fn what_was_switched_off_is_recorded_as_refused(house: House) {
        let ada = house.customer("Ada").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let trigger = house.triggered("form.submitted", json!({ "actions": [{ "issueCredits": { "creditTypeId": class, "amount": 1 } }] })).await;
        house.by_owner("accountUpdate", "account { id }", json!({ "creditsEnabled": false })).await;
        house.tracked("form.submitted", &ada, json!({})).await;
        house.work().await;
        house.by_owner("accountUpdate", "account { id }", json!({ "creditsEnabled": true })).await;
        house.done("creditTypeArchive", "creditType { id }", json!({ "id": class })).await;
        house.tracked("form.submitted", &ada, json!({})).await;
        house.work().await;
        let codes = house.runs(&trigger).await.iter().map(|run| run["userError"]["code"].as_str().expect("a code").to_owned()).collect::<Vec<_>>();
        assert_eq!(codes, ["CREDITS_DISABLED", "CREDIT_TYPE_ARCHIVED"]);
    }

    async fn what_can_never_work_is_refused(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let gone = house.credit_type("Gone", json!({ "never": true })).await;
        house.done("creditTypeArchive", "creditType { id }", json!({ "id": gone })).await;
        let issue = |credit_type: &str, amount: i64| json!([{ "issueCredits": { "creditTypeId": credit_type, "amount": amount } }]);
        let good = || issue(&class, 1);
        let condition = |property: &str, test: Value| json!({ "actions": good(), "conditions": [{ "property": property, "test": test }] });
        let both = |a: Value, b: Value| json!({ "actions": good(), "conditions": [{ "property": "a", "test": a }, { "property": "a", "test": b }] });
        for (event, input, code, field) in [
            ("Form", json!({ "actions": good() }), "INVALID", "eventName"),
            ("credits.exploded", json!({ "actions": good() }), "INVALID", "eventName"),
            ("webhook.disabled", json!({ "actions": good() }), "INVALID", "eventName"),
            ("form.submitted", json!({ "actions": [] }), "INVALID", "actions"),
            ("form.submitted", json!({ "actions": issue(&class, 0) }), "INVALID", "actions.0.issueCredits.amount"),
            ("form.submitted", json!({ "actions": issue(&class, 1_000_000_001) }), "INVALID", "actions.0.issueCredits.amount"),
            ("form.submitted", json!({ "actions": issue(&gone, 1) }), "CREDIT_TYPE_ARCHIVED", "actions.0.issueCredits.creditTypeId"),
            ("form.submitted", json!({ "actions": issue("ctp_01h455vb4pex5vsknk084sn02q", 1) }), "NOT_FOUND", "actions.0.issueCredits.creditTypeId"),
            ("form.submitted", json!({ "actions": [{ "startAutomation": "aut_01h455vb4pex5vsknk084sn02q" }] }), "NOT_FOUND", "actions.0.startAutomation"),
            ("form.submitted", json!({ "actions": [{ "tagCustomer": [] }] }), "INVALID", "actions.0.tagCustomer"),
            ("form.submitted", json!({ "name": "", "actions": good() }), "INVALID", "name"),
            ("form.submitted", condition("", json!({ "exists": true })), "INVALID", "conditions.0.property"),
            ("form.submitted", condition("a", json!({ "in": [] })), "INVALID", "conditions"),
            ("form.submitted", condition("a", json!({ "less": true })), "INVALID", "conditions.0"),
            ("form.submitted", both(json!({ "equals": 1 }), json!({ "equals": 2 })), "INVALID", "conditions"),
            ("form.submitted", both(json!({ "less": 1 }), json!({ "greater": 1 })), "INVALID", "conditions"),
            ("form.submitted", both(json!({ "exists": false }), json!({ "contains": "x" })), "INVALID", "conditions"),
            ("credits.issued", condition("colour", json!({ "equals": "red" })), "INVALID", "conditions.0.property"),
            ("credits.issued", condition("amount", json!({ "equals": "five" })), "INVALID", "conditions.0"),
            ("credits.issued", condition("amount", json!({ "contains": 5 })), "INVALID", "conditions.0"),
        ] {
            assert_eq!(refusal(&house.trigger(event, input.clone()).await), (code.into(), field.into()), "{event} {input}");
        }
        assert_eq!(house.data("{ triggers { nodes { id } } }", json!({})).await["triggers"]["nodes"], json!([]));
        let unseen = house.trigger("form.submitted", json!({ "actions": good() })).await;
        assert_eq!((codes(&unseen).len(), &unseen["warnings"][0]["code"]), (0, &json!("EVENT_NEVER_SEEN")));
        let ada = house.customer("Ada").await;
        house.tracked("form.submitted", &ada, json!({})).await;
        let seen = house.trigger("form.submitted", json!({ "actions": good() })).await;
        assert_eq!(seen["warnings"], json!([]));
        assert_eq!(house.trigger("credits.issued", json!({ "actions": good(), "conditions": [{ "property": "amount", "test": { "greater": 4 } }] })).await["warnings"], json!([]));
    }

    /// The log of many triggers, events and walks is read a level at a time, not one by one.
    async fn a_log_is_read_at_once_however_many_there_are(house: House) {
        let ada = house.customer("Ada").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let queries = [
            "{ triggers { nodes { runs { nodes { activity { id } } } } } }",
            "{ events(name: \"form.submitted\") { nodes { runs { nodes { trigger { name } } } } } }",
            "{ automations { nodes { enrolments { nodes { history { status } } } } } }",
        ];
        let mut counts = Vec::new();
        for many in [1, 5] {
            for n in 0..many {
                let walk = house.automation(&format!("Walk {many} {n}"), json!([{ "does": { "tagCustomer": ["x"] } }])).await;
                house.start(&walk, &ada).await;
                house.triggered("form.submitted", json!({ "actions": [{ "issueCredits": { "creditTypeId": class, "amount": 1 } }] })).await;
                house.tracked("form.submitted", &ada, json!({})).await;
            }
            house.work().await;
            let mut of_each = Vec::new();
            for query in queries {
                let before = house.statements().await;
                let data = house.data(query, json!({})).await.to_string();
                assert!(data.matches("[{").count() > many, "{data}");
                of_each.push(house.app.store().statements() - before);
            }
            counts.push(of_each);
        }
        assert_eq!(counts[0], counts[1], "{counts:?}");
    }

    async fn a_customer_sees_and_changes_nothing_of_it(house: House) {
        let ada = house.customer("Ada").await;
        let token = house.token(Role::Customer(ada.parse().expect("an id")));
        for query in ["{ triggers { nodes { id } } }", "{ automations { nodes { id } } }", "{ events { nodes { id } } }", "{ webhookEndpoints { nodes { id } } }",
            "mutation { eventTrack(input: { name: \"a\", customer: { email: \"a@b.ch\" }, idempotencyKey: \"k\" }) { replayed } }"] {
            let (_, response) = house.ask_with(Some(&token), query, json!({})).await;
            assert_eq!(response["errors"][0]["extensions"]["code"], "FORBIDDEN", "{query}");
            let (_, response) = house.ask_with(None, query, json!({})).await;
            assert_eq!(response["errors"][0]["extensions"]["code"], "UNAUTHENTICATED", "{query}");
        }
        let trigger = house.triggered("form.submitted", json!({ "actions": [{ "tagCustomer": ["x"] }] })).await;
        let query = "query($id: ID!) { node(id: $id) { id } }";
        assert_eq!(house.ask_with(Some(&token), query, json!({ "id": trigger })).await.1["data"]["node"], Value::Null);
        assert_eq!(id(&house.data(query, json!({ "id": trigger })).await["node"]), trigger);
    }

    /// Ten actions that each set off ten more: a thousand runs come of one event, staff is told, and the rest does nothing.
    async fn what_comes_of_one_event_is_bounded(house: House) {
        let ada = house.customer("Ada").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let actions = (1..=10).map(|amount| json!({ "issueCredits": { "creditTypeId": class, "amount": amount } })).collect::<Vec<_>>();
        let begins = house.triggered("form.submitted", json!({ "actions": actions })).await;
        let avalanche = house.triggered("credits.issued", json!({ "actions": actions })).await;
        let event = house.tracked("form.submitted", &ada, json!({})).await;
        house.work().await;
        let credits = house.balance(&ada).await["available"].as_i64().expect("a number");
        assert_eq!(credits, 100 * 55, "a hundred times ten actions");
        let told = house.told("trigger.limited").await;
        assert_eq!(told.len(), 1, "{told:#?} {:#?}", house.data("{ runs(status: REFUSED, first: 100) { nodes { userError { code } event { name id } } } }", json!({})).await);
        assert_eq!((&told[0].0["originEventId"], &told[0].0["triggerId"], &told[0].0["runs"]), (&json!(event), &json!(avalanche), &json!(1000)));
        let query = "{ runs(status: REFUSED, first: 100) { nodes { trigger { id } userError { code message } } } }";
        let refused = house.data(query, json!({})).await["runs"]["nodes"].clone();
        assert_eq!(refused.as_array().map(Vec::len), Some(1), "{refused:#}");
        assert_eq!((&refused[0]["userError"]["code"], &refused[0]["trigger"]["id"]), (&json!("RUN_LIMIT"), &json!(avalanche)));
        // Another event begins anew.
        house.done("triggerUpdate", "trigger { id }", json!({ "id": avalanche, "enabled": false })).await;
        house.tracked("form.submitted", &ada, json!({})).await;
        house.work().await;
        assert_eq!(house.balance(&ada).await["available"], credits + 55);
        assert_eq!(house.runs(&begins).await.len(), 20);
        house.assert_verified().await;
    }

    /// Who finds a trigger at fault deletes or disables it, and what it was still to do is not done.
    async fn what_waits_of_a_trigger_goes_with_it(house: House) {
        let ada = house.customer("Ada").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let issue = |amount: i64| json!({ "issueCredits": { "creditTypeId": class, "amount": amount } });
        let deleted = house.triggered("form.submitted", json!({ "actions": [issue(1), issue(2), { "tagCustomer": ["lead"] }] })).await;
        let disabled = house.triggered("form.submitted", json!({ "actions": [issue(10), issue(20)] })).await;
        let stays = house.triggered("form.submitted", json!({ "actions": [issue(100)] })).await;
        house.tracked("form.submitted", &ada, json!({})).await;
        // What follows is written, and nothing is carried out yet.
        scrip::domain::dispatch::follow(&house.app, house.account.id).await.expect("followed");
        house.done("triggerDelete", "trigger { id }", json!({ "id": deleted })).await;
        house.done("triggerUpdate", "trigger { id }", json!({ "id": disabled, "enabled": false })).await;
        house.work().await;
        assert_eq!((house.balance(&ada).await["available"].clone(), house.tags(&ada).await), (json!(100), json!([])));
        for (trigger, status, count) in [(&deleted, "CANCELLED", 3), (&disabled, "CANCELLED", 2), (&stays, "DONE", 1)] {
            let runs = house.runs(trigger).await;
            assert_eq!((runs.len(), runs.iter().all(|run| run["status"] == status)), (count, true), "{runs:#?}");
        }
        let query = "{ runs(status: CANCELLED, first: 100) { nodes { id } } jobs(first: 10) { nodes { id } } }";
        let left = house.data(query, json!({})).await;
        assert_eq!((left["runs"]["nodes"].as_array().map(Vec::len), &left["jobs"]["nodes"]), (Some(5), &json!([])));
    }
}
