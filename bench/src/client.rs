//! A client that speaks just enough HTTP, so that on one machine the server keeps most of it.

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One client on one connection.
pub struct Client {
    stream: TcpStream,
    head: String,
    read: Vec<u8>,
}

impl Client {
    /// One that posts to a path.
    pub async fn connect(address: &str, path: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let head = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n");
        Ok(Self { stream, head, read: Vec::with_capacity(16 * 1024) })
    }

    /// Posts a body with a token; the body of the answer, which must be whole and without errors.
    pub async fn post(&mut self, token: &str, body: &str) -> Result<&str> {
        let head = &self.head;
        let request = format!("{head}Authorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        self.stream.write_all(request.as_bytes()).await?;
        self.read.clear();
        let (begins, length, status) = loop {
            ensure!(self.stream.read_buf(&mut self.read).await? > 0, "the connection ended before the answer");
            if let Some(end) = self.read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let head = std::str::from_utf8(&self.read[..end])?.to_ascii_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ").map(str::to_owned));
                let status = head.split(' ').nth(1).unwrap_or_default().to_owned();
                break (end + 4, length.context("an answer has a length")?.parse::<usize>()?, status);
            }
        };
        while self.read.len() < begins + length {
            ensure!(self.stream.read_buf(&mut self.read).await? > 0, "the connection ended within the answer");
        }
        let body = std::str::from_utf8(&self.read[begins..begins + length])?;
        if status != "200"
            || body.contains("\"errors\":[")
            || (body.contains("userErrors") && !body.contains("\"userErrors\":[]"))
        {
            bail!("{status} {body}");
        }
        Ok(body)
    }
}
