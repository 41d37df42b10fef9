//! What the database is asked, in the server's own words: every field of the API's roots is called, and no statement
//! that is heard meanwhile walks through an account's rows, but those whose work that is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use scrip::domain::Role;
use scrip::worker;
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::doors::rules::{MUTATIONS, Operator, QUERIES};
use crate::doors::shop::Shop;
use crate::harness::{Backend, House};

/// What is asked beside the fields of the roots: what hangs on them, page by page.
const DEEPER: &[&str] = &[
    r#"{ customer(by: { id: "$ada" }) { balances { available held totals { issued } nextExpiry { at } creditType { name } }
        activity(first: 1) { nodes { id reversedBy { id } allocations { amount grant { id } } hold { id } } pageInfo { endCursor hasNextPage } }
        grants(first: 1) { nodes { id } } holds(first: 1) { nodes { id } } orders(first: 1) { nodes { id lines { quantity } } }
        subscriptions(first: 1) { nodes { id } } enrolments(first: 1) { nodes { id history { id } } } } }"#,
    r#"{ nodes(ids: ["$ada", "$bob"]) { ... on Customer { balances { available } activity(first: 2) { nodes { id } } grants(first: 2) { nodes { id } } } } }"#,
    r#"{ customer(by: { externalId: "crm-7" }) { id } }"#,
    r#"{ customer(by: { email: "ada@example.com" }) { id } }"#,
    r#"{ events(name: "form.sent") { nodes { id } } }"#,
    "{ jobs(dead: true) { nodes { id } } }",
    "{ orders(status: PAID) { nodes { id } } }",
    r#"{ customers(first: 1, tag: "vip") { nodes { id } } }"#,
];

/// Mutations that are refused here, by what the ones before them have left or by what this account is: what they ask
/// before they are refused is heard, and no more.
const REFUSED: &[&str] = &[
    "testClockAdvance",
    "holdRelease",
    "grantExtend",
    "jobRetry",
    "orderMarkPaid",
    "orderFulfil",
    "orderCancel",
    "automationStart",
    "webhookDeliveryRetry",
];

/// Tables of which an account has as many rows as its business has rules: few, whatever is sold.
const FEW: &[&str] = &["api_key", "automation", "event_trigger", "webhook_endpoint"];

/// Statements whose work it is to go through rows of an account, by words of theirs: what is owed is the sum of its
/// grants, and `grantsExtend` goes through them once, page by page.
const WALKS: &[&str] = &["SUM(cost_left)", r#" OR "credit_grant"."held" > "#];

/// Reports of a span of time: PostgreSQL hashes whole tables for them where they fit a page, as here.
const HASHED: &str = r#" JOIN "allocation" "#;

/// What walks, and must be found to.
const CONTROL: [&str; 2] = [
    r#"SELECT * FROM activity WHERE "account_id" = $1 AND reason = $2"#,
    r#"SELECT * FROM activity WHERE "account_id" = $1 AND reason = $2 LIMIT 1"#,
];

/// The statements that a server of this thread has sent.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<BTreeSet<String>>>);

struct Sql<'a>(&'a Heard);

impl Visit for Sql<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "sql" {
            self.0.0.lock().expect("nobody panics while listening").insert(value.to_owned());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

impl<S: tracing::Subscriber> Layer<S> for Heard {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        event.record(&mut Sql(self));
    }
}

/// What a server sends to its database while everything is asked of it.
async fn sent(house: &House) -> BTreeSet<String> {
    let heard = Heard::default();
    let only = Targets::new().with_target("scrip::sql", LevelFilter::TRACE);
    let subscriber = tracing_subscriber::registry().with(heard.clone().with_filter(only));
    let listening = tracing::subscriber::set_default(subscriber);
    let shop = Shop::subscribed(house).await;
    let owner = house.token(Role::Owner);
    let ask = async |text: String| {
        let answer = house.ask_with(Some(&owner), &text, json!({})).await.1;
        assert!(answer.get("errors").is_none(), "{text}\n{answer:#}");
    };
    for (name, _, arguments, fields) in QUERIES {
        ask(shop.with_ids(&format!("{{ {name}{arguments} {fields} }}"))).await;
    }
    for text in DEEPER {
        ask(shop.with_ids(text)).await;
    }
    let mut refused = Vec::new();
    for (name, .., template) in MUTATIONS.iter().filter(|rule| rule.1 != Operator) {
        let text = crate::doors::isolation::mutation(name);
        let answer = house.ask_with(Some(&owner), &text, json!({ "input": shop.filled(template) })).await.1;
        assert!(answer.get("errors").is_none(), "{name}: {answer}");
        if answer["data"][name]["userErrors"] != json!([]) {
            refused.push(*name);
        }
        while worker::round(&house.app).await.expect("a round") > 0 {}
    }
    drop(listening);
    assert_eq!(refused, REFUSED);
    let heard = heard.0.lock().expect("nobody panics while listening");
    heard.clone()
}

