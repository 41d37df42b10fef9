//! Triggers: when something happens, do that.

use async_graphql::{Context, Description, ID, InputObject, MaybeUndefined, Object, Result, SimpleObject};
use entity::event_trigger::Model;

use super::accounts::kept;
use super::actions::{ActionAnswer, ActionInput, actions};
use super::answered::PreviewAnswer;
use super::conditions::{ConditionAnswer, ConditionInput, ConditionMatch, conditions};
use super::context::Ask;
use super::list::List;
use super::page::{self, Connection};
use super::payload::{UserErrorInterface, answer, id};
use super::prices::{Warning, WarningCode};
use super::runs::{Run, RunStatus};
use super::scalars::{DateTime, Json};
use domain::automations::conditions::Conditions;
use domain::automations::rehearsal::{self, Rehearsal};
use domain::automations::triggers::{self, Changes, NewTrigger, Saved};
use domain::automations::{form, runs};
use domain::{Error, Scope};

/// When something happens to a customer, and these conditions hold, that is done. Each action once for each event.
#[derive(Description)]
pub struct Trigger(pub Model);

#[Object(use_type_description)]
impl Trigger {
    /// Opaque, and unique over the whole server.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// The name that staff reads.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// The name of the event that it waits for.
    fn event_name(&self) -> &str {
        &self.0.event
    }

    /// Whether all conditions must hold, or one of them.
    #[graphql(name = "match")]
    fn matching(&self) -> Result<ConditionMatch> {
        Ok(form::<Conditions>(&self.0.conditions)?.matching.into())
    }

    /// What the event must say. None at all hold always.
    fn conditions(&self) -> Result<List<ConditionAnswer>> {
        Ok(form::<Conditions>(&self.0.conditions)?.conditions.into_iter().map(Into::into).collect())
    }

    /// What is done, each by itself and in this order.
    #[graphql(complexity = "child_complexity.saturating_mul(10).saturating_add(1)")]
    fn actions(&self) -> Result<List<ActionAnswer>> {
        Ok(form::<Vec<_>>(&self.0.actions)?.into_iter().map(ActionAnswer).collect())
    }

    /// Whether it looks at what happens.
    fn enabled(&self) -> bool {
        self.0.enabled
    }

    /// Goes up whenever its event, conditions or actions change. What has happened already is done as decided then.
    fn version(&self) -> i32 {
        self.0.version
    }

    /// What it did, newest first.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    async fn runs(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only those that came to this.")] status: Option<RunStatus>,
        #[graphql(desc = "How many from the beginning, 1 to 100; 20 if nothing is said.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Result<Connection<Run>> {
        let page = page::page(first, after.as_deref(), last, before.as_deref()).map_err(Error::from)?;
        let wish = runs::Wish { of: runs::Of::Trigger(self.0.id), status: status.map(Into::into), page };
        let slice = ctx.reads(Scope::StaffRead).await?.run_pages.get(wish).await?;
        Ok(page::connection(slice.unwrap_or_default(), |row| row.id, Run))
    }

    /// When it was created.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it was last changed.
    fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }

    /// When it was deleted. Its log stays.
    fn deleted_at(&self) -> Option<DateTime> {
        self.0.deleted_at.map(DateTime)
    }
}

#[derive(Default)]
pub struct TriggerQuery;

#[Object]
impl TriggerQuery {
    /// One trigger; null if there is no such trigger. For staff.
    async fn trigger(&self, ctx: &Context<'_>, #[graphql(desc = "Its id.")] id: ID) -> Option<Result<Trigger>> {
        let found = async {
            let reads = ctx.reads(Scope::StaffRead).await?;
            let Ok(id) = id.parse() else { return Ok(None) };
            Ok(reads.triggers.get(id).await?.map(Trigger))
        };
        found.await.transpose()
    }

