//! Issue: a new grant, with the policy of its credit type unless it brings its own.

use entity::activity::{Kind, Source};
use entity::{Credits, Minor, credit_grant};

use super::Circumstances;
use crate::domain::error::Refusal;
use crate::domain::ledger::command::Issue;
use crate::domain::ledger::expiration;
use crate::domain::ledger::state::{Draw, Entry, Wallet};

/// The priority of a grant that names none.
const PRIORITY: i16 = 50;

pub(super) fn decide(wallet: &Wallet, command: &Issue, around: &Circumstances<'_>) -> Result<Entry, Refusal> {
    let Circumstances { account, credit_type, grant: id, at } = *around;
    if credit_type.archived_at.is_some() {
        return Err(Refusal::CreditTypeArchived);
    }
    let effective_at = command.effective_at.unwrap_or(at);
    let policy = command.expiration.unwrap_or_else(|| credit_type.policy());
    let expires_at = expiration::at_issue(policy, effective_at, expiration::zone_of(&account.time_zone));
    if expires_at.is_some_and(|end| end <= effective_at || end <= at) {
        return Err(Refusal::ExpirationNotInFuture);
    }
    let (cost, currency) = match &command.cost {
        Some(cost) => (cost.minor, cost.currency.clone()),
        None => (Minor::ZERO, account.currency.clone()),
    };
    let period = policy.period();
    let grant = credit_grant::Model {
        account_id: account.id,
        id,
        customer_id: wallet.row.customer_id,
        credit_type_id: wallet.row.credit_type_id,
        amount: command.amount,
        remaining: command.amount,
        held: Credits::ZERO,
        consumed: Credits::ZERO,
        expired: Credits::ZERO,
        voided: Credits::ZERO,
        transferred: Credits::ZERO,
        open: true,
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
        first_used_at: None,
        cost,
        cost_left: cost,
        cost_held: Minor::ZERO,
        cost_consumed: Minor::ZERO,
        cost_expired: Minor::ZERO,
        cost_voided: Minor::ZERO,
        cost_transferred: Minor::ZERO,
        currency,
        source: Source::Manual,
        metadata: command.metadata.clone().unwrap_or_else(|| serde_json::json!({})),
        created_at: at,
    };
    let draw = Draw { grant: id, amount: command.amount, cost };
    Ok(Entry { kind: Kind::Issue, at, draws: vec![draw], issued: Some(Box::new(grant)) })
}
