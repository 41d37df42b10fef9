//! What a rule of selling says no with.

use crate::{Credits, Minor};
use serde::{Deserialize, Serialize};

use super::code::Code;

/// A rule of selling that said no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sale {
    /// The product lacks something that it is sold with.
    ProductIncomplete { field: String, missing: String },
    /// The product is a draft, or archived.
    ProductNotActive { field: String, status: String },
    /// The price is archived.
    PriceArchived { field: String },
    /// The credit type that it issues is archived.
    CreditTypeArchived { field: String },
    /// So many are not sold at once.
    QuantityOutOfRange { field: String, least: i64, most: Option<i64> },
    /// The customer may not have more at this price.
    LimitPerCustomer { field: String, most: i64, had: i64 },
    /// Too many orders of strangers await payment: from this address, or of this product.
    TooManyUnpaid { field: String },
    /// One order is paid in one currency, or in credits.
    MixedPayment { field: String },
    /// Only a customer who has signed in, or staff, can order this.
    SignInRequired { field: String },
    /// The order is paid or cancelled already.
    OrderNotAwaitingPayment { status: String },
    /// The order was not paid, or everything went back.
    OrderNotPaid { status: String },
    /// Some of the order's credits are set aside.
    CreditsHeld { held: Credits },
    /// Some of the order's credits are used, and nobody said that they are to be refunded as well.
    CreditsUsed { refundable: Minor },
    /// More than was paid and has not gone back yet.
    MoreThanPaid { left: Minor },
    /// Fewer of its credits are unused.
    FewerUnused { field: String, left: Credits },
    /// Nothing of the order is left that could go back.
    NothingToRefund,
    /// None of its credits are unused, and so much was paid for the others.
    NothingUnused { paid: Minor },
    /// The money is disputed: it is the bank that decides about it.
    PaymentDisputed,
    /// The payment is not in a dispute, or in one that has ended.
    NotDisputed,
    /// The credits were given to too many others.
    TooManyWallets { most: usize },
    /// Some of the money is here: it has to go back first.
    OrderPartlyPaid { paid: Minor },
    /// What the order would give ends before it begins, as the price, the product or the credit type says.
    PriceOver { field: String },
    /// The line's part was given, or was refunded.
    NothingToFulfil { field: String },
    /// The subscription is not in a state in which this can be done.
    SubscriptionStatus { status: String },
    /// An order of the subscription is open, or past due.
    SubscriptionOwes,
    /// The order renews a subscription, which is what is to be ended.
    OrderRenews,
    /// The provider needs to know what is charged.
    PaymentMethodMissing,
}

