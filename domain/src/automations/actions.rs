//! What a trigger or a step does to a customer: issue credits, consume credits, begin an automation, tag.

use entity::{AutomationId, CreditTypeId, Credits, CustomerId, Expiration, automation, credit_type};
use sea_orm::{ColumnTrait, QueryFilter};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::enrolments;
use crate::customers;
use crate::events::track::check_name;
use crate::ground::cause::Cause;
use crate::ground::error::{Error, Refusal, Result};
use crate::ground::input;
use crate::ledger::{Command, Consume, Issue, Words};
use crate::storage::tx::Tx;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Issue credits.
    Issue {
        credit_type: CreditTypeId,
        amount: Credits,
        /// As the credit type says, if left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expiration: Option<Expiration>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// Consume credits: all of the amount, or none.
    Consume {
        credit_type: CreditTypeId,
        amount: Credits,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
        /// What begins where there are not enough; beside it the refusal is recorded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        otherwise: Option<AutomationId>,
    },
    /// Begin an automation.
    Start { automation: AutomationId },
    /// Put tags on the customer.
    Tag { tags: Vec<String> },
    /// Take tags off the customer.
    Untag { tags: Vec<String> },
}

/// What led to an action.
#[derive(Clone, Debug)]
pub struct Because<'a> {
    pub event: Option<entity::EventId>,
    pub facts: &'a Value,
    /// What led to it.
    pub cause: Cause,
}

impl Action {
    /// The command to the ledger that it is, if it is one. `reference` is what led to it.
    #[must_use]
    pub fn command(&self, customer: CustomerId, reference: String) -> Option<Command> {
        let words =
            |note: &Option<String>| Words { note: note.clone(), internal_note: None, reference: Some(reference) };
        match self {
            Self::Issue { credit_type, amount, expiration, note } => Some(Command::Issue(Issue {
                customer,
                credit_type: *credit_type,
                amount: *amount,
                effective_at: None,
                expiration: *expiration,
                priority: None,
                cost: None,
                metadata: None,
                period: None,
                cap: None,
                words: words(note),
            })),
            Self::Consume { credit_type, amount, note, .. } => Some(Command::Consume(Consume {
                customer,
                credit_type: *credit_type,
                amount: *amount,
                words: words(note),
            })),
            Self::Start { .. } | Self::Tag { .. } | Self::Untag { .. } => None,
        }
    }

    /// What it is called where it is asked for.
    fn input_name(&self) -> &'static str {
        match self {
            Self::Issue { .. } => "issueCredits",
            Self::Consume { .. } => "consumeCredits",
            Self::Start { .. } => "startAutomation",
            Self::Tag { .. } => "tagCustomer",
            Self::Untag { .. } => "untagCustomer",
        }
    }

    /// What begins where there are not enough credits.
    #[must_use]
    pub fn otherwise(&self) -> Option<AutomationId> {
        if let Self::Consume { otherwise, .. } = self { *otherwise } else { None }
    }

    /// Refuses what is outside the limits, and what names things that are not there or issue no more.
    pub(crate) async fn check(self, tx: &Tx, field: &str) -> Result<Self> {
        let nobody = CustomerId(uuid::Uuid::nil());
        let field = format!("{field}.{}", self.input_name());
        let field = field.as_str();
        let in_field = |refusal: Refusal| refusal.within(field);
        let command = self.command(nobody, String::from("-")).map(Command::check).transpose().map_err(in_field)?;
        // As the ledger would have it: trimmed.
        let words = command.map(|command| command.words().note);
        let checked = match self {
            Self::Issue { credit_type, amount, expiration, .. } => {
                Self::Issue { credit_type, amount, expiration, note: words.flatten() }
            }
            Self::Consume { credit_type, amount, otherwise, .. } => {
                Self::Consume { credit_type, amount, note: words.flatten(), otherwise }
            }
            Self::Tag { tags } => Self::Tag { tags: some_tags(field, &tags)? },
            Self::Untag { tags } => Self::Untag { tags: some_tags(field, &tags)? },
            other @ Self::Start { .. } => other,
        };
        if let Self::Issue { credit_type, .. } | Self::Consume { credit_type, .. } = &checked {
            let field = format!("{field}.creditTypeId");
            let row = tx.rows::<credit_type::Entity>().filter(credit_type::Column::Id.eq(*credit_type));
            let row = row.one(tx.db()).await?.ok_or_else(|| Refusal::not_found(&field, "credit type"))?;
            if row.archived_at.is_some() && matches!(checked, Self::Issue { .. }) {
                return Err(crate::ground::refusal::sale::Sale::CreditTypeArchived { field }.into());
            }
        }
        if let Self::Issue { expiration: Some(policy), .. } = &checked {
            crate::catalog::credit_types::check_future(tx, *policy).map_err(in_field)?;
        }
        let begins = if let Self::Start { automation } = &checked { Some(*automation) } else { checked.otherwise() };
        if let Some(id) = begins {
            let field =
                if checked.otherwise().is_some() { format!("{field}.otherwiseAutomationId") } else { field.to_owned() };
            let row = tx.rows::<automation::Entity>().filter(automation::Column::Id.eq(id)).one(tx.db()).await?;
            row.ok_or_else(|| Refusal::not_found(&field, "automation"))?;
        }
        Ok(checked)
    }

    /// Does what is no command to the ledger, within an open transaction; answers what else is to be known.
    pub(crate) async fn take_effect(&self, tx: &Tx, customer: CustomerId, because: &Because<'_>) -> Result<Value> {
        match self {
            Self::Start { automation } => {
                let id = enrolments::begin(tx, *automation, customer, because).await?;
                Ok(json!({ "enrolmentId": id }))
            }
            Self::Tag { tags } => {
                customers::tag_in(tx, customer, tags).await?;
                Ok(json!({}))
            }
            Self::Untag { tags } => {
                customers::untag_in(tx, customer, tags).await?;
                Ok(json!({}))
            }
            Self::Issue { .. } | Self::Consume { .. } => {
                Err(Error::Internal("a command of the ledger was taken for something else".to_owned()))
            }
        }
    }
}

fn some_tags(field: &str, tags: &[String]) -> Result<Vec<String>, Refusal> {
    let tags = input::tags(field, tags)?;
    if tags.is_empty() { Err(Refusal::invalid(field, "Name at least one tag.")) } else { Ok(tags) }
}

/// The name of an event that something may wait for: one of the server's own about a customer, or one of the business's.
pub(super) fn check_event(field: &str, name: &str) -> Result<String, Refusal> {
    use crate::queue::events::catalogue;
    match catalogue::built_in(name) {
        Some(event) if event.of_customer => Ok(name.to_owned()),
        Some(_) => {
            Err(Refusal::invalid(field, format!("{name} is about no customer, so that nothing can follow for one.")))
        }
        None if catalogue::is_reserved(name) => {
            let message = format!("The server tells of no event {name}. Query eventTypes for those that there are.");
            Err(Refusal::invalid(field, message))
        }
        None => check_name(field, name),
    }
}
