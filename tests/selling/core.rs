//! The pure core of selling: random histories in memory, of holds, lapses, transfers both ways, reversals, extensions,
//! voids, and refunds of every make, some of which fail.

use std::cell::Cell;
use std::collections::BTreeMap;

use chrono::TimeDelta;
use entity::activity::{Kind, Source};
use entity::allocation::CostPool;
use entity::payment::Status as Paid;
use entity::{ActivityId, Credits, CustomerId, Expiration, GrantId, HoldId, Minor, RefundId};
use proptest::prelude::*;
use scrip::domain::ground::cause::Cause;
use scrip::domain::ground::clock::Instant;
use scrip::domain::ledger::books::{Ask, Books};
use scrip::domain::ledger::decide::Used;
use scrip::domain::ledger::state::{CostMove, Draw, Entry};
use scrip::domain::ledger::{
    Closing, Command, Consume, Cost, Extend, Extension, Issue, OnExpired, Place, Release, Reverse, Settle, Transfer,
    Void, Words,
};
use scrip::domain::sales::sale::refund::{Part, Plan, Take, Wanted, decide};
use scrip::domain::sales::sale::{Lot, Sale, Use, taken};
use uuid::Uuid;

use crate::naive::game::{self, TYPE};
use crate::selling::laws::{check, fewest, free};
use crate::selling::sold::{given_back, sold};
use crate::size;

#[derive(Clone, Debug)]
pub enum Step {
    Sell { credits: i64, unit: i64, days: Option<i64> },
    Use { who: usize, amount: i64 },
    Hold { who: usize, amount: i64, hours: i64 },
    Release(usize),
    Give { from: usize, amount: i64 },
    Reverse { which: usize, amount: i64, grace: bool },
    Extend { which: usize, days: i32 },
    Void(usize),
    Refund { which: usize, part: Option<(bool, i64)>, used: bool, keep: bool, fails: bool },
}

fn step() -> impl Strategy<Value = (i64, Step)> {
    let who = || 0..2_usize;
    let any_one = || 0..40_usize;
    let what = prop_oneof![
        3 => (1..12_i64, 3..400_i64, proptest::option::of(1..12_i64))
            .prop_map(|(credits, unit, days)| Step::Sell { credits, unit, days }),
        5 => (who(), 1..7_i64).prop_map(|(who, amount)| Step::Use { who, amount }),
        3 => (who(), 1..7_i64, 1..120_i64).prop_map(|(who, amount, hours)| Step::Hold { who, amount, hours }),
        3 => any_one().prop_map(Step::Release),
        3 => (who(), 1..7_i64).prop_map(|(from, amount)| Step::Give { from, amount }),
        5 => (any_one(), 1..5_i64, any::<bool>()).prop_map(|(which, amount, grace)| Step::Reverse { which, amount, grace }),
        2 => (any_one(), 1..20_i32).prop_map(|(which, days)| Step::Extend { which, days }),
        1 => any_one().prop_map(Step::Void),
        8 => (any_one(), proptest::option::of((any::<bool>(), 1..1_100_i64)), any::<bool>(), proptest::bool::weighted(0.2), proptest::bool::weighted(0.2))
            .prop_map(|(which, part, used, keep, fails)| Step::Refund { which, part, used, keep, fails }),
    ];
    (prop_oneof![4 => Just(0_i64), 2 => 1..40_i64], what)
}

pub fn history() -> impl Strategy<Value = Vec<(i64, Step)>> {
    proptest::collection::vec(step(), 50)
}

/// Plays a history: after each step every sale keeps the laws.
pub fn play(steps: &[(i64, Step)]) {
    let mut core = Core::new();
    for (hours, step) in steps {
        core.now += TimeDelta::hours(*hours);
        core.step(step);
        for which in 0..core.sales.len() {
            let kind = core.sales[which].1;
            check(&core.sale(which), kind);
        }
    }
}

