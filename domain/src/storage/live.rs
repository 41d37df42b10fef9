//! Who waits for changes of a customer's credits, and how they hear of one: a hint, after the commit, that there may be
//! something new to read. A hint that is lost is healed by reading, so nothing here needs to last.
//!
//! Never slows the ledger: to hint is to count a number up. Hints of one customer that nobody has read yet are one hint.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;

use entity::{AccountId, CustomerId};
use tokio::sync::{Notify, watch};

/// Whose credits.
pub type Whose = (AccountId, CustomerId);

/// The most customers whose hints wait to be told to other servers; beyond that they are told to look at everything.
const UNTOLD: usize = 2_000;

/// Where hints come from and go to. One for each server.
#[derive(Default)]
pub struct Hub {
    watched: Mutex<HashMap<Whose, watch::Sender<u64>>>,
    untold: Mutex<Untold>,
    /// Whether other servers want to be told.
    shared: std::sync::atomic::AtomicBool,
    tell: Notify,
    woken: Notify,
    woken_to_deliver: Notify,
}

/// What other servers are to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Untold {
    pub whose: BTreeSet<Whose>,
    /// There were too many to name.
    pub all: bool,
}

impl Hub {
    /// Says that credits of these customers may have changed, here and, later, elsewhere.
    pub fn changed(&self, account: AccountId, customers: impl IntoIterator<Item = CustomerId>) {
        let customers = customers.into_iter().collect::<BTreeSet<_>>();
        if customers.is_empty() {
            return;
        }
        if self.shared.load(std::sync::atomic::Ordering::Relaxed) {
            let mut untold = self.untold.lock().expect("nobody panics while hinting");
            untold.whose.extend(customers.iter().map(|customer| (account, *customer)));
            if untold.whose.len() > UNTOLD {
                *untold = Untold { whose: BTreeSet::new(), all: true };
            }
            self.tell.notify_one();
        }
        let watched = self.watched.lock().expect("nobody panics while hinting");
        for customer in customers {
            if let Some(sender) = watched.get(&(account, customer)) {
                sender.send_modify(|number| *number += 1);
            }
        }
    }

    /// The same, heard from another server.
    pub fn heard(&self, whose: Whose) {
        if let Some(sender) = self.watched.lock().expect("nobody panics while hinting").get(&whose) {
            sender.send_modify(|number| *number += 1);
        }
    }

    /// Something may have been missed: everybody looks.
    pub fn heard_all(&self) {
        for sender in self.watched.lock().expect("nobody panics while hinting").values() {
            sender.send_modify(|number| *number += 1);
        }
    }

    /// Waits for what other servers are to be told, and takes it. From the first call on, such is collected.
    pub async fn untold(&self) -> Untold {
        self.shared.store(true, std::sync::atomic::Ordering::Relaxed);
        loop {
            let untold = std::mem::take(&mut *self.untold.lock().expect("nobody panics while hinting"));
            if untold != Untold::default() {
                return untold;
            }
            self.tell.notified().await;
        }
    }

    /// Watches a customer's credits from now on.
    #[must_use]
    pub fn watch(&self, whose: Whose) -> watch::Receiver<u64> {
        let mut watched = self.watched.lock().expect("nobody panics while hinting");
        // Those whom nobody watches any more make room now and then.
        if watched.len() >= 64 && watched.len().is_power_of_two() {
            watched.retain(|_, sender| sender.receiver_count() > 0);
        }
        watched.entry(whose).or_insert_with(|| watch::Sender::new(0)).subscribe()
    }

    /// Tells this server's worker that something is due now.
    pub fn wake(&self) {
        self.woken.notify_one();
        self.woken_to_deliver.notify_one();
    }

    /// The same, for what is posted.
    pub async fn woken_to_deliver(&self) {
        self.woken_to_deliver.notified().await;
    }

    /// Comes true when something became due by what was done here.
    pub async fn woken(&self) {
        self.woken.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use entity::{AccountId, CustomerId};
    use uuid::Uuid;

    use super::*;

    fn whose(number: u128) -> Whose {
        (AccountId(Uuid::nil()), CustomerId(Uuid::from_u128(number)))
    }

    #[test]
    fn a_hint_reaches_who_watches_and_hints_of_one_customer_are_one() {
        let hub = Hub::default();
        let (mut ada, bob) = (hub.watch(whose(1)), hub.watch(whose(2)));
        hub.changed(whose(1).0, [whose(1).1]);
        hub.changed(whose(1).0, [whose(1).1]);
        assert!(ada.has_changed().expect("open") && !bob.has_changed().expect("open"));
        ada.mark_unchanged();
        assert!(!ada.has_changed().expect("open"));
    }

    #[tokio::test]
    async fn what_others_are_to_be_told_is_collected_once_and_never_without_end() {
        let hub = Hub::default();
        hub.changed(whose(1).0, [whose(1).1]);
        assert!(
            tokio::time::timeout(std::time::Duration::from_millis(5), hub.untold()).await.is_err(),
            "nobody asked yet"
        );
        hub.changed(whose(1).0, [whose(1).1, whose(2).1]);
        assert_eq!(hub.untold().await.whose.len(), 2);
        hub.changed(whose(1).0, (0..=UNTOLD as u128).map(|number| whose(number).1));
        assert_eq!(hub.untold().await, Untold { whose: BTreeSet::new(), all: true });
    }
}
