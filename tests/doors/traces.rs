//! Traces by OTLP: spans arrive at a collector. Only with the feature `otlp`.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::json;

use crate::harness::server::{Server, run};

#[test]
fn spans_of_a_request_arrive_at_the_collector() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let (to, received) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            stream.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
            let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
            while let Ok(read @ 1..) = stream.read(&mut part) {
                bytes.extend_from_slice(&part[..read]);
            }
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
            if to.send(String::from_utf8_lossy(&bytes).into_owned()).is_err() {
                return;
            }
        }
    });
    let folder = tempfile::tempdir().expect("a folder");
    let settings = [
        ("SCRIP_DATABASE_URL", "sqlite:scrip.db"),
        ("SCRIP_SIGNING_SECRET", "a signing secret for tests, 32 bytes"),
        ("SCRIP_LEDGER_KEY", "a ledger key for tests of 32 bytes!"),
        ("SCRIP_OTLP_ENDPOINT", address.as_str()),
    ];
    assert!(run(folder.path(), &["migrate"], &settings[..3]).status.success());
    let server = Server::start(folder.path(), &["serve"], &settings);
    let query = "{ orderForm(account: \"nobody\", slug: \"nothing\") { name } }";
    assert_eq!(server.ask(None, query, &json!({})).0, 200);
    assert!(server.stop());
    let told = received.recv_timeout(Duration::from_secs(20)).expect("something arrives");
    assert!(told.starts_with("POST /v1/traces"), "{told}");
    for word in ["scrip", "request", "operation", "request_id"] {
        assert!(told.contains(word), "{word}: {told}");
    }
}
