//! What happens in a random history: steps that name what is there by a number, whatever is there by then.

use chrono::{Days, TimeDelta, TimeZone};
use chrono_tz::Tz;
use entity::{Anchor, CreditTypeId, Credits, CustomerId, Expiration, GrantId, HoldId, Minor, PeriodUnit};
use proptest::prelude::*;
use scrip::domain::clock::Instant;
use scrip::domain::ledger::{
    Capture, Closing, Command, Consume, Cost, Extend, Extension, Issue, OnExpired, Place, Release, Reverse, Transfer,
    Void, Words,
};

use super::{Answer, Lot, Naive, Place as Where};

/// Customers of one history.
pub const PEOPLE: usize = 2;

#[derive(Clone, Copy, Debug)]
pub enum Ends {
    Never,
    AfterDays(u64),
    AfterFirstUse(u64),
    InHours(i64),
}

#[derive(Clone, Debug)]
pub enum Step {
    Issue { who: usize, amount: usize, cost: i64, priority: i16, delay: Option<i64>, ends: Ends },
    Consume { who: usize, amount: usize },
    Hold { who: usize, amount: usize, hours: i64 },
    Capture { hold: usize, amount: Option<usize> },
    Release { hold: usize },
    Reverse { used: usize, amount: Option<usize>, grace: Option<u64> },
    Void { lot: usize, closing: Closing },
    ExtendBy { lot: usize, days: u64 },
    ExtendTo { lot: usize, hours: i64 },
    Transfer { from: usize, amount: usize },
}

/// A step, and how many hours pass before it.
pub type Timed = (i64, Step);

pub fn step() -> impl Strategy<Value = Step> {
    let who = 0..PEOPLE;
    let ends = prop_oneof![
        2 => Just(Ends::Never),
        3 => (0..12_u64).prop_map(Ends::AfterDays),
        2 => (0..12_u64).prop_map(Ends::AfterFirstUse),
        2 => (-5..200_i64).prop_map(Ends::InHours),
    ];
    let closing =
        prop_oneof![2 => Just(Closing::WithItsCredits), 1 => Just(Closing::Always), 2 => Just(Closing::Never)];
    // Often given, so that burn order has to choose between given and paid ones.
    let cost = prop_oneof![1 => Just(0), 2 => 1..500_i64];
    let some = |range: std::ops::Range<usize>| proptest::option::of(range);
    prop_oneof![
        6 => (who.clone(), 1..12_usize, cost, 49..52_i16, proptest::option::weighted(0.2, 0..100_i64), ends)
            .prop_map(|(who, amount, cost, priority, delay, ends)| Step::Issue { who, amount, cost, priority, delay, ends }),
        6 => (who.clone(), 1..9_usize).prop_map(|(who, amount)| Step::Consume { who, amount }),
        4 => (who.clone(), 1..9_usize, 1..150_i64).prop_map(|(who, amount, hours)| Step::Hold { who, amount, hours }),
        3 => (0..40_usize, some(1..9)).prop_map(|(hold, amount)| Step::Capture { hold, amount }),
        2 => (0..40_usize).prop_map(|hold| Step::Release { hold }),
        4 => (0..40_usize, some(1..9), proptest::option::of(1..5_u64))
            .prop_map(|(used, amount, grace)| Step::Reverse { used, amount, grace }),
        2 => (0..40_usize, closing).prop_map(|(lot, closing)| Step::Void { lot, closing }),
        2 => (0..40_usize, 1..20_u64).prop_map(|(lot, days)| Step::ExtendBy { lot, days }),
        1 => (0..40_usize, -20..400_i64).prop_map(|(lot, hours)| Step::ExtendTo { lot, hours }),
        2 => (who, 1..9_usize).prop_map(|(from, amount)| Step::Transfer { from, amount }),
    ]
}

