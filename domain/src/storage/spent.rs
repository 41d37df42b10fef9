//! How long the database worked for somebody: the time of the statements that a future sends.

use std::cell::Cell;
use std::time::Duration;

tokio::task_local! {
    static SPENT: Cell<Duration>;
}

/// Runs a future, and answers how long its statements took, one after another. What it spawns is not counted.
pub async fn counted<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let counted = async {
        let done = work.await;
        (done, SPENT.with(Cell::get))
    };
    SPENT.scope(Cell::default(), counted).await
}

/// Adds what a statement took.
pub(crate) fn add(elapsed: Duration) {
    // What nobody counts is not counted.
    SPENT.try_with(|spent| spent.set(spent.get() + elapsed)).unwrap_or_default();
}