/// What became of a history so far.
struct Core {
    books: Books,
    now: Instant,
    people: [CustomerId; 2],
    sales: Vec<(Sale, bool)>,
    uses: Vec<(ActivityId, CustomerId)>,
    holds: Vec<(HoldId, CustomerId)>,
    ids: Cell<u128>,
    written: Vec<(ActivityId, Entry)>,
}

impl Core {
    fn new() -> Self {
        let people = [CustomerId(Uuid::from_u128(100)), CustomerId(Uuid::from_u128(101))];
        Self {
            books: game::books(&people),
            now: game::start(),
            people,
            sales: Vec::new(),
            uses: Vec::new(),
            holds: Vec::new(),
            ids: Cell::new(1_000),
            written: Vec::new(),
        }
    }

    fn fresh(&self) -> Uuid {
        self.ids.set(self.ids.get() + 1);
        Uuid::from_u128(self.ids.get())
    }

    /// Carries out a command; answers whether it was done. What it wrote is remembered.
    fn play(&mut self, command: &Command, source: Source) -> bool {
        let ids = &self.ids;
        let fresh = || {
            ids.set(ids.get() + 1);
            Uuid::from_u128(ids.get())
        };
        let mut written = Vec::new();
        let ask = Ask { command, source, cause: Cause::default(), clock: self.now, fresh: &fresh };
        let done = self.books.play(&ask, &mut |wallet, entry, _| {
            written.push((wallet.row.customer_id, wallet.row.sequence + 1, entry.clone()));
            Vec::new()
        });
        for (customer, sequence, entry) in written {
            let id = ActivityId(self.fresh());
            if matches!(entry.kind, Kind::Consume | Kind::Capture | Kind::Void) {
                let used = Used { drawn: sequence, ..Used::of(entry.kind, source, entry.draws.clone()) };
                self.books.used.insert(id, used);
            }
            if matches!(entry.kind, Kind::Consume | Kind::Capture) {
                self.uses.push((id, customer));
            }
            self.holds.extend(entry.opened.iter().map(|hold| (hold.id, customer)));
            self.written.push((id, entry));
        }
        done.is_ok()
    }

    /// A sale with its lots as they are now.
    fn sale(&mut self, which: usize) -> Sale {
        for customer in self.people {
            self.play(&Command::Settle(Settle { customer, credit_type: TYPE }), Source::Clock);
        }
        let (mut sale, _) = self.sales[which].clone();
        let all = self.books.wallets.values().flat_map(|wallet| wallet.grants.iter());
        let all = all.map(|grant| (grant.id, grant.clone())).collect::<BTreeMap<_, _>>();
        let is_ours = |grant: &ledger::Grant| {
            let mut at = Some(grant.id);
            while let Some(id) = at {
                if sale.given.iter().any(|row| row.grant_id == Some(id)) {
                    return true;
                }
                at = all[&id].origin_id;
            }
            false
        };
        sale.lots = all
            .values()
            .filter(|grant| is_ours(grant))
            .map(|grant| Lot { grant: grant.clone(), position: 0 })
            .collect();
        let mut uses = Vec::new();
        for (id, _) in self.uses.iter().rev() {
            let taken = &self.books.used[id];
            let ours = taken.left.iter().rev().filter(|draw| sale.lots.iter().any(|lot| lot.grant.id == draw.grant));
            uses.extend(ours.map(|draw| {
                let credits = draw.amount - taken.marked_of(draw.grant);
                Use { activity: *id, grant: draw.grant, credits, cost: draw.cost }
            }));
        }
        sale.uses = uses;
        sale
    }

    fn sell(&mut self, credits: i64, unit: i64, days: Option<i64>) {
        let total = Minor(credits * unit + unit / 2);
        let expiration = days.map(|days| Expiration::At(self.now + TimeDelta::days(days)));
        let cost = Some(Cost { minor: total, currency: "CHF".to_owned() });
        let issue = Issue { expiration, cost, ..Issue::of(self.people[0], TYPE, Credits(credits)) };
        let before = self.written.len();
        assert!(self.play(&Command::Issue(issue), Source::Order));
        let grant = self.written[before..].iter().find_map(|(_, entry)| entry.issued.first().map(|grant| grant.id));
        let sale = sold(self.people[0], total, grant.expect("a grant"), (self.fresh(), self.now));
        self.sales.push((sale, false));
    }

