//! Nobody is starved, nothing runs on: reads that never end by themselves, as an attacker or a bad day makes them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use scrip::domain::{Caller, Role, Scope};
use scrip::http::Rules;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::doors::operation::{SECRETS, issue, studio};
use crate::flow::live::{Client, served_by};
use crate::harness::server::Server;
use crate::harness::{Backend, House};
use crate::on_both;

/// How long something may take that takes moments.
const SOON: Duration = Duration::from_secs(10);

/// A search, in words that nobody has used before.
fn search(number: usize) -> String {
    format!("{{ s{number}: customers(search: \"ada\") {{ nodes {{ id }} }} }}")
}

const BALANCES: &str = "query($id: ID!) { customer(by: { id: $id }) { balances { available } } }";

/// What makes a search that never ends by itself: on SQLite it computes, on PostgreSQL it sleeps.
fn endless(backend: Backend) -> [&'static str; 2] {
    let kept = "ALTER TABLE customer_term RENAME TO customer_term_kept";
    match backend {
        Backend::Sqlite => [
            kept,
            "CREATE VIEW customer_term AS
                WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000000)
                SELECT account_id, customer_id, term FROM customer_term_kept WHERE (SELECT count(*) FROM n) < 0",
        ],
        Backend::Postgres => [
            kept,
            "CREATE VIEW customer_term AS SELECT account_id, customer_id, term FROM customer_term_kept
                WHERE (SELECT pg_sleep(3600) IS NULL)",
        ],
    }
}

impl House {
    /// From now on a search never ends.
    async fn search_for_ever(&self) {
        for sql in endless(self.backend) {
            self.tamper(sql).await;
        }
    }

    /// Waits until nobody reads.
    async fn at_rest(&self) {
        let began = Instant::now();
        while self.app.left().connections > 0 {
            assert!(began.elapsed() < SOON, "somebody reads for whom nobody waits");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

on_both! {
    /// Who hangs up takes its read along, and so does who closes a socket or an export.
    async fn what_nobody_waits_for_is_ended(house: House) {
        let ada = house.customer("Ada").await;
        house.search_for_ever().await;
        for number in 0..3 {
            let (query, hang_up) = (search(number), Duration::from_millis(300));
            assert!(tokio::time::timeout(hang_up, house.ask(Role::Staff, &query, json!({}))).await.is_err());
            house.at_rest().await;
        }
        let served = served_by(&house, &house.app, Rules::default()).await;
        let mut socket = Client::signed_in(&served.address, &house.token(Role::Staff)).await;
        socket.subscribe("one", &search(4), json!({})).await;
        assert!(tokio::time::timeout(Duration::from_millis(300), socket.try_next()).await.is_err());
        drop(socket);
        house.at_rest().await;
        served.stop.cancel();
        served.task.await.expect("it ends");
        // The connections are as good as new.
        let asked = (0..16).map(|_| house.data(BALANCES, json!({ "id": ada })));
        assert!(join_all(asked).await.iter().all(|answer| answer["customer"]["balances"] == json!([])));
    }

    /// One of staff asks for as much as it can, in words that nobody knows yet: others are answered meanwhile, and its own
    /// short questions too.
    async fn who_reads_much_leaves_room_for_others(house: House) {
        let ada = house.customer("Ada").await;
        house.search_for_ever().await;
        let token = house.tokens.make(Some(house.account.id), Role::Owner, "mallory", Duration::from_mins(5)).expect("a token");
        let questions = (0..24).map(search).collect::<Vec<_>>();
        let attack = join_all(questions.iter().map(|query| house.ask_with(Some(&token), query, json!({}))));
        let others = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            for _ in 0..20 {
                assert_eq!(house.data(BALANCES, json!({ "id": ada })).await["customer"]["balances"], json!([]));
            }
            let (_, own) = house.ask_with(Some(&token), BALANCES, json!({ "id": ada })).await;
            assert_eq!(own["data"]["customer"]["balances"], json!([]), "{own}");
        };
        tokio::select! {
            _ = attack => panic!("the searches ended"),
            () = others => {}
        }
        house.at_rest().await;
    }

    /// A turn to read much is given back, and the next one has it.
    async fn turns_to_read_much_go_round(house: House) {
        let gone = CancellationToken::new();
        let caller = |name: &str| {
            Caller::of(house.app.clone(), house.account.id, Role::Staff, name).waited_for(gone.clone())
        };
        let one = caller("one").at_length().await.expect("a turn");
        let other = caller("other").at_length().await.expect("another turn");
        let soon = Duration::from_millis(100);
        let third = caller("third").at_length();
        let mut third = std::pin::pin!(third);
        assert!(tokio::time::timeout(soon, &mut third).await.is_err(), "two read much already");
        drop(one);
        let third = third.await.expect("one is free");
        drop(third);
        let fourth = caller("other").at_length();
        let mut fourth = std::pin::pin!(fourth);
        assert!(tokio::time::timeout(soon, &mut fourth).await.is_err(), "one at a time for each");
        drop(other);
        let fourth = fourth.await.expect("its own is free");
        fourth.view(Scope::StaffRead).await.expect("a connection").lengthen().await.expect("it has its turn");
        let fifth = caller("fifth").comes_again().view(Scope::StaffRead).await.expect("a connection");
        assert!(fifth.lengthen().await.is_err(), "it has a connection and no turn: it comes again");
        gone.cancel();
        assert!(caller("late").view(Scope::StaffRead).await.is_err(), "nobody waits for it");
    }
}

/// Asked to stop while somebody waits for a read that does not end: the read is ended in time, and so is the server.
#[tokio::test]
async fn a_read_that_does_not_end_does_not_keep_the_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = studio(folder.path());
    let server = Server::start(folder.path(), &["serve"], &SECRETS);
    issue(&server, &token);
    assert!(server.stop());
    let path = folder.path().join("scrip.db");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite:{}", path.display())).await.expect("the database");
    for sql in endless(Backend::Sqlite) {
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&pool).await.expect(sql);
    }
    pool.close().await;
    let server = Server::start(folder.path(), &["serve"], &SECRETS);
    let mut waits = TcpStream::connect(&server.address).expect("a connection");
    let body = json!({ "query": search(0) }).to_string();
    let request = format!(
        "POST /graphql HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n{body}",
        server.address,
        body.len()
    );
    waits.write_all(request.as_bytes()).expect("asked");
    std::thread::sleep(Duration::from_millis(500));
    assert!(server.stop(), "it ends well, and by itself");
    let mut rest = Vec::new();
    drop(waits.read_to_end(&mut rest));
    assert!(!String::from_utf8_lossy(&rest).contains("\"nodes\""));
}

