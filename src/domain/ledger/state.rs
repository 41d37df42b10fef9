//! A wallet in memory (pure): what time has done to it, and what an entry changes.

use std::collections::BTreeSet;

use entity::activity::Kind;
use entity::{CreditTypeId, Credits, CustomerId, GrantId, Minor, credit_grant, wallet};

use super::expiration;
use crate::domain::clock::Instant;

/// The key of a wallet within its account; wallets are locked in its order.
pub type WalletKey = (CustomerId, CreditTypeId);

/// How much of an entry, and how much cost, fell on one grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    pub grant: GrantId,
    pub amount: Credits,
    pub cost: Minor,
}

/// An activity to be: what happens to one wallet at one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub kind: Kind,
    pub at: Instant,
    pub draws: Vec<Draw>,
    /// The lot that an issue makes.
    pub issued: Option<Box<credit_grant::Model>>,
}

/// Where credits of a grant can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pool {
    Remaining,
    Consumed,
    Expired,
    Voided,
}

/// From where to where an entry moves credits within each grant. An issue brings them from outside.
fn movement(kind: Kind) -> (Option<Pool>, Pool) {
    match kind {
        Kind::Issue => (None, Pool::Remaining),
        Kind::Consume => (Some(Pool::Remaining), Pool::Consumed),
        Kind::Expire => (Some(Pool::Remaining), Pool::Expired),
        Kind::Void => (Some(Pool::Remaining), Pool::Voided),
    }
}

impl Entry {
    /// How many credits it moves.
    #[must_use]
    pub fn total(&self) -> Credits {
        self.draws.iter().map(|draw| draw.amount).sum()
    }

    /// Signed change of the free credits.
    #[must_use]
    pub fn amount(&self) -> Credits {
        signed_amount(self.kind, self.total())
    }

    /// What the credits that it moves had cost.
    #[must_use]
    pub fn cost(&self) -> Minor {
        self.draws.iter().map(|draw| draw.cost).sum()
    }
}

/// Signed change of the free credits by an activity of a kind that moves `total`.
#[must_use]
pub fn signed_amount(kind: Kind, total: Credits) -> Credits {
    match movement(kind) {
        (Some(Pool::Remaining), _) => -total,
        (_, Pool::Remaining) => total,
        _ => Credits::ZERO,
    }
}

/// Moves credits and their cost within a grant.
fn shift(grant: &mut credit_grant::Model, kind: Kind, draw: Draw) {
    let (from, to) = movement(kind);
    for (pool, amount, cost) in [(from, -draw.amount, -draw.cost), (Some(to), draw.amount, draw.cost)] {
        let Some(pool) = pool else { continue };
        let (credits, money) = match pool {
            Pool::Remaining => (&mut grant.remaining, &mut grant.cost_left),
            Pool::Consumed => (&mut grant.consumed, &mut grant.cost_consumed),
            Pool::Expired => (&mut grant.expired, &mut grant.cost_expired),
            Pool::Voided => (&mut grant.voided, &mut grant.cost_voided),
        };
        *credits += amount;
        *money += cost;
    }
    grant.open = !grant.remaining.is_zero();
}

/// What the next `amount` of a grant's free credits cost: `floor(cost_left * amount / remaining)`,
/// so that the last credit takes what rounding left over (domain.md, *Cost*).
#[must_use]
pub fn cost_of(grant: &credit_grant::Model, amount: Credits) -> Minor {
    if grant.remaining.is_zero() {
        return Minor::ZERO;
    }
    let cost = i128::from(grant.cost_left.0) * i128::from(amount.0) / i128::from(grant.remaining.0);
    Minor(i64::try_from(cost).expect("a part is no larger than the whole"))
}

/// Whether a grant's free credits have ended.
#[must_use]
pub fn is_over(grant: &credit_grant::Model, now: Instant) -> bool {
    grant.expires_at.is_some_and(|end| end <= now)
}

/// Whether a grant's free credits can be used: within `[effective_at, expires_at)`.
#[must_use]
pub fn is_usable(grant: &credit_grant::Model, now: Instant) -> bool {
    grant.effective_at <= now && !is_over(grant, now)
}

/// A grant as it is at an instant, whether or not its end has been written.
#[must_use]
pub fn grant_at(mut grant: credit_grant::Model, now: Instant) -> credit_grant::Model {
    if is_over(&grant, now) && grant.open {
        let draw = Draw { grant: grant.id, amount: grant.remaining, cost: grant.cost_left };
        shift(&mut grant, Kind::Expire, draw);
    }
    grant
}

