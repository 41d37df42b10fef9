//! Reports: what was sold and is owed, earned, or was never used, at any past date, to the last minor unit.
//!
//! Everything is a sum over the ledger's own movements, each with its cost, so it always adds up:
//! `sold = deferred + earned + breakage + voided + reduced + losses`, per credit type and currency (selling.md, S8). What
//! time has done //! and nobody has written down yet counts as what it is: no job has to have run.

pub mod csv;
mod movements;
mod unwritten;

use std::collections::BTreeMap;

use chrono::TimeDelta;
use entity::allocation::CostPool;
use entity::{CreditTypeId, Credits, CustomerId, Minor, PeriodUnit};

pub use movements::Grouping;
use movements::{Key, Moved};

use crate::ground::clock::Instant;
use crate::ground::error::{Refusal, Result};
use crate::ground::input;
use crate::ledger::expiration::{begin_of, plus, zone_of};
use crate::ledger::state::{CostMove, Pool, movement};
use crate::storage::tx::View;

/// Stretches of time in one report.
const STRETCHES: usize = 366;

/// Credits, and what they had cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub credits: Credits,
    pub cost: Minor,
}

impl Sum {
    fn add(&mut self, other: Self, sign: i64) {
        self.credits += Credits(sign * other.credits.0);
        self.cost += Minor(sign * other.cost.0);
    }
}

/// What became of all credits of one type that were paid in one currency, until an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Liability {
    pub credit_type: CreditTypeId,
    pub currency: String,
    /// Issued: `deferred + earned + breakage + voided + reduced + losses`.
    pub sold: Sum,
    /// Not used yet, free or set aside: what the business still owes.
    pub deferred: Sum,
    /// Used.
    pub earned: Sum,
    /// Ended unused.
    pub breakage: Sum,
    /// Taken back, whether money was returned for it or not.
    pub voided: Sum,
    /// What refunds took off credits that stayed, were used or had ended: cost alone.
    pub reduced: Sum,
    /// What was used, or ended, and whose money was charged back or never came: cost alone.
    pub losses: Sum,
    /// What went back to who had paid it: `reduced`, and that part of `voided`.
    pub refunded: Minor,
}

/// What became of credits in a stretch of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    pub credit_type: CreditTypeId,
    pub currency: String,
    /// Whose, where it is said by customer.
    pub customer: Option<CustomerId>,
    /// From when on, where it is said by day or month.
    pub from: Option<Instant>,
    pub sum: Sum,
}

/// A stretch of time, `[from, to)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub from: Instant,
    pub to: Instant,
}

/// What is owed, earned and was never used, as of an instant, included: now, if nothing is said.
pub async fn liability(view: &View, as_of: Option<Instant>) -> Result<(Instant, Vec<Liability>)> {
    view.staff_only()?;
    let as_of = past("asOf", as_of.unwrap_or_else(|| view.now()), view.now())?;
    let after = as_of + TimeDelta::microseconds(1);
    let mut pools = movements::pools(view).await?;
    // What happened since is taken back.
    for moved in movements::moved(view, Some(after), None, Grouping::CreditType).await? {
        shift(pools.entry(moved.key.clone()).or_default(), &moved, -1);
    }
    // What time had done by then, and is not written.
    for moved in unwritten::until(view, after).await? {
        shift(pools.entry(moved.key.clone()).or_default(), &moved, 1);
    }
    let line = |(key, pools): (Key, Pools)| {
        let mut sold = Sum::default();
        let with_credits = [pools.free, pools.held, pools.consumed, pools.expired, pools.voided];
        for pool in with_credits.into_iter().chain([pools.reduced, pools.lost]) {
            sold.add(pool, 1);
        }
        let mut deferred = pools.free;
        deferred.add(pools.held, 1);
        Liability {
            credit_type: key.credit_type,
            currency: key.currency,
            sold,
            deferred,
            earned: pools.consumed,
            breakage: pools.expired,
            voided: pools.voided,
            reduced: pools.reduced,
            losses: pools.lost,
            refunded: pools.reduced.cost + pools.returned,
        }
    };
    let lines = pools.into_iter().map(line).filter(|line| line.sold != Sum::default());
    Ok((as_of, lines.collect()))
}

/// What ended unused in a stretch of time, less what was revived in it.
pub async fn breakage(view: &View, stretch: Stretch) -> Result<Vec<Flow>> {
    view.staff_only()?;
    let stretch = checked(stretch)?;
    let mut sums: BTreeMap<Key, Sum> = BTreeMap::new();
    let written = movements::moved(view, Some(stretch.from), Some(stretch.to), Grouping::CreditType).await?;
    let unwritten = unwritten::within(view, stretch).await?;
    for moved in written.iter().chain(&unwritten) {
        sums.entry(moved.key.clone()).or_default().add(moved.of(Pool::Expired), 1);
    }
    Ok(flows(sums, None))
}

