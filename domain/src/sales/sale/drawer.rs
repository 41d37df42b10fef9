//! A sale while portions are taken off it (pure): where money is looked for, and what it takes there.

use std::collections::BTreeMap;

use entity::activity::Kind;
use entity::allocation::CostPool;
use entity::product_order::Status;
use entity::{ActivityId, Credits, GrantId, Minor};

use super::refund::{Asked, Portion, Take};
use super::{Lot, Sale, Use};
use crate::ground::clock::Instant;
use crate::ground::error::Refusal;
use crate::ground::fault::{self, Fault};
use crate::ground::refusal::sale::Sale as Rule;
use crate::ledger::draw::burn_key;
use crate::ledger::state::{CostMove, Draw, is_over, share, shift, tail_cost};

/// Where money is looked for, in order.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    Surplus,
    Free(GrantId),
    Line(i32),
    Ended(GrantId),
    Used(usize),
    /// What was paid for credits that are gone otherwise.
    Rest,
}

/// The sale as it is while portions are taken off it.
pub(super) struct Drawer<'a> {
    keep: bool,
    sale: &'a Sale,
    lots: BTreeMap<GrantId, Lot>,
    uses: Vec<Use>,
    pub of_lines: BTreeMap<i32, Minor>,
    surplus: Minor,
}

impl<'a> Drawer<'a> {
    pub fn of(sale: &'a Sale, keep: bool) -> Self {
        // Of an order that is not paid, or not any more, money goes back and nothing else.
        let is_paid = matches!(sale.order.status, Status::Paid | Status::PartiallyRefunded);
        let lots = sale.lots.iter().filter(|_| is_paid);
        Self {
            keep,
            sale,
            lots: lots.map(|lot| (lot.grant.id, lot.clone())).collect(),
            uses: sale.uses.clone(),
            of_lines: if is_paid { sale.gave_nothing() } else { BTreeMap::new() },
            surplus: sale.surplus(),
        }
    }

    /// Free lots that have not ended, those that would be used last first: later ones before earlier ones
    /// (selling.md, S2).
    pub fn free(&self, now: Instant, own: bool, of_line: &impl Fn(i32) -> bool) -> Vec<&Lot> {
        let is_own = |lot: &&Lot| (lot.grant.customer_id == self.sale.buyer()) == own;
        let free = self.lots.values().filter(is_own).filter(|lot| of_line(lot.position));
        let mut free = free.filter(|lot| lot.grant.open && !is_over(&lot.grant, now)).collect::<Vec<_>>();
        free.sort_by_key(|lot| {
            let later = (lot.grant.effective_at > now).then_some(lot.grant.effective_at);
            std::cmp::Reverse((later, burn_key(&lot.grant)))
        });
        free
    }

    /// What the last free credits of a line cost.
    pub fn cost_of_last(&self, now: Instant, position: i32, wanted: Credits, left: Credits) -> Result<Minor, Refusal> {
        if wanted > left {
            return Err(Rule::FewerUnused { field: "credits".to_owned(), left }.into());
        }
        let (mut missing, mut cost) = (wanted, Minor::ZERO);
        for lot in self.free(now, true, &|of| of == position) {
            let credits = lot.grant.remaining.min(missing);
            cost += tail_cost(&lot.grant, credits);
            missing -= credits;
        }
        Ok(cost)
    }

    /// Where money is looked for: what is beyond the total, what is free, what gave nothing; and then what ended, what was
    /// used, last used first, and what others have (selling.md, S4).
    pub fn sources(&self, now: Instant, used: bool, of_line: &impl Fn(i32) -> bool) -> Vec<Source> {
        let mut sources = vec![Source::Surplus];
        for own in [true, false] {
            if !own && !used {
                break;
            }
            sources.extend(self.free(now, own, of_line).iter().map(|lot| Source::Free(lot.grant.id)));
            if own {
                sources.extend(self.of_lines.keys().filter(|line| of_line(**line)).map(|line| Source::Line(*line)));
            }
            if !used {
                break;
            }
            let is_mine = |grant: GrantId| {
                self.lots
                    .get(&grant)
                    .is_some_and(|lot| (lot.grant.customer_id == self.sale.buyer()) == own && of_line(lot.position))
            };
            let ended = self.lots.values().filter(|lot| !lot.grant.expired.is_zero() && is_mine(lot.grant.id));
            sources.extend(ended.map(|lot| Source::Ended(lot.grant.id)));
            let by_use = self.uses.iter().enumerate().filter(|(_, used)| is_mine(used.grant));
            sources.extend(by_use.map(|(at, _)| Source::Used(at)));
        }
        if used {
            sources.push(Source::Rest);
        }
        sources
    }

