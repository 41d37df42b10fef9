//! What holds for every answer: a request id, security headers, a log line, and no panic that reaches a client.

use std::net::IpAddr;
use std::ops::Deref;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant as Stopwatch;

use futures_util::FutureExt;
use poem::http::{HeaderName, HeaderValue, StatusCode, header};
use poem::{Endpoint, IntoResponse, Request, Response};
use tracing::Instrument;

use super::budget::{Budgets, OPEN_PAGE};
use super::cors::{Cors, X_REQUEST_ID, covers};
use super::graphql::rate_limited;
use super::rules::Rules;
use super::{address, compression, telemetry};
use crate::domain::Error;
use crate::domain::ground::clock::fresh_id;

/// What a page that came by here may do, unless it says so itself: nothing.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";
/// What every answer says.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=(), payment=()"),
];

/// Names one request, in its answer and in the log.
#[derive(Clone, Default)]
pub struct RequestId(String);

impl Deref for RequestId {
    type Target = String;

    fn deref(&self) -> &String {
        &self.0
    }
}

impl RequestId {
    /// The client's own, if it can be repeated without harm; a new one otherwise.
    fn of(request: &Request) -> Self {
        let given = request.header(&X_REQUEST_ID).filter(|id| {
            (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        });
        Self(given.map_or_else(|| fresh_id().simple().to_string(), str::to_owned))
    }
}

/// Where a request comes from, as the budgets count it.
#[derive(Clone, Copy)]
pub struct From(pub IpAddr);

/// Everything that is served, in its shell.
pub struct Shell<E> {
    pub inner: E,
    pub local_only: bool,
    pub rules: Arc<Rules>,
    pub budgets: Arc<Budgets>,
}

impl<E: Endpoint<Output = Response>> Endpoint for Shell<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let started = Stopwatch::now();
        let id = RequestId::of(&request);
        let from = address::of(&request, &self.rules.proxies);
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let secure = address::is_secure(&request, &self.rules.proxies);
        let gzip = compression::is_accepted(request.header(header::ACCEPT_ENCODING));
        let cors = covers(&path).then(|| Cors::of(&request, &self.rules));
        request.extensions_mut().insert(id.clone());
        request.extensions_mut().insert(From(from));
        let mut response = if let Some(refused) = self.refusal(&request, from, &id) {
            refused
        } else if let Some(preflight) = cors.as_ref().and_then(|cors| cors.preflight(&request)) {
            preflight
        } else {
            // Every error has an answer here, so that none misses its id.
            let span = tracing::info_span!("request", request_id = %*id, %method, path);
            match AssertUnwindSafe(self.inner.call(request)).catch_unwind().instrument(span).await {
                Ok(answer) => answer.unwrap_or_else(|error| plain(error.status())),
                Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR),
            }
        };
        if let Some(cors) = cors {
            cors.tell(&mut response);
        }
        if gzip {
            response = compression::compress(response).await;
        }
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_str(&id) {
            headers.insert(X_REQUEST_ID, id);
        }
        for (name, value) in HEADERS {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(NOTHING));
        if secure {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
        }
        let status = response.status().as_u16();
        telemetry::answered(&path, status, started.elapsed());
        let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(request_id = %*id, %method, path, status, millis, "answered");
        Ok(response)
    }
}

impl<E> Shell<E> {
    /// The answer to a request that nobody looks at any further.
    fn refusal(&self, request: &Request, from: IpAddr, id: &RequestId) -> Option<Response> {
        if self.local_only && !names_this_machine(request) {
            let message = "In development this server answers to localhost and 127.0.0.1 only.\n";
            return Some(message.with_status(StatusCode::MISDIRECTED_REQUEST).into_response());
        }
        // Whoever looks whether the server lives is never told to wait.
        if request.uri().path().starts_with("/health/") {
            return None;
        }
        let open = ["/o/", "/hooks/"].iter().any(|open| request.uri().path().starts_with(open));
        let page = || if open { self.budgets.charge_stranger(from, OPEN_PAGE) } else { Ok(()) };
        match self.budgets.charge(from, 1).and_then(|()| page()) {
            Err(Error::RateLimited { wait }) => Some(rate_limited(wait, id)),
            _ => None,
        }
    }
}

/// A short answer in words, for what has no page.
fn plain(status: StatusCode) -> Response {
    let message = match status {
        StatusCode::NOT_FOUND => {
            "There is nothing here. The API is at /graphql, its explorer at /graphiql.\n".to_owned()
        }
        StatusCode::METHOD_NOT_ALLOWED => "This address is not used that way.\n".to_owned(),
        other => format!("{}\n", other.canonical_reason().unwrap_or("Error")),
    };
    message.with_status(status).into_response()
}

fn names_this_machine(request: &Request) -> bool {
    let host = request.header(header::HOST).or_else(|| request.uri().host()).unwrap_or_default();
    let name = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or(host, |(name, _)| name);
    matches!(name, "localhost" | "127.0.0.1" | "[::1]") || name.ends_with(".localhost")
}