/// What was used in a stretch of time, less what was given back in it.
pub async fn consumption(view: &View, stretch: Stretch, by: Grouping) -> Result<Vec<Flow>> {
    view.staff_only()?;
    let stretch = checked(stretch)?;
    let mut lines = Vec::new();
    for part in stretches(view, stretch, by)? {
        let mut sums: BTreeMap<Key, Sum> = BTreeMap::new();
        for moved in movements::moved(view, Some(part.from), Some(part.to), by).await? {
            sums.entry(moved.key.clone()).or_default().add(moved.of(Pool::Consumed), 1);
        }
        let from = matches!(by, Grouping::Day | Grouping::Month).then_some(part.from);
        lines.extend(flows(sums, from));
    }
    Ok(lines)
}

fn flows(sums: BTreeMap<Key, Sum>, from: Option<Instant>) -> Vec<Flow> {
    let some = sums.into_iter().filter(|(_, sum)| *sum != Sum::default());
    let flow = |(key, sum): (Key, Sum)| Flow {
        credit_type: key.credit_type,
        currency: key.currency,
        customer: key.customer,
        from,
        sum,
    };
    some.map(flow).collect()
}

/// What all grants of a key have in each pool.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pools {
    free: Sum,
    held: Sum,
    consumed: Sum,
    expired: Sum,
    voided: Sum,
    transferred: Sum,
    reduced: Sum,
    lost: Sum,
    /// The part of what was voided whose money went back.
    returned: Minor,
}

/// Carries out a movement on pools, or undoes it.
fn shift(pools: &mut Pools, moved: &Moved, sign: i64) {
    pools.returned.0 += sign * moved.returned.0;
    if let Some(CostMove { from, to }) = moved.reprices {
        let cost = Sum { credits: Credits::ZERO, cost: moved.sum.cost };
        for (pool, sign) in [(from, -sign), (to, sign)] {
            let pool = match pool {
                CostPool::Left => &mut pools.free,
                CostPool::Consumed => &mut pools.consumed,
                CostPool::Expired => &mut pools.expired,
                CostPool::Voided => &mut pools.voided,
                CostPool::Transferred => &mut pools.transferred,
                CostPool::Reduced => &mut pools.reduced,
                CostPool::Lost => &mut pools.lost,
            };
            pool.add(cost, sign);
        }
        return;
    }
    let (from, to) = movement(moved.kind);
    for (pool, sign) in [(from, -sign), (to, sign)] {
        let pool = match pool {
            None => continue,
            Some(Pool::Remaining) => &mut pools.free,
            Some(Pool::Held) => &mut pools.held,
            Some(Pool::Consumed) => &mut pools.consumed,
            Some(Pool::Expired) => &mut pools.expired,
            Some(Pool::Voided) => &mut pools.voided,
            Some(Pool::Transferred) => &mut pools.transferred,
        };
        pool.add(moved.sum, sign);
    }
}

/// An instant that has passed: nobody knows what will be used.
fn past(field: &str, at: Instant, now: Instant) -> Result<Instant, Refusal> {
    let at = input::instant(field, at)?;
    if at > now { Err(Refusal::invalid(field, "Must not be in the future.")) } else { Ok(at) }
}

fn checked(stretch: Stretch) -> Result<Stretch, Refusal> {
    let (from, to) = (input::instant("from", stretch.from)?, input::instant("to", stretch.to)?);
    if from >= to { Err(Refusal::invalid("to", "Must be later than from.")) } else { Ok(Stretch { from, to }) }
}

/// A stretch of time cut where days or months begin in the account's zone; whole, where it is not said by them.
fn stretches(view: &View, whole: Stretch, by: Grouping) -> Result<Vec<Stretch>> {
    let (unit, name) = match by {
        Grouping::Day => (PeriodUnit::Day, "days"),
        Grouping::Month => (PeriodUnit::Month, "months"),
        Grouping::CreditType | Grouping::Customer => return Ok(vec![whole]),
    };
    let zone = zone_of(&view.account().time_zone);
    let first = begin_of(whole.from, unit, zone);
    let too_many = || Refusal::invalid("to", format!("At most {STRETCHES} {name} at once. Ask for a shorter time."));
    let mut stretches = Vec::new();
    let mut from = whole.from;
    for count in 1.. {
        // The beginning of each day by itself: midnight is not everywhere every day.
        let next = first.and_then(|first| plus(first, count, unit, zone)).and_then(|at| begin_of(at, unit, zone));
        let to = next.unwrap_or(whole.to).min(whole.to);
        if stretches.len() >= STRETCHES {
            return Err(too_many().into());
        }
        stretches.push(Stretch { from, to });
        if to >= whole.to {
            break;
        }
        from = to;
    }
    Ok(stretches)
}