    /// The account's triggers, oldest first. For staff.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    async fn triggers(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, 1 to 100; 20 if nothing is said.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Option<Result<Connection<Trigger>>> {
        let found = async {
            let page = page::page(first, after.as_deref(), last, before.as_deref()).map_err(Error::from)?;
            let reads = ctx.reads(Scope::StaffRead).await?;
            Ok(page::connection(triggers::list(reads.alone()?, &page).await?, |row| row.id, Trigger))
        };
        Some(found.await)
    }
}

/// A new trigger.
#[derive(InputObject)]
pub struct TriggerCreateInput {
    /// The name that staff reads.
    name: String,
    /// The name of the event that it waits for: one of `eventTypes`, or one of the business's own.
    event_name: String,
    /// Whether all conditions must hold, or one of them.
    #[graphql(name = "match", default_with = "ConditionMatch::All")]
    matching: ConditionMatch,
    /// What the event must say: at most 20 conditions.
    #[graphql(default)]
    conditions: Vec<ConditionInput>,
    /// What is done: 1 to 10 actions.
    actions: Vec<ActionInput>,
    /// Whether it looks at what happens.
    #[graphql(default = true)]
    enabled: bool,
}

/// What changes in a trigger. What is left out stays.
#[derive(InputObject)]
pub struct TriggerUpdateInput {
    /// The trigger.
    id: ID,
    /// The name that staff reads.
    name: MaybeUndefined<String>,
    /// The name of the event that it waits for.
    event_name: MaybeUndefined<String>,
    /// Whether all conditions must hold, or one of them.
    #[graphql(name = "match")]
    matching: MaybeUndefined<ConditionMatch>,
    /// What the event must say, instead of what it had to.
    conditions: MaybeUndefined<Vec<ConditionInput>>,
    /// What is done, instead of what was.
    actions: MaybeUndefined<Vec<ActionInput>>,
    /// Whether it looks at what happens.
    enabled: MaybeUndefined<bool>,
}

/// A trigger to delete.
#[derive(InputObject)]
pub struct TriggerDeleteInput {
    /// The trigger.
    id: ID,
}

/// A trigger to try, and an event of the past to try it on.
#[derive(InputObject)]
pub struct TriggerTestInput {
    /// The trigger.
    trigger_id: ID,
    /// The event.
    event_id: ID,
}

/// What became of a change to a trigger.
#[derive(SimpleObject)]
pub struct TriggerPayload {
    /// The trigger as it is now; null if the change was refused.
    trigger: Option<Trigger>,
    /// What is worth a second look.
    warnings: List<Warning>,
    /// Why it was refused.
    user_errors: Vec<UserErrorInterface>,
}

/// A condition, and what it found.
#[derive(SimpleObject)]
pub struct ConditionResult {
    /// The condition.
    condition: ConditionAnswer,
    /// What the event says there; null if it says nothing.
    found: Option<Json>,
    /// Whether it holds.
    holds: bool,
}

/// An action, and what would become of it.
#[derive(SimpleObject)]
pub struct ActionResult {
    /// The action.
    action: ActionAnswer,
    /// What it would do to the customer's credits; null where it moves none, or would be refused.
    preview: Option<PreviewAnswer>,
    /// Why it would be refused.
    user_error: Option<UserErrorInterface>,
}

/// What a trigger would do now about an event of the past.
#[derive(SimpleObject)]
pub struct TriggerTestPayload {
    /// Whether it waits for such events, and its conditions hold; null if the test was refused.
    fires: Option<bool>,
    /// Each condition, and what it found.
    conditions: List<ConditionResult>,
    /// Each action, and what would become of it now. Empty where it does not fire.
    actions: List<ActionResult>,
    /// Why the test was refused.
    user_errors: Vec<UserErrorInterface>,
}

#[derive(Default)]
pub struct TriggerMutation;