/// Whether a plan may be long: a statement that is known for it.
fn may_walk(sql: &str) -> bool {
    WALKS.iter().any(|words| sql.contains(words))
}

/// Whether it asks for some of all rows of an account in an order: that stops after so many, if an index has the order.
fn is_page(sql: &str) -> bool {
    let all = sql.matches(" = $").count() + sql.matches(" = ?").count();
    let of_account = sql.matches("\"account_id\" = $").count() + sql.matches("\"account_id\" = ?").count();
    sql.contains(" ORDER BY ") && sql.contains(" LIMIT ") && all == of_account
}

/// Nothing walks, but for what must be found to.
fn assert_only_control(found: &[String]) {
    let (control, wrong): (Vec<_>, Vec<_>) =
        found.iter().partition(|found| CONTROL.iter().any(|control| found.starts_with(control)));
    assert_eq!(control.len(), CONTROL.len(), "a walk was not found");
    let wrong = wrong.into_iter().map(String::as_str).collect::<Vec<_>>();
    assert!(wrong.is_empty(), "{} statements walk:\n{}", wrong.len(), wrong.join("\n"));
}

/// Those that read or change rows that are there.
fn finds_rows(sql: &&str) -> bool {
    ["SELECT", "UPDATE", "DELETE", "WITH"].iter().any(|verb| sql.starts_with(verb))
}

#[tokio::test]
async fn none_walks_through_an_account_on_sqlite() {
    let house = House::new(Backend::Sqlite).await;
    let sent = sent(&house).await;
    assert!(sent.len() > 150, "only {} were heard", sent.len());
    let pool = sqlx::SqlitePool::connect(&house.url).await.expect("a connection");
    let tables: Vec<String> = sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'table'")
        .fetch_all(&pool)
        .await
        .expect("tables");
    let mut wrong = Vec::new();
    for sql in sent.iter().map(String::as_str).filter(finds_rows).chain(CONTROL) {
        let explain = format!("EXPLAIN QUERY PLAN {sql}");
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(sqlx::AssertSqlSafe(explain)).fetch_all(&pool).await.expect(sql);
        let steps = plan.into_iter().map(|(.., step)| step).collect::<Vec<_>>();
        let page = is_page(sql) && !steps.iter().any(|step| step.contains("TEMP B-TREE FOR ORDER BY"));
        let walks = |step: &str| {
            let (verb, rest) = step.split_once(' ').unwrap_or_default();
            let table = rest.split(' ').next().unwrap_or_default().to_owned();
            let alone = step.contains("(account_id=?)") || !step.contains('(');
            (verb == "SCAN" || verb == "SEARCH" && alone && !page)
                && tables.contains(&table)
                && !FEW.contains(&table.as_str())
        };
        if steps.iter().any(|step| walks(step)) && !may_walk(sql) {
            wrong.push(format!("{sql}\n  {}", steps.join("\n  ")));
        }
    }
    pool.close().await;
    assert_only_control(&wrong);
}

