//! How many operations run at once: beyond that some wait for a moment, and the rest hear at once that the server is
//! busy. What runs is finished; what waits is bounded; so more clients make nobody slower than they are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long an operation waits for its turn.
const PATIENCE: Duration = Duration::from_secs(1);

/// The gate.
#[derive(Clone)]
pub struct Gate {
    places: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    most_waiting: usize,
}

/// The server is busy.
pub struct Busy;

impl Gate {
    /// A gate with so many places.
    #[must_use]
    pub fn new(places: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places)), waiting: Arc::default(), most_waiting: 2 * places }
    }

    /// A place, kept for as long as the permit is.
    pub async fn enter(&self) -> Result<OwnedSemaphorePermit, Busy> {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return Ok(place);
        }
        let _waiting = Waiting::begin(&self.waiting, self.most_waiting).ok_or(Busy)?;
        match tokio::time::timeout(PATIENCE, self.places.clone().acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(Busy),
        }
    }
}

/// One that waits, until it is dropped.
struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn begin(count: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let waiting = Self(count.clone());
        (count.fetch_add(1, Ordering::Relaxed) < most).then_some(waiting)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn those_beyond_hear_at_once_and_those_who_wait_in_a_moment() {
        let gate = Gate::new(1);
        let held = gate.enter().await.ok().expect("a place");
        let waiting = [gate.clone(), gate.clone()].map(|gate| tokio::spawn(async move { gate.enter().await.is_ok() }));
        tokio::task::yield_now().await;
        let asked = tokio::time::Instant::now();
        assert!(gate.enter().await.is_err());
        assert_eq!(asked.elapsed(), Duration::ZERO);
        drop(held);
        for one in waiting {
            assert!(one.await.expect("it ends"));
        }
        let _held = gate.enter().await.ok().expect("a place");
        assert!(gate.enter().await.is_err());
        assert_eq!(asked.elapsed(), PATIENCE);
        assert_eq!(gate.waiting.load(Ordering::Relaxed), 0);
    }
}
