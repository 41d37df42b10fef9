//! What customers are told of (pure): credits that end soon, balances that become low or recover.
//!
//! A threshold is told of when it is crossed, once per crossing, dated by the instant of the crossing. What crosses it is
//! an entry, or time alone: a grant that begins to count, a day that is so many days before an end. Until when time was
//! watched stands on the wallet (`noticed_at`), so that each instant is looked at once, whoever comes first.

use crate::{CreditType, Credits, Grant, GrantId, Totals};
use chrono::{Days, TimeDelta};

use super::expiration::zone_of;
use super::state::{Wallet, WalletKey, is_over, is_usable};
use crate::cause::Cause;
use crate::time::Instant;

/// By how much a local day may be longer or shorter than 24 hours, and more.
const SLACK: TimeDelta = TimeDelta::hours(26);

/// A lot, how much of it is free, and when it ends.
pub type Lot = (GrantId, Credits, Option<Instant>);

/// A threshold that was crossed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// So many days before their end these have something left.
    ExpiringSoon { days: i64, expires_at: Instant, grants: Vec<Lot> },
    /// The usable credits went from one side of a threshold to the other.
    Balance { threshold: Credits, before: Credits, available: Credits, grants: Vec<Lot> },
}

/// A notice, of which wallet, when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noticed {
    pub wallet: WalletKey,
    pub at: Instant,
    pub notice: Notice,
    /// That of the command which crossed it; none for what time does.
    pub cause: Cause,
}

/// What a credit type tells of, while one wallet after another is watched.
pub struct Watch<'a> {
    credit_type: &'a CreditType,
    noticed: &'a mut Vec<Noticed>,
    /// The instant that is being looked at, and what stood before it: all that time does at one instant counts as one.
    instant: Option<(Instant, Credits)>,
}

impl<'a> Watch<'a> {
    /// Begins to watch.
    pub fn new(credit_type: &'a CreditType, noticed: &'a mut Vec<Noticed>) -> Self {
        Self { credit_type, noticed, instant: None }
    }

    /// Looks at what time alone crosses, until an instant and with it.
    pub fn until(&mut self, wallet: &mut Wallet, now: Instant) {
        let from = since(&wallet.row, self.credit_type);
        if now <= from {
            return;
        }
        let mut instants = crossings(wallet, self.credit_type, from, now);
        instants.sort_unstable();
        instants.dedup();
        wallet.noticed |= !instants.is_empty();
        for at in instants {
            self.time_does(wallet, at);
            self.ends_soon(wallet, at);
        }
        wallet.row.noticed_at = Some(now);
    }

    /// Time is about to do something to a wallet at an instant: to let a grant begin or end, a hold lapse.
    pub fn time_does(&mut self, wallet: &Wallet, at: Instant) {
        if self.credit_type.low_balance_at.is_none() || self.instant.is_some_and(|(open, _)| open == at) {
            return;
        }
        self.close(wallet);
        let earlier = wallet.grants.iter().filter(|grant| grant.effective_at < at);
        let before = earlier.map(|grant| grant.remaining).sum::<Credits>() + wallet.rest.credits;
        self.instant = Some((at, before));
    }

    /// Time has done all that it does to a wallet for now.
    pub fn close(&mut self, wallet: &Wallet) {
        if let Some((at, before)) = self.instant.take() {
            self.balance(wallet, before, standing(wallet, at), (at, Cause::default()));
        }
    }

    /// What stands before an entry of a command, where somebody is told of balances.
    #[must_use]
    pub fn before(&self, wallet: &Wallet, at: Instant) -> Credits {
        if self.credit_type.low_balance_at.is_some() { standing(wallet, at) } else { Credits::ZERO }
    }

    /// Looks at what an entry of a command crossed, by what stood before it, and what led to the command.
    pub fn changed(&mut self, wallet: &Wallet, before: Credits, at: Instant, cause: Cause) {
        // The first credits of a wallet are no recovery.
        if wallet.row.sequence > 1 && self.credit_type.low_balance_at.is_some() {
            self.balance(wallet, before, standing(wallet, at), (at, cause));
        }
    }

    fn balance(&mut self, wallet: &Wallet, before: Credits, available: Credits, (at, cause): (Instant, Cause)) {
        let Some(threshold) = self.credit_type.low_balance_at else { return };
        if (before <= threshold) == (available <= threshold) {
            return;
        }
        let grants = wallet.grants.iter().filter(|grant| is_usable(grant, at)).map(lot).collect();
        let notice = Notice::Balance { threshold, before, available, grants };
        self.noticed.push(Noticed { wallet: wallet.key(), at, notice, cause });
    }

