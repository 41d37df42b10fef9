//! Commands about something that is named by its id alone: whose it is never changes, so it is looked up before
//! anything is locked.

use entity::{ActivityId, CreditTypeId, Credits, CustomerId, GrantId, HoldId};

use crate::ground::error::{Refusal, Result};
use crate::ground::scope::Scope;
use crate::identity::caller::Caller;
use crate::ledger::command::{Capture, Closing, Command, Extend, Extension, OnExpired, Release, Reverse, Void, Words};
use crate::ledger::{activity, grants, holds};

/// Void a grant.
pub async fn void(caller: &Caller, grant: GrantId, reason: String, words: Words) -> Result<Command> {
    let (customer, credit_type) = of_grant(caller, grant).await?;
    Ok(Command::Void(Void { grant, customer, credit_type, reason, closing: Closing::default(), part: None, words }))
}

/// Extend a grant.
pub async fn extend(caller: &Caller, grant: GrantId, to: Extension, reason: String, words: Words) -> Result<Command> {
    let (customer, credit_type) = of_grant(caller, grant).await?;
    Ok(Command::Extend(Extend { grant, customer, credit_type, to, revive: true, reason, words }))
}

/// Capture a hold, all of it or a part.
pub async fn capture(caller: &Caller, hold: HoldId, amount: Option<Credits>, words: Words) -> Result<Command> {
    let (customer, credit_type) = of_hold(caller, hold).await?;
    Ok(Command::Capture(Capture { hold, customer, credit_type, amount, words }))
}

/// Release a hold.
pub async fn release(caller: &Caller, hold: HoldId, words: Words) -> Result<Command> {
    let (customer, credit_type) = of_hold(caller, hold).await?;
    Ok(Command::Release(Release { hold, customer, credit_type, words }))
}

/// Reverse a consume or a capture, all of it or a part.
pub async fn reverse(
    caller: &Caller,
    activity: ActivityId,
    amount: Option<Credits>,
    on_expired: OnExpired,
    reason: String,
    words: Words,
) -> Result<Command> {
    let view = caller.view(Scope::CreditsWrite).await?;
    let found = activity::by_ids(&view, &[activity]).await?.remove(&activity);
    let found = found.ok_or_else(|| Refusal::not_found("activityId", "activity"))?;
    let (customer, credit_type) = (found.customer_id, found.credit_type_id);
    Ok(Command::Reverse(Reverse { activity, customer, credit_type, amount, on_expired, reason, words }))
}

async fn of_grant(caller: &Caller, grant: GrantId) -> Result<(CustomerId, CreditTypeId)> {
    let view = caller.view(Scope::CreditsWrite).await?;
    let found = grants::by_ids(&view, &[grant]).await?.remove(&grant);
    let found = found.ok_or_else(|| Refusal::not_found("grantId", "grant"))?;
    Ok((found.customer_id, found.credit_type_id))
}

async fn of_hold(caller: &Caller, hold: HoldId) -> Result<(CustomerId, CreditTypeId)> {
    let view = caller.view(Scope::CreditsWrite).await?;
    let found = holds::by_ids(&view, &[hold]).await?.remove(&hold);
    let found = found.ok_or_else(|| Refusal::not_found("holdId", "hold"))?;
    Ok((found.customer_id, found.credit_type_id))
}
