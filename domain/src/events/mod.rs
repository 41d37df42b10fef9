//! The business's own events.

pub mod track;
