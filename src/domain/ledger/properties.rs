//! What must always hold of the pure core, tried on random wallets and random sequences of commands.

use std::cmp::Ordering;

use chrono::TimeDelta;
use entity::account::{self, Mode};
use entity::activity::Kind;
use entity::{
    AccountId, Anchor, CreditTypeId, Credits, CustomerId, Expiration, GrantId, Minor, PeriodUnit, credit_grant,
    credit_type,
};
use proptest::prelude::*;
use uuid::Uuid;

use super::command::{Command, Consume, Cost, Issue, Void, Words};
use super::decide::{Circumstances, decide};
use super::load;
use super::state::{Entry, Wallet, cost_of};
use crate::domain::clock::Instant;
use crate::domain::error::Refusal;

fn start() -> Instant {
    Instant::from_timestamp(1_800_000_000, 0).expect("in range")
}

fn account(zone: &str) -> account::Model {
    account::Model {
        id: AccountId(Uuid::from_u128(1)),
        slug: "studio".to_owned(),
        name: "Studio".to_owned(),
        time_zone: zone.to_owned(),
        currency: "CHF".to_owned(),
        credits_enabled: true,
        mode: Mode::Live,
        clock_at: None,
        sender_name: None,
        logo_url: None,
        support_address: None,
        key_check: Vec::new(),
        created_at: start(),
        updated_at: start(),
    }
}

fn credit_type() -> credit_type::Model {
    credit_type::Model {
        account_id: AccountId(Uuid::from_u128(1)),
        id: CreditTypeId(Uuid::from_u128(3)),
        name: "Session".to_owned(),
        description: None,
        expiration: Expiration::Never.kind(),
        period_count: None,
        period_unit: None,
        period_from: None,
        expires_on: None,
        low_balance_at: None,
        expiry_notice_days: serde_json::json!([]),
        archived_at: None,
        created_at: start(),
        updated_at: start(),
    }
}

/// What happens next in a random history.
#[derive(Clone, Copy, Debug)]
enum Step {
    Wait(i64),
    Issue {
        amount: i64,
        cost: i64,
        priority: i16,
        delay: Option<i64>,
        expiration: Option<Expiration>,
    },
    Consume(i64),
    /// Void a grant, by its place in the wallet.
    Void(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let period = (1..40_i32, any::<bool>()).prop_map(|(count, first_use)| {
        let from = if first_use { Anchor::FirstUse } else { Anchor::Issue };
        Expiration::After { count, unit: PeriodUnit::Day, from }
    });
    let end = (1..60_i64 * 24).prop_map(|hours| Expiration::At(start() + TimeDelta::hours(hours)));
    let expiration = prop_oneof![Just(None), period.prop_map(Some), end.prop_map(Some), Just(Some(Expiration::Never))];
    let issue = (1..30_i64, 0..5_000_i64, 48..53_i16, proptest::option::of(0..200_i64), expiration);
    prop_oneof![
        2 => (0..100_i64).prop_map(Step::Wait),
        3 => issue.prop_map(|(amount, cost, priority, delay, expiration)| {
            Step::Issue { amount, cost, priority, delay, expiration }
        }),
        4 => (1..40_i64).prop_map(Step::Consume),
        1 => (0..12_usize).prop_map(Step::Void),
    ]
}

/// The wallet beside a second, naive reckoning: each credit by itself, in a list.
struct Game {
    wallet: Wallet,
    now: Instant,
    issued: u128,
    entries: Vec<Entry>,
    /// One element per credit that is still free: which grant it belongs to.
    free: Vec<GrantId>,
}

impl Game {
    fn new() -> Self {
        let key = (CustomerId(Uuid::from_u128(2)), CreditTypeId(Uuid::from_u128(3)));
        let wallet = Wallet::new(load::empty(AccountId(Uuid::from_u128(1)), key), Vec::new());
        Self { wallet, now: start(), issued: 0, entries: Vec::new(), free: Vec::new() }
    }

