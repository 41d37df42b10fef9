//! One answer after another: a running subscription, whichever protocol carries it.
//!
//! It runs in a task of its own and is ended by a token, never cut off: a read that is cut off would leave its snapshot
//! open in the pool. It runs no faster than its answers are taken, and whoever takes none for too long loses it.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::parser::types::OperationType;
use async_graphql::{Response as Answer, ServerError};
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::gate::Gate;
use super::operation::Operation;
use super::shell::RequestId;
use crate::domain::Error;
use crate::graphql::context::Session;
use crate::graphql::live::Ended;
use crate::graphql::{ScripSchema, mask};

/// How long an answer may wait to be taken.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a stream says.
pub enum Said {
    /// An answer.
    Next(Answer),
    /// It could not begin: the request is at fault, or nobody may see this.
    Error(Answer),
    /// It is over.
    Complete,
}

fn busy() -> ServerError {
    let mut error = ServerError::new("", None);
    error.source = Some(Arc::new(Error::Unavailable("all places are taken".into())));
    error
}

/// Runs an operation until it is over, or ended; answers go to `to`, each under a name. `slow` is told of a reader that
/// takes nothing for too long.
pub fn run<N>(
    ((checker, schema), tracker): ((&ScripSchema, &ScripSchema), &TaskTracker),
    (mut operation, session): (Operation, Session),
    (ended, slow): (CancellationToken, CancellationToken),
    (name, to): (N, mpsc::Sender<(N, Said)>),
    (id, gate): (RequestId, Gate),
) where
    N: Clone + Send + 'static,
{
    let (batches, snapshot) = (session.batches(), session.snapshot());
    let lives = operation.kind == Some(OperationType::Subscription);
    let checker = checker.clone();
    let mut answers = schema.execute_stream(operation.query().data(session).data(Ended(ended.clone())));
    tracker.spawn(async move {
        // What lives on waits for changes, and takes no place; what answers once takes one like any other.
        let place = if lives { None } else { Some(gate.enter().await) };
        let unfit =
            if matches!(place, Some(Err(_))) { Some(vec![busy()]) } else { operation.check(&checker).await.err() };
        if let Some(errors) = unfit {
            let mut unfit = Answer::from_errors(errors);
            mask(&mut unfit, &id);
            drop(tokio::time::timeout(PATIENCE, to.send((name, Said::Error(unfit)))).await);
            return;
        }
        let mut begun = false;
        while let Some(mut answer) = batches.clone().run(answers.next()).await {
            // Between answers it holds no connection.
            snapshot.release();
            if ended.is_cancelled() {
                return;
            }
            mask(&mut answer, &id);
            let unfit = !begun && lives && answer.is_err();
            let said = if unfit { Said::Error(answer) } else { Said::Next(answer) };
            let over = matches!(said, Said::Error(_));
            begun = true;
            if tokio::time::timeout(PATIENCE, to.send((name.clone(), said))).await.is_err() {
                tracing::info!(request_id = %*id, "a reader was too slow, and is dropped");
                slow.cancel();
                return;
            }
            if over {
                return;
            }
        }
        // Whoever ended it or hung up hears nothing.
        if ended.is_cancelled() {
            return;
        }
        drop(tokio::time::timeout(PATIENCE, to.send((name, Said::Complete))).await);
    });
}
