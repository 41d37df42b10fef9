//! Consume: from remaining to consumed, in burn order, all or nothing.

use entity::activity::Kind;

use crate::ground::clock::Instant;
use crate::ground::error::Refusal;
use crate::ground::fault;
use crate::ledger::command::Consume;
use crate::ledger::draw::{draw, with_first_use};
use crate::ledger::state::{Entry, Wallet};

pub(super) fn decide(wallet: &Wallet, command: &Consume, at: Instant) -> Result<Vec<Entry>, Refusal> {
    fault::panics(command.words.note.as_deref());
    let draws = draw(wallet, command.amount, at)?;
    Ok(vec![Entry::new(Kind::Consume, at, with_first_use(wallet, draws, at))])
}
