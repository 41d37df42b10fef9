//! What a rule of triggers, automations or webhooks says no with.

use serde::{Deserialize, Serialize};

use super::code::Code;
use crate::cause::{DEEPEST, WIDEST};

/// A rule of triggers, automations or webhooks that said no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flow {
    /// A customer walks an automation once at a time.
    AlreadyEnrolled,
    /// The automation takes no new customers.
    AutomationDisabled { field: String },
    /// Only what runs can be stopped, and only what is stopped can be resumed.
    EnrolmentStatus { status: String },
    /// What follows would be one too many in a row.
    LoopLimit,
    /// What follows would be more than may come of one event.
    RunLimit,
    /// Nothing is posted to it.
    EndpointDisabled { field: String },
    /// It is tried by itself.
    DeliveryPending,
    /// The host's addresses are not all public.
    AddressNotPublic { field: String, host: String },
}

impl Flow {
    /// What a client branches on.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::AlreadyEnrolled => Code::AlreadyEnrolled,
            Self::AutomationDisabled { .. } => Code::AutomationDisabled,
            Self::EnrolmentStatus { .. } => Code::EnrolmentStatus,
            Self::LoopLimit => Code::LoopLimit,
            Self::RunLimit => Code::RunLimit,
            Self::EndpointDisabled { .. } => Code::EndpointDisabled,
            Self::DeliveryPending => Code::DeliveryPending,
            Self::AddressNotPublic { .. } => Code::AddressNotPublic,
        }
    }

    /// What happened and what to do next, for people.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::AlreadyEnrolled => {
                "This customer walks this automation already, or was stopped on the way. Wait for its end, or end that enrolment with automationStop(end: true)."
                    .to_owned()
            }
            Self::AutomationDisabled { .. } => {
                "This automation is disabled and takes no new customers. Enable it with automationUpdate.".to_owned()
            }
            Self::EnrolmentStatus { status } => {
                format!("This enrolment is {status}, so this cannot be done. Nothing was changed.")
            }
            Self::LoopLimit => format!(
                "Triggers and automations led to one another {DEEPEST} times in a row, which is the limit. Find the two that set each other off."
            ),
            Self::RunLimit => format!(
                "{WIDEST} runs came of one event, which is the limit: this trigger and those after it do nothing more about it. Find the triggers that set each other off, and narrow their conditions or disable them."
            ),
            Self::EndpointDisabled { .. } => {
                "This webhook endpoint is disabled: nothing is posted to it. Enable it with webhookEndpointUpdate."
                    .to_owned()
            }
            Self::DeliveryPending => "This delivery is under way, and is tried again by itself.".to_owned(),
            Self::AddressNotPublic { host, .. } => format!(
                "{host} does not lead to a public address, as far as this server can see. Check how it is written, use a public address, or let whoever runs the server set webhook_private."
            ),
        }
    }

    /// The path to the input's field that is to blame, if one is.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::AutomationDisabled { field }
            | Self::EndpointDisabled { field }
            | Self::AddressNotPublic { field, .. } => Some(field),
            Self::EnrolmentStatus { .. } => Some("enrolmentId"),
            Self::DeliveryPending => Some("id"),
            Self::AlreadyEnrolled => Some("who.customerId"),
            Self::LoopLimit | Self::RunLimit => None,
        }
    }
}
