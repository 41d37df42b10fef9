//! Rollover caps (pure; selling.md, S11): when a period of a subscription is paid, only so many of what earlier periods
//! gave may stay. What was drawn before, and comes back later, has an allowance: what the stayed ones left of the cap.
//! The grant of the period that was paid bears it.

use std::collections::BTreeMap;

use crate::activity::Kind;
use crate::{Credits, Grant, GrantId, Minor};

use super::draw::split;
use super::state::{Draw, Entry, Held, Wallet};
use crate::fault::{self, Fault};
use crate::time::Instant;

/// What is beyond the allowance of a cap ends (selling.md, S11); nothing, where nothing is.
#[must_use]
pub fn ended(beyond: Vec<Draw>, at: Instant) -> Option<Entry> {
    let reason = Some("Not rolled over");
    (!beyond.is_empty()).then(|| Entry { reason, ..Entry::new(Kind::Expire, at, beyond) })
}

impl Wallet {
    /// The grants that bear caps over what comes to a grant, and was drawn by the activity of a number: those of later
    /// periods of its subscription that were paid since.
    fn caps_over<'a>(&'a self, grant: &'a Grant, drawn: i64) -> impl Iterator<Item = &'a Grant> {
        // What was bought as rolling over whole is never cut.
        let of = grant.subscription_id.zip(grant.period).filter(|_| grant.rollover_limit.is_some());
        self.grants.iter().filter(move |bearer| {
            let capped = bearer.capped_at.is_some_and(|at| at > drawn);
            capped && of.is_some_and(|(id, period)| bearer.subscription_id == Some(id) && bearer.period > Some(period))
        })
    }

    /// Whether a cap came over a grant when it had ended already.
    #[must_use]
    pub fn caps_since(&self, grant: &Grant, end: Instant) -> bool {
        self.caps_over(grant, -1).any(|bearer| bearer.created_at >= end)
    }

    /// The newest capped period of a subscription.
    #[must_use]
    pub fn newest_cap(&self, grant: &Grant) -> Option<i64> {
        self.caps_over(grant, -1).filter_map(|bearer| bearer.period).max()
    }

    /// What comes back, drawn by the activity of a number, and what follows in the same instant: what is beyond the
    /// allowance of a cap ends, and so does what comes back to a grant that has; what comes back to a closed one is voided.
    #[must_use]
    pub fn come_back(&self, mut returned: Vec<Draw>, drawn: i64, at: Instant) -> (Vec<Draw>, Vec<Entry>) {
        let (allowed, beyond) = self.within_caps(&returned, drawn, at);
        returned.extend(allowed);
        let kept = less(&returned, &beyond);
        let mut onward = self.onward(&kept, at);
        onward.extend(ended(beyond, at));
        (returned, onward)
    }

    /// What takes the allowances of caps, and what of the credits is beyond them. Of grants that have ended, or are closed,
    /// nothing stays anyhow.
    #[must_use]
    pub fn within_caps(&self, coming: &[Draw], drawn: i64, at: Instant) -> (Vec<Draw>, Vec<Draw>) {
        self.within(coming, (drawn, at), |_| Credits::ZERO)
    }

    /// The same of a period that is paid after later ones: what was set aside when those were paid comes first, as if this
    /// period had been there then.
    #[must_use]
    pub fn within_caps_late(&self, coming: &[Draw], at: Instant) -> (Vec<Draw>, Vec<Draw>) {
        self.within(coming, (-1, at), |bearer| self.set_aside_before(bearer))
    }

    /// What is set aside of earlier periods since before one was paid.
    fn set_aside_before(&self, bearer: &Grant) -> Credits {
        let since = |held: &&Held| held.row.open && bearer.capped_at.is_some_and(|at| held.row.sequence < at);
        let is_earlier = |draw: &&Draw| {
            self.grant(draw.grant).is_some_and(|grant| {
                grant.rollover_limit.is_some()
                    && grant.subscription_id == bearer.subscription_id
                    && grant.period < bearer.period
            })
        };
        let draws = self.holds.iter().filter(since).flat_map(|held| &held.draws).filter(is_earlier);
        draws.map(|draw| draw.amount).sum()
    }

    fn within(
        &self,
        coming: &[Draw],
        (drawn, at): (i64, Instant),
        reserved: impl Fn(&Grant) -> Credits,
    ) -> (Vec<Draw>, Vec<Draw>) {
        if self.row.caps == 0 || fault::is(Fault::Cap) {
            return (Vec::new(), Vec::new());
        }
        let mut taken: BTreeMap<GrantId, Credits> = BTreeMap::new();
        let mut beyond = Vec::new();
        for draw in coming {
            let Some(grant) = self.grant(draw.grant).filter(|_| self.goes_on(draw.grant, at).is_none()) else {
                continue;
            };
            let caps = self.caps_over(grant, drawn);
            let caps = caps.map(|bearer| (bearer.id, bearer.allowance.unwrap_or_default() - reserved(bearer)));
            let caps = caps.collect::<Vec<_>>();
            let room = caps.iter().map(|(id, left)| *left - taken.get(id).copied().unwrap_or_default()).min();
            let Some(room) = room else { continue };
            let stays = draw.amount.min(room.max(Credits::ZERO));
            for (id, _) in caps {
                *taken.entry(id).or_default() += stays;
            }
            beyond.extend(split(&[*draw], stays).1.into_iter().map(not_rolled_over));
        }
        let allowances = taken.into_iter().filter(|(_, stays)| !stays.is_zero());
        let of = |(id, stays): (GrantId, Credits)| Draw {
            allowance: Some(Credits(-stays.0)),
            ..Draw::of(id, Credits::ZERO, Minor::ZERO)
        };
        (allowances.map(of).collect(), beyond)
    }

    /// The allowance that a period opens when it is paid, of which so many of earlier ones may stay: what those that stayed
    /// leave. What is held counts as if it came back.
    #[must_use]
    pub fn allowance(&self, subscription: crate::SubscriptionId, period: i64, keep: Credits) -> Credits {
        let earlier = self.grants.iter().filter(|grant| {
            let limited = grant.rollover_limit.is_some() && grant.period.is_some_and(|its| its < period);
            limited && grant.subscription_id == Some(subscription)
        });
        keep - earlier.map(|grant| grant.remaining).sum::<Credits>().min(keep)
    }
}

/// A draw of what ends because it is beyond a cap.
#[must_use]
pub fn not_rolled_over(draw: Draw) -> Draw {
    Draw { allowance: Some(Credits::ZERO), ..draw }
}

/// Draws less others of the same grants.
#[must_use]
pub fn less(draws: &[Draw], others: &[Draw]) -> Vec<Draw> {
    let mut left = draws.to_vec();
    for gone in others {
        if let Some(draw) = left.iter_mut().find(|draw| draw.grant == gone.grant && draw.amount >= gone.amount) {
            draw.amount -= gone.amount;
            draw.cost -= gone.cost;
        }
    }
    left.retain(|draw| !draw.amount.is_zero());
    left
}