    fn play(&mut self, step: Step) {
        let (customer, credit_type_id) = (CustomerId(Uuid::from_u128(2)), CreditTypeId(Uuid::from_u128(3)));
        let command = match step {
            Step::Wait(hours) => {
                self.now += TimeDelta::hours(hours);
                return;
            }
            Step::Issue { amount, cost, priority, delay, expiration } => Command::Issue(Issue {
                customer,
                credit_type: credit_type_id,
                amount: Credits(amount),
                effective_at: delay.map(|hours| self.now + TimeDelta::hours(hours)),
                expiration,
                priority: Some(priority),
                cost: (cost > 0).then(|| Cost { minor: Minor(cost), currency: "CHF".to_owned() }),
                metadata: None,
                words: Words::default(),
            }),
            Step::Void(place) => {
                let Some(grant) = self.wallet.grants.get(place).map(|grant| grant.id) else { return };
                let (reason, words) = ("moved away".to_owned(), Words::default());
                Command::Void(Void { grant, customer, credit_type: credit_type_id, reason, words })
            }
            Step::Consume(amount) => {
                let words = Words::default();
                Command::Consume(Consume { customer, credit_type: credit_type_id, amount: Credits(amount), words })
            }
        };
        let at = self.wallet.instant(self.now);
        for entry in self.wallet.settle(at) {
            let over = entry.draws[0].grant;
            self.free.retain(|grant| *grant != over);
            self.entries.push(entry);
        }
        self.issued += 1;
        let (account, credit_type) = (account("Europe/Zurich"), credit_type());
        let around = Circumstances {
            account: &account,
            credit_type: &credit_type,
            grant: GrantId(Uuid::from_u128(self.issued)),
            at,
        };
        let before = self.wallet.clone();
        match (decide(&self.wallet, &command, &around), &command) {
            (Ok(entry), _) => {
                if let Command::Consume(consume) = &command {
                    self.check_draws(&entry, consume.amount, at);
                }
                if let Command::Void(void) = &command {
                    let left = self.free.iter().filter(|grant| **grant == void.grant).count();
                    assert_eq!(usize::try_from(entry.total().0).expect("small"), left);
                    self.free.retain(|grant| *grant != void.grant);
                }
                if let Some(grant) = &entry.issued {
                    self.free.extend(std::iter::repeat_n(grant.id, usize::try_from(grant.amount.0).expect("small")));
                }
                self.wallet.apply(&entry);
                self.entries.push(entry);
            }
            (
                Err(Refusal::InsufficientCredits { requested, available, expired, not_yet_effective, .. }),
                Command::Consume(_),
            ) => {
                let usable = self.usable(at).len();
                assert!(available < requested);
                assert_eq!(usable, usize::try_from(available.0).expect("small"));
                assert_eq!(self.free.len() - usable, usize::try_from(not_yet_effective.0).expect("small"));
                assert_eq!(expired, self.wallet.row.expired);
                assert_eq!(before.row, self.wallet.row, "a refusal changes nothing");
            }
            (Err(refusal), Command::Issue(_)) => assert_eq!(refusal, Refusal::ExpirationNotInFuture),
            (Err(Refusal::NothingToVoid), Command::Void(void)) => assert!(!self.free.contains(&void.grant)),
            (Err(refusal), Command::Consume(_) | Command::Void(_)) => panic!("{refusal:?}"),
        }
    }

    fn grant(&self, id: GrantId) -> &credit_grant::Model {
        self.wallet.grants.iter().find(|grant| grant.id == id).expect("a grant of this wallet")
    }

    /// The free credits that count now, each by itself, in the order in which they are to be used: the rules once more,
    /// in other words than the code's.
    fn usable(&self, at: Instant) -> Vec<GrantId> {
        let counts = |grant: &credit_grant::Model| {
            grant.effective_at <= at && !matches!(grant.expires_at, Some(end) if end <= at)
        };
        let mut usable = self.free.iter().copied().filter(|id| counts(self.grant(*id))).collect::<Vec<_>>();
        usable.sort_by(|a, b| {
            let (a, b) = (self.grant(*a), self.grant(*b));
            if a.priority != b.priority {
                return a.priority.cmp(&b.priority);
            }
            match (a.expires_at, b.expires_at) {
                (Some(_), None) => return Ordering::Less,
                (None, Some(_)) => return Ordering::Greater,
                (Some(x), Some(y)) if x != y => return x.cmp(&y),
                _ => {}
            }
            match (a.promotional, b.promotional) {
                (true, false) => return Ordering::Less,
                (false, true) => return Ordering::Greater,
                _ => {}
            }
            if a.effective_at == b.effective_at { a.id.cmp(&b.id) } else { a.effective_at.cmp(&b.effective_at) }
        });
        usable
    }

