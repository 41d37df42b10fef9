//! Automations: steps that customers walk through.

use async_graphql::{Context, Description, ID, InputObject, MaybeUndefined, Object, Result, SimpleObject};
use entity::automation::Model;

use super::accounts::kept;
use super::context::Ask;
use super::enrolments::{Enrolment, EnrolmentStatus};
use super::list::List;
use super::page::{self, Connection};
use super::payload::{UserErrorInterface, answer, id};
use super::scalars::DateTime;
use super::steps::{Step, StepInput, steps};
use domain::automations::definitions::{self, Changes, NewAutomation};
use domain::automations::enrolments;
use domain::{Error, Scope};

/// Ordered steps that customers walk through, one customer once at a time.
#[derive(Description)]
pub struct Automation(pub Model);

#[Object(use_type_description)]
impl Automation {
    /// Opaque, and unique over the whole server.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// The name that staff reads.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether customers may begin to walk it. Those who have begun go on.
    fn enabled(&self) -> bool {
        self.0.enabled
    }

    /// The newest version. Walks that have begun go on with theirs.
    fn version(&self) -> i32 {
        self.0.version
    }

    /// The steps of the newest version, or of another; null if there is no such version.
    #[graphql(complexity = "child_complexity.saturating_mul(50).saturating_add(1)")]
    async fn steps(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which version; the newest, if left out.")] version: Option<i32>,
    ) -> Result<Option<List<Step>>> {
        let wanted = (self.0.id, version.unwrap_or(self.0.version));
        let steps = ctx.reads(Scope::StaffRead).await?.steps.get(wanted).await?;
        Ok(steps.map(|steps| steps.into_iter().map(Step).collect()))
    }

    /// Who walks it or did, newest first.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    async fn enrolments(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only those that are so far.")] status: Option<EnrolmentStatus>,
        #[graphql(desc = "How many from the beginning, 1 to 100; 20 if nothing is said.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Result<Connection<Enrolment>> {
        let page = page::page(first, after.as_deref(), last, before.as_deref()).map_err(Error::from)?;
        let of = enrolments::Of::Automation(self.0.id);
        let wish = enrolments::Wish { of, status: status.map(Into::into), page };
        let slice = ctx.reads(Scope::StaffRead).await?.enrolment_pages.get(wish).await?;
        Ok(page::connection(slice.unwrap_or_default(), |row| row.id, Enrolment))
    }

    /// When it was created.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it was last changed.
    fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }
}

#[derive(Default)]
pub struct AutomationQuery;

#[Object]
impl AutomationQuery {
    /// One automation; null if there is no such automation. For staff.
    async fn automation(&self, ctx: &Context<'_>, #[graphql(desc = "Its id.")] id: ID) -> Option<Result<Automation>> {
        let found = async {
            let reads = ctx.reads(Scope::StaffRead).await?;
            let Ok(id) = id.parse() else { return Ok(None) };
            Ok(reads.automations.get(id).await?.map(Automation))
        };
        found.await.transpose()
    }

    /// The account's automations, oldest first. For staff.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    async fn automations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, 1 to 100; 20 if nothing is said.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Option<Result<Connection<Automation>>> {
        let found = async {
            let page = page::page(first, after.as_deref(), last, before.as_deref()).map_err(Error::from)?;
            let reads = ctx.reads(Scope::StaffRead).await?;
            Ok(page::connection(definitions::list(reads.alone()?, &page).await?, |row| row.id, Automation))
        };
        Some(found.await)
    }
}

/// A new automation.
#[derive(InputObject)]
pub struct AutomationCreateInput {
    /// The name that staff reads.
    name: String,
    /// Its steps, in order: 1 to 50. A branch may skip some, forward only.
    steps: Vec<StepInput>,
    /// Whether customers may begin to walk it.
    #[graphql(default = true)]
    enabled: bool,
}

/// What changes in an automation. What is left out stays.
#[derive(InputObject)]
pub struct AutomationUpdateInput {
    /// The automation.
    id: ID,
    /// The name that staff reads.
    name: MaybeUndefined<String>,
    /// Its steps from now on: a new version, which those walk who begin from then on.
    steps: MaybeUndefined<Vec<StepInput>>,
    /// Whether customers may begin to walk it. Those who have begun go on.
    enabled: MaybeUndefined<bool>,
}

/// What became of a change to an automation.
#[derive(SimpleObject)]
pub struct AutomationPayload {
    /// The automation as it is now; null if the change was refused.
    automation: Option<Automation>,
    /// Why it was refused.
    user_errors: Vec<UserErrorInterface>,
}

#[derive(Default)]
pub struct AutomationMutation;

#[Object]
impl AutomationMutation {
    /// Create an automation. For staff.
    async fn automation_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The automation.")] input: AutomationCreateInput,
    ) -> Option<Result<AutomationPayload>> {
        let made = async {
            let new = NewAutomation { name: input.name, steps: steps(input.steps)?, enabled: input.enabled };
            definitions::create(ctx.caller()?, new).await
        };
        Some(Box::pin(payload(ctx, made)).await)
    }

    /// Change an automation. For staff.
    async fn automation_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What changes.")] input: AutomationUpdateInput,
    ) -> Option<Result<AutomationPayload>> {
        let changed = async {
            let changes = Changes {
                name: kept("name", input.name)?,
                steps: kept("steps", input.steps)?.map(steps).transpose()?,
                enabled: kept("enabled", input.enabled)?,
            };
            definitions::update(ctx.caller()?, id("id", "automation", &input.id)?, changes).await
        };
        Some(Box::pin(payload(ctx, changed)).await)
    }
}

async fn payload(
    ctx: &Context<'_>,
    operation: impl Future<Output = domain::Result<Model>>,
) -> Result<AutomationPayload> {
    let (row, user_errors) = answer(ctx, operation).await?;
    Ok(AutomationPayload { automation: row.map(Automation), user_errors })
}
