//! GraphQL over HTTP: <https://graphql.github.io/graphql-over-http/draft/>.
//!
//! The method is looked at first, then what the client accepts, then who it is, and only then the body.
//! A request runs in a task of its own or of its group: a client that hangs up does not cancel a write half-way.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use async_graphql::parser::types::OperationType;
use async_graphql::{Response as Answer, ServerError};
use async_graphql_poem::GraphQLResponse;
use poem::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use poem::web::Json;
use poem::{Endpoint, IntoResponse, Request, Response};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::accept::{Media, negotiate};
use super::budget::{Budgets, Purse, WRONG_TOKEN};
use super::gate::{Busy, Gate, Places};
use super::groups::Groups;
use super::operation::{Operation, Params, Unfit};
use super::rules::Rules;
use super::shell::{From, RequestId};
use super::{bearer, events, socket, stream, telemetry};
use crate::domain::accounts::tokens::{Known, Tokens};
use crate::domain::{App, Error};
use crate::graphql::context::Session;
use crate::graphql::{Masked, ScripSchema, mask};

/// Bytes of a request's body.
const BODY: usize = 256 * 1024;
/// How long a body may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(10);
/// How long an answer may take. A write that takes longer goes on, and is found by its key.
const DEADLINE: Duration = Duration::from_secs(25);

/// The endpoint.
pub struct GraphQL {
    pub app: App,
    /// Validates, and charges for what could be answered.
    pub checker: ScripSchema,
    /// Runs what is valid.
    pub schema: ScripSchema,
    pub groups: Groups,
    pub tokens: Arc<Tokens>,
    pub tracker: TaskTracker,
    pub rules: Arc<Rules>,
    pub budgets: Arc<Budgets>,
    /// Lets so many operations run at once.
    pub gate: Gate,
    /// Lets so many sockets and event streams last at once.
    pub streams: Places,
    /// The server is asked to stop.
    pub stop: CancellationToken,
}

/// The endpoint, shared with what outlives a request.
pub struct Door(pub Arc<GraphQL>);

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
struct Rejection {
    status: StatusCode,
    code: &'static str,
    message: String,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Rejection {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), header: None }
    }

    fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", message)
    }

    fn with(self, name: HeaderName, value: &'static str) -> Self {
        Self { header: Some((name, HeaderValue::from_static(value))), ..self }
    }

    fn busy(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message).with(header::RETRY_AFTER, "1")
    }
}

impl Endpoint for Door {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
        if socket::is_asked_for(&request) {
            return Ok(socket::open(&self.0, &request).await);
        }
        Ok(self.0.handle(&mut request, &id).await.unwrap_or_else(|(media, rejection)| reject(media, rejection, &id)))
    }
}

