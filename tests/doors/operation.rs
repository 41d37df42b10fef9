//! What the person on call sees: metrics, health, doctor, backup and restore; and doors that hold against slow clients.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::server::{Server, ask, free_address, run, said, scrip};

pub const SECRETS: [(&str, &str); 3] = [
    ("SCRIP_DATABASE_URL", "sqlite:scrip.db"),
    ("SCRIP_SIGNING_SECRET", "a signing secret for tests, 32 bytes"),
    ("SCRIP_LEDGER_KEY", "a ledger key for tests of 32 bytes!"),
];

/// A folder with a database and an account in it; the owner's token.
pub fn studio(folder: &Path) -> String {
    assert!(run(folder, &["migrate"], &SECRETS).status.success());
    let create =
        ["account", "create", "--name", "Studio", "--slug", "studio", "--time-zone", "UTC", "--currency", "CHF"];
    let output = run(folder, &create, &SECRETS);
    let text = said(&output);
    text.lines().find(|line| line.starts_with("ey")).unwrap_or_else(|| panic!("{text}")).to_owned()
}

pub fn issue(server: &Server, token: &str) {
    let ask = |query: &str, input: Value| {
        let (status, answer) = server.ask(Some(token), query, &json!({ "input": input }));
        assert!(status == 200 && answer.get("errors").is_none(), "{answer}");
        answer["data"].clone()
    };
    let customer = ask(
        "mutation($input: CustomerCreateInput!) { made: customerCreate(input: $input) { customer { id } } }",
        json!({ "name": "Ada", "email": "ada@example.com" }),
    )["made"]["customer"]["id"]
        .clone();
    let credit_type = ask(
        "mutation($input: CreditTypeCreateInput!) { made: creditTypeCreate(input: $input) { creditType { id } } }",
        json!({ "name": "Session", "expiration": { "never": true } }),
    )["made"]["creditType"]["id"]
        .clone();
    ask(
        "mutation($input: CreditsIssueInput!) { creditsIssue(input: $input) { grant { id } } }",
        json!({ "customerId": customer, "creditTypeId": credit_type, "amount": 5, "note": "A private matter", "idempotencyKey": "k" }),
    );
}

fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("a connection");
    // It may have answered and hung up before it was asked.
    drop(write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"));
    let mut text = String::new();
    drop(stream.read_to_string(&mut text));
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, text)
}

#[test]
fn what_there_is_to_be_measured_has_an_address_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let owner = studio(folder.path());
    let metrics = free_address();
    let settings = [&SECRETS[..], &[("SCRIP_METRICS_LISTEN", metrics.as_str())]].concat();
    let server = Server::start(folder.path(), &["serve"], &settings);
    issue(&server, &owner);
    server.ask(Some("nonsense"), "{ __typename }", &json!({}));
    let (status, text) = get(&metrics, "/metrics");
    assert_eq!(status, 200);
    for line in [
        "scrip_requests_total{path=\"/graphql\",status=\"2xx\"}",
        "scrip_operations_total{kind=\"mutation\",outcome=\"answered\"}",
        "scrip_mutations_total{mutation=\"creditsIssue\",outcome=\"done\"} 1",
        "scrip_errors_total{code=\"UNAUTHENTICATED\"} 1",
        "scrip_ledger_batch_commands_bucket{le=\"1\"} 1",
        "scrip_ledger_commit_seconds_count 1",
        "scrip_ledger_waiting 0",
        "scrip_pool_connections{pool=\"write\",state=\"all\"} 1",
        "scrip_job_age_seconds ",
        "# HELP scrip_errors_total",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    for personal in ["Ada", "ada@", "private", "studio", &owner] {
        assert!(!text.contains(personal), "{personal}");
    }
    // It is not at the API's address, nor the API at its.
    assert_eq!(server.get("/metrics", "localhost").0, 404);
    assert_eq!(get(&metrics, "/graphql").0, 404);
    assert!(server.stop());
}

