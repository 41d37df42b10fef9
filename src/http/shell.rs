//! What holds for every answer: a request id, security headers, a log line, and no panic that reaches a client.

use std::ops::Deref;
use std::panic::AssertUnwindSafe;
use std::time::Instant as Stopwatch;

use futures_util::FutureExt;
use poem::http::{HeaderName, HeaderValue, StatusCode, header};
use poem::{Endpoint, IntoResponse, Request, Response};

use crate::domain::clock::fresh_id;

/// Names one request, in its answer and in the log.
#[derive(Clone, Default)]
pub struct RequestId(String);

impl Deref for RequestId {
    type Target = String;

    fn deref(&self) -> &String {
        &self.0
    }
}

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

impl RequestId {
    /// The client's own, if it can be repeated without harm; a new one otherwise.
    fn of(request: &Request) -> Self {
        let given = request.header(&X_REQUEST_ID).filter(|id| {
            (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        });
        Self(given.map_or_else(|| fresh_id().simple().to_string(), str::to_owned))
    }
}

/// Everything that is served, in its shell.
pub struct Shell<E> {
    pub inner: E,
    pub local_only: bool,
}

impl<E: Endpoint<Output = Response>> Endpoint for Shell<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let started = Stopwatch::now();
        let id = RequestId::of(&request);
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        request.extensions_mut().insert(id.clone());
        let mut response = if self.local_only && !names_this_machine(&request) {
            let message = "In development this server answers to localhost and 127.0.0.1 only.\n";
            message.with_status(StatusCode::MISDIRECTED_REQUEST).into_response()
        } else {
            // Every error has an answer here, so that none misses its id.
            match AssertUnwindSafe(self.inner.call(request)).catch_unwind().await {
                Ok(answer) => answer.unwrap_or_else(|error| plain(error.status())),
                Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR),
            }
        };
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_str(&id) {
            headers.insert(X_REQUEST_ID, id);
        }
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(request_id = %*id, %method, path, status = response.status().as_u16(), millis, "answered");
        Ok(response)
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
