//! What an activity took, as far as nothing gave it back yet, and what of it was refunded.

use std::collections::HashMap;

use crate::activity::{Kind, Source};
use crate::allocation::CostPool;
use crate::{Credits, GrantId, Minor};

use crate::draw::split;
use crate::state::Draw;

/// What an activity took, as far as nothing gave it back yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// What it is: a consume, a capture and a void can be undone.
    pub kind: Kind,
    /// What led to it.
    pub source: Source,
    /// The number, within its wallet, of the activity that drew the credits: of a capture, the one that set them aside.
    pub drawn: i64,
    /// What is left of its draws, first taken first.
    pub left: Vec<Draw>,
    /// How many of them were refunded, by grant: these come back last, and are voided then (selling.md, S4).
    pub marked: HashMap<GrantId, Credits>,
    /// Whether anything undid some of it.
    pub undone: bool,
}

impl Used {
    /// What an activity took, with nothing given back.
    #[must_use]
    pub fn of(kind: Kind, source: Source, left: Vec<Draw>) -> Self {
        Self { kind, source, drawn: 0, left, marked: HashMap::new(), undone: false }
    }

    /// How many credits of a grant were refunded.
    #[must_use]
    pub fn marked_of(&self, grant: GrantId) -> Credits {
        self.marked.get(&grant).copied().unwrap_or_default()
    }

    /// Takes in an activity about it: what a reverse gave back, and what a reprice marked.
    pub fn follow(&mut self, kind: Kind, draws: &[Draw]) {
        if kind == Kind::Reprice {
            for draw in draws {
                self.mark(draw);
            }
            return;
        }
        self.undone = true;
        if kind != Kind::Reverse {
            return;
        }
        for given in draws {
            let marked = self.marked_of(given.grant);
            if let Some(draw) = self.left.iter_mut().find(|draw| draw.grant == given.grant) {
                draw.amount -= given.amount;
                draw.cost -= given.cost;
                self.marked.insert(given.grant, marked.min(draw.amount));
            }
        }
        self.left.retain(|draw| !draw.amount.is_zero());
    }

    fn mark(&mut self, mark: &Draw) {
        let Some(moves) = mark.reprices else { return };
        let sign = if moves.from == CostPool::Consumed { 1 } else { -1 };
        if let Some(draw) = self.left.iter_mut().find(|draw| draw.grant == mark.grant) {
            draw.cost.0 -= sign * mark.cost.0;
            self.marked.entry(mark.grant).or_default().0 += sign * mark.amount.0;
        }
    }

    /// What comes back of it when so many do, last taken first: all of it, and the part that was refunded.
    /// Of one draw the part whose money was kept comes back first.
    #[must_use]
    pub fn coming_back(&self, taken: &[Draw], wanted: Credits) -> (Vec<Draw>, Vec<Draw>) {
        let (mut all, mut refunded) = (Vec::new(), Vec::new());
        let mut missing = wanted;
        for draw in taken {
            let amount = draw.amount.min(missing);
            missing -= amount;
            if amount.is_zero() {
                continue;
            }
            let kept = draw.amount - self.marked_of(draw.grant);
            // What the refund took is no cost of it any more: what is left is of the part that was kept.
            let (first, _) = split(&[Draw { amount: kept, ..*draw }], amount);
            let cost = first.iter().map(|draw| draw.cost).sum();
            let over = amount - amount.min(kept);
            all.push(Draw::of(draw.grant, amount, cost));
            if !over.is_zero() {
                refunded.push(Draw::of(draw.grant, over, Minor::ZERO));
            }
        }
        (all, refunded)
    }
}
