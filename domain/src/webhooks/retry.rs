//! When a delivery is tried again, by the schedule of the Standard Webhooks specification: at once, then after 5
//! seconds, 5 and 30 minutes, 2, 5, 10, 14, 20 and 24 hours, each a little longer by chance.

use chrono::TimeDelta;

use crate::ground::clock::{Instant, fresh_salt};

const SECOND: i64 = 1;
const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;
const PAUSES: [i64; 9] =
    [5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];
/// How much longer by chance, at most: a part of the pause.
const JITTER: i64 = 10;
/// The longest that an endpoint may ask to be left alone.
const LONGEST: TimeDelta = TimeDelta::hours(24);
/// After so long without a success an endpoint is disabled.
pub const PATIENCE: TimeDelta = TimeDelta::days(5);

/// For how long nothing is posted to an endpoint that failed: a second, or as long as it asks for.
#[must_use]
pub fn rest(asked: Option<std::time::Duration>) -> TimeDelta {
    let asked = asked.and_then(|asked| TimeDelta::from_std(asked).ok()).unwrap_or_default();
    asked.clamp(TimeDelta::seconds(SECOND), LONGEST)
}

/// When it is tried after so many attempts; none if it is not any more.
#[must_use]
pub fn next(attempts: i32, now: Instant, asked: Option<std::time::Duration>) -> Option<Instant> {
    let pause = usize::try_from(attempts).ok().and_then(|attempts| PAUSES.get(attempts.checked_sub(1)?))?;
    let random = i64::from(u16::from_be_bytes([fresh_salt()[0], fresh_salt()[1]]));
    let pause =
        TimeDelta::seconds(*pause) + TimeDelta::milliseconds(pause * 1_000 / JITTER * random / i64::from(u16::MAX));
    let asked = asked.and_then(|asked| TimeDelta::from_std(asked).ok()).unwrap_or_default().min(LONGEST);
    Some(now + pause.max(asked))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn pauses_are_those_of_the_specification_and_a_little_more() {
        let now = Instant::UNIX_EPOCH;
        for (attempts, pause) in (1..).zip(PAUSES) {
            let next = next(attempts, now, None).expect("again") - now;
            let (least, most) = (TimeDelta::seconds(pause), TimeDelta::seconds(pause) + TimeDelta::seconds(pause) / 10);
            assert!(next >= least && next <= most, "{attempts}: {next}");
        }
        assert_eq!(next(10, now, None), None);
    }

    #[test]
    fn who_asks_to_be_left_alone_is_for_a_day_at_most() {
        let now = Instant::UNIX_EPOCH;
        assert_eq!(next(1, now, Some(Duration::from_secs(90))), Some(now + TimeDelta::seconds(90)));
        assert_eq!(next(1, now, Some(Duration::from_secs(1_000_000))), Some(now + LONGEST));
        assert!(next(3, now, Some(Duration::from_secs(1))).expect("again") >= now + TimeDelta::minutes(30));
    }
}
