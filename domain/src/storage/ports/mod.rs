//! The world outside, as traits: payment providers, and who posts webhooks.

pub mod payments;
pub mod webhooks;