    /// Takes what a plan takes; answers the activities and what each is.
    fn take(&mut self, sale: &Sale, plan: &Plan) -> Vec<(ActivityId, Take)> {
        let mut taken = Vec::new();
        for portion in &plan.portions {
            for (take, command) in portion.takes.iter().zip(taken::takes(sale, &portion.takes, "Asked")) {
                let before = self.written.len();
                assert!(self.play(&command, Source::Order), "what was decided can be done: {take:?}");
                let kind = if matches!(take, Take::Credits { .. }) { Kind::Void } else { Kind::Reprice };
                let made = self.written[before..].iter().find(|(_, entry)| entry.kind == kind);
                taken.push((made.expect("it was written").0, *take));
            }
        }
        taken
    }

    /// Undoes what was taken, as where the provider refuses the refund.
    fn undo(&mut self, which: usize, taken: &[(ActivityId, Take)]) {
        let order = self.sales[which].0.order.clone();
        for (id, take) in taken.iter().filter(|(_, take)| matches!(take, Take::Credits { .. })) {
            let Take::Credits { grant, .. } = take else { continue };
            let customer = self.sale(which).lot(*grant).expect("a lot").grant.customer_id;
            let undo = Reverse {
                activity: *id,
                customer,
                credit_type: TYPE,
                amount: None,
                on_expired: OnExpired::Forfeit,
                reason: "The refund failed".to_owned(),
                words: Words::default(),
            };
            assert!(self.play(&Command::Reverse(undo), Source::Order));
        }
        for (_, take) in taken {
            let Take::Cost { grant, of, from, credits, cost } = *take else { continue };
            let sale = self.sale(which);
            let lot = sale.lot(grant).expect("a lot");
            let marked = match (from, of) {
                (CostPool::Expired, _) => lot.grant.expired_marked,
                (_, Some(of)) => self.books.used[&of].marked_of(grant),
                _ => Credits::ZERO,
            };
            let reprices = Some(CostMove { from, to: CostPool::Reduced });
            let draw = Draw { reprices, ..Draw::of(grant, credits, cost) };
            let command = taken::put_back(&order, lot, (of, from, draw), marked, "The refund failed");
            assert!(self.play(&command, Source::Order));
        }
    }

    fn refund(&mut self, which: usize, wanted: &Wanted, fails: bool) {
        let before = self.sale(which);
        let Ok(plan) = decide(&before, wanted, self.now) else { return };
        if let (Some(Part::Amount(amount)), false, false) = (wanted.part, wanted.used_credits, wanted.keep_credits) {
            let whole = free(&before, self.now).iter().map(|lot| lot.grant.cost_left.0).sum::<i64>();
            // Where payments share it, a credit that lies across two is rounded in each: it may stay, at what is left of it.
            let wanted_credits = fewest(&before, self.now, amount.0);
            let shared = i64::try_from(plan.portions.len()).expect("few") - 1;
            assert!(
                amount.0 == whole || (wanted_credits - shared..=wanted_credits).contains(&plan.credits.0),
                "S2: {wanted:?} {plan:?} {before:#?}"
            );
        }
        let taken = self.take(&before, &plan);
        if fails {
            self.undo(which, &taken);
            let after = self.sale(which);
            let left = |sale: &Sale| {
                sale.lots
                    .iter()
                    .map(|lot| (lot.grant.remaining, lot.grant.cost_left, lot.grant.expired_marked))
                    .collect::<Vec<_>>()
            };
            assert_eq!((left(&after), &after.uses), (left(&before), &before.uses), "S7: {wanted:?}");
            return;
        }
        let (sale, kind) = &mut self.sales[which];
        *kind |= wanted.keep_credits;
        sale.order.status = plan.status;
        sale.order.refunded += plan.amount;
        for portion in &plan.portions {
            for payment in sale.payments.iter_mut().filter(|payment| Some(payment.id) == portion.payment) {
                payment.refunded += portion.amount;
                if payment.refunded == payment.amount {
                    payment.status = Paid::Refunded;
                }
            }
        }
        let row = given_back(sale, plan.amount, (RefundId(Uuid::from_u128(sale.refunds.len() as u128)), self.now));
        sale.refunds.push(row);
    }

