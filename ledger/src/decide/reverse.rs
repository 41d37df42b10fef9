//! Reverse: from consumed to remaining, last taken first, of a consume or a capture, at most what was not undone yet; or
//! from voided to remaining, of a void as a whole.
//! What comes back to a grant that has ended is forfeited, or goes to a new grant with some days of grace.

use crate::activity::{Kind, Source};
use crate::{Anchor, Credits, Expiration, Minor, PeriodUnit};

use super::{Circumstances, Used, transfer};
use crate::caps::{self, less};
use crate::command::{OnExpired, Reverse};
use crate::expiration;
use crate::fault::{self, Fault};
use crate::refusal::Refusal;
use crate::state::{Draw, Entry, Wallet, uses};
use crate::time::Instant;

pub(super) fn decide(wallet: &Wallet, command: &Reverse, around: &Circumstances<'_>) -> Result<Vec<Entry>, Refusal> {
    let used = around.used.ok_or_else(|| Refusal::not_found("activityId", "activity"))?;
    if used.kind == Kind::Void {
        return reinstate(wallet, command, used, around);
    }
    if !uses(used.kind) {
        return Err(Refusal::NotReversible);
    }
    let left = used.left.iter().map(|draw| draw.amount).sum::<Credits>();
    if left.is_zero() {
        return Err(Refusal::ReversedBefore);
    }
    let amount = command.amount.unwrap_or(left);
    if amount > left {
        return Err(Refusal::MoreThanLeft { requested: amount, left });
    }
    let mut taken = used.left.clone();
    if !fault::is(Fault::Reverse) {
        taken.reverse();
    }
    let (returned, refunded) = used.coming_back(&taken, amount);
    let at = around.at;
    let kept = less(&returned, &refunded);
    let (allowances, beyond) = wallet.within_caps(&kept, used.drawn, at);
    let kept = less(&kept, &beyond);
    let draws = returned.into_iter().chain(allowances).collect();
    let reverse = Entry { reverses: Some(command.activity), ..Entry::new(Kind::Reverse, at, draws) };
    let onward = match command.on_expired {
        OnExpired::Forfeit => wallet.onward(&kept, at),
        OnExpired::Reissue { grace_days } => reissue(wallet, &kept, grace_days, around),
    };
    let beyond = caps::ended(beyond, at);
    Ok(std::iter::once(reverse).chain(voided(refunded, at)).chain(beyond).chain(onward).collect())
}

/// What was refunded is voided in the instant in which it comes back (selling.md, S4).
pub(super) fn voided(refunded: Vec<Draw>, at: Instant) -> Option<Entry> {
    if refunded.is_empty() || fault::is(Fault::Marks) {
        return None;
    }
    let draws = refunded.into_iter().map(|draw| Draw { leaves_open: true, ..draw }).collect();
    Some(Entry { reason: Some("Its money went back"), ..Entry::new(Kind::Void, at, draws) })
}

/// A void as a whole (selling.md, S9): cost and end as they were, and what it closed is open again.
fn reinstate(
    wallet: &Wallet,
    command: &Reverse,
    void: &Used,
    around: &Circumstances<'_>,
) -> Result<Vec<Entry>, Refusal> {
    // What selling took back, selling gives back: its money went back, or never came.
    if void.source == Source::Order && !around.source.is_agreed() {
        return Err(Refusal::NotReversible);
    }
    // First, because it is so whatever has happened since.
    if command.amount.is_some() {
        return Err(Refusal::invalid("amount", "A void is undone as a whole: leave the amount out."));
    }
    if void.undone {
        return Err(Refusal::ReversedBefore);
    }
    let draws = void.left.clone();
    let mut entry = Entry { reverses: Some(command.activity), ..Entry::new(Kind::Reinstate, around.at, draws) };
    let mut opened = wallet.clone();
    opened.apply(&entry);
    // A void that only closed its grant gives nothing back.
    let returned = void.left.iter().copied().filter(|draw| !draw.amount.is_zero()).collect::<Vec<_>>();
    let (allowances, beyond) = opened.within_caps(&returned, void.drawn, around.at);
    let kept = less(&returned, &beyond);
    entry.draws.extend(allowances);
    let onward = match command.on_expired {
        OnExpired::Forfeit => opened.onward(&kept, around.at),
        OnExpired::Reissue { grace_days } => reissue(&opened, &kept, grace_days, around),
    };
    Ok(std::iter::once(entry).chain(caps::ended(beyond, around.at)).chain(onward).collect())
}

/// A transfer of what came back to ended grants, each draw to a new grant of the same customer.
fn reissue(wallet: &Wallet, returned: &[Draw], grace_days: i32, around: &Circumstances<'_>) -> Vec<Entry> {
    let (ended, others): (Vec<_>, Vec<_>) =
        returned.iter().copied().partition(|draw| wallet.goes_on(draw.grant, around.at) == Some(Kind::Expire));
    let mut entries = wallet.onward(&others, around.at);
    if ended.is_empty() {
        return entries;
    }
    let at = around.at;
    let policy = Expiration::After { count: grace_days, unit: PeriodUnit::Day, from: Anchor::Issue };
    let end = expiration::at_issue(policy, at, expiration::zone_of(&around.account.time_zone));
    let grants = ended.iter().map(|draw| {
        let mut grant = transfer::made_of(wallet, draw, wallet.row.customer_id, around);
        let period = policy.period();
        grant.effective_at = at;
        grant.expires_at = end;
        grant.expiration = policy.kind();
        grant.period_count = period.map(|(count, _, _)| count);
        grant.period_unit = period.map(|(_, unit, _)| unit);
        grant.period_from = period.map(|(_, _, from)| from);
        grant.expires_on = None;
        grant.time_zone.clone_from(&around.account.time_zone);
        grant.source = Source::Reissue;
        grant
    });
    let [out, into] = transfer::entries(&ended, grants.collect(), Source::Reissue, at);
    let is_frozen = |draw: &Draw| wallet.grant(draw.grant).is_some_and(|grant| grant.frozen);
    let made = ended.iter().zip(&into.issued).filter(|(draw, _)| is_frozen(draw));
    let made = made.map(|(_, grant)| Draw::of(grant.id, Credits::ZERO, Minor::ZERO)).collect::<Vec<_>>();
    entries.extend([out, into]);
    if !made.is_empty() {
        entries.push(Entry::new(Kind::Freeze, at, made));
    }
    entries
}
