//! A wallet's records walked from the first to the last (pure): what they add up to, and what does not fit.

use std::collections::{HashMap, HashSet};

use crate::activity::Kind;
use crate::hold::Status;
use crate::{Activity, ActivityId, Allocation, Credits, Grant, GrantId, Hold, HoldId, Totals};

use super::chain::{self, Record};
use super::state::{Draw, Pool, allow, change, emptied, makes_grants, sets_end, shift, uses};
use crate::chain::ChainKey;
use crate::time::Instant;

/// What the records say of a hold.
#[derive(Debug, PartialEq, Eq)]
struct Placed {
    activity: ActivityId,
    sequence: i64,
    status: Status,
    captured: Credits,
    reference: Option<String>,
    closed_at: Option<Instant>,
}

/// A wallet's activities, walked from the first to the last.
pub struct Walk<'a> {
    key: &'a ChainKey,
    row: &'a Totals,
    grants: &'a HashMap<GrantId, Grant>,
    holds: &'a HashMap<HoldId, Hold>,
    /// The grants as their records make them.
    replayed: HashMap<GrantId, Grant>,
    /// The holds as their records make them.
    placed: HashMap<HoldId, Placed>,
    totals: Totals,
    sequence: i64,
    /// What other wallets gave to it.
    received: Credits,
    found: Vec<String>,
    broken: bool,
}

impl<'a> Walk<'a> {
    /// Before the first record.
    #[must_use]
    pub fn new(
        key: &'a ChainKey,
        row: &'a Totals,
        grants: &'a HashMap<GrantId, Grant>,
        holds: &'a HashMap<HoldId, Hold>,
    ) -> Self {
        Self {
            key,
            row,
            grants,
            holds,
            replayed: HashMap::new(),
            placed: HashMap::new(),
            totals: Totals::empty(row.account_id, (row.customer_id, row.credit_type_id)),
            sequence: 0,
            received: Credits::ZERO,
            found: Vec::new(),
            broken: false,
        }
    }

    /// The number of the record that was walked last.
    #[must_use]
    pub fn sequence(&self) -> i64 {
        self.sequence
    }

    fn find(&mut self, what: String) {
        self.found.push(what);
    }

    /// The next record.
    pub fn step(&mut self, activity: &Activity, allocations: &[Allocation]) {
        let id = activity.id;
        if activity.sequence != self.sequence + 1 {
            self.find(format!(
                "activity {} is followed by {}: what was between is gone",
                self.sequence, activity.sequence
            ));
        }
        if activity.balance_before != self.totals.balance {
            self.find(format!(
                "{id} begins at a balance of {}, the one before ended at {}",
                activity.balance_before, self.totals.balance
            ));
        }
        if activity.at < self.totals.newest_at {
            self.find(format!("{id} is dated before the one before it"));
        }
        let total = allocations.iter().map(|allocation| allocation.amount).sum();
        let moves = (change(activity.kind, Pool::Remaining, total), change(activity.kind, Pool::Held, total));
        if (activity.amount, activity.held_amount) != moves {
            self.find(format!("{id} moves {}, its allocations add up to {total}", activity.amount));
        }
        self.check_notes(id, activity);
        self.check_hash(activity, allocations);
        for allocation in allocations {
            self.replay(activity, allocation);
        }
        self.follow_hold(activity, total);
        let totals = &mut self.totals;
        totals.held += change(activity.kind, Pool::Held, total);
        totals.consumed += change(activity.kind, Pool::Consumed, total);
        totals.expired += change(activity.kind, Pool::Expired, total);
        totals.voided += change(activity.kind, Pool::Voided, total);
        totals.transferred += change(activity.kind, Pool::Transferred, total);
        if makes_grants(activity.kind) {
            totals.issued += total;
        }
        if activity.kind == Kind::TransferIn {
            self.received += total;
        }
        totals.newest_at = activity.at;
        totals.balance = activity.balance_after;
        // What is stored goes on, so that one alteration is one finding.
        totals.hash.clone_from(&activity.hash);
        self.sequence = activity.sequence;
    }

    fn check_notes(&mut self, id: ActivityId, activity: &Activity) {
        let (Some(salt), Some(digest)) = (&activity.note_salt, &activity.note_digest) else {
            if activity.note.is_some() || activity.internal_note.is_some() {
                self.find(format!("{id} has a note that it was not written with"));
            }
            return;
        };
        if *digest != chain::note_digest(salt, activity.note.as_deref(), activity.internal_note.as_deref()) {
            self.find(format!("{id} has another note than it was written with"));
        }
    }

    fn check_hash(&mut self, activity: &Activity, allocations: &[Allocation]) {
        let made = allocations.iter().filter(|row| makes_grants(activity.kind) && !Draw::read(row).takes_allowance());
        let issued = made.filter_map(|allocation| self.grants.get(&allocation.grant_id)).cloned().collect::<Vec<_>>();
        let opens = activity.kind == Kind::Hold;
        let opened = activity.hold_id.filter(|_| opens).and_then(|id| self.holds.get(&id));
        let record = Record { activity, allocations, issued: &issued, opened };
        if activity.hash != self.key.sign(&self.totals.hash, &record) && !self.broken {
            self.broken = true;
            self.find(format!(
                "{} does not carry the hash of what it says: it, or one before it, was altered",
                activity.id
            ));
        }
    }

