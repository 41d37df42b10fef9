//! What a receiver's certificate says of itself is repeated nowhere.

use std::net::{IpAddr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use scrip::domain::storage::ports::webhooks::{Unanswered, WebhookPost};
use scrip::gateway::{Names, Poster};

/// Every name leads to this machine.
struct Here;

#[async_trait]
impl Names for Here {
    async fn look_up(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(vec![IpAddr::from([127, 0, 0, 1])])
    }
}

/// A server with a certificate of its own making, which ends with the test.
struct Server(std::process::Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test]
async fn names_in_a_certificate_are_not_repeated() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (key, certificate) = (path("key.pem"), path("certificate.pem"));
    let names = "subjectAltName=DNS:payroll.inside.example";
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=payroll.inside.example", "-addext", names, "-keyout", &key, "-out", &certificate])
        .stderr(Stdio::null())
        .status()
        .expect("openssl: install it");
    assert!(made.success());
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number").port();
    let accept = format!("127.0.0.1:{port}");
    let server = Command::new("openssl")
        .args(["s_server", "-accept", &accept, "-key", &key, "-cert", &certificate, "-www"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a server");
    let _server = Server(server);
    for _ in 0..200 {
        if std::net::TcpStream::connect(&accept).is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let poster = Poster::new(Arc::new(Here), true).expect("a poster");
    let answer = poster.post(&format!("https://hooks.example:{port}/secret-path"), &[], "{}".to_owned()).await;
    let expected = "hooks.example has a certificate, or speaks a TLS, that is not accepted";
    assert_eq!(answer.map(drop), Err(Unanswered::Away(expected.to_owned())));
}
