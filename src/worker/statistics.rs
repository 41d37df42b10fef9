//! Has PostgreSQL look at tables that grow, so that it plans by what is in them.

use std::time::Duration;

use crate::domain::App;

/// How often it is asked what has grown.
const TICK: Duration = Duration::from_secs(1);

/// Sees to it for as long as something else goes on.
pub async fn beside<T>(app: &App, work: impl Future<Output = T>) -> T {
    let looking = async {
        loop {
            match app.store().look_at_grown_tables().await {
                Ok(0) => {}
                Ok(tables) => tracing::debug!(tables, "the database looked at tables that have grown"),
                Err(error) => tracing::debug!(%error, "the database could not look at tables that have grown"),
            }
            tokio::time::sleep(TICK).await;
        }
    };
    tokio::select! {
        done = work => done,
        () = looking => unreachable!("it goes on until it is dropped"),
    }
}
