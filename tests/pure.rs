//! The pure core of the ledger: random histories beside the naive one, and what must hold of its parts.

use std::collections::BTreeSet;

use crate::naive::chance::history;
use crate::naive::game::{Game, KINDS};
use chrono::TimeDelta;
use chrono_tz::Tz;
use entity::{Credits, Minor};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use scrip::domain::ledger::state::share;

use crate::size;

/// Cases of each of the two halves, which run at the same time.
fn cases() -> u32 {
    u32::try_from(size(1_000, 10_000)).expect("few")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    /// Any history is what the naive ledger says: line by line, lot by lot, to the last credit.
    #[test]
    fn any_history_agrees_with_the_naive_ledger(steps in history(50..70)) {
        let mut game = Game::new(Tz::Europe__Zurich);
        for step in &steps {
            game.play(step);
        }
    }

    /// The same, elsewhere: a zone whose days begin at other instants.
    #[test]
    fn any_history_agrees_with_the_naive_ledger_in_new_york(steps in history(50..70)) {
        let mut game = Game::new(Tz::America__New_York);
        for step in &steps {
            game.play(step);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// Settling at once or in stages is the same.
    #[test]
    fn time_does_the_same_at_once_and_in_stages(steps in history(1..40), stages in 1..20_i32) {
        let mut game = Game::new(Tz::Europe__Zurich);
        for step in &steps {
            game.play(step);
        }
        for wallet in game.books.wallets.into_values() {
            let (begin, span) = (wallet.instant(game.naive.now), TimeDelta::days(100));
            let (mut at_once, mut in_stages) = (wallet.clone(), wallet);
            let entries = at_once.settle(begin + span);
            let staged = (1..=stages).flat_map(|stage| in_stages.settle(begin + span * stage / stages)).collect::<Vec<_>>();
            prop_assert_eq!(entries, staged);
            prop_assert_eq!(at_once.row, in_stages.row);
            prop_assert_eq!(at_once.grants, in_stages.grants);
            prop_assert_eq!(at_once.holds, in_stages.holds);
        }
    }

    /// However credits are taken in parts, the parts cost what the whole did, and each its share.
    #[test]
    fn parts_cost_what_the_whole_did(
        amount in 1..1_000_000_000_i64,
        cost in 0..1_000_000_000_000_i64,
        cuts in proptest::collection::vec(1..1_000_000_000_i64, 1..20),
    ) {
        let (mut left, mut cost_left, mut spent) = (amount, cost, 0);
        for cut in cuts.into_iter().chain([i64::MAX]) {
            let cut = cut.min(left);
            let part = share(Minor(cost_left), Credits(cut), Credits(left)).0;
            // No part is dearer than its share, or cheaper by a whole unit or more.
            let whole = i128::from(cost_left) * i128::from(cut);
            prop_assert!(i128::from(part) * i128::from(left.max(1)) <= whole);
            prop_assert!((i128::from(part) + 1) * i128::from(left.max(1)) > whole || left == 0);
            (left, cost_left, spent) = (left - cut, cost_left - part, spent + part);
        }
        prop_assert_eq!((left, cost_left, spent), (0, 0, cost));
    }
}

/// The histories that are tried write every kind of activity there is.
#[test]
fn histories_leave_no_kind_out() {
    let mut runner = TestRunner::deterministic();
    let mut kinds = BTreeSet::new();
    for _ in 0..200 {
        let steps = history(50..70).new_tree(&mut runner).expect("a history").current();
        let mut game = Game::new(Tz::Europe__Zurich);
        for step in &steps {
            kinds.extend(game.play(step).into_iter().map(|kind| format!("{kind:?}")));
        }
    }
    let all = KINDS.iter().map(|kind| format!("{kind:?}")).collect::<BTreeSet<_>>();
    assert_eq!(kinds, all);
}