/// A line to PostgreSQL that can be cut without anybody being told, as a switch between does that lost its power.
struct Line {
    folder: tempfile::TempDir,
    cut: CancellationToken,
}

impl Line {
    /// To the server whose socket is in a folder.
    fn to(real: &str) -> Self {
        let (folder, cut) = (tempfile::tempdir().expect("a folder"), CancellationToken::new());
        let name = ".s.PGSQL.5432";
        let listener = tokio::net::UnixListener::bind(folder.path().join(name)).expect("a socket");
        let (there, silent) = (std::path::Path::new(real).join(name), cut.clone());
        tokio::spawn(async move {
            while let Ok((mut here, _)) = listener.accept().await {
                let mut there = tokio::net::UnixStream::connect(&there).await.expect("PostgreSQL");
                // Those that come once it is cut have another way.
                let silent = if silent.is_cancelled() { CancellationToken::new() } else { silent.clone() };
                tokio::spawn(async move {
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut here, &mut there) => {}
                        () = silent.cancelled() => std::future::pending().await,
                    }
                });
            }
        });
        Self { folder, cut }
    }
}

/// The network loses what was said, and says nothing: whoever waits hears so, the connections are given up, and the server
/// answers again by others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg_attr(not(postgres), ignore = "there is no PostgreSQL: install initdb, or set TEST_POSTGRES_URL")]
async fn connections_that_do_not_come_back_are_given_up() {
    let near = House::new(Backend::Postgres).await;
    let ada = near.customer("Ada").await;
    let Some((_, real)) = near.url.split_once("?host=") else { panic!("its socket is in a folder: {}", near.url) };
    let line = Line::to(real);
    let url = near.url.replace(real, &line.folder.path().display().to_string());
    let far = House::found(Backend::Postgres, url, "studio").await;
    let ask = || far.ask(Role::Staff, BALANCES, json!({ "id": ada }));
    assert_eq!(ask().await["data"]["customer"]["balances"], json!([]));
    far.at_rest().await;
    line.cut.cancel();
    let late = join_all((0..8).map(|_| tokio::time::timeout(Duration::from_millis(500), ask()))).await;
    assert!(late.iter().any(Result::is_err), "somebody asks by a connection that is dead");
    // Each dead one is met, and given up.
    let began = Instant::now();
    while ask().await.get("errors").is_some() || far.app.left().connections > 0 {
        assert!(began.elapsed() < Duration::from_mins(1), "the server does not answer again");
    }
    assert!(far.app.store().ping().await.is_ok());
}

