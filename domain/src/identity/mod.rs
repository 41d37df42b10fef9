//! The running server and who asks: callers, what they did, what is done once per key.

pub mod access;
pub mod app;
pub mod caller;
pub(crate) mod once;
