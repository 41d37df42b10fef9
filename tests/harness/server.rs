//! The built program, run as a user runs it, and a client that speaks just enough HTTP.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

/// The program with a command, in a folder, without settings from outside.
pub fn scrip(folder: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scrip"));
    command.args(arguments).current_dir(folder).env_clear().envs(settings.iter().copied());
    command
}

/// Runs a command to its end.
pub fn run(folder: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    scrip(folder, arguments, settings).output().expect("the program runs")
}

/// What a command said, standard output first.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A server that is running; killed when dropped.
pub struct Server {
    child: Child,
    pub address: String,
    pub banner: String,
}

impl Server {
    /// Starts `scrip dev` or `scrip serve` at a free port and waits until it answers.
    pub fn start(folder: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let address = free_address();
        let arguments = [arguments, &["--listen", &address]].concat();
        let mut command = scrip(folder, &arguments, settings);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program runs");
        let mut banner = String::new();
        if arguments[0] == "dev" {
            let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
            while !banner.contains("Ready in") {
                let line =
                    lines.next().unwrap_or_else(|| panic!("it ended before it was ready: {banner}")).expect("text");
                banner.push_str(&line);
                banner.push('\n');
            }
            // Read on, so that it can write on.
            std::thread::spawn(move || lines.for_each(drop));
        }
        let mut server = Self { child, address, banner };
        for _ in 0..400 {
            if server.answers() {
                return server;
            }
            let ended = server.child.try_wait().expect("its state");
            assert!(ended.is_none(), "it ended before it was ready: {ended:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{} did not answer within 20 seconds", server.address);
    }

    /// Whether it answers. That somebody can be connected to says nothing: it may be this connection itself, which found its
    /// own port.
    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(&self.address) else { return false };
        let request = format!("GET /health/live HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        let mut begins = [0; 5];
        stream.write_all(request.as_bytes()).and_then(|()| stream.read_exact(&mut begins)).is_ok()
            && begins == *b"HTTP/"
    }

    /// Asks it to stop, as Ctrl-C does, and waits; answers whether it ended well.
    pub fn stop(self) -> bool {
        let sent = Command::new("kill").args(["-INT", &self.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
        self.ended_well()
    }

    /// Waits for its end; answers whether it ended well.
    pub fn ended_well(mut self) -> bool {
        self.child.wait().expect("it ends").success()
    }

    /// Its process, to be signalled while others still talk to it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A GraphQL request; the status and the response.
    pub fn ask(&self, token: Option<&str>, query: &str, variables: &Value) -> (u16, Value) {
        ask(&self.address, token, query, variables).expect("it answers")
    }

    /// A GET; status, headers and body.
    pub fn get(&self, path: &str, host: &str) -> (u16, String, String) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        send(&self.address, &request).expect("it answers")
    }
}

/// A GraphQL request to an address; the status and the response (its text where that is not JSON), or how the connection
/// ended without a whole one.
pub fn ask(address: &str, token: Option<&str>, query: &str, variables: &Value) -> std::io::Result<(u16, Value)> {
    let body = json!({ "query": query, "variables": variables }).to_string();
    let token = token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
    let request = format!(
        "POST /graphql HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n{token}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len(),
    );
    let (status, head, text) = send(address, &request)?;
    let length = |line: &str| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok();
    if text.len() < head.lines().find_map(length).unwrap_or(0) {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

fn send(address: &str, request: &str) -> std::io::Result<(u16, String, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(request.as_bytes())?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response)?;
    let response = String::from_utf8_lossy(&response).into_owned();
    let (head, body) = response.split_once("\r\n\r\n").ok_or(ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Ok((status, head.to_owned(), body.to_owned()))
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone after `stop`.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Lets clients stop when it is dropped, so that what fails beside them does not wait for them.
pub struct Stops<'a>(pub &'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// An address that nobody listens at just now.
pub fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").to_string()
}
