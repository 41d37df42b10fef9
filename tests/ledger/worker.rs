//! What happens later: jobs, their leases, and the two that there are.

use futures_util::future::join_all;
use scrip::domain::queue::jobs::After;
use scrip::domain::work::lease::{self, Work};
use scrip::domain::work::perform;
use scrip::domain::{Error, Role};
use scrip::worker;
use serde_json::{Value, json};

use crate::harness::{Backend, House, codes};
use crate::on_both;

async fn pending(house: &House) -> Vec<Value> {
    let data = house.data("{ jobs(first: 100) { nodes { kind key runAt attempts failed deadAt } } }", json!({})).await;
    data["jobs"]["nodes"].as_array().expect("jobs").clone()
}

/// Customers with a credit each that ends soon.
async fn ending_soon(house: &House, count: usize) -> Vec<String> {
    let class = house.credit_type("Class", json!({ "never": true })).await;
    let end = json!({ "at": "2026-03-02T00:00:00Z" });
    let mut customers = Vec::new();
    for n in 0..count {
        customers.push(house.customer(&format!("Customer {n}")).await);
    }
    let issue = |customer: &String| {
        house.issue(json!({ "customerId": customer, "creditTypeId": class, "amount": 1, "expiration": end }))
    };
    join_all(customers.iter().map(issue)).await;
    customers
}

