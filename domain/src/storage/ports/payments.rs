//! Who settles orders: the one trait that a payment provider implements. The first is `manual`, where staff says that an
//! order is paid.
//!
//! What is asked for carries a key of ours, the id of the payment or the refund: asked again, it is done once.
//! No call is made while a transaction is open.

use std::sync::Arc;

use async_trait::async_trait;
use entity::account::{self, Mode};
use entity::{Minor, PaymentId, RefundId, payment};

use crate::ground::error::{Refusal, Result};

/// The provider of accounts that name no other: staff says what was paid.
pub const MANUAL: &str = "manual";

/// What is to be paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The key: the same charge, however often it is asked for.
    pub payment: PaymentId,
    pub amount: Minor,
    /// ISO 4217.
    pub currency: String,
    /// What the payer reads.
    pub description: String,
    /// A stored method that is charged; without one the payer is asked.
    pub method: Option<String>,
}

/// What is to go back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Return {
    /// The key: the same refund, however often it is asked for.
    pub refund: RefundId,
    /// What the provider calls the payment.
    pub reference: Option<String>,
    pub amount: Minor,
    pub currency: String,
}

/// What a provider says of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// What it calls the payment.
    pub reference: String,
    pub status: payment::Status,
    /// Where the payer goes on.
    pub action_url: Option<String>,
    /// Why it failed, in words for staff.
    pub failure: Option<String>,
}

/// What a provider says of a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaidOfRefund {
    pub reference: Option<String>,
    /// Why it failed; none if it went through.
    pub failure: Option<String>,
}

/// Why a provider said nothing.
#[derive(Debug, thiserror::Error)]
pub enum Unheard {
    /// It cannot be reached, or is out of order: to be asked again later.
    #[error("the payment provider does not answer: {0}")]
    Away(String),
    /// What claims to be from it is not.
    #[error("not from the payment provider: {0}")]
    NotGenuine(&'static str),
}

/// A message at the inbound door.
pub struct Message<'a> {
    /// The value of a header, by its lower-case name.
    pub header: &'a (dyn Fn(&str) -> Option<String> + Sync),
    pub body: &'a [u8],
}

/// A payment provider.
#[async_trait]
pub trait PaymentProvider: Send + Sync {
    /// Its name in settings and in the path of its inbound door.
    fn name(&self) -> &'static str;

    /// Whether it can be asked to collect; if not, payments are only ever told of.
    fn collects(&self) -> bool {
        true
    }

    /// Whether it takes no real money, and so serves sandboxes only.
    fn is_for_sandboxes(&self) -> bool {
        false
    }

    /// Collects a payment: charges the stored method, or begins a payment that the payer completes.
    async fn collect(&self, charge: &Charge) -> Result<Said, Unheard>;

    /// What has become of a payment that was begun.
    async fn result(&self, reference: &str) -> Result<Said, Unheard>;

    /// Gives money back.
    async fn refund(&self, wanted: &Return) -> Result<SaidOfRefund, Unheard>;

    /// Reads what arrives at the inbound door, once it is shown to be genuine.
    fn hear(&self, message: &Message<'_>) -> Result<Vec<Said>, Unheard>;
}

/// The providers that this server knows.
pub struct Providers(Vec<Arc<dyn PaymentProvider>>);

impl Providers {
    /// These, of which one is `manual`.
    #[must_use]
    pub fn new(all: Vec<Arc<dyn PaymentProvider>>) -> Self {
        Self(all)
    }

    /// One by its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<dyn PaymentProvider>> {
        self.0.iter().find(|provider| provider.name() == name)
    }

    /// One that an account may settle its orders with.
    pub fn of_account(&self, account: &account::Model, name: &str) -> Result<&Arc<dyn PaymentProvider>, Refusal> {
        let may = |provider: &&Arc<dyn PaymentProvider>| account.mode == Mode::Sandbox || !provider.is_for_sandboxes();
        let names = || self.0.iter().filter(may).map(|provider| provider.name()).collect::<Vec<_>>().join(", ");
        let found = self.get(name).filter(may);
        found.ok_or_else(|| Refusal::invalid("paymentProvider", format!("Must be one of: {}.", names())))
    }
}
