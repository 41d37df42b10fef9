//! Beginning long work.

use super::test_clock;
use crate::bulk::{self, Begun, Plan};
use crate::ground::error::{Error, Result};
use crate::ground::scope::Scope;
use crate::identity::caller::Caller;

/// Begins long work, once per key; or says how much it would be. The worker sees to it or, in a sandbox, to which no worker
/// comes, whoever asks: so a request that is sent again goes on with what a crash left.
pub async fn begin(caller: &Caller, plan: Plan, key: &str, dry_run: bool) -> Result<Begun> {
    let account = caller.authorise(Scope::CreditsWrite)?;
    if dry_run {
        return bulk::preview(caller, plan).await;
    }
    let (id, replayed) = bulk::begin(caller, plan, key).await?;
    test_clock::catch_up(caller.app(), account).await?;
    let view = caller.view(Scope::CreditsWrite).await?;
    let operation = bulk::by_ids(&view, &[id]).await?.remove(&id);
    let operation = operation.ok_or_else(|| Error::Internal(format!("{id} was begun and is gone")))?;
    Ok(Begun::Operation { operation: Box::new(operation), replayed })
}
