//! Void: what is left of one grant, from remaining to voided. What is held stays with its hold.

use crate::Grant;
use crate::activity::Kind;

use crate::command::{Closing, Void};
use crate::refusal::Refusal;
use crate::state::{Draw, Entry, Wallet};
use crate::time::Instant;

pub(super) fn decide(wallet: &Wallet, command: &Void, at: Instant) -> Result<Vec<Entry>, Refusal> {
    let grant = wallet.grant(command.grant);
    let grant = grant.filter(|grant| grant.open || command.closing == Closing::Always && may_get_back(grant));
    let grant = grant.ok_or(Refusal::NothingToVoid)?;
    let leaves_open = command.closing == Closing::Never;
    let (amount, cost) = command.part.unwrap_or((grant.remaining, grant.cost_left));
    if amount > grant.remaining || cost > grant.cost_left {
        return Err(Refusal::NothingToVoid);
    }
    let draw = Draw { leaves_open, refunded: command.part.is_some(), ..Draw::of(grant.id, amount, cost) };
    Ok(vec![Entry::new(Kind::Void, at, vec![draw])])
}

/// Whether credits may come back to a grant that would stay.
fn may_get_back(grant: &Grant) -> bool {
    !grant.closed && !(grant.held + grant.consumed + grant.expired + grant.transferred).is_zero()
}
