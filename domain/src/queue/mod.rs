//! What is written now for later: jobs, events, and what a key was answered.

pub mod events;
pub(crate) mod housekeeping;
pub mod jobs;
pub(crate) mod requests;
