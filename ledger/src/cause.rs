//! What led to something: how far triggers and automations lead to one another is counted, in depth and in width.

use crate::EventId;

/// How many triggers and automations led to something, one after another, and what the first of them followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// 0 for what people and time do.
    pub depth: i16,
    /// The event that all began with; none for what people and time do.
    pub origin: Option<EventId>,
}

/// How many triggers and automations may lead to one another.
pub const DEEPEST: i16 = 8;
/// How many runs may come of one event, those that follow on what they do included.
pub const WIDEST: usize = 1_000;
