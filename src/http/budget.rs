//! How much anybody may ask for: points that come back with time, by the generic cell rate algorithm
//! (<https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm>).
//!
//! A request costs a point for each 256 bytes of it, before it is read, and an operation what it could answer: its
//! complexity. What an operation read is known only afterwards: what took the database long is owed, paid with what is
//! asked next, and from then on expected of the same question. Who has spent what is there is told how long to wait. Kept per
//! server, in memory.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextValidation};
use async_graphql::{ServerError, ValidationResult};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use moka::sync::Cache;

use super::rules::Rules;
use crate::domain::{Caller, Error, Refusal, Role};
use crate::graphql::COMPLEXITY;

/// Seconds' worth of points that may be spent at once.
const BURST: u32 = 10;
/// What a token costs that is not right: guessing is dear.
pub const WRONG_TOKEN: u32 = 100;
/// What a page costs that needs no token, and a payment provider's message.
pub const OPEN_PAGE: u32 = 10;
/// Bytes that are read for a point.
const BYTES: usize = 256;
/// What a change costs that is written for somebody without a token: it stays.
pub const STRANGERS_CHANGE: usize = 200;
/// How long the database works for an operation before that is owed, and what each millisecond beyond costs.
const QUICK: Duration = Duration::from_millis(100);
const MILLISECOND: u32 = 10;
/// Those who owe and are remembered; with more of them all are forgiven.
const DEBTORS: usize = 100_000;
/// The most that is expected of a question.
const EXPECTED_MOST: u32 = 20_000;
/// Questions of which it is remembered what they took beyond their price, and for how long.
const EXPECTED: u64 = 10_000;
const EXPECTED_FOR: Duration = Duration::from_mins(10);
/// After how many charges those are forgotten who have all their points.
const SWEEP: u32 = 10_000;

/// The points of everybody.
pub struct Budgets {
    callers: Option<Points<String>>,
    addresses: Option<Points<IpAddr>>,
    strangers: Option<Points<IpAddr>>,
    /// What a question of somebody took beyond its price, the last time.
    expected: Cache<u64, u32>,
}

impl Budgets {
    /// As the rules have it.
    #[must_use]
    pub fn new(rules: &Rules) -> Self {
        // One query that is let through at all fits into a budget.
        let most = u32::try_from(COMPLEXITY).unwrap_or(u32::MAX);
        Self {
            callers: Points::new(rules.per_caller, most),
            addresses: Points::new(rules.per_address, most),
            strangers: Points::new(rules.per_stranger, 0),
            expected: Cache::builder().max_capacity(EXPECTED).time_to_live(EXPECTED_FOR).build(),
        }
    }

    /// Charges an address for asking.
    pub fn charge(&self, address: IpAddr, points: u32) -> Result<(), Error> {
        spend(self.addresses.as_ref(), &address, (points, 0))
    }

    /// Charges an address for a page that needs no token.
    pub fn charge_stranger(&self, address: IpAddr, points: u32) -> Result<(), Error> {
        spend(self.strangers.as_ref(), &address, (points, 0))
    }
}

/// The points of one kind of spender.
struct Points<K: Clone + Eq + Hash> {
    limiter: DefaultKeyedRateLimiter<K>,
    /// What is owed, to be paid with what is asked next.
    owed: Mutex<HashMap<K, u32>>,
    /// What may be spent at once.
    burst: u32,
    clock: DefaultClock,
    charges: AtomicU32,
}

impl<K: Clone + Eq + Hash> Points<K> {
    fn new(per_second: u32, least: u32) -> Option<Self> {
        let per_second = NonZeroU32::new(per_second)?;
        let burst =
            per_second.saturating_mul(NonZeroU32::new(BURST)?).max(NonZeroU32::new(least).unwrap_or(per_second));
        let limiter = RateLimiter::keyed(Quota::per_second(per_second).allow_burst(burst));
        let (owed, clock, charges) = Default::default();
        Some(Self { limiter, owed, burst: burst.get(), clock, charges })
    }

    /// What is to be paid for something, and how much of it is owed: beside its cost what is owed and what is expected, as
    /// far as there is room, so that nobody is refused for good. What is owed is taken down as paid.
    fn due(&self, who: &K, cost: NonZeroU32, expected: u32) -> (NonZeroU32, u32) {
        let mut owed = self.owed.lock().expect("nobody panics while paying");
        let (all, room) = (owed.remove(who).unwrap_or_default(), self.burst.saturating_sub(cost.get()));
        let paid = all.min(room);
        if all > paid {
            owed.insert(who.clone(), all - paid);
        }
        (cost.saturating_add(paid + expected.min(room - paid)), paid)
    }

