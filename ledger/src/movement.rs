//! From where to where an entry moves credits and their cost within a grant (pure).

use crate::activity::Kind;
use crate::allocation::CostPool;
use crate::{Credits, Grant, Minor};

use super::state::Draw;
use crate::time::Instant;

/// Where credits of a grant can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    Remaining,
    Held,
    Consumed,
    Expired,
    Voided,
    Transferred,
}

/// From where to where an entry moves credits within each grant. What makes a grant brings them from outside.
#[must_use]
pub fn movement(kind: Kind) -> (Option<Pool>, Option<Pool>) {
    let (from, to) = match kind {
        Kind::Issue | Kind::TransferIn => return (None, Some(Pool::Remaining)),
        Kind::Extend | Kind::Reprice | Kind::Freeze | Kind::Thaw => return (None, None),
        Kind::Consume => (Pool::Remaining, Pool::Consumed),
        Kind::Hold => (Pool::Remaining, Pool::Held),
        Kind::Capture => (Pool::Held, Pool::Consumed),
        Kind::Release | Kind::Lapse => (Pool::Held, Pool::Remaining),
        Kind::Reverse => (Pool::Consumed, Pool::Remaining),
        Kind::Expire => (Pool::Remaining, Pool::Expired),
        Kind::Void => (Pool::Remaining, Pool::Voided),
        Kind::Reinstate => (Pool::Voided, Pool::Remaining),
        Kind::Revive => (Pool::Expired, Pool::Remaining),
        Kind::TransferOut => (Pool::Remaining, Pool::Transferred),
    };
    (Some(from), Some(to))
}

/// Signed change of a pool by an activity of a kind that moves `total`.
#[must_use]
pub fn change(kind: Kind, pool: Pool, total: Credits) -> Credits {
    match movement(kind) {
        (Some(from), _) if from == pool => -total,
        (_, Some(to)) if to == pool => total,
        _ => Credits::ZERO,
    }
}

/// Whether an activity of a kind makes grants, whose terms it then signs.
#[must_use]
pub fn makes_grants(kind: Kind) -> bool {
    matches!(kind, Kind::Issue | Kind::TransferIn)
}

/// Whether an activity of a kind uses credits, which is what a period from first use begins with.
#[must_use]
pub fn uses(kind: Kind) -> bool {
    matches!(kind, Kind::Consume | Kind::Capture)
}

/// The end that an activity of a kind sets for a grant: outer none where it sets none, inner none where that is never.
#[must_use]
pub fn sets_end(kind: Kind, ends_after: Option<Instant>) -> Option<Option<Instant>> {
    match kind {
        Kind::Issue | Kind::TransferIn | Kind::Extend | Kind::Revive => Some(ends_after),
        _ => ends_after.map(Some),
    }
}

/// A pool of a grant: its credits and what they cost.
fn pool_of(grant: &mut Grant, pool: Pool) -> (&mut Credits, &mut Minor) {
    match pool {
        Pool::Remaining => (&mut grant.remaining, &mut grant.cost_left),
        Pool::Held => (&mut grant.held, &mut grant.cost_held),
        Pool::Consumed => (&mut grant.consumed, &mut grant.cost_consumed),
        Pool::Expired => (&mut grant.expired, &mut grant.cost_expired),
        Pool::Voided => (&mut grant.voided, &mut grant.cost_voided),
        Pool::Transferred => (&mut grant.transferred, &mut grant.cost_transferred),
    }
}

/// A grant before its first credit, and before anything said when it ends.
#[must_use]
pub fn emptied(grant: &Grant) -> Grant {
    Grant {
        remaining: Credits::ZERO,
        held: Credits::ZERO,
        consumed: Credits::ZERO,
        expired: Credits::ZERO,
        voided: Credits::ZERO,
        transferred: Credits::ZERO,
        cost_left: Minor::ZERO,
        cost_held: Minor::ZERO,
        cost_consumed: Minor::ZERO,
        cost_expired: Minor::ZERO,
        cost_voided: Minor::ZERO,
        cost_transferred: Minor::ZERO,
        open: false,
        cost_reduced: Minor::ZERO,
        cost_lost: Minor::ZERO,
        cost_returned: Minor::ZERO,
        cost_short: Minor::ZERO,
        expired_marked: Credits::ZERO,
        expired_capped: Credits::ZERO,
        frozen: false,
        allowance: None,
        capped_at: None,
        closed: false,
        first_used_at: None,
        expires_at: None,
        ..grant.clone()
    }
}

/// From where to where a reprice moves cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CostMove {
    pub from: CostPool,
    pub to: CostPool,
}

/// The cost that stands in a pool of a grant.
#[must_use]
pub fn cost_in(grant: &Grant, pool: CostPool) -> Minor {
    *cost_of(&mut grant.clone(), pool)
}

