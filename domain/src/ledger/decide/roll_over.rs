//! Roll over: what is free in earlier grants of a subscription ends, in burn order, beyond what may stay.

use entity::Credits;
use entity::activity::Kind;

use crate::clock::Instant;
use crate::ledger::caps::{REASON, not_rolled_over};
use crate::ledger::command::RollOver;
use crate::ledger::state::{Draw, Entry, Wallet, head_cost};

pub(super) fn decide(wallet: &Wallet, command: &RollOver, at: Instant) -> Vec<Entry> {
    let earlier = || wallet.grants.iter().filter(|grant| grant.open && command.grants.contains(&grant.id));
    let free = earlier().map(|grant| grant.remaining).sum::<Credits>();
    // Of all of them, also those with nothing free: what is set aside may come back.
    let named = wallet.grants.iter().filter(|grant| command.grants.contains(&grant.id));
    let held = named.map(|grant| grant.held).sum::<Credits>();
    let stays = free.min(Credits((command.keep - held).0.max(0)));
    let mut over = free - stays;
    let mut draws = Vec::new();
    for grant in earlier() {
        let amount = grant.remaining.min(over);
        if amount <= Credits::ZERO {
            break;
        }
        draws.push(not_rolled_over(Draw::of(grant.id, amount, head_cost(grant, amount))));
        over -= amount;
    }
    if draws.is_empty() {
        return Vec::new();
    }
    vec![Entry { reason: Some(REASON), ..Entry::new(Kind::Expire, at, draws) }]
}
