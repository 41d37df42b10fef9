//! Void: what is left of one grant, from remaining to voided. What is held stays with its hold.

use entity::activity::Kind;

use crate::clock::Instant;
use crate::error::Refusal;
use crate::ledger::command::Void;
use crate::ledger::state::{Draw, Entry, Wallet};

pub(super) fn decide(wallet: &Wallet, command: &Void, at: Instant) -> Result<Vec<Entry>, Refusal> {
    let grant = wallet.grant(command.grant).filter(|grant| grant.open).ok_or(Refusal::NothingToVoid)?;
    Ok(vec![Entry::new(Kind::Void, at, vec![Draw::of(grant.id, grant.remaining, grant.cost_left)])])
}
