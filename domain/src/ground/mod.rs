//! What everything stands on: time and ids, who may do what, what a rule says no with, limits of input, pages.

pub mod cause;
pub mod clock;
pub mod error;
pub mod fault;
pub mod input;
pub mod page;
pub mod refusal;
pub mod scope;
pub mod trials;
