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
use poem::http::{HeaderValue, Method, StatusCode, header};
use poem::web::Json;
use poem::{Endpoint, IntoResponse, Request, Response};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::accept::{Media, negotiate};
use super::body::{Rejection, announced, body, length_of_url, params, url_params};
use super::budget::{Budgets, Purse, WRONG_TOKEN};
use super::gate::{Busy, Gate, Places};
use super::groups::{Groups, Unanswered};
use super::operation::{Operation, Unfit};
use super::rules::Rules;
use super::shell::{From, RequestId};
use super::{bearer, events, socket, stream, telemetry};
use crate::domain::accounts::tokens::Tokens;
use crate::domain::identity::caller::Known;
use crate::domain::{App, Error};
use crate::graphql::context::Session;
use crate::graphql::{Masked, ScripSchema, cut, mask};

/// How long an answer may take. A write that takes longer goes on, and is found by its key.
pub const DEADLINE: Duration = Duration::from_secs(25);

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
        let purse = Purse::new(self.budgets.clone(), from, &known.caller);
        // To read a text costs, whether it is then run or not: who may read nothing now is told before it is taken in.
        let announced = if get { Some(length_of_url(request)) } else { announced(request).map_err(failed)? };
        if let Err(Error::RateLimited { wait }) = purse.spend_on(announced.unwrap_or_default()) {
            return Ok(rate_limited(wait, id));
        }
        let params = if get {
            url_params(request)
        } else {
            let bytes = body(request).await.map_err(failed)?;
            if announced.is_none()
                && let Err(Error::RateLimited { wait }) = purse.spend_on(bytes.len())
            {
                return Ok(rate_limited(wait, id));
            }
            params(&bytes)
        };
        let params = params.map_err(failed)?;
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
            stream::run(self, (operation, session), (ended.clone(), ended.clone()), ((), to), id.clone());
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
        match self.groups.ask(operation, session, place).answer(DEADLINE).await {
            Ok(answer) => Ok(answer),
            Err(Unanswered::Broken) => {
                tracing::error!("a request ended in a panic");
                let message = "Something went wrong on our side. Give the requestId to those who run this server.";
                Err(Rejection::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", message))
            }
            Err(Unanswered::Late) => {
                let message = "The answer takes too long. Try again with the same idempotency key: \
                               what was written will be found.";
                Err(Rejection::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message))
            }
        }
    }
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
    let mut error = ServerError::new(cut(&rejection.message), None);
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