/// A statement with the types of its arrays, which the server's driver tells with them: of keys those of their columns.
fn typed(sql: &str, types: &BTreeMap<String, String>) -> String {
    let Some((before, rest)) = sql.split_once("unnest(") else { return sql.to_owned() };
    let (arrays, after) = rest.split_once(')').expect("it is closed");
    let types = match before.strip_suffix(" IN (SELECT * FROM ") {
        Some(before) => {
            let keys = before.rsplit_once('(').expect("keys").1.trim_end_matches(')');
            keys.split(", ").map(|key| types[key].as_str()).collect()
        }
        None if after.starts_with(" AS keys(key, ") => vec!["uuid", "integer"],
        None => panic!("{sql}"),
    };
    let arrays = arrays.split(", ").zip(types).map(|(array, kind)| format!("{array}::{kind}[]")).collect::<Vec<_>>();
    format!("{before}unnest({}){after}", arrays.join(", "))
}

#[cfg_attr(not(postgres), ignore = "there is no PostgreSQL: install initdb, or set TEST_POSTGRES_URL")]
#[tokio::test]
async fn none_walks_through_an_account_on_postgresql() {
    let house = House::new(Backend::Postgres).await;
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(1).connect(&house.url).await.expect("a connection");
    let run = async |sql: String| sqlx::raw_sql(sqlx::AssertSqlSafe(sql.clone())).fetch_all(&pool).await.expect(&sql);
    let is_superuser: bool = sqlx::query_scalar("SELECT usesuper FROM pg_user WHERE usename = current_user")
        .fetch_one(&pool)
        .await
        .expect("a user");
    assert!(is_superuser, "only a superuser may make up statistics: TEST_POSTGRES_URL must name one");
    // Nobody may look meanwhile how many rows there are.
    run("DO $$ DECLARE t regclass; BEGIN
        FOR t IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace LOOP
            EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', t);
        END LOOP; END $$"
        .to_owned())
    .await;
    let sent = sent(&house).await;
    assert!(sent.len() > 150, "only {} were heard", sent.len());
    // It plans as if there were a million rows on each page of a table: few tables have more than one here.
    run("DELETE FROM pg_statistic WHERE starelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)".to_owned()).await;
    run("UPDATE pg_class SET reltuples = 1000000, relpages = 1 WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace".to_owned()).await;
    run("SET enable_seqscan = off".to_owned()).await;
    run("SET plan_cache_mode = force_generic_plan".to_owned()).await;
    let columns = "SELECT format('\"%s\".\"%s\"', table_name, column_name), udt_name::text FROM information_schema.columns WHERE table_schema = 'public'";
    let types: Vec<(String, String)> = sqlx::query_as(columns).fetch_all(&pool).await.expect("columns");
    let types = types.into_iter().collect::<BTreeMap<_, _>>();
    let mut wrong = Vec::new();
    // What is changed in sets, is found by its whole key (tests/architecture/plans.rs).
    let sets = |sql: &&str| sql.starts_with("UPDATE") && sql.contains("unnest(");
    let finding = sent.iter().map(String::as_str).filter(finds_rows).filter(|sql| !sets(sql));
    for (number, sql) in finding.chain(CONTROL).enumerate() {
        run(format!("PREPARE q{number} AS {}", typed(sql, &types))).await;
        let places =
            (1..100).take_while(|place| sql.contains(&format!("${place}"))).map(|_| "NULL").collect::<Vec<_>>();
        let arguments = if places.is_empty() { String::new() } else { format!("({})", places.join(", ")) };
        let rows = run(format!("EXPLAIN EXECUTE q{number}{arguments}")).await;
        let plan = rows.iter().map(|row| sqlx::Row::get::<String, _>(row, 0)).collect::<Vec<_>>();
        let has = |word: &str| plan.iter().any(|step| step.contains(word));
        let page = is_page(sql) && !has("Sort  (");
        let walks = (0..plan.len()).any(|at| {
            let step = &plan[at];
            let found = plan.get(at + 1).and_then(|next| next.split_once("Cond: ")).map(|(_, found)| found);
            let alone = found.is_none_or(|found| !found.contains(" AND ") && found.starts_with("(account_id"));
            let few = FEW.iter().any(|table| step.contains(&format!(" on {table} ")));
            (step.contains("Seq Scan on ") || step.contains("Index") && step.contains(" Scan ") && alone && !page)
                && !few
        });
        if walks && !may_walk(sql) && !sql.contains(HASHED) {
            wrong.push(format!("{sql}\n  {}", plan.join("\n  ")));
        }
    }
    pool.close().await;
    assert_only_control(&wrong);
}
