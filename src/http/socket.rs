//! `graphql-transport-ws` over WebSocket:
//! <https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md>.
//!
//! The token comes in the payload of `connection_init`, as `{"authorization": "Bearer …"}`; a connection is closed when
//! its token ends, with the server, and when its reader takes nothing for too long.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use async_graphql::http::WebSocketProtocols;
use async_graphql::parser::types::OperationType;
use async_graphql::{Response as Answer, ServerError};
use async_graphql_poem::GraphQLProtocol;
use futures_util::{SinkExt, StreamExt};
use poem::http::{StatusCode, header};
use poem::web::websocket::{CloseCode, Message, WebSocket, WebSocketConfig, WebSocketStream};
use poem::{FromRequest, IntoResponse, Request, RequestBody, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant as Moment, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::bearer::{self, Revoked};
use super::budget::{Purse, WRONG_TOKEN};
use super::graphql::GraphQL;
use super::operation::{Operation, Params, Unfit};
use super::origin;
use super::server::Place;
use super::shell::{From, RequestId};
use super::stream::{self, Said};
use super::telemetry::Counted;
use crate::domain::identity::caller::Known;
use crate::domain::{Caller, Error};
use crate::graphql::context::Session;
use crate::graphql::mask;

/// The protocol's name.
const PROTOCOL: &str = "graphql-transport-ws";
/// Bytes of a message.
const MESSAGE: usize = 256 * 1024;
/// Bytes of an answer.
const ANSWER: usize = 8 * 1024 * 1024;
/// How long a client may take to say who it is.
const INIT: Duration = Duration::from_secs(10);
/// How long a message may take to be sent.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a sign of life is asked for, and after how many without an answer the client is given up.
const SIGN: Duration = Duration::from_secs(20);
const SIGNS: u32 = 3;
/// Operations of one connection at a time.
const OPERATIONS: usize = 50;
/// A connection without a token lasts as long as one that is forgotten.
const LONGEST: Duration = Duration::from_hours(24);
/// One of somebody who brings no token, and can watch nothing, lasts not as long.
const STRANGER: Duration = Duration::from_mins(1);

/// The client's id of an operation, and which of all that ran it is.
type Run = (String, u64);

/// Why a connection is closed, as the protocol has it.
struct Close(u16, String);

fn close(code: u16, reason: impl Into<String>) -> Close {
    Close(code, reason.into())
}

/// What a client says.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Heard {
    ConnectionInit {
        #[serde(default)]
        payload: Option<Value>,
    },
    Ping,
    Pong,
    Subscribe {
        id: String,
        payload: Params,
    },
    Complete {
        id: String,
    },
}

/// Whether a request asks for a socket.
pub fn is_asked_for(request: &Request) -> bool {
    request.header(header::UPGRADE).is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

/// Opens a socket for pages of this server and of the origins that are allowed.
pub async fn open(doors: &Arc<GraphQL>, request: &Request) -> Response {
    let id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
    if !origin::is_allowed(request, &doors.rules) {
        return (StatusCode::FORBIDDEN, "Pages of this origin may not open live updates: see allowed_origins.\n")
            .into_response();
    }
    let from = request.extensions().get::<From>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |from| from.0);
    let Some(place) = doors.streams.take(from) else {
        let message = "The server has no place for another socket. Try again later.\n";
        return (StatusCode::SERVICE_UNAVAILABLE, message).into_response();
    };
    let connection = request.extensions().get::<Place>().cloned();
    let protocol = GraphQLProtocol::from_request(request, &mut RequestBody::default()).await;
    let knows = protocol.is_ok_and(|GraphQLProtocol(protocol)| protocol == WebSocketProtocols::GraphQLWS);
    let socket = match WebSocket::from_request(request, &mut RequestBody::default()).await {
        Ok(socket) => socket,
        Err(error) => return error.into_response(),
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(4 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * ANSWER)
        .max_message_size(Some(MESSAGE))
        .max_frame_size(Some(MESSAGE));
    let (doors, tracker) = (doors.clone(), doors.tracker.clone());
    socket
        .protocols([PROTOCOL])
        .config(config)
        .on_upgrade(move |socket| async move {
            let served = tracker.spawn(async move {
                let (_place, _connection, _counted) = (place, connection, Counted::new("socket"));
                let mut socket = socket;
                let connection = Connection::new(doors, id, from);
                let why =
                    if knows { connection.serve(&mut socket).await } else { close(4406, "Subprotocol not acceptable") };
                let Close(code, reason) = why;
                // Whoever is gone already is told nothing.
                let goodbye = async {
                    drop(socket.send(Message::Close(Some((CloseCode::from(code), reason)))).await);
                    drop(socket.close().await);
                };
                drop(timeout(Duration::from_secs(1), goodbye).await);
            });
            drop(served.await);
        })
        .into_response()
}

/// One client.
struct Connection {
    doors: Arc<GraphQL>,
    id: RequestId,
    from: IpAddr,
    /// Who it is, once it has said so.
    caller: Option<Caller>,
    until: Moment,
    /// Comes true when what it came in with is taken back; never, until it has said who it is.
    revoked: Revoked,
    /// What runs under each id, and which of all that ever ran it is: an id may be used again.
    running: HashMap<String, (u64, CancellationToken)>,
    begun: u64,
    /// Ends all that it runs.
    ended: CancellationToken,
    answers: mpsc::Receiver<(Run, Said)>,
    to: mpsc::Sender<(Run, Said)>,
    silent: u32,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.ended.cancel();
    }
}