impl Sale {
    /// What a client branches on.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::ProductIncomplete { .. } => Code::ProductIncomplete,
            Self::ProductNotActive { .. } => Code::ProductNotActive,
            Self::PriceArchived { .. } => Code::PriceArchived,
            Self::CreditTypeArchived { .. } => Code::CreditTypeArchived,
            Self::QuantityOutOfRange { .. } => Code::QuantityOutOfRange,
            Self::LimitPerCustomer { .. } => Code::LimitPerCustomer,
            Self::TooManyUnpaid { .. } => Code::TooManyUnpaid,
            Self::MixedPayment { .. } => Code::MixedPayment,
            Self::SignInRequired { .. } => Code::SignInRequired,
            Self::OrderNotAwaitingPayment { .. } => Code::OrderNotAwaitingPayment,
            Self::OrderNotPaid { .. } => Code::OrderNotPaid,
            Self::CreditsHeld { .. } => Code::CreditsHeld,
            Self::CreditsUsed { .. } => Code::CreditsUsed,
            Self::MoreThanPaid { .. } => Code::MoreThanPaid,
            Self::FewerUnused { .. } => Code::MoreThanLeft,
            Self::NothingToRefund | Self::NothingUnused { .. } => Code::NothingToRefund,
            Self::PaymentDisputed => Code::PaymentDisputed,
            Self::NotDisputed => Code::NotDisputed,
            Self::TooManyWallets { .. } => Code::TooManyWallets,
            Self::OrderPartlyPaid { .. } => Code::OrderPartlyPaid,
            Self::PriceOver { .. } => Code::PriceOver,
            Self::NothingToFulfil { .. } => Code::NothingToFulfil,
            Self::SubscriptionStatus { .. } => Code::SubscriptionStatus,
            Self::SubscriptionOwes => Code::SubscriptionOwes,
            Self::OrderRenews => Code::OrderRenews,
            Self::PaymentMethodMissing => Code::PaymentMethodMissing,
        }
    }

    /// What happened and what to do next, for people.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::ProductIncomplete { missing, .. } => {
                format!("This product cannot be sold yet: it has no {missing}. Give it one first.")
            }
            Self::ProductNotActive { status, .. } if status == "draft" => {
                "This product is a draft. Activate it with productActivate first.".to_owned()
            }
            Self::ProductNotActive { .. } => "This product is archived and sold no more. Choose another one.".to_owned(),
            Self::PriceArchived { .. } => "This price is archived. Choose one that its product has now.".to_owned(),
            Self::CreditTypeArchived { .. } => {
                "This issues credits of a type that is archived. Choose another product.".to_owned()
            }
            Self::QuantityOutOfRange { least, most: Some(most), .. } => {
                format!("Must be {least} to {most} at this price.")
            }
            Self::QuantityOutOfRange { least, .. } => format!("Must be {least} or more at this price."),
            Self::LimitPerCustomer { most, had, .. } => {
                format!("One customer may have {most} at this price, and this one has ordered {had}. Choose another price.")
            }
            Self::TooManyUnpaid { .. } => {
                "Too many orders wait for their payment already. Pay one of them, sign in, or ask the business.".to_owned()
            }
            Self::MixedPayment { .. } => {
                "One order is paid in one currency, or in credits. Place one order for each.".to_owned()
            }
            Self::SignInRequired { .. } => {
                "This price is for customers who have signed in. Send the customer's token.".to_owned()
            }
            Self::OrderNotAwaitingPayment { status } => {
                format!("This order awaits no payment: it is {status}. Nothing was changed.")
            }
            Self::OrderNotPaid { status } => {
                format!("Only a paid order can be refunded: this one is {status}. Nothing was changed.")
            }
            Self::CreditsHeld { held } => {
                format!("{held} of this order's credits are set aside. Release or capture the holds first.")
            }
            Self::CreditsUsed { refundable } => format!(
                "More than the {refundable} minor units that the unused credits cost: the rest is for credits that were used, \
                 ended or given away. Ask for less, or say usedCredits: true."
            ),
            Self::MoreThanPaid { left } => {
                format!("Only {left} minor units were paid and have not gone back yet. Ask for that much at most.")
            }
            Self::NothingToRefund => {
                "Nothing of this order is left to refund: its credits were used, ended or given away. To refund them all the same, \
                 give an amount and say usedCredits: true."
                    .to_owned()
            }
            Self::FewerUnused { left, .. } => {
                format!("Only {left} of these credits are unused. Ask for that many at most, or for an amount with usedCredits: true.")
            }
            Self::NothingUnused { paid } => format!(
                "None of this order's credits are unused: they were used, ended, given away or refunded. {paid} minor units are \
                 still paid for them: to give those back all the same, say usedCredits: true, with an amount for less."
            ),
            Self::PaymentDisputed => {
                "The payer disputes this payment: its bank decides. Say how it ended with disputeRecord, then refund.".to_owned()
            }
            Self::NotDisputed => "This payment is in no dispute that could end so. Nothing was changed.".to_owned(),
            Self::TooManyWallets { most } => {
                format!("These credits were given to more than {most} others. Refund less of it, without usedCredits.")
            }
            Self::OrderPartlyPaid { paid } => format!(
                "{paid} minor units of this order are paid. Give them back with orderRefund first, with that amount."
            ),
            Self::PriceOver { .. } => {
                "What this price gives would end before it begins: its last day is over. Choose another price.".to_owned()
            }
            Self::NothingToFulfil { .. } => {
                "This part was given already, or its money went back. Nothing was changed.".to_owned()
            }
            Self::SubscriptionStatus { status } => {
                format!("This subscription is {status}, so this cannot be done. Nothing was changed.")
            }
            Self::SubscriptionOwes => {
                "An order of this subscription is not paid yet. Pay it, or give it up, before the plan changes at once.".to_owned()
            }
            Self::OrderRenews => {
                "This order renews a subscription. End that with subscriptionCancel, and what is unpaid of it goes with it."
                    .to_owned()
            }
            Self::PaymentMethodMissing => {
                "This account's payment provider charges a stored payment method. Give paymentMethod.".to_owned()
            }
        }
    }

    /// The path to the input's field that is to blame, if one is.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::ProductIncomplete { field, .. }
            | Self::ProductNotActive { field, .. }
            | Self::PriceArchived { field }
            | Self::CreditTypeArchived { field }
            | Self::QuantityOutOfRange { field, .. }
            | Self::LimitPerCustomer { field, .. }
            | Self::TooManyUnpaid { field }
            | Self::MixedPayment { field }
            | Self::SignInRequired { field }
            | Self::FewerUnused { field, .. }
            | Self::PriceOver { field }
            | Self::NothingToFulfil { field } => Some(field),
            Self::OrderNotAwaitingPayment { .. } | Self::OrderNotPaid { .. } | Self::CreditsHeld { .. } => {
                Some("orderId")
            }
            Self::CreditsUsed { .. } | Self::MoreThanPaid { .. } => Some("amount"),
            Self::NothingToRefund
            | Self::NothingUnused { .. }
            | Self::PaymentDisputed
            | Self::TooManyWallets { .. }
            | Self::OrderPartlyPaid { .. }
            | Self::OrderRenews => Some("orderId"),
            Self::NotDisputed => Some("paymentId"),
            Self::SubscriptionStatus { .. } | Self::SubscriptionOwes => Some("subscriptionId"),
            Self::PaymentMethodMissing => Some("paymentMethod"),
        }
    }

    /// Whether a key remembers it: it depends on what was stored at the time.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        !matches!(self, Self::MixedPayment { .. } | Self::SignInRequired { .. } | Self::PaymentMethodMissing)
    }
}
