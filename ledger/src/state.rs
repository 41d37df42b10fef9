//! A wallet in memory (pure): its grants, its holds, and what an entry changes. What time does to it is `settle`'s.

use std::collections::{BTreeSet, HashMap};

use crate::activity::{Kind, Source};
use crate::hold::Status;
use crate::{ActivityId, Allocation, CreditTypeId, Credits, CustomerId, Grant, GrantId, Hold, HoldId, Minor, Totals};
use uuid::Uuid;

pub use super::movement::{
    CostMove, Pool, allow, change, emptied, head_cost, makes_grants, movement, sets_end, share, shift, tail_cost, uses,
};
use crate::fault::{self, Fault};
use crate::time::Instant;

/// The key of a wallet within its account; wallets are locked in its order.
pub type WalletKey = (CustomerId, CreditTypeId);

/// How much of an entry, and how much cost, fell on one grant, and the end that it gave the grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    pub grant: GrantId,
    pub amount: Credits,
    pub cost: Minor,
    /// Where the grant's end was moved or set: when it ended before, and when it ends since.
    pub ends_before: Option<Instant>,
    pub ends_after: Option<Instant>,
    /// Of a void, and of what undoes it: that the grant is not closed, or opened, by it.
    pub leaves_open: bool,
    /// Of a reprice: from where to where its cost moves. Its credits, `amount`, stay where they are.
    pub reprices: Option<CostMove>,
    /// Of a void, and of what undoes it: that its cost went back to who had paid it.
    pub refunded: bool,
    /// What it adds to the allowance that the grant bears, or takes off it.
    pub allowance: Option<Credits>,
}

impl Draw {
    /// Whether it only takes some of the allowance that its grant bears.
    #[must_use]
    pub fn takes_allowance(&self) -> bool {
        self.allowance.is_some_and(|allowance| allowance < Credits::ZERO)
    }

    /// One that was written.
    #[must_use]
    pub fn read(row: &Allocation) -> Self {
        let reprices = row.cost_from.zip(row.cost_to).map(|(from, to)| CostMove { from, to });
        Self {
            leaves_open: row.leaves_open,
            reprices,
            refunded: row.refunded,
            allowance: row.allowance,
            ..Self::of(row.grant_id, row.amount, row.cost)
        }
    }

    /// One that leaves the grant's end as it is; a void, one that closes the grant.
    #[must_use]
    pub fn of(grant: GrantId, amount: Credits, cost: Minor) -> Self {
        Self {
            grant,
            amount,
            cost,
            ends_before: None,
            ends_after: None,
            leaves_open: false,
            reprices: None,
            refunded: false,
            allowance: None,
        }
    }
}

/// An activity to be: what happens to one wallet at one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub kind: Kind,
    pub at: Instant,
    pub draws: Vec<Draw>,
    /// The lots that it makes.
    pub issued: Vec<Grant>,
    /// The hold that it opens.
    pub opened: Option<Box<Hold>>,
    /// The hold that it is about.
    pub hold: Option<HoldId>,
    /// The activity that it undoes, or is about.
    pub reverses: Option<ActivityId>,
    /// Whether it is about the one before it, which has no id until it is written.
    pub follows: bool,
    /// What led to it, where that is not what led to its command.
    pub source: Option<Source>,
    /// Why credits go, where that is not what the command says.
    pub reason: Option<&'static str>,
}

impl Entry {
    /// One that only moves credits.
    #[must_use]
    pub fn new(kind: Kind, at: Instant, draws: Vec<Draw>) -> Self {
        Self {
            kind,
            at,
            draws,
            issued: Vec::new(),
            opened: None,
            hold: None,
            reverses: None,
            follows: false,
            source: None,
            reason: None,
        }
    }

    /// How many credits it moves.
    #[must_use]
    pub fn total(&self) -> Credits {
        self.draws.iter().map(|draw| draw.amount).sum()
    }
}

