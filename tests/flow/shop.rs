//! Triggers, automations and events in one line each.

use scrip::domain::work::lease;
use scrip::domain::work::perform;
use scrip::worker;
use serde_json::{Value, json};

use crate::harness::{Backend, House, codes};

/// What a run is asked for.
pub const RUN: &str = "id position status triggerVersion action { kind amount tags } step { label kind }
    activity { kind amount source actor { kind subject } reference note }
    userError { code message ... on InsufficientCredits { requested available } } branchHeld waitedUntil
    began { id automation { name } status } event { id name depth } customer { name } createdAt endedAt";

impl House {
    /// A trigger; its payload.
    pub async fn trigger(&self, event: &str, input: Value) -> Value {
        let mut whole = json!({ "name": format!("on {event}"), "eventName": event });
        for (name, value) in input.as_object().expect("an object") {
            whole[name] = value.clone();
        }
        self.mutate("triggerCreate", "trigger { id eventName version enabled } warnings { code message }", whole).await
    }

    /// A trigger that must be made; its id.
    pub async fn triggered(&self, event: &str, input: Value) -> String {
        let made = self.trigger(event, input).await;
        assert_eq!(codes(&made), Vec::<&str>::new(), "{made:#}");
        id(&made["trigger"])
    }

    /// `eventTrack` for a customer; the payload.
    pub async fn track(&self, name: &str, customer: &str, properties: Value) -> Value {
        let input = json!({
            "name": name, "customer": { "id": customer }, "properties": properties, "idempotencyKey": self.key(),
        });
        self.mutate("eventTrack", "replayed event { id name at payload depth customer { id } }", input).await
    }

    /// An event that must be written; its id.
    pub async fn tracked(&self, name: &str, customer: &str, properties: Value) -> String {
        let payload = self.track(name, customer, properties).await;
        assert_eq!(codes(&payload), Vec::<&str>::new(), "{payload:#}");
        id(&payload["event"])
    }

    /// Does all that is due now, as the worker does.
    pub async fn work(&self) {
        for _ in 0..1_000 {
            if worker::round(&self.app).await.expect("a round") == 0 {
                return;
            }
        }
        panic!("there is no end of it");
    }

    /// Does jobs that are due, and looks at no event.
    pub async fn do_jobs(&self) {
        loop {
            let claimed = lease::claim(&self.app, lease::Work::Inside, 100).await.expect("claimed");
            if claimed.is_empty() {
                return;
            }
            for job in claimed {
                let became = perform::perform(&self.app, job.clone()).await;
                lease::conclude(&self.app, &job, became).await.expect("concluded");
            }
        }
    }

    /// Copies events of a name so often, as if they had come after all others.
    pub async fn copy_events(&self, name: &str, times: usize) -> u64 {
        let columns = "name, version, customer_id, subject_id, payload, at, depth, pending FROM event";
        let sql = match self.backend {
            Backend::Sqlite => format!(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {times})
                INSERT INTO event (account_id, id, name, version, customer_id, subject_id, payload, at, depth, pending)
                SELECT account_id, CAST(x'ff' || randomblob(15) AS BLOB), {columns}, n WHERE name = '{name}'"
            ),
            Backend::Postgres => format!(
                "INSERT INTO event (account_id, id, name, version, customer_id, subject_id, payload, at, depth, pending)
                SELECT account_id, ('ffffffff-' || substr(gen_random_uuid()::text, 10))::uuid, {columns}, generate_series(1, {times})
                WHERE name = '{name}'"
            ),
        };
        self.tamper(&sql).await
    }

    /// What a count says.
    pub async fn counted(&self, sql: &str) -> i64 {
        match self.backend {
            Backend::Sqlite => {
                let pool = sqlx::SqlitePool::connect(&self.url).await.expect("a connection");
                sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&pool).await.expect(sql)
            }
            Backend::Postgres => {
                let pool = sqlx::PgPool::connect(&self.url).await.expect("a connection");
                sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&pool).await.expect(sql)
            }
        }
    }

    /// What a trigger did, oldest first.
    pub async fn runs(&self, trigger: &str) -> Vec<Value> {
        let query = format!("query($id: ID!) {{ trigger(id: $id) {{ runs(last: 100) {{ nodes {{ {RUN} }} }} }} }}");
        let data = self.data(&query, json!({ "id": trigger })).await;
        let mut nodes = data["trigger"]["runs"]["nodes"].as_array().expect("nodes").clone();
        nodes.reverse();
        nodes
    }

    /// Events of a name, oldest first: payload and instant.
    pub async fn told(&self, name: &str) -> Vec<(Value, String)> {
        let query = "query($name: String) { events(name: $name, last: 100) { nodes { payload at } } }";
        let data = self.data(query, json!({ "name": name })).await;
        let nodes = data["events"]["nodes"].as_array().expect("nodes").clone();
        nodes.iter().rev().map(|n| (n["payload"].clone(), n["at"].as_str().expect("an instant").to_owned())).collect()
    }

    /// The tags of a customer.
    pub async fn tags(&self, customer: &str) -> Value {
        let query = "query($id: ID!) { customer(by: { id: $id }) { tags } }";
        self.data(query, json!({ "id": customer })).await["customer"]["tags"].clone()
    }

    /// An automation that must be made; its id.
    pub async fn automation(&self, name: &str, steps: Value) -> String {
        let made = self.done("automationCreate", "automation { id }", json!({ "name": name, "steps": steps })).await;
        id(&made["automation"])
    }

    /// `automationStart` for a customer; the payload.
    pub async fn start(&self, automation: &str, customer: &str) -> Value {
        let input =
            json!({ "automationId": automation, "who": { "customerId": customer }, "idempotencyKey": self.key() });
        self.mutate("automationStart", "replayed enrolment { id status version }", input).await
    }

    /// An enrolment as it is now, with its history.
    pub async fn enrolment(&self, enrolment: &str) -> Value {
        let query = format!(
            "query($id: ID!) {{ enrolment(id: $id) {{ status version nextStep wakeAt reason startedAt endedAt
                history {{ {RUN} }} }} }}"
        );
        self.data(&query, json!({ "id": enrolment })).await["enrolment"].clone()
    }
}

/// The id of a thing.
pub fn id(thing: &Value) -> String {
    thing["id"].as_str().unwrap_or_else(|| panic!("no id: {thing:#}")).to_owned()
}

/// The code and the field of a payload's only refusal.
pub fn refusal(payload: &Value) -> (String, String) {
    let errors = payload["userErrors"].as_array().unwrap_or_else(|| panic!("{payload:#}"));
    assert_eq!(errors.len(), 1, "{payload:#}");
    let path = errors[0]["field"].as_array();
    let field = path.map(|path| path.iter().map(|part| part.as_str().expect("text")).collect::<Vec<_>>().join("."));
    assert!(errors[0]["message"].as_str().is_some_and(|message| message.len() > 10), "{payload:#}");
    (errors[0]["code"].as_str().expect("a code").to_owned(), field.unwrap_or_default())
}