impl GraphQL {
    async fn handle(&self, request: &mut Request, id: &RequestId) -> Result<Response, (Media, Rejection)> {
        let accepted = negotiate(request.header(header::ACCEPT));
        let best = accepted.first().copied();
        let get = match *request.method() {
            Method::GET => true,
            Method::POST => false,
            _ => {
                let rejection = Rejection::new(StatusCode::METHOD_NOT_ALLOWED, "BAD_REQUEST", "Use GET or POST.");
                return Err((best.unwrap_or(Media::Json), rejection.with(header::ALLOW, "GET, POST")));
            }
        };
        let media = best.ok_or_else(|| {
            let message = "Accept application/graphql-response+json, application/json or text/event-stream.";
            (Media::Json, Rejection::new(StatusCode::NOT_ACCEPTABLE, "BAD_REQUEST", message))
        })?;
        let failed = |rejection| (media, rejection);
        let from = request.extensions().get::<From>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |from| from.0);
        let known = self.known(request, from).await.map_err(failed)?;
        let params = if get { url_params(request) } else { body_params(request).await }.map_err(failed)?;
        let purse = Purse::new(self.budgets.clone(), from, &known.caller);
        // To read a text costs, whether it is then run or not.
        if let Err(Error::RateLimited { wait }) = purse.spend(params.points()) {
            return Ok(rate_limited(wait, id));
        }
        let mut operation = match Operation::of(params, &self.rules.documents, purse) {
            Ok(operation) => operation,
            Err(Unfit::Missing(message)) => return Err(failed(Rejection::bad(message))),
            Err(Unfit::TooLarge(message)) => {
                return Err(failed(Rejection::new(StatusCode::BAD_REQUEST, "QUERY_TOO_LARGE", message)));
            }
            Err(Unfit::Invalid(errors)) => return Ok(request_error(media, errors, id)),
        };
        if get && operation.kind == Some(OperationType::Mutation) {
            let message = "GET runs queries and subscriptions only. Use POST.";
            let rejection = Rejection::new(StatusCode::METHOD_NOT_ALLOWED, "BAD_REQUEST", message);
            return Err(failed(rejection.with(header::ALLOW, "POST")));
        }
        // A stream is for what may be many answers: nothing that changes anything runs in one.
        let suits = |media: &&Media| match operation.kind {
            Some(OperationType::Subscription) => **media == Media::Events,
            Some(OperationType::Mutation) => **media != Media::Events,
            _ => true,
        };
        let media = *accepted.iter().find(suits).ok_or_else(|| {
            let message = if operation.kind == Some(OperationType::Mutation) {
                "An event stream runs queries and subscriptions only. Accept application/json."
            } else {
                "A subscription is many answers. Accept text/event-stream, or use graphql-transport-ws."
            };
            failed(Rejection::new(StatusCode::NOT_ACCEPTABLE, "BAD_REQUEST", message))
        })?;
        let failed = |rejection| (media, rejection);
        let changes = operation.kind == Some(OperationType::Mutation);
        let session = Session::new(known.caller.seen_at(from), self.tokens.clone(), id, changes);
        if media == Media::Events {
            let full = || failed(Rejection::busy("The server has no place for another stream."));
            let place = self.streams.take(from).ok_or_else(full)?;
            let (to, answers) = mpsc::channel(1);
            let ended = CancellationToken::new();
            let with = ((&self.checker, &self.schema), &self.tracker);
            let tokens = (ended.clone(), ended.clone());
            stream::run(with, (operation, session), tokens, ((), to), (id.clone(), self.gate.clone()));
            let value = bearer::value(request).ok().flatten().filter(|_| known.revocable);
            let revoked = value.map(|value| bearer::revoked(&self.app, &self.tokens, value));
            return Ok(events::response(answers, ended, (known.left, revoked), self.stop.clone(), place));
        }
        let kind = operation.kind;
        let busy = |_: Busy| failed(Rejection::busy("The server is busy: nothing was done. Try again in a moment."));
        let place = self.gate.enter().await.map_err(busy)?;
        if let Err(errors) = operation.check(&self.checker).await {
            telemetry::operation(kind, false);
            return Ok(request_error(media, errors, id));
        }
        if let Some(path) = operation.beyond_own_answers(session.caller()) {
            let message = format!(
                "This API key may not READ: of what a mutation answers it gets ids, and the outcome of what it did. \
                 Leave out `{path}`, or make a key with READ. Nothing was done."
            );
            telemetry::operation(kind, false);
            return Err(failed(Rejection::new(StatusCode::FORBIDDEN, "FORBIDDEN", &message)));
        }
        let answer = self.execute(operation, session, place).await.map_err(failed)?;
        telemetry::operation(kind, answer.is_ok());
        Ok(executed_answer(media, answer, id))
    }

    /// Who comes in.
    async fn known(&self, request: &Request, from: IpAddr) -> Result<Known, Rejection> {
        let known = bearer::known(&self.app, &self.tokens, request).await;
        known.map_err(|error| {
            if error.passes() {
                tracing::warn!(%error, "a token could not be looked at");
                return Rejection::busy("The token cannot be looked at now. Try again.");
            }
            // Guessing is dear.
            drop(self.budgets.charge(from, WRONG_TOKEN));
            let scheme =
                request.header(header::AUTHORIZATION).unwrap_or_default().split(' ').next().unwrap_or_default();
            let message = if scheme.eq_ignore_ascii_case("bearer") {
                "The token is invalid or expired. Sign in again, or ask for a new one."
            } else {
                "The token is to be sent as `Authorization: Bearer …`."
            };
            Rejection::new(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", message)
        })
    }

    /// Runs an operation apart from the connection that it came in by, for as long as an answer is waited for.
    async fn execute(
        &self,
        operation: Operation,
        session: Session,
        place: OwnedSemaphorePermit,
    ) -> Result<Answer, Rejection> {
        let running = self.groups.ask(operation, session, place);
        match tokio::time::timeout(DEADLINE, running).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => {
                tracing::error!("a request ended in a panic");
                let message = "Something went wrong on our side. Give the requestId to those who run this server.";
                Err(Rejection::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", message))
            }
            Err(_) => {
                let message = "The answer takes too long. Try again with the same idempotency key: \
                               what was written will be found.";
                Err(Rejection::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message))
            }
        }
    }
}