/// Whether a grant's free credits have ended.
#[must_use]
pub fn is_over(grant: &Grant, now: Instant) -> bool {
    grant.expires_at.is_some_and(|end| end < now || (end == now && !fault::is(Fault::Expiry)))
}

/// Whether a grant's free credits can be used: within `[effective_at, expires_at)`, and not frozen.
#[must_use]
pub fn is_usable(grant: &Grant, now: Instant) -> bool {
    grant.effective_at <= now && !is_over(grant, now) && !grant.frozen
}

/// An open hold, and what of which grants it holds, first taken first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub row: Hold,
    pub draws: Vec<Draw>,
}

/// The open grants of a wallet that were not read. All of them can be used, and end no sooner than `ends_from`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    pub credits: Credits,
    /// None if none of them ends.
    pub ends_from: Option<Instant>,
    /// Of the credits, those that end at `ends_from`, where somebody asked.
    pub ending: Credits,
}

/// A wallet with its open grants in burn order, its open holds, and whatever else a command is about.
#[derive(Clone, Debug)]
pub struct Wallet {
    pub row: Totals,
    pub grants: Vec<Grant>,
    /// What is left out of them: nothing, of a wallet that was read whole.
    pub rest: Rest,
    pub holds: Vec<Held>,
    /// The grants that selling gave up: what is used of them is lost. Known of those that a capture names.
    pub given_up: BTreeSet<GrantId>,
    /// Where each grant stands among them.
    places: HashMap<GrantId, usize>,
    /// The grants that differ from what is stored.
    pub touched: BTreeSet<GrantId>,
    /// The holds that differ from what is stored.
    pub touched_holds: BTreeSet<HoldId>,
    /// Those of both that are not stored yet.
    pub made: BTreeSet<Uuid>,
    /// Whether something that time crossed was told of, which its row remembers.
    pub noticed: bool,
}

impl Wallet {
    /// A wallet as it is stored.
    #[must_use]
    pub fn new(row: Totals, grants: Vec<Grant>, holds: Vec<Held>) -> Self {
        let mut wallet = Self {
            row,
            grants,
            rest: Rest::default(),
            holds,
            given_up: BTreeSet::new(),
            places: HashMap::new(),
            touched: BTreeSet::new(),
            touched_holds: BTreeSet::new(),
            made: BTreeSet::new(),
            noticed: false,
        };
        wallet.sort();
        wallet
    }

