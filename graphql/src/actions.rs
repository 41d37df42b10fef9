//! What triggers and steps do, as inputs and as answers.

use async_graphql::{Context, Description, Enum, ID, InputObject, Object, OneofObject, Result};
use entity::Expiration;

use super::automations::Automation;
use super::context::Ask;
use super::credit_types::CreditType;
use super::expiration::{ExpirationInput, ExpirationPolicy};
use super::payload::id;
use super::scalars::Credits;
use domain::automations::actions::Action;
use domain::{Refusal, Scope};

/// Credits to issue.
#[derive(InputObject)]
pub struct IssueActionInput {
    /// What they are good for.
    credit_type_id: ID,
    /// How many: 1 to 1,000,000,000.
    amount: Credits,
    /// When they end; as the credit type says, if left out.
    expiration: Option<ExpirationInput>,
    /// What the customer reads about it: at most 2,000 characters.
    note: Option<String>,
}

/// Credits to consume: all of the amount, or none.
#[derive(InputObject)]
pub struct ConsumeActionInput {
    /// What they are good for.
    credit_type_id: ID,
    /// How many: 1 to 1,000,000,000.
    amount: Credits,
    /// What the customer reads about it: at most 2,000 characters.
    note: Option<String>,
    /// An automation that begins where there are not enough. The refusal is recorded either way.
    otherwise_automation_id: Option<ID>,
}

/// One thing to do to the customer. Exactly one of the fields.
#[derive(OneofObject)]
pub enum ActionInput {
    /// Issue credits.
    IssueCredits(IssueActionInput),
    /// Consume credits.
    ConsumeCredits(ConsumeActionInput),
    /// Begin this automation.
    StartAutomation(ID),
    /// Put these tags on the customer.
    TagCustomer(Vec<String>),
    /// Take these tags off the customer.
    UntagCustomer(Vec<String>),
}

impl IssueActionInput {
    pub fn action(self, field: &str) -> Result<Action, Refusal> {
        Ok(Action::Issue {
            credit_type: id(&format!("{field}.issueCredits.creditTypeId"), "credit type", &self.credit_type_id)?,
            amount: self.amount.0,
            expiration: self.expiration.map(ExpirationInput::policy).transpose()?,
            note: self.note,
        })
    }
}

impl ConsumeActionInput {
    pub fn action(self, field: &str) -> Result<Action, Refusal> {
        let otherwise = self.otherwise_automation_id;
        let begins = |given: ID| id(&format!("{field}.consumeCredits.otherwiseAutomationId"), "automation", &given);
        Ok(Action::Consume {
            credit_type: id(&format!("{field}.consumeCredits.creditTypeId"), "credit type", &self.credit_type_id)?,
            amount: self.amount.0,
            note: self.note,
            otherwise: otherwise.map(begins).transpose()?,
        })
    }
}

impl ActionInput {
    /// The action that it stands for; `field` is the path to it.
    pub fn action(self, field: &str) -> Result<Action, Refusal> {
        match self {
            Self::IssueCredits(input) => input.action(field),
            Self::ConsumeCredits(input) => input.action(field),
            Self::StartAutomation(given) => {
                Ok(Action::Start { automation: id(&format!("{field}.startAutomation"), "automation", &given)? })
            }
            Self::TagCustomer(tags) => Ok(Action::Tag { tags }),
            Self::UntagCustomer(tags) => Ok(Action::Untag { tags }),
        }
    }
}

/// The actions of a list.
pub fn actions(inputs: Vec<ActionInput>) -> Result<Vec<Action>, Refusal> {
    let numbered = inputs.into_iter().enumerate();
    numbered.map(|(number, input)| input.action(&format!("actions.{number}"))).collect()
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum ActionKind {
    /// Credits are issued.
    IssueCredits,
    /// Credits are consumed.
    ConsumeCredits,
    /// An automation begins.
    StartAutomation,
    /// The customer is tagged.
    TagCustomer,
    /// Tags are taken off the customer.
    UntagCustomer,
}

/// One thing that is done to a customer.
#[derive(Description)]
pub struct ActionAnswer(pub Action);

#[Object(name = "Action", use_type_description)]
impl ActionAnswer {
    /// What is done.
    fn kind(&self) -> ActionKind {
        match &self.0 {
            Action::Issue { .. } => ActionKind::IssueCredits,
            Action::Consume { .. } => ActionKind::ConsumeCredits,
            Action::Start { .. } => ActionKind::StartAutomation,
            Action::Tag { .. } => ActionKind::TagCustomer,
            Action::Untag { .. } => ActionKind::UntagCustomer,
        }
    }

    /// Of which credits; null where it moves none.
    async fn credit_type(&self, ctx: &Context<'_>) -> Result<Option<CreditType>> {
        let (Action::Issue { credit_type, .. } | Action::Consume { credit_type, .. }) = &self.0 else {
            return Ok(None);
        };
        Ok(ctx.reads(Scope::StaffRead).await?.credit_types.get(*credit_type).await?.map(CreditType))
    }

    /// How many credits; null where it moves none.
    fn amount(&self) -> Option<Credits> {
        match &self.0 {
            Action::Issue { amount, .. } | Action::Consume { amount, .. } => Some(Credits(*amount)),
            _ => None,
        }
    }

    /// When credits that it issues end; null where their type says so.
    fn expiration(&self) -> Option<ExpirationPolicy> {
        let policy: Option<Expiration> =
            if let Action::Issue { expiration, .. } = &self.0 { *expiration } else { None };
        policy.map(Into::into)
    }

    /// What the customer reads about it.
    fn note(&self) -> Option<&str> {
        match &self.0 {
            Action::Issue { note, .. } | Action::Consume { note, .. } => note.as_deref(),
            _ => None,
        }
    }

    /// The automation that begins.
    async fn automation(&self, ctx: &Context<'_>) -> Result<Option<Automation>> {
        let Action::Start { automation } = &self.0 else { return Ok(None) };
        Ok(ctx.reads(Scope::StaffRead).await?.automations.get(*automation).await?.map(Automation))
    }

    /// The automation that begins where there are not enough credits to consume.
    async fn otherwise_automation(&self, ctx: &Context<'_>) -> Result<Option<Automation>> {
        let Some(id) = self.0.otherwise() else { return Ok(None) };
        Ok(ctx.reads(Scope::StaffRead).await?.automations.get(id).await?.map(Automation))
    }

    /// The tags that it puts on the customer, or takes off.
    fn tags(&self) -> Option<&[String]> {
        if let Action::Tag { tags } | Action::Untag { tags } = &self.0 { Some(tags) } else { None }
    }
}
