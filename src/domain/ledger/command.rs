//! What can be asked of the ledger, and what it answers.

use entity::{CreditTypeId, Credits, CustomerId, Expiration, GrantId, Minor, activity, allocation};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::state::WalletKey;
use crate::domain::clock::Instant;
use crate::domain::error::{Refusal, Result};
use crate::domain::input;

/// Make a new grant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Issue {
    pub customer: CustomerId,
    pub credit_type: CreditTypeId,
    pub amount: Credits,
    /// From when it counts; from the moment of issue if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective_at: Option<Instant>,
    /// When it ends; as its credit type says if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration: Option<Expiration>,
    /// Lower is used first; 50 if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i16>,
    /// What was paid for it; a gift if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<serde_json::Value>,
    #[serde(flatten)]
    pub words: Words,
}

/// Money paid for credits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    pub minor: Minor,
    pub currency: String,
}

/// Use credits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Consume {
    pub customer: CustomerId,
    pub credit_type: CreditTypeId,
    pub amount: Credits,
    #[serde(flatten)]
    pub words: Words,
}

/// Take away what is left of one grant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Void {
    pub grant: GrantId,
    /// Whose it is: its wallet, which never changes.
    pub customer: CustomerId,
    pub credit_type: CreditTypeId,
    /// Why. The customer sees it.
    pub reason: String,
    #[serde(flatten)]
    pub words: Words,
}

/// What people say about an operation.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Words {
    /// What the customer sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What only staff sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal_note: Option<String>,
    /// The business's own key for what this belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// One thing to do to the ledger.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    Issue(Issue),
    Consume(Consume),
    Void(Void),
}

impl Command {
    /// Refuses what is outside the limits, before anything is locked.
    pub(super) fn check(mut self) -> Result<Self, Refusal> {
        let words = match &mut self {
            Self::Issue(issue) => {
                issue.amount = input::amount("amount", issue.amount)?;
                issue.effective_at = issue.effective_at.map(|at| input::instant("effectiveAt", at)).transpose()?;
                issue.expiration =
                    issue.expiration.map(|policy| super::expiration::check("expiration", policy)).transpose()?;
                if issue.priority.is_some_and(|priority| !(0..=100).contains(&priority)) {
                    return Err(Refusal::invalid("priority", "Must be 0 to 100. Lower is used first."));
                }
                if let Some(cost) = &mut issue.cost {
                    cost.minor = input::cost("cost.minor", cost.minor)?;
                    cost.currency = input::currency("cost.currency", &cost.currency)?;
                }
                issue.metadata = issue.metadata.take().map(|json| input::metadata("metadata", json)).transpose()?;
                &mut issue.words
            }
            Self::Consume(consume) => {
                consume.amount = input::amount("amount", consume.amount)?;
                &mut consume.words
            }
            Self::Void(void) => {
                void.reason = input::text("reason", &void.reason, input::NAME)?;
                &mut void.words
            }
        };
        words.note = input::optional_text("note", words.note.as_deref(), input::NOTE)?;
        words.internal_note = input::optional_text("internalNote", words.internal_note.as_deref(), input::NOTE)?;
        words.reference = input::optional_text("reference", words.reference.as_deref(), input::NAME)?;
        Ok(self)
    }

    /// The wallet it changes.
    #[must_use]
    pub fn wallet(&self) -> WalletKey {
        match self {
            Self::Issue(issue) => (issue.customer, issue.credit_type),
            Self::Consume(consume) => (consume.customer, consume.credit_type),
            Self::Void(void) => (void.customer, void.credit_type),
        }
    }

    /// What was said about it.
    #[must_use]
    pub fn words(&self) -> &Words {
        match self {
            Self::Issue(issue) => &issue.words,
            Self::Consume(consume) => &consume.words,
            Self::Void(void) => &void.words,
        }
    }

    /// Why it takes credits away, if it does.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Void(void) => Some(&void.reason),
            Self::Issue(_) | Self::Consume(_) => None,
        }
    }

    /// What tells two requests under one key apart: a version, then SHA-256 of the mutation and the arguments given.
    #[must_use]
    pub(super) fn fingerprint(&self) -> Vec<u8> {
        const VERSION: u8 = 1;
        let canonical = serde_json::to_vec(self).expect("a command is plain data");
        [&[VERSION], Sha256::digest(canonical).as_slice()].concat()
    }
}

/// A committed command.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The key was known: this is the first outcome once more.
    pub replayed: bool,
    /// What was written for the command, with its allocations; what time had done before is not among it.
    pub activities: Vec<(activity::Model, Vec<allocation::Model>)>,
}

/// What a command would do.
#[derive(Clone, Debug, PartialEq)]
pub struct Preview {
    /// Which grants would be used, in burn order, and how much of each. Empty for an issue.
    pub draws: Vec<(GrantId, Credits)>,
    /// The free credits afterwards, those not yet effective included.
    pub balance_after: Credits,
    /// What would be left in the grants that it touches, by when it ends.
    pub would_expire: Vec<(Instant, Credits)>,
    /// What the credits that it moves had cost, by currency.
    pub cost: Vec<(String, Minor)>,
}