    fn owe(&self, who: &K, points: u32) {
        if points > 0 {
            let mut owed = self.owed.lock().expect("nobody panics while owing");
            if owed.len() >= DEBTORS {
                owed.clear();
            }
            let all = owed.entry(who.clone()).or_default();
            *all = all.saturating_add(points);
        }
    }
}

fn spend<K: Clone + Eq + Hash>(points: Option<&Points<K>>, who: &K, (cost, expected): (u32, u32)) -> Result<(), Error> {
    let (Some(points), Some(cost)) = (points, NonZeroU32::new(cost)) else { return Ok(()) };
    if points.charges.fetch_add(1, Ordering::Relaxed) % SWEEP == SWEEP - 1 {
        points.limiter.retain_recent();
    }
    let (due, owed) = points.due(who, cost, expected);
    match points.limiter.check_key_n(who, due) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(until)) => {
            points.owe(who, owed);
            let wait = until.wait_time_from(points.clock.now());
            Err(Error::RateLimited { wait: wait.max(Duration::from_millis(1)) })
        }
        Err(_) => {
            let message = "Costs more than is served at once to whoever brings no token. Ask for less, or send one.";
            Err(Refusal::invalid("query", message).into())
        }
    }
}

/// Who pays for a request.
#[derive(Clone)]
pub struct Purse {
    budgets: Arc<Budgets>,
    address: IpAddr,
    /// None for whoever brings no token.
    caller: Option<String>,
}

impl Purse {
    /// The purse of a caller at an address.
    #[must_use]
    pub fn new(budgets: Arc<Budgets>, address: IpAddr, caller: &Caller) -> Self {
        let name = || format!("{:?} {:?} {}", caller.account(), caller.role(), caller.subject());
        Self { budgets, address, caller: (caller.role() != Role::Anyone).then(name) }
    }

    /// What a question took of the database beyond its price when it was last asked, in points.
    pub fn expected(&self, question: &str) -> usize {
        self.budgets.expected.get(&self.named(question)).map_or(0, |points| points as usize)
    }

    /// Owes for what the database did beyond what was paid, and remembers it for the next time.
    pub fn took(&self, question: &str, paid: usize, spent: Duration) {
        let beyond = u32::try_from(spent.saturating_sub(QUICK).as_millis()).unwrap_or(u32::MAX);
        let (points, paid) = (beyond.saturating_mul(MILLISECOND), u32::try_from(paid).unwrap_or(u32::MAX));
        let (name, beyond) = (self.named(question), points.saturating_sub(paid));
        match (points, self.budgets.expected.contains_key(&name)) {
            (0, false) => return,
            (0, true) => self.budgets.expected.invalidate(&name),
            _ => self.budgets.expected.insert(name, points.min(EXPECTED_MOST)),
        }
        match &self.caller {
            Some(caller) => self.budgets.callers.iter().for_each(|points| points.owe(caller, beyond)),
            None => self.budgets.strangers.iter().for_each(|points| points.owe(&self.address, beyond)),
        }
    }

    /// A question of this caller's.
    fn named(&self, question: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.caller, self.caller.is_none().then_some(self.address), question).hash(&mut hasher);
        hasher.finish()
    }

    /// Pays for reading so many bytes: a point, and one for each 256 of them.
    pub fn spend_on(&self, bytes: usize) -> Result<(), Error> {
        self.spend(1 + bytes / BYTES)
    }

    /// Whether somebody pays who brings no token.
    pub fn is_strangers(&self) -> bool {
        self.caller.is_none()
    }

    /// Pays for something: first out of its own, so that who has nothing left takes nothing from others at its address.
    pub fn spend(&self, points: usize) -> Result<(), Error> {
        self.spend_with(points, 0)
    }

    /// The same, with what is expected beside it, as far as there is room for it.
    pub fn spend_with(&self, points: usize, expected: usize) -> Result<(), Error> {
        let points = u32::try_from(points.max(1)).unwrap_or(u32::MAX);
        let with = (points, u32::try_from(expected).unwrap_or(u32::MAX));
        match &self.caller {
            Some(caller) => spend(self.budgets.callers.as_ref(), caller, with)?,
            None => spend(self.budgets.strangers.as_ref(), &self.address, with)?,
        }
        self.budgets.charge(self.address, points)
    }
}

