//! An order with all that hangs on it: its lines, what was paid and went back, and what became of the credits that it gave,
//! wherever they are (pure). Every verb decides on it, and so does every dry run (selling.md, S15).

pub mod cover;
mod drawer;
pub mod load;
pub mod placed;
pub mod refund;
pub mod taken;

use std::collections::BTreeMap;

use entity::payment::{self, Status as PaymentStatus};
use entity::product_order::{self, Status};
use entity::{ActivityId, Credits, CustomerId, GrantId, Minor, fulfilment, refund as refund_row};

use ledger::Grant;

use super::basket::Line;
use crate::ground::fault::{self, Fault};
use crate::ledger::state::WalletKey;

/// An order with all that hangs on it.
#[derive(Clone, Debug)]
pub struct Sale {
    pub order: product_order::Model,
    pub lines: Vec<Line>,
    /// What it gave, or why not.
    pub given: Vec<fulfilment::Model>,
    /// Those that brought money, oldest first, disputed and lost ones among them.
    pub payments: Vec<payment::Model>,
    /// Those that did not fail, oldest first.
    pub refunds: Vec<refund_row::Model>,
    /// Where its credits are now: the grants that it made, and what came of them by a transfer or a reissue.
    pub lots: Vec<Lot>,
    /// What used credits of the lots, newest first; read where somebody asks for it.
    pub uses: Vec<Use>,
}

/// A grant with credits of an order, as it is now.
#[derive(Clone, Debug)]
pub struct Lot {
    pub grant: Grant,
    /// The line that gave them.
    pub position: i32,
}

/// Credits of a lot that an activity used, as far as nothing gave them back and no refund marked them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    pub activity: ActivityId,
    pub grant: GrantId,
    pub credits: Credits,
    pub cost: Minor,
}

impl Lot {
    /// The wallet that it is in.
    #[must_use]
    pub fn wallet(&self) -> WalletKey {
        (self.grant.customer_id, self.grant.credit_type_id)
    }
}

impl Sale {
    /// Whose order it is.
    #[must_use]
    pub fn buyer(&self) -> CustomerId {
        self.order.customer_id
    }

    /// A lot by its grant.
    #[must_use]
    pub fn lot(&self, grant: GrantId) -> Option<&Lot> {
        self.lots.iter().find(|lot| lot.grant.id == grant)
    }

    /// The money of payments that count, less what went back of it.
    #[must_use]
    pub fn kept(&self) -> Minor {
        self.settled().map(|payment| payment.amount - payment.refunded).sum()
    }

    /// The payments whose money is here, or whose dispute is not over.
    pub fn settled(&self) -> impl Iterator<Item = &payment::Model> {
        use PaymentStatus::{Disputed, Refunded, Succeeded};
        self.payments.iter().filter(|payment| matches!(payment.status, Succeeded | Disputed | Refunded))
    }

    /// Whether the money of a payment can be given back: what is disputed cannot (selling.md, S10).
    #[must_use]
    pub fn can_go_back(payment: &payment::Model) -> bool {
        match payment.status {
            PaymentStatus::Succeeded => true,
            PaymentStatus::Disputed => fault::is(Fault::Dispute),
            _ => false,
        }
    }

    /// What can be given back.
    #[must_use]
    pub fn returnable(&self) -> Minor {
        let payments = self.payments.iter().filter(|payment| Self::can_go_back(payment));
        payments.map(|payment| payment.amount - payment.refunded).sum()
    }

    /// Money that pays for nothing of the order: beyond its total, or before it is paid, or after it was given up
    /// (selling.md, S6).
    #[must_use]
    pub fn surplus(&self) -> Minor {
        match self.order.status {
            Status::AwaitingPayment | Status::Cancelled | Status::ChargedBack | Status::Refunded => self.kept(),
            Status::Paid | Status::PartiallyRefunded if fault::is(Fault::Surplus) => Minor::ZERO,
            Status::Paid | Status::PartiallyRefunded => {
                let paid = self.settled().map(|payment| payment.amount).sum::<Minor>();
                let went_back = self.refunds.iter().map(|refund| refund.surplus_amount).sum::<Minor>();
                Minor((paid - self.order.total - went_back).0.clamp(0, self.kept().0))
            }
        }
    }

    /// What is still to be paid.
    #[must_use]
    pub fn open(&self) -> Minor {
        match self.order.status {
            Status::AwaitingPayment | Status::Cancelled => Minor((self.order.total - self.kept()).0.max(0)),
            _ => Minor::ZERO,
        }
    }

    /// What lines cost that gave nothing and has not gone back, by line.
    #[must_use]
    pub fn gave_nothing(&self) -> BTreeMap<i32, Minor> {
        let mut owed = BTreeMap::new();
        for (line, position) in self.lines.iter().zip(0..) {
            let cost = if line.costs_credits() {
                Minor::ZERO
            } else if line.credit_type.is_none() {
                line.amount
            } else {
                let refused = self.given.iter().filter(|row| row.position == position && row.refusal.is_some());
                refused.map(|row| row.cost).sum()
            };
            owed.insert(position, cost);
        }
        let mut unsaid = Minor::ZERO;
        for refund in &self.refunds {
            let said: Vec<(i32, i64)> = serde_json::from_value(refund.of_lines.clone()).unwrap_or_default();
            unsaid += refund.line_amount - Minor(said.iter().map(|(_, minor)| minor).sum());
            for (position, minor) in said {
                owed.entry(position).and_modify(|cost: &mut Minor| *cost -= Minor(minor));
            }
        }
        // Earlier versions did not write down of which lines.
        for cost in owed.values_mut() {
            let part = Minor(unsaid.0.min(cost.0).max(0));
            *cost -= part;
            unsaid -= part;
        }
        owed
    }

    /// What was paid for a line and has neither gone back nor been lost.
    #[must_use]
    pub fn kept_of(&self, position: i32) -> Minor {
        let Some(line) = usize::try_from(position).ok().and_then(|position| self.lines.get(position)) else {
            return Minor::ZERO;
        };
        let of_line = self.lots.iter().filter(|lot| lot.position == position).map(|lot| &lot.grant);
        let gone = of_line.map(|grant| grant.cost_returned + grant.cost_reduced + grant.cost_lost).sum::<Minor>();
        let refused = self.given.iter().filter(|row| row.position == position && row.refusal.is_some());
        let gave_nothing = if line.credit_type.is_none() { line.amount } else { refused.map(|row| row.cost).sum() };
        let left = self.gave_nothing().get(&position).copied().unwrap_or_default();
        line.amount - gone - (gave_nothing - left)
    }

    /// How many of its lines issue credits.
    #[must_use]
    pub fn credit_lines(&self) -> usize {
        self.lines.iter().filter(|line| line.credit_type.is_some() && !line.costs_credits()).count()
    }
}
