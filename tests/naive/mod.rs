//! A second ledger, written for the tests from domain.md alone: every credit by itself, in lists, and no cleverness.

pub mod database;
pub mod game;
pub mod steps;

use std::collections::BTreeMap;

use chrono::{Days, NaiveTime, TimeDelta, TimeZone};
use chrono_tz::Tz;
use entity::activity::Kind;
use scrip::domain::clock::Instant;
use scrip::domain::error::Code;
use scrip::domain::ledger::Closing;

/// Where one credit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Free,
    Held,
    Used,
    Ended,
    Voided,
    Gone,
}

/// One lot.
#[derive(Clone, Debug)]
pub struct Lot {
    pub owner: usize,
    pub priority: i16,
    pub given: bool,
    pub from: Instant,
    pub end: Option<Instant>,
    /// Days from first use, while that has not happened.
    pub days_from_first_use: Option<u64>,
    pub voided: bool,
    pub credits: Vec<Place>,
}

/// One credit: its lot, and which of it.
pub type Credit = (usize, usize);

/// Credits set aside.
#[derive(Clone, Debug)]
pub struct Booking {
    pub owner: usize,
    pub credits: Vec<Credit>,
    pub end: Instant,
    pub open: bool,
    pub used: usize,
}

/// Something that can be undone: which credits it used or took away, in order, of which those at the end may have been
/// given back.
#[derive(Clone, Debug)]
pub struct Use {
    pub owner: usize,
    pub credits: Vec<Credit>,
    /// Of what took them away: the lot, and whether it was closed.
    pub void: Option<(usize, bool)>,
    /// Whether that was undone.
    pub undone: bool,
}

/// What was written: a kind, and how many of which lot, in order.
pub type Line = (usize, Kind, Vec<(usize, i64)>);

/// The naive ledger of a few customers and one credit type.
#[derive(Clone, Debug)]
pub struct Naive {
    pub zone: Tz,
    pub now: Instant,
    pub lots: Vec<Lot>,
    pub bookings: Vec<Booking>,
    pub uses: Vec<Use>,
}

/// What a step was answered.
pub type Answer = Result<Vec<Line>, Code>;

impl Naive {
    pub fn new(zone: Tz, now: Instant) -> Self {
        Self { zone, now, lots: Vec::new(), bookings: Vec::new(), uses: Vec::new() }
    }

    /// The end of the local day some days after an instant.
    pub fn end_of_day(&self, at: Instant, days: u64) -> Instant {
        let date = at.with_timezone(&self.zone).date_naive() + Days::new(days + 1);
        self.zone.from_local_datetime(&date.and_time(NaiveTime::MIN)).earliest().expect("midnight is there").to_utc()
    }

    fn put(&mut self, credits: &[Credit], place: Place) {
        for (lot, which) in credits {
            self.lots[*lot].credits[*which] = place;
        }
    }

    /// What time has done to a customer until now: holds that ended, then lots that did.
    pub fn settle(&mut self, owner: usize) -> Vec<Line> {
        let mut due = Vec::new();
        for (number, booking) in self.bookings.iter().enumerate() {
            if booking.owner == owner && booking.open && booking.end <= self.now {
                due.push((booking.end, 0, number));
            }
        }
        for (number, lot) in self.lots.iter().enumerate() {
            if let Some(end) = lot.end.filter(|end| lot.owner == owner && *end <= self.now) {
                due.push((end, 1, number));
            }
        }
        due.sort_unstable();
        let mut lines = Vec::new();
        for (at, what, number) in due {
            if what == 0 {
                self.bookings[number].open = false;
                let mut credits = self.bookings[number].credits.clone();
                credits.reverse();
                lines.push(line(owner, Kind::Lapse, &credits));
                lines.extend(self.come_back(owner, &credits, at));
            } else {
                let free = self.free_of(number);
                if !free.is_empty() {
                    self.put(&free, Place::Ended);
                    lines.push(line(owner, Kind::Expire, &free));
                }
            }
        }
        lines
    }

    fn free_of(&self, lot: usize) -> Vec<Credit> {
        let credits = self.lots[lot].credits.iter().enumerate();
        credits.filter(|(_, place)| **place == Place::Free).map(|(which, _)| (lot, which)).collect()
    }

    /// Credits that come back are free again, unless their lot was voided or has ended.
    fn come_back(&mut self, owner: usize, credits: &[Credit], at: Instant) -> Vec<Line> {
        self.put(credits, Place::Free);
        let (mut voided, mut ended) = (Vec::new(), Vec::new());
        for credit in credits {
            let lot = &self.lots[credit.0];
            if lot.voided {
                voided.push(*credit);
            } else if lot.end.is_some_and(|end| end <= at) {
                ended.push(*credit);
            }
        }
        self.put(&voided, Place::Voided);
        self.put(&ended, Place::Ended);
        let lines = [(Kind::Void, voided), (Kind::Expire, ended)];
        lines.into_iter().filter(|(_, credits)| !credits.is_empty()).map(|(kind, c)| line(owner, kind, &c)).collect()
    }