    fn position(&self, source: Source) -> Option<i32> {
        let of = |grant: &GrantId| self.lots.get(grant).map(|lot| lot.position);
        match source {
            Source::Free(grant) | Source::Ended(grant) => of(&grant),
            Source::Used(at) => of(&self.uses[at].grant),
            Source::Line(position) => Some(position),
            Source::Surplus | Source::Rest => None,
        }
    }

    /// Takes an amount off: from each source as much as it has.
    pub fn draw(&mut self, portion: &mut Portion, amount: Minor, sources: &[Source], asked: &Asked) {
        let mut missing = amount;
        for source in sources {
            // Where it is said how much of which line, no more of it, and nothing of what is of no line.
            let most = match self.position(*source) {
                _ if asked.by_line.is_empty() => missing,
                None => Minor::ZERO,
                Some(position) => {
                    let of_line = asked.by_line.get(&position).copied().unwrap_or_default();
                    Minor((of_line - self.drawn_of(position)).0.clamp(0, missing.0))
                }
            };
            match *source {
                Source::Surplus => {
                    let part = Minor(self.surplus.0.min(most.0));
                    self.surplus -= part;
                    portion.surplus += part;
                    missing -= part;
                }
                Source::Line(position) => {
                    let left = self.of_lines.entry(position).or_default();
                    let part = Minor(left.0.min(most.0).max(0));
                    *left -= part;
                    if !part.is_zero() {
                        portion.of_lines.push((position, part));
                    }
                    missing -= part;
                }
                Source::Free(grant) => missing -= self.draw_free(portion, grant, most),
                Source::Ended(grant) => missing -= self.draw_ended(portion, grant, most),
                Source::Used(at) => missing -= self.draw_used(portion, at, most),
                Source::Rest => missing = Minor::ZERO,
            }
            if missing.is_zero() {
                break;
            }
        }
    }

    /// How much of a line was taken already.
    fn drawn_of(&self, position: i32) -> Minor {
        let of_line = |lots: &mut dyn Iterator<Item = &Lot>| {
            let of_line = lots.filter(|lot| lot.position == position);
            of_line.map(|lot| lot.grant.cost_voided + lot.grant.cost_reduced).sum::<Minor>()
        };
        let nothing = self.sale.gave_nothing().get(&position).copied().unwrap_or_default();
        of_line(&mut self.lots.values()) - of_line(&mut self.sale.lots.iter()) + nothing
            - self.of_lines.get(&position).copied().unwrap_or_default()
    }

    /// As few of the last free credits as reach the largest cost that is not above the amount; the rest lowers the cost of
    /// the next one (selling.md, S2). Where the credits stay, it lowers the cost of all of them. Answers how much it was.
    fn draw_free(&mut self, portion: &mut Portion, id: GrantId, most: Minor) -> Minor {
        let Some(lot) = self.lots.get_mut(&id) else { return Minor::ZERO };
        let grant = &mut lot.grant;
        let amount = Minor(grant.cost_left.0.min(most.0));
        if amount.is_zero() || fault::is(Fault::Refund) {
            return amount;
        }
        let (mut rest, mut lowered) = (amount, grant.remaining);
        if !self.keep {
            let whole = grant.clone();
            let credits = fewest(grant.remaining, amount, |credits| tail_cost(&whole, credits));
            let cost = tail_cost(grant, credits);
            if !credits.is_zero() {
                shift(grant, Kind::Void, Draw { leaves_open: true, ..Draw::of(id, credits, cost) });
                portion.takes.push(Take::Credits { grant: id, credits, cost });
            }
            rest -= cost;
            lowered = Credits(1);
        }
        if !rest.is_zero() {
            take_cost(grant, portion, (None, CostPool::Left, lowered, rest));
        }
        amount
    }

    fn draw_ended(&mut self, portion: &mut Portion, id: GrantId, most: Minor) -> Minor {
        let Some(lot) = self.lots.get_mut(&id) else { return Minor::ZERO };
        let grant = &mut lot.grant;
        let amount = Minor(grant.cost_expired.0.min(most.0));
        if !amount.is_zero() {
            let (whole, units) = (grant.cost_expired, grant.expired - grant.expired_marked);
            let credits = fewest(units, amount, |credits| whole - share(whole, units - credits, units));
            take_cost(grant, portion, (None, CostPool::Expired, credits, amount));
        }
        amount
    }

