//! Server-Sent Events: the distinct connections mode of
//! <https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md>.

use std::io;
use std::time::Duration;

use async_graphql::Response as Answer;
use futures_util::stream;
use poem::http::{StatusCode, header};
use poem::{Body, Response};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::bearer::Revoked;
use super::gate::Place;
use super::stream::Said;
use super::telemetry::Counted;

/// How often a sign of life is given.
const SIGN: Duration = Duration::from_secs(12);

/// What is left to be sent.
struct Sending {
    answers: mpsc::Receiver<((), Said)>,
    /// The reader hung up: the stream ends, its place is free, and it counts no more.
    _held: (DropGuard, Place, Counted),
    over: bool,
    until: Option<tokio::time::Instant>,
    /// Comes true when what the reader came in with is taken back.
    revoked: Option<Revoked>,
    stop: CancellationToken,
}

/// The response that sends what a stream says, until its token's end or the server's.
pub fn response(
    answers: mpsc::Receiver<((), Said)>,
    ended: CancellationToken,
    (left, revoked): (Option<Duration>, Option<Revoked>),
    stop: CancellationToken,
    place: Place,
) -> Response {
    let until = left.map(|left| tokio::time::Instant::now() + left);
    let held = (ended.drop_guard(), place, Counted::new("events"));
    let sending = Sending { answers, _held: held, over: false, until, revoked, stop };
    let body = stream::unfold(sending, |mut sending| async move {
        let text = next(&mut sending).await?;
        Some((Ok::<_, io::Error>(text), sending))
    });
    Response::builder()
        .status(StatusCode::OK)
        .header(header::CONTENT_TYPE, "text/event-stream")
        .header(header::CACHE_CONTROL, "no-store")
        .header(header::VARY, "Accept")
        .body(Body::from_bytes_stream(body))
}

async fn next(sending: &mut Sending) -> Option<String> {
    if sending.over {
        return None;
    }
    let end = sending.until.unwrap_or_else(|| tokio::time::Instant::now() + Duration::from_hours(24));
    let said = tokio::select! {
        said = sending.answers.recv() => said.map(|((), said)| said),
        () = tokio::time::sleep(SIGN) => return Some(":\n\n".to_owned()),
        () = tokio::time::sleep_until(end) => None,
        () = sending.stop.cancelled() => None,
        () = taken_back(&mut sending.revoked) => None,
    };
    match said {
        Some(Said::Next(answer)) => Some(event(&answer)),
        Some(Said::Error(answer)) => {
            sending.over = true;
            Some(format!("{}event: complete\ndata:\n\n", event(&answer)))
        }
        Some(Said::Complete) => {
            sending.over = true;
            Some("event: complete\ndata:\n\n".to_owned())
        }
        // Not complete: a client that finds the stream cut comes again, with a token that is good.
        None => None,
    }
}

/// Comes true when it is; never where nothing can be taken back.
async fn taken_back(revoked: &mut Option<Revoked>) {
    match revoked {
        Some(revoked) => revoked.await,
        None => std::future::pending().await,
    }
}

fn event(answer: &Answer) -> String {
    let json = serde_json::to_string(answer).unwrap_or_default();
    format!("event: next\ndata: {json}\n\n")
}
