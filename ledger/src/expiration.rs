//! When a policy's credits end (pure). The rules are domain.md's, *Credits and time*, 5.

use crate::{Anchor, Expiration, Grant, PeriodUnit};
use chrono::{DateTime, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use super::command::Extension;
use crate::refusal::Refusal;
use crate::time::Instant;

/// The longest period: a hundred years, enough for any promise, short of what a calendar can hold.
fn longest(unit: PeriodUnit) -> i32 {
    match unit {
        PeriodUnit::Day => 36_500,
        PeriodUnit::Week => 5_200,
        PeriodUnit::Month => 1_200,
        PeriodUnit::Year => 100,
    }
}

/// Refuses a policy that no calendar can follow.
pub fn check(field: &str, policy: Expiration) -> Result<Expiration, Refusal> {
    match policy {
        Expiration::After { count, unit, .. } if !(1..=longest(unit)).contains(&count) => {
            Err(Refusal::invalid(&format!("{field}.after.count"), format!("Must be 1 to {}.", longest(unit))))
        }
        Expiration::On(date) => {
            let at = date.and_time(NaiveTime::MIN).and_utc();
            crate::input::instant(&format!("{field}.on"), at).map(|_| policy)
        }
        Expiration::At(at) => crate::input::instant(&format!("{field}.at"), at).map(Expiration::At),
        _ => Ok(policy),
    }
}

/// Refuses an extension that no calendar can follow.
pub fn check_extension(field: &str, to: Extension) -> Result<Extension, Refusal> {
    match to {
        Extension::By { count, unit } => {
            let policy = Expiration::After { count, unit, from: Anchor::Issue };
            check(field, policy)
                .map(|_| to)
                .map_err(|_| Refusal::invalid(&format!("{field}.by.count"), format!("Must be 1 to {}.", longest(unit))))
        }
        Extension::On(date) => check(field, Expiration::On(date)).map(|_| to),
        Extension::At(at) => match check(field, Expiration::At(at))? {
            Expiration::At(at) => Ok(Extension::At(at)),
            _ => Ok(to),
        },
    }
}

/// The end that an extension gives to a grant that ends, or ended, at `end`.
#[must_use]
pub fn extended(end: Instant, to: Extension, zone: Tz) -> Option<Instant> {
    match to {
        Extension::By { count, unit } => plus(end, count, unit, zone),
        Extension::On(date) => end_of(date, zone),
        Extension::At(at) => Some(at),
    }
}

/// The same local time of day some calendar periods later: the date is clamped to the month's end, a time that does not
/// exist moves forward by the gap, and of one that exists twice it is the earlier.
#[must_use]
pub fn plus(at: Instant, count: i32, unit: PeriodUnit, zone: Tz) -> Option<Instant> {
    let local = at.with_timezone(&zone).naive_local();
    let later = add(local.date(), count, unit)?.and_time(local.time());
    if let Some(at) = zone.from_local_datetime(&later).earliest() {
        return Some(at.to_utc());
    }
    // Before the gap the clock was behind by its length: read by that offset, the time moves forward by the gap.
    let jump = end_of_gap(later, zone)?;
    let before = zone.from_utc_datetime(&(jump - TimeDelta::seconds(1)).naive_utc());
    let offset = before.naive_local() - before.naive_utc();
    Some((later - offset).and_utc())
}

/// The end of a grant that begins to count at `effective_at`; none if it has no end, or none before its first use.
#[must_use]
pub fn at_issue(policy: Expiration, effective_at: Instant, zone: Tz) -> Option<Instant> {
    match policy {
        Expiration::Never | Expiration::After { from: Anchor::FirstUse, .. } => None,
        Expiration::After { count, unit, from: Anchor::Issue } => after(effective_at, count, unit, zone),
        Expiration::On(date) => end_of(date, zone),
        Expiration::At(at) => Some(at),
    }
}

/// The end that a first use at `at` sets, where the policy counts from it and it is the first.
#[must_use]
pub fn at_first_use(grant: &Grant, at: Instant) -> Option<Instant> {
    match grant.policy_period() {
        Some((count, unit, Anchor::FirstUse)) if grant.first_used_at.is_none() => {
            after(at, count, unit, zone_of(&grant.time_zone))
        }
        _ => None,
    }
}

/// The first instant of the local day or month, week or year that an instant lies in.
#[must_use]
pub fn begin_of(at: Instant, unit: PeriodUnit, zone: Tz) -> Option<Instant> {
    use chrono::Datelike;
    let date = at.with_timezone(&zone).date_naive();
    let first = match unit {
        PeriodUnit::Day => date,
        PeriodUnit::Week => date.checked_sub_days(Days::new(u64::from(date.weekday().num_days_from_monday())))?,
        PeriodUnit::Month => date.with_day(1)?,
        PeriodUnit::Year => date.with_month(1)?.with_day(1)?,
    };
    first_instant(first, zone)
}

/// A stored zone. What is stored was checked when it was written.
#[must_use]
pub fn zone_of(name: &str) -> Tz {
    name.parse().unwrap_or(Tz::UTC)
}

/// The first instant after the last day of a period that is counted from `anchor`'s local date.
fn after(anchor: Instant, count: i32, unit: PeriodUnit, zone: Tz) -> Option<Instant> {
    let start = anchor.with_timezone(&zone).date_naive();
    end_of(add(start, count, unit)?, zone)
}

/// A date some periods later, clamped to the month's end: 31 January and a month is the last of February.
fn add(date: NaiveDate, count: i32, unit: PeriodUnit) -> Option<NaiveDate> {
    let count = u32::try_from(count).ok()?;
    match unit {
        PeriodUnit::Day => date.checked_add_days(Days::new(u64::from(count))),
        PeriodUnit::Week => date.checked_add_days(Days::new(7 * u64::from(count))),
        PeriodUnit::Month => date.checked_add_months(Months::new(count)),
        PeriodUnit::Year => date.checked_add_months(Months::new(count.checked_mul(12)?)),
    }
}

/// The first instant of the day after `date`: credits can be used through their whole last day.
fn end_of(date: NaiveDate, zone: Tz) -> Option<Instant> {
    first_instant(date.succ_opt()?, zone)
}

/// The first instant of a local day. Where midnight exists twice it is the earlier;
/// where clocks skip it, it is the moment of the skip.
#[must_use]
pub fn first_instant(date: NaiveDate, zone: Tz) -> Option<Instant> {
    let midnight = date.and_time(NaiveTime::MIN);
    match zone.from_local_datetime(&midnight).earliest() {
        Some(at) => Some(at.to_utc()),
        None => end_of_gap(midnight, zone),
    }
}

/// The instant at which a zone's clocks jump over a local time that does not exist.
fn end_of_gap(skipped: NaiveDateTime, zone: Tz) -> Option<Instant> {
    // Local time only jumps forward around a gap, so the jump can be bisected. No gap is longer than a day (Samoa 2011).
    let margin = TimeDelta::hours(38);
    let (mut before, mut behind) = (skipped.checked_sub_signed(margin)?, skipped.checked_add_signed(margin)?);
    while behind - before > TimeDelta::seconds(1) {
        let middle = before + (behind - before) / 2;
        if zone.from_utc_datetime(&middle).naive_local() >= skipped {
            behind = middle;
        } else {
            before = middle;
        }
    }
    // Zones change at whole seconds: what lies within the last second is its end.
    let whole = DateTime::<Utc>::from_timestamp(behind.and_utc().timestamp(), 0)?;
    Some(if zone.from_utc_datetime(&whole.naive_utc()).naive_local() >= skipped {
        whole
    } else {
        whole + TimeDelta::seconds(1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        text.parse().expect("an instant")
    }

    fn ends(policy: Expiration, from: &str, zone: &str) -> String {
        at_issue(policy, at(from), zone_of(zone)).expect("an end").to_rfc3339()
    }

    fn months(count: i32) -> Expiration {
        Expiration::After { count, unit: PeriodUnit::Month, from: Anchor::Issue }
    }

    #[test]
    fn an_extension_keeps_the_time_of_day_through_skips_and_doubles() {
        let later = |from: &str, count: i32, unit: PeriodUnit, zone: &str| {
            plus(at(from), count, unit, zone_of(zone)).expect("an instant").to_rfc3339()
        };
        // Clamped to the month's end.
        assert_eq!(later("2026-01-31T09:00:00Z", 1, PeriodUnit::Month, "Europe/Zurich"), "2026-02-28T09:00:00+00:00");
        assert_eq!(later("2024-02-29T12:00:00Z", 1, PeriodUnit::Year, "UTC"), "2025-02-28T12:00:00+00:00");
        // The same time of day in summer is an hour earlier in UTC.
        assert_eq!(later("2026-03-28T09:00:00Z", 1, PeriodUnit::Day, "Europe/Zurich"), "2026-03-29T08:00:00+00:00");
        // 02:30 on 29 March is skipped: it moves to 03:30, which is 01:30 UTC.
        assert_eq!(later("2026-03-28T01:30:00Z", 1, PeriodUnit::Day, "Europe/Zurich"), "2026-03-29T01:30:00+00:00");
        // 02:30 on 25 October is there twice: the earlier one is in summer time, at 00:30 UTC.
        assert_eq!(later("2026-10-24T00:30:00Z", 1, PeriodUnit::Day, "Europe/Zurich"), "2026-10-25T00:30:00+00:00");
        // Midnight in Sao Paulo was skipped on 4 November 2018.
        assert_eq!(later("2018-11-03T03:00:00Z", 1, PeriodUnit::Day, "America/Sao_Paulo"), "2018-11-04T03:00:00+00:00");
    }

    #[test]
    fn the_last_day_can_be_used_whole() {
        let days = Expiration::After { count: 90, unit: PeriodUnit::Day, from: Anchor::Issue };
        assert_eq!(ends(days, "2026-01-01T23:30:00Z", "Europe/Zurich"), "2026-04-02T22:00:00+00:00");
        let date = Expiration::On(NaiveDate::from_ymd_opt(2026, 12, 31).expect("a date"));
        assert_eq!(ends(date, "2026-01-01T00:00:00Z", "America/New_York"), "2027-01-01T05:00:00+00:00");
    }

    #[test]
    fn months_clamp_and_are_counted_from_the_anchor() {
        assert_eq!(ends(months(1), "2026-01-31T12:00:00Z", "UTC"), "2026-03-01T00:00:00+00:00");
        assert_eq!(ends(months(2), "2026-01-31T12:00:00Z", "UTC"), "2026-04-01T00:00:00+00:00");
        assert_eq!(ends(months(1), "2028-01-31T12:00:00Z", "UTC"), "2028-03-01T00:00:00+00:00");
        let years = Expiration::After { count: 1, unit: PeriodUnit::Year, from: Anchor::Issue };
        assert_eq!(ends(years, "2028-02-29T12:00:00Z", "UTC"), "2029-03-01T00:00:00+00:00");
    }

    #[test]
    fn a_midnight_that_does_not_exist_is_the_moment_of_the_jump() {
        // Cairo skips 00:00 to 01:00 on 26 April 2024; Samoa skipped all of 30 December 2011.
        let cairo = Expiration::On(NaiveDate::from_ymd_opt(2024, 4, 25).expect("a date"));
        assert_eq!(ends(cairo, "2024-01-01T00:00:00Z", "Africa/Cairo"), "2024-04-25T22:00:00+00:00");
        let samoa = Expiration::On(NaiveDate::from_ymd_opt(2011, 12, 29).expect("a date"));
        assert_eq!(ends(samoa, "2011-01-01T00:00:00Z", "Pacific/Apia"), "2011-12-30T10:00:00+00:00");
    }

    #[test]
    fn a_midnight_that_exists_twice_is_the_earlier() {
        // Havana sets its clocks back from 01:00 to 00:00 on 3 November 2024.
        let havana = Expiration::On(NaiveDate::from_ymd_opt(2024, 11, 2).expect("a date"));
        assert_eq!(ends(havana, "2024-01-01T00:00:00Z", "America/Havana"), "2024-11-03T04:00:00+00:00");
    }

    #[test]
    fn counted_from_first_use_there_is_no_end_at_issue() {
        let policy = Expiration::After { count: 30, unit: PeriodUnit::Day, from: Anchor::FirstUse };
        assert_eq!(at_issue(policy, at("2026-01-01T00:00:00Z"), Tz::UTC), None);
    }

    proptest::proptest! {
        #[test]
        fn an_end_lies_after_its_beginning_and_begins_a_local_day(
            seconds in 0_i64..4_000_000_000, count in 1_i32..=100, unit in 0_usize..4, zone in 0_usize..600,
        ) {
            let zone = chrono_tz::TZ_VARIANTS[zone % chrono_tz::TZ_VARIANTS.len()];
            let unit = [PeriodUnit::Day, PeriodUnit::Week, PeriodUnit::Month, PeriodUnit::Year][unit];
            let start = DateTime::from_timestamp(seconds, 0).expect("in range");
            let policy = Expiration::After { count, unit, from: Anchor::Issue };
            if let Some(end) = at_issue(policy, start, zone) {
                proptest::prop_assert!(end > start);
                let (day, eve) = (end.with_timezone(&zone), (end - TimeDelta::microseconds(1)).with_timezone(&zone));
                proptest::prop_assert!(day.date_naive() > eve.date_naive(), "{eve} to {day}");
            }
        }
    }
}
