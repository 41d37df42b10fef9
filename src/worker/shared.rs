//! Telling other servers on the same database whose credits changed, and hearing it from them. Hints only: who misses one
//! reads in its time.
//!
//! PostgreSQL's NOTIFY takes a lock of the whole database when it commits, so it is never part of a transaction of the
//! ledger, and sent at most every 20 ms by each server.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::App;
use crate::domain::storage::shared;

/// The least time between two messages.
const PAUSE: Duration = Duration::from_millis(20);
/// The time between two tries to listen.
const AGAIN: Duration = Duration::from_secs(1);

/// Tells others, for as long as the server runs.
pub async fn tell(app: App, stop: CancellationToken) {
    if !shared::is_shared(app.store()) {
        return;
    }
    loop {
        let untold = tokio::select! {
            () = stop.cancelled() => return,
            untold = app.hub().untold() => untold,
        };
        if let Err(error) = shared::tell(app.store(), &untold).await {
            tracing::debug!(%error, "other servers could not be told of changes; they read in their time");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Hears from others, for as long as the server runs.
pub async fn listen(app: App, stop: CancellationToken) {
    if !shared::is_shared(app.store()) {
        return;
    }
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => return,
            heard = shared::listen(app.store()) => {
                let Err(error) = heard;
                tracing::debug!(%error, "nothing is heard from other servers; trying again");
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}
