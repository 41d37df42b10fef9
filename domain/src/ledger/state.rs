//! A wallet in memory (pure): its grants, its holds, and what an entry changes. What time does to it is `settle`'s.

use std::collections::{BTreeSet, HashMap};

use entity::activity::{Kind, Source};
use entity::hold::Status;
use entity::{ActivityId, CreditTypeId, Credits, CustomerId, GrantId, HoldId, Minor, credit_grant, hold, wallet};
use uuid::Uuid;

use super::fault::{self, Fault};
use crate::clock::Instant;

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
}

impl Draw {
    /// One that leaves the grant's end as it is; a void, one that closes the grant.
    #[must_use]
    pub fn of(grant: GrantId, amount: Credits, cost: Minor) -> Self {
        Self { grant, amount, cost, ends_before: None, ends_after: None, leaves_open: false }
    }
}

/// An activity to be: what happens to one wallet at one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub kind: Kind,
    pub at: Instant,
    pub draws: Vec<Draw>,
    /// The lots that it makes.
    pub issued: Vec<credit_grant::Model>,
    /// The hold that it opens.
    pub opened: Option<Box<hold::Model>>,
    /// The hold that it is about.
    pub hold: Option<HoldId>,
    /// The activity that it undoes.
    pub reverses: Option<ActivityId>,
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

/// Where credits of a grant can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    Remaining,
    Held,
    Consumed,
    Expired,
    Voided,
    Transferred,
}

/// From where to where an entry moves credits within each grant. What makes a grant brings them from outside.
#[must_use]
pub fn movement(kind: Kind) -> (Option<Pool>, Option<Pool>) {
    let (from, to) = match kind {
        Kind::Issue | Kind::TransferIn => return (None, Some(Pool::Remaining)),
        Kind::Extend => return (None, None),
        Kind::Consume => (Pool::Remaining, Pool::Consumed),
        Kind::Hold => (Pool::Remaining, Pool::Held),
        Kind::Capture => (Pool::Held, Pool::Consumed),
        Kind::Release | Kind::Lapse => (Pool::Held, Pool::Remaining),
        Kind::Reverse => (Pool::Consumed, Pool::Remaining),
        Kind::Expire => (Pool::Remaining, Pool::Expired),
        Kind::Void => (Pool::Remaining, Pool::Voided),
        Kind::Reinstate => (Pool::Voided, Pool::Remaining),
        Kind::Revive => (Pool::Expired, Pool::Remaining),
        Kind::TransferOut => (Pool::Remaining, Pool::Transferred),
    };
    (Some(from), Some(to))
}

/// Signed change of a pool by an activity of a kind that moves `total`.
#[must_use]
pub fn change(kind: Kind, pool: Pool, total: Credits) -> Credits {
    match movement(kind) {
        (Some(from), _) if from == pool => -total,
        (_, Some(to)) if to == pool => total,
        _ => Credits::ZERO,
    }
}

/// Whether an activity of a kind makes grants, whose terms it then signs.
#[must_use]
pub fn makes_grants(kind: Kind) -> bool {
    matches!(kind, Kind::Issue | Kind::TransferIn)
}

/// Whether an activity of a kind uses credits, which is what a period from first use begins with.
#[must_use]
pub fn uses(kind: Kind) -> bool {
    matches!(kind, Kind::Consume | Kind::Capture)
}

/// The end that an activity of a kind sets for a grant: outer none where it sets none, inner none where that is never.
#[must_use]
pub fn sets_end(kind: Kind, ends_after: Option<Instant>) -> Option<Option<Instant>> {
    match kind {
        Kind::Issue | Kind::TransferIn | Kind::Extend | Kind::Revive => Some(ends_after),
        _ => ends_after.map(Some),
    }
}

/// A pool of a grant: its credits and what they cost.
fn pool_of(grant: &mut credit_grant::Model, pool: Pool) -> (&mut Credits, &mut Minor) {
    match pool {
        Pool::Remaining => (&mut grant.remaining, &mut grant.cost_left),
        Pool::Held => (&mut grant.held, &mut grant.cost_held),
        Pool::Consumed => (&mut grant.consumed, &mut grant.cost_consumed),
        Pool::Expired => (&mut grant.expired, &mut grant.cost_expired),
        Pool::Voided => (&mut grant.voided, &mut grant.cost_voided),
        Pool::Transferred => (&mut grant.transferred, &mut grant.cost_transferred),
    }
}

