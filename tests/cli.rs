//! The program as a user runs it.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::harness::server::{Server, ask, free_address, run, said};
use serde_json::{Value, json};

const SECRETS: [(&str, &str); 2] = [
    ("SCRIP_SIGNING_SECRET", "a signing secret of thirty-two bytes"),
    ("SCRIP_LEDGER_KEY", "a ledger key of thirty-two bytes, or more"),
];

/// The production settings on a SQLite file in the folder.
fn production(url: &str) -> Vec<(&str, &str)> {
    [SECRETS.as_slice(), &[("SCRIP_DATABASE_URL", url)]].concat()
}

/// The first answer of a subscription, as a Server-Sent Event.
fn first_event(address: &str, token: &str, query: &Value, variables: &Value) -> Value {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
    let body = json!({ "query": query, "variables": variables }).to_string();
    let head = format!(
        "POST /graphql HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\nAuthorization: Bearer {token}"
    );
    stream.write_all(format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).expect("sent");
    let mut lines = BufReader::new(stream).lines().map(|line| line.expect("a line in time"));
    let data = lines.find_map(|line| line.strip_prefix("data: ").map(str::to_owned)).expect("an event");
    serde_json::from_str(&data).expect("JSON")
}

#[test]
fn alone_it_prints_help_with_the_usual_three() {
    let folder = tempfile::tempdir().expect("a folder");
    let help = said(&run(folder.path(), &[], &[]));
    for line in ["scrip dev ", "scrip token --staff", "scrip serve"] {
        assert!(help.contains(line), "{help}");
    }
}

