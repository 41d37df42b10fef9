//! The running server, seen from the business: its store and the lanes into its ledger.

use std::sync::Arc;

use super::ledger::commit::Lanes;
use super::store::Store;

/// The running server. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

struct Parts {
    store: Arc<Store>,
    lanes: Lanes,
}

impl App {
    /// Starts the ledger's lanes on a store. Must be called within a Tokio runtime.
    #[must_use]
    pub fn start(store: Store) -> Self {
        let store = Arc::new(store);
        let lanes = Lanes::start(&store);
        Self(Arc::new(Parts { store, lanes }))
    }

    /// Where the rows are.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.0.store
    }

    pub(super) fn lanes(&self) -> &Lanes {
        &self.0.lanes
    }

    /// Finishes every write that was accepted, takes no more, and closes the database.
    pub async fn close(&self) {
        self.0.lanes.close().await;
        self.0.store.close().await;
    }
}