/// A wallet with its open grants in burn order.
#[derive(Clone, Debug)]
pub struct Wallet {
    pub row: wallet::Model,
    pub grants: Vec<credit_grant::Model>,
    /// The grants that differ from what is stored.
    pub touched: BTreeSet<GrantId>,
}

impl Wallet {
    /// A wallet as it is stored.
    #[must_use]
    pub fn new(row: wallet::Model, mut grants: Vec<credit_grant::Model>) -> Self {
        grants.sort_by_key(super::draw::burn_key);
        Self { row, grants, touched: BTreeSet::new() }
    }

    /// The instant of an operation: never before the newest activity, even where a clock went back.
    #[must_use]
    pub fn instant(&self, clock: Instant) -> Instant {
        clock.max(self.row.newest_at)
    }

    /// Does what time has done until `now`, oldest first, and answers what it was.
    pub fn settle(&mut self, now: Instant) -> Vec<Entry> {
        let mut due = self
            .grants
            .iter()
            .filter(|grant| grant.open)
            .filter_map(|grant| grant.expires_at.filter(|end| *end <= now).map(|end| (end, grant)))
            .map(|(at, grant)| {
                let draw = Draw { grant: grant.id, amount: grant.remaining, cost: grant.cost_left };
                Entry { kind: Kind::Expire, at, draws: vec![draw], issued: None }
            })
            .collect::<Vec<_>>();
        due.sort_by_key(|entry| (entry.at, entry.draws[0].grant));
        for entry in &due {
            self.apply(entry);
        }
        due
    }

    /// The ends that an entry sets, being the first use of a grant whose period begins with it.
    #[must_use]
    pub fn ends_set_by(&self, entry: &Entry) -> Vec<(GrantId, Instant)> {
        let grants = entry.draws.iter().filter(|_| entry.kind == Kind::Consume);
        let grants = grants.filter_map(|draw| self.grants.iter().find(|grant| grant.id == draw.grant));
        grants.filter_map(|grant| expiration::at_first_use(grant, entry.at).map(|end| (grant.id, end))).collect()
    }

    /// Makes an entry true.
    pub fn apply(&mut self, entry: &Entry) {
        if let Some(issued) = &entry.issued {
            self.grants.push(credit_grant::Model {
                remaining: Credits::ZERO,
                cost_left: Minor::ZERO,
                ..issued.as_ref().clone()
            });
        }
        for draw in &entry.draws {
            let grant =
                self.grants.iter_mut().find(|grant| grant.id == draw.grant).expect("entries name loaded grants");
            shift(grant, entry.kind, *draw);
            if entry.kind == Kind::Consume {
                if let Some(end) = expiration::at_first_use(grant, entry.at) {
                    grant.expires_at = Some(end);
                }
                grant.first_used_at = grant.first_used_at.or(Some(entry.at));
            }
            self.touched.insert(draw.grant);
        }
        let total = entry.total();
        self.row.balance += entry.amount();
        match entry.kind {
            Kind::Issue => self.row.issued += total,
            Kind::Consume => self.row.consumed += total,
            Kind::Expire => self.row.expired += total,
            Kind::Void => self.row.voided += total,
        }
        self.row.sequence += 1;
        self.row.newest_at = entry.at;
        self.grants.sort_by_key(super::draw::burn_key);
    }

    /// The free credits that can be used now. The wallet is settled.
    #[must_use]
    pub fn available(&self, now: Instant) -> Credits {
        self.grants.iter().filter(|grant| is_usable(grant, now)).map(|grant| grant.remaining).sum()
    }

    /// The free credits that count only later.
    #[must_use]
    pub fn not_yet_effective(&self, now: Instant) -> Credits {
        self.grants.iter().filter(|grant| grant.effective_at > now).map(|grant| grant.remaining).sum()
    }

    /// What ends when, of the free credits: soonest first, credits of one instant together.
    #[must_use]
    pub fn expiries(&self) -> Vec<(Instant, Credits)> {
        let mut ends = std::collections::BTreeMap::new();
        for grant in self.grants.iter().filter(|grant| grant.open) {
            if let Some(end) = grant.expires_at {
                *ends.entry(end).or_insert(Credits::ZERO) += grant.remaining;
            }
        }
        ends.into_iter().collect()
    }
}