/// A history: half of its steps follow at once.
pub fn history(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Timed>> {
    let wait = prop_oneof![3 => Just(0_i64), 3 => 1..60_i64, 1 => 24..24_i64 + 1];
    proptest::collection::vec((wait, step()), length)
}

/// What the ids of a real ledger are to the numbers of the naive one.
pub struct Names<'a> {
    pub people: &'a [CustomerId],
    pub credit_type: CreditTypeId,
    pub lots: &'a [GrantId],
    pub holds: &'a [HoldId],
    pub uses: &'a [entity::ActivityId],
}

impl Step {
    /// The customers that it settles; none if it names what is not there.
    pub fn whom(&self, naive: &Naive) -> Option<Vec<usize>> {
        Some(match *self {
            Self::Issue { who, .. } | Self::Consume { who, .. } | Self::Hold { who, .. } => vec![who],
            Self::Capture { hold, .. } | Self::Release { hold } => {
                vec![naive.bookings.get(pick(hold, naive.bookings.len())?)?.owner]
            }
            Self::Reverse { used, .. } => vec![naive.uses.get(pick(used, naive.uses.len())?)?.owner],
            Self::Void { lot, .. } | Self::ExtendBy { lot, .. } | Self::ExtendTo { lot, .. } => {
                vec![naive.lots.get(pick(lot, naive.lots.len())?)?.owner]
            }
            Self::Transfer { from, .. } => vec![from, other(from)],
        })
    }

    /// What the naive ledger answers. Its customers are settled.
    pub fn answer(&self, naive: &mut Naive) -> Answer {
        let now = naive.now;
        match *self {
            Self::Issue { who, amount, cost, priority, delay, ends } => {
                let from = delay.map_or(now, |hours| now + TimeDelta::hours(hours));
                let (end, days_from_first_use) = match ends {
                    Ends::Never => (None, None),
                    Ends::AfterDays(days) => (Some(naive.end_of_day(from, days + 1)), None),
                    Ends::AfterFirstUse(days) => (None, Some(days + 1)),
                    Ends::InHours(hours) => (Some(now + TimeDelta::hours(hours)), None),
                };
                let credits = vec![Where::Free; amount];
                let given = cost == 0;
                naive.issue(Lot { owner: who, priority, given, from, end, days_from_first_use, voided: false, credits })
            }
            Self::Consume { who, amount } => naive.consume(who, amount),
            Self::Hold { who, amount, hours } => naive.hold(who, amount, hours),
            Self::Capture { hold, amount } => naive.capture(hold % naive.bookings.len(), amount),
            Self::Release { hold } => naive.release(hold % naive.bookings.len()),
            Self::Reverse { used, amount, grace } => naive.reverse(used % naive.uses.len(), amount, grace),
            Self::Void { lot, closing } => naive.void(lot % naive.lots.len(), closing),
            Self::ExtendBy { lot, days } => {
                let zone = naive.zone;
                naive.extend(lot % naive.lots.len(), |end| days_later(end, days, zone))
            }
            Self::ExtendTo { lot, hours } => naive.extend(lot % naive.lots.len(), |_| now + TimeDelta::hours(hours)),
            Self::Transfer { from, amount } => naive.transfer(from, other(from), amount),
        }
    }