impl Connection {
    fn new(doors: Arc<GraphQL>, id: RequestId, from: IpAddr) -> Self {
        let (to, answers) = mpsc::channel(1);
        let (until, ended) = (Moment::now() + INIT, CancellationToken::new());
        let (caller, running, revoked) = (None, HashMap::new(), Box::pin(std::future::pending()));
        Self { doors, id, from, caller, until, revoked, running, begun: 0, ended, answers, to, silent: 0 }
    }

    /// Serves until the client goes, or has to.
    async fn serve(mut self, socket: &mut WebSocketStream) -> Close {
        let stop = self.doors.stop.clone();
        let mut sign = tokio::time::interval_at(Moment::now() + SIGN, SIGN);
        loop {
            let done = tokio::select! {
                heard = socket.next() => match heard {
                    Some(Ok(message)) => self.hear(socket, message).await,
                    Some(Err(_)) | None => Err(close(1000, "")),
                },
                Some((run, said)) = self.answers.recv() => self.say(socket, &run, said).await,
                _ = sign.tick() => self.sign(socket).await,
                () = sleep_until(self.until) => Err(if self.caller.is_some() {
                    close(4403, "Forbidden: the token has expired")
                } else {
                    close(4408, "Connection initialisation timeout")
                }),
                () = &mut self.revoked => Err(close(4403, "Forbidden: the token was revoked")),
                () = stop.cancelled() => Err(close(1001, "The server is going away")),
                () = self.ended.cancelled() => Err(close(1013, "The reader was too slow")),
            };
            if let Err(why) = done {
                return why;
            }
        }
    }

    /// Who pays for what is said: whoever it is, or its address.
    fn purse(&self) -> Purse {
        let budgets = self.doors.budgets.clone();
        match &self.caller {
            Some(caller) => Purse::new(budgets, self.from, caller),
            None => Purse::new(budgets, self.from, &Caller::anyone(self.doors.app.clone())),
        }
    }

    async fn sign(&mut self, socket: &mut WebSocketStream) -> Result<(), Close> {
        self.silent += 1;
        if self.silent > SIGNS {
            return Err(close(1001, "No sign of life"));
        }
        send(socket, Message::ping(Vec::new())).await
    }

