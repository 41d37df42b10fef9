//! Scrip: a ledger for prepaid service credits, served over GraphQL. The rooms are drawn in ARCHITECTURE.md.

pub mod cli;
pub mod config;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod gateway;
pub mod http;
pub mod worker;

pub use domain;
pub use graphql;
