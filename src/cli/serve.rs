//! `scrip serve`: the production form.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::doors;
use super::house::{self, House};
use super::metrics::Metrics;
use crate::config::Settings;
use crate::http::{self, Doors, Start};
use crate::worker::Worker;

/// How long what is under way may take once the server takes no more.
const LAST: Duration = Duration::from_secs(25);

#[derive(Args)]
pub struct Serve {
    /// The address to listen at, such as 0.0.0.0:8080.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where the data is: sqlite:PATH or postgres://…
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
}

impl Serve {
    pub fn flags(&self) -> Vec<(&'static str, Option<String>)> {
        vec![("listen", self.listen.clone()), ("database_url", self.database_url.clone())]
    }

    pub async fn run(&self, settings: Settings) -> Result<()> {
        // Secrets first: what is missing is said before anything is touched.
        settings.secret("signing_secret")?;
        settings.secret("ledger_key")?;
        house::log(&settings)?;
        let stop = house::asked_to_stop()?;
        let house = House::open(&settings).await?;
        let rules = doors::rules(&settings)?;
        let listener = listen(&settings).await?;
        let metrics = Metrics::start(&settings, &house.app).await?;
        tracing::info!(address = %listener.local_addr()?, version = env!("CARGO_PKG_VERSION"), "serving");
        let doors = Doors {
            app: house.app,
            tokens: house.tokens,
            start: Start::default(),
            local_only: false,
            rules,
            tracker: tokio_util::task::TaskTracker::new(),
            stop: tokio_util::sync::CancellationToken::new(),
        };
        serve(listener, doors, stop).await?;
        metrics.stop().await;
        #[cfg(feature = "otlp")]
        super::traces::flush().await;
        tracing::info!("stopped: every accepted write is kept");
        Ok(())
    }
}

/// Serves and works until it is asked to stop, then finishes what is under way, as far as [`LAST`] lets it.
pub async fn serve(listener: TcpListener, doors: Doors, stop: impl Future<Output = ()>) -> Result<()> {
    let (app, requests, closed) = (doors.app.clone(), doors.tracker.clone(), CancellationToken::new());
    let worker = Worker::start(app.clone());
    let work = async {
        closed.cancelled().await;
        worker.stop().await;
    };
    let all = async {
        let (served, ()) = tokio::join!(http::serve(listener, doors, stop, closed.clone()), work);
        app.close().await;
        served.context("the server ended")
    };
    let late = async {
        closed.cancelled().await;
        tokio::time::sleep(LAST).await;
    };
    tokio::select! {
        served = all => served,
        () = late => {
            let left = app.left();
            tracing::error!(
                requests = requests.len(),
                commands = left.commands,
                connections = left.connections,
                "stopped after {} s with work left: what was acknowledged is kept, the rest is not done",
                LAST.as_secs()
            );
            bail!("it stopped with work left; the log says how much")
        }
    }
}

/// Takes the address that the settings name.
pub async fn listen(settings: &Settings) -> Result<TcpListener> {
    let address = settings.get("listen").unwrap_or_default().to_owned();
    TcpListener::bind(&address).await.map_err(|error| {
        if error.kind() == std::io::ErrorKind::AddrInUse {
            anyhow::anyhow!("{address} is taken by another program. Choose another with --listen 127.0.0.1:8081")
        } else {
            anyhow::anyhow!("cannot listen at {address}: {error}. Choose another address with --listen")
        }
    })
}