    fn sort(&mut self) {
        self.grants.sort_by_key(super::draw::burn_key);
        self.places = self.grants.iter().enumerate().map(|(place, grant)| (grant.id, place)).collect();
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> WalletKey {
        (self.row.customer_id, self.row.credit_type_id)
    }

    /// The instant of an operation: never before the newest activity, even where a clock went back.
    #[must_use]
    pub fn instant(&self, clock: Instant) -> Instant {
        clock.max(self.row.newest_at)
    }

    /// A grant of it.
    #[must_use]
    pub fn grant(&self, id: GrantId) -> Option<&Grant> {
        self.grants.get(*self.places.get(&id)?)
    }

    /// A hold of it.
    #[must_use]
    pub fn hold(&self, id: HoldId) -> Option<&Held> {
        self.holds.iter().find(|hold| hold.row.id == id)
    }

    /// Makes an entry true.
    pub fn apply(&mut self, entry: &Entry) {
        for made in &entry.issued {
            self.places.insert(made.id, self.grants.len());
            self.made.insert(made.id.0);
            self.row.last_begins_at = self.row.last_begins_at.max(Some(made.effective_at));
            let (remaining, open, cost_left) = (Credits::ZERO, false, Minor::ZERO);
            self.grants.push(Grant { remaining, open, cost_left, ..made.clone() });
        }
        let mut moved = !entry.issued.is_empty();
        for draw in &entry.draws {
            let grant = &mut self.grants[self.places[&draw.grant]];
            let was = (grant.open, grant.frozen);
            shift(grant, entry.kind, *draw);
            self.row.open_grants += i32::from(grant.open) - i32::from(was.0);
            self.row.frozen_grants += i32::from(grant.frozen) - i32::from(was.1);
            if let Some(end) = sets_end(entry.kind, draw.ends_after).filter(|_| !draw.takes_allowance()) {
                moved |= grant.expires_at != end;
                grant.expires_at = end;
            }
            if uses(entry.kind) {
                grant.first_used_at = grant.first_used_at.or(Some(entry.at));
            }
            if allow(grant, entry.kind, *draw, self.row.sequence + 1) {
                self.row.caps += 1;
            }
            self.touched.insert(draw.grant);
        }
        if let Some(opened) = &entry.opened {
            self.touched_holds.insert(opened.id);
            self.made.insert(opened.id.0);
            self.holds.push(Held { row: opened.as_ref().clone(), draws: entry.draws.clone() });
        }
        self.close_hold(entry);
        self.count(entry);
        if moved {
            self.sort();
        }
    }

    /// The first entry that takes credits out of a hold closes it: what is captured, then what goes back.
    fn close_hold(&mut self, entry: &Entry) {
        let status = match entry.kind {
            Kind::Capture => Status::Captured,
            Kind::Release => Status::Released,
            Kind::Lapse => Status::Lapsed,
            _ => return,
        };
        let held = self.holds.iter_mut().find(|held| Some(held.row.id) == entry.hold).expect("entries name holds");
        if held.row.open {
            held.row.open = false;
            held.row.status = status;
            held.row.closed_at = Some(entry.at);
            if status == Status::Captured {
                held.row.captured = entry.total();
            }
        }
        self.touched_holds.insert(held.row.id);
    }

    fn count(&mut self, entry: &Entry) {
        let total = entry.total();
        let row = &mut self.row;
        row.balance += change(entry.kind, Pool::Remaining, total);
        row.held += change(entry.kind, Pool::Held, total);
        row.consumed += change(entry.kind, Pool::Consumed, total);
        row.expired += change(entry.kind, Pool::Expired, total);
        row.voided += change(entry.kind, Pool::Voided, total);
        row.transferred += change(entry.kind, Pool::Transferred, total);
        if makes_grants(entry.kind) {
            row.issued += total;
        }
        row.sequence += 1;
        row.newest_at = entry.at;
    }

    /// The free credits that can be used now. The wallet is settled.
    #[must_use]
    pub fn available(&self, now: Instant) -> Credits {
        let read = self.grants.iter().filter(|grant| is_usable(grant, now)).map(|grant| grant.remaining);
        read.sum::<Credits>() + self.rest.credits
    }

    /// The free credits that count only later.
    #[must_use]
    pub fn not_yet_effective(&self, now: Instant) -> Credits {
        let later = self.grants.iter().filter(|grant| grant.effective_at > now && !grant.frozen);
        later.map(|grant| grant.remaining).sum()
    }

    /// The free credits whose money is disputed. The wallet is settled.
    #[must_use]
    pub fn frozen(&self) -> Credits {
        self.grants.iter().filter(|grant| grant.frozen).map(|grant| grant.remaining).sum()
    }

    /// What ends when, of the free credits that were read, and of the others what may end first: soonest first, credits
    /// of one instant together.
    #[must_use]
    pub fn expiries(&self) -> Vec<(Instant, Credits)> {
        let rest = self.rest.ends_from.filter(|_| !self.rest.ending.is_zero());
        let mut ends =
            rest.map(|end| (end, self.rest.ending)).into_iter().collect::<std::collections::BTreeMap<_, _>>();
        for grant in self.grants.iter().filter(|grant| grant.open) {
            if let Some(end) = grant.expires_at {
                *ends.entry(end).or_insert(Credits::ZERO) += grant.remaining;
            }
        }
        ends.into_iter().collect()
    }
}