#[test]
fn logs_are_lines_of_json_without_secrets_or_variables() {
    let folder = tempfile::tempdir().expect("a folder");
    let owner = studio(folder.path());
    let address = free_address();
    let settings = [&SECRETS[..], &[("SCRIP_LOG", "debug")]].concat();
    let mut command = scrip(folder.path(), &["serve", "--listen", &address], &settings);
    let log = std::fs::File::create(folder.path().join("log")).expect("a file");
    let mut child = command.stderr(log).spawn().expect("the program runs");
    for _ in 0..200 {
        if TcpStream::connect(&address).is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let create = "mutation($input: CustomerCreateInput!) { customerCreate(input: $input) { customer { id } } }";
    let input = json!({ "input": { "name": "Ada Lovelace", "email": "ada@example.com", "metadata": { "x": "hush" } } });
    let (status, _) = ask(&address, Some(&owner), create, &input).expect("an answer");
    assert_eq!(status, 200);
    ask(&address, Some(&format!("{owner}x")), create, &input).expect("an answer");
    drop(std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status());
    assert!(child.wait().expect("it ends").success());
    let log = std::fs::read_to_string(folder.path().join("log")).expect("the log");
    let lines =
        log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("no JSON: {line}")));
    let answered = lines.filter(|line| line["message"] == "answered").collect::<Vec<_>>();
    assert!(answered.iter().all(|line| line["request_id"].as_str().is_some_and(|id| id.len() == 32)), "{answered:?}");
    assert!(answered.len() >= 2);
    for secret in ["Ada", "ada@example.com", "hush", &owner, SECRETS[1].1, SECRETS[2].1] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[test]
fn who_is_asked_to_stop_says_so_before_it_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    studio(folder.path());
    let settings = [&SECRETS[..], &[("SCRIP_DRAIN_SECONDS", "3")]].concat();
    let server = Server::start(folder.path(), &["serve"], &settings);
    assert_eq!(server.get("/health/ready", "localhost").0, 200);
    let asked = Instant::now();
    assert!(
        std::process::Command::new("kill").args(["-TERM", &server.id().to_string()]).status().expect("kill").success()
    );
    let mut ready = 200;
    while ready == 200 && asked.elapsed() < Duration::from_secs(2) {
        ready = server.get("/health/ready", "localhost").0;
    }
    assert_eq!(ready, 503);
    assert_eq!(server.get("/health/live", "localhost").0, 200);
    // Who comes meanwhile is served.
    assert_eq!(server.ask(None, "{ __typename }", &json!({})).0, 200);
    assert!(server.ended_well());
    assert!(asked.elapsed() >= Duration::from_secs(3));
}

#[test]
fn slow_heads_and_too_many_connections_keep_nobody_out_for_long() {
    let folder = tempfile::tempdir().expect("a folder");
    studio(folder.path());
    let settings = [&SECRETS[..], &[("SCRIP_MAX_CONNECTIONS", "20")]].concat();
    let server = Server::start(folder.path(), &["serve"], &settings);
    // Twenty that begin a head and never end it take all places.
    let mut slow = (0..20)
        .map(|_| {
            let mut stream = TcpStream::connect(&server.address).expect("a connection");
            stream.write_all(b"POST /graphql HTTP/1.1\r\nHost: x\r\n").expect("sent");
            stream
        })
        .collect::<Vec<_>>();
    let taken = Instant::now();
    let (text, answered_in) = loop {
        let asked = Instant::now();
        let (status, text) = get(&server.address, "/health/live");
        if status == 503 {
            break (text, asked.elapsed());
        }
        assert!(status == 200 && taken.elapsed() < Duration::from_secs(5), "nobody is turned away: {text}");
    };
    assert!(text.contains("Retry-After: 1") && answered_in < Duration::from_secs(1));
    // A byte now and then does not keep a place: after half a minute they are out, and others in.
    let began = Instant::now();
    let mut alive = true;
    while alive && began.elapsed() < Duration::from_secs(40) {
        std::thread::sleep(Duration::from_secs(2));
        for stream in &mut slow {
            drop(stream.write_all(b"X: y\r\n"));
        }
        alive = get(&server.address, "/health/live").0 != 200;
    }
    assert!(!alive, "they still keep everybody out");
    assert!(server.stop());
}

