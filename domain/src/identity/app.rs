//! The running server, seen from the business: its store and the lanes into its ledger.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use chrono::TimeDelta;
use entity::account::Mode;
use entity::{AccountId, ApiKeyId};

use super::access::AccessLog;
use crate::ground::clock::Instant;
use crate::ground::error::Result;
use crate::ground::trials::Trials;
use crate::ledger::commit::Lanes;
use crate::queue::jobs;
use crate::storage::live::Hub;
use crate::storage::ports::payments::Providers;
use crate::storage::ports::webhooks::WebhookPost;
use crate::storage::store::Store;
use crate::storage::tx;

/// The running server. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

struct Parts {
    store: Arc<Store>,
    lanes: Lanes,
    access: AccessLog,
    providers: Providers,
    poster: Arc<dyn WebhookPost>,
    trials: Trials,
    /// Whether accounts are sandboxes, which never changes.
    sandboxes: Mutex<HashMap<AccountId, bool>>,
    /// When it was last written that an API key was used.
    used: Mutex<HashMap<ApiKeyId, Instant>>,
}

/// What is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Commands that wait in the ledger's lanes.
    pub commands: usize,
    /// Database connections that are in use.
    pub connections: usize,
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// Accounts that are remembered.
const REMEMBERED: usize = 100_000;

impl App {
    /// Starts the ledger's lanes on a store, with those who speak to the world outside: who settles orders, who posts webhooks. Must be called within a Tokio runtime.
    #[must_use]
    pub fn start(store: Store, providers: Providers, poster: Arc<dyn WebhookPost>) -> Self {
        let store = Arc::new(store);
        let (lanes, access) = (Lanes::start(&store), AccessLog::start(&store));
        Self(Arc::new(Parts {
            store,
            lanes,
            access,
            providers,
            poster,
            trials: Trials::default(),
            sandboxes: Mutex::default(),
            used: Mutex::default(),
        }))
    }

    /// Where the rows are.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.0.store
    }

    /// Who settles orders.
    pub(crate) fn providers(&self) -> &Providers {
        &self.0.providers
    }

    /// What strangers ordered that costs nothing.
    pub(crate) fn trials(&self) -> &Trials {
        &self.0.trials
    }

    /// Who posts webhooks.
    pub(crate) fn poster(&self) -> &Arc<dyn WebhookPost> {
        &self.0.poster
    }

    pub(crate) fn lanes(&self) -> &Lanes {
        &self.0.lanes
    }

    /// Puts at most so many commands of the ledger into one commit from now on: 1 to 256, which is where it begins.
    pub fn limit_batches(&self, commands: usize) {
        self.0.lanes.limit(commands);
    }

    /// Puts commands of one account only into one commit from now on, for a database that is sharded by account, where
    /// a commit over several shards costs more than it saves.
    pub fn keep_accounts_apart(&self, apart: bool) {
        self.0.lanes.keep_accounts_apart(apart);
    }

    pub(crate) fn access(&self) -> &AccessLog {
        &self.0.access
    }

    /// Whether an account is a sandbox.
    pub(crate) async fn is_sandbox(&self, account: AccountId) -> Result<bool> {
        let known = self.0.sandboxes.lock().expect("nobody panics while looking").get(&account).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        let txn = self.0.store.snapshot().await?;
        let found = tx::find_account(&txn, account).await?;
        let Some(is_sandbox) = found.map(|found| found.mode == Mode::Sandbox) else { return Ok(false) };
        let mut sandboxes = self.0.sandboxes.lock().expect("nobody panics while remembering");
        if sandboxes.len() >= REMEMBERED {
            sandboxes.clear();
        }
        sandboxes.insert(account, is_sandbox);
        Ok(is_sandbox)
    }

    /// Whether it is worth writing that an API key was used: of many requests at once, one does.
    pub(crate) fn is_news(&self, key: ApiKeyId, now: Instant, within: TimeDelta) -> bool {
        let mut used = self.0.used.lock().expect("nobody panics while remembering");
        if used.len() >= REMEMBERED {
            used.clear();
        }
        let known = used.insert(key, now);
        let news = known.is_none_or(|at| now - at >= within);
        if let (Some(at), false) = (known, news) {
            used.insert(key, at);
        }
        news
    }

    /// Tells this server's worker that something is due now.
    pub(crate) fn wake(&self) {
        self.0.store.hub.wake();
    }

    /// Comes true when something became due by what was done here.
    pub async fn woken(&self) {
        self.0.store.hub.woken().await;
    }

    /// The same, for what is posted.
    pub async fn woken_to_deliver(&self) {
        self.0.store.hub.woken_to_deliver().await;
    }

    /// Who hears of what is committed.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.0.store.hub
    }

    /// Looks at what stands still between requests, for who measures it.
    pub async fn observe(&self) -> Result<()> {
        metrics::gauge!("scrip_ledger_waiting").set(count(self.0.lanes.waiting()));
        for (pool, all, idle) in self.0.store.pools() {
            metrics::gauge!("scrip_pool_connections", "pool" => pool, "state" => "all").set(f64::from(all));
            let used = count(usize::try_from(all).unwrap_or(usize::MAX).saturating_sub(idle));
            metrics::gauge!("scrip_pool_connections", "pool" => pool, "state" => "used").set(used);
        }
        metrics::gauge!("scrip_longest_read_seconds").set(self.0.store.readers().longest().as_secs_f64());
        let age = jobs::oldest_due(&self.0.store).await?;
        metrics::gauge!("scrip_job_age_seconds").set(age.as_secs_f64());
        Ok(())
    }

    /// What is not finished yet.
    #[must_use]
    pub fn left(&self) -> Left {
        let used = |(_, all, idle): (_, u32, usize)| usize::try_from(all).unwrap_or(usize::MAX).saturating_sub(idle);
        Left { commands: self.0.lanes.waiting(), connections: self.0.store.pools().map(used).iter().sum() }
    }

    /// Finishes every write that was accepted, takes no more, and closes the database.
    pub async fn close(&self) {
        self.0.lanes.close().await;
        self.0.access.close().await;
        self.0.store.close().await;
    }
}
