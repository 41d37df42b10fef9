//! A second ledger, written for the tests from domain.md alone: every credit by itself, in lists, and no cleverness.

mod back;
pub mod chance;
pub mod database;
pub mod game;
pub mod steps;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Days, NaiveTime, TimeDelta, TimeZone};
use chrono_tz::Tz;
use entity::activity::Kind;
use scrip::domain::ground::clock::Instant;
use scrip::domain::ground::error::Code;
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
    /// Whether its money is disputed: what is free of it can be used no more.
    pub frozen: bool,
    /// The period of its owner's membership that it was bought for: of one period's, the owner and the number.
    pub period: Option<(usize, i64)>,
    /// Of a period that was paid after others: when, and how many of what they gave may still come back.
    pub cap: Option<(usize, i64)>,
    pub made_at: Instant,
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
    pub drawn: usize,
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
    /// When the credits were drawn: of what was set aside first, when it was.
    pub drawn: usize,
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
    /// Credits whose money went back: they are voided when they come back.
    pub refunded: BTreeSet<Credit>,
    /// Credits that ended because they did not roll over.
    pub cut: BTreeSet<Credit>,
    /// Whose periods were paid.
    pub paid: BTreeSet<(usize, i64)>,
    /// How many things have happened.
    pub tick: usize,
}

/// What a step was answered.
pub type Answer = Result<Vec<Line>, Code>;

