//! A client of Server-Sent Events that speaks just enough HTTP.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// A response of events.
pub struct Events {
    pub status: u16,
    head: Vec<String>,
    reader: BufReader<TcpStream>,
}

impl Events {
    pub async fn post(address: &str, token: Option<&str>, accept: &str, query: &str, variables: &Value) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let body = json!({ "query": query, "variables": variables }).to_string();
        let token = token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
        let request = format!(
            "POST /graphql HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nAccept: {accept}\r\n{token}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut reader = BufReader::new(stream);
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).await.expect("a line");
            if line.trim().is_empty() {
                break;
            }
            head.push(line.trim().to_lowercase());
        }
        let status = head[0].split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Self { status, head, reader }
    }

    pub fn header(&self, name: &str) -> &str {
        let found = self.head.iter().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        found.unwrap_or_default()
    }

    /// Whether it ends without another event.
    pub async fn is_cut(&mut self) -> bool {
        let mut rest = String::new();
        let read = tokio::time::timeout(Duration::from_secs(10), self.reader.read_to_string(&mut rest)).await;
        read.is_ok() && !rest.contains("event:")
    }

    /// The next event: its kind, and its data, null if it has none.
    pub async fn next(&mut self) -> (String, Value) {
        let mut kind = None;
        loop {
            let mut line = String::new();
            let read = tokio::time::timeout(Duration::from_secs(10), self.reader.read_line(&mut line)).await;
            assert!(read.expect("in time").expect("a line") > 0, "it ended");
            if let Some(event) = line.trim().strip_prefix("event: ") {
                kind = Some(event.to_owned());
            } else if let (Some(data), Some(kind)) = (line.trim().strip_prefix("data:"), &kind) {
                let data =
                    if data.trim().is_empty() { Value::Null } else { serde_json::from_str(data.trim()).expect("JSON") };
                return (kind.clone(), data);
            }
        }
    }
}