    fn ends_soon(&mut self, wallet: &Wallet, at: Instant) {
        for days in notice_days(self.credit_type) {
            let near = at + TimeDelta::days(days);
            let told = |grant: &&Grant| {
                grant.expires_at.is_some_and(|end| end > near - SLACK && end < near + SLACK)
                    && told_at(grant, days) == Some(at)
                    && !is_over(grant, at)
            };
            let mut ending = open(wallet).filter(told).collect::<Vec<_>>();
            ending.sort_by_key(|grant| (grant.expires_at, grant.id));
            let Some(expires_at) = ending.first().and_then(|grant| grant.expires_at) else { continue };
            let grants = ending.into_iter().map(lot).collect();
            let notice = Notice::ExpiringSoon { days, expires_at, grants };
            self.noticed.push(Noticed { wallet: wallet.key(), at, notice, cause: Cause::default() });
        }
    }
}

/// The free credits that count at an instant. What ends until then has been written off.
fn standing(wallet: &Wallet, at: Instant) -> Credits {
    let read = wallet.grants.iter().filter(|grant| grant.effective_at <= at).map(|grant| grant.remaining);
    read.sum::<Credits>() + wallet.rest.credits
}

/// When time alone next crosses something that is told of; the wallet need not be settled.
#[must_use]
pub fn next_crossing(wallet: &Wallet, credit_type: &CreditType) -> Option<Instant> {
    let from = since(&wallet.row, credit_type);
    let begins = begins(wallet, credit_type).filter(|at| *at > from).min();
    let told = notice_days(credit_type).filter_map(|days| next_told(wallet, days, from)).min();
    begins.into_iter().chain(told).min()
}

/// When what was not read of a wallet is to be looked at again: before any of it ends, or is told of.
#[must_use]
pub fn next_look(wallet: &Wallet, credit_type: &CreditType) -> Option<Instant> {
    wallet.rest.ends_from.map(|end| end - horizon(credit_type))
}

/// How long before their end credits are told of at the earliest.
#[must_use]
pub fn horizon(credit_type: &CreditType) -> TimeDelta {
    notice_days(credit_type).max().map_or(TimeDelta::zero(), |days| TimeDelta::days(days) + SLACK)
}

/// When credits next end in so many days. The calendar is asked of the few grants whose end may be the first only:
/// a wallet may hold thousands.
fn next_told(wallet: &Wallet, days: i64, from: Instant) -> Option<Instant> {
    let mut after = from + TimeDelta::days(days) - SLACK;
    loop {
        let ends = || open(wallet).filter_map(|grant| grant.expires_at).filter(|end| *end > after);
        let near = ends().min()? + SLACK + SLACK;
        let candidates = open(wallet).filter(|grant| grant.expires_at.is_some_and(|end| end > after && end <= near));
        let told = candidates.filter_map(|grant| told_at(grant, days)).filter(|at| *at > from).min();
        if told.is_some() {
            return told;
        }
        after = near;
    }
}

/// Until when a wallet was watched.
#[must_use]
pub fn since(row: &Totals, credit_type: &CreditType) -> Instant {
    let watched = row.noticed_at.unwrap_or(row.newest_at);
    credit_type.noticed_from.map_or(watched, |changed| watched.max(changed))
}

/// The instants at which time alone may cross something, after one instant and until another.
fn crossings(wallet: &Wallet, credit_type: &CreditType, from: Instant, until: Instant) -> Vec<Instant> {
    let within = |at: &Instant| *at > from && *at <= until;
    let mut instants = begins(wallet, credit_type).filter(within).collect::<Vec<_>>();
    for days in notice_days(credit_type) {
        let (first, last) = (from + TimeDelta::days(days) - SLACK, until + TimeDelta::days(days) + SLACK);
        let near = open(wallet).filter(|grant| grant.expires_at.is_some_and(|end| end > first && end <= last));
        instants.extend(near.filter_map(|grant| told_at(grant, days)).filter(within));
    }
    instants
}

fn open(wallet: &Wallet) -> impl Iterator<Item = &Grant> {
    wallet.grants.iter().filter(|grant| grant.open)
}

fn begins<'a>(wallet: &'a Wallet, credit_type: &'a CreditType) -> impl Iterator<Item = Instant> + 'a {
    open(wallet).map(|grant| grant.effective_at).filter(|_| credit_type.low_balance_at.is_some())
}

fn notice_days(credit_type: &CreditType) -> impl Iterator<Item = i64> + '_ {
    credit_type.expiry_notice_days.iter().copied()
}

/// The same local time of day so many days before a grant ends; where that time does not exist, so many times 24 hours.
fn told_at(grant: &Grant, days: i64) -> Option<Instant> {
    use chrono::TimeZone;
    let (end, zone) = (grant.expires_at?, zone_of(&grant.time_zone));
    let days = u64::try_from(days).ok()?;
    let local = end.with_timezone(&zone).naive_local().checked_sub_days(Days::new(days))?;
    let told = zone.from_local_datetime(&local).earliest().map(|at| at.to_utc());
    told.or_else(|| end.checked_sub_days(Days::new(days)))
}

fn lot(grant: &Grant) -> Lot {
    (grant.id, grant.remaining, grant.expires_at)
}

#[cfg(test)]
mod tests {
    use crate::{AccountId, CreditTypeId, CustomerId, Expiration};
    use uuid::Uuid;

    use super::*;

    fn at(hours: i64) -> Instant {
        Instant::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::hours(hours)
    }

