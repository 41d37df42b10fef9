//! Burn order (pure): which grants are used first, and which of what was taken goes first or last.

use crate::{Credits, Grant, GrantId};

use super::expiration;
use super::state::{Draw, Wallet, head_cost, is_usable, share};
use crate::fault::{self, Fault};
use crate::refusal::Refusal;
use crate::time::Instant;

/// The one order in which grants are used (domain.md, *Credits and time*, 4): lower priority number first, then the
/// one that ends soonest (never comes last), then given before paid, then the one that counted first, then the oldest.
#[must_use]
pub fn burn_key(grant: &Grant) -> (i16, bool, Option<Instant>, bool, Instant, GrantId) {
    let paid = !grant.promotional ^ fault::is(Fault::BurnOrder);
    (grant.priority, grant.expires_at.is_none(), grant.expires_at, paid, grant.effective_at, grant.id)
}

/// Splits `wanted` over the wallet's usable grants: all of it, or a refusal that says where the rest is.
/// The wallet is settled.
pub fn draw(wallet: &Wallet, wanted: Credits, now: Instant) -> Result<Vec<Draw>, Refusal> {
    let available = wallet.available(now);
    if wanted > available {
        return Err(Refusal::InsufficientCredits {
            field: None,
            requested: wanted,
            available,
            held: wallet.row.held,
            expired: wallet.row.expired,
            not_yet_effective: wallet.not_yet_effective(now),
            frozen: wallet.frozen(),
        });
    }
    let mut missing = wanted;
    let mut draws = Vec::new();
    for grant in wallet.grants.iter().filter(|grant| is_usable(grant, now)) {
        let amount = grant.remaining.min(missing);
        if missing.is_zero() {
            break;
        }
        if amount.is_zero() {
            continue;
        }
        draws.push(Draw::of(grant.id, amount, head_cost(grant, amount)));
        missing -= amount;
    }
    assert!(missing.is_zero(), "{wanted} can be used of {:?}, and too few grants of it were read", wallet.key());
    Ok(draws)
}

/// The first `wanted` of what was taken, and the rest; each part with its own cost, which add up to the whole's.
#[must_use]
pub fn split(taken: &[Draw], wanted: Credits) -> (Vec<Draw>, Vec<Draw>) {
    let mut missing = wanted;
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    for draw in taken {
        let amount = draw.amount.min(missing);
        let cost = share(draw.cost, amount, draw.amount);
        missing -= amount;
        for (part, amount, cost) in [(&mut first, amount, cost), (&mut rest, draw.amount - amount, draw.cost - cost)] {
            if !amount.is_zero() {
                part.push(Draw::of(draw.grant, amount, cost));
            }
        }
    }
    (first, rest)
}

/// Draws that use credits, each with the end that it sets where it is the first use of a grant whose period waits for it.
#[must_use]
pub fn with_first_use(wallet: &Wallet, draws: Vec<Draw>, at: Instant) -> Vec<Draw> {
    let end = |draw: &Draw| wallet.grant(draw.grant).and_then(|grant| expiration::at_first_use(grant, at));
    draws.into_iter().map(|draw| Draw { ends_after: end(&draw), ..draw }).collect()
}
