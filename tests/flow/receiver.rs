//! Somebody who receives webhooks, and answers as told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How a request is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    Status(u16),
    /// A status and one more header.
    With(u16, &'static str),
    /// Not at all, for so long.
    Stall(Duration),
}

/// A request that was received.
#[derive(Clone, Debug)]
pub struct Received {
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }
}

#[derive(Clone)]
pub struct Receiver {
    pub url: String,
    pub received: Arc<Mutex<Vec<Received>>>,
    replies: Arc<Mutex<VecDeque<Reply>>>,
    otherwise: Arc<Mutex<Reply>>,
}

impl Receiver {
    /// One that answers 204 unless it is told otherwise.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let otherwise = Arc::new(Mutex::new(Reply::Status(204)));
        let receiver = Self { url, received: Arc::default(), replies: Arc::default(), otherwise };
        let serving = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        receiver
    }

    /// How the next requests are answered, one after another.
    pub fn then(&self, replies: &[Reply]) {
        self.replies.lock().expect("no panic").extend(replies.iter().cloned());
    }

    /// How all others are.
    pub fn always(&self, reply: Reply) {
        *self.otherwise.lock().expect("no panic") = reply;
    }

    pub fn count(&self) -> usize {
        self.received.lock().expect("no panic").len()
    }

    pub fn all(&self) -> Vec<Received> {
        self.received.lock().expect("no panic").clone()
    }

    async fn serve(self, mut stream: TcpStream) -> Option<()> {
        let mut bytes = Vec::new();
        let (head, length) = loop {
            let mut part = [0; 4_096];
            let read = stream.read(&mut part).await.ok().filter(|read| *read > 0)?;
            bytes.extend_from_slice(&part[..read]);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|line| line.to_lowercase().strip_prefix("content-length: ").and_then(|n| n.parse().ok()));
                if body.len() >= length.unwrap_or(0) {
                    break (head.to_owned(), body.to_owned());
                }
            }
        };
        let mut lines = head.lines();
        let path = lines.next()?.split(' ').nth(1)?.to_owned();
        let headers =
            lines.filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned())));
        self.received.lock().expect("no panic").push(Received { path, headers: headers.collect(), body: length });
        let reply = self.replies.lock().expect("no panic").pop_front();
        let reply = reply.unwrap_or_else(|| self.otherwise.lock().expect("no panic").clone());
        let (status, header) = match reply {
            Reply::Status(status) => (status, String::new()),
            Reply::With(status, header) => (status, format!("{header}\r\n")),
            Reply::Stall(time) => {
                tokio::time::sleep(time).await;
                return None;
            }
        };
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n{header}\r\n");
        stream.write_all(answer.as_bytes()).await.ok()
    }
}