#[test]
fn dev_makes_a_business_and_serves_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let first = Server::start(here, &["dev"], &[]);
    let program = env!("CARGO_BIN_EXE_scrip");
    for line in [
        "Scrip 0.1.0, development mode: data in ./scrip-dev.db, never use this in production".to_owned(),
        format!("  GraphiQL  http://{}/graphiql", first.address),
        format!("  GraphQL   http://{}/graphql", first.address),
        format!("  staff     {program} token --staff        customer   {program} token --customer ada@example.com"),
        "Ctrl-C stops it; your data stays (--reset starts over, --empty seeds nothing).".to_owned(),
    ] {
        assert!(first.banner.contains(&line), "{line}\n{}", first.banner);
    }
    let token = |arguments: &[&str]| {
        let output = run(here, &[&["token"], arguments].concat(), &[]);
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    };
    let staff = token(&["--staff"]);
    let query = "{ account { name } creditTypes { nodes { expiration { never after { count unit } on } } }
        customers(first: 100) { nodes { activity(first: 40) { nodes { kind } } } } }";
    let data = first.ask(Some(&staff), query, &json!({})).1["data"].clone();
    assert_eq!(data["account"]["name"], "Lakeside Coaching");
    assert_eq!(data["creditTypes"]["nodes"].as_array().map(Vec::len), Some(3));
    let customers = data["customers"]["nodes"].as_array().expect("customers").clone();
    assert_eq!(customers.len(), 40);
    let kinds = customers.iter().flat_map(|c| c["activity"]["nodes"].as_array().expect("nodes").clone());
    let kinds = kinds.map(|node| node["kind"].as_str().expect("a kind").to_owned()).collect::<Vec<_>>();
    let count = |kind: &str| kinds.iter().filter(|found| *found == kind).count();
    assert!(count("ISSUE") > 100 && count("CONSUME") > 300 && count("EXPIRE") > 20, "{}", kinds.len());
    let ada = token(&["--customer", "ada@example.com"]);
    let viewer = first.ask(Some(&ada), "{ viewer { ... on Customer { name } } }", &json!({})).1;
    assert_eq!(viewer["data"]["viewer"]["name"], "Ada Lovelace");
    // The page has a token that works, and is shown to this machine only.
    let (status, _, page) = first.get("/graphiql", &first.address);
    assert_eq!(status, 200);
    let start = page.split("id=\"start\">").nth(1).and_then(|rest| rest.split("</script>").next()).expect("a start");
    let start: Value = serde_json::from_str(start).expect("JSON");
    assert_eq!(start["examples"].as_array().map(Vec::len), Some(11));
    for example in start["examples"].as_array().expect("examples") {
        let variables =
            example["variables"].as_str().map_or(json!({}), |text| serde_json::from_str(text).expect("JSON"));
        if example["query"].as_str().is_some_and(|query| query.contains("subscription Watch")) {
            let first =
                first_event(&first.address, start["token"].as_str().expect("a token"), &example["query"], &variables);
            assert!(first["data"]["balanceChanged"]["available"].is_i64(), "{first}");
            continue;
        }
        let (status, response) =
            first.ask(start["token"].as_str(), example["query"].as_str().expect("a query"), &variables);
        assert_eq!((status, response.get("errors")), (200, None), "{response}");
        let refusals = response.to_string().matches("\"userErrors\":[{").count();
        assert_eq!(refusals, 0, "{response}");
    }
    assert_eq!(first.get("/graphiql", "evil.example").0, 421);
    let second = run(here, &["dev", "--listen", &first.address], &[]);
    let address = &first.address;
    assert!(!second.status.success());
    let message = format!("{address} is taken by another program. Choose another with --listen 127.0.0.1:8081");
    assert!(said(&second).contains(&message), "{}", said(&second));
    let elsewhere = run(here, &["dev", "--reset", "--listen", &free_address()], &[]);
    assert!(!elsewhere.status.success());
    assert!(said(&elsewhere).contains("another `scrip dev` is serving ./scrip-dev.db"), "{}", said(&elsewhere));
    let open = run(here, &["dev", "--listen", "0.0.0.0:0"], &[]);
    assert!(!open.status.success() && said(&open).contains("listens at 127.0.0.1 or ::1 only"), "{}", said(&open));
    assert!(first.stop(), "Ctrl-C ends it well");
    // The second start finds everything.
    let second = Server::start(here, &["dev"], &[]);
    assert_eq!(second.ask(Some(&staff), "{ account { name } }", &json!({})).0, 200);
    assert!(second.stop());
    let verified = run(here, &["verify"], &[]);
    assert!(verified.status.success() && said(&verified).contains("Verified:"), "{}", said(&verified));
    let shown = said(&run(here, &["config", "print"], &[]));
    let secrets = std::fs::read_to_string(here.join("scrip-dev.secrets")).expect("the secrets");
    assert!(shown.contains("bytes, not shown") && secrets.lines().all(|secret| !shown.contains(secret)), "{shown}");
    // Starting over makes new secrets: old tokens end.
    let third = Server::start(here, &["dev", "--reset", "--empty"], &[]);
    assert_eq!(third.ask(Some(&staff), "{ account { name } }", &json!({})).0, 401);
    let customers = third.ask(Some(&token(&["--staff"])), "{ customers { nodes { id } } }", &json!({})).1;
    assert_eq!(customers["data"]["customers"]["nodes"], json!([]));
}

#[test]
fn reports_are_written_as_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let server = Server::start(here, &["dev"], &[]);
    let page = server.get("/o/lakeside/coaching", "localhost");
    assert!(page.0 == 200 && page.2.contains("<title>Coaching sessions · Lakeside Coaching</title>"), "{}", page.2);
    assert_eq!(server.get("/o/lakeside/nothing", "localhost").0, 404);
    assert!(server.stop());
    let liability = run(here, &["report", "liability"], &[]);
    let text = String::from_utf8(liability.stdout).expect("text");
    assert_eq!(text.lines().count(), 4, "a header and three credit types: {text}");
    assert!(text.starts_with("as_of,credit_type_id,credit_type,currency,sold_credits,sold_minor,sold,"), "{text}");
    let year = ["--from", "2000-01-01T00:00:00Z", "--to", "2100-01-01T00:00:00Z"];
    let by_customer = [&["report", "consumption", "--by", "customer", "--out", "used.csv"][..], &year].concat();
    let written = run(here, &by_customer, &[]);
    assert!(said(&written).contains("Written to used.csv."), "{}", said(&written));
    let used = std::fs::read_to_string(here.join("used.csv")).expect("a file");
    assert!(used.lines().count() > 30 && used.contains(",Ada Lovelace,CHF,"), "{used}");
    assert!(run(here, &[&["report", "breakage"][..], &year].concat(), &[]).status.success());
    let wrong = run(here, &["report", "liability", "--as-of", "yesterday"], &[]);
    assert!(!wrong.status.success() && said(&wrong).contains("write an instant with its offset"), "{}", said(&wrong));
    let future = run(here, &["report", "liability", "--as-of", "2100-01-01T00:00:00Z"], &[]);
    assert!(!future.status.success() && said(&future).contains("Must not be in the future"), "{}", said(&future));
}