    /// Moves what an allocation says within the grant as its records make it.
    fn replay(&mut self, activity: &Activity, allocation: &Allocation) {
        let id = allocation.grant_id;
        let draw = Draw::read(allocation);
        if makes_grants(activity.kind) && !draw.takes_allowance() {
            let Some(stored) = self.grants.get(&id) else {
                return self.find(format!("{} made {id}, which is not in this wallet", activity.id));
            };
            if self.replayed.contains_key(&id) {
                self.find(format!("{id} was issued more than once"));
            }
            let made = Grant { amount: allocation.amount, cost: allocation.cost, ..emptied(stored) };
            self.replayed.insert(id, made);
        }
        let Some(grant) = self.replayed.get_mut(&id) else {
            return self.find(format!("{} takes from {id}, which was not issued in this wallet", activity.id));
        };
        shift(grant, activity.kind, draw);
        allow(grant, activity.kind, draw, activity.sequence);
        if let Some(end) = sets_end(activity.kind, allocation.ends_after).filter(|_| !draw.takes_allowance()) {
            if !makes_grants(activity.kind) && grant.expires_at != allocation.ends_before {
                self.found.push(format!("{} moved another end of {id} than it had", activity.id));
            }
            grant.expires_at = end;
        }
        if uses(activity.kind) {
            grant.first_used_at = grant.first_used_at.or(Some(activity.at));
        }
    }

    fn follow_hold(&mut self, activity: &Activity, total: Credits) {
        let Some(id) = activity.hold_id else { return };
        let status = match activity.kind {
            Kind::Hold => Status::Open,
            Kind::Capture => Status::Captured,
            Kind::Lapse => Status::Lapsed,
            _ => Status::Released,
        };
        match self.placed.get_mut(&id) {
            None => {
                let (captured, closed_at) = (Credits::ZERO, (status != Status::Open).then_some(activity.at));
                let reference = activity.reference.clone();
                let placed = Placed {
                    activity: activity.id,
                    sequence: activity.sequence,
                    status,
                    captured,
                    reference,
                    closed_at,
                };
                self.placed.insert(id, placed);
            }
            Some(placed) if placed.status == Status::Open => {
                placed.status = status;
                placed.closed_at = Some(activity.at);
                if status == Status::Captured {
                    placed.captured = total;
                }
            }
            // What a capture left goes back.
            Some(placed) if placed.status == Status::Captured && status == Status::Released => {}
            Some(_) => self.find(format!("{} takes from {id}, which was closed before", activity.id)),
        }
    }

    /// How many credits it gave to other wallets, or to new grants of its own, and how many came so.
    #[must_use]
    pub fn transferred(&self) -> (Credits, Credits) {
        (self.totals.transferred, self.received)
    }

    /// Holds what was added up against what is stored, and answers what does not fit.
    #[must_use]
    pub fn end(mut self) -> Vec<String> {
        let (row, totals) = (self.row, self.totals.clone());
        if row.sequence != self.sequence {
            self.find(format!(
                "the wallet counts {} activities, the last one is number {}",
                row.sequence, self.sequence
            ));
        }
        if row.newest_at != totals.newest_at {
            let what =
                format!("the wallet's newest activity is dated {}, the last one {}", row.newest_at, totals.newest_at);
            self.find(what);
        }
        if row.hash != totals.hash {
            self.find(
                "the wallet's head is not the hash of its last activity: the end was cut off or altered".to_owned(),
            );
        }
        let figures = [
            ("balance", row.balance, totals.balance),
            ("issued", row.issued, totals.issued),
            ("consumed", row.consumed, totals.consumed),
            ("expired", row.expired, totals.expired),
            ("held", row.held, totals.held),
            ("voided", row.voided, totals.voided),
            ("transferred", row.transferred, totals.transferred),
        ];
        for (name, stored, counted) in figures.into_iter().filter(|(_, stored, counted)| stored != counted) {
            self.find(format!("the wallet's {name} is {stored}, its activities add up to {counted}"));
        }
        let open = self.replayed.values().filter(|grant| grant.open).count();
        if usize::try_from(row.open_grants).ok() != Some(open) {
            self.find(format!("the wallet counts {} open grants, its activities say {open}", row.open_grants));
        }
        let frozen = self.replayed.values().filter(|grant| grant.frozen).count();
        if usize::try_from(row.frozen_grants).ok() != Some(frozen) {
            self.find(format!("the wallet counts {} frozen grants, its activities say {frozen}", row.frozen_grants));
        }
        let caps = self.replayed.values().filter(|grant| grant.capped_at.is_some()).count();
        if usize::try_from(row.caps).ok() != Some(caps) {
            self.find(format!("the wallet counts {} rollover caps, its activities say {caps}", row.caps));
        }
        if row.last_begins_at != self.replayed.values().map(|grant| grant.effective_at).max() {
            self.find("the wallet's last grant begins to count at another time than its activities say".to_owned());
        }
        let named = self.replayed.keys().copied().collect::<HashSet<_>>();
        for id in self.grants.keys().filter(|id| !named.contains(id)) {
            self.found.push(format!("no activity issued {id}"));
        }
        for (id, grant) in &self.replayed {
            if let Some(stored) = self.grants.get(id) {
                self.found.extend(differences(stored, grant));
            }
        }
        self.compare_holds();
        self.found
    }