    /// The command that a real ledger gets.
    pub fn command(&self, naive: &Naive, names: &Names<'_>) -> Command {
        let (now, credit_type, words) = (naive.now, names.credit_type, Words::default());
        let credits = |amount: usize| Credits(i64::try_from(amount).expect("small"));
        let reason = "as it came".to_owned();
        match *self {
            Self::Issue { who, amount, cost, priority, delay, ends } => Command::Issue(Issue {
                customer: names.people[who],
                credit_type,
                amount: credits(amount),
                effective_at: delay.map(|hours| now + TimeDelta::hours(hours)),
                expiration: Some(match ends {
                    Ends::Never => Expiration::Never,
                    Ends::AfterDays(days) => after(days + 1, Anchor::Issue),
                    Ends::AfterFirstUse(days) => after(days + 1, Anchor::FirstUse),
                    Ends::InHours(hours) => Expiration::At(now + TimeDelta::hours(hours)),
                }),
                priority: Some(priority),
                cost: (cost > 0).then(|| Cost { minor: Minor(cost), currency: "CHF".to_owned() }),
                metadata: None,
                period: None,
                cap: None,
                words,
            }),
            Self::Consume { who, amount } => {
                Command::Consume(Consume { customer: names.people[who], credit_type, amount: credits(amount), words })
            }
            Self::Hold { who, amount, hours } => {
                let (customer, expires_at) = (names.people[who], now + TimeDelta::hours(hours));
                Command::Place(Place { customer, credit_type, amount: credits(amount), expires_at, words })
            }
            Self::Capture { hold, amount } => {
                let hold = hold % naive.bookings.len();
                let (customer, amount) = (names.people[naive.bookings[hold].owner], amount.map(credits));
                Command::Capture(Capture { hold: names.holds[hold], customer, credit_type, amount, words })
            }
            Self::Release { hold } => {
                let hold = hold % naive.bookings.len();
                let customer = names.people[naive.bookings[hold].owner];
                Command::Release(Release { hold: names.holds[hold], customer, credit_type, words })
            }
            Self::Reverse { used, amount, grace } => {
                let used = used % naive.uses.len();
                let customer = names.people[naive.uses[used].owner];
                let on_expired = grace.map_or(OnExpired::Forfeit, |days| OnExpired::Reissue {
                    grace_days: i32::try_from(days).expect("small"),
                });
                let (activity, amount) = (names.uses[used], amount.map(credits));
                Command::Reverse(Reverse { activity, customer, credit_type, amount, on_expired, reason, words })
            }
            Self::Void { lot, closing } => {
                let lot = lot % naive.lots.len();
                let (grant, customer) = (names.lots[lot], names.people[naive.lots[lot].owner]);
                Command::Void(Void { grant, customer, credit_type, reason, closing, part: None, words })
            }
            Self::ExtendBy { lot, .. } | Self::ExtendTo { lot, .. } => {
                let lot = lot % naive.lots.len();
                let (grant, customer) = (names.lots[lot], names.people[naive.lots[lot].owner]);
                let to = match *self {
                    Self::ExtendBy { days, .. } => {
                        Extension::By { count: i32::try_from(days).expect("small"), unit: PeriodUnit::Day }
                    }
                    Self::ExtendTo { hours, .. } => Extension::At(now + TimeDelta::hours(hours)),
                    _ => unreachable!("one of the two"),
                };
                Command::Extend(Extend { grant, customer, credit_type, to, revive: true, reason, words })
            }
            Self::Transfer { from, amount } => {
                let (from, to) = (names.people[from], names.people[other(from)]);
                Command::Transfer(Transfer { from, to, credit_type, amount: credits(amount), words })
            }
        }
    }
}

/// The same local time, so many days later; where clocks skip it, as far behind the skip as it lies in it.
fn days_later(at: Instant, days: u64, zone: Tz) -> Instant {
    let local = at.with_timezone(&zone).naive_local() + Days::new(days);
    if let Some(there) = zone.from_local_datetime(&local).earliest() {
        return there.to_utc();
    }
    // By the offset of three hours before, when the clocks had not been changed yet.
    let before = zone.from_local_datetime(&(local - TimeDelta::hours(3))).earliest().expect("no skip is as long");
    before.to_utc() + TimeDelta::hours(3)
}

fn after(days: u64, from: Anchor) -> Expiration {
    Expiration::After { count: i32::try_from(days).expect("small"), unit: PeriodUnit::Day, from }
}

fn pick(number: usize, among: usize) -> Option<usize> {
    (among > 0).then(|| number % among)
}

pub fn other(who: usize) -> usize {
    (who + 1) % PEOPLE
}
