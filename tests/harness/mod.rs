//! What tests stand on: a house of their own on either database, a clock that they set, and the API over HTTP.

mod client;
pub mod postgres;
pub mod power;
pub mod server;
mod variants;

pub use client::{Answer, Client};
pub use variants::doors;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use entity::account::{Mode, Model};
use scrip::domain::LedgerKey;
use scrip::domain::accounts::tokens::Tokens;
use scrip::domain::accounts::{self, NewAccount};
use scrip::domain::credits::verify;
use scrip::domain::ground::clock::{Clock, Instant, ManualClock};
use scrip::domain::storage::store::{Missing, Store};
use scrip::domain::{App, Caller, Role};
use scrip::gateway::{Poster, SystemNames};
use scrip::http::Rules;
use secrecy::SecretString;
use serde_json::{Value, json};

/// Which database a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Sqlite,
    Postgres,
}

/// Makes two tests of one: `name::sqlite` and `name::postgres`, the latter ignored where there is no PostgreSQL.
/// `in one thread;` before them runs all of each in its own thread, as a deliberate fault needs it.
#[macro_export]
macro_rules! on_both {
    (in one thread; $($tests:tt)+) => { $crate::on_both! { (flavor = "current_thread") $($tests)+ } };
    ($runtime:tt $($(#[$meta:meta])* async fn $name:ident($house:ident: House) $body:block)+) => {$(
        $(#[$meta])*
        mod $name {
            use super::*;

            async fn run($house: House) $body

            #[tokio::test $runtime]
            async fn sqlite() {
                run(House::new(Backend::Sqlite).await).await;
            }

            #[tokio::test $runtime]
            #[cfg_attr(not(postgres), ignore = "there is no PostgreSQL: install initdb, or set TEST_POSTGRES_URL")]
            async fn postgres() {
                run(House::new(Backend::Postgres).await).await;
            }
        }
    )+};
    ($($tests:tt)+) => { $crate::on_both! { (flavor = "multi_thread", worker_threads = 2) $($tests)+ } };
}

/// What a payload of the ledger is asked for.
const LEDGER: &str =
    "activity { id kind amount heldAmount balanceBefore balanceAfter at reason hold { id status captured } }
    activities { kind amount heldAmount at source customer { name }
        allocations { amount cost { minor } expiresAt previousExpiresAt grant { id } } }
    balance { available held notYetEffective totals { issued consumed expired voided transferred } }
    preview { draws { amount grant { id } } balanceAfter wouldExpire { at amount } cost { decimal currency } lost }";

pub const SIGNING_SECRET: &str = "a signing secret for tests, 32 bytes";
pub const LEDGER_KEY: &str = "a ledger key for tests of 32 bytes!";

/// A server with one account, on a database of its own.
pub struct House {
    pub app: App,
    pub tokens: Arc<Tokens>,
    pub clock: Arc<ManualClock>,
    pub account: Model,
    pub url: String,
    pub backend: Backend,
    client: Client,
    keys: AtomicU64,
    _folder: Option<tempfile::TempDir>,
}

impl House {
    /// One on a database of its own.
    pub async fn new(backend: Backend) -> Self {
        let (url, folder) = match backend {
            Backend::Sqlite => {
                let folder = tempfile::tempdir().expect("a folder");
                (format!("sqlite:{}", folder.path().join("scrip.db").display()), Some(folder))
            }
            Backend::Postgres => (postgres::database().await, None),
        };
        Self::at(backend, url, folder).await
    }

    /// One on a database that is there.
    pub async fn at(backend: Backend, url: String, folder: Option<tempfile::TempDir>) -> Self {
        let clock = Arc::new(ManualClock::new(at("2026-03-01T09:00:00Z")));
        let app = open(&url, clock.clone()).await;
        let account = new_account(&app, "studio").await;
        let tokens = Arc::new(tokens());
        let client = client(&app, &tokens);
        Self { app, tokens, clock, account, url, backend, client, keys: AtomicU64::new(1), _folder: folder }
    }

    /// Another server on the same database.
    pub async fn second_server(&self) -> App {
        open(&self.url, self.clock.clone()).await
    }

    pub fn caller(&self, role: Role) -> Caller {
        Caller::of(self.app.clone(), self.account.id, role, "tester")
    }

    pub fn staff(&self) -> Caller {
        self.caller(Role::Staff)
    }

    pub fn token(&self, role: Role) -> String {
        let account = (role != Role::Operator).then_some(self.account.id);
        self.tokens.make(account, role, "tester", Duration::from_mins(10)).expect("a token")
    }

    /// A key that no other call of this test has.
    pub fn key(&self) -> String {
        format!("key-{}", self.keys.fetch_add(1, Ordering::Relaxed))
    }

    /// A request with a role's token; the whole response.
    pub async fn ask(&self, role: Role, query: &str, variables: Value) -> Value {
        self.ask_with(Some(&self.token(role)), query, variables).await.1
    }

    /// A request by staff that must go through; its `data`.
    pub async fn data(&self, query: &str, variables: Value) -> Value {
        let response = self.ask(Role::Staff, query, variables).await;
        assert!(response.get("errors").is_none(), "{query}\n{response:#}");
        response["data"].clone()
    }

    /// A request with any token; the status and the whole response.
    pub async fn ask_with(&self, token: Option<&str>, query: &str, variables: Value) -> (u16, Value) {
        let mut request = self.client.post("/graphql").body_json(&json!({ "query": query, "variables": variables }));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = request.send().await;
        let status = response.0.status().as_u16();
        (status, response.json().await)
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub async fn customer(&self, name: &str) -> String {
        let query = "mutation($input: CustomerCreateInput!) {
            customerCreate(input: $input) { customer { id } userErrors { message } } }";
        let email = format!("{}@example.com", name.to_lowercase().replace(' ', "."));
        let data = self.data(query, json!({ "input": { "name": name, "email": email } })).await;
        data["customerCreate"]["customer"]["id"].as_str().unwrap_or_else(|| panic!("{data}")).to_owned()
    }

    pub async fn credit_type(&self, name: &str, expiration: Value) -> String {
        let query = "mutation($input: CreditTypeCreateInput!) {
            creditTypeCreate(input: $input) { creditType { id } userErrors { message } } }";
        let data = self.data(query, json!({ "input": { "name": name, "expiration": expiration } })).await;
        data["creditTypeCreate"]["creditType"]["id"].as_str().unwrap_or_else(|| panic!("{data}")).to_owned()
    }

    /// `creditsIssue`; the payload.
    pub async fn issue(&self, input: Value) -> Value {
        let query = "mutation($input: CreditsIssueInput!) { creditsIssue(input: $input) {
            replayed
            grant { id amount remaining status expiresAt promotional }
            activity { id kind amount balanceAfter at }
            balance { available notYetEffective nextExpiry { at amount } }
            preview { draws { amount } balanceAfter wouldExpire { at amount } cost { decimal currency } }
            userErrors { code message field }
        } }";
        self.data(query, json!({ "input": self.with_key(input) })).await["creditsIssue"].clone()
    }

    /// `creditsConsume`; the payload.
    pub async fn consume(&self, input: Value) -> Value {
        let query = "mutation($input: CreditsConsumeInput!) { creditsConsume(input: $input) {
            replayed
            activity { id kind amount balanceAfter at allocations { amount cost { decimal } grant { id } } }
            balance { available }
            preview { draws { amount grant { id } } balanceAfter wouldExpire { at amount } cost { decimal currency } }
            userErrors { code message field
                ... on InsufficientCredits { requested available held expired notYetEffective } }
        } }";
        self.data(query, json!({ "input": self.with_key(input) })).await["creditsConsume"].clone()
    }

    /// The balance of a customer's only credit type.
    pub async fn balance(&self, customer: &str) -> Value {
        let query = "query($id: ID!) { customer(by: { id: $id }) { balances {
            available held notYetEffective nextExpiry { at amount } totals { issued consumed expired voided } } } }";
        self.data(query, json!({ "id": customer })).await["customer"]["balances"][0].clone()
    }

    fn with_key(&self, mut input: Value) -> Value {
        if input.get("idempotencyKey").is_none() {
            input["idempotencyKey"] = json!(self.key());
        }
        input
    }

    /// The ledger is what was written.
    pub async fn assert_verified(&self) {
        let report = verify::verify(&self.staff(), |_, _| ()).await.expect("a report");
        assert!(report.findings.is_empty(), "{:#?}", report.findings);
    }

    pub fn set_clock(&self, text: &str) {
        self.clock.set(at(text));
    }

    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// A mutation of the ledger, with a key of its own unless the input brings one; its payload.
    pub async fn ledger(&self, mutation: &str, input: Value) -> Value {
        self.mutate(mutation, &format!("replayed {LEDGER}"), self.with_key(input)).await
    }

    /// A mutation that must go through; the payload.
    pub async fn done(&self, mutation: &str, fields: &str, input: Value) -> Value {
        let payload = self.mutate(mutation, fields, input.clone()).await;
        assert_eq!(codes(&payload), Vec::<&str>::new(), "{mutation} {input}: {payload:#}");
        payload
    }

    /// Any mutation by staff; its payload.
    pub async fn mutate(&self, mutation: &str, fields: &str, input: Value) -> Value {
        self.mutate_as(Role::Staff, mutation, fields, input).await
    }

    /// Any mutation by the owner; its payload.
    pub async fn by_owner(&self, mutation: &str, fields: &str, input: Value) -> Value {
        self.mutate_as(Role::Owner, mutation, fields, input).await
    }

    async fn mutate_as(&self, role: Role, mutation: &str, fields: &str, input: Value) -> Value {
        let (first, rest) = mutation.split_at(1);
        let query = format!(
            "mutation($input: {}{rest}Input!) {{ {mutation}(input: $input) {{ {fields} userErrors {{ code message field
                ... on InsufficientCredits {{ requested available held expired notYetEffective }} }} }} }}",
            first.to_uppercase()
        );
        let response = self.ask(role, &query, json!({ "input": input })).await;
        assert!(response.get("errors").is_none(), "{query}\n{response:#}");
        response["data"][mutation].clone()
    }

    /// The same server once more.
    pub fn beside(&self) -> Self {
        self.served_by(self.app.clone())
    }

    /// The same account, served by another server.
    pub async fn second(&self) -> Self {
        self.served_by(self.second_server().await)
    }

    fn served_by(&self, app: App) -> Self {
        Self {
            client: client(&app, &self.tokens),
            app,
            tokens: self.tokens.clone(),
            clock: self.clock.clone(),
            account: self.account.clone(),
            url: self.url.clone(),
            backend: self.backend,
            keys: AtomicU64::new(1),
            _folder: None,
        }
    }

    /// The same server, seen from a new sandbox whose clock shows an instant.
    pub async fn sandbox(mut self, slug: &str, clock_at: &str) -> Self {
        let operator = Caller::operator(self.app.clone(), "tests");
        let new = NewAccount {
            name: "Sandbox".to_owned(),
            slug: slug.to_owned(),
            time_zone: "Europe/Zurich".to_owned(),
            currency: "CHF".to_owned(),
            mode: Mode::Sandbox,
            clock_at: Some(at(clock_at)),
        };
        self.account = accounts::create(&operator, new).await.expect("a sandbox");
        self
    }

    /// Lets the sandbox's clock go on; the payload.
    pub async fn advance(&self, to: &str) -> Value {
        let query = "mutation($to: DateTime!) { testClockAdvance(input: { to: $to }) {
            account { clockAt } steps arrived userErrors { code message field } } }";
        let response = self.ask(Role::Owner, query, json!({ "to": to })).await;
        assert!(response.get("errors").is_none(), "{response:#}");
        response["data"]["testClockAdvance"].clone()
    }

    /// What the activity of a customer says, oldest first: kind, change of the free and of the held, note of the day.
    pub async fn history(&self, customer: &str) -> Vec<(String, i64, i64, String)> {
        let query = "query($id: ID!) { customer(by: { id: $id }) { activity(last: 100) {
            nodes { kind amount heldAmount at } } } }";
        let data = self.data(query, json!({ "id": customer })).await;
        let nodes = data["customer"]["activity"]["nodes"].as_array().expect("nodes").clone();
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let number = |value: &Value| value.as_i64().expect("a number");
        let line = |n: &Value| (text(&n["kind"]), number(&n["amount"]), number(&n["heldAmount"]), text(&n["at"]));
        nodes.iter().rev().map(line).collect()
    }

    /// The same server, which posts webhooks as another one does.
    pub async fn posting_by(mut self, poster: Poster) -> Self {
        let key = LedgerKey::new(SecretString::from(LEDGER_KEY));
        let store = Store::connect(&self.url, Missing::Refuse, self.clock.clone(), key).await.expect("a database");
        self.app = App::start(store, scrip::gateway::providers(), Arc::new(poster));
        self.client = client(&self.app, &self.tokens);
        self
    }

    /// Runs SQL beside the server, as somebody with the database's password could.
    pub async fn tamper(&self, sql: &str) -> u64 {
        match self.backend {
            Backend::Sqlite => {
                let options =
                    self.url.parse::<sqlx::sqlite::SqliteConnectOptions>().expect("a URL").foreign_keys(false);
                let pool = sqlx::SqlitePool::connect_with(options).await.expect("a connection");
                let done = sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&pool).await.expect(sql).rows_affected();
                pool.close().await;
                done
            }
            Backend::Postgres => {
                let pool = sqlx::PgPool::connect(&self.url).await.expect("a connection");
                let done = sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&pool).await.expect(sql).rows_affected();
                pool.close().await;
                done
            }
        }
    }
}

