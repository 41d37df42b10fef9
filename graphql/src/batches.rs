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
    pub fn add(&self, read: BoxFuture<'static, ()>) {
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
