//! Histories by chance: which steps, how often.

use proptest::prelude::*;
use scrip::domain::ledger::Closing;

use super::steps::{Ends, Number, PEOPLE, Step, Timed};

pub fn step() -> impl Strategy<Value = Step> {
    let who = 0..PEOPLE;
    let ends = prop_oneof![
        2 => Just(Ends::Never),
        3 => (0..12_u64).prop_map(Ends::AfterDays),
        2 => (0..12_u64).prop_map(Ends::AfterFirstUse),
        2 => (-5..200_i64).prop_map(Ends::InHours),
    ];
    let closing =
        prop_oneof![2 => Just(Closing::WithItsCredits), 1 => Just(Closing::Always), 2 => Just(Closing::Never)];
    // Often given, so that burn order has to choose between given and paid ones.
    let cost = prop_oneof![1 => Just(0), 2 => 1..500_i64];
    let number = prop_oneof![1 => Just(Number::LeftOut), 2 => (1..3_i64).prop_map(Number::Later)];
    let to_roll_over = prop_oneof![2 => Just(Ends::Never), 1 => (0..12_u64).prop_map(Ends::AfterDays)];
    let some = |range: std::ops::Range<usize>| proptest::option::of(range);
    prop_oneof![
        6 => (who.clone(), 1..12_usize, cost, 49..52_i16, proptest::option::weighted(0.2, 0..100_i64), ends)
            .prop_map(|(who, amount, cost, priority, delay, ends)| Step::Issue { who, amount, cost, priority, delay, ends }),
        6 => (who.clone(), 1..9_usize).prop_map(|(who, amount)| Step::Consume { who, amount }),
        4 => (who.clone(), 1..9_usize, 1..150_i64).prop_map(|(who, amount, hours)| Step::Hold { who, amount, hours }),
        3 => (0..40_usize, some(1..9)).prop_map(|(hold, amount)| Step::Capture { hold, amount }),
        2 => (0..40_usize).prop_map(|hold| Step::Release { hold }),
        4 => (0..40_usize, some(1..9), proptest::option::of(1..5_u64))
            .prop_map(|(used, amount, grace)| Step::Reverse { used, amount, grace }),
        2 => (0..40_usize, closing).prop_map(|(lot, closing)| Step::Void { lot, closing }),
        2 => (0..40_usize, 1..20_u64).prop_map(|(lot, days)| Step::ExtendBy { lot, days }),
        1 => (0..40_usize, -20..400_i64).prop_map(|(lot, hours)| Step::ExtendTo { lot, hours }),
        2 => (who.clone(), 1..9_usize).prop_map(|(from, amount)| Step::Transfer { from, amount }),
        3 => (who, 1..12_usize, 0..500_i64, 0..6_i64, number, to_roll_over)
            .prop_map(|(who, amount, cost, keep, number, ends)| Step::Renew { who, amount, cost, keep, number, ends }),
        2 => (0..40_usize, 0..4_usize, 1..6_usize).prop_map(|(used, lot, amount)| Step::Refund { used, lot, amount }),
        1 => (0..40_usize, 1..6_usize).prop_map(|(lot, amount)| Step::RefundEnded { lot, amount }),
        2 => (0..40_usize, any::<bool>()).prop_map(|(lot, thaw)| Step::Freeze { lot, thaw }),
    ]
}

/// A history: half of its steps follow at once.
pub fn history(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Timed>> {
    let wait = prop_oneof![3 => Just(0_i64), 3 => 1..60_i64, 1 => 24..24_i64 + 1];
    proptest::collection::vec((wait, step()), length)
}
