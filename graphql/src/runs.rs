//! The log of what triggers and automations did.

use async_graphql::{Context, Description, Enum, ID, Object, Result};
use entity::run::{Model, Status};

use super::actions::ActionAnswer;
use super::activity::Activity;
use super::context::Ask;
use super::customers::Customer;
use super::enrolments::Enrolment;
use super::events::Event;
use super::page::{self, Connection};
use super::payload::UserErrorInterface;
use super::scalars::DateTime;
use super::steps::Step;
use super::triggers::Trigger;
use domain::automations::{actions, runs, steps};
use domain::{Error, Scope};

/// What became of an action or a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Status", name = "RunStatus")]
pub enum RunStatus {
    /// It will be carried out.
    Pending,
    /// It had its effect.
    Done,
    /// A rule said no: see `userError`.
    Refused,
    /// It could not be carried out, by a fault. See `jobs(dead: true)`, and `jobRetry` to try again. A trigger whose stored
    /// form cannot be read has no job, and no action.
    Failed,
    /// Its trigger was deleted or disabled before it was carried out.
    Cancelled,
}

/// One action of a trigger about one event, or one step of an enrolment: carried out once.
#[derive(Description)]
pub struct Run(pub Model);

#[Object(use_type_description)]
impl Run {
    /// Opaque, and unique over the whole server.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// The trigger; null for a step.
    async fn trigger(&self, ctx: &Context<'_>) -> Result<Option<Trigger>> {
        let Some(id) = self.0.trigger_id else { return Ok(None) };
        Ok(ctx.reads(Scope::StaffRead).await?.triggers.get(id).await?.map(Trigger))
    }

    /// The version of the trigger that it was.
    fn trigger_version(&self) -> Option<i32> {
        self.0.trigger_version
    }

    /// The enrolment; null for an action of a trigger.
    async fn enrolment(&self, ctx: &Context<'_>) -> Result<Option<Enrolment>> {
        let Some(id) = self.0.enrolment_id else { return Ok(None) };
        Ok(ctx.reads(Scope::StaffRead).await?.enrolments.get(id).await?.map(Enrolment))
    }

    /// The event that led to it; null for what was begun by hand, and once the event is kept no longer.
    async fn event(&self, ctx: &Context<'_>) -> Result<Option<Event>> {
        let Some(id) = self.0.event_id else { return Ok(None) };
        Ok(ctx.reads(Scope::StaffRead).await?.events.get(id).await?.map(Event))
    }

    /// Which action of the trigger, from 0; or which step that the enrolment took, from 0. What begins because credits
    /// were missing counts from 1,000.
    fn position(&self) -> i32 {
        self.0.position
    }

    /// Whom it was done to.
    async fn customer(&self, ctx: &Context<'_>) -> Result<Option<Customer>> {
        Ok(ctx.reads(Scope::StaffRead).await?.customers.get(self.0.customer_id).await?.map(Customer))
    }

    /// What was done, by a trigger; null for a step.
    fn action(&self) -> Option<ActionAnswer> {
        self.0.trigger_id?;
        runs::form::<actions::Action>(&self.0).ok().map(ActionAnswer)
    }

    /// What was done, as a step; null for an action of a trigger.
    fn step(&self) -> Option<Step> {
        self.0.enrolment_id?;
        runs::form::<steps::Step>(&self.0).ok().map(Step)
    }

    /// What became of it.
    fn status(&self) -> RunStatus {
        self.0.status.into()
    }

    /// What it wrote in the ledger.
    async fn activity(&self, ctx: &Context<'_>) -> Result<Option<Activity>> {
        let Some(id) = self.0.activity_id else { return Ok(None) };
        Ok(ctx.reads(Scope::StaffRead).await?.activities.get(id).await?.map(Activity::of))
    }

    /// Why it was refused.
    fn user_error(&self) -> Result<Option<UserErrorInterface>> {
        Ok(runs::refusal(&self.0)?.map(Into::into))
    }

    /// Where a branch went: true for `then`, false for `otherwise`; null for all else.
    fn branch_held(&self) -> Option<bool> {
        self.0.detail.get("held")?.as_bool()
    }

    /// Until when a wait lasted.
    fn waited_until(&self) -> Option<DateTime> {
        self.0.detail.get("until")?.as_str()?.parse().ok().map(DateTime)
    }

    /// The enrolment that it began.
    async fn began(&self, ctx: &Context<'_>) -> Result<Option<Enrolment>> {
        let id = self.0.detail.get("enrolmentId").and_then(serde_json::Value::as_str);
        let Some(Ok(id)) = id.map(str::parse) else { return Ok(None) };
        Ok(ctx.reads(Scope::StaffRead).await?.enrolments.get(id).await?.map(Enrolment))
    }

    /// The event that a step posted to a webhook endpoint.
    async fn webhook_event(&self, ctx: &Context<'_>) -> Result<Option<Event>> {
        let id = self.0.detail.get("eventId").and_then(serde_json::Value::as_str);
        let Some(Ok(id)) = id.map(str::parse) else { return Ok(None) };
        Ok(ctx.reads(Scope::StaffRead).await?.events.get(id).await?.map(Event))
    }

    /// When it was decided, by the account's clock.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it was carried out, refused, or given up.
    fn ended_at(&self) -> Option<DateTime> {
        self.0.ended_at.map(DateTime)
    }
}

#[derive(Default)]
pub struct RunQuery;

#[Object]
impl RunQuery {
    /// One run; null if there is no such run. For staff.
    async fn run(&self, ctx: &Context<'_>, #[graphql(desc = "Its id.")] id: ID) -> Option<Result<Run>> {
        let found = async {
            let reads = ctx.reads(Scope::StaffRead).await?;
            let Ok(id) = id.parse() else { return Ok(None) };
            Ok(runs::by_ids(reads.alone()?, &[id]).await?.remove(&id).map(Run))
        };
        found.await.transpose()
    }

    /// What triggers and automations did and came to this, newest first: all that was refused, or failed. For staff.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    async fn runs(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What they came to.")] status: RunStatus,
        #[graphql(desc = "How many from the beginning, 1 to 100; 20 if nothing is said.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Option<Result<Connection<Run>>> {
        let found = async {
            let page = page::page(first, after.as_deref(), last, before.as_deref()).map_err(Error::from)?;
            let reads = ctx.reads(Scope::StaffRead).await?;
            Ok(page::connection(runs::list(reads.alone()?, status.into(), &page).await?, |row| row.id, Run))
        };
        Some(found.await)
    }
}