/// What an operation came to, and who pays for it.
#[derive(Clone)]
pub struct Bill {
    purse: Purse,
    /// What is paid beside what it comes to, and what is expected.
    beside: (usize, usize),
    points: Arc<AtomicUsize>,
}

impl Bill {
    /// One to be paid from a purse, with so much beside it, and so much that is expected.
    #[must_use]
    pub fn to(purse: &Purse, beside: (usize, usize)) -> Self {
        Self { purse: purse.clone(), beside, points: Arc::default() }
    }

    fn pay(&self, points: usize) -> Result<(), Error> {
        self.points.store(points, Ordering::Relaxed);
        self.purse.spend_with(points + self.beside.0, self.beside.1)
    }

    /// What it came to.
    #[must_use]
    pub fn points(&self) -> usize {
        self.points.load(Ordering::Relaxed)
    }
}

/// The extension that charges an operation that is valid for what it could answer, and goes no further: what runs it has
/// no extension, since each of them costs every field something.
pub struct Charge;

impl ExtensionFactory for Charge {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_trait::async_trait]
impl Extension for Charge {
    async fn validation(
        &self,
        ctx: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        let valid = next.run(ctx).await?;
        let paid = ctx.data_opt::<Bill>().map_or(Ok(()), |bill| bill.pay(valid.complexity));
        Err(paid.err().into_iter().map(as_error).collect())
    }
}

/// Why nothing is served, as an error of the request.
pub fn as_error(error: Error) -> ServerError {
    let mut told = ServerError::new(error.to_string(), None);
    told.source = Some(Arc::new(error));
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_run_out_for_one_and_not_for_another() {
        let budgets = Budgets::new(&Rules { per_address: 5_000, per_stranger: 100, ..Rules::default() });
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().expect("an address"));
        assert!(budgets.charge(one, 50_000).is_ok());
        let refused = budgets.charge(one, 5_000);
        assert!(matches!(refused, Err(Error::RateLimited { wait }) if wait <= Duration::from_secs(1)), "{refused:?}");
        assert!(budgets.charge(other, 5_000).is_ok());
        let stranger = Purse { budgets: Arc::new(budgets), address: other, caller: None };
        assert!(matches!(stranger.spend(5_000), Err(Error::Refused(_))));
        assert!(stranger.spend(1_000).is_ok());
        assert!(matches!(stranger.spend(900), Err(Error::RateLimited { .. })));
        let known = Purse { caller: Some("staff".to_owned()), ..stranger };
        assert!(known.spend(900).is_ok());
    }

    /// What took the database long is owed, and expected of the same question; nobody is refused for good by it.
    #[test]
    fn what_took_long_is_paid_with_what_comes_next() {
        let budgets = Budgets::new(&Rules { per_caller: 10, per_stranger: 10, ..Rules::default() });
        let address = "192.0.2.1".parse().expect("an address");
        let stranger = Purse { budgets: Arc::new(budgets), address, caller: None };
        let staff = Purse { caller: Some("staff".to_owned()), ..stranger.clone() };
        for (purse, burst) in [(&stranger, 100), (&staff, COMPLEXITY)] {
            purse.took("{ quick }", 5, Duration::from_millis(99));
            assert_eq!(purse.expected("{ quick }"), 0);
            assert!(purse.spend(burst / 2).is_ok());
            let late = u32::try_from(burst / 40).expect("small");
            purse.took("{ slow }", 5, QUICK + Duration::from_millis(late.into()));
            assert_eq!(purse.expected("{ slow }"), burst / 40 * 10);
            // A quarter is owed, and half of all is left: what is beyond waits.
            assert!(matches!(purse.spend(burst / 2), Err(Error::RateLimited { .. })));
            assert!(purse.spend(burst / 5).is_ok());
            // However much is owed and expected, it is a matter of time.
            purse.took("{ endless }", 5, Duration::from_hours(1));
            let refused = purse.spend_with(5, purse.expected("{ endless }"));
            assert!(matches!(refused, Err(Error::RateLimited { .. })), "{refused:?}");
        }
        assert_eq!(staff.expected("{ endless }"), EXPECTED_MOST as usize);
        stranger.took("{ slow }", 5, Duration::from_millis(20));
        assert_eq!(stranger.expected("{ slow }"), 0, "it is quick again");
    }
}
