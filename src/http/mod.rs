//! The doors: URLs, tokens, pages.

mod accept;
mod bearer;
mod events;
mod graphql;
mod guard;
mod health;
mod hooks;
mod operation;
mod origin;
mod pages;
mod reports;
mod shell;
mod socket;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use poem::listener::Acceptor;
use poem::{Endpoint, EndpointExt, Response, Route, Server};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use pages::{Example, Start};

use crate::domain::App;
use crate::domain::accounts::tokens::Tokens;
use crate::graphql::builder;

/// How long the server waits for requests that are under way when it is asked to stop.
const GRACE: Duration = Duration::from_secs(20);
/// How long a connection may be idle.
const IDLE: Duration = Duration::from_secs(75);

/// What the doors open to.
pub struct Doors {
    pub app: App,
    pub tokens: Arc<Tokens>,
    /// What GraphiQL starts with.
    pub start: Start,
    /// Only requests that name this machine itself are answered: a page elsewhere whose name is made to point here
    /// must not get at the development token.
    pub local_only: bool,
    /// The origins of pages that may open live updates, beside this server's own.
    pub origins: Vec<String>,
    /// The writes and streams that are under way.
    pub tracker: TaskTracker,
    /// Ends the streams.
    pub stop: CancellationToken,
}

/// Everything that is served.
#[must_use]
pub fn endpoint(doors: Doors) -> impl Endpoint<Output = Response> {
    let graphql = graphql::GraphQL {
        app: doors.app.clone(),
        schema: builder().extension(operation::MarkExecuted).finish(),
        tokens: doors.tokens.clone(),
        tracker: doors.tracker,
        origins: doors.origins,
        stop: doors.stop,
    };
    let routes = Route::new()
        .at("/", pages::index())
        .at("/graphql", graphql::Door(Arc::new(graphql)))
        .at("/graphiql", pages::graphiql(&doors.start))
        .at("/graphiql/:file", pages::asset())
        .at("/o/:account/:slug", pages::OrderForm { app: doors.app.clone() })
        .at("/hooks/:provider/:account", hooks::Hooks { app: doors.app.clone() })
        .at("/reports/:file", reports::Reports { app: doors.app.clone(), tokens: doors.tokens })
        .at("/health/live", health::live())
        .at("/health/ready", health::ready(doors.app));
    shell::Shell { inner: routes.map_to_response(), local_only: doors.local_only }
}

/// Serves until `stop` comes true, then finishes the requests that are under way. The app stays open.
pub async fn serve<A>(acceptor: A, doors: Doors, stop: impl Future<Output = ()>) -> std::io::Result<()>
where
    A: Acceptor + 'static,
{
    let (tracker, streams) = (doors.tracker.clone(), doors.stop.clone());
    // Streams would go on for ever: they end first.
    let stop = async move {
        stop.await;
        streams.cancel();
    };
    let served = Server::new_with_acceptor(acceptor)
        .idle_timeout(IDLE)
        .run_with_graceful_shutdown(endpoint(doors), stop, Some(GRACE))
        .await;
    // Requests whose connection is gone may still be writing.
    tracker.close();
    tracker.wait().await;
    served
}