fn url_params(request: &Request) -> Result<Params, Rejection> {
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

async fn body_params(request: &mut Request) -> Result<Params, Rejection> {
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
    let too_large = || {
        let message = format!("The body must be at most {BODY} bytes.");
        Rejection::new(StatusCode::PAYLOAD_TOO_LARGE, "QUERY_TOO_LARGE", message)
    };
    if request
        .header(header::CONTENT_LENGTH)
        .and_then(|length| length.parse().ok())
        .is_some_and(|length: usize| length > BODY)
    {
        return Err(too_large());
    }
    let body = request.take_body();
    let bytes = tokio::time::timeout(ARRIVAL, body.into_bytes_limit(BODY))
        .await
        .map_err(|_| Rejection::new(StatusCode::REQUEST_TIMEOUT, "BAD_REQUEST", "The body took too long to arrive."))?
        .map_err(|error| match error {
            poem::error::ReadBodyError::PayloadTooLarge => too_large(),
            _ => Rejection::bad("The body ended too soon."),
        })?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|_| Rejection::bad("The body is not JSON."))?;
    if !value.is_object() {
        return Err(Rejection::bad("The body must be one JSON object. Batches are not served."));
    }
    serde_json::from_value(value).map_err(|error| Rejection::bad(format!("The body is no GraphQL request: {error}.")))
}

/// The answer to a request that began to run: 200, unless all there is to say is that it could not be answered.
fn executed_answer(media: Media, mut answer: Answer, id: &RequestId) -> Response {
    let masked = mask(&mut answer, id);
    let status = match masked {
        Masked::Unauthenticated => StatusCode::UNAUTHORIZED,
        Masked::Unavailable if answer.data == async_graphql::Value::Null => StatusCode::SERVICE_UNAVAILABLE,
        Masked::RateLimited(_) => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::OK,
    };
    waiting(with_headers(media, status, GraphQLResponse(answer).into_response()), masked)
}

/// The answer to a request that never began to run: a query that does not parse, or is not valid.
fn request_error(media: Media, errors: Vec<ServerError>, id: &RequestId) -> Response {
    let mut answer = Answer::from_errors(errors);
    let masked = mask(&mut answer, id);
    let status = match (media, masked) {
        (_, Masked::RateLimited(_)) => StatusCode::TOO_MANY_REQUESTS,
        (Media::GraphQL | Media::Events, _) | (_, Masked::TooLarge) => StatusCode::BAD_REQUEST,
        // Clients of the older type take anything but 200 for a failure of the network.
        (Media::Json, _) => StatusCode::OK,
    };
    waiting(with_headers(media, status, Json(ErrorsOnly { errors: &answer.errors }).into_response()), masked)
}

/// Says when to come again, where it is known.
fn waiting(mut response: Response, masked: Masked) -> Response {
    let seconds = match masked {
        Masked::RateLimited(seconds) => seconds,
        _ if response.status() == StatusCode::SERVICE_UNAVAILABLE => 1,
        _ => return response,
    };
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// The answer to an address that has asked for too much: the same wherever it asks.
pub fn rate_limited(wait: Duration, id: &RequestId) -> Response {
    let mut error = ServerError::new("", None);
    error.source = Some(Arc::new(Error::RateLimited { wait }));
    request_error(Media::Json, vec![error], id)
}

/// A response without `data`: nothing was executed.
#[derive(serde::Serialize)]
struct ErrorsOnly<'a> {
    errors: &'a [ServerError],
}

fn reject(media: Media, rejection: Rejection, id: &RequestId) -> Response {
    metrics::counter!("scrip_errors_total", "code" => rejection.code).increment(1);
    let mut error = ServerError::new(rejection.message, None);
    let mut extensions = async_graphql::ErrorExtensionValues::default();
    extensions.set("code", rejection.code);
    extensions.set("requestId", id.as_str());
    error.extensions = Some(extensions);
    let only_errors = Json(ErrorsOnly { errors: &[error] }).into_response();
    let mut response = with_headers(media, rejection.status, only_errors);
    if let Some((name, value)) = rejection.header {
        response.headers_mut().insert(name, value);
    }
    response
}

/// The status and the headers that an answer in JSON has here.
fn with_headers(media: Media, status: StatusCode, mut response: Response) -> Response {
    response.set_status(status);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media.of_one_answer()));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
