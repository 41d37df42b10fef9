//! What happens in a random history: steps that name what is there by a number, whatever is there by then.

use chrono::{Days, TimeDelta, TimeZone};
use chrono_tz::Tz;
use entity::allocation::CostPool;
use entity::{
    ActivityId, Anchor, CreditTypeId, Credits, CustomerId, Expiration, GrantId, HoldId, Minor, PeriodUnit,
    SubscriptionId,
};
use scrip::domain::ground::clock::Instant;
use scrip::domain::ledger::state::{CostMove, share};
use scrip::domain::ledger::{
    Capture, Closing, Command, Consume, Cost, Extend, Extension, Freeze, Issue, OnExpired, Place, Release, Reprice,
    Reverse, RollOver, Transfer, Void, Words,
};
use uuid::Uuid;

use super::{Answer, Credit, Lot, Naive, Place as Where};

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
    Issue {
        who: usize,
        amount: usize,
        cost: i64,
        priority: i16,
        delay: Option<i64>,
        ends: Ends,
    },
    Consume {
        who: usize,
        amount: usize,
    },
    Hold {
        who: usize,
        amount: usize,
        hours: i64,
    },
    Capture {
        hold: usize,
        amount: Option<usize>,
    },
    Release {
        hold: usize,
    },
    Reverse {
        used: usize,
        amount: Option<usize>,
        grace: Option<u64>,
    },
    Void {
        lot: usize,
        closing: Closing,
    },
    ExtendBy {
        lot: usize,
        days: u64,
    },
    ExtendTo {
        lot: usize,
        hours: i64,
    },
    Transfer {
        from: usize,
        amount: usize,
    },
    /// A period of a membership is paid: one that was left out, or one that comes so many later.
    Renew {
        who: usize,
        amount: usize,
        cost: i64,
        keep: i64,
        number: Number,
        ends: Ends,
    },
    /// The money of used credits goes back, or of ended ones.
    Refund {
        used: usize,
        lot: usize,
        amount: usize,
    },
    RefundEnded {
        lot: usize,
        amount: usize,
    },
    Freeze {
        lot: usize,
        thaw: bool,
    },
}

#[derive(Clone, Copy, Debug)]
pub enum Number {
    LeftOut,
    Later(i64),
}

/// A step, and how many hours pass before it.
pub type Timed = (i64, Step);

/// What the ids of a real ledger are to the numbers of the naive one.
pub struct Names<'a> {
    pub people: &'a [CustomerId],
    pub credit_type: CreditTypeId,
    pub lots: &'a [GrantId],
    pub holds: &'a [HoldId],
    pub uses: &'a [ActivityId],
    /// What used credits of a grant cost that an activity used, or the ended ones.
    pub cost: &'a dyn Fn(Option<ActivityId>, GrantId) -> Minor,
}

impl Step {
    /// The customers that it settles; none if it names what is not there.
    pub fn whom(&self, naive: &Naive) -> Option<Vec<usize>> {
        Some(match *self {
            Self::Issue { who, .. } | Self::Consume { who, .. } | Self::Hold { who, .. } | Self::Renew { who, .. } => {
                vec![who]
            }
            Self::Capture { hold, .. } | Self::Release { hold } => {
                vec![naive.bookings.get(pick(hold, naive.bookings.len())?)?.owner]
            }
            Self::Reverse { used, .. } => vec![naive.uses.get(pick(used, naive.uses.len())?)?.owner],
            Self::Void { lot, .. } | Self::ExtendBy { lot, .. } | Self::ExtendTo { lot, .. } => {
                vec![naive.lots.get(pick(lot, naive.lots.len())?)?.owner]
            }
            Self::Transfer { from, .. } => vec![from, other(from)],
            Self::Refund { .. } | Self::RefundEnded { .. } => vec![self.refunded(naive)?.0],
            Self::Freeze { lot, .. } => vec![naive.lots.get(pick(lot, naive.lots.len())?)?.owner],
        })
    }

    /// Whose money goes back, of which use if of one, of which credits, and of how many; none if there are no such.
    fn refunded(&self, naive: &Naive) -> Option<(usize, Option<usize>, Vec<Credit>, usize)> {
        let (owner, of, mut credits, amount) = match *self {
            Self::Refund { used, lot, amount } => {
                let used = pick(used, naive.uses.len())?;
                let found = naive.uses.get(used).filter(|found| found.void.is_none())?;
                let lot = found.credits.get(pick(lot, found.credits.len())?)?.0;
                let of = found.credits.iter().filter(|credit| credit.0 == lot).copied();
                (found.owner, Some(used), of.collect::<Vec<_>>(), amount)
            }
            Self::RefundEnded { lot, amount } => {
                let lot = pick(lot, naive.lots.len())?;
                let all = naive.lots[lot].credits.iter().enumerate();
                let ended = all.filter(|(_, place)| **place == Where::Ended).map(|(which, _)| (lot, which));
                (naive.lots[lot].owner, None, ended.collect(), amount)
            }
            _ => return None,
        };
        credits.retain(|credit| !naive.refunded.contains(credit));
        let kept = credits.len();
        (kept > 0).then(|| (owner, of, credits.split_off(kept.saturating_sub(amount)), kept))
    }

