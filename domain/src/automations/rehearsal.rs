//! What a trigger would do about an event of the past: the same rules, and nothing written.

use entity::activity::Source;
use entity::{EventId, TriggerId, automation};
use sea_orm::{ColumnTrait, QueryFilter};
use serde_json::Value;

use super::actions::Action;
use super::conditions::{Condition, Conditions};
use super::{enrolments, triggers};
use crate::ground::cause::DEEPEST;
use crate::ground::error::{Error, Refusal, Result};
use crate::ground::refusal::flow::Flow;
use crate::ground::scope::Scope;
use crate::identity::caller::Caller;
use crate::ledger::{Preview, preview};
use crate::queue::events::{self, read};
use crate::storage::tx::View;

/// What a trigger would do.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// Whether it waits for such events, and its conditions hold.
    pub fires: bool,
    /// Each condition, what it found, and whether it held.
    pub conditions: Vec<(Condition, Value, bool)>,
    /// Each action, and what would become of it now; none where it does not fire.
    pub actions: Vec<(Action, std::result::Result<Option<Preview>, Refusal>)>,
}

/// What a trigger would do now about an event.
pub async fn rehearse(caller: &Caller, trigger: TriggerId, event: EventId) -> Result<Rehearsal> {
    let view = caller.view(Scope::AutomationsWrite).await?;
    let trigger = triggers::by_ids(&view, &[trigger]).await?.remove(&trigger);
    let trigger = trigger.ok_or_else(|| Refusal::not_found("triggerId", "trigger"))?;
    let event = events::by_ids(&view, &[event]).await?.remove(&event);
    let event = event.ok_or_else(|| Refusal::not_found("eventId", "event"))?;
    let rules: Conditions = read(&trigger.conditions)?;
    let conditions = rules
        .conditions
        .iter()
        .map(|condition| (condition.clone(), condition.found(&event.payload).clone(), condition.holds(&event.payload)));
    let conditions = conditions.collect();
    let customer = event.customer_id.filter(|_| trigger.event == event.name && rules.hold(&event.payload));
    let mut actions = Vec::new();
    if let Some(customer) = customer {
        for action in read::<Vec<Action>>(&trigger.actions)? {
            let became = if event.depth >= DEEPEST {
                Err(Flow::LoopLimit.into())
            } else {
                one(&view, &action, customer, event.id).await?
            };
            actions.push((action, became));
        }
    }
    Ok(Rehearsal { fires: customer.is_some(), conditions, actions })
}

async fn one(
    view: &View,
    action: &Action,
    customer: entity::CustomerId,
    event: EventId,
) -> Result<std::result::Result<Option<Preview>, Refusal>> {
    if let Some(command) = action.command(customer, event.to_string()) {
        return match preview::preview(view, Source::Trigger, &command.check()?).await {
            Ok(preview) => Ok(Ok(Some(preview))),
            Err(Error::Refused(refusal)) => Ok(Err(refusal)),
            Err(error) => Err(error),
        };
    }
    let Action::Start { automation } = action else { return Ok(Ok(None)) };
    let row = view.rows::<automation::Entity>().filter(automation::Column::Id.eq(*automation)).one(view.db()).await?;
    Ok(match row {
        None => Err(Refusal::not_found("automationId", "automation")),
        Some(row) if !row.enabled => Err(Flow::AutomationDisabled { field: "automationId".to_owned() }.into()),
        Some(_) if enrolments::is_walking(view, *automation, customer).await? => Err(Flow::AlreadyEnrolled.into()),
        Some(_) => Ok(None),
    })
}
