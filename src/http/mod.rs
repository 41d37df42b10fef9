//! The doors: URLs, tokens, pages.

pub(crate) mod accept;
mod address;
mod apart;
mod bearer;
mod body;
mod budget;
mod checked;
mod compression;
mod cors;
mod documents;
mod events;
mod exports;
mod files;
mod gate;
mod graphql;
mod groups;
pub(crate) mod guard;
mod health;
mod hooks;
mod lengths;
mod operation;
mod origin;
mod pages;
mod reports;
mod rules;
mod server;
mod shell;
mod socket;
mod stream;
mod telemetry;

use std::sync::Arc;
use std::time::Duration;

use poem::{Endpoint, EndpointExt, Response, Route};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use documents::{Documents, Trust};
pub use pages::{Example, Start};
pub use rules::Rules;

use crate::domain::App;
use crate::domain::accounts::tokens::Tokens;
use crate::graphql::ScripSchema;

/// How long the server waits for requests that are under way when it is asked to stop; after that who waits for a query is
/// cut off, and the query with it.
const GRACE: Duration = Duration::from_secs(15);
/// Connections at once to what there is to be measured.
const METRICS: usize = 16;

/// What the doors open to.
pub struct Doors {
    pub app: App,
    pub tokens: Arc<Tokens>,
    /// What GraphiQL starts with.
    pub start: Start,
    /// Only requests that name this machine itself are answered: a page elsewhere whose name is made to point here
    /// must not get at the development token.
    pub local_only: bool,
    /// What they let through.
    pub rules: Rules,
    /// The writes and streams that are under way.
    pub tracker: TaskTracker,
    /// Ends the streams.
    pub stop: CancellationToken,
}

/// Everything that is served.
#[must_use]
pub fn endpoint(doors: Doors) -> impl Endpoint<Output = Response> {
    let rules = Arc::new(doors.rules);
    let budgets = Arc::new(budget::Budgets::new(&rules));
    let gate = gate::Gate::new(rules.at_once);
    let files = || files::Files {
        app: doors.app.clone(),
        tokens: doors.tokens.clone(),
        gate: gate.clone(),
        budgets: budgets.clone(),
    };
    let checker = ScripSchema::validating(budget::Charge);
    let schema = ScripSchema::trusting();
    let graphql = graphql::GraphQL {
        app: doors.app.clone(),
        checker,
        groups: groups::Groups::new(schema.clone(), doors.tracker.clone()),
        schema,
        tokens: doors.tokens.clone(),
        tracker: doors.tracker,
        budgets: budgets.clone(),
        gate: gate.clone(),
        streams: gate::Places::new(rules.streams),
        rules: rules.clone(),
        stop: doors.stop.clone(),
    };
    let routes = Route::new()
        .at("/", poem::get(pages::index()).post(pages::nowhere()))
        .at("/graphql", graphql::Door(Arc::new(graphql)))
        .at("/graphiql", pages::graphiql(&doors.start))
        .at("/graphiql/:file", pages::asset())
        .at("/o/:account/:slug", pages::OrderForm { app: doors.app.clone() })
        .at("/hooks/:provider/:account", hooks::Hooks { app: doors.app.clone() })
        .at("/reports/:file", reports::Reports(files()))
        .at("/exports/:file", exports::Exports(files()))
        .at("/health/live", health::live())
        .at("/health/ready", health::ready(doors.app, doors.stop));
    shell::Shell { inner: routes.map_to_response(), local_only: doors.local_only, rules, budgets }
}

/// Serves until `stop` comes true, says so by `closed`, then finishes the requests that are under way. The app stays open.
pub async fn serve(
    listener: TcpListener,
    doors: Doors,
    stop: impl Future<Output = ()>,
    closed: CancellationToken,
) -> std::io::Result<()> {
    let (tracker, going, drain) = (doors.tracker.clone(), doors.stop.clone(), doors.rules.drain);
    let connections = doors.rules.connections;
    let served = server::run(listener, endpoint(doors), connections, closed.clone(), GRACE);
    let asked = async {
        stop.await;
        tracing::info!(seconds = drain.as_secs(), "asked to stop: finishing what is under way");
        // From here on it is not ready: whoever shares out requests sends no more, and streams, which would go on for
        // ever, end. Who still comes is still served, for as long as others need to notice.
        going.cancel();
        tokio::time::sleep(drain).await;
        closed.cancel();
    };
    let (served, ()) = tokio::join!(served, asked);
    // Requests whose connection is gone may still be writing.
    tracker.close();
    tracker.wait().await;
    served
}

/// Serves what there is to be measured, at an address of its own, until `stop`.
pub async fn serve_metrics<F>(listener: TcpListener, render: F, stop: CancellationToken) -> std::io::Result<()>
where
    F: Fn() -> String + Clone + Send + Sync + 'static,
{
    let page = poem::endpoint::make_sync(move |_| {
        Response::builder().content_type("text/plain; version=0.0.4; charset=utf-8").body(render())
    });
    let routes = Route::new().at("/metrics", page).map_to_response();
    server::run(listener, routes, METRICS, stop, Duration::from_secs(1)).await
}