/// A grant before its first credit, and before anything said when it ends.
#[must_use]
pub fn emptied(grant: &credit_grant::Model) -> credit_grant::Model {
    credit_grant::Model {
        remaining: Credits::ZERO,
        held: Credits::ZERO,
        consumed: Credits::ZERO,
        expired: Credits::ZERO,
        voided: Credits::ZERO,
        transferred: Credits::ZERO,
        cost_left: Minor::ZERO,
        cost_held: Minor::ZERO,
        cost_consumed: Minor::ZERO,
        cost_expired: Minor::ZERO,
        cost_voided: Minor::ZERO,
        cost_transferred: Minor::ZERO,
        open: false,
        closed: false,
        first_used_at: None,
        expires_at: None,
        ..grant.clone()
    }
}

/// Moves credits and their cost within a grant, and closes or opens it.
pub fn shift(grant: &mut credit_grant::Model, kind: Kind, draw: Draw) {
    let (from, to) = movement(kind);
    for (pool, sign) in [(from, -1), (to, 1)] {
        if let Some(pool) = pool {
            let (credits, cost) = pool_of(grant, pool);
            *credits += Credits(sign * draw.amount.0);
            *cost += Minor(sign * draw.cost.0);
        }
    }
    grant.open = !grant.remaining.is_zero();
    grant.closed = super::settle::sets_closed(kind, draw.leaves_open).unwrap_or(grant.closed);
}

/// What the next `amount` of `units` that cost `cost` together cost: `floor(cost * amount / units)`,
/// so that the last credit takes what rounding left over (domain.md, *Cost*).
#[must_use]
pub fn share(cost: Minor, amount: Credits, units: Credits) -> Minor {
    if units.is_zero() {
        return Minor::ZERO;
    }
    let part = i128::from(cost.0) * i128::from(amount.0) / i128::from(units.0);
    Minor(i64::try_from(part).expect("a part is no larger than the whole"))
}

/// Whether a grant's free credits have ended.
#[must_use]
pub fn is_over(grant: &credit_grant::Model, now: Instant) -> bool {
    grant.expires_at.is_some_and(|end| end < now || (end == now && !fault::is(Fault::Expiry)))
}

/// Whether a grant's free credits can be used: within `[effective_at, expires_at)`.
#[must_use]
pub fn is_usable(grant: &credit_grant::Model, now: Instant) -> bool {
    grant.effective_at <= now && !is_over(grant, now)
}

/// An open hold, and what of which grants it holds, first taken first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub row: hold::Model,
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
    pub row: wallet::Model,
    pub grants: Vec<credit_grant::Model>,
    /// What is left out of them: nothing, of a wallet that was read whole.
    pub rest: Rest,
    pub holds: Vec<Held>,
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
    pub fn new(row: wallet::Model, grants: Vec<credit_grant::Model>, holds: Vec<Held>) -> Self {
        let mut wallet = Self {
            row,
            grants,
            rest: Rest::default(),
            holds,
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
    pub fn grant(&self, id: GrantId) -> Option<&credit_grant::Model> {
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
            let (remaining, cost_left, open) = (Credits::ZERO, Minor::ZERO, false);
            self.grants.push(credit_grant::Model { remaining, cost_left, open, ..made.clone() });
        }
        let mut moved = !entry.issued.is_empty();
        for draw in &entry.draws {
            let grant = &mut self.grants[self.places[&draw.grant]];
            let was_open = grant.open;
            shift(grant, entry.kind, *draw);
            self.row.open_grants += i32::from(grant.open) - i32::from(was_open);
            if let Some(end) = sets_end(entry.kind, draw.ends_after) {
                moved |= grant.expires_at != end;
                grant.expires_at = end;
            }
            if uses(entry.kind) {
                grant.first_used_at = grant.first_used_at.or(Some(entry.at));
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
        self.grants.iter().filter(|grant| grant.effective_at > now).map(|grant| grant.remaining).sum()
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
