//! What is offered: credit types.

pub mod credit_types;
