//! What comes back, and what of it stays: lots that were voided or have ended, and the caps of periods that were paid
//! since (selling.md, S11).

use std::collections::BTreeSet;

use entity::activity::Kind;
use scrip::domain::ground::clock::Instant;
use scrip::domain::ground::error::Code;

use super::{Answer, Credit, Line, Lot, Naive, Place, line};

impl Naive {
    /// Credits come back from what drew them: they are free again, unless their lot was voided or has ended, or they are
    /// more than may come back since another period was paid.
    pub(super) fn come_back(
        &mut self,
        what: (usize, Kind),
        credits: &[Credit],
        (drawn, at): (usize, Instant),
    ) -> Vec<Line> {
        let (stay, beyond, allowed) = self.within_caps(credits, |naive, lot| naive.caps_over(lot, drawn), at);
        let mut first = line(what.0, what.1, credits);
        first.2.extend(allowed);
        let mut lines = vec![first];
        lines.extend(self.go_on(what.0, &stay, at));
        lines.extend(self.do_not_roll_over(what.0, &beyond));
        lines
    }

    /// Credits are free again, unless their lot was voided or has ended.
    pub(super) fn go_on(&mut self, owner: usize, credits: &[Credit], at: Instant) -> Vec<Line> {
        self.put(credits, Place::Free);
        let (mut voided, mut ended) = (Vec::new(), Vec::new());
        for credit in credits {
            match self.stays(credit.0, at) {
                Some(Place::Voided) => voided.push(*credit),
                Some(_) => ended.push(*credit),
                None => {}
            }
        }
        self.put(&voided, Place::Voided);
        self.put(&ended, Place::Ended);
        let lines = [(Kind::Void, voided), (Kind::Expire, ended)];
        lines.into_iter().filter(|(_, credits)| !credits.is_empty()).map(|(kind, c)| line(owner, kind, &c)).collect()
    }

    /// Where what comes back to a lot goes at once, if it does not stay.
    pub(super) fn stays(&self, lot: usize, at: Instant) -> Option<Place> {
        let lot = &self.lots[lot];
        let ended = lot.end.is_some_and(|end| end <= at).then_some(Place::Ended);
        if lot.voided { Some(Place::Voided) } else { ended }
    }

    pub(super) fn do_not_roll_over(&mut self, owner: usize, credits: &[Credit]) -> Option<Line> {
        self.put(credits, Place::Ended);
        self.cut.extend(credits);
        (!credits.is_empty()).then(|| line(owner, Kind::Expire, credits))
    }

    /// The lots of later periods of the same membership, paid since something was drawn, and their owner's.
    pub(super) fn caps_over(&self, lot: usize, drawn: usize) -> Vec<usize> {
        let Some((member, number)) = self.lots[lot].period else { return Vec::new() };
        let later = |of: &Lot| of.period.is_some_and(|(other, later)| other == member && later > number);
        let caps = |of: &Lot| of.owner == self.lots[lot].owner && later(of) && of.cap.is_some_and(|cap| cap.0 > drawn);
        (0..self.lots.len()).filter(|which| caps(&self.lots[*which])).collect()
    }

    /// How many credits of earlier periods are set aside since before a lot's own was paid.
    fn set_aside_before(&self, lot: &Lot) -> i64 {
        let (Some((member, number)), Some((paid, _))) = (lot.period, lot.cap) else { return 0 };
        let earlier =
            |of: &Lot| of.owner == lot.owner && of.period.is_some_and(|(who, its)| who == member && its < number);
        let held =
            self.bookings.iter().filter(|booking| booking.open && booking.drawn < paid && booking.owner == lot.owner);
        let held = held.flat_map(|booking| &booking.credits).filter(|credit| earlier(&self.lots[credit.0]));
        i64::try_from(held.count()).expect("small")
    }

    /// Less, or again more, for each lot that bears a cap.
    fn take_off(&mut self, amounts: &[i64], sign: i64) {
        for (lot, amount) in self.lots.iter_mut().zip(amounts) {
            lot.cap = lot.cap.map(|(paid, left)| (paid, left + sign * amount));
        }
    }

    /// Which credits stay and which do not, and what was taken off which allowances: one for each that stays.
    pub(super) fn within_caps(
        &mut self,
        credits: &[Credit],
        caps: impl Fn(&Self, usize) -> Vec<usize>,
        at: Instant,
    ) -> (Vec<Credit>, Vec<Credit>, Vec<(usize, i64)>) {
        let (mut stay, mut beyond, mut allowed) = (Vec::new(), Vec::new(), BTreeSet::new());
        for credit in credits {
            let caps = if self.stays(credit.0, at).is_none() { caps(self, credit.0) } else { Vec::new() };
            if caps.iter().any(|cap| self.lots[*cap].cap.is_some_and(|(_, left)| left <= 0)) {
                beyond.push(*credit);
                continue;
            }
            for cap in caps {
                let (since, left) = self.lots[cap].cap.expect("it is one");
                self.lots[cap].cap = Some((since, left - 1));
                allowed.insert((cap, 0));
            }
            stay.push(*credit);
        }
        (stay, beyond, allowed.into_iter().collect())
    }

