//! What happens by itself: credits issued and consumed by what happens, without anyone doing it by hand.
//!
//! * [`triggers`]: event, conditions, actions; [`rehearsal`]: what one would do about an event of the past.
//! * [`runs`]: the log of actions and steps, and carrying one action out.
//! * [`definitions`]: automations and their versions; [`steps`]: what they are made of.
//! * [`enrolments`]: who walks an automation; [`walk`]: taking the steps.
//!
//! Each action, and each step, is one transaction, and its effect and the row that says that it had it are written
//! together: (trigger version, event, action) and (enrolment, step) are unique, so a crash at any instant repeats
//! nothing. What a rule refuses is recorded with its reason, where staff sees it.
//!
//! Lock order: enrolment, wallets, run, job.
//!
//! Pure: [`conditions`], [`steps`].

pub mod actions;
pub mod conditions;
pub mod definitions;
pub mod enrolments;
pub mod rehearsal;
pub mod runs;
pub mod steps;
pub mod triggers;
pub(crate) mod walk;

use serde_json::Value;

use crate::ground::error::Result;
use crate::queue::events;

/// A stored form: conditions, actions.
pub fn form<T: serde::de::DeserializeOwned>(stored: &Value) -> Result<T> {
    events::read(stored)
}