on_both! {
    async fn what_ends_is_written_by_the_worker(house: House) {
        let customers = ending_soon(&house, 3).await;
        assert_eq!(pending(&house).await.len(), 3);
        assert_eq!(worker::round(&house.app).await.expect("a round"), 0, "nothing is due yet");
        house.set_clock("2026-03-02T00:00:00Z");
        assert_eq!(worker::round(&house.app).await.expect("a round"), 3);
        for customer in &customers {
            assert_eq!(house.history(customer).await.last(), Some(&("EXPIRE".into(), -1, 0, "2026-03-02T00:00:00Z".into())));
        }
        assert_eq!(pending(&house).await, Vec::<Value>::new());
        assert_eq!(worker::round(&house.app).await.expect("a round"), 0);
        house.assert_verified().await;
    }

    /// A wallet has one job, due when time next does something: the earliest end or lapse, and then the next.
    async fn a_wallet_has_one_job_for_what_comes_next(house: House) {
        let customer = house.customer("Ada").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let due = || async {
            let jobs = pending(&house).await;
            jobs.iter().map(|job| job["runAt"].as_str().expect("an instant").to_owned()).collect::<Vec<_>>()
        };
        house.issue(json!({ "customerId": customer, "creditTypeId": class, "amount": 5 })).await;
        assert_eq!(due().await, Vec::<String>::new(), "nothing ends");
        for end in ["2026-03-10T00:00:00Z", "2026-03-05T00:00:00Z", "2026-03-20T00:00:00Z"] {
            house.issue(json!({ "customerId": customer, "creditTypeId": class, "amount": 1, "expiration": { "at": end } })).await;
        }
        assert_eq!(due().await, ["2026-03-05T00:00:00Z"]);
        house.ledger("holdPlace", json!({ "customerId": customer, "creditTypeId": class, "amount": 4, "expiresAt": "2026-03-03T00:00:00Z" })).await;
        assert_eq!(due().await, ["2026-03-03T00:00:00Z"]);
        for (clock, next) in [("2026-03-03T00:00:00Z", vec!["2026-03-05T00:00:00Z"]), ("2026-03-12T00:00:00Z", vec!["2026-03-20T00:00:00Z"]), ("2026-03-20T00:00:00Z", vec![])] {
            house.set_clock(clock);
            while worker::round(&house.app).await.expect("a round") > 0 {}
            assert_eq!(due().await, next);
        }
        house.assert_verified().await;
    }

    /// Three servers on one database, all at once: each end is written once, and the work is shared.
    async fn several_servers_share_the_work(house: House) {
        let customers = ending_soon(&house, 60).await;
        house.set_clock("2026-03-02T00:00:00Z");
        let mut apps = vec![house.app.clone()];
        for _ in 0..2 {
            apps.push(house.second_server().await);
        }
        let counts = join_all(apps.iter().map(|app| async move {
            let mut count = 0;
            loop {
                match worker::round(app).await.expect("a round") {
                    0 => return count,
                    done => count += done,
                }
            }
        }))
        .await;
        assert_eq!(counts.iter().sum::<usize>(), 60, "{counts:?}");
        for customer in &customers {
            assert_eq!(house.history(customer).await.len(), 2);
        }
        house.assert_verified().await;
        for app in &apps[1..] {
            app.close().await;
        }
    }

    /// A server that takes a job and is gone: once its lease is over another one does it, and the first is not heard.
    async fn a_lost_lease_is_taken_over_and_the_late_one_is_not_heard(house: House) {
        let customers = ending_soon(&house, 1).await;
        house.set_clock("2026-03-02T00:00:00Z");
        let first = lease::claim(&house.app, Work::Inside, 10).await.expect("claims");
        assert_eq!((first.len(), lease::claim(&house.app, Work::Inside, 10).await.expect("claims").len()), (1, 0), "it is taken");
        lease::heartbeat(&house.app, &first).await.expect("a heartbeat");
        assert_eq!(lease::claim(&house.app, Work::Inside, 10).await.expect("claims").len(), 0);
        // The lease is over, by the database's clock.
        house.tamper("UPDATE job SET leased_until = '2020-01-01T00:00:00+00:00'").await;
        let second = lease::claim(&house.app, Work::Inside, 10).await.expect("claims");
        assert_eq!(second.len(), 1);
        lease::conclude(&house.app, &first[0], Ok(After::Done)).await.expect("said");
        assert_eq!(pending(&house).await.len(), 1, "who lost the lease is not listened to");
        lease::heartbeat(&house.app, &first).await.expect("a heartbeat");
        let became = perform::perform(&house.app, second[0].clone()).await;
        assert!(matches!(became, Ok(After::Said)));
        lease::conclude(&house.app, &second[0], became).await.expect("said");
        // The first one does it all the same: nothing happens twice.
        assert!(perform::perform(&house.app, first[0].clone()).await.is_ok());
        assert_eq!(house.history(&customers[0]).await.len(), 2);
        assert_eq!(pending(&house).await, Vec::<Value>::new());
        house.assert_verified().await;
    }

    /// What fails is tried again, later each time, and in the end laid aside, where staff finds it and tries again.
    async fn what_fails_is_laid_aside_and_tried_again_by_staff(house: House) {
        let customers = ending_soon(&house, 1).await;
        house.set_clock("2026-03-02T00:00:00Z");
        for attempt in 1..=8 {
            let claimed = lease::claim(&house.app, Work::Inside, 10).await.expect("claims");
            assert_eq!(claimed.len(), 1, "attempt {attempt}");
            lease::conclude(&house.app, &claimed[0], Err(Error::Internal("the disk is on fire".to_owned()))).await.expect("said");
            assert_eq!(lease::claim(&house.app, Work::Inside, 10).await.expect("claims").len(), 0, "it waits");
            let job = pending(&house).await.remove(0);
            assert_eq!((&job["attempts"], &job["failed"], job["deadAt"].is_string()), (&json!(attempt), &json!(true), attempt == 8));
            house.tamper("UPDATE job SET not_before = '2020-01-01T00:00:00+00:00'").await;
        }
        assert_eq!(lease::claim(&house.app, Work::Inside, 10).await.expect("claims").len(), 0, "it is dead");
        let dead = house.data("{ jobs(dead: true) { nodes { id kind } } }", json!({})).await["jobs"]["nodes"][0].clone();
        assert_eq!(dead["kind"], "SETTLE");
        let retry = || house.mutate("jobRetry", "job { attempts deadAt }", json!({ "id": dead["id"] }));
        assert_eq!(retry().await["job"], json!({ "attempts": 0, "deadAt": null }));
        assert_eq!(codes(&retry().await), ["JOB_NOT_DEAD"]);
        let unknown = house.mutate("jobRetry", "job { id }", json!({ "id": "job_01h455vb4pex5vsknk084sn02q" })).await;
        assert_eq!((codes(&unknown), &unknown["userErrors"][0]["field"]), (vec!["NOT_FOUND"], &json!(["id"])));
        assert_eq!(worker::round(&house.app).await.expect("a round"), 1);
        assert_eq!(house.history(&customers[0]).await.len(), 2);
        house.assert_verified().await;
    }

    /// What the database could not do for a while is no try; what takes its server down each time is laid aside.
    async fn overload_is_no_try_and_a_killer_is_laid_aside(house: House) {
        ending_soon(&house, 1).await;
        house.set_clock("2026-03-02T00:00:00Z");
        let ready = || house.tamper("UPDATE job SET not_before = NULL, leased_until = NULL");
        for _ in 0..12 {
            let claimed = lease::claim(&house.app, Work::Inside, 10).await.expect("claims");
            let away = Err(Error::Unavailable("too many writes are waiting".into()));
            lease::conclude(&house.app, &claimed[0], away).await.expect("said");
            ready().await;
        }
        assert_eq!(pending(&house).await[0]["deadAt"], json!(null), "it waits, and is not laid aside");
        for _ in 0..9 {
            lease::claim(&house.app, Work::Inside, 10).await.expect("claims");
            ready().await;
        }
        assert_eq!(lease::claim(&house.app, Work::Inside, 10).await.expect("claims").len(), 0);
        assert!(pending(&house).await[0]["deadAt"].is_string(), "nobody ever said what became of it");
        // Something new happens to the wallet, sooner: it is tried again.
        house.set_clock("2026-03-01T10:00:00Z");
        let query = "{ customers { nodes { id balances { creditType { id } } } } }";
        let data = house.data(query, json!({})).await["customers"]["nodes"][0].clone();
        let (customer, class) = (data["id"].clone(), data["balances"][0]["creditType"]["id"].clone());
        house.issue(json!({ "customerId": customer, "creditTypeId": class, "amount": 1, "expiration": { "at": "2026-03-01T12:00:00Z" } })).await;
        assert_eq!(pending(&house).await[0]["deadAt"], json!(null));
        house.assert_verified().await;
    }

    /// A job that makes no sense fails alone: the others are done.
    async fn a_poisoned_job_stops_no_other(house: House) {
        let customers = ending_soon(&house, 3).await;
        let first = if house.backend == Backend::Sqlite { "min(id)" } else { "min(id::text)::uuid" };
        house.tamper(&format!("UPDATE job SET key = 'nonsense' WHERE id = (SELECT {first} FROM job WHERE kind = 'settle')")).await;
        house.set_clock("2026-03-02T00:00:00Z");
        assert_eq!(worker::round(&house.app).await.expect("a round"), 3);
        let written = join_all(customers.iter().map(|customer| house.history(customer))).await;
        assert_eq!(written.iter().filter(|lines| lines.len() == 2).count(), 2);
        assert_eq!(pending(&house).await.iter().map(|job| job["failed"].clone()).collect::<Vec<_>>(), [json!(true)]);
        house.assert_verified().await;
    }

    /// The worker leaves sandboxes to their own clocks.
    async fn the_worker_does_not_touch_sandboxes(house: House) {
        let house = house.sandbox("sandbox-four", "2020-01-01T00:00:00Z").await;
        let customer = house.customer("Ada").await;
        let class = house.credit_type("Class", json!({ "never": true })).await;
        house.issue(json!({ "customerId": customer, "creditTypeId": class, "amount": 1, "expiration": { "at": "2020-01-02T00:00:00Z" } })).await;
        assert_eq!(worker::round(&house.app).await.expect("a round"), 0);
        assert_eq!(house.balance(&customer).await["available"], 1);
        assert_eq!(pending(&house).await.len(), 1);
    }

    /// Jobs, events and bulk operations are staff's: a customer does not see them, nor does another account.
    async fn jobs_and_events_are_staff_s(house: House) {
        let customers = ending_soon(&house, 1).await;
        let customer = Role::Customer(customers[0].parse().expect("an id"));
        for query in ["{ jobs { nodes { id } } }", "{ events { nodes { id } } }", "{ expiryForecast { amount } }", "{ bulkOperation(id: \"blk_01h455vb4pex5vsknk084sn02q\") { id } }"] {
            let refused = house.ask(customer, query, json!({})).await;
            assert_eq!(refused["errors"][0]["extensions"]["code"], "FORBIDDEN", "{query}");
        }
        let job = house.data("{ jobs { nodes { id } } }", json!({})).await["jobs"]["nodes"][0]["id"].clone();
        let node = "query($id: ID!) { node(id: $id) { id } }";
        assert_eq!(house.data(node, json!({ "id": job })).await["node"]["id"], job);
        assert_eq!(house.ask(customer, node, json!({ "id": job })).await["data"]["node"], json!(null));
        let events = house.data("{ events { nodes { id name version customer { name } payload } } }", json!({})).await;
        let event = events["events"]["nodes"][0].clone();
        assert_eq!((&event["name"], &event["version"], &event["customer"]["name"]), (&json!("credits.issued"), &json!(1), &json!("Customer 0")));
        assert_eq!((&event["payload"]["amount"], &event["payload"]["balanceAfter"]), (&json!(1), &json!(1)));
        assert_eq!(house.data(node, json!({ "id": event["id"] })).await["node"]["id"], event["id"]);
        assert_eq!(house.ask(customer, node, json!({ "id": event["id"] })).await["data"]["node"], json!(null));
        let other = house.sandbox("sandbox-five", "2026-01-01T00:00:00Z").await;
        assert_eq!(other.data(node, json!({ "id": job })).await["node"], json!(null));
        assert_eq!(other.data("{ jobs { nodes { id } } events { nodes { id } } }", json!({})).await, json!({ "jobs": { "nodes": [] }, "events": { "nodes": [] } }));
    }
}
