//! The server is killed at random, again and again, while events come in, triggers act and customers walk automations:
//! every effect is there, once.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::harness::server::{self, Server, Stops};
use scrip::domain::Role;
use serde_json::json;

use crate::harness::{Backend, House, LEDGER_KEY, SIGNING_SECRET, open};
use crate::{on_both, size};

/// Events that are tracked, how often the server is killed, and customers.
const PEOPLE: usize = 10;

/// Events that are sent, a whole number of times for each person.
fn events() -> usize {
    size(200, 1_000)
}

const TRACK: &str = "mutation($input: EventTrackInput!) { eventTrack(input: $input) { replayed userErrors { code } } }";

/// Numbers that look random and are the same each time.
fn dice(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

/// Sends each event until it is acknowledged; the same key each time. Answers which were.
fn send(address: &Mutex<String>, token: &str, people: &[String], next: &AtomicUsize, stop: &AtomicBool) -> Vec<usize> {
    let mut acknowledged = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= events() {
            return acknowledged;
        }
        let input = json!({
            "name": "session.booked", "customer": { "id": people[number % PEOPLE] },
            "properties": { "n": number }, "idempotencyKey": format!("event-{number}"),
        });
        while !stop.load(Ordering::Relaxed) {
            let at = address.lock().expect("no panic").clone();
            match server::ask(&at, Some(token), TRACK, &json!({ "input": input })) {
                Ok((200, answer)) if answer["data"]["eventTrack"]["userErrors"] == json!([]) => {
                    acknowledged.push(number);
                    break;
                }
                // It was killed, or is not there yet.
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

on_both! {
    async fn a_server_that_is_killed_at_random_does_everything_once(house: House) {
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let mut people = Vec::new();
        for n in 0..PEOPLE {
            people.push(house.customer(&format!("Customer {n}")).await);
        }
        // Two credits for each event, of which a walk uses one again; what begins anew while a walk is running is refused.
        let walk = house.automation("Walk", json!([
            { "does": { "consumeCredits": { "creditTypeId": class, "amount": 1, "note": "Walked" } } },
            { "does": { "tagCustomer": ["walked"] } },
            { "does": { "branch": { "conditions": [{ "tag": "walked" }], "then": "end" } } },
            { "does": { "consumeCredits": { "creditTypeId": class, "amount": 1_000 } } },
            { "label": "end", "does": { "untagCustomer": ["walked"] } },
        ])).await;
        let actions = json!([{ "issueCredits": { "creditTypeId": class, "amount": 2 } }, { "startAutomation": walk }]);
        let trigger = house.triggered("session.booked", json!({ "actions": actions })).await;
        let token = house.token(Role::Staff);
        let folder = tempfile::tempdir().expect("a folder");
        let settings = [("SCRIP_DATABASE_URL", house.url.as_str()), ("SCRIP_SIGNING_SECRET", SIGNING_SECRET), ("SCRIP_LEDGER_KEY", LEDGER_KEY)];
        let start = || Server::start(folder.path(), &["serve"], &settings);
        // The server has the database for itself: whoever opens SQLite's after a kill puts it in order.
        house.app.close().await;
        let mut running = Some(start());
        let (address, next, stop) = (Mutex::new(running.as_ref().map(|server| server.address.clone()).unwrap_or_default()), AtomicUsize::new(0), AtomicBool::new(false));
        let acknowledged = std::thread::scope(|scope| {
            let senders = (0..4).map(|_| scope.spawn(|| send(&address, &token, &people, &next, &stop))).collect::<Vec<_>>();
            let stops = Stops(&stop);
            let mut seed = 42;
            for _ in 0..size(6, 20) {
                std::thread::sleep(Duration::from_millis(50 + dice(&mut seed) % 400));
                drop(running.take());
                let server = start();
                server.address.clone_into(&mut address.lock().expect("no panic"));
                running = Some(server);
            }
            let began = Instant::now();
            while senders.iter().any(|sender| !sender.is_finished()) && began.elapsed() < Duration::from_mins(1) {
                std::thread::sleep(Duration::from_millis(50));
            }
            drop(stops);
            senders.into_iter().flat_map(|sender| sender.join().expect("no panic")).collect::<BTreeSet<_>>()
        });
        assert_eq!(acknowledged.len(), events(), "every event was acknowledged in the end");
        let app = open(&house.url, house.clock.clone()).await;
        let house = house.with(app);
        // Leases of the killed last for up to half a minute.
        let waits = "{ jobs(first: 1) { nodes { id kind } } dead: jobs(dead: true) { nodes { id kind key } } }";
        for _ in 0..480 {
            let left = house.data(waits, json!({})).await;
            assert_eq!(left["dead"]["nodes"], json!([]), "nothing is laid aside");
            let pending = scrip::domain::dispatch::next_account(&house.app, None).await.expect("looked");
            if left["jobs"]["nodes"] == json!([]) && pending.is_none() { break; }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        drop(running);
        let left = house.data(waits, json!({})).await;
        assert_eq!(left["jobs"]["nodes"], json!([]), "all is done");
        let (mut after, mut issued, mut begun, mut refused) = (serde_json::Value::Null, BTreeSet::new(), 0, 0);
        loop {
            let query = "query($id: ID!, $after: String) { trigger(id: $id) { runs(first: 100, after: $after) {
                nodes { position status event { id payload } activity { id amount } userError { code } began { id status history { status } } } pageInfo { hasNextPage endCursor } } } }";
            let page = house.data(query, json!({ "id": trigger, "after": after })).await["trigger"]["runs"].clone();
            for run in page["nodes"].as_array().expect("nodes") {
                match (run["position"].as_i64(), run["status"].as_str()) {
                    (Some(0), Some("DONE")) => {
                        assert!(issued.insert(run["event"]["payload"]["n"].as_u64()), "twice: {run}");
                        assert_eq!(run["activity"]["amount"], 2);
                    }
                    (Some(1), Some("DONE")) => {
                        begun += 1;
                        let steps = run["began"]["history"].as_array().expect("steps");
                        assert_eq!((&run["began"]["status"], steps.len()), (&json!("DONE"), 4), "{run}");
                        assert!(steps.iter().all(|step| step["status"] == "DONE"), "{run}");
                    }
                    (Some(1), Some("REFUSED")) => {
                        assert_eq!(run["userError"]["code"], "ALREADY_ENROLLED");
                        refused += 1;
                    }
                    _ => panic!("{run}"),
                }
            }
            if page["pageInfo"]["hasNextPage"] == false { break; }
            after = page["pageInfo"]["endCursor"].clone();
        }
        assert_eq!((issued.len(), begun + refused), (events(), events()), "each event once");
        let (mut total, mut consumed) = (0, 0);
        for customer in &people {
            let balance = house.balance(customer).await;
            total += balance["totals"]["issued"].as_i64().expect("a number");
            consumed += balance["totals"]["consumed"].as_i64().expect("a number");
        }
        assert_eq!((total, consumed), (2 * i64::try_from(events()).expect("few"), i64::try_from(begun).expect("few")), "two for each event, and one back for each walk");
        house.assert_verified().await;
    }

    /// Two servers at the same load: each effect once.
    async fn two_servers_at_one_load_do_everything_once(house: House) {
        if house.backend == Backend::Sqlite { return; }
        let class = house.credit_type("Class", json!({ "never": true })).await;
        let mut people = Vec::new();
        for n in 0..PEOPLE {
            people.push(house.customer(&format!("Customer {n}")).await);
        }
        let trigger = house.triggered("session.booked", json!({ "actions": [{ "issueCredits": { "creditTypeId": class, "amount": 2 } }, { "tagCustomer": ["seen"] }] })).await;
        let token = house.token(Role::Staff);
        let folder = tempfile::tempdir().expect("a folder");
        let settings = [("SCRIP_DATABASE_URL", house.url.as_str()), ("SCRIP_SIGNING_SECRET", SIGNING_SECRET), ("SCRIP_LEDGER_KEY", LEDGER_KEY)];
        let servers = [(); 2].map(|()| Server::start(folder.path(), &["serve"], &settings));
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let addresses = servers.each_ref().map(|server| Mutex::new(server.address.clone()));
        std::thread::scope(|scope| {
            for address in addresses.iter().chain(&addresses) {
                scope.spawn(|| send(address, &token, &people, &next, &stop));
            }
        });
        let query = "query($id: ID!) { trigger(id: $id) { pending: runs(first: 1, status: PENDING) { nodes { id } } refused: runs(first: 1, status: REFUSED) { nodes { id } } } jobs(first: 1) { nodes { id } } }";
        for _ in 0..240 {
            let left = house.data(query, json!({ "id": trigger })).await;
            let waiting = scrip::domain::dispatch::next_account(&house.app, None).await.expect("looked").is_some();
            if !waiting && left["jobs"]["nodes"] == json!([]) && left["trigger"]["pending"]["nodes"] == json!([]) { break; }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        drop(servers);
        for customer in &people {
            let share = 2 * events() / PEOPLE;
            assert_eq!(house.balance(customer).await["totals"]["issued"], json!(share));
        }
        assert_eq!(house.data(query, json!({ "id": trigger })).await["trigger"]["refused"]["nodes"], json!([]));
        house.assert_verified().await;
    }
}
