//! What happens later: takes due jobs of live accounts, does them, and says what became of them. Several servers on one
//! database share the work: each job is in one pair of hands at a time.

mod shared;
pub mod statistics;

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::domain::work::lease::{self, Claimed, Work};
use crate::domain::work::perform;
use crate::domain::{App, Result, dispatch};

/// Jobs that are taken at a time.
const BATCH: usize = 256;
/// Endpoints that are posted to at once.
const ENDPOINTS: usize = 256;
/// How often it looks for what is due.
const TICK: Duration = Duration::from_secs(1);
/// How often a lease is renewed: a third of how long it lasts.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The worker of this server.
pub struct Worker {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Worker {
    /// Starts it: one task for what is done here, one for what waits for others to answer, and some for the database and other servers.
    #[must_use]
    pub fn start(app: App) -> Self {
        let stop = CancellationToken::new();
        let tasks = vec![
            tokio::spawn(work(app.clone(), stop.clone())),
            tokio::spawn(deliver(app.clone(), stop.clone())),
            tokio::spawn(shared::tell(app.clone(), stop.clone())),
            tokio::spawn(shared::listen(app.clone(), stop.clone())),
            tokio::spawn({
                let stop = stop.clone();
                async move { statistics::beside(&app, stop.cancelled()).await }
            }),
        ];
        Self { stop, tasks }
    }

    /// Finishes what is in hand and takes no more. What was not begun is done by whoever comes next.
    pub async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "the worker did not end by itself");
            }
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

/// Looks at what follows from events, takes what is due and does it; answers how much that was.
pub async fn round(app: &App) -> Result<usize> {
    let followed = follow(app).await?;
    let claimed = lease::claim(app, Work::Inside, BATCH).await?;
    let mut running = claimed.iter().map(|job| carry_out(app, job)).collect::<FuturesUnordered<_>>();
    let mut heartbeat = tokio::time::interval_at(tokio::time::Instant::now() + HEARTBEAT, HEARTBEAT);
    loop {
        tokio::select! {
            done = running.next() => if done.is_none() { break },
            _ = heartbeat.tick() => {
                // The jobs go on meanwhile, in tasks of their own.
                if let Err(error) = lease::heartbeat(app, &claimed).await {
                    tracing::warn!(%error, "leases could not be renewed");
                }
            }
        }
    }
    Ok(followed + claimed.len())
}

/// Looks at events that wait: some of one account, then some of the next.
async fn follow(app: &App) -> Result<usize> {
    let (mut count, mut account) = (0, None);
    while let Some(next) = dispatch::next_account(app, account).await? {
        match dispatch::follow(app, next).await {
            Ok(looked) => count += looked,
            // The others go on.
            Err(error) => tracing::warn!(account = %next, %error, "events could not be looked at; they wait"),
        }
        account = Some(next);
    }
    Ok(count)
}

/// Posts what is due, as places become free: whoever is slow to answer holds up nobody else.
async fn deliver(app: App, stop: CancellationToken) {
    let mut posting = JoinSet::new();
    while !stop.is_cancelled() {
        while posting.try_join_next().is_some() {}
        if posting.len() >= ENDPOINTS {
            posting.join_next().await;
            continue;
        }
        match lease::claim(&app, Work::Outside, ENDPOINTS - posting.len()).await {
            Ok(claimed) => {
                for job in claimed {
                    let app = app.clone();
                    // Whoever posts waits for half of a lease at most.
                    posting.spawn(async move { carry_out(&app, &job).await });
                }
            }
            Err(error) => tracing::warn!(%error, "the worker could not look for deliveries; it tries again"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = app.woken_to_deliver() => {}
            Some(_) = posting.join_next() => {}
            () = tokio::time::sleep(TICK) => {}
        }
    }
    while posting.join_next().await.is_some() {}
}

async fn carry_out(app: &App, job: &Claimed) {
    let became = perform::perform(app, job.clone()).await;
    if let Err(error) = lease::conclude(app, job, became).await {
        // Its lease ends by itself, and somebody tries again.
        tracing::warn!(job = %job.id(), %error, "what became of a job could not be written");
    }
}