    /// What arrives of an earlier period after a later one was paid is no more than may come back of it.
    pub(super) fn arrive(&mut self, mut first: Line, is_paid_late: bool) -> Vec<Line> {
        let credits = first.2.iter().flat_map(|(lot, _)| self.free_of(*lot)).collect::<Vec<_>>();
        // What was set aside when later ones were paid comes first, as if this period had been there then.
        let aside = self.lots.iter().map(|lot| if is_paid_late { self.set_aside_before(lot) } else { 0 });
        let aside = aside.collect::<Vec<_>>();
        self.take_off(&aside, -1);
        let (_, beyond, allowed) = self.within_caps(&credits, |naive, lot| naive.caps_over(lot, 0), self.now);
        self.take_off(&aside, 1);
        first.2.extend(allowed);
        let owner = first.0;
        std::iter::once(first).chain(self.do_not_roll_over(owner, &beyond)).collect()
    }

    /// A period of a membership is paid: of what earlier ones gave at most so many stay free or set aside, what would be
    /// used first ends.
    pub fn roll_over(&mut self, owner: usize, number: i64, keep: i64) -> Vec<Line> {
        let earlier = |lot: &Lot| {
            let of = lot.period.is_some_and(|(member, its)| member == owner && its < number);
            lot.owner == owner && of
        };
        let lots = (0..self.lots.len()).filter(|lot| earlier(&self.lots[*lot])).collect::<Vec<_>>();
        let held = lots.iter().map(|lot| self.count(*lot, Place::Held)).sum::<i64>();
        let mut free = self.in_order(lots);
        let stay = usize::try_from((keep - held).max(0)).expect("small").min(free.len());
        free.truncate(free.len() - stay);
        self.do_not_roll_over(owner, &free).into_iter().collect()
    }

    /// How many of what earlier periods gave may come back since a period is paid: what the stayed ones leave.
    pub fn allowance(&self, owner: usize, number: i64, keep: i64) -> i64 {
        let earlier =
            |lot: &&Lot| lot.owner == owner && lot.period.is_some_and(|(of, its)| of == owner && its < number);
        let free = self.lots.iter().filter(earlier).flat_map(|lot| &lot.credits).filter(|place| **place == Place::Free);
        keep - i64::try_from(free.count()).expect("small").min(keep)
    }

    /// Credits that were used or taken away come back; what has ended goes to new lots with some days more, if any, and
    /// what was refunded is taken away.
    pub(super) fn back_again(
        &mut self,
        mut first: Line,
        back: &[Credit],
        refunded: &[Credit],
        (grace, drawn): (Option<u64>, usize),
    ) -> Vec<Line> {
        let owner = first.0;
        let (stay, beyond, allowed) = self.within_caps(back, |naive, lot| naive.caps_over(lot, drawn), self.now);
        first.2.extend(allowed);
        let mut lines = vec![first];
        lines.extend(self.void_refunded(owner, refunded));
        lines.extend(self.do_not_roll_over(owner, &beyond));
        let ended = |credit: &Credit| grace.is_some() && self.stays(credit.0, self.now) == Some(Place::Ended);
        let (renewed, others): (Vec<Credit>, Vec<_>) = stay.iter().partition(|credit| ended(credit));
        lines.extend(self.go_on(owner, &others, self.now));
        if let Some(days) = grace.filter(|_| !renewed.is_empty()) {
            let end = self.end_of_day(self.now, days);
            let [out, into] = self.move_to(owner, owner, &renewed, |lot, now| {
                lot.from = now;
                lot.end = Some(end);
                lot.days_from_first_use = None;
            });
            let frozen = out.2.iter().zip(&into.2).filter(|((from, _), _)| self.lots[*from].frozen);
            let frozen = frozen.map(|(_, (to, _))| (*to, 0)).collect::<Vec<_>>();
            lines.extend([out, into]);
            for (lot, _) in &frozen {
                self.lots[*lot].frozen = true;
            }
            lines.extend((!frozen.is_empty()).then_some((owner, Kind::Freeze, frozen)));
        }
        lines
    }

    pub(super) fn void_refunded(&mut self, owner: usize, credits: &[Credit]) -> Option<Line> {
        self.put(credits, Place::Voided);
        (!credits.is_empty()).then(|| line(owner, Kind::Void, credits))
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
        let mut ended = if before <= self.now { of(Place::Ended) } else { Vec::new() };
        if ended.iter().all(|credit| self.refunded.contains(credit)) {
            ended.clear();
        }
        if self.lots[lot].voided || ended.is_empty() && of(Place::Free).is_empty() && of(Place::Held).is_empty() {
            return Err(Code::NothingToExtend);
        }
        self.lots[lot].end = Some(end);
        let owner = self.lots[lot].owner;
        if ended.is_empty() {
            return Ok(vec![(owner, Kind::Extend, vec![(lot, 0)])]);
        }
        let mut first = line(owner, Kind::Revive, &ended);
        let (refunded, revived): (Vec<Credit>, Vec<_>) = ended.iter().partition(|credit| self.refunded.remove(credit));
        // What had not rolled over, and what had ended when a later period was paid, may be too much.
        let paid_since = self.caps_over(lot, 0).iter().any(|cap| self.lots[*cap].made_at >= before);
        let mut coming = revived.clone();
        if !paid_since {
            let cut = ended.iter().filter(|credit| self.cut.contains(credit)).count();
            coming.truncate(cut);
        }
        self.cut.retain(|credit| !ended.contains(credit));
        self.put(&ended, Place::Free);
        let (_, beyond, allowed) = self.within_caps(&coming, |naive, lot| naive.caps_over(lot, 0), self.now);
        first.2.extend(allowed);
        let mut lines = vec![first];
        lines.extend(self.void_refunded(owner, &refunded));
        lines.extend(self.do_not_roll_over(owner, &beyond));
        Ok(lines)
    }
}
