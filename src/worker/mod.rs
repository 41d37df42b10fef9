//! What happens later: takes due jobs of live accounts, does them, and says what became of them. Several servers on one
//! database share the work: each job is in one pair of hands at a time.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::domain::jobs::{self, Claimed};
use crate::domain::{App, Result};

/// Jobs that are taken at a time.
const BATCH: u64 = 256;
/// How often it looks for what is due.
const TICK: Duration = Duration::from_secs(1);
/// How often a lease is renewed: a third of how long it lasts.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The worker of this server.
pub struct Worker {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Worker {
    /// Starts it.
    #[must_use]
    pub fn start(app: App) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(work(app, stop.clone()));
        Self { stop, task }
    }

    /// Finishes what is in hand and takes no more. What was not begun is done by whoever comes next.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the worker did not end by itself");
        }
    }
}

async fn work(app: App, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match round(&app).await {
            // More may be due.
            Ok(count) if count > 0 => continue,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the worker could not look for work; it tries again"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = app.woken() => {}
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

/// Takes what is due and does it; answers how many jobs that were.
pub async fn round(app: &App) -> Result<usize> {
    let claimed = jobs::claim(app, BATCH).await?;
    let mut running = claimed.iter().map(|job| carry_out(app, job)).collect::<FuturesUnordered<_>>();
    let mut heartbeat = tokio::time::interval_at(tokio::time::Instant::now() + HEARTBEAT, HEARTBEAT);
    loop {
        tokio::select! {
            done = running.next() => if done.is_none() { break },
            _ = heartbeat.tick() => {
                // The jobs go on meanwhile, in tasks of their own.
                if let Err(error) = jobs::heartbeat(app, &claimed).await {
                    tracing::warn!(%error, "leases could not be renewed");
                }
            }
        }
    }
    Ok(claimed.len())
}

async fn carry_out(app: &App, job: &Claimed) {
    let became = jobs::perform(app, job.clone()).await;
    if let Err(error) = jobs::conclude(app, job, became).await {
        // Its lease ends by itself, and somebody tries again.
        tracing::warn!(job = %job.id(), %error, "what became of a job could not be written");
    }
}
