//! Other systems' published cases, replayed through GraphQL on sandboxes: each step at its own instant.

mod selling;

use std::collections::HashMap;

use crate::harness::{Backend, House, at, codes};
use serde_json::{Value, json};

/// Cases that are not replayed, and why. Nothing else is skipped.
const SKIPPED: &[(&str, &str)] = &[
    ("OME-19", "rollover of a single lot at any instant: ours is of a subscription, at its renewals"),
    ("OME-20", "rollover of a single lot at any instant: ours is of a subscription, at its renewals"),
    ("OME-21", "rollover of a single lot at any instant: ours is of a subscription, at its renewals"),
    ("OME-22", "rollover of a single lot at any instant: ours is of a subscription, at its renewals"),
    ("OME-23", "rollover of a single lot at any instant: ours is of a subscription, at its renewals"),
    ("OME-24", "rollover of a single lot at any instant: ours is of a subscription, at its renewals"),
    ("OME-25", "rollover of a single lot at any instant: ours is of a subscription, at its renewals"),
    ("OME-26", "rollover of a single lot at any instant: ours is of a subscription, at its renewals"),
    ("OME-27", "rollover of a single lot at any instant: ours is of a subscription, at its renewals"),
    ("KNG-08", "partial consume: a consume takes all of its amount, or none"),
    ("TIER-04", "free units of a package: every unit has its price"),
    ("TIER-05", "free units of a package: every unit has its price"),
    ("CAL-23", "a period of several units: ours has one"),
];

fn cases() -> Vec<Value> {
    let files = [
        include_str!("openmeter_engine.json"),
        include_str!("openmeter_docs.json"),
        include_str!("tier_prices.json"),
        include_str!("calendar_expiry.json"),
    ];
    let read = |text: &str| {
        let file: Value = serde_json::from_str(text).expect("JSON");
        file["cases"].as_array().expect("cases").clone()
    };
    files.into_iter().flat_map(read).collect()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} of {value}"))
}

/// One case on a sandbox of its own.
struct Replay {
    house: House,
    customer: String,
    credit_type: String,
    grants: HashMap<String, String>,
    consumes: HashMap<String, Value>,
    rejected: Vec<(String, String)>,
}

impl Replay {
    async fn new(house: House, slug: &str, begin: &str) -> Self {
        let house = house.sandbox(slug, begin).await;
        let customer = house.customer("Ada").await;
        let credit_type = house.credit_type("Credit", json!({ "never": true })).await;
        let (grants, consumes, rejected) = (HashMap::new(), HashMap::new(), Vec::new());
        Self { house, customer, credit_type, grants, consumes, rejected }
    }

    async fn go_to(&self, instant: &str) {
        let advanced = self.house.advance(instant).await;
        assert_eq!(advanced["arrived"], true, "{advanced}");
    }

    async fn step(&mut self, step: &Value) {
        self.go_to(text(step, "at")).await;
        match text(step, "op") {
            "grant" => self.grant(step).await,
            "consume" => self.consume(step).await,
            "void" => {
                let grant = &self.grants[text(step, "grant")];
                let done = self.house.ledger("grantVoid", json!({ "grantId": grant, "reason": "Withdrawn" })).await;
                assert_eq!(codes(&done), Vec::<&str>::new(), "{step}");
            }
            "reverse" => {
                let activity = &self.consumes[text(step, "of")];
                let input = json!({ "activityId": activity, "amount": step["amount"], "reason": "Corrected" });
                assert_eq!(codes(&self.house.ledger("activityReverse", input).await), Vec::<&str>::new(), "{step}");
            }
            other => panic!("no case that is replayed has a step {other}"),
        }
    }

