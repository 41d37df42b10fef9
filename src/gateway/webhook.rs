//! Posts to webhook endpoints: to public addresses only, unless whoever runs the server says otherwise, at the very
//! address that was looked at, without following redirects.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use url::{Host, Url};

use super::address::is_public;
use crate::domain::storage::ports::webhooks::{Answered, Unanswered, WebhookPost};

/// How long an endpoint may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long it may take to be connected to.
const CONNECT: Duration = Duration::from_secs(5);

/// Where names lead.
#[async_trait]
pub trait Names: Send + Sync {
    /// The addresses of a host.
    async fn look_up(&self, host: &str) -> std::io::Result<Vec<IpAddr>>;
}

/// The names of the machine: its hosts file and its name servers.
pub struct SystemNames;

#[async_trait]
impl Names for SystemNames {
    async fn look_up(&self, host: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// A host leads to an address that is not public.
#[derive(Debug, thiserror::Error)]
#[error("{0} does not lead to public addresses only")]
struct NotPublic(String);

/// A host leads nowhere.
#[derive(Debug, thiserror::Error)]
#[error("the name cannot be looked up")]
struct LooksUp;

/// What a request resolves its host with: the addresses that it gets are those that were looked at.
struct Guarded {
    names: Arc<dyn Names>,
    private: bool,
}

impl Guarded {
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let addresses = self.names.look_up(host).await.map_err(|_| LooksUp)?;
        if !self.private && !addresses.iter().copied().all(is_public) {
            return Err(Box::new(NotPublic(host.to_owned())));
        }
        Ok(addresses)
    }
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let (guarded, host) = (Self { names: self.names.clone(), private: self.private }, name.as_str().to_owned());
        Box::pin(async move {
            let addresses = guarded.addresses(&host).await?;
            // The port 0 stands for that of the URL.
            Ok(Box::new(addresses.into_iter().map(|ip| SocketAddr::new(ip, 0))) as Addrs)
        })
    }
}

/// Posts.
pub struct Poster {
    client: reqwest::Client,
    guarded: Guarded,
}

impl Poster {
    /// One that may post to private addresses or may not.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(names: Arc<dyn Names>, private: bool) -> Result<Self, String> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            // A proxy would look names up itself, out of our sight.
            .no_proxy()
            .dns_resolver(Arc::new(Guarded { names: names.clone(), private }))
            .connect_timeout(CONNECT)
            .timeout(PATIENCE)
            .pool_max_idle_per_host(2)
            .build()
            .map_err(|error| format!("webhooks cannot be posted: {error}"))?;
        Ok(Self { client, guarded: Guarded { names, private } })
    }

    /// A host that is an address is not looked up: it is looked at here.
    fn literal(&self, url: &Url) -> Result<(), Unanswered> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            _ => return Ok(()),
        };
        if self.guarded.private || is_public(address) {
            Ok(())
        } else {
            Err(Unanswered::NotPublic(address.to_string()))
        }
    }
}

fn parsed(url: &str) -> Result<Url, Unanswered> {
    Url::parse(url).map_err(|_| Unanswered::Away("the address cannot be read".to_owned()))
}

#[async_trait]
impl WebhookPost for Poster {
    async fn look(&self, url: &str) -> Result<(), Unanswered> {
        let url = parsed(url)?;
        self.literal(&url)?;
        let Some(Host::Domain(host)) = url.host() else { return Ok(()) };
        let looked = tokio::time::timeout(CONNECT, self.guarded.addresses(host)).await;
        match looked {
            Ok(Ok(_)) => Ok(()),
            // Whether it leads nowhere, or into our own network, is not told.
            Ok(Err(_)) | Err(_) => Err(Unanswered::NotPublic(host.to_owned())),
        }
    }

    async fn post(&self, url: &str, headers: &[(&str, String)], body: String) -> Result<Answered, Unanswered> {
        let url = parsed(url)?;
        self.literal(&url)?;
        let mut request = self
            .client
            .post(url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("scrip/", env!("CARGO_PKG_VERSION")));
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        match request.body(body).send().await {
            // What it says beside the status is not read: it may be as long as it likes.
            Ok(answer) => Ok(Answered { status: answer.status().as_u16(), retry_after: retry_after(answer.headers()) }),
            Err(error) => Err(unanswered(&error, url.host_str().unwrap_or_default())),
        }
    }
}

/// A number of seconds or an HTTP date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER).and_then(|value: &HeaderValue| value.to_str().ok())?;
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    httpdate::parse_http_date(value).ok()?.duration_since(SystemTime::now()).ok()
}

/// In words of ours: neither the URL, whose path may be a secret of its owner, nor what the other side says of itself, such
/// as the names in its certificate.
fn unanswered(error: &reqwest::Error, host: &str) -> Unanswered {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let (mut refused, mut certificate) = (false, false);
    while let Some(cause) = source {
        if cause.is::<NotPublic>() || cause.is::<LooksUp>() {
            return Unanswered::NotPublic(host.to_owned());
        }
        if let Some(error) = cause.downcast_ref::<std::io::Error>() {
            refused |= error.kind() == std::io::ErrorKind::ConnectionRefused;
            // What a TLS library says is within.
            certificate |= error.kind() == std::io::ErrorKind::InvalidData || error.to_string().contains("certificate");
        }
        source = cause.source();
    }
    let what = match (error.is_timeout(), refused, certificate) {
        (true, ..) => "took too long to answer",
        (_, true, _) => "refused the connection",
        (_, _, true) => "has a certificate, or speaks a TLS, that is not accepted",
        _ => "could not be reached",
    };
    Unanswered::Away(format!("{host} {what}"))
}
