//! Roll over: what is free in earlier grants of a subscription ends, in burn order, beyond what may stay.

use crate::{Credits, Grant};

use crate::caps::{self, not_rolled_over};
use crate::command::RollOver;
use crate::state::{Draw, Entry, Wallet, head_cost};
use crate::time::Instant;

pub(super) fn decide(wallet: &Wallet, command: &RollOver, at: Instant) -> Vec<Entry> {
    let is_earlier = |grant: &&Grant| {
        let of = grant.subscription_id.zip(grant.period).filter(|_| grant.rollover_limit.is_some());
        let came = of.zip(command.before).is_some_and(|((id, its), (wanted, period))| id == wanted && its < period);
        came || command.grants.contains(&grant.id)
    };
    let earlier = || wallet.grants.iter().filter(|grant| grant.open).filter(is_earlier);
    let free = earlier().map(|grant| grant.remaining).sum::<Credits>();
    // Of all of them, also those with nothing free: what is set aside may come back.
    let named = wallet.grants.iter().filter(is_earlier);
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
    caps::ended(draws, at).into_iter().collect()
}