#[test]
fn a_backup_of_a_running_server_is_restored_and_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let owner = studio(folder.path());
    let server = Server::start(folder.path(), &["serve"], &SECRETS);
    issue(&server, &owner);
    let output = run(folder.path(), &["backup", "copy.db"], &SECRETS);
    assert!(output.status.success() && said(&output).contains("checked"), "{}", said(&output));
    assert_private(&folder.path().join("copy.db"));
    // A second one does not overwrite the first, and what comes after is not in it.
    assert!(!run(folder.path(), &["backup", "copy.db"], &SECRETS).status.success());
    let later = "mutation { customerCreate(input: { name: \"Later\" }) { customer { id } } }";
    assert_eq!(server.ask(Some(&owner), later, &json!({})).0, 200);
    assert!(server.stop());
    let restore = ["restore", "copy.db"];
    let refused = run(folder.path(), &restore, &SECRETS);
    assert!(!refused.status.success() && said(&refused).contains("is there already"), "{}", said(&refused));
    for end in ["", "-wal", "-shm"] {
        drop(std::fs::remove_file(folder.path().join(format!("scrip.db{end}"))));
    }
    // With another key nobody can go on with this ledger: it is said before anything is put in place.
    let other_key = [SECRETS[0], SECRETS[1], ("SCRIP_LEDGER_KEY", "another ledger key of thirty-two bytes")];
    assert!(!run(folder.path(), &restore, &other_key).status.success());
    assert!(!folder.path().join("scrip.db").exists());
    // Also where others may read the copy, they do not read the database.
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(folder.path().join("copy.db"), readable).expect("its owner's");
    let output = run(folder.path(), &restore, &SECRETS);
    assert!(output.status.success() && said(&output).contains("restored and verified"), "{}", said(&output));
    assert_private(&folder.path().join("scrip.db"));
    let server = Server::start(folder.path(), &["serve"], &SECRETS);
    let (_, answer) = server.ask(Some(&owner), "{ customers { nodes { name balances { available } } } }", &json!({}));
    assert_eq!(answer["data"]["customers"]["nodes"], json!([{ "name": "Ada", "balances": [{ "available": 5 }] }]));
    assert!(server.stop());
    // A damaged copy is not put in place.
    let mut bytes = std::fs::read(folder.path().join("copy.db")).expect("the copy");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(7);
    std::fs::write(folder.path().join("damaged.db"), bytes).expect("a file");
    std::fs::rename(folder.path().join("scrip.db"), folder.path().join("away.db")).expect("moved");
    for end in ["-wal", "-shm"] {
        drop(std::fs::remove_file(folder.path().join(format!("scrip.db{end}"))));
    }
    let refused = run(folder.path(), &["restore", "damaged.db"], &SECRETS);
    assert!(!refused.status.success() && !folder.path().join("scrip.db").exists(), "{}", said(&refused));
    // Nor is one in which somebody has planted something.
    std::fs::copy(folder.path().join("copy.db"), folder.path().join("planted.db")).expect("a copy");
    let planted = "CREATE TRIGGER planted AFTER INSERT ON activity BEGIN UPDATE wallet SET balance = 1; END";
    alter(&folder.path().join("planted.db"), planted);
    let refused = run(folder.path(), &["restore", "planted.db"], &SECRETS);
    assert!(!refused.status.success() && !folder.path().join("scrip.db").exists(), "{}", said(&refused));
    assert!(said(&refused).contains("trigger activity.planted"), "{}", said(&refused));
}

/// Runs SQL on a database as somebody who has its file could.
fn alter(file: &Path, sql: &'static str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let pool = sqlx::SqlitePool::connect(&format!("sqlite:{}", file.display())).await.expect("a connection");
        sqlx::query(sql).execute(&pool).await.expect(sql);
        pool.close().await;
    });
}