    fn draw_used(&mut self, portion: &mut Portion, at: usize, most: Minor) -> Minor {
        let used = self.uses[at];
        let amount = Minor(used.cost.0.min(most.0));
        if let Some(lot) = self.lots.get_mut(&used.grant).filter(|_| !amount.is_zero()) {
            let units = used.credits;
            let credits = fewest(units, amount, |credits| used.cost - share(used.cost, units - credits, units));
            take_cost(&mut lot.grant, portion, (Some(used.activity), CostPool::Consumed, credits, amount));
            self.uses[at] = Use { credits: units - credits, cost: used.cost - amount, ..used };
        }
        amount
    }

    /// Takes the credits that go back though they cost nothing, or nothing more.
    pub fn sweep(&mut self, portion: &mut Portion, now: Instant, asked: &Asked) {
        if asked.sweeps || (asked.everything && !self.keep) {
            for (position, wanted) in &asked.all {
                let mut missing = *wanted - self.taken_of(*position);
                let lots = self.free(now, true, &|of| of == *position);
                for id in lots.iter().map(|lot| lot.grant.id).collect::<Vec<_>>() {
                    missing -= self.take_free(portion, id, missing);
                }
            }
        }
        if asked.everything && !self.keep {
            for own in [true, false] {
                for id in self.free(now, own, &|_| true).iter().map(|lot| lot.grant.id).collect::<Vec<_>>() {
                    self.take_free(portion, id, Credits::MOST);
                }
            }
        }
        if asked.everything {
            for lot in self.lots.values_mut() {
                let left = lot.grant.expired - lot.grant.expired_marked;
                if !left.is_zero() {
                    take_cost(&mut lot.grant, portion, (None, CostPool::Expired, left, Minor::ZERO));
                }
            }
            for used in &mut self.uses {
                if let Some(lot) = self.lots.get_mut(&used.grant).filter(|_| !used.credits.is_zero()) {
                    let of = (Some(used.activity), CostPool::Consumed, used.credits, Minor::ZERO);
                    take_cost(&mut lot.grant, portion, of);
                    used.credits = Credits::ZERO;
                }
            }
        }
    }

    /// How many free credits of a line were taken already.
    fn taken_of(&self, position: i32) -> Credits {
        let voided = |lots: &mut dyn Iterator<Item = &Lot>| {
            lots.filter(|lot| lot.position == position).map(|lot| lot.grant.voided).sum::<Credits>()
        };
        voided(&mut self.lots.values()) - voided(&mut self.sale.lots.iter())
    }

    fn take_free(&mut self, portion: &mut Portion, id: GrantId, most: Credits) -> Credits {
        let Some(lot) = self.lots.get_mut(&id) else { return Credits::ZERO };
        let credits = lot.grant.remaining.min(most);
        if credits > Credits::ZERO {
            let cost = tail_cost(&lot.grant, credits);
            shift(&mut lot.grant, Kind::Void, Draw { leaves_open: true, ..Draw::of(id, credits, cost) });
            portion.takes.push(Take::Credits { grant: id, credits, cost });
        }
        credits.max(Credits::ZERO)
    }
}

/// Takes cost off credits that stay, and marks them where they are used or have ended.
fn take_cost(
    grant: &mut ledger::Grant,
    portion: &mut Portion,
    (of, from, credits, cost): (Option<ActivityId>, CostPool, Credits, Minor),
) {
    let reprices = Some(CostMove { from, to: CostPool::Reduced });
    shift(grant, Kind::Reprice, Draw { reprices, ..Draw::of(grant.id, credits, cost) });
    portion.takes.push(Take::Cost { grant: grant.id, of, from, credits, cost });
}

/// The fewest credits that reach the largest cost which is not above an amount; `cost` never falls as there are more.
pub fn fewest(most: Credits, amount: Minor, cost: impl Fn(Credits) -> Minor) -> Credits {
    let first = |reaches: &dyn Fn(Minor) -> bool| {
        let (mut low, mut high) = (0, most.0 + 1);
        while low < high {
            let middle = i64::midpoint(low, high);
            if middle > most.0 || reaches(cost(Credits(middle))) { high = middle } else { low = middle + 1 }
        }
        low
    };
    // The first number whose cost is above the amount, less one, has the largest cost; another may have it as well.
    let largest = first(&|cost| cost > amount) - 1;
    if largest < 0 {
        return Credits::ZERO;
    }
    let reached = cost(Credits(largest));
    Credits(first(&|cost| cost >= reached))
}
