//! Webhooks: what happened, posted to whoever asked for it, as the Standard Webhooks specification has it
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).
//!
//! * [`endpoints`]: where to, of what, and with which secret.
//! * [`deliveries`]: one event on its way to one endpoint; a job for each endpoint, so that one that is dead holds up
//!   nobody else.
//! * [`retry`] (pure): when it is tried again. What is signed: `keys::signature`.
//!
//! The network is spoken to by [`WebhookPost`](crate::storage::ports::webhooks::WebhookPost), never while a transaction is open. All instants here are of the real
//! clock, in sandboxes as well.

pub mod deliveries;
pub mod endpoints;
pub mod retry;
