//! What a request to the API brings along: parameters of an address, or a body; and why one is not run.

use std::time::Duration;

use poem::Request;
use poem::http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::Value;

use super::operation::Params;

/// Bytes of a request's body.
const BODY: usize = 256 * 1024;
/// How long a body may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(10);

/// The parameters of a GET, of which two are JSON in text.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UrlParams {
    query: Option<String>,
    operation_name: Option<String>,
    variables: Option<String>,
    extensions: Option<String>,
    document_id: Option<String>,
}

/// A request that is not run.
pub struct Rejection {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
    pub header: Option<(HeaderName, HeaderValue)>,
}

impl Rejection {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), header: None }
    }

    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", message)
    }

    pub fn with(self, name: HeaderName, value: &'static str) -> Self {
        Self { header: Some((name, HeaderValue::from_static(value))), ..self }
    }

    pub fn busy(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message).with(header::RETRY_AFTER, "1")
    }
}

/// What an address asks for.
pub fn url_params(request: &Request) -> Result<Params, Rejection> {
    let params: UrlParams =
        request.params().map_err(|_| Rejection::bad("The parameters of the address cannot be read."))?;
    let object = |name: &str, text: Option<String>| {
        text.filter(|text| !text.is_empty())
            .map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|_| Rejection::bad(format!("`{name}` must be a JSON object.")))
    };
    Ok(Params {
        query: params.query,
        operation_name: params.operation_name.filter(|name| !name.is_empty()),
        variables: object("variables", params.variables)?,
        extensions: object("extensions", params.extensions)?,
        document_id: params.document_id.filter(|id| !id.is_empty()),
    })
}

/// Bytes of what a GET asks for.
pub fn length_of_url(request: &Request) -> usize {
    request.uri().query().map_or(0, str::len)
}

/// Whether a body may be taken in, and its bytes where the head says how many.
pub fn announced(request: &Request) -> Result<Option<usize>, Rejection> {
    let content_type = request.content_type().unwrap_or_default().to_ascii_lowercase();
    let mut parts = content_type.split(';').map(str::trim);
    let json = parts.next() == Some("application/json");
    let other_charset =
        parts.any(|part| part.strip_prefix("charset=").is_some_and(|charset| charset.trim_matches('"') != "utf-8"));
    if !json || other_charset {
        let message = "The content type must be application/json, in UTF-8.";
        return Err(Rejection::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "BAD_REQUEST", message));
    }
    if request.header(header::CONTENT_ENCODING).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
        let message = "Nothing that comes in is inflated. Send the body as it is.";
        return Err(Rejection::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "BAD_REQUEST", message));
    }
    let length = request.header(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
    if length.is_some_and(|length: usize| length > BODY) { Err(too_large()) } else { Ok(length) }
}

fn too_large() -> Rejection {
    let message = format!("The body must be at most {BODY} bytes.");
    Rejection::new(StatusCode::PAYLOAD_TOO_LARGE, "QUERY_TOO_LARGE", message)
}

/// The bytes of a body.
pub async fn body(request: &mut Request) -> Result<Vec<u8>, Rejection> {
    let body = request.take_body();
    let bytes = tokio::time::timeout(ARRIVAL, body.into_bytes_limit(BODY))
        .await
        .map_err(|_| Rejection::new(StatusCode::REQUEST_TIMEOUT, "BAD_REQUEST", "The body took too long to arrive."))?
        .map_err(|error| match error {
            poem::error::ReadBodyError::PayloadTooLarge => too_large(),
            _ => Rejection::bad("The body ended too soon."),
        })?;
    Ok(bytes.into())
}

/// What a body says.
pub fn params(bytes: &[u8]) -> Result<Params, Rejection> {
    let value: Value = serde_json::from_slice(bytes).map_err(|_| Rejection::bad("The body is not JSON."))?;
    if !value.is_object() {
        return Err(Rejection::bad("The body must be one JSON object. Batches are not served."));
    }
    serde_json::from_value(value).map_err(|error| Rejection::bad(format!("The body is no GraphQL request: {error}.")))
}
