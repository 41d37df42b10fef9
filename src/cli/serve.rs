//! `scrip serve`: the production form.

use anyhow::{Context, Result};
use clap::Args;
use poem::listener::{Acceptor, Listener, TcpListener};

use super::house::{self, House};
use crate::config::Settings;
use crate::http::{self, Doors, Start};
use crate::worker::Worker;

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
        let acceptor = listen(&settings).await?;
        for address in acceptor.local_addr() {
            tracing::info!(%address, "serving");
        }
        let doors = Doors {
            app: house.app,
            tokens: house.tokens,
            start: Start::default(),
            local_only: false,
            origins: settings.list("allowed_origins"),
            tracker: tokio_util::task::TaskTracker::new(),
            stop: tokio_util::sync::CancellationToken::new(),
        };
        serve(acceptor, doors, stop).await?;
        tracing::info!("stopped: every accepted write is kept");
        Ok(())
    }
}

/// Serves and works until it is asked to stop, then finishes what is under way.
pub async fn serve<A>(acceptor: A, doors: Doors, stop: impl Future<Output = ()>) -> Result<()>
where
    A: Acceptor + 'static,
{
    let app = doors.app.clone();
    let worker = Worker::start(app.clone());
    let served = http::serve(acceptor, doors, stop).await;
    worker.stop().await;
    app.close().await;
    served.context("the server ended")
}

/// Takes the address that the settings name.
pub async fn listen(settings: &Settings) -> Result<impl Acceptor + use<>> {
    let address = settings.get("listen").unwrap_or_default().to_owned();
    TcpListener::bind(address.clone()).into_acceptor().await.map_err(|error| {
        if error.kind() == std::io::ErrorKind::AddrInUse {
            anyhow::anyhow!("{address} is taken by another program. Choose another with --listen 127.0.0.1:8081")
        } else {
            anyhow::anyhow!("cannot listen at {address}: {error}. Choose another address with --listen")
        }
    })
}