pub fn tokens() -> Tokens {
    Tokens::new(&SecretString::from(SIGNING_SECRET), "scrip", "scrip")
}

fn client(app: &App, tokens: &Arc<Tokens>) -> Client {
    Client::before(doors(app, tokens, Rules::default()))
}

/// A server on a database, its tables made where they are not.
pub async fn open(url: &str, clock: Arc<dyn Clock>) -> App {
    let key = LedgerKey::new(SecretString::from(LEDGER_KEY));
    // Few, so that every test is one of wallets that are read in part too.
    let store = Store::connect(url, Missing::Create, clock, key).await.expect("a database").with_whole_wallets(4);
    store.migrate().await.expect("migrations");
    let poster = Poster::new(Arc::new(SystemNames), true).expect("a poster");
    App::start(store, scrip::gateway::providers(), Arc::new(poster))
}

pub async fn new_account(app: &App, slug: &str) -> Model {
    let operator = Caller::operator(app.clone(), "tests");
    let new = NewAccount {
        name: "Studio".to_owned(),
        slug: slug.to_owned(),
        time_zone: "Europe/Zurich".to_owned(),
        currency: "CHF".to_owned(),
        mode: Mode::Live,
        clock_at: None,
    };
    accounts::create(&operator, new).await.expect("an account")
}

pub fn at(text: &str) -> Instant {
    text.parse().expect("an instant")
}

/// The codes of a payload's refusals.
pub fn codes(payload: &Value) -> Vec<&str> {
    let errors = payload["userErrors"].as_array().unwrap_or_else(|| panic!("{payload:#}"));
    errors.iter().map(|error| error["code"].as_str().expect("a code")).collect()
}

/// The body of a response as JSON.
pub async fn body(response: Answer) -> Value {
    response.json().await
}