impl Naive {
    pub fn new(zone: Tz, now: Instant) -> Self {
        let (lots, bookings, uses, refunded, cut, paid) = Default::default();
        Self { zone, now, lots, bookings, uses, refunded, cut, paid, tick: 0 }
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
                let drawn = self.bookings[number].drawn;
                lines.extend(self.come_back((owner, Kind::Lapse), &credits, (drawn, at)));
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

    /// The credits that can be used now, in the order in which they are.
    pub fn usable(&self, owner: usize) -> Vec<Credit> {
        let mut lots = (0..self.lots.len()).collect::<Vec<_>>();
        lots.retain(|lot| {
            let lot = &self.lots[*lot];
            lot.owner == owner && !lot.frozen && lot.from <= self.now && lot.end.is_none_or(|end| self.now < end)
        });
        self.in_order(lots)
    }

    /// What is free of lots, in the order in which it would be used.
    fn in_order(&self, mut lots: Vec<usize>) -> Vec<Credit> {
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

    fn use_up(&mut self, owner: usize, credits: &[Credit], drawn: usize) {
        self.put(credits, Place::Used);
        for (lot, _) in credits {
            if let Some(days) = self.lots[*lot].days_from_first_use.take() {
                self.lots[*lot].end = Some(self.end_of_day(self.now, days));
            }
        }
        self.uses.push(Use { owner, credits: credits.to_vec(), void: None, undone: false, drawn });
    }

    pub fn issue(&mut self, lot: Lot) -> Answer {
        if lot.end.is_some_and(|end| end <= self.now || end <= lot.from) {
            return Err(Code::ExpirationNotInFuture);
        }
        let (owner, number, amount) = (lot.owner, self.lots.len(), lot.credits.len());
        self.lots.push(lot);
        let first = (owner, Kind::Issue, vec![(number, i64::try_from(amount).expect("small"))]);
        Ok(self.arrive(first, true))
    }

    /// Money of used credits of a lot goes back, or of ended ones: nothing moves.
    pub fn refund(&mut self, owner: usize, credits: &[Credit]) -> Vec<Line> {
        self.refunded.extend(credits);
        vec![line(owner, Kind::Reprice, credits)]
    }

    pub fn freeze(&mut self, lot: usize, thaw: bool) -> Vec<Line> {
        if self.lots[lot].frozen != thaw {
            return Vec::new();
        }
        self.lots[lot].frozen = !thaw;
        let kind = if thaw { Kind::Thaw } else { Kind::Freeze };
        vec![(self.lots[lot].owner, kind, vec![(lot, 0)])]
    }

    pub fn consume(&mut self, owner: usize, amount: usize) -> Answer {
        let credits = self.take(owner, amount)?;
        self.use_up(owner, &credits, self.tick);
        Ok(vec![line(owner, Kind::Consume, &credits)])
    }

    pub fn hold(&mut self, owner: usize, amount: usize, hours: i64) -> Answer {
        let end = self.now + TimeDelta::hours(hours);
        let credits = self.take(owner, amount)?;
        self.put(&credits, Place::Held);
        self.bookings.push(Booking { owner, credits: credits.clone(), end, open: true, used: 0, drawn: self.tick });
        Ok(vec![line(owner, Kind::Hold, &credits)])
    }

    /// Uses `amount` of a booking, all if none is given; the rest comes back.
    pub fn capture(&mut self, booking: usize, amount: Option<usize>) -> Answer {
        let Booking { owner, credits, open, drawn, .. } = self.bookings[booking].clone();
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
        self.use_up(owner, used, drawn);
        let mut lines = vec![line(owner, Kind::Capture, used)];
        if !rest.is_empty() {
            lines.extend(self.come_back((owner, Kind::Release), &rest, (drawn, self.now)));
        }
        Ok(lines)
    }

    pub fn release(&mut self, booking: usize) -> Answer {
        let Booking { owner, mut credits, open, drawn, .. } = self.bookings[booking].clone();
        if !open {
            return Err(Code::HoldClosed);
        }
        self.bookings[booking].open = false;
        credits.reverse();
        Ok(self.come_back((owner, Kind::Release), &credits, (drawn, self.now)))
    }

    /// Gives back `amount` of what a use used, all if none is given; what has ended goes to new lots with some days more.
    pub fn reverse(&mut self, which: usize, amount: Option<usize>, grace: Option<u64>) -> Answer {
        let Use { owner, mut credits, void, undone, drawn } = self.uses[which].clone();
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
            let first = (owner, Kind::Reinstate, vec![(lot, count)]);
            return Ok(self.back_again(first, &credits, &[], (grace, drawn)));
        }
        if credits.is_empty() {
            return Err(Code::AlreadyReversed);
        }
        let amount = amount.unwrap_or(credits.len());
        if amount > credits.len() {
            return Err(Code::MoreThanLeft);
        }
        // Last taken first; of one lot those whose money was kept.
        credits.reverse();
        let mut lots = credits.iter().map(|(lot, _)| *lot).collect::<Vec<_>>();
        lots.dedup();
        let mut in_turn = Vec::new();
        for lot in lots {
            let of_lot = credits.iter().filter(|credit| credit.0 == lot).copied();
            let (refunded, kept): (Vec<_>, Vec<_>) = of_lot.partition(|credit| self.refunded.contains(credit));
            in_turn.extend(kept.into_iter().chain(refunded));
        }
        let back = in_turn.into_iter().take(amount).collect::<Vec<_>>();
        self.uses[which].credits.retain(|credit| !back.contains(credit));
        let (void, back_to_use) = back.iter().partition::<Vec<_>, _>(|credit| self.refunded.remove(credit));
        Ok(self.back_again(line(owner, Kind::Reverse, &back), &back_to_use, &void, (grace, drawn)))
    }

    /// Credits leave their lots for new ones, one for each.
    fn move_to(&mut self, from: usize, to: usize, credits: &[Credit], change: impl Fn(&mut Lot, Instant)) -> [Line; 2] {
        let out = line(from, Kind::TransferOut, credits);
        self.put(credits, Place::Gone);
        let mut made = Vec::new();
        for (number, amount) in &out.2 {
            let mut lot = self.lots[*number].clone();
            lot.owner = to;
            (lot.voided, lot.frozen, lot.cap, lot.made_at) = (false, false, None, self.now);
            // It has passed the caps of what was paid until now.
            let passed = self.caps_over(*number, 0).into_iter().filter_map(|cap| self.lots[cap].period);
            lot.period = passed.chain(lot.period).max_by_key(|(_, number)| *number);
            lot.credits = vec![Place::Free; usize::try_from(*amount).expect("small")];
            change(&mut lot, self.now);
            made.push((self.lots.len(), *amount));
            self.lots.push(lot);
        }
        [out, (to, Kind::TransferIn, made)]
    }

    pub fn transfer(&mut self, from: usize, to: usize, amount: usize) -> Answer {
        let credits = self.take(from, amount)?;
        let [out, into] = self.move_to(from, to, &credits, |_, _| {});
        Ok(std::iter::once(out).chain(self.arrive(into, false)).collect())
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
        self.uses.push(Use {
            owner: self.lots[lot].owner,
            credits: free.clone(),
            void,
            undone: false,
            drawn: self.tick,
        });
        let count = i64::try_from(free.len()).expect("small");
        Ok(vec![(self.lots[lot].owner, Kind::Void, vec![(lot, count)])])
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
