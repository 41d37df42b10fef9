//! Connections: how many there may be, how long one may take to say what it wants and to take what it gets.
//!
//! HTTP/1.1 only: what speaks HTTP/2 to browsers is the proxy with TLS before it. The framework's own loop has no limit
//! on connections and no time limit for the head of a request.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use poem::http::uri::Scheme;
use poem::http::{StatusCode, header};
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Endpoint, Response};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::lengths::Lengths;

/// How long the head of a request may take to arrive, the wait for the next one on the same connection included.
const HEAD: Duration = Duration::from_secs(30);
/// How long a client may take nothing of what is sent to it.
const STALL: Duration = Duration::from_secs(30);
/// Header lines of a request.
const HEADERS: usize = 64;
/// Bytes of the head of a request.
const HEAD_BYTES: usize = 32 * 1024;
/// How long nobody is let in after the machine had no place for a connection.
const PAUSE: Duration = Duration::from_millis(100);
/// What a connection is told for which there is no place.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// Serves an endpoint until `stop`, then lets what is under way end, for `grace` at most.
pub async fn run<E>(
    listener: TcpListener,
    endpoint: E,
    connections: usize,
    stop: CancellationToken,
    grace: Duration,
) -> io::Result<()>
where
    E: Endpoint<Output = Response> + 'static,
{
    let (endpoint, places) = (Arc::new(endpoint), Arc::new(Semaphore::new(connections)));
    let (tracker, cut) = (TaskTracker::new(), CancellationToken::new());
    let local = LocalAddr(Addr::SocketAddr(listener.local_addr()?));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            metrics::counter!("scrip_connections_refused_total").increment(1);
            turn_away(stream);
            continue;
        };
        let remote = RemoteAddr(Addr::SocketAddr(remote));
        let served = serve(stream, endpoint.clone(), (local.clone(), remote), place, (stop.clone(), cut.clone()));
        tracker.spawn(served);
    }
    drop(listener);
    tracker.close();
    if tokio::time::timeout(grace, tracker.wait()).await.is_err() {
        tracing::warn!(connections = tracker.len(), "connections that did not end in time are cut");
        cut.cancel();
        tracker.wait().await;
    }
    Ok(())
}

async fn serve<E>(
    stream: TcpStream,
    endpoint: Arc<E>,
    (local, remote): (LocalAddr, RemoteAddr),
    place: OwnedSemaphorePermit,
    (stop, cut): (CancellationToken, CancellationToken),
) where
    E: Endpoint<Output = Response> + 'static,
{
    // Answers are small and wanted at once.
    drop(stream.set_nodelay(true));
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(STALL));
    let (stream, length_seen) = Lengths::of(Box::pin(stream));
    let place = Arc::new(place);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (endpoint, local, remote) = (endpoint.clone(), local.clone(), remote.clone());
        let place = place.clone();
        let contradicts = length_seen.take() && request.headers().contains_key(header::TRANSFER_ENCODING);
        async move {
            let mut request = poem::Request::from((request, local, remote, Scheme::HTTP));
            // A socket keeps its place for as long as it lasts, which is longer than its connection is HTTP.
            request.extensions_mut().insert(Place(place));
            let answer = if contradicts { contradiction() } else { endpoint.get_response(request).await };
            let answer: hyper::Response<_> = answer.into();
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(HEADERS)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    tokio::select! {
        _ = &mut connection => return,
        () = cut.cancelled() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = connection => {}
        () = cut.cancelled() => {}
    }
}

/// The answer to a request whose head says in two ways how long it is. Its connection ends with it.
fn contradiction() -> Response {
    let text = "Content-Length and Transfer-Encoding contradict each other. Send one of them.\n";
    let response = Response::builder().status(StatusCode::BAD_REQUEST).header(header::CONNECTION, "close");
    response.content_type("text/plain; charset=utf-8").body(text)
}

/// The place that a connection takes.
#[derive(Clone)]
pub struct Place(#[expect(dead_code, reason = "held, not looked at")] Arc<OwnedSemaphorePermit>);

/// Says in a word that there is no place, and hangs up.
fn turn_away(mut stream: TcpStream) {
    tokio::spawn(async move {
        let told = async {
            stream.write_all(FULL).await?;
            stream.shutdown().await
        };
        drop(tokio::time::timeout(Duration::from_secs(1), told).await);
    });
}
