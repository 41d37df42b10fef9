//! Attacks, with what the server answers and how soon: `cargo test --test doors attacks -- --ignored --nocapture` prints the
//! table of docs/security.md. Each must be refused, the server must live, and nothing may be changed.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::harness::server::{Server, run, said};

const SECRETS: [(&str, &str); 3] = [
    ("SCRIP_DATABASE_URL", "sqlite:scrip.db"),
    ("SCRIP_SIGNING_SECRET", "a signing secret for tests, 32 bytes"),
    ("SCRIP_LEDGER_KEY", "a ledger key for tests of 32 bytes!"),
];

/// What came back: the status, the code or the first words, and how long it took.
struct Answer {
    status: u16,
    said: String,
    took: Duration,
}

struct Target<'a> {
    server: &'a Server,
    token: &'a str,
}

impl Target<'_> {
    /// Sends bytes as they are and reads what comes until the server hangs up, or for ten seconds.
    fn raw(&self, bytes: &[u8]) -> Answer {
        let started = Instant::now();
        let mut stream = TcpStream::connect(&self.server.address).expect("it lives");
        stream.set_read_timeout(Some(Duration::from_secs(40))).expect("a timeout");
        // It may hang up before everything is sent.
        drop(stream.write_all(bytes));
        let mut response = Vec::new();
        let mut part = [0; 4096];
        while !is_whole(&response)
            && let Ok(read @ 1..) = stream.read(&mut part)
        {
            response.extend_from_slice(&part[..read]);
        }
        let took = started.elapsed();
        let text = String::from_utf8_lossy(&response).into_owned();
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let json: Value = serde_json::from_str(body.trim_start_matches(|c: char| c != '{')).unwrap_or_default();
        let code = json["errors"][0]["extensions"]["code"].as_str().map(str::to_owned);
        Answer {
            status,
            said: code.unwrap_or_else(|| body.lines().next().unwrap_or_default().chars().take(60).collect()),
            took,
        }
    }

    fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
            self.server.address,
            body.len()
        );
        self.raw(&[head.as_bytes(), body].concat())
    }

    fn query(&self, query: &str) -> Answer {
        let body = json!({ "query": query }).to_string();
        let headers = format!("Content-Type: application/json\r\nAuthorization: Bearer {}\r\n", self.token);
        self.send("POST", "/graphql", &headers, body.as_bytes())
    }

    fn with_token(&self, token: &str) -> Answer {
        let headers = format!("Content-Type: application/json\r\nAuthorization: Bearer {token}\r\n");
        self.send("POST", "/graphql", &headers, br#"{"query":"{ customers { nodes { id } } }"}"#)
    }

    fn upgrade(&self, headers: &str) -> Answer {
        let upgrade = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n";
        let head = format!(
            "GET /graphql HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\n{upgrade}{headers}\r\n",
            self.server.address
        );
        self.raw(head.as_bytes())
    }
}

/// Whether an answer has come to its end, as far as it says where that is.
fn is_whole(response: &[u8]) -> bool {
    let text = String::from_utf8_lossy(response);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
    length.and_then(|length| length.parse().ok()).is_some_and(|length: usize| body.len() >= length)
}

fn part(value: &Value) -> String {
    data_encoding::BASE64URL_NOPAD.encode(value.to_string().as_bytes())
}

fn start(folder: &Path) -> (Server, String) {
    assert!(run(folder, &["migrate"], &SECRETS).status.success());
    let create =
        ["account", "create", "--name", "Studio", "--slug", "studio", "--time-zone", "UTC", "--currency", "CHF"];
    let text = said(&run(folder, &create, &SECRETS));
    let token = text.lines().find(|line| line.starts_with("ey")).expect("a token").to_owned();
    (Server::start(folder, &["serve"], &SECRETS), token)
}