    fn tells_of(low: i64, days: &[i64]) -> CreditType {
        CreditType {
            id: CreditTypeId(Uuid::nil()),
            policy: Expiration::Never,
            archived: false,
            low_balance_at: Some(Credits(low)),
            expiry_notice_days: days.to_vec(),
            noticed_from: Some(at(0)),
        }
    }

    fn grant(number: u128, amount: i64, begins: i64, ends: Option<i64>) -> Grant {
        let (id, key) = (GrantId(Uuid::from_u128(number)), (CustomerId(Uuid::nil()), CreditTypeId(Uuid::nil())));
        Grant {
            effective_at: at(begins),
            expires_at: ends.map(at),
            time_zone: "America/New_York".to_owned(),
            ..Grant::of(AccountId(Uuid::nil()), id, key, Credits(amount), at(0))
        }
    }

    /// Numbers that look random and are the same each time.
    fn dice(seed: &mut u64, sides: i64) -> i64 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((*seed >> 33) % u64::try_from(sides).expect("sides")).expect("few")
    }

    /// What time does to a wallet until an instant, and what is told of it.
    fn pass(wallet: &mut Wallet, credit_type: &CreditType, until: Instant, noticed: &mut Vec<Noticed>) {
        let mut watch = Watch::new(credit_type, noticed);
        wallet.settle_each(until, |wallet, entry| {
            watch.until(wallet, entry.at);
            watch.time_does(wallet, entry.at);
            wallet.apply(&entry);
        });
        watch.until(wallet, until);
        watch.close(wallet);
    }

    /// What begins as something else ends crosses only what both together cross.
    #[test]
    fn what_begins_as_another_ends_counts_with_it() {
        for (old, new, low, told) in
            [(3, 4, 3, vec![(3, 4)]), (2, 2, 3, vec![]), (4, 2, 3, vec![(4, 2)]), (5, 5, 0, vec![])]
        {
            let credit_type = tells_of(low, &[]);
            let mut row = Totals::empty(AccountId(Uuid::nil()), (CustomerId(Uuid::nil()), credit_type.id));
            (row.newest_at, row.sequence) = (at(1), 5);
            let grants = vec![grant(1, old, 0, Some(100)), grant(2, new, 100, None)];
            let (mut wallet, mut noticed) = (Wallet::new(row, grants, Vec::new()), Vec::new());
            pass(&mut wallet, &credit_type, at(200), &mut noticed);
            let found = noticed.iter().map(|noticed| match &noticed.notice {
                Notice::Balance { before, available, grants, .. } => {
                    assert_eq!((noticed.at, grants.iter().map(|(_, amount, _)| *amount).sum()), (at(100), *available));
                    (before.0, available.0)
                }
                other @ Notice::ExpiringSoon { .. } => panic!("{other:?}"),
            });
            assert_eq!(found.collect::<Vec<_>>(), told, "{old} {new} {low}");
        }
    }

    /// However often it is looked at, and whenever: the same notices, in order, each once; and each comes when it was
    /// said that one would.
    #[test]
    fn looking_in_stages_tells_the_same_as_looking_once() {
        let mut told = 0;
        for game in 0..300_u64 {
            let seed = &mut (game + 1);
            let credit_type = tells_of(dice(seed, 6), &[1, 7, 30][..usize::try_from(dice(seed, 4)).expect("few")]);
            let mut row = Totals::empty(AccountId(Uuid::nil()), (CustomerId(Uuid::nil()), credit_type.id));
            (row.newest_at, row.sequence) = (at(0), 5);
            let grants = (0..=dice(seed, 5)).map(|n| {
                let begins = dice(seed, 1_000);
                let ends = (dice(seed, 4) > 0).then(|| begins + 1 + dice(seed, 1_500));
                grant(u128::try_from(n + 1).expect("positive"), 1 + dice(seed, 4), begins, ends)
            });
            let start = Wallet::new(row, grants.collect(), Vec::new());
            let (mut once, mut all) = (start.clone(), Vec::new());
            pass(&mut once, &credit_type, at(3_000), &mut all);
            let (mut staged, mut parts) = (start, Vec::new());
            let mut hour = 0;
            while hour < 3_000 {
                let promised = next_crossing(&staged, &credit_type);
                let (so_far, from) = (parts.len(), at(hour));
                hour = (hour + 1 + dice(seed, 400)).min(3_000);
                pass(&mut staged, &credit_type, at(hour), &mut parts);
                // An expiry tells of a balance at its own instant, which its wallet is woken for anyway.
                let first =
                    parts[so_far..].iter().filter(|noticed| matches!(noticed.notice, Notice::ExpiringSoon { .. }));
                if let Some(first) = first.map(|noticed| noticed.at).min() {
                    assert!(
                        promised.is_some_and(|promised| promised <= first && promised > from),
                        "{promised:?} {first}"
                    );
                }
            }
            assert_eq!(all, parts, "game {game}");
            told += all.len();
        }
        assert!(told > 500, "{told}");
    }
}