/// What is said after a request in raw bytes, and whether the connection was closed then.
fn said(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(SOON)).expect("a limit");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    // Ends only once the server closes.
    stream.read_to_end(&mut answer).expect("it is closed");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_lengths_are_a_contradiction_and_the_connection_ends() {
    let house = House::new(Backend::Sqlite).await;
    let served = served_by(&house, &house.app, Rules::default()).await;
    let body = r#"{"query":"{ __typename }"}"#;
    let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let head = "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    for lengths in
        ["Content-Length: 4\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 4"]
    {
        let address = served.address.clone();
        let request = format!("{head}{lengths}\r\n\r\n{chunk}GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let answer = tokio::task::spawn_blocking(move || said(&address, &request)).await.expect("said");
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "nothing more is answered: {answer}");
    }
    // Each alone is fine, and a body may say the words.
    let words = r#"{"query":"{ __typename }","extensions":{"a":"\r\nContent-Length: 1"}}"#;
    for (lengths, sent) in [
        ("Transfer-Encoding: chunked".to_owned(), chunk.clone()),
        (format!("Content-Length: {}", words.len()), words.to_owned()),
    ] {
        let address = served.address.clone();
        let request = format!("{head}Connection: close\r\n{lengths}\r\n\r\n{sent}");
        let answer = tokio::task::spawn_blocking(move || said(&address, &request)).await.expect("said");
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"Query\""), "{answer}");
    }
    let address = served.address.clone();
    let request = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let answer = tokio::task::spawn_blocking(move || said(&address, request)).await.expect("said");
    assert!(answer.starts_with("HTTP/1.1 404 ") && answer.contains("/graphql"), "{answer}");
}

/// A point for each 256 bytes, whatever they are: who has none left is told before they are taken in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_are_paid_for() {
    let house = House::new(Backend::Sqlite).await.behind(Rules { per_caller: 1, ..Rules::default() });
    let token = house.token(Role::Staff);
    let text = "x".repeat(250_000);
    let mut answered = 0;
    loop {
        let (status, answer) = house.ask_with(Some(&token), "{ __typename }", json!({ "text": text })).await;
        if status == 429 {
            assert_eq!(answer["errors"][0]["extensions"]["code"], "RATE_LIMITED");
            break;
        }
        answered += 1;
        assert!(answered < 30, "250,000 bytes cost 977 points of 20,000");
    }
    assert!(answered > 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signs_of_life_are_paid_for_too() {
    let house = House::new(Backend::Sqlite).await;
    let served = served_by(&house, &house.app, Rules { per_stranger: 5, ..Rules::default() }).await;
    let mut socket = Client::open(&served.address).await;
    let mut heard = 0;
    while heard < 100 && socket.try_say(json!({ "type": "ping" })).await && socket.try_next().await.is_some() {
        heard += 1;
    }
    assert!((40..=60).contains(&heard), "{heard} of 100 were answered");
}

/// What is asked comes back in no answer at length: not as a value, a name, an alias, a type, an id or an operation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_texts_come_back_short() {
    let house = House::new(Backend::Sqlite).await;
    let token = house.token(Role::Owner);
    let long = "x".repeat(100_000);
    let quotes = "\\\"".repeat(50_000);
    let bodies = [
        json!({ "query": format!("{{ {long} }}") }),
        json!({ "query": format!("{{ {long}: nothing }}") }),
        json!({ "query": format!("{{ {long}: account {{ id }} }}") }),
        json!({ "query": format!("{{ account({long}: 1) {{ id }} }}") }),
        json!({ "query": format!("query(${long}: Int!) {{ __typename }}") }),
        json!({ "query": format!("query($a: {long}) {{ __typename }}") }),
        json!({ "query": format!("{{ node(id: \"{quotes}\") {{ id }} }}") }),
        json!({ "query": format!("{{ ...{long} }}") }),
        json!({ "query": format!("{{ account {{ id }} \"{quotes}\" }}") }),
        json!({ "query": "{ __typename }", "operationName": long }),
        json!({ "query": 1, "variables": long }),
        json!({ "documentId": long }),
        json!({ "query": "query($a: Int!) { customers(first: $a) { nodes { id } } }", "variables": { "a": long } }),
        json!({ "query": format!("mutation {{ accountUpdate(input: {{ paymentProvider: \"{long}\" }}) {{ userErrors {{ message field }} }} }}") }),
        json!({ "query": format!("mutation {{ accountUpdate(input: {{ {long}: 1 }}) {{ userErrors {{ message }} }} }}") }),
        json!({ "query": format!("mutation {{ accountUpdate(input: {{ timeZone: \"{long}\" }}) {{ userErrors {{ message }} }} }}") }),
        json!({ "query": (0..50).map(|n| format!("a{n}: {}", "y".repeat(2_000))).collect::<Vec<_>>().join(" ") }),
        json!({ "query": format!("{{ {} }}", (0..49).map(|n| format!("a{n}: {}", "y".repeat(2_000))).collect::<Vec<_>>().join(" ")) }),
    ];
    for body in bodies {
        let asked = house.client().post("/graphql").header("authorization", format!("Bearer {token}")).body_json(&body);
        let answer: Value = asked.send().await.json().await;
        let length = answer.to_string().len();
        let (asked, told) = (body.to_string(), answer.to_string());
        assert!(length < 12_000, "{length} bytes of answer to {}…: {}…", &asked[..60], &told[told.len() - 300..]);
    }
}