    async fn grant(&mut self, step: &Value) {
        let times = step["repeat"].as_u64();
        for number in 0..times.unwrap_or(1) {
            let end = step["expires_at"].as_str();
            let expiration = end.map_or_else(|| json!({ "never": true }), |end| json!({ "at": end }));
            let mut input = json!({
                "customerId": self.customer, "creditTypeId": self.credit_type, "amount": step["amount"],
                "expiration": expiration, "priority": step["priority"],
            });
            if let Some(begin) = step["effective_at"].as_str() {
                input["effectiveAt"] = json!(begin);
            }
            let issued = self.house.issue(input).await;
            let id = issued["grant"]["id"].as_str().unwrap_or_else(|| panic!("{step}: {issued}")).to_owned();
            let name = text(step, "id");
            self.grants.insert(if times.is_some() { format!("{name}-{number}") } else { name.to_owned() }, id);
        }
    }

    async fn consume(&mut self, step: &Value) {
        let input = json!({ "customerId": self.customer, "creditTypeId": self.credit_type, "amount": step["amount"] });
        let used = self.house.consume(input).await;
        match codes(&used).first() {
            None => drop(self.consumes.insert(text(step, "id").to_owned(), used["activity"]["id"].clone())),
            Some(code) => self.rejected.push((text(step, "id").to_owned(), (*code).to_owned())),
        }
        if let Some(expected) = step["expect_allocations"].as_array() {
            let of_grant = |pair: &Value| (self.grants[pair[0].as_str().expect("a grant")].clone(), pair[1].clone());
            let allocations = used["activity"]["allocations"].as_array().expect("allocations").iter();
            let found = allocations.map(|a| (text(&a["grant"], "id").to_owned(), a["amount"].clone()));
            assert_eq!(found.collect::<Vec<_>>(), expected.iter().map(of_grant).collect::<Vec<_>>(), "{step}");
        }
    }

    /// What is there at an instant: the balance, and each grant's usable credits.
    async fn expect(&self, expected: &Value, case: &str) {
        self.go_to(text(expected, "at")).await;
        let query = "query($id: ID!) { customer(by: { id: $id }) { balances { available nextExpiry { at amount } } } }";
        let data = self.house.data(query, json!({ "id": self.customer })).await["customer"].clone();
        let balance = data["balances"].get(0);
        let available = balance.map_or(json!(0), |balance| balance["available"].clone());
        if let Some(wanted) = expected.get("balance") {
            assert_eq!(available, *wanted, "{case}: the balance at {}", expected["at"]);
        }
        let ids = self.grants.values().collect::<Vec<_>>();
        let mut nodes = Vec::new();
        for ids in ids.chunks(100) {
            let query = "query($ids: [ID!]!) { nodes(ids: $ids) { ... on Grant { id remaining status } } }";
            nodes.extend(
                self.house.data(query, json!({ "ids": ids })).await["nodes"].as_array().expect("nodes").clone(),
            );
        }
        let usable = |id: &str| {
            let node = nodes.iter().find(|node| node["id"] == id).unwrap_or_else(|| panic!("{case}: {id}"));
            if node["status"] == "USABLE" { node["remaining"].clone() } else { json!(0) }
        };
        let named = expected["grants"].as_object();
        for (name, wanted) in named.into_iter().flatten() {
            assert_eq!(usable(&self.grants[name]), *wanted, "{case}: {name} at {}", expected["at"]);
        }
        if let Some(wanted) = expected.get("grants_all_others") {
            let others = self.grants.iter().filter(|(name, _)| named.is_none_or(|named| !named.contains_key(*name)));
            for (name, id) in others {
                assert_eq!(usable(id), *wanted, "{case}: {name} at {}", expected["at"]);
            }
        }
        if let Some(wanted) = expected.get("would_expire_at") {
            let next = balance.map(|balance| balance["nextExpiry"].clone()).unwrap_or_default();
            assert_eq!(at(text(&next, "at")), at(text(wanted, "at")), "{case}");
            assert_eq!(next["amount"], wanted["amount"], "{case}");
        }
    }
}

fn begin_of(steps: &[Value]) -> String {
    let instants = steps.iter().map(|step| text(step.get("expect").unwrap_or(step), "at"));
    instants.min_by_key(|instant| at(instant)).expect("a step").to_owned()
}