    /// The credits that can be used now, in the order in which they are.
    pub fn usable(&self, owner: usize) -> Vec<Credit> {
        let mut lots = (0..self.lots.len()).collect::<Vec<_>>();
        lots.retain(|lot| {
            let lot = &self.lots[*lot];
            lot.owner == owner && lot.from <= self.now && lot.end.is_none_or(|end| self.now < end)
        });
        // Never ends: after all that end.
        let end = |lot: &Lot| lot.end.map_or(i64::MAX, |end| end.timestamp_micros());
        lots.sort_by_key(|number| {
            let lot = &self.lots[*number];
            (lot.priority, end(lot), u8::from(!lot.given), lot.from, *number)
        });
        lots.into_iter().flat_map(|lot| self.free_of(lot)).collect()
    }

    fn take(&self, owner: usize, amount: usize) -> Result<Vec<Credit>, Code> {
        let mut usable = self.usable(owner);
        if usable.len() < amount {
            return Err(Code::InsufficientCredits);
        }
        usable.truncate(amount);
        Ok(usable)
    }

    fn use_up(&mut self, owner: usize, credits: &[Credit]) {
        self.put(credits, Place::Used);
        for (lot, _) in credits {
            if let Some(days) = self.lots[*lot].days_from_first_use.take() {
                self.lots[*lot].end = Some(self.end_of_day(self.now, days));
            }
        }
        self.uses.push(Use { owner, credits: credits.to_vec(), void: None, undone: false });
    }

    pub fn issue(&mut self, lot: Lot) -> Answer {
        if lot.end.is_some_and(|end| end <= self.now || end <= lot.from) {
            return Err(Code::ExpirationNotInFuture);
        }
        let (owner, number, amount) = (lot.owner, self.lots.len(), lot.credits.len());
        self.lots.push(lot);
        Ok(vec![(owner, Kind::Issue, vec![(number, i64::try_from(amount).expect("small"))])])
    }

    pub fn consume(&mut self, owner: usize, amount: usize) -> Answer {
        let credits = self.take(owner, amount)?;
        self.use_up(owner, &credits);
        Ok(vec![line(owner, Kind::Consume, &credits)])
    }

    pub fn hold(&mut self, owner: usize, amount: usize, hours: i64) -> Answer {
        let end = self.now + TimeDelta::hours(hours);
        let credits = self.take(owner, amount)?;
        self.put(&credits, Place::Held);
        self.bookings.push(Booking { owner, credits: credits.clone(), end, open: true, used: 0 });
        Ok(vec![line(owner, Kind::Hold, &credits)])
    }

    /// Uses `amount` of a booking, all if none is given; the rest comes back.
    pub fn capture(&mut self, booking: usize, amount: Option<usize>) -> Answer {
        let Booking { owner, credits, open, .. } = self.bookings[booking].clone();
        let amount = amount.unwrap_or(credits.len());
        if !open {
            return Err(Code::HoldClosed);
        }
        if amount > credits.len() {
            return Err(Code::MoreThanLeft);
        }
        self.bookings[booking].open = false;
        self.bookings[booking].used = amount;
        let (used, rest) = credits.split_at(amount);
        let mut rest = rest.to_vec();
        rest.reverse();
        self.use_up(owner, used);
        let mut lines = vec![line(owner, Kind::Capture, used)];
        if !rest.is_empty() {
            lines.push(line(owner, Kind::Release, &rest));
            lines.extend(self.come_back(owner, &rest, self.now));
        }
        Ok(lines)
    }

    pub fn release(&mut self, booking: usize) -> Answer {
        let Booking { owner, mut credits, open, .. } = self.bookings[booking].clone();
        if !open {
            return Err(Code::HoldClosed);
        }
        self.bookings[booking].open = false;
        credits.reverse();
        let mut lines = vec![line(owner, Kind::Release, &credits)];
        lines.extend(self.come_back(owner, &credits, self.now));
        Ok(lines)
    }

    /// Gives back `amount` of what a use used, all if none is given; what has ended goes to new lots with some days more.
    pub fn reverse(&mut self, which: usize, amount: Option<usize>, grace: Option<u64>) -> Answer {
        let Use { owner, mut credits, void, undone } = self.uses[which].clone();
        if let Some((lot, closes)) = void {
            if amount.is_some() {
                return Err(Code::Invalid);
            }
            if undone {
                return Err(Code::AlreadyReversed);
            }
            self.uses[which].undone = true;
            self.lots[lot].voided &= !closes;
            let count = i64::try_from(credits.len()).expect("small");
            let lines = vec![(owner, Kind::Reinstate, vec![(lot, count)])];
            return Ok(self.back_again(owner, &credits, grace, lines));
        }
        if credits.is_empty() {
            return Err(Code::AlreadyReversed);
        }
        let amount = amount.unwrap_or(credits.len());
        if amount > credits.len() {
            return Err(Code::MoreThanLeft);
        }
        let mut back = credits.split_off(credits.len() - amount);
        self.uses[which].credits = credits;
        back.reverse();
        let lines = vec![line(owner, Kind::Reverse, &back)];
        Ok(self.back_again(owner, &back, grace, lines))
    }

