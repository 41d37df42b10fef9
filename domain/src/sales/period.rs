//! Periods of a subscription (pure): when each begins, and what comes in each of its parts.
//!
//! Period n begins n intervals after the anchor, by the calendar of the subscription's zone, each counted from the
//! anchor: 31 January, 28 February, 31 March (domain.md, *Selling*, and *Credits and time*, 5).

use chrono_tz::Tz;
use entity::price::{self, Rollover};
use entity::{Credits, Expiration, Minor, PeriodUnit};

use crate::catalog::prices::parts_of;
use crate::ground::clock::Instant;
use crate::ledger::expiration::plus;

/// What periods are counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    pub at: Instant,
    /// The number of the period that begins there.
    pub number: i64,
    pub zone: Tz,
}

/// One period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    pub number: i64,
    pub starts_at: Instant,
    /// The first instant of the next one.
    pub ends_at: Instant,
}

/// What a line issues in one part of a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub number: i32,
    pub credits: Credits,
    pub cost: Minor,
    pub effective_at: Option<Instant>,
    pub expiration: Option<Expiration>,
}

/// The instant at which `count` units, `times` over, have passed since the anchor; none beyond the calendar.
fn step(anchor: Anchor, (count, unit): (i32, PeriodUnit), times: i64) -> Option<Instant> {
    let times = i32::try_from(times).ok()?;
    plus(anchor.at, count.checked_mul(times)?, unit, anchor.zone)
}

/// The period of a number; none before the anchor, or beyond the calendar.
#[must_use]
pub fn period(price: &price::Model, anchor: Anchor, number: i64) -> Option<Period> {
    let interval = price.interval_count.zip(price.interval_unit)?;
    let times = number.checked_sub(anchor.number).filter(|times| *times >= 0)?;
    let (starts_at, ends_at) = (step(anchor, interval, times)?, step(anchor, interval, times + 1)?);
    Some(Period { number, starts_at, ends_at })
}

/// What a line of a subscription's order issues in a period, part by part. The costs add up to the line's amount.
#[must_use]
pub fn parts(
    price: &price::Model,
    policy: Option<Expiration>,
    anchor: Anchor,
    period: Period,
    (credits, amount): (Credits, Minor),
) -> Option<Vec<Part>> {
    let count = parts_of(price);
    let begin = |part: i32| match price.every_count.zip(price.every_unit) {
        Some(every) if part < count => {
            step(anchor, every, (period.number - anchor.number) * i64::from(count) + i64::from(part))
        }
        _ if part == 0 => Some(period.starts_at),
        _ => Some(period.ends_at),
    };
    let issue = |part: i32| {
        let ends_at = begin(part + 1)?;
        Some(Part {
            number: part,
            credits: Credits(credits.0 / i64::from(count)),
            cost: slice(amount, part, count),
            effective_at: Some(begin(part)?),
            expiration: if price.rollover == Some(Rollover::None) { Some(Expiration::At(ends_at)) } else { policy },
        })
    };
    (0..count).map(issue).collect()
}

/// One of `count` slices of an amount, which add up to it to the last minor unit.
fn slice(amount: Minor, part: i32, count: i32) -> Minor {
    let until = |part: i32| i128::from(amount.0) * i128::from(part) / i128::from(count);
    Minor(i64::try_from(until(part + 1) - until(part)).expect("a part is no larger than the whole"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_add_up() {
        for (amount, count) in [(100, 3), (1, 12), (0, 5), (99_999, 12)] {
            let sum = (0..count).map(|part| slice(Minor(amount), part, count).0).sum::<i64>();
            assert_eq!(sum, amount);
        }
    }
}