/// The steps of a case in their order, and beside them what is expected: by the source, or by a server that never lends.
async fn ledger_case(house: House, slug: &str, case: &Value) {
    let id = text(case, "id");
    let steps = case["steps"].as_array().expect("steps");
    let mut replay = Replay::new(house, slug, &begin_of(steps)).await;
    let lends = case["requires"].as_array().is_some_and(|needs| needs.contains(&json!("overdraft")));
    let strict = case["derived_strict"]["outcome"].as_array();
    let mut balances = strict.into_iter().flatten().filter(|outcome| outcome.get("balance").is_some());
    for step in steps {
        match step.get("expect") {
            None => replay.step(step).await,
            Some(expected) if !lends => replay.expect(expected, id).await,
            Some(_) => replay.expect(balances.next().expect("one for each"), id).await,
        }
    }
    let rejections = strict.into_iter().flatten().filter(|outcome| outcome.get("rejected").is_some());
    let rejected = rejections.map(|outcome| (text(outcome, "id").to_owned(), text(outcome, "rejected").to_owned()));
    assert_eq!(replay.rejected, rejected.collect::<Vec<_>>(), "{id}: what is refused");
    replay.house.assert_verified().await;
}

/// All grants at once, used one by one: the order in which they are.
async fn order_case(house: House, slug: &str, case: &Value) {
    let mut grants = case["grants"].as_array().expect("grants").clone();
    // Where all else is equal the source sorts by its ids; ours sort by age, so the first of its ids is issued first.
    grants.sort_by_key(|grant| (at(text(grant, "at")), text(grant, "id").to_owned()));
    let mut replay = Replay::new(house, slug, &begin_of(&grants)).await;
    for grant in &grants {
        replay.step(grant).await;
    }
    let mut order = Vec::new();
    for _ in &grants {
        let input = json!({ "customerId": replay.customer, "creditTypeId": replay.credit_type, "amount": 1 });
        let used = replay.house.consume(input).await;
        let id = text(&used["activity"]["allocations"][0]["grant"], "id").to_owned();
        let name = replay.grants.iter().find(|(_, known)| **known == id).expect("one of them").0;
        order.push(json!(name));
    }
    assert_eq!(json!(order), case["expect"], "{}", case["id"]);
    replay.house.assert_verified().await;
}

async fn replay_all(backend: Backend) {
    let house = House::new(backend).await;
    let (mut passed, mut skipped) = (Vec::new(), Vec::new());
    for (number, case) in cases().iter().enumerate() {
        let id = text(case, "id");
        if SKIPPED.iter().any(|(name, _)| *name == id) {
            skipped.push(id.to_owned());
            continue;
        }
        let slug = format!("case-{number}");
        match text(case, "kind") {
            "ledger" => ledger_case(house.beside(), &slug, case).await,
            "order" => order_case(house.beside(), &slug, case).await,
            "pricing" => selling::pricing_case(house.beside(), &slug, case).await,
            "calendar" => selling::calendar_case(house.beside(), &slug, case).await,
            other => panic!("{id} is of kind {other}, and is neither replayed nor skipped with a reason"),
        }
        passed.push(id.to_owned());
    }
    assert_eq!(skipped, SKIPPED.iter().map(|(id, _)| (*id).to_owned()).collect::<Vec<_>>());
    println!("{backend:?}: {} cases passed: {}", passed.len(), passed.join(" "));
    for (id, why) in SKIPPED {
        println!("  skipped {id}: {why}");
    }
    assert_eq!((passed.len(), skipped.len()), (71, 13));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn published_cases_on_sqlite() {
    replay_all(Backend::Sqlite).await;
}

#[cfg_attr(not(postgres), ignore = "there is no PostgreSQL: install initdb, or set TEST_POSTGRES_URL")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn published_cases_on_postgres() {
    replay_all(Backend::Postgres).await;
}
