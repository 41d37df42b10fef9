//! What costs nothing and is ordered by strangers: so many from one address in an hour. Look-alikes of an address, and those
//! with a `+`, are other addresses, and are let through; this is what keeps one visitor from having many.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use entity::AccountId;
use moka::sync::Cache;

use super::error::{Error, Result};

/// Orders that cost nothing, of one account, from one address, in an hour.
pub const MOST: u32 = 10;
/// How long they count.
const HOUR: Duration = Duration::from_hours(1);
/// Addresses that are remembered.
const ADDRESSES: u64 = 100_000;

/// How many came from where, lately: of this server, in memory.
pub struct Trials(Cache<(AccountId, IpAddr), Arc<AtomicU32>>);

impl Default for Trials {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(ADDRESSES).time_to_live(HOUR).build())
    }
}

impl Trials {
    /// Counts one.
    ///
    /// # Errors
    /// [`Error::RateLimited`] where there were too many.
    pub fn take(&self, account: AccountId, from: Option<IpAddr>) -> Result<()> {
        let Some(from) = from else { return Ok(()) };
        let count = self.0.get_with((account, from), Arc::default);
        if count.fetch_add(1, Ordering::Relaxed) >= MOST {
            return Err(Error::RateLimited { wait: HOUR });
        }
        Ok(())
    }
}
