//! Credit status: whether credits can be used now, and if not, every reason why.

use async_graphql::{Description, Enum, Object, SimpleObject};
use domain::ledger::status::{Reason, Status, Why};
use domain::sales::pending;

use super::list::List;
use super::scalars::{Credits, DateTime};

/// Why credits cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
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
#[derive(SimpleObject)]
pub struct CreditStatusWhy {
    /// The reason, to branch on.
    code: CreditStatusReason,
    /// The reason in words for staff, and what can be done.
    message: String,
    /// How many credits it is about; 0 where it is about none.
    amount: Credits,
    /// When that changes by itself: the first hold lapses, the first credits begin to count.
    until: Option<DateTime>,
}

impl From<&Why> for CreditStatusWhy {
    fn from(why: &Why) -> Self {
        let code = match why.reason {
            Reason::CreditsDisabled => CreditStatusReason::CreditsDisabled,
            Reason::NoneIssued => CreditStatusReason::NoneIssued,
            Reason::NotEnough => CreditStatusReason::NotEnough,
            Reason::Held => CreditStatusReason::Held,
            Reason::NotYetEffective => CreditStatusReason::NotYetEffective,
            Reason::PaymentDisputed => CreditStatusReason::PaymentDisputed,
            Reason::Expired => CreditStatusReason::Expired,
            Reason::Voided => CreditStatusReason::Voided,
            Reason::Transferred => CreditStatusReason::Transferred,
            Reason::Used => CreditStatusReason::Used,
        };
        Self { code, message: why.message(), amount: Credits(why.amount), until: why.until.map(DateTime) }
    }
}

impl From<&pending::Why> for CreditStatusWhy {
    fn from(why: &pending::Why) -> Self {
        let code = match why.reason {
            pending::Reason::OrderAwaitingPayment => CreditStatusReason::OrderAwaitingPayment,
            pending::Reason::RenewalPastDue => CreditStatusReason::RenewalPastDue,
            pending::Reason::SubscriptionPaused => CreditStatusReason::SubscriptionPaused,
            pending::Reason::ProductIssuesNothing => CreditStatusReason::ProductIssuesNothing,
        };
        Self { code, message: why.message(), amount: Credits(why.amount), until: None }
    }
}

/// Whether credits can be used now, and if not, every reason why.
#[derive(Description)]
pub struct CreditStatus {
    /// What the ledger says.
    pub status: Status,
    /// What selling knows of it, where there are too few.
    pub ordered: Vec<pending::Why>,
}

#[Object(use_type_description)]
impl CreditStatus {
    /// Whether a consume of the amount would be carried out now.
    fn can_consume(&self) -> bool {
        self.status.reasons.is_empty() && self.ordered.is_empty()
    }

    /// How many can be used now.
    fn available(&self) -> Credits {
        Credits(self.status.available)
    }

    /// Every reason why it would be refused; empty if it would not.
    fn reasons(&self) -> List<CreditStatusWhy> {
        let ledger = self.status.reasons.iter().map(CreditStatusWhy::from);
        ledger.chain(self.ordered.iter().map(CreditStatusWhy::from)).collect()
    }
}
