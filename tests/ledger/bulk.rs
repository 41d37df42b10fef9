//! Long work over many customers.

use scrip::domain::work::lease::{self, Work};
use scrip::domain::work::perform;
use scrip::worker;
use serde_json::{Value, json};

use crate::harness::{Backend, House, codes};
use crate::on_both;

const FIELDS: &str = "replayed preview { count credits }
    operation { id kind status total done refused finishedAt refusals { nodes { customer { name } userError { code } } } }";

async fn begin(house: &House, mutation: &str, mut input: Value) -> Value {
    if input.get("idempotencyKey").is_none() {
        input["idempotencyKey"] = json!(house.key());
    }
    house.mutate(mutation, FIELDS, input).await
}

async fn work(house: &House) {
    while worker::round(&house.app).await.expect("a round") > 0 {}
}

async fn operation(house: &House, payload: &Value) -> Value {
    let query = format!(
        "query($id: ID!) {{ node(id: $id) {{ ... on BulkOperation {{ {} }} }} }}",
        "status total done refused finishedAt refusals { nodes { customer { name } userError { code } } }"
    );
    house.data(&query, json!({ "id": payload["operation"]["id"] })).await["node"].clone()
}

async fn members(house: &House, count: usize) -> Vec<String> {
    let mut members = Vec::new();
    for n in 0..count {
        let customer = house.customer(&format!("Member {n}")).await;
        house.mutate("customerTag", "customer { id }", json!({ "id": customer, "tags": ["Member"] })).await;
        members.push(customer);
    }
    members
}

