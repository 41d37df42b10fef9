//! Extend: a later end for one grant. Revive: what had ended unused comes back, from expired to remaining.

use crate::activity::Kind;
use crate::{Credits, Minor};

use crate::caps;
use crate::command::{Extend, Extension};
use crate::expiration;
use crate::input;
use crate::refusal::Refusal;
use crate::state::{Draw, Entry, Wallet, is_over, share};
use crate::time::Instant;

use super::reverse::voided;

pub(super) fn decide(wallet: &Wallet, command: &Extend, at: Instant) -> Result<Vec<Entry>, Refusal> {
    let grant = wallet.grant(command.grant).ok_or_else(|| Refusal::not_found("grantId", "grant"))?;
    let before = grant.expires_at.ok_or(Refusal::NoEndToExtend)?;
    let end = expiration::extended(before, command.to, expiration::zone_of(&grant.time_zone));
    let field = if matches!(command.to, Extension::By { .. }) { "to.by.count" } else { "to" };
    let end = end.ok_or_else(|| Refusal::invalid(field, "Is beyond what a calendar can hold."))?;
    let end = input::instant(field, end)?;
    if end <= at {
        return Err(Refusal::ExtensionNotInFuture);
    }
    if end <= before {
        return Err(Refusal::ExtensionNotLater { end: before });
    }
    // What was refunded comes back with the others, and is voided in the same instant.
    let refunded = grant.expired_marked;
    let comes_back = command.revive && is_over(grant, at) && grant.expired > refunded;
    let revived = if comes_back { grant.expired } else { Credits::ZERO };
    // What is held may come back, so it counts as well.
    if grant.closed || (revived + grant.remaining + grant.held).is_zero() {
        return Err(Refusal::NothingToExtend);
    }
    let (kind, cost) = if revived.is_zero() { (Kind::Extend, Minor::ZERO) } else { (Kind::Revive, grant.cost_expired) };
    let draw = Draw { ends_before: Some(before), ends_after: Some(end), ..Draw::of(grant.id, revived, cost) };
    // What had not rolled over, or had ended before the cap came, falls under its allowance.
    let kept = revived - refunded.min(revived);
    let under = if wallet.caps_since(grant, before) { kept } else { grant.expired_capped.min(kept) };
    // What the refund took is no cost of it any more: what is left is of the others.
    let coming = [Draw::of(grant.id, under, share(cost, under, kept))];
    let mut after = wallet.clone();
    after.apply(&Entry::new(kind, at, vec![draw]));
    let (allowances, beyond) = after.within_caps(if comes_back { &coming } else { &[] }, -1, at);
    let ended = caps::ended(beyond, at);
    let refunded =
        [Draw::of(grant.id, refunded, Minor::ZERO)].into_iter().filter(|draw| comes_back && !draw.amount.is_zero());
    let draws = std::iter::once(draw).chain(allowances).collect();
    let voided = voided(refunded.collect(), at);
    Ok(std::iter::once(Entry::new(kind, at, draws)).chain(voided).chain(ended).collect())
}