fn assert_private(file: &Path) {
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().expect("a file").permissions());
    assert_eq!(mode & 0o077, 0, "others may read {}", file.display());
}

#[test]
fn the_doctor_finds_what_is_wrong_and_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let doctor = |settings: &[(&str, &str)]| {
        let output = run(path, &["doctor"], settings);
        (output.status.success(), said(&output))
    };
    let with = |name: &'static str, value: &'static str| [&SECRETS[..], &[(name, value)]].concat();
    let (well, text) = doctor(&SECRETS[..1]);
    assert!(!well && text.contains("signing_secret is not set") && text.contains("openssl rand"), "{text}");
    let (well, text) = doctor(&SECRETS);
    assert!(!well && text.contains("scrip migrate"), "{text}");
    let owner = studio(path);
    let server = Server::start(path, &["serve"], &SECRETS);
    issue(&server, &owner);
    assert!(server.stop());
    let (well, text) = doctor(&SECRETS);
    assert!(well && text.contains("Ready to serve.") && text.contains("1 wallets of 1 account(s)"), "{text}");
    alter(&path.join("scrip.db"), "CREATE VIEW planted AS SELECT * FROM customer");
    let (well, text) = doctor(&SECRETS);
    assert!(!well && text.contains("no migration makes: view planted"), "{text}");
    alter(&path.join("scrip.db"), "DROP VIEW planted");
    for (name, value, said) in [
        ("SCRIP_TRUSTED_PROXIES", "10.0.0.0/99", "trusted_proxies"),
        ("SCRIP_ALLOWED_ORIGINS", "https://app.example/", "allowed_origins"),
        ("SCRIP_DOCUMENTS", "require", "documents_file"),
        ("SCRIP_MAX_OPERATIONS", "many", "max_operations"),
        ("SCRIP_IDENTITY_JWKS_URL", "http://id.example/jwks", "identity"),
        ("SCRIP_IDENTITY_ISSUER", "https://id.example", "identity_jwks_url"),
        ("SCRIP_LISTEN", "nonsense", "listen"),
        ("SCRIP_LOG_FORMAT", "xml", "log_format"),
        ("SCRIP_OTLP_ENDPOINT", "", "Ready"),
    ] {
        let (well, text) = doctor(&with(name, value));
        assert!(well == value.is_empty() && text.contains(said), "{name}: {text}");
    }
    let (well, text) =
        doctor(&[SECRETS[0], SECRETS[1], ("SCRIP_LEDGER_KEY", "another ledger key of thirty-two bytes")]);
    assert!(!well && text.contains("ledger key"), "{text}");
    // Somebody has been at the database.
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let url = format!("sqlite:{}", path.join("scrip.db").display());
        let pool = sqlx::SqlitePool::connect(&url).await.expect("a connection");
        sqlx::query("UPDATE activity SET note = 'another note'").execute(&pool).await.expect("altered");
        pool.close().await;
    });
    let (well, text) = doctor(&SECRETS);
    assert!(!well && text.contains("FAIL  ledger") && text.contains("scrip verify"), "{text}");
}

#[test]
fn a_person_s_data_is_written_by_hand_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let owner = studio(folder.path());
    let server = Server::start(folder.path(), &["serve"], &SECRETS);
    issue(&server, &owner);
    let output = run(folder.path(), &["customer", "export", "ada@example.com"], &SECRETS);
    let export: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    assert_eq!(export["customer"]["name"], "Ada");
    let (_, log) =
        server.ask(Some(&owner), "{ accessLog { nodes { operation about actor { subject } } } }", &json!({}));
    let newest = &log["data"]["accessLog"]["nodes"][0];
    assert_eq!(
        (&newest["operation"], &newest["about"]),
        (&json!("customerExport"), &export["customer"]["id"]),
        "{log}"
    );
    assert!(!run(folder.path(), &["customer", "export", "eve@example.com"], &SECRETS).status.success());
    assert!(server.stop());
}
