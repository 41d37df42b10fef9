//! Issue: a new grant, with the policy of its credit type unless it brings its own.

use crate::activity::Kind;
use crate::{Grant, GrantId, Minor};

use super::Circumstances;
use crate::caps;
use crate::command::Issue;
use crate::expiration;
use crate::input;
use crate::refusal::Refusal;
use crate::state::{Draw, Entry, Wallet};

/// The priority of a grant that names none.
pub const PRIORITY: i16 = 50;

pub(super) fn decide(wallet: &Wallet, command: &Issue, around: &Circumstances<'_>) -> Result<Vec<Entry>, Refusal> {
    let Circumstances { account, credit_type, at, .. } = *around;
    if around.archived && !around.source.is_agreed() {
        return Err(Refusal::CustomerArchived { field: "customerId".to_owned() });
    }
    if credit_type.archived && !around.source.is_agreed() {
        return Err(Refusal::CreditTypeArchived);
    }
    let effective_at = command.effective_at.unwrap_or(at);
    let policy = command.expiration.unwrap_or(credit_type.policy);
    let expires_at = expiration::at_issue(policy, effective_at, expiration::zone_of(&account.time_zone));
    if expires_at.is_some_and(|end| end <= effective_at || end <= at) {
        return Err(Refusal::ExpirationNotInFuture);
    }
    let expires_at = expires_at.map(|end| input::instant("expiration", end)).transpose()?;
    let (cost, currency) = match &command.cost {
        Some(cost) => (cost.minor, cost.currency.clone()),
        None => (Minor::ZERO, account.currency.clone()),
    };
    let period = policy.period();
    let grant = Grant {
        priority: command.priority.unwrap_or(PRIORITY),
        promotional: cost.is_zero(),
        effective_at,
        expires_at,
        expiration: policy.kind(),
        period_count: period.map(|(count, _, _)| count),
        period_unit: period.map(|(_, unit, _)| unit),
        period_from: period.map(|(_, _, from)| from),
        expires_on: policy.date(),
        time_zone: account.time_zone.clone(),
        cost,
        cost_left: cost,
        subscription_id: command.period.map(|(subscription, ..)| subscription),
        period: command.period.map(|(_, period, _)| period),
        rollover_limit: command.period.and_then(|(.., limit)| limit),
        currency,
        source: around.source,
        metadata: command.metadata.clone().unwrap_or_else(|| serde_json::json!({})),
        ..Grant::of(account.id, GrantId((around.fresh)()), wallet.key(), command.amount, at)
    };
    let opens = command.period.zip(command.cap);
    let allowance = opens.map(|((subscription, period, _), keep)| wallet.allowance(subscription, period, keep));
    let draw = Draw { ends_after: expires_at, allowance, ..Draw::of(grant.id, command.amount, cost) };
    let issue = Entry { issued: vec![grant], ..Entry::new(Kind::Issue, at, vec![draw]) };
    Ok(arrived(wallet, issue, |after, coming| after.within_caps_late(coming, at)))
}

/// What arrives of an earlier period after a later one was paid falls under that one's cap: what is beyond ends in the same
/// instant (selling.md, S11).
pub(super) fn arrived(
    wallet: &Wallet,
    mut entry: Entry,
    within_caps: impl Fn(&Wallet, &[Draw]) -> (Vec<Draw>, Vec<Draw>),
) -> Vec<Entry> {
    let mut after = wallet.clone();
    if after.row.caps == 0 {
        return vec![entry];
    }
    after.apply(&entry);
    let coming = entry.draws.iter().map(|draw| Draw::of(draw.grant, draw.amount, draw.cost)).collect::<Vec<_>>();
    let (allowances, beyond) = within_caps(&after, &coming);
    // What it opens itself is no cap over it: its period is not earlier than its own.
    entry.draws.extend(allowances);
    let ended = caps::ended(beyond, entry.at);
    std::iter::once(entry).chain(ended).collect()
}
