//! Extend: a later end for one grant. Revive: what had ended unused comes back, from expired to remaining.

use entity::activity::Kind;
use entity::{Credits, Minor};

use crate::clock::Instant;
use crate::error::Refusal;
use crate::input;
use crate::ledger::command::{Extend, Extension};
use crate::ledger::expiration;
use crate::ledger::state::{Draw, Entry, Wallet, is_over};

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
    let refunded =
        [Draw::of(grant.id, refunded, Minor::ZERO)].into_iter().filter(|draw| comes_back && !draw.amount.is_zero());
    Ok(std::iter::once(Entry::new(kind, at, vec![draw])).chain(voided(refunded.collect(), at)).collect())
}
