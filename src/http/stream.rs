//! One answer after another: a running subscription, whichever protocol carries it.
//!
//! It runs in a task of its own and is ended by a token, which ends what it reads: nothing is cut off half-way. What answers
//! once has as long for it as by a request. It runs no faster than its answers are taken, and whoever takes none for too long
//! loses it.

use std::time::Duration;

use async_graphql::parser::types::OperationType;
use async_graphql::{Response as Answer, ServerError};
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::budget::as_error;
use super::gate::Gate;
use super::graphql::{DEADLINE, GraphQL};
use super::groups::{Groups, Unanswered};
use super::operation::Operation;
use super::shell::RequestId;
use crate::domain::Error;
use crate::domain::storage::spent;
use crate::graphql::batches::Batches;
use crate::graphql::context::{Session, Snapshot};
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

/// Runs an operation until it is over, or ended; answers go to `to`, each under a name. `slow` is told of a reader that
/// takes nothing for too long. What answers once runs like any other query.
pub fn run<N>(
    doors: &GraphQL,
    (operation, session): (Operation, Session),
    (ended, slow): (CancellationToken, CancellationToken),
    (name, to): (N, mpsc::Sender<(N, Said)>),
    id: RequestId,
) where
    N: Clone + Send + Sync + 'static,
{
    let to = Reader { name, to, slow, id };
    if operation.kind == Some(OperationType::Subscription) {
        let checker = doors.checker.clone();
        let session = session.waited_for(ended.child_token());
        let from = (session.batches(), session.snapshot());
        let asked = operation.query().data(session).data(Ended(ended.clone()));
        let answers = doors.schema.execute_stream(asked);
        doors.tracker.spawn(live_on(checker, operation, (answers, from), ended, to));
    } else {
        let (checker, groups, gate) = (doors.checker.clone(), doors.groups.clone(), doors.gate.clone());
        let once = async move {
            let told = match once(&checker, &groups, &gate, (operation, session)).await {
                Ok(answer) => Said::Next(answer),
                Err(errors) => Said::Error(Answer::from_errors(errors)),
            };
            let over = matches!(told, Said::Error(_));
            if to.tell(told).await && !over {
                to.tell(Said::Complete).await;
            }
        };
        // Who has ended it waits no longer, by which what is read ends.
        doors.tracker.spawn(async move { ended.run_until_cancelled_owned(once).await.unwrap_or_default() });
    }
}

/// Who hears the answers of an operation, under a name.
struct Reader<N> {
    name: N,
    to: mpsc::Sender<(N, Said)>,
    slow: CancellationToken,
    id: RequestId,
}

impl<N: Clone + Send + Sync> Reader<N> {
    /// Tells something; answers whether it was taken.
    async fn tell(&self, mut said: Said) -> bool {
        if let Said::Next(answer) | Said::Error(answer) = &mut said {
            mask(answer, &self.id);
        }
        if let Ok(taken) = tokio::time::timeout(PATIENCE, self.to.send((self.name.clone(), said))).await {
            return taken.is_ok();
        }
        tracing::info!(request_id = %*self.id, "a reader was too slow, and is dropped");
        self.slow.cancel();
        false
    }
}

/// What answers once takes a place like any other, and as long at most.
async fn once(
    checker: &ScripSchema,
    groups: &Groups,
    gate: &Gate,
    (mut operation, session): (Operation, Session),
) -> Result<Answer, Vec<ServerError>> {
    let busy = |why: &'static str| vec![as_error(Error::Unavailable(why.into()))];
    let place = gate.enter().await.map_err(|_| busy("all places are taken"))?;
    operation.check(checker).await?;
    groups.ask(operation, session, place).answer(DEADLINE).await.map_err(|unanswered| match unanswered {
        Unanswered::Broken => vec![as_error(Error::Internal("a query ended in a panic".to_owned()))],
        Unanswered::Late => busy("the answer takes too long"),
    })
}

/// What lives on waits for changes, and takes no place.
async fn live_on<N: Clone + Send + Sync>(
    checker: ScripSchema,
    mut operation: Operation,
    (mut answers, (batches, snapshot)): (impl Stream<Item = Answer> + Unpin, (Batches, Snapshot)),
    ended: CancellationToken,
    to: Reader<N>,
) {
    if let Err(errors) = operation.check(&checker).await {
        to.tell(Said::Error(Answer::from_errors(errors))).await;
        return;
    }
    let mut begun = false;
    loop {
        let (answer, spent) = spent::counted(batches.clone().run(answers.next())).await;
        operation.took(spent);
        // Between answers it holds no connection.
        snapshot.release();
        // Whoever ended it or hung up hears nothing.
        if ended.is_cancelled() {
            return;
        }
        let said = match answer {
            None => Said::Complete,
            Some(answer) if !begun && answer.is_err() => Said::Error(answer),
            Some(answer) => Said::Next(answer),
        };
        begun = true;
        let over = !matches!(said, Said::Next(_));
        if !to.tell(said).await || over {
            return;
        }
    }
}
