//! The running server, seen from the business: its store and the lanes into its ledger.

use std::sync::Arc;

use tokio::sync::Notify;

use super::ledger::commit::Lanes;
use super::sales::provider::Providers;
use super::store::Store;

/// The running server. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

struct Parts {
    store: Arc<Store>,
    lanes: Lanes,
    woken: Notify,
    providers: Providers,
}

impl App {
    /// Starts the ledger's lanes on a store, with those who settle orders. Must be called within a Tokio runtime.
    #[must_use]
    pub fn start(store: Store, providers: Providers) -> Self {
        let store = Arc::new(store);
        let lanes = Lanes::start(&store);
        Self(Arc::new(Parts { store, lanes, woken: Notify::new(), providers }))
    }

    /// Where the rows are.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.0.store
    }

    /// Who settles orders.
    pub(super) fn providers(&self) -> &Providers {
        &self.0.providers
    }

    pub(super) fn lanes(&self) -> &Lanes {
        &self.0.lanes
    }

    /// Tells this server's worker that something is due now.
    pub(super) fn wake(&self) {
        self.0.woken.notify_one();
    }

    /// Comes true when something became due by what was done here.
    pub async fn woken(&self) {
        self.0.woken.notified().await;
    }

    /// Finishes every write that was accepted, takes no more, and closes the database.
    pub async fn close(&self) {
        self.0.lanes.close().await;
        self.0.store.close().await;
    }
}