    /// Credits that were used or taken away come back; what has ended goes to new lots with some days more, if any.
    fn back_again(&mut self, owner: usize, back: &[Credit], grace: Option<u64>, mut lines: Vec<Line>) -> Vec<Line> {
        let ended = |naive: &Self, credit: &Credit| {
            let lot = &naive.lots[credit.0];
            !lot.voided && lot.end.is_some_and(|end| end <= naive.now)
        };
        let (renewed, others): (Vec<_>, Vec<_>) = back.iter().partition(|c| grace.is_some() && ended(self, c));
        lines.extend(self.come_back(owner, &others, self.now));
        if let Some(days) = grace.filter(|_| !renewed.is_empty()) {
            let end = self.end_of_day(self.now, days);
            lines.extend(self.move_to(owner, owner, &renewed, |lot, now| {
                lot.from = now;
                lot.end = Some(end);
                lot.days_from_first_use = None;
            }));
        }
        lines
    }

    /// Credits leave their lots for new ones, one for each.
    fn move_to(&mut self, from: usize, to: usize, credits: &[Credit], change: impl Fn(&mut Lot, Instant)) -> Vec<Line> {
        let out = line(from, Kind::TransferOut, credits);
        self.put(credits, Place::Gone);
        let mut made = Vec::new();
        for (number, amount) in &out.2 {
            let mut lot = self.lots[*number].clone();
            lot.owner = to;
            lot.voided = false;
            lot.credits = vec![Place::Free; usize::try_from(*amount).expect("small")];
            change(&mut lot, self.now);
            made.push((self.lots.len(), *amount));
            self.lots.push(lot);
        }
        vec![out, (to, Kind::TransferIn, made)]
    }

    pub fn transfer(&mut self, from: usize, to: usize, amount: usize) -> Answer {
        let credits = self.take(from, amount)?;
        Ok(self.move_to(from, to, &credits, |_, _| {}))
    }

    /// Takes away what is free of a lot. Unless it is left open, what comes back later is taken away too; `always` does
    /// that where nothing is free.
    pub fn void(&mut self, lot: usize, closing: Closing) -> Answer {
        let free = self.free_of(lot);
        let comes_back = |place: &Place| matches!(place, Place::Held | Place::Used | Place::Ended | Place::Gone);
        let closes =
            closing == Closing::Always && !self.lots[lot].voided && self.lots[lot].credits.iter().any(comes_back);
        if free.is_empty() && !closes {
            return Err(Code::NothingToVoid);
        }
        self.put(&free, Place::Voided);
        self.lots[lot].voided |= closing != Closing::Never;
        let void = Some((lot, closing != Closing::Never));
        self.uses.push(Use { owner: self.lots[lot].owner, credits: free.clone(), void, undone: false });
        let count = i64::try_from(free.len()).expect("small");
        Ok(vec![(self.lots[lot].owner, Kind::Void, vec![(lot, count)])])
    }

    /// Gives a lot a later end.
    pub fn extend(&mut self, lot: usize, end: impl Fn(Instant) -> Instant) -> Answer {
        let before = self.lots[lot].end.ok_or(Code::NoEndToExtend)?;
        let end = end(before);
        if end <= self.now {
            return Err(Code::ExpirationNotInFuture);
        }
        if end <= before {
            return Err(Code::ExtensionNotLater);
        }
        let of = |place: Place| {
            let credits = self.lots[lot].credits.iter().enumerate();
            credits.filter(|(_, found)| **found == place).map(|(which, _)| (lot, which)).collect::<Vec<_>>()
        };
        let ended = if before <= self.now { of(Place::Ended) } else { Vec::new() };
        if self.lots[lot].voided || ended.is_empty() && of(Place::Free).is_empty() && of(Place::Held).is_empty() {
            return Err(Code::NothingToExtend);
        }
        self.lots[lot].end = Some(end);
        let owner = self.lots[lot].owner;
        if ended.is_empty() {
            return Ok(vec![(owner, Kind::Extend, vec![(lot, 0)])]);
        }
        self.put(&ended, Place::Free);
        Ok(vec![line(owner, Kind::Revive, &ended)])
    }

    /// How many credits of a lot are at a place.
    pub fn count(&self, lot: usize, place: Place) -> i64 {
        let found = self.lots[lot].credits.iter().filter(|found| **found == place).count();
        i64::try_from(found).expect("small")
    }
}

/// Credits as a line: how many of which lot, in the order in which the lots come up.
fn line(owner: usize, kind: Kind, credits: &[Credit]) -> Line {
    let (mut order, mut amounts) = (Vec::new(), BTreeMap::new());
    for (lot, _) in credits {
        if !order.contains(lot) {
            order.push(*lot);
        }
        *amounts.entry(*lot).or_insert(0) += 1;
    }
    (owner, kind, order.into_iter().map(|lot| (lot, amounts[&lot])).collect())
}
