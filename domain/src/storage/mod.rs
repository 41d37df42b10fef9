//! Where rows are: connections and their turns, transactions, many rows in one statement, hints of what changed, and the
//! traits of the world outside.

pub mod live;
pub mod ports;
pub(crate) mod readers;
pub(crate) mod rows;
pub mod shared;
pub mod spent;
mod statistics;
pub mod store;
pub(crate) mod tx;
