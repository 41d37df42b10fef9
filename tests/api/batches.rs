//! Batches: what the fields of one request read together.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use futures_util::future::join_all;
use scrip::graphql::batches::Batches;
use tokio::sync::oneshot;

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
