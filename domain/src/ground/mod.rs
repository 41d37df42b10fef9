//! What everything stands on: time and ids, who may do what, what a rule says no with, limits of input, pages.

pub mod clock;
pub mod error;
pub mod page;
pub mod scope;
pub mod trials;

pub use ::ledger::{cause, fault, input, refusal};
