//! Burn order (pure): which grants are used first.

use entity::{Credits, GrantId, credit_grant};

use super::state::{Draw, Wallet, cost_of, is_usable};
use crate::domain::clock::Instant;
use crate::domain::error::Refusal;

/// The one order in which grants are used (domain.md, *Credits and time*, 4): lower priority number first, then the
/// one that ends soonest (never comes last), then given before paid, then the one that counted first, then the oldest.
#[must_use]
pub fn burn_key(grant: &credit_grant::Model) -> (i16, bool, Option<Instant>, bool, Instant, GrantId) {
    let paid = !grant.promotional;
    (grant.priority, grant.expires_at.is_none(), grant.expires_at, paid, grant.effective_at, grant.id)
}

/// Splits `wanted` over the wallet's usable grants: all of it, or a refusal that says where the rest is.
/// The wallet is settled.
pub fn draw(wallet: &Wallet, wanted: Credits, now: Instant) -> Result<Vec<Draw>, Refusal> {
    let mut missing = wanted;
    let mut draws = Vec::new();
    for grant in wallet.grants.iter().filter(|grant| is_usable(grant, now)) {
        let amount = grant.remaining.min(missing);
        if amount.is_zero() {
            continue;
        }
        draws.push(Draw { grant: grant.id, amount, cost: cost_of(grant, amount) });
        missing -= amount;
    }
    if missing.is_zero() {
        return Ok(draws);
    }
    Err(Refusal::InsufficientCredits {
        requested: wanted,
        available: wallet.available(now),
        held: wallet.row.held,
        expired: wallet.row.expired,
        not_yet_effective: wallet.not_yet_effective(now),
    })
}
