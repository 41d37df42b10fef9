//! When to read: once nothing else of the request can go on.
//!
//! Resolvers ask for one key each. As long as any of them can go on, it may ask for more; when none can, all that is
//! asked for is known, and is read at once. So the number of statements depends on the query's shape and on nothing
//! else: not on how many customers there are, and not on how the runtime schedules
//! (docs/decisions/0001-batching-reads.md).

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, poll_fn};
use futures_util::stream::FuturesUnordered;
use futures_util::task::AtomicWaker;

/// The reads of one request that wait for everything else.
#[derive(Clone, Default)]
pub struct Batches(Arc<Mutex<Vec<BoxFuture<'static, ()>>>>, Arc<AtomicBool>);

impl Batches {
    /// Adds a read that sends its answers to those who wait for them.
    pub(super) fn add(&self, read: BoxFuture<'static, ()>) {
        self.0.lock().expect("nobody panics while adding a read").push(read);
    }

    /// Whether something was being read when the request had its answer: a field beside it failed.
    #[must_use]
    pub fn are_unfinished(&self) -> bool {
        self.1.load(Ordering::Relaxed)
    }

    fn take(&self) -> Vec<BoxFuture<'static, ()>> {
        std::mem::take(&mut *self.0.lock().expect("nobody panics while taking reads"))
    }

    /// Runs a request, and reads its batches whenever nothing else of it can go on. What was asked for and is not wanted any
    /// more, since a field beside it failed or nobody waits, is forgotten: it would keep the snapshot for ever, which keeps
    /// what asks.
    pub async fn run<T>(self, request: impl Future<Output = T>) -> T {
        let _forgotten = Forgotten(self.clone());
        // What Tokio's budget interrupts would look as if it could go on, for ever.
        let mut request = pin!(tokio::task::unconstrained(request));
        let mut reading = FuturesUnordered::new();
        let progress = Arc::new(Progress::default());
        let waker = Waker::from(progress.clone());
        poll_fn(move |context| {
            progress.task.register(context.waker());
            loop {
                progress.made.store(false, Ordering::Release);
                if let Poll::Ready(answer) = request.as_mut().poll(&mut Context::from_waker(&waker)) {
                    self.1.store(!reading.is_empty(), Ordering::Relaxed);
                    return Poll::Ready(answer);
                }
                if progress.made.load(Ordering::Acquire) {
                    continue;
                }
                reading.extend(self.take());
                let read = reading.poll_next_unpin(context).is_ready() && !reading.is_empty();
                if !read && !progress.made.load(Ordering::Acquire) {
                    return Poll::Pending;
                }
            }
        })
        .await
    }
}

/// Forgets what was not read.
struct Forgotten(Batches);

impl Drop for Forgotten {
    fn drop(&mut self) {
        // Dropped out of the lock: what is forgotten may forget in turn.
        let left = self.0.take();
        drop(left);
    }
}

/// Whether a part of the request was woken, and whom to wake in turn.
#[derive(Default)]
struct Progress {
    made: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Progress {
    fn wake(self: Arc<Self>) {
        self.made.store(true, Ordering::Release);
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures_util::future::join_all;
    use tokio::sync::oneshot;

    use super::*;

    /// A thousand that each ask at a time of their own are read at once, and the thousand that follow at once again.
    #[tokio::test]
    async fn a_level_is_one_batch() {
        type Asked = Arc<Mutex<Vec<oneshot::Sender<()>>>>;
        let (batches, asked, reads) = (Batches::default(), Asked::default(), Arc::new(AtomicUsize::new(0)));
        let ask = || {
            let (answer, answered) = oneshot::channel();
            let first = {
                let mut asked = asked.lock().expect("asked");
                asked.push(answer);
                asked.len() == 1
            };
            if first {
                let (asked, reads) = (asked.clone(), reads.clone());
                batches.add(Box::pin(async move {
                    let waiting = std::mem::take(&mut *asked.lock().expect("asked"));
                    reads.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                    for answer in waiting {
                        answer.send(()).expect("somebody waits");
                    }
                }));
            }
            answered
        };
        let request = join_all((0..1_000).map(|n| {
            let ask = &ask;
            async move {
                for _ in 0..n % 7 {
                    // Pending, and woken at once.
                    let mut once = false;
                    poll_fn(|context| {
                        context.waker().wake_by_ref();
                        if std::mem::replace(&mut once, true) { Poll::Ready(()) } else { Poll::Pending }
                    })
                    .await;
                }
                ask().await.expect("an answer");
                ask().await.expect("another");
            }
        }));
        batches.clone().run(request).await;
        assert_eq!(reads.load(Ordering::Relaxed), 2);
    }
}