/// A plan that was made while a table was empty, as those that check foreign keys are, goes by an index in which all rows of an
/// account are found, and stays as it grows; once the database looked at the table, it goes by the key.
#[tokio::test]
#[cfg_attr(not(postgres), ignore = "there is no PostgreSQL: install initdb, or set TEST_POSTGRES_URL")]
async fn postgres_looks_at_tables_that_have_grown() {
    let house = House::new(Backend::Postgres).await;
    let grow = |from: u32, to: u32| {
        format!(
            "INSERT INTO customer (account_id, id, name, metadata, created_at, updated_at)
             SELECT '{}', gen_random_uuid(), 'Customer ' || n, '{{}}', now(), now() FROM generate_series({from}, {to}) n",
            house.account.id.0
        )
    };
    house.tamper("ALTER TABLE customer SET (autovacuum_enabled = off)").await;
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(1).connect(&house.url).await.expect("a connection");
    // As the foreign key of allocations asks.
    let asked = "SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan;
        PREPARE is_there(uuid, uuid) AS SELECT 1 FROM ONLY activity WHERE account_id = $1 AND id = $2 FOR KEY SHARE";
    sqlx::raw_sql(asked).execute(&pool).await.expect("prepared");
    let plan = async || {
        let nobody = uuid::Uuid::nil();
        let asked = format!("EXPLAIN EXECUTE is_there('{nobody}', '{nobody}')");
        let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(asked)).fetch_all(&pool).await.expect("a plan");
        rows.iter().map(|row| sqlx::Row::get::<String, _>(row, 0)).collect::<Vec<_>>().join("\n")
    };
    plan().await;
    let (ada, class) = (house.customer("Ada").await, house.credit_type("Class", json!({ "never": true })).await);
    let issued = (0..100).map(|_| house.issue(json!({ "customerId": ada, "creditTypeId": class, "amount": 1 })));
    join_all(issued).await;
    house.tamper(&grow(1, 2_000)).await;
    let before = plan().await;
    assert!(!before.contains("activity_pkey"), "PostgreSQL finds the key by itself, and needs no help: {before}");
    // Others write meanwhile, as the log of who did what: what counts is what is known of this table.
    let look = async || {
        house.app.store().look_at_grown_tables().await.expect("looked");
        let known = sqlx::query_scalar::<_, f32>("SELECT reltuples FROM pg_class WHERE oid = 'customer'::regclass");
        known.fetch_one(&pool).await.expect("what is known")
    };
    assert!((2_000.0..2_100.0).contains(&look().await));
    let after = plan().await;
    assert!(after.contains("activity_pkey"), "{after}");
    house.tamper(&grow(2_001, 4_000)).await;
    assert!(look().await < 2_100.0, "twice as much is planned alike");
    house.tamper(&grow(4_001, 12_000)).await;
    assert!(look().await >= 12_000.0, "more than four times as much is looked at anew");
}
