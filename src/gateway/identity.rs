//! Fetches the public keys of an identity provider: over TLS, unless it is on this machine; without following redirects.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::ACCEPT;
use url::{Host, Url};

use crate::domain::accounts::key_set::KeySource;

/// How long the provider may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of its answer.
const LARGEST: usize = 256 * 1024;

/// The provider's document of keys.
pub struct Jwks {
    client: reqwest::Client,
    url: Url,
}

impl Jwks {
    /// The document at an address.
    ///
    /// # Errors
    /// If it is no address of such a document, in words.
    pub fn new(url: &str) -> Result<Self, String> {
        let url = Url::parse(url).map_err(|error| format!("{url:?} is no address: {error}"))?;
        let here = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        if url.scheme() != "https" && !(url.scheme() == "http" && here) {
            return Err("must begin with https://, unless the provider is on this machine".to_owned());
        }
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .build()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?;
        Ok(Self { client, url })
    }
}

#[async_trait]
impl KeySource for Jwks {
    async fn fetch(&self) -> Result<String, String> {
        let failed = |error: reqwest::Error| format!("it cannot be reached: {}", error.without_url());
        let mut answer =
            self.client.get(self.url.clone()).header(ACCEPT, "application/json").send().await.map_err(failed)?;
        if !answer.status().is_success() {
            return Err(format!("it answers {}", answer.status()));
        }
        let mut text = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(failed)? {
            if text.len() + part.len() > LARGEST {
                return Err(format!("its answer is longer than {LARGEST} bytes"));
            }
            text.extend_from_slice(&part);
        }
        String::from_utf8(text).map_err(|_| "its answer is no text".to_owned())
    }
}