#[test]
fn serve_asks_for_what_it_needs() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let url = format!("sqlite:{}", here.join("scrip.db").display());
    let refused = |settings: &[(&str, &str)], words: &[&str]| {
        let output = run(here, &["serve", "--listen", &free_address()], settings);
        let message = said(&output);
        assert!(!output.status.success(), "{message}");
        assert!(words.iter().all(|word| message.contains(word)), "{words:?} are not in {message}");
    };
    refused(&[], &["signing_secret is not set", "export SCRIP_SIGNING_SECRET=$(openssl rand -hex 32)"]);
    refused(&[("SCRIP_SIGNING_SECRET", "short")], &["has 5 bytes, and needs 32 or more"]);
    refused(&SECRETS[..1], &["ledger_key is not set", "export SCRIP_LEDGER_KEY"]);
    refused(&SECRETS, &["database_url is not set"]);
    refused(&production(&url), &["there is no database at", "scrip migrate"]);
    refused(&[SECRETS[0], SECRETS[1], ("SCRIP_LOG", "warning")], &["log = \"warning\" is neither"]);
    refused(&[("SCRIP_DATABSE_URL", "x")], &["did you mean SCRIP_DATABASE_URL?"]);
    std::fs::File::create(here.join("scrip.db")).expect("a file");
    refused(&production(&url), &["behind. Run `scrip migrate` first."]);
    let migrated = run(here, &["migrate"], &production(&url));
    assert!(migrated.status.success() && said(&migrated).contains("Ran 8 migration(s)"), "{}", said(&migrated));
    assert!(said(&run(here, &["migrate"], &production(&url))).contains("up to date"));
    let create = [
        "account",
        "create",
        "--name",
        "Studio",
        "--slug",
        "studio",
        "--time-zone",
        "Europe/Zurich",
        "--currency",
        "CHF",
    ];
    let created = run(here, &create, &production(&url));
    assert!(created.status.success(), "{}", said(&created));
    let text = String::from_utf8(created.stdout).expect("text");
    let owner = text.lines().nth(1).expect("a token").to_owned();
    let again = run(here, &create, &production(&url));
    assert!(
        !again.status.success() && said(&again).contains("slug: Another one has this slug already."),
        "{}",
        said(&again)
    );
    let server = Server::start(here, &["serve"], &production(&url));
    let (_, response) = server.ask(Some(&owner), "{ account { slug } viewer { ... on Staff { owner } } }", &json!({}));
    assert_eq!(response["data"], json!({ "account": { "slug": "studio" }, "viewer": { "owner": true } }));
    let page = server.get("/graphiql", "anything.example");
    assert!(page.0 == 200 && page.2.contains("{\"token\":null,\"examples\":[]}"), "{}", page.2);
    assert_eq!((server.get("/health/live", "x").0, server.get("/health/ready", "x").0), (200, 200));
    assert!(server.stop());
    let mut wrong_key = production(&url);
    wrong_key[1].1 = "another ledger key of thirty-two bytes";
    refused(&wrong_key, &["the ledger key is not the one that signed this database"]);
    let token = run(here, &["token", "--staff", "--account", "nobody"], &production(&url));
    assert!(said(&token).contains("there is no account nobody. `scrip account list` lists them."), "{}", said(&token));
    let listed = said(&run(here, &["account", "list"], &production(&url)));
    assert!(listed.contains("studio  Studio"), "{listed}");
}

#[test]
fn verify_says_what_differs_and_fails() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let server = Server::start(here, &["dev"], &[]);
    assert!(server.stop());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let pool = sqlx::SqlitePool::connect(&format!("sqlite:{}", here.join("scrip-dev.db").display()))
            .await
            .expect("a connection");
        let sql = "UPDATE wallet SET balance = balance + 1, consumed = consumed - 1 WHERE consumed > 0";
        assert!(sqlx::query(sql).execute(&pool).await.expect(sql).rows_affected() > 10);
        pool.close().await;
    });
    let output = run(here, &["verify"], &[]);
    assert_eq!(output.status.code(), Some(1));
    let message = said(&output);
    assert!(
        message.contains("the wallet's balance is") && message.contains("Keep a copy of the database"),
        "{message}"
    );
}