    fn check_draws(&mut self, entry: &Entry, wanted: Credits, at: Instant) {
        let wanted = usize::try_from(wanted.0).expect("small");
        let expected = self.usable(at).into_iter().take(wanted).collect::<Vec<_>>();
        let drawn = entry.draws.iter();
        let drawn =
            drawn.flat_map(|draw| std::iter::repeat_n(draw.grant, usize::try_from(draw.amount.0).expect("small")));
        assert_eq!(drawn.collect::<Vec<_>>(), expected);
        for id in expected {
            let place = self.free.iter().position(|free| *free == id).expect("it was free");
            self.free.remove(place);
        }
    }

    fn check(&self) {
        let row = &self.wallet.row;
        assert_eq!(row.issued, row.balance + row.held + row.consumed + row.expired + row.voided + row.transferred);
        assert_eq!(usize::try_from(row.balance.0).expect("small"), self.free.len());
        for grant in &self.wallet.grants {
            let credits = [grant.remaining, grant.held, grant.consumed, grant.expired, grant.voided, grant.transferred];
            assert!(credits.iter().all(|amount| *amount >= Credits::ZERO), "{grant:?}");
            assert_eq!(grant.amount, credits.into_iter().sum());
            let money = [
                grant.cost_left,
                grant.cost_held,
                grant.cost_consumed,
                grant.cost_expired,
                grant.cost_voided,
                grant.cost_transferred,
            ];
            assert!(money.iter().all(|cost| *cost >= Minor::ZERO), "{grant:?}");
            assert_eq!(grant.cost, money.into_iter().sum());
            assert!(grant.open || grant.cost_left.is_zero(), "the last credit takes the rest: {grant:?}");
            assert_eq!(grant.open, !grant.remaining.is_zero());
        }
        assert!(self.entries.windows(2).all(|pair| pair[0].at <= pair[1].at), "activities go back in time");
        let sum =
            |kind: Kind| self.entries.iter().filter(|entry| entry.kind == kind).map(Entry::total).sum::<Credits>();
        assert_eq!((row.issued, row.consumed, row.expired), (sum(Kind::Issue), sum(Kind::Consume), sum(Kind::Expire)));
        assert_eq!(row.voided, sum(Kind::Void));
        assert_eq!(usize::try_from(row.sequence).expect("small"), self.entries.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Any history agrees with the naive reckoning, adds up, and uses grants in burn order.
    #[test]
    fn any_history_adds_up_and_burns_in_order(steps in proptest::collection::vec(step(), 1..60)) {
        let mut game = Game::new();
        for step in steps {
            game.play(step);
            game.check();
        }
    }

    /// Settling at once or in stages is the same.
    #[test]
    fn time_does_the_same_at_once_and_in_stages(steps in proptest::collection::vec(step(), 1..30), stages in 1..20_i64) {
        let mut game = Game::new();
        for step in steps {
            game.play(step);
        }
        let end = game.wallet.instant(game.now) + TimeDelta::days(100);
        let (mut at_once, mut in_stages) = (game.wallet.clone(), game.wallet.clone());
        at_once.settle(end);
        for stage in 1..=stages {
            in_stages.settle(game.wallet.instant(game.now) + TimeDelta::days(100) / i32::try_from(stages).expect("small") * i32::try_from(stage).expect("small"));
        }
        in_stages.settle(end);
        prop_assert_eq!(at_once.row, in_stages.row);
        prop_assert_eq!(at_once.grants, in_stages.grants);
    }

    /// However a grant is used up, its parts cost what the whole did.
    #[test]
    fn parts_cost_what_the_whole_did(amount in 1..1_000_000_000_i64, cost in 0..1_000_000_000_000_i64, cuts in proptest::collection::vec(1..1_000_000_000_i64, 1..20)) {
        let (mut left, mut cost_left, mut spent) = (amount, cost, 0);
        let mut game = Game::new();
        game.play(Step::Issue { amount: 1, cost: 1, priority: 50, delay: None, expiration: None });
        let mut grant = game.wallet.grants[0].clone();
        for cut in cuts.into_iter().chain([i64::MAX]) {
            let cut = cut.min(left);
            grant.remaining = Credits(left);
            grant.cost_left = Minor(cost_left);
            let part = cost_of(&grant, Credits(cut)).0;
            // No part is dearer than its share by a whole unit or more.
            let share = i128::from(cost_left) * i128::from(cut);
            prop_assert!(i128::from(part) * i128::from(left.max(1)) <= share);
            prop_assert!((i128::from(part) + 1) * i128::from(left.max(1)) > share || left == 0);
            left -= cut;
            cost_left -= part;
            spent += part;
        }
        prop_assert_eq!((left, cost_left, spent), (0, 0, cost));
    }
}