    fn step(&mut self, step: &Step) {
        let (people, credit_type, words) = (self.people, TYPE, Words::default());
        let command = match step {
            Step::Sell { credits, unit, days } => return self.sell(*credits, *unit, *days),
            Step::Refund { which, part, used, keep, fails } => {
                let Some(which) = which.checked_rem(self.sales.len()) else { return };
                let total = self.sales[which].0.order.total.0;
                let part = part.map(|(credits, n)| {
                    if credits && !keep {
                        Part::Credits(Credits(1 + n % 6))
                    } else {
                        Part::Amount(Minor((total * n / 1_000).max(1)))
                    }
                });
                if part.is_none() && *keep {
                    return;
                }
                let wanted = Wanted { lines: Vec::new(), part, used_credits: *used, keep_credits: *keep };
                return self.refund(which, &wanted, *fails);
            }
            Step::Use { who, amount } => {
                Command::Consume(Consume { customer: people[*who], credit_type, amount: Credits(*amount), words })
            }
            Step::Hold { who, amount, hours } => {
                let expires_at = self.now + TimeDelta::hours(*hours);
                Command::Place(Place {
                    customer: people[*who],
                    credit_type,
                    amount: Credits(*amount),
                    expires_at,
                    words,
                })
            }
            Step::Release(which) => {
                let Some((hold, customer)) = which.checked_rem(self.holds.len()).map(|which| self.holds[which]) else {
                    return;
                };
                Command::Release(Release { hold, customer, credit_type, words })
            }
            Step::Give { from, amount } => Command::Transfer(Transfer {
                from: people[*from],
                to: people[1 - *from],
                credit_type,
                amount: Credits(*amount),
                words,
            }),
            Step::Reverse { which, amount, grace } => {
                let Some((activity, customer)) = which.checked_rem(self.uses.len()).map(|which| self.uses[which])
                else {
                    return;
                };
                let on_expired = if *grace { OnExpired::Reissue { grace_days: 3 } } else { OnExpired::Forfeit };
                let (amount, reason) = (Some(Credits(*amount)), "Ill".to_owned());
                Command::Reverse(Reverse { activity, customer, credit_type, amount, on_expired, reason, words })
            }
            Step::Extend { which, days } => {
                let Some((grant, customer)) = self.some_grant(*which) else { return };
                let to = Extension::By { count: *days, unit: entity::PeriodUnit::Day };
                Command::Extend(Extend {
                    grant,
                    customer,
                    credit_type,
                    to,
                    revive: true,
                    reason: "Closed".to_owned(),
                    words,
                })
            }
            Step::Void(which) => {
                let Some((grant, customer)) = self.some_grant(*which) else { return };
                let reason = "A mistake".to_owned();
                Command::Void(Void {
                    grant,
                    customer,
                    credit_type,
                    reason,
                    closing: Closing::default(),
                    part: None,
                    words,
                })
            }
        };
        self.play(&command, Source::Manual);
    }

    fn some_grant(&self, which: usize) -> Option<(GrantId, CustomerId)> {
        let mut all = self.books.wallets.values().flat_map(|wallet| wallet.grants.iter()).collect::<Vec<_>>();
        all.sort_by_key(|grant| grant.id);
        which.checked_rem(all.len()).map(|which| (all[which].id, all[which].customer_id))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: u32::try_from(size(400, 20_000)).expect("few"), max_shrink_iters: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn the_core_keeps_money_and_credits_tied(steps in history()) {
        play(&steps);
    }
}
