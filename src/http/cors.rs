//! Which pages of other origins may use the API from a browser: those on an exact list (Fetch standard,
//! <https://fetch.spec.whatwg.org/#http-cors-protocol>). Nothing here goes by cookies, so no credentials are allowed.

use poem::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use poem::{IntoResponse, Request, Response};

use super::origin;
use super::rules::Rules;

/// What a browser may send and see.
const SENT: &str = "authorization, content-type, accept, x-request-id";
const SEEN: &str = "x-request-id, retry-after, www-authenticate";
/// Seconds for which a browser need not ask again.
const REMEMBERED: &str = "600";

/// What is told to a browser about a request.
pub struct Cors {
    origin: Option<HeaderValue>,
    /// Its origin was sent, whether it is allowed or not.
    is_asked: bool,
}

impl Cors {
    /// Looks at a request.
    pub fn of(request: &Request, rules: &Rules) -> Self {
        let sent = request.headers().get(header::ORIGIN);
        let origin = sent.filter(|_| origin::is_allowed(request, rules)).cloned();
        Self { origin, is_asked: sent.is_some() }
    }

    /// The answer to a browser that asks before it sends the request itself.
    pub fn preflight(&self, request: &Request) -> Option<Response> {
        let asks = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if request.method() != Method::OPTIONS || !self.is_asked || !asks {
            return None;
        }
        if self.origin.is_none() {
            let message = "Pages of this origin may not use this API from a browser: add it to allowed_origins.\n";
            return Some(message.with_status(StatusCode::FORBIDDEN).into_response());
        }
        let mut response = StatusCode::NO_CONTENT.into_response();
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, SENT),
            (header::ACCESS_CONTROL_MAX_AGE, REMEMBERED),
        ] {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        Some(response)
    }

    /// Tells the browser whether its page may see the answer.
    pub fn tell(self, response: &mut Response) {
        response.headers_mut().append(header::VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = self.origin {
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(SEEN));
        }
    }
}

/// The paths that pages of other origins may use: the API and what goes with it, not this server's own pages.
pub fn covers(path: &str) -> bool {
    path == "/graphql" || path.starts_with("/reports/") || path.starts_with("/exports/")
}

/// The header by which a client names its request.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
