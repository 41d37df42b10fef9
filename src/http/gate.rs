//! How many operations run at once: beyond that some wait for a moment, and the rest hear at once that the server is
//! busy. What runs is finished; what waits is bounded; so more clients make nobody slower than they are told.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
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

/// Places of what lasts: so many in all, and half of them for one address at most.
#[derive(Clone)]
pub struct Places {
    all: Arc<Semaphore>,
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
    most: usize,
}

impl Places {
    /// So many.
    #[must_use]
    pub fn new(places: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(places)), by_address: Arc::default(), most: places.div_ceil(2) }
    }

    /// A place for somebody at an address, kept until it is dropped.
    #[must_use]
    pub fn take(&self, address: IpAddr) -> Option<Place> {
        let place = self.all.clone().try_acquire_owned().ok()?;
        let mut taken = self.by_address.lock().expect("nobody panics while counting");
        let count = taken.entry(address).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place { _permit: place, address, by_address: self.by_address.clone() })
    }
}

/// A place that is taken.
pub struct Place {
    _permit: OwnedSemaphorePermit,
    address: IpAddr,
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.by_address.lock().expect("nobody panics while counting");
        if let Some(count) = taken.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn one_address_does_not_take_all_places() {
        let places = Places::new(4);
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().expect("an address"));
        let held = [places.take(one), places.take(one)];
        assert!(held.iter().all(Option::is_some) && places.take(one).is_none());
        let others = [places.take(other), places.take(other)];
        assert!(others.iter().all(Option::is_some));
        drop(held);
        assert!(places.take(one).is_some() && places.take(other).is_none());
    }

    #[tokio::test]
    async fn those_beyond_hear_at_once_and_those_who_wait_in_a_moment() {
        let gate = Gate::new(1);
        let held = gate.enter().await.ok().expect("a place");
        let waiting = [gate.clone(), gate.clone()].map(|gate| tokio::spawn(async move { gate.enter().await.is_ok() }));
        tokio::task::yield_now().await;
        assert!(gate.enter().now_or_never().is_some_and(|entered| entered.is_err()));
        drop(held);
        for one in waiting {
            assert!(one.await.expect("it ends"));
        }
        let _held = gate.enter().await.ok().expect("a place");
        let asked = Instant::now();
        assert!(gate.enter().await.is_err());
        assert!(asked.elapsed() >= PATIENCE);
        assert_eq!(gate.waiting.load(Ordering::Relaxed), 0);
    }
}
