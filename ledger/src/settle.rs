//! What time does to a wallet (pure): holds lapse, grants end. Written down before a command is decided, and applied
//! without writing wherever something is read, so that a balance is right though no job has run.

use crate::activity::Kind;
use crate::{Grant, GrantId, HoldId};

use super::state::{Draw, Entry, Held, Wallet, is_over, shift};
use crate::fault::{self, Fault};
use crate::time::Instant;

/// Something that time does, in the order in which it happens: by instant, a lapse before an end, then by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Lapse(HoldId),
    End(GrantId),
}

impl Wallet {
    /// Does what time has done until `now`, and answers what it was, oldest first.
    pub fn settle(&mut self, now: Instant) -> Vec<Entry> {
        let mut entries = Vec::new();
        self.settle_each(now, |wallet, entry| {
            wallet.apply(&entry);
            entries.push(entry);
        });
        entries
    }

    /// Hands over what time has done until `now`, oldest first; whoever gets an entry applies it.
    pub fn settle_each(&mut self, now: Instant, mut each: impl FnMut(&mut Self, Entry)) {
        let lapses = self.holds.iter().filter(|held| held.row.open && held.row.expires_at <= now);
        let mut due = lapses.map(|held| (held.row.expires_at, Due::Lapse(held.row.id))).collect::<Vec<_>>();
        // Also of grants that are closed: a lapse may come before their end.
        let over = self.grants.iter().filter(|grant| is_over(grant, now));
        due.extend(over.filter_map(|grant| Some((grant.expires_at?, Due::End(grant.id)))));
        due.sort_unstable();
        for (at, due) in due {
            let entries = match due {
                Due::Lapse(hold) => self.lapse(hold, at),
                Due::End(grant) => self.end(grant, at),
            };
            for entry in entries {
                each(self, entry);
            }
        }
    }

    fn lapse(&self, id: HoldId, at: Instant) -> Vec<Entry> {
        let held = self.hold(id).expect("it was found here");
        let (draws, onward) = self.come_back(held.draws.iter().rev().copied().collect(), held.row.sequence, at);
        let lapse = Entry { hold: Some(id), ..Entry::new(Kind::Lapse, at, draws) };
        std::iter::once(lapse).chain(onward).collect()
    }

    fn end(&self, id: GrantId, at: Instant) -> Vec<Entry> {
        let grant = self.grant(id).expect("it was found here");
        if !grant.open {
            return Vec::new();
        }
        vec![Entry::new(Kind::Expire, at, vec![Draw::of(id, grant.remaining, grant.cost_left)])]
    }

    /// What comes back to a grant that was closed or has ended does not stay there: it goes on in the same instant.
    #[must_use]
    pub fn onward(&self, returned: &[Draw], at: Instant) -> Vec<Entry> {
        let of = |kind: Kind| {
            let draws = returned.iter().filter(|draw| self.goes_on(draw.grant, at) == Some(kind));
            // What closed the grant is another entry.
            let leaves_open = kind == Kind::Void;
            let draws = draws.map(|draw| Draw { leaves_open, ..Draw::of(draw.grant, draw.amount, draw.cost) });
            let draws = draws.collect::<Vec<_>>();
            (!draws.is_empty()).then(|| Entry::new(kind, at, draws))
        };
        let voided = of(Kind::Void).map(|entry| Entry { reason: Some("The grant was voided before"), ..entry });
        voided.into_iter().chain(of(Kind::Expire)).collect()
    }

    /// As what credits that come back to a grant go on: voided, expired, or not at all.
    #[must_use]
    pub fn goes_on(&self, grant: GrantId, at: Instant) -> Option<Kind> {
        goes_on(self.grant(grant).expect("what comes back names loaded grants"), at)
    }

    /// When time next does something to what was read of this wallet; none if nothing is to come. The wallet need not be
    /// settled.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        let ends = self.grants.iter().filter(|grant| grant.open).filter_map(|grant| grant.expires_at);
        let lapses = self.holds.iter().filter(|held| held.row.open).map(|held| held.row.expires_at);
        ends.chain(lapses).min()
    }
}

/// Whether an entry closes the grants that it draws from, so that what comes back to them later is voided too, or opens
/// them again; none where it does neither.
#[must_use]
pub(super) fn sets_closed(kind: Kind, leaves_open: bool) -> Option<bool> {
    match kind {
        Kind::Void if !leaves_open => Some(true),
        Kind::Reinstate if !leaves_open => Some(false),
        // Of a closed grant nothing is revived; earlier versions did.
        Kind::Revive => Some(false),
        _ => None,
    }
}

fn goes_on(grant: &Grant, at: Instant) -> Option<Kind> {
    if grant.closed && !fault::is(Fault::Closed) {
        Some(Kind::Void)
    } else if is_over(grant, at) {
        Some(Kind::Expire)
    } else {
        None
    }
}

/// A grant as it is at an instant, whether or not its end, or the lapse of what holds it, has been written.
/// Of `holds`, those count that hold some of it and have lapsed.
#[must_use]
pub fn grant_at(mut grant: Grant, holds: &[Held], now: Instant) -> Grant {
    let mut lapses = holds.iter().filter(|held| held.row.open && held.row.expires_at <= now).collect::<Vec<_>>();
    lapses.sort_by_key(|held| (held.row.expires_at, held.row.id));
    for held in lapses {
        let at = held.row.expires_at;
        let id = grant.id;
        for draw in held.draws.iter().filter(|draw| draw.grant == id) {
            let draw = Draw::of(draw.grant, draw.amount, draw.cost);
            shift(&mut grant, Kind::Lapse, draw);
            if let Some(kind) = goes_on(&grant, at) {
                shift(&mut grant, kind, draw);
            }
        }
    }
    if is_over(&grant, now) && grant.open {
        let draw = Draw::of(grant.id, grant.remaining, grant.cost_left);
        shift(&mut grant, Kind::Expire, draw);
    }
    grant
}
