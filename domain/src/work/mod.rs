//! What later work does: jobs of every kind, whoever has them, those that were laid aside, and a sandbox's test clock.

pub mod bulk;
pub mod dead;
pub mod lease;
pub mod perform;
pub mod purge;
pub mod test_clock;
