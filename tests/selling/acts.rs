//! What is done in a random history of selling.

use proptest::prelude::*;

/// Orders that are looked at in one history.
pub const ORDERS: usize = 5;

#[derive(Clone, Copy, Debug)]
pub enum How {
    Default,
    /// So many thousandths of the order's total.
    Amount(i64),
    Credits(i64),
    Line(i64),
}

#[derive(Clone, Debug)]
pub enum Step {
    /// Of a pack of ten, one of four that can be used for four days more, and one of two that each may have once: one, or
    /// this one and the next; paid by hand, by a provider, or by one that gives nothing back.
    Order {
        both: bool,
        first: usize,
        method: &'static str,
    },
    Pay {
        which: usize,
        named: bool,
    },
    Part {
        which: usize,
        share: i64,
    },
    Use {
        who: usize,
        amount: i64,
    },
    Hold {
        who: usize,
        amount: i64,
        days: i64,
    },
    Release {
        which: usize,
    },
    Capture {
        which: usize,
        amount: i64,
    },
    Transfer {
        from: usize,
        amount: i64,
    },
    Reverse {
        which: usize,
        amount: i64,
        reissue: bool,
    },
    Extend {
        which: usize,
    },
    Void {
        which: usize,
    },
    Time {
        hours: i64,
    },
    Refund {
        which: usize,
        how: How,
        used: bool,
        keep: bool,
    },
    Dispute {
        which: usize,
        outcome: &'static str,
    },
    Cancel {
        which: usize,
    },
}

pub fn step() -> impl Strategy<Value = Step> {
    let how = prop_oneof![
        4 => Just(How::Default),
        4 => (1..1_100_i64).prop_map(How::Amount),
        2 => (1..6_i64).prop_map(How::Credits),
        2 => (1..1_100_i64).prop_map(How::Line),
    ];
    let method = prop_oneof![3 => Just("ask"), 1 => Just("succeed"), 2 => Just("no-refund")];
    let outcome = prop_oneof![3 => Just("OPENED"), 2 => Just("WON"), 2 => Just("LOST"), 2 => Just("REINSTATED")];
    let which = || 0..ORDERS;
    prop_oneof![
        6 => (any::<bool>(), 0..3_usize, method).prop_map(|(both, first, method)| Step::Order { both, first, method }),
        5 => (which(), any::<bool>()).prop_map(|(which, named)| Step::Pay { which, named }),
        2 => (which(), 100..900_i64).prop_map(|(which, share)| Step::Part { which, share }),
        4 => (0..2_usize, 1..6_i64).prop_map(|(who, amount)| Step::Use { who, amount }),
        2 => (0..2_usize, 1..5_i64, 1..9_i64).prop_map(|(who, amount, days)| Step::Hold { who, amount, days }),
        2 => (0..9_usize).prop_map(|which| Step::Release { which }),
        1 => (0..9_usize, 1..4_i64).prop_map(|(which, amount)| Step::Capture { which, amount }),
        3 => (0..2_usize, 1..8_i64).prop_map(|(from, amount)| Step::Transfer { from, amount }),
        4 => (0..9_usize, 1..4_i64, any::<bool>())
            .prop_map(|(which, amount, reissue)| Step::Reverse { which, amount, reissue }),
        2 => (0..9_usize).prop_map(|which| Step::Extend { which }),
        1 => (0..9_usize).prop_map(|which| Step::Void { which }),
        2 => (1..130_i64).prop_map(|hours| Step::Time { hours }),
        8 => (which(), how, any::<bool>(), proptest::bool::weighted(0.25))
            .prop_map(|(which, how, used, keep)| Step::Refund { which, how, used, keep }),
        3 => (which(), outcome).prop_map(|(which, outcome)| Step::Dispute { which, outcome }),
        4 => which().prop_map(|which| Step::Cancel { which }),
    ]
}

/// What one history has made.
pub struct Story {
    pub people: [String; 2],
    pub orders: Vec<String>,
    pub uses: Vec<String>,
    pub holds: Vec<String>,
    /// Orders of which credits were left with the customer out of goodwill, or voided by hand.
    pub kind: Vec<bool>,
}

/// One of several, whatever number is said.
pub fn one_of<T>(all: &[T], which: usize) -> Option<&T> {
    all.get(which.checked_rem(all.len())?)
}

impl Story {
    pub fn pick(&self, which: usize) -> Option<usize> {
        which.checked_rem(self.orders.len())
    }

    pub fn order(&self, which: usize) -> Option<&String> {
        one_of(&self.orders, which)
    }
}