fn cost_of(grant: &mut Grant, pool: CostPool) -> &mut Minor {
    match pool {
        CostPool::Left => &mut grant.cost_left,
        CostPool::Consumed => &mut grant.cost_consumed,
        CostPool::Expired => &mut grant.cost_expired,
        CostPool::Voided => &mut grant.cost_voided,
        CostPool::Transferred => &mut grant.cost_transferred,
        CostPool::Reduced => &mut grant.cost_reduced,
        CostPool::Lost => &mut grant.cost_lost,
    }
}

/// Moves credits and their cost within a grant, closes or opens it, and freezes or thaws it.
pub fn shift(grant: &mut Grant, kind: Kind, draw: Draw) {
    // One that bears a cap is neither closed nor opened by what comes back to others.
    if draw.takes_allowance() {
        return;
    }
    let (from, to) = movement(kind);
    // What is taken back is taken from the end, where the credit stands that costs less.
    if kind == Kind::Void && !draw.amount.is_zero() {
        grant.cost_short = Minor::ZERO;
    }
    for (pool, sign) in [(from, -1), (to, 1)] {
        if let Some(pool) = pool {
            let (credits, cost) = pool_of(grant, pool);
            *credits += Credits(sign * draw.amount.0);
            *cost += Minor(sign * draw.cost.0);
        }
    }
    if draw.refunded {
        let sign = if kind == Kind::Void { 1 } else { -1 };
        grant.cost_returned.0 += sign * draw.cost.0;
    }
    if let Some(moves) = draw.reprices {
        reprice(grant, moves, draw);
    }
    match kind {
        Kind::Expire if draw.allowance.is_some() => grant.expired_capped += draw.amount,
        Kind::Revive => (grant.expired_marked, grant.expired_capped) = (Credits::ZERO, Credits::ZERO),
        _ => {}
    }
    grant.open = !grant.remaining.is_zero();
    if !grant.open {
        grant.cost_short = Minor::ZERO;
    }
    grant.closed = super::settle::sets_closed(kind, draw.leaves_open).unwrap_or(grant.closed);
    grant.frozen = match kind {
        Kind::Freeze => true,
        Kind::Thaw => false,
        _ => grant.frozen,
    };
}

/// Opens the allowance that a new grant bears, or takes some off; answers whether it was opened.
pub fn allow(grant: &mut Grant, kind: Kind, draw: Draw, sequence: i64) -> bool {
    let Some(allowance) = draw.allowance else { return false };
    let opens = makes_grants(kind) && !draw.takes_allowance();
    if opens {
        (grant.allowance, grant.capped_at) = (Some(allowance), Some(sequence));
    } else {
        grant.allowance = grant.allowance.map(|left| left + allowance);
    }
    opens
}

/// Moves cost, while the credits stay.
fn reprice(grant: &mut Grant, CostMove { from, to }: CostMove, draw: Draw) {
    *cost_of(grant, from) -= draw.cost;
    *cost_of(grant, to) += draw.cost;
    let is_last = draw.amount == Credits(1);
    match (from, to) {
        // Of the last free credit alone, or of all of them.
        (CostPool::Left, _) if is_last => grant.cost_short += draw.cost,
        (_, CostPool::Left) if is_last => {
            grant.cost_short = Minor((grant.cost_short - draw.cost).0.max(0));
        }
        (CostPool::Expired, _) => grant.expired_marked += draw.amount,
        (_, CostPool::Expired) => grant.expired_marked -= draw.amount,
        _ => {}
    }
}

/// What the next `amount` of `units` that cost `cost` together cost: `floor(cost * amount / units)`,
/// so that the last credit takes what rounding left over (domain.md, *Cost*).
#[must_use]
pub fn share(cost: Minor, amount: Credits, units: Credits) -> Minor {
    if units.is_zero() {
        return Minor::ZERO;
    }
    let part = i128::from(cost.0) * i128::from(amount.0) / i128::from(units.0);
    Minor(i64::try_from(part).expect("a part is no larger than the whole"))
}

/// What the free credits of a grant cost that are used next. The last one of all may cost less than the others, where a
/// refund took a part of its cost (selling.md, S2).
#[must_use]
pub fn head_cost(grant: &Grant, amount: Credits) -> Minor {
    if amount >= grant.remaining {
        return grant.cost_left;
    }
    share(grant.cost_left + grant.cost_short, amount, grant.remaining).min(grant.cost_left)
}

/// What the free credits of a grant cost that would be used last.
#[must_use]
pub fn tail_cost(grant: &Grant, amount: Credits) -> Minor {
    grant.cost_left - head_cost(grant, grant.remaining - amount)
}