    fn compare_holds(&mut self) {
        for (id, hold) in self.holds {
            let stored = Placed {
                activity: hold.activity_id,
                sequence: hold.sequence,
                status: hold.status,
                captured: hold.captured,
                reference: hold.reference.clone(),
                closed_at: hold.closed_at,
            };
            match self.placed.get(id) {
                None => self.found.push(format!("no activity placed {id}")),
                Some(_) if hold.open != (hold.status == Status::Open) => {
                    self.found.push(format!(
                        "{id} is marked as {}, and is {:?}",
                        if hold.open { "open" } else { "closed" },
                        hold.status
                    ));
                }
                Some(placed) if *placed != stored => {
                    self.found.push(format!("{id} is {stored:?}, its activities say {placed:?}"));
                }
                Some(_) => {}
            }
        }
        for id in self.placed.keys().filter(|id| !self.holds.contains_key(id)) {
            self.found.push(format!("{id} was placed, and is gone"));
        }
    }
}

/// What a stored grant says that its records do not.
fn differences(stored: &Grant, replayed: &Grant) -> Vec<String> {
    let id = stored.id;
    let credits = |grant: &Grant| {
        [grant.amount, grant.remaining, grant.held, grant.consumed, grant.expired, grant.voided, grant.transferred]
    };
    let cost = |g: &Grant| {
        let pools = [g.cost, g.cost_left, g.cost_held, g.cost_consumed, g.cost_expired, g.cost_voided];
        pools.into_iter().chain([g.cost_transferred, g.cost_reduced, g.cost_lost, g.cost_returned, g.cost_short])
    };
    let names = ["amount", "remaining", "held", "consumed", "expired", "voided", "transferred"];
    let costs = ["cost", "cost left", "cost held", "cost consumed", "cost expired", "cost voided"];
    let costs =
        costs.into_iter().chain(["cost transferred", "cost reduced", "cost lost", "cost returned", "cost short"]);
    let credits = credits(stored).into_iter().zip(credits(replayed)).map(|(stored, counted)| (stored.0, counted.0));
    let cost = cost(stored).zip(cost(replayed)).map(|(stored, counted)| (stored.0, counted.0));
    let figures = names.into_iter().zip(credits).chain(costs.zip(cost));
    let mut found = figures
        .filter(|(_, (stored, counted))| stored != counted)
        .map(|(name, (stored, counted))| format!("{id} has {name} {stored}, its activities add up to {counted}"))
        .collect::<Vec<_>>();
    if stored.open != replayed.open {
        let open = |grant: &Grant| if grant.open { "open" } else { "used up" };
        found.push(format!("{id} is {}, its activities say that it is {}", open(stored), open(replayed)));
    }
    if stored.first_used_at != replayed.first_used_at {
        found.push(format!("{id} was first used at another time than its activities say"));
    }
    if stored.expired_capped != replayed.expired_capped {
        let (stored, counted) = (stored.expired_capped, replayed.expired_capped);
        found.push(format!("{id} has {stored} ended credits that did not roll over, its activities say {counted}"));
    }
    if stored.expired_marked != replayed.expired_marked {
        let (stored, counted) = (stored.expired_marked, replayed.expired_marked);
        found.push(format!("{id} has {stored} ended credits that were refunded, its activities say {counted}"));
    }
    if (stored.allowance, stored.capped_at) != (replayed.allowance, replayed.capped_at) {
        let said = |grant: &Grant| grant.allowance.map_or("no allowance".to_owned(), |left| left.to_string());
        found.push(format!("{id} bears {}, its activities say {}", said(stored), said(replayed)));
    }
    if stored.frozen != replayed.frozen {
        let frozen = |grant: &Grant| if grant.frozen { "frozen" } else { "not frozen" };
        found.push(format!("{id} is {}, its activities say that it is {}", frozen(stored), frozen(replayed)));
    }
    if stored.closed != replayed.closed {
        let closed = |grant: &Grant| if grant.closed { "closed" } else { "not closed" };
        found.push(format!("{id} is {}, its activities say that it is {}", closed(stored), closed(replayed)));
    }
    if stored.expires_at != replayed.expires_at {
        found.push(format!("{id} ends at {}, its activities say {}", end(stored.expires_at), end(replayed.expires_at)));
    }
    found
}

fn end(at: Option<Instant>) -> String {
    at.map_or_else(|| "no time".to_owned(), |at| at.to_rfc3339())
}