    async fn hear(&mut self, socket: &mut WebSocketStream, message: Message) -> Result<(), Close> {
        self.silent = 0;
        // Each costs, whatever it says: a point, and one for each 256 bytes.
        let purse = self.purse();
        if let Err(Error::RateLimited { wait }) = purse.spend_on(message.as_bytes().len()) {
            let seconds = wait.as_secs() + 1;
            return Err(close(1013, format!("Too much was asked for: come again in {seconds} s")));
        }
        let text = match message {
            Message::Text(text) => text,
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
            Message::Close(_) => return Err(close(1000, "")),
            Message::Binary(_) => return Err(close(4400, "Invalid message: only text is understood")),
        };
        let heard = serde_json::from_str(&text).map_err(|_| close(4400, "Invalid message"))?;
        match heard {
            Heard::ConnectionInit { payload } => self.init(socket, payload).await,
            Heard::Ping => send(socket, Message::text(r#"{"type":"pong"}"#)).await,
            Heard::Pong => Ok(()),
            Heard::Subscribe { id, payload } => self.subscribe(socket, (id, payload), purse).await,
            Heard::Complete { id } => {
                if let Some((_, running)) = self.running.remove(&id) {
                    running.cancel();
                }
                Ok(())
            }
        }
    }

    /// Learns who it is.
    async fn init(&mut self, socket: &mut WebSocketStream, payload: Option<Value>) -> Result<(), Close> {
        if self.caller.is_some() {
            return Err(close(4429, "Too many initialisation requests"));
        }
        let given = payload.as_ref().and_then(Value::as_object).and_then(|payload| {
            payload.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization")).map(|(_, value)| value)
        });
        let (app, tokens) = (&self.doors.app, &self.doors.tokens);
        let known = match given {
            None => Known { left: Some(STRANGER), ..bearer::anyone(app) },
            Some(value) => {
                let value = value.as_str().unwrap_or_default();
                let known = bearer::read(app, tokens, value).await.map_err(|error| {
                    if error.passes() {
                        return close(1013, "The token cannot be looked at now");
                    }
                    // Guessing is dear.
                    drop(self.doors.budgets.charge(self.from, WRONG_TOKEN));
                    close(4403, "Forbidden: the token is invalid or expired")
                })?;
                if known.revocable {
                    self.revoked = bearer::revoked(app, tokens, value.to_owned());
                }
                known
            }
        };
        self.caller = Some(known.caller);
        self.until = Moment::now() + known.left.unwrap_or(LONGEST).min(LONGEST);
        send(socket, Message::text(r#"{"type":"connection_ack"}"#)).await
    }

    async fn subscribe(
        &mut self,
        socket: &mut WebSocketStream,
        (id, params): (String, Params),
        purse: Purse,
    ) -> Result<(), Close> {
        let Some(caller) = self.caller.clone() else { return Err(close(4401, "Unauthorized")) };
        if self.running.contains_key(&id) {
            return Err(close(
                4409,
                format!("Subscriber for {} already exists", id.chars().take(64).collect::<String>()),
            ));
        }
        if self.running.len() >= OPERATIONS {
            return self.refuse(socket, &id, &format!("A connection runs {OPERATIONS} operations at a time.")).await;
        }
        match Operation::of(params, &self.doors.rules.documents, purse) {
            Ok(operation) if operation.kind == Some(OperationType::Mutation) => {
                self.refuse(socket, &id, "A socket runs queries and subscriptions only. Send mutations by POST.").await
            }
            Ok(operation) => {
                let ended = self.ended.child_token();
                self.begun += 1;
                self.running.insert(id.clone(), (self.begun, ended.clone()));
                let session = Session::new(caller, self.doors.tokens.clone(), &self.id, false);
                let (tokens, name) = ((ended, self.ended.clone()), (id, self.begun));
                stream::run(&self.doors, (operation, session), tokens, (name, self.to.clone()), self.id.clone());
                Ok(())
            }
            Err(Unfit::Missing(message) | Unfit::TooLarge(message)) => self.refuse(socket, &id, &message).await,
            Err(Unfit::Invalid(errors)) => self.fail(socket, &id, errors).await,
        }
    }

    /// Says what is wrong with an operation that does not begin.
    async fn fail(&mut self, socket: &mut WebSocketStream, id: &str, errors: Vec<ServerError>) -> Result<(), Close> {
        let mut answer = Answer::from_errors(errors);
        mask(&mut answer, &self.id);
        let told = json!({ "id": id, "type": "error", "payload": answer.errors });
        send(socket, Message::text(told.to_string())).await
    }

    async fn refuse(&mut self, socket: &mut WebSocketStream, id: &str, message: &str) -> Result<(), Close> {
        let extensions = json!({ "code": "BAD_REQUEST", "requestId": *self.id });
        let payload = json!([{ "message": message, "extensions": extensions }]);
        send(socket, Message::text(json!({ "id": id, "type": "error", "payload": payload }).to_string())).await
    }

    async fn say(&mut self, socket: &mut WebSocketStream, (id, run): &Run, said: Said) -> Result<(), Close> {
        // What its client has completed is over, whatever was still on its way.
        if self.running.get(id).is_none_or(|(running, _)| running != run) {
            return Ok(());
        }
        let key = serde_json::to_string(id).unwrap_or_default();
        let text = match &said {
            // Written as it is: through a `Value` its keys would lose their order.
            Said::Next(answer) => {
                format!(
                    r#"{{"id":{key},"type":"next","payload":{}}}"#,
                    serde_json::to_string(answer).unwrap_or_default()
                )
            }
            Said::Error(answer) => {
                let errors = serde_json::to_string(&answer.errors).unwrap_or_default();
                format!(r#"{{"id":{key},"type":"error","payload":{errors}}}"#)
            }
            Said::Complete => format!(r#"{{"id":{key},"type":"complete"}}"#),
        };
        if text.len() > ANSWER {
            if let Some((_, running)) = self.running.remove(id) {
                running.cancel();
            }
            return self
                .refuse(socket, id, "The answer is larger than a socket carries. Ask for less at a time.")
                .await;
        }
        if !matches!(said, Said::Next(_)) {
            self.running.remove(id);
        }
        send(socket, Message::text(text)).await
    }
}

async fn send(socket: &mut WebSocketStream, message: Message) -> Result<(), Close> {
    match timeout(PATIENCE, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(close(1000, "")),
        Err(_) => Err(close(1013, "The reader was too slow")),
    }
}