on_both! {
    async fn everybody_with_a_tag_gets_credits_once(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let mut everybody = members(&house, 5).await;
        let archived = everybody.remove(2);
        house.customer("No member").await;
        house.mutate("customerArchive", "customer { id }", json!({ "id": archived })).await;
        let input = json!({ "tag": "MEMBER", "creditTypeId": class, "amount": 3, "note": "Thank you", "idempotencyKey": "gift" });
        let mut dry = input.clone();
        dry["dryRun"] = json!(true);
        let preview = begin(&house, "creditsIssueBulk", dry).await;
        assert_eq!((&preview["preview"], &preview["operation"]), (&json!({ "count": 4, "credits": 12 }), &json!(null)));
        let begun = begin(&house, "creditsIssueBulk", input.clone()).await;
        assert_eq!((&begun["operation"]["status"], &begun["operation"]["total"]), (&json!("RUNNING"), &json!(4)));
        let again = begin(&house, "creditsIssueBulk", input.clone()).await;
        assert_eq!((&again["replayed"], &again["operation"]["id"]), (&json!(true), &begun["operation"]["id"]));
        let mut other = input.clone();
        other["amount"] = json!(4);
        assert_eq!(codes(&begin(&house, "creditsIssueBulk", other).await), ["IDEMPOTENCY_KEY_REUSED"]);
        work(&house).await;
        let done = operation(&house, &begun).await;
        assert_eq!(done["finishedAt"], "2026-03-01T09:00:00Z");
        assert_eq!((&done["status"], &done["done"], &done["refused"]), (&json!("DONE"), &json!(4), &json!(0)));
        assert_eq!(house.balance(&archived).await, json!(null), "archived customers are left out");
        for customer in &everybody {
            assert_eq!(house.balance(customer).await["available"], 3);
        }
        assert_eq!(house.data("{ jobs { nodes { id } } }", json!({})).await["jobs"]["nodes"], json!([]));
        house.assert_verified().await;
    }

    /// More than one part; a server dies in the middle of one, and another goes on: nobody gets twice, nobody goes without.
    async fn a_part_that_is_done_twice_does_nothing_twice(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let everybody = members(&house, 260).await;
        let begun = begin(&house, "creditsIssueBulk", json!({ "tag": "member", "creditTypeId": class, "amount": 1 })).await;
        // The part is carried out, and its server is gone before it could say so.
        let claimed = lease::claim(&house.app, Work::Inside, 10).await.expect("claims");
        assert!(perform::perform(&house.app, claimed[0].clone()).await.is_ok());
        house.tamper("UPDATE bulk_operation SET cursor = NULL, done = 0").await;
        house.tamper("UPDATE job SET leased_until = '2020-01-01T00:00:00+00:00'").await;
        work(&house).await;
        let done = operation(&house, &begun).await;
        assert_eq!((&done["status"], &done["done"], &done["refused"]), (&json!("DONE"), &json!(260), &json!(0)));
        for customer in [&everybody[0], &everybody[199], &everybody[200], &everybody[259]] {
            assert_eq!(house.balance(customer).await["totals"]["issued"], 1);
        }
        house.assert_verified().await;
    }

    async fn grants_get_a_later_end_together(house: House) {
        let everybody = members(&house, 3).await;
        let stranger = house.customer("Stranger").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let other = house.credit_type("Workshop", json!({ "never": true })).await;
        let issue = |customer: String, credit_type: String, end: Value| {
            let house = &house;
            async move { house.issue(json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 2, "expiration": end })).await; }
        };
        for customer in everybody.iter().chain([&stranger]) {
            issue(customer.clone(), class.clone(), json!({ "at": "2026-03-10T00:00:00Z" })).await;
            issue(customer.clone(), class.clone(), json!({ "at": "2026-03-03T00:00:00Z" })).await;
            issue(customer.clone(), class.clone(), json!({ "at": "2026-12-01T00:00:00Z" })).await;
            issue(customer.clone(), class.clone(), json!({ "never": true })).await;
            issue(customer.clone(), other.clone(), json!({ "at": "2026-03-10T00:00:00Z" })).await;
        }
        house.set_clock("2026-03-05T00:00:00Z");
        let closed = |revive: bool, extra: Value| {
            let mut input = json!({ "creditTypeId": class, "to": { "on": "2026-03-31" }, "reason": "Closed for a week", "revive": revive });
            input.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
            begin(&house, "grantsExtend", input)
        };
        // Only those that end before the new end count; what has ended only where it is asked for.
        let preview = |payload: Value| payload["preview"].clone();
        assert_eq!(preview(closed(false, json!({ "dryRun": true })).await), json!({ "count": 4, "credits": 8 }));
        assert_eq!(preview(closed(true, json!({ "dryRun": true })).await), json!({ "count": 8, "credits": 16 }));
        assert_eq!(preview(closed(true, json!({ "dryRun": true, "tag": "member" })).await), json!({ "count": 6, "credits": 12 }));
        assert_eq!(preview(closed(true, json!({ "dryRun": true, "customerId": stranger })).await), json!({ "count": 2, "credits": 4 }));
        let begun = closed(true, json!({ "tag": "member" })).await;
        work(&house).await;
        let done = operation(&house, &begun).await;
        assert_eq!((&done["status"], &done["total"], &done["done"], &done["refused"]), (&json!("DONE"), &json!(6), &json!(6), &json!(0)));
        let query = "query($id: ID!, $t: ID!) { customer(by: { id: $id }) { balances(creditTypeId: $t) { available nextExpiry { at amount } } } }";
        let balance = house.data(query, json!({ "id": everybody[0], "t": class })).await["customer"]["balances"][0].clone();
        assert_eq!(balance, json!({ "available": 8, "nextExpiry": { "at": "2026-03-31T22:00:00Z", "amount": 4 } }));
        let balance = house.data(query, json!({ "id": stranger, "t": class })).await["customer"]["balances"][0].clone();
        assert_eq!(balance, json!({ "available": 6, "nextExpiry": { "at": "2026-03-10T00:00:00Z", "amount": 2 } }));
        house.assert_verified().await;
    }

    /// What is refused for one is written down with its reason, and the list has it.
    async fn each_refusal_is_kept(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        members(&house, 2).await;
        let begun = begin(&house, "creditsIssueBulk", json!({ "tag": "member", "creditTypeId": class, "amount": 3 })).await;
        // Meanwhile the type is archived.
        house.mutate("creditTypeArchive", "creditType { id }", json!({ "id": class })).await;
        work(&house).await;
        let done = operation(&house, &begun).await;
        assert_eq!((&done["status"], &done["done"], &done["refused"]), (&json!("DONE"), &json!(0), &json!(2)));
        assert_eq!(done["refusals"]["nodes"][0], json!({ "customer": { "name": "Member 0" }, "userError": { "code": "CREDIT_TYPE_ARCHIVED" } }));
        let listed = house.data("{ bulkOperations { nodes { id tag reason creditType { name } actor { subject } refusals { nodes { grant { id } } } } } }", json!({})).await;
        assert_eq!(listed["bulkOperations"]["nodes"], json!([{
            "id": begun["operation"]["id"], "tag": "member", "reason": null, "creditType": { "name": "Class" },
            "actor": { "subject": "tester" }, "refusals": { "nodes": [{ "grant": null }, { "grant": null }] },
        }]));
        house.assert_verified().await;
    }

    /// A refusal that depends on what is stored is remembered: a duplicate that arrives late does not succeed after all.
    async fn a_late_duplicate_is_refused_as_before(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        members(&house, 1).await;
        let switch = |on: bool| {
            let query = format!("mutation {{ accountUpdate(input: {{ creditsEnabled: {on} }}) {{ account {{ id }} }} }}");
            let house = &house;
            async move { house.ask(scrip::domain::Role::Owner, &query, json!({})).await; }
        };
        switch(false).await;
        let input = json!({ "tag": "member", "creditTypeId": class, "amount": 1, "idempotencyKey": "late" });
        assert_eq!(codes(&begin(&house, "creditsIssueBulk", input.clone()).await), ["CREDITS_DISABLED"]);
        switch(true).await;
        let again = begin(&house, "creditsIssueBulk", input).await;
        assert_eq!((codes(&again), &again["operation"]), (vec!["CREDITS_DISABLED"], &json!(null)));
        assert_eq!(again["replayed"], true);
        assert!(again["userErrors"][0]["message"].as_str().expect("a message").ends_with("a new attempt needs a new key."));
    }

    /// Without `revive` what has ended stays ended, also where something of the grant is still held.
    async fn what_has_ended_comes_back_only_if_asked_for(house: House) {
        let customer = house.customer("Ada").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        house.issue(json!({ "customerId": customer, "creditTypeId": class, "amount": 10, "expiration": { "at": "2026-03-05T00:00:00Z" } })).await;
        house.ledger("holdPlace", json!({ "customerId": customer, "creditTypeId": class, "amount": 2, "expiresAt": "2026-03-20T00:00:00Z" })).await;
        house.set_clock("2026-03-10T00:00:00Z");
        work(&house).await;
        let input = json!({ "customerId": customer, "to": { "by": { "count": 1, "unit": "MONTH" } }, "reason": "Closed", "dryRun": true });
        assert_eq!(begin(&house, "grantsExtend", input.clone()).await["preview"], json!({ "count": 1, "credits": 2 }));
        let mut input = input;
        input["dryRun"] = json!(false);
        begin(&house, "grantsExtend", input).await;
        work(&house).await;
        let balance = house.balance(&customer).await;
        assert_eq!((&balance["available"], &balance["held"], &balance["totals"]["expired"]), (&json!(0), &json!(2), &json!(8)));
        assert_eq!(house.history(&customer).await.last().map(|line| line.0.clone()), Some("EXTEND".into()));
        house.set_clock("2026-03-20T00:00:00Z");
        assert_eq!(house.balance(&customer).await["available"], 2, "what was held comes back in time");
        house.assert_verified().await;
    }

    /// One that fails by a fault does not stop the others, and is named.
    async fn a_fault_in_one_stops_no_other(house: House) {
        let everybody = members(&house, 3).await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        for customer in &everybody {
            house.issue(json!({ "customerId": customer, "creditTypeId": class, "amount": 1, "expiration": { "at": "2026-04-01T00:00:00Z" } })).await;
        }
        // A sum that no statement of the server would leave behind: writing the wallet again fails.
        let broken = match house.backend {
            Backend::Sqlite => "CREATE TRIGGER broken BEFORE INSERT ON event WHEN NEW.customer_id = (SELECT id FROM customer WHERE name = 'Member 1') BEGIN SELECT RAISE(ABORT, 'broken'); END",
            Backend::Postgres => "ALTER TABLE event ADD CONSTRAINT broken CHECK (name <> 'credits.extended' OR customer_id <> '00000000-0000-0000-0000-000000000000') NOT VALID",
        };
        if house.backend == Backend::Postgres {
            let id = everybody[1].parse::<entity::CustomerId>().expect("an id").0;
            house.tamper(&broken.replace("00000000-0000-0000-0000-000000000000", &id.to_string())).await;
        } else {
            house.tamper(broken).await;
        }
        let begun = begin(&house, "grantsExtend", json!({ "tag": "member", "to": { "on": "2026-12-31" }, "reason": "Gift" })).await;
        work(&house).await;
        let done = operation(&house, &begun).await;
        assert_eq!((&done["status"], &done["done"], &done["refused"]), (&json!("DONE"), &json!(2), &json!(1)));
        assert_eq!(done["refusals"]["nodes"], json!([{ "customer": { "name": "Member 1" }, "userError": { "code": "FAULT" } }]));
    }

    async fn bad_input_begins_nothing(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        members(&house, 1).await;
        let issue = json!({ "tag": "member", "creditTypeId": class, "amount": 1 });
        let extend = json!({ "creditTypeId": class, "to": { "on": "2026-12-31" }, "reason": "Gift" });
        for (mutation, base, change, code, field) in [
            ("creditsIssueBulk", &issue, json!({ "amount": 0 }), "INVALID", "amount"),
            ("creditsIssueBulk", &issue, json!({ "tag": " " }), "INVALID", "tag"),
            ("creditsIssueBulk", &issue, json!({ "creditTypeId": "ctp_01h455vb4pex5vsknk084sn02q" }), "NOT_FOUND", "creditTypeId"),
            ("creditsIssueBulk", &issue, json!({ "idempotencyKey": "" }), "INVALID", "idempotencyKey"),
            ("creditsIssueBulk", &issue, json!({ "expiration": { "at": "2020-01-01T00:00:00Z" } }), "EXPIRATION_NOT_IN_FUTURE", "expiration"),
            ("grantsExtend", &extend, json!({ "to": { "at": "2020-01-01T00:00:00Z" } }), "EXPIRATION_NOT_IN_FUTURE", "to"),
            ("grantsExtend", &extend, json!({ "creditTypeId": null }), "INVALID", "creditTypeId"),
            ("grantsExtend", &extend, json!({ "customerId": "cus_01h455vb4pex5vsknk084sn02q" }), "NOT_FOUND", "customerId"),
            ("grantsExtend", &extend, json!({ "reason": "" }), "INVALID", "reason"),
        ] {
            let mut input = base.clone();
            input.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
            let refused = begin(&house, mutation, input).await;
            assert_eq!((codes(&refused), &refused["userErrors"][0]["field"]), (vec![code], &json!([field])), "{refused}");
        }
        house.mutate("creditTypeArchive", "creditType { id }", json!({ "id": class })).await;
        assert_eq!(codes(&begin(&house, "creditsIssueBulk", issue).await), ["CREDIT_TYPE_ARCHIVED"]);
        assert_eq!(house.data("{ jobs { nodes { id } } }", json!({})).await["jobs"]["nodes"], json!([]));
    }

    /// No worker comes to a sandbox: what is begun there is done there.
    async fn in_a_sandbox_it_is_done_at_once(house: House) {
        let house = house.sandbox("bulk", "2026-01-01T00:00:00Z").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let everybody = members(&house, 3).await;
        let begun = begin(&house, "creditsIssueBulk", json!({ "tag": "member", "creditTypeId": class, "amount": 2 })).await;
        assert_eq!((&begun["operation"]["status"], &begun["operation"]["done"]), (&json!("DONE"), &json!(3)));
        assert_eq!(house.balance(&everybody[0]).await["available"], 2);
        house.assert_verified().await;
    }

    /// A crash in a sandbox leaves an operation half done: the same request, sent again, goes on with it.
    async fn in_a_sandbox_a_request_that_is_sent_again_goes_on(house: House) {
        let house = house.sandbox("bulk-again", "2026-01-01T00:00:00Z").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let everybody = members(&house, 3).await;
        let input = json!({ "tag": "member", "creditTypeId": class, "amount": 2, "idempotencyKey": "again" });
        let begun = begin(&house, "creditsIssueBulk", input.clone()).await;
        let at = "'2026-01-01T00:00:00+00:00'";
        house.tamper("UPDATE bulk_operation SET status = 'running', finished_at = NULL, cursor = NULL, done = 0").await;
        let job = format!("INSERT INTO job (account_id, id, kind, key, live, run_at, attempts, lease, created_at)
            SELECT account_id, id, 'bulk', '{}', false, {at}, 0, 0, {at} FROM bulk_operation", begun["operation"]["id"].as_str().expect("an id"));
        house.tamper(&job).await;
        let again = begin(&house, "creditsIssueBulk", input).await;
        assert_eq!((&again["replayed"], &again["operation"]["status"], &again["operation"]["done"]), (&json!(true), &json!("DONE"), &json!(3)));
        assert_eq!(house.balance(&everybody[0]).await["totals"]["issued"], 2, "nobody gets twice");
        house.assert_verified().await;
    }

    /// Whoever is erased, or loses the tag, before its turn is counted: nobody is lost.
    async fn whoever_is_gone_when_its_turn_comes_is_counted(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let everybody = members(&house, 6).await;
        let input = json!({ "tag": "member", "creditTypeId": class, "amount": 3 });
        let begun = begin(&house, "creditsIssueBulk", input).await;
        house.by_owner("customerErase", "customer { id }", json!({ "id": everybody[1] })).await;
        house.mutate("customerUpdate", "customer { id }", json!({ "id": everybody[4], "tags": [] })).await;
        work(&house).await;
        let query = "query($id: ID!) { node(id: $id) { ... on BulkOperation { status total done refused gone } } }";
        let done = house.data(query, json!({ "id": begun["operation"]["id"] })).await["node"].clone();
        assert_eq!(done, json!({ "status": "DONE", "total": 6, "done": 4, "refused": 0, "gone": 2 }));
    }
}
