//! `manual`: people pay as they please, and staff says so with `orderMarkPaid`. It is asked for nothing.

use async_trait::async_trait;

use crate::domain::storage::ports::payments::{
    Charge, MANUAL, Message, PaymentProvider, Return, Said, SaidOfRefund, Unheard,
};

pub struct Manual;

#[async_trait]
impl PaymentProvider for Manual {
    fn name(&self) -> &'static str {
        MANUAL
    }

    fn collects(&self) -> bool {
        false
    }

    async fn collect(&self, _: &Charge) -> Result<Said, Unheard> {
        Err(Unheard::Away("nobody collects by hand but staff".to_owned()))
    }

    async fn result(&self, _: &str) -> Result<Said, Unheard> {
        Err(Unheard::Away("nobody knows but staff".to_owned()))
    }

    /// Staff has given the money back by hand.
    async fn refund(&self, _: &Return) -> Result<SaidOfRefund, Unheard> {
        Ok(SaidOfRefund { reference: None, failure: None })
    }

    fn hear(&self, _: &Message<'_>) -> Result<Vec<Said>, Unheard> {
        Err(Unheard::NotGenuine("nobody sends messages about payments by hand"))
    }
}
