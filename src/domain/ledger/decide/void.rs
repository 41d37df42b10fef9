//! Void: what is left of one grant, from remaining to voided. What is held stays with its hold.

use entity::activity::Kind;

use crate::domain::clock::Instant;
use crate::domain::error::Refusal;
use crate::domain::ledger::command::Void;
use crate::domain::ledger::state::{Draw, Entry, Wallet};

pub(super) fn decide(wallet: &Wallet, command: &Void, at: Instant) -> Result<Entry, Refusal> {
    let grant = wallet.grants.iter().find(|grant| grant.id == command.grant && grant.open);
    let grant = grant.ok_or(Refusal::NothingToVoid)?;
    let draw = Draw { grant: grant.id, amount: grant.remaining, cost: grant.cost_left };
    Ok(Entry { kind: Kind::Void, at, draws: vec![draw], issued: None })
}
