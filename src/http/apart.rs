//! What reads much also works through much: on a thread of its own, among which the machine shares its processors, so that
//! what is quick waits for none of it.

use tokio::runtime::Handle;
use tokio::task::{JoinError, spawn_blocking};
use tracing::Span;

/// Runs something to its end on a thread of its own, whoever waits. Fails if it panicked.
pub async fn run<T, F>(work: F) -> Result<T, JoinError>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let (runtime, span) = (Handle::current(), Span::current());
    spawn_blocking(move || span.in_scope(|| runtime.block_on(work))).await
}
