//! Consume: from remaining to consumed, in burn order, all or nothing.

use crate::activity::Kind;

use crate::command::Consume;
use crate::draw::{draw, with_first_use};
use crate::fault;
use crate::refusal::Refusal;
use crate::state::{Entry, Wallet};
use crate::time::Instant;

pub(super) fn decide(wallet: &Wallet, command: &Consume, at: Instant) -> Result<Vec<Entry>, Refusal> {
    fault::panics(command.words.note.as_deref());
    let draws = draw(wallet, command.amount, at)?;
    Ok(vec![Entry::new(Kind::Consume, at, with_first_use(wallet, draws, at))])
}
