//! Payments and refunds of orders.

use async_graphql::{Context, Description, Enum, ID, Object};
use entity::payment::Status as PaidStatus;
use entity::refund::Status as BackStatus;
use entity::{payment, refund};

use super::activity::Actor;
use super::context::Ask;
use super::scalars::{Credits, DateTime, Money, Url};

/// How far a payment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "PaidStatus", name = "PaymentStatus")]
pub enum PaymentStatus {
    /// The provider has not said yet.
    Pending,
    /// The payer has to do something, at `actionUrl`.
    RequiresAction,
    /// It is paid.
    Succeeded,
    /// It is not paid, and will not be.
    Failed,
    /// All of it went back.
    Refunded,
    /// The payer says that it was not so.
    Disputed,
    /// A dispute of it was lost: the money is gone.
    ChargedBack,
}

/// How far a refund is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "BackStatus", name = "RefundStatus")]
pub enum RefundStatus {
    /// The provider has not said yet.
    Pending,
    /// It went back.
    Succeeded,
    /// It could not be given back.
    Failed,
}

/// What settles an order.
#[derive(Description)]
pub struct Payment(pub payment::Model);

#[Object(use_type_description)]
impl Payment {
    /// Opaque, and unique over the whole server.
    fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// Who settles it: `manual`, where staff said so, or a payment provider.
    fn provider(&self) -> &str {
        &self.0.provider
    }

    /// What the provider calls it, or what staff said that it is called elsewhere. Staff only: null for the customer.
    fn provider_reference(&self, ctx: &Context<'_>) -> Option<&str> {
        self.0.provider_reference.as_deref().filter(|_| ctx.is_staff())
    }

    /// How far it is.
    fn status(&self) -> PaymentStatus {
        self.0.status.into()
    }

    /// How much.
    fn amount(&self) -> Money {
        Money::new(self.0.amount, &self.0.currency)
    }

    /// How much of it went back.
    fn refunded(&self) -> Money {
        Money::new(self.0.refunded, &self.0.currency)
    }

    /// Where the payer goes on, if something is to be done.
    fn action_url(&self) -> Option<Url> {
        self.0.action_url.clone().map(Url)
    }

    /// Why it failed, in the provider's words. Staff only: null for the customer.
    fn failure(&self, ctx: &Context<'_>) -> Option<&str> {
        self.0.failure.as_deref().filter(|_| ctx.is_staff())
    }

    /// When it was begun.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }
}

/// Money, or credits, of an order that went back.
#[derive(Description)]
pub struct Refund(pub refund::Model);

#[Object(use_type_description)]
impl Refund {
    /// Opaque, and unique over the whole server.
    fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// How far it is.
    fn status(&self) -> RefundStatus {
        self.0.status.into()
    }

    /// How much money; null if the order was paid in credits.
    fn amount(&self) -> Option<Money> {
        self.0.currency.as_ref().map(|currency| Money::new(self.0.amount, currency))
    }

    /// How many credits were voided, or given back.
    fn credits(&self) -> Credits {
        Credits(self.0.credits)
    }

    /// Who gave it back.
    fn actor(&self, ctx: &Context<'_>) -> Actor {
        Actor::new(self.0.actor_kind, if ctx.is_staff() { &self.0.actor } else { "" })
    }

    /// Why. The customer sees it.
    fn reason(&self) -> &str {
        &self.0.reason
    }

    /// Why it could not be given back, in the provider's words. Staff only: null for the customer.
    fn failure(&self, ctx: &Context<'_>) -> Option<&str> {
        self.0.failure.as_deref().filter(|_| ctx.is_staff())
    }

    /// When.
    fn at(&self) -> DateTime {
        DateTime(self.0.at)
    }
}