#[test]
#[ignore = "figures to be read, and half a minute of a slow head; .ci/long runs it"]
fn each_is_refused_and_soon() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, token) = start(folder.path());
    let target = Target { server: &server, token: &token };
    let mut bomb = String::from("{ ...f0 }");
    for level in 0..40 {
        write!(bomb, " fragment f{level} on Query {{ ...f{0} ...f{0} }}", level + 1).expect("a string grows");
    }
    bomb.push_str(" fragment f40 on Query { __typename }");
    let aliases = (0..1_000).fold(String::new(), |text, n| format!("{text} a{n}: account {{ id }}"));
    let wide = "{ customers(first: 100) { nodes { activity(first: 100) { nodes { customer { grants(first: 100) { nodes { id } } } } } } } }";
    let mutation = "mutation { customerCreate(input: { name: \"Eve\" }) { customer { id } } }";
    let encoded = mutation.replace(' ', "%20").replace('{', "%7B").replace('}', "%7D").replace('"', "%22");
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let claims: Vec<&str> = token.split('.').collect();
    let none = format!("{}.{}.", part(&json!({ "alg": "none", "typ": "JWT" })), claims[1]);
    let mut payload: Value =
        serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(claims[1].as_bytes()).expect("base64"))
            .expect("JSON");
    payload["role"] = json!("operator");
    let altered = format!("{}.{}.{}", claims[0], part(&payload), claims[2]);
    let mut zipped = GzEncoder::new(Vec::new(), Compression::best());
    zipped.write_all(&vec![b' '; 64 << 20]).expect("zipped");
    let zipped = zipped.finish().expect("zipped");
    let typed = |kind: &str| format!("Content-Type: {kind}\r\n{bearer}");
    let batch = format!("[{}]", vec![json!({ "query": mutation }).to_string(); 50].join(","));
    let whole = json!({ "query": mutation }).to_string();
    let foreign = "{ node(id: \"cus_01h455vb4pex5vsknk084sn02q\") { id } }";
    let unlocked =
        "{ __schema { types { fields { type { fields { type { fields { type { fields { type { name } } } } } } } } } }";
    let slow = format!("POST /graphql HTTP/1.1\r\nHost: {}\r\nX: ", server.address);
    let large_head = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    let tried: Vec<(&str, Answer, &[u16])> = vec![
        ("a fragment bomb: 41 fragments, 2^40 fields", target.query(&bomb), &[400]),
        ("1,000 aliases of one field", target.query(&format!("{{ {aliases} }}")), &[400]),
        ("lists in lists in lists: 10^6 answers", target.query(wide), &[400]),
        ("a query 50 levels deep", target.query(&format!("{}id{}", "{ node(id: 1) ".repeat(50), " }".repeat(50))), &[400]),
        ("introspection in circles", target.query(unlocked), &[200, 400]),
        ("a batch of 50 mutations", target.send("POST", "/graphql", &typed("application/json"), batch.as_bytes()), &[400]),
        ("a mutation by GET", target.send("GET", &format!("/graphql?query={encoded}"), &bearer, b""), &[405]),
        ("a mutation as text/plain", target.send("POST", "/graphql", &typed("text/plain"), whole.as_bytes()), &[415]),
        ("a mutation as a form", target.send("POST", "/graphql", &typed("application/x-www-form-urlencoded"), b"query=x"), &[415]),
        ("a mutation as an event stream", target.send("POST", "/graphql", &format!("Accept: text/event-stream\r\n{}", typed("application/json")), whole.as_bytes()), &[406]),
        ("one mutation twice under one name", target.query("mutation { customerCreate(input: { name: \"Eve\" }) { customer { id } } customerCreate(input: { name: \"Eve\" }) { customer { id } } }"), &[200]),
        ("an id of another account", target.query(foreign), &[200]),
        ("a token with the algorithm none", target.with_token(&none), &[401]),
        ("a token whose role was altered", target.with_token(&altered), &[401]),
        ("a token of 30,000 bytes", target.with_token(&"x".repeat(30_000)), &[401]),
        ("an API key with one letter changed", target.with_token("scrip_live_01h455vb4pex5vsknk084sn02q"), &[401]),
        ("a socket of a page elsewhere", target.upgrade("Origin: https://evil.example\r\n"), &[403]),
        ("a preflight of a page elsewhere", target.send("OPTIONS", "/graphql", "Origin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n", b""), &[403]),
        ("a compressed bomb: 64 MiB of spaces in 64 KiB", target.send("POST", "/graphql", &format!("Content-Encoding: gzip\r\n{}", typed("application/json")), &zipped), &[415]),
        ("a body of 64 MiB", target.send("POST", "/graphql", &typed("application/json"), &vec![b' '; 64 << 20]), &[413]),
        ("200,000 brackets of JSON", target.send("POST", "/graphql", &typed("application/json"), &vec![b'['; 200_000]), &[400]),
        ("a head of 100,000 bytes", target.raw(large_head.as_bytes()), &[431, 400]),
        ("a path out of the assets", target.send("GET", "/graphiql/..%2f..%2f..%2fetc%2fpasswd", "", b""), &[404]),
        ("a head that never ends (it is cut off)", target.raw(slow.as_bytes()), &[0, 408]),
    ];
    println!("| attack | answer | time |\n| --- | --- | --- |");
    for (attack, answer, wanted) in &tried {
        println!("| {attack} | {} {} | {:.1} ms |", answer.status, answer.said, answer.took.as_secs_f64() * 1e3);
        assert!(wanted.contains(&answer.status), "{attack}: {} {}", answer.status, answer.said);
        let slow = attack.starts_with("a head that never");
        assert!(answer.took < Duration::from_secs(if slow { 35 } else { 5 }), "{attack} took {:?}", answer.took);
    }
    // Nobody was made, and it lives.
    let (status, answer) = server.ask(Some(&token), "{ customers { nodes { name } } }", &json!({}));
    assert_eq!((status, &answer["data"]["customers"]["nodes"]), (200, &json!([])));
    assert!(server.stop());
}