    /// The number of the period that is paid.
    fn number(who: usize, number: Number, naive: &Naive) -> i64 {
        let paid = naive.paid.iter().filter(|(member, _)| *member == who).map(|(_, number)| *number);
        let newest = paid.clone().max().unwrap_or(0);
        let left_out = (1..newest).rev().find(|number| !paid.clone().any(|paid| paid == *number));
        match number {
            Number::LeftOut => left_out.unwrap_or(newest + 1),
            Number::Later(more) => newest + more,
        }
    }

    /// What the naive ledger answers to each of its commands. Its customers are settled.
    pub fn answers(&self, naive: &mut Naive) -> Vec<Answer> {
        naive.tick += 1;
        let Self::Renew { who, amount, keep, number, ends, cost } = *self else { return vec![self.answer(naive)] };
        let number = Self::number(who, number, naive);
        let rolled = naive.roll_over(who, number, keep);
        naive.paid.insert((who, number));
        let lot = Lot {
            period: Some((who, number)),
            cap: Some((naive.tick, naive.allowance(who, number, keep))),
            ..lot(naive, who, (amount, cost == 0, 50), naive.now, ends)
        };
        vec![Ok(rolled), naive.issue(lot)]
    }

    fn answer(&self, naive: &mut Naive) -> Answer {
        let now = naive.now;
        match *self {
            Self::Issue { who, amount, cost, priority, delay, ends } => {
                let from = delay.map_or(now, |hours| now + TimeDelta::hours(hours));
                naive.issue(lot(naive, who, (amount, cost == 0, priority), from, ends))
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
            Self::Refund { .. } | Self::RefundEnded { .. } => {
                let (owner, _, credits, _) = self.refunded(naive).expect("it was there");
                Ok(naive.refund(owner, &credits))
            }
            Self::Freeze { lot, thaw } => Ok(naive.freeze(lot % naive.lots.len(), thaw)),
            Self::Renew { .. } => unreachable!("two commands"),
        }
    }

    /// The commands that a real ledger gets, before the naive one has answered.
    pub fn commands(&self, naive: &Naive, names: &Names<'_>) -> Vec<Command> {
        let Self::Renew { who, amount, keep, number, ends, cost } = *self else {
            return vec![self.command(naive, names)];
        };
        let number = Self::number(who, number, naive);
        let subscription = SubscriptionId(Uuid::from_u128(10 + who as u128));
        let (customer, credit_type, keep) = (names.people[who], names.credit_type, Credits(keep));
        let before = Some((subscription, number));
        let rolls = RollOver { customer, credit_type, grants: Vec::new(), before, keep };
        let issue = Self::Issue { who, amount, cost, priority: 50, delay: None, ends };
        let Command::Issue(issue) = issue.command(naive, names) else { unreachable!("it issues") };
        let issue = Issue { period: Some((subscription, number, Some(keep))), cap: Some(keep), ..issue };
        vec![Command::RollOver(rolls), Command::Issue(issue)]
    }

    fn command(&self, naive: &Naive, names: &Names<'_>) -> Command {
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
            Self::Refund { .. } | Self::RefundEnded { .. } => {
                let (owner, used, refunded, kept) = self.refunded(naive).expect("it was there");
                let of = used.map(|used| names.uses[used]);
                let (grant, customer) = (names.lots[refunded[0].0], names.people[owner]);
                let from = if of.is_some() { CostPool::Consumed } else { CostPool::Expired };
                Command::Reprice(Reprice {
                    grant,
                    customer,
                    credit_type,
                    of,
                    moves: CostMove { from, to: CostPool::Reduced },
                    credits: credits(refunded.len()),
                    cost: share((names.cost)(of, grant), credits(refunded.len()), credits(kept)),
                    returns: (Credits::ZERO, Minor::ZERO),
                    reason,
                    words,
                })
            }
            Self::Freeze { lot, thaw } => {
                let lot = lot % naive.lots.len();
                let (grants, customer) = (vec![names.lots[lot]], names.people[naive.lots[lot].owner]);
                Command::Freeze(Freeze { grants, customer, credit_type, thaw, reason, words })
            }
            Self::Renew { .. } => unreachable!("two commands"),
        }
    }
}

/// A lot that counts from an instant: how many, whether they are given, at which priority.
fn lot(naive: &Naive, owner: usize, (amount, given, priority): (usize, bool, i16), from: Instant, ends: Ends) -> Lot {
    let (end, days_from_first_use) = match ends {
        Ends::Never => (None, None),
        Ends::AfterDays(days) => (Some(naive.end_of_day(from, days + 1)), None),
        Ends::AfterFirstUse(days) => (None, Some(days + 1)),
        Ends::InHours(hours) => (Some(naive.now + TimeDelta::hours(hours)), None),
    };
    let credits = vec![Where::Free; amount];
    let (voided, frozen, period, cap, made_at) = (false, false, None, None, naive.now);
    Lot { owner, priority, given, from, end, days_from_first_use, voided, frozen, period, cap, made_at, credits }
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
