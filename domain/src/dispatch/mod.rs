//! What follows from events: runs of triggers, deliveries to webhooks.

pub(crate) mod follow;

pub use follow::next_account;

use entity::AccountId;

use crate::ground::error::Result;
use crate::identity::app::App;

/// Looks at events that wait in a live account, and writes down what follows; answers how many that were.
pub async fn follow(app: &App, account: AccountId) -> Result<usize> {
    follow::live(app, account).await
}
