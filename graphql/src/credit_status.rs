//! Credit status: whether credits can be used now, and if not, every reason why.

use async_graphql::{Description, Enum, Object};
use domain::ledger::status::{Reason, Status, Why};

use super::list::List;
use super::scalars::{Credits, DateTime};

/// Why credits cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Reason", name = "CreditStatusReason")]
pub enum CreditStatusReason {
    /// The account has its credits switched off.
    CreditsDisabled,
    /// The customer never had any of this type.
    NoneIssued,
    /// Some can be used, but fewer than were asked about.
    NotEnough,
    /// Some are set aside.
    Held,
    /// Some count only later.
    NotYetEffective,
    /// Some cannot be used while their payment is disputed.
    PaymentDisputed,
    /// Some ended unused.
    Expired,
    /// Some were taken away.
    Voided,
    /// Some went to another customer, or to a new grant.
    Transferred,
    /// Some were used.
    Used,
    /// Some are ordered, and not paid yet.
    OrderAwaitingPayment,
    /// A renewal that would give some was not paid in time.
    RenewalPastDue,
    /// A subscription that would give some is paused.
    SubscriptionPaused,
    /// Something was bought that issues no credits.
    ProductIssuesNothing,
}

/// One reason why credits cannot be used.
#[derive(Description)]
pub struct CreditStatusWhy(Why);

#[Object(use_type_description)]
impl CreditStatusWhy {
    /// The reason, to branch on.
    fn code(&self) -> CreditStatusReason {
        self.0.reason.into()
    }

    /// The reason in words for staff, and what can be done.
    fn message(&self) -> String {
        self.0.message()
    }

    /// How many credits it is about; 0 where it is about none.
    fn amount(&self) -> Credits {
        Credits(self.0.amount)
    }

    /// When that changes by itself: the first hold lapses, the first credits begin to count.
    fn until(&self) -> Option<DateTime> {
        self.0.until.map(DateTime)
    }
}

/// Whether credits can be used now, and if not, every reason why.
#[derive(Description)]
pub struct CreditStatus(pub(super) Status);

#[Object(use_type_description)]
impl CreditStatus {
    /// Whether a consume of the amount would be carried out now.
    fn can_consume(&self) -> bool {
        self.0.reasons.is_empty()
    }

    /// How many can be used now.
    fn available(&self) -> Credits {
        Credits(self.0.available)
    }

    /// Every reason why it would be refused; empty if it would not.
    fn reasons(&self) -> List<CreditStatusWhy> {
        self.0.reasons.iter().cloned().map(CreditStatusWhy).collect()
    }
}