#[test]
fn schema_is_printed() {
    let folder = tempfile::tempdir().expect("a folder");
    let printed = run(folder.path(), &["schema"], &[]);
    assert_eq!(
        String::from_utf8(printed.stdout).expect("text"),
        std::fs::read_to_string("schema.graphql").expect("schema.graphql")
    );
}

/// Stopped or killed amid work: what was acknowledged is there, once, and the ledger is whole.
/// Asked to stop, it answers whatever it had accepted, and ends well.
#[test]
fn what_was_acknowledged_is_kept() {
    const ISSUE: &str = "mutation($c: ID!, $t: ID!, $k: String!) {
        creditsIssue(input: { customerId: $c, creditTypeId: $t, amount: 1, idempotencyKey: $k }) { replayed activity { id } } }";
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let make = "mutation { creditTypeCreate(input: { name: \"Session\" }) { creditType { id } }
        customerCreate(input: { name: \"Ada\" }) { customer { id } } }";
    let first = Server::start(here, &["dev", "--empty"], &[]);
    let token = String::from_utf8(run(here, &["token", "--staff"], &[]).stdout).expect("text").trim().to_owned();
    let setup = first.ask(Some(&token), make, &json!({})).1["data"].clone();
    let variables = |key: &str| json!({ "c": setup["customerCreate"]["customer"]["id"], "t": setup["creditTypeCreate"]["creditType"]["id"], "k": key });
    assert!(first.stop());
    let mut acknowledged: Vec<(String, Value)> = Vec::new();
    for (round, signal) in ["-INT", "-KILL", "-TERM", "-KILL"].into_iter().enumerate() {
        let server = Server::start(here, &["dev"], &[]);
        let (address, process) = (server.address.clone(), server.id());
        let answered = AtomicUsize::new(0);
        let answers = std::thread::scope(|scope| {
            let (address, token, variables, answered) = (&address, &token, &variables, &answered);
            let workers = (0..8).map(|worker| {
                scope.spawn(move || {
                    let mut done = Vec::new();
                    for n in 0..10_000 {
                        let key = format!("{round}-{worker}-{n}");
                        let Ok((200, response)) = ask(address, Some(token), ISSUE, &variables(&key)) else { break };
                        let activity = response["data"]["creditsIssue"]["activity"]["id"].clone();
                        if activity.is_string() {
                            answered.fetch_add(1, Ordering::Relaxed);
                            done.push((key, activity));
                        }
                    }
                    done
                })
            });
            let workers = workers.collect::<Vec<_>>();
            // In the middle of the work, however fast the machine is.
            for _ in 0..3_000 {
                std::thread::sleep(Duration::from_millis(10));
                if answered.load(Ordering::Relaxed) > 50 {
                    break;
                }
            }
            let sent = std::process::Command::new("kill").args([signal, &process.to_string()]).status();
            assert!(sent.expect("kill runs").success());
            workers.into_iter().flat_map(|worker| worker.join().expect("a worker")).collect::<Vec<_>>()
        });
        assert!(answers.len() > 50, "{signal}: only {} were acknowledged", answers.len());
        acknowledged.extend(answers);
        assert_eq!(server.ended_well(), signal != "-KILL", "{signal}");
    }
    let last = Server::start(here, &["dev"], &[]);
    for (key, activity) in acknowledged.iter().step_by(3) {
        let again = last.ask(Some(&token), ISSUE, &variables(key)).1["data"]["creditsIssue"].clone();
        assert_eq!(again, json!({ "replayed": true, "activity": { "id": activity } }), "{key}");
    }
    let balances = "{ customers { nodes { balances { available } } } }";
    let available =
        last.ask(Some(&token), balances, &json!({})).1["data"]["customers"]["nodes"][0]["balances"][0]["available"]
            .clone();
    assert!(available.as_u64().is_some_and(|available| available >= acknowledged.len() as u64), "{available}");
    assert!(last.stop());
    let verified = run(here, &["verify"], &[]);
    assert!(verified.status.success(), "{}", said(&verified));
}