#[Object]
impl TriggerMutation {
    /// Create a trigger. It looks at what happens from then on. For staff.
    async fn trigger_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The trigger.")] input: TriggerCreateInput,
    ) -> Option<Result<TriggerPayload>> {
        let saved = async {
            let new = NewTrigger {
                name: input.name,
                event: input.event_name,
                conditions: conditions(input.matching, input.conditions),
                actions: actions(input.actions)?,
                enabled: input.enabled,
            };
            triggers::create(ctx.caller()?, new).await
        };
        Some(Box::pin(payload(ctx, saved)).await)
    }

    /// Change a trigger. For staff.
    async fn trigger_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What changes.")] input: TriggerUpdateInput,
    ) -> Option<Result<TriggerPayload>> {
        let saved = async {
            let changes = Changes {
                name: kept("name", input.name)?,
                event: kept("eventName", input.event_name)?,
                matching: kept("match", input.matching)?.map(Into::into),
                conditions: kept("conditions", input.conditions)?
                    .map(|inputs| inputs.into_iter().map(Into::into).collect()),
                actions: kept("actions", input.actions)?.map(actions).transpose()?,
                enabled: kept("enabled", input.enabled)?,
            };
            triggers::update(ctx.caller()?, id("id", "trigger", &input.id)?, changes).await
        };
        Some(Box::pin(payload(ctx, saved)).await)
    }

    /// Delete a trigger. Its log stays. For staff.
    async fn trigger_delete(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The trigger.")] input: TriggerDeleteInput,
    ) -> Option<Result<TriggerPayload>> {
        let saved = async {
            let trigger = triggers::delete(ctx.caller()?, id("id", "trigger", &input.id)?).await?;
            Ok(Saved { trigger, event_seen: true })
        };
        Some(Box::pin(payload(ctx, saved)).await)
    }

    /// Say what a trigger would do now about an event of the past. Nothing is written. For staff.
    async fn trigger_test(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The trigger and the event.")] input: TriggerTestInput,
    ) -> Option<Result<TriggerTestPayload>> {
        let tested = async {
            let trigger = id("triggerId", "trigger", &input.trigger_id)?;
            rehearsal::rehearse(ctx.caller()?, trigger, id("eventId", "event", &input.event_id)?).await
        };
        let answered = answer(ctx, Box::pin(tested)).await;
        Some(answered.map(|(rehearsal, user_errors)| tested_payload(rehearsal, user_errors)))
    }
}

fn tested_payload(rehearsal: Option<Rehearsal>, user_errors: Vec<UserErrorInterface>) -> TriggerTestPayload {
    let fires = rehearsal.as_ref().map(|rehearsal| rehearsal.fires);
    let (conditions, actions) = rehearsal.map(|it| (it.conditions, it.actions)).unwrap_or_default();
    let conditions = conditions.into_iter().map(|(condition, found, holds)| ConditionResult {
        condition: condition.into(),
        found: Some(found).filter(|found| !found.is_null()).map(Json),
        holds,
    });
    let actions = actions.into_iter().map(|(action, became)| {
        let (preview, user_error) = match became {
            Ok(preview) => (preview.map(PreviewAnswer), None),
            Err(refusal) => (None, Some(refusal.into())),
        };
        ActionResult { action: ActionAnswer(action), preview, user_error }
    });
    TriggerTestPayload { fires, conditions: conditions.collect(), actions: actions.collect(), user_errors }
}

async fn payload(ctx: &Context<'_>, operation: impl Future<Output = domain::Result<Saved>>) -> Result<TriggerPayload> {
    let (saved, user_errors) = answer(ctx, operation).await?;
    let unseen = saved.as_ref().filter(|saved| !saved.event_seen).map(|saved| Warning {
        code: WarningCode::EventNeverSeen,
        message: format!("No event {} was ever seen here. Check the name, or track one.", saved.trigger.event),
    });
    let trigger = saved.map(|saved| Trigger(saved.trigger));
    Ok(TriggerPayload { trigger, warnings: unseen.into_iter().collect(), user_errors })
}
