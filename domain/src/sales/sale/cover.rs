//! What unused credits of a running period pay of another plan (pure; selling.md, S12): whole ones, last ones first, at
//! their cost, up to what is charged.

use entity::{Credits, Minor};

use super::Sale;
use super::drawer::fewest;
use super::refund::Take;
use crate::ground::clock::Instant;
use crate::ground::error::Refusal;
use crate::ground::refusal::sale::Sale as Rule;
use crate::ledger::draw::burn_key;
use crate::ledger::state::{is_over, tail_cost};

/// What goes back for another plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cover {
    pub takes: Vec<Take>,
    pub credits: Credits,
    pub cost: Minor,
}

/// What goes back of a sale for a charge, or why it cannot: some of what it would need is set aside.
pub fn decide(sale: &Sale, charge: Minor, now: Instant) -> Result<Cover, Refusal> {
    let own = sale.lots.iter().filter(|lot| lot.grant.customer_id == sale.buyer());
    let free = own.clone().filter(|lot| lot.grant.open && !lot.grant.frozen && !is_over(&lot.grant, now));
    let mut free = free.map(|lot| &lot.grant).collect::<Vec<_>>();
    free.sort_by_key(|grant| {
        let later = (grant.effective_at > now).then_some(grant.effective_at);
        std::cmp::Reverse((later, burn_key(grant)))
    });
    let mut cover = Cover::default();
    let mut left = Minor(charge.0.min(sale.returnable().0));
    for grant in &free {
        let credits = fewest(grant.remaining, left, |credits| tail_cost(grant, credits));
        let cost = tail_cost(grant, credits);
        if !cost.is_zero() {
            cover.takes.push(Take::Credits { grant: grant.id, credits, cost });
            cover.credits += credits;
            cover.cost += cost;
            left -= cost;
        }
        if credits < grant.remaining {
            // The next one costs more than what is left.
            return Ok(cover);
        }
    }
    let held = own.map(|lot| lot.grant.held).sum::<Credits>();
    if !held.is_zero() && !left.is_zero() {
        return Err(Rule::CreditsHeld { held }.into());
    }
    Ok(cover)
}
