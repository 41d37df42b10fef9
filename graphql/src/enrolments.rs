//! Who walks an automation.

use async_graphql::{Context, Description, Enum, ID, InputObject, Object, OneofObject, Result, SimpleObject};
use entity::CustomerId;
use entity::enrolment::{Model, Status};

use super::automations::Automation;
use super::bulk::{BulkOperation, start_bulk};
use super::context::Ask;
use super::customers::Customer;
use super::events::Event;
use super::list::List;
use super::page::{self, Connection};
use super::payload::{UserErrorInterface, answer, id};
use super::runs::Run;
use super::scalars::DateTime;
use domain::automations::enrolments::{self, NewEnrolment, Of, Wish};
use domain::bulk::Plan;
use domain::{Error, Scope};

/// How far a walk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Status", name = "EnrolmentStatus")]
pub enum EnrolmentStatus {
    /// It goes on by itself, at once or when its wait is over.
    Running,
    /// Somebody stopped it; `automationResume` lets it go on.
    Stopped,
    /// It came to its end.
    Done,
    /// A step of it could not be taken, by a fault. See `jobs(dead: true)`, and `jobRetry` to let it go on.
    Failed,
}

/// One customer's walk through an automation. Each step is taken once, whatever happens to the server.
#[derive(Description)]
pub struct Enrolment(pub Model);

#[Object(use_type_description)]
impl Enrolment {
    /// Opaque, and unique over the whole server.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// What is walked.
    async fn automation(&self, ctx: &Context<'_>) -> Result<Option<Automation>> {
        Ok(ctx.reads(Scope::StaffRead).await?.automations.get(self.0.automation_id).await?.map(Automation))
    }

    /// The version that it walks to its end.
    fn version(&self) -> i32 {
        self.0.version
    }

    /// Who walks.
    async fn customer(&self, ctx: &Context<'_>) -> Result<Option<Customer>> {
        Ok(ctx.reads(Scope::StaffRead).await?.customers.get(self.0.customer_id).await?.map(Customer))
    }

    /// The event that began it; null where it was begun by hand, and once the event is kept no longer.
    async fn event(&self, ctx: &Context<'_>) -> Result<Option<Event>> {
        let Some(id) = self.0.event_id else { return Ok(None) };
        Ok(ctx.reads(Scope::StaffRead).await?.events.get(id).await?.map(Event))
    }

    /// How far it is.
    fn status(&self) -> EnrolmentStatus {
        self.0.status.into()
    }

    /// Which step comes next, from 0.
    fn next_step(&self) -> i32 {
        self.0.step
    }

    /// When it goes on, while it waits.
    fn wake_at(&self) -> Option<DateTime> {
        self.0.wake_at.map(DateTime)
    }

    /// The steps that it took, in order.
    #[graphql(complexity = "child_complexity.saturating_mul(30).saturating_add(1)")]
    async fn history(&self, ctx: &Context<'_>) -> Result<List<Run>> {
        let taken = ctx.reads(Scope::StaffRead).await?.steps_taken.get(self.0.id).await?;
        Ok(taken.unwrap_or_default().into_iter().map(Run).collect())
    }

    /// Why it was stopped, or why it ended before its last step.
    fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// When it began.
    fn started_at(&self) -> DateTime {
        DateTime(self.0.started_at)
    }

    /// When it ended.
    fn ended_at(&self) -> Option<DateTime> {
        self.0.ended_at.map(DateTime)
    }
}

/// What a customer walks.
#[derive(Description)]
pub struct CustomerWalks(pub CustomerId);

#[Object(use_type_description)]
impl CustomerWalks {
    /// The automations that this customer walks or walked, newest first. For staff.
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
        let wish = Wish { of: Of::Customer(self.0), status: status.map(Into::into), page };
        let slice = ctx.reads(Scope::StaffRead).await?.enrolment_pages.get(wish).await?;
        Ok(page::connection(slice.unwrap_or_default(), |row| row.id, Enrolment))
    }
}

#[derive(Default)]
pub struct EnrolmentQuery;

#[Object]
impl EnrolmentQuery {
    /// One enrolment; null if there is no such enrolment. For staff.
    async fn enrolment(&self, ctx: &Context<'_>, #[graphql(desc = "Its id.")] id: ID) -> Option<Result<Enrolment>> {
        let found = async {
            let reads = ctx.reads(Scope::StaffRead).await?;
            let Ok(id) = id.parse() else { return Ok(None) };
            Ok(reads.enrolments.get(id).await?.map(Enrolment))
        };
        found.await.transpose()
    }
}

/// Who begins. Exactly one of the fields.
#[derive(OneofObject)]
pub enum AutomationStartWho {
    /// This customer.
    CustomerId(ID),
    /// Every customer with this tag, in any case. That is a bulk operation, which goes on by itself.
    Tag(String),
}

/// An automation to begin, and who begins.
#[derive(InputObject)]
pub struct AutomationStartInput {
    /// The automation.
    automation_id: ID,
    /// Who begins.
    who: AutomationStartWho,
    /// 1 to 255 characters, the same for the same request however often it is sent: it is carried out once.
    idempotency_key: String,
}

/// What became of `automationStart`.
#[derive(SimpleObject)]
pub struct AutomationStartPayload {
    /// The enrolment as it is now; null if it was refused, or is for a tag.
    enrolment: Option<Enrolment>,
    /// The operation that enrols everybody with a tag; null if it was refused, or is for one customer.
    operation: Option<BulkOperation>,
    /// The key was known: this is what it began, or why it began nothing. Nothing was begun now.
    replayed: bool,
    /// Why it was refused.
    user_errors: Vec<UserErrorInterface>,
}

/// An enrolment to stop.
#[derive(InputObject)]
pub struct AutomationStopInput {
    /// The enrolment.
    enrolment_id: ID,
    /// Why: at most 255 characters.
    reason: Option<String>,
    /// Whether it is over for good, and the customer may begin anew; otherwise it can be resumed.
    #[graphql(default)]
    end: bool,
}

/// An enrolment to resume.
#[derive(InputObject)]
pub struct AutomationResumeInput {
    /// The enrolment.
    enrolment_id: ID,
}

/// What became of a change to an enrolment.
#[derive(SimpleObject)]
pub struct EnrolmentPayload {
    /// The enrolment as it is now; null if the change was refused.
    enrolment: Option<Enrolment>,
    /// Why it was refused.
    user_errors: Vec<UserErrorInterface>,
}

#[derive(Default)]
pub struct EnrolmentMutation;

#[Object]
impl EnrolmentMutation {
    /// Let a customer, or every customer with a tag, begin an automation. For staff.
    async fn automation_start(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The automation and who begins.")] input: AutomationStartInput,
    ) -> Option<Result<AutomationStartPayload>> {
        Some(Box::pin(start(ctx, input)).await)
    }

    /// Stop an enrolment where it is, or end it. What it has done stays. For staff.
    async fn automation_stop(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The enrolment.")] input: AutomationStopInput,
    ) -> Option<Result<EnrolmentPayload>> {
        let stopped = async {
            let id = id("enrolmentId", "enrolment", &input.enrolment_id)?;
            enrolments::stop(ctx.caller()?, id, input.reason, input.end).await
        };
        Some(Box::pin(payload(ctx, stopped)).await)
    }

    /// Let a stopped enrolment go on: at once, or when its wait is over. For staff.
    async fn automation_resume(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The enrolment.")] input: AutomationResumeInput,
    ) -> Option<Result<EnrolmentPayload>> {
        let resumed =
            async { enrolments::resume(ctx.caller()?, id("enrolmentId", "enrolment", &input.enrolment_id)?).await };
        Some(Box::pin(payload(ctx, resumed)).await)
    }
}

async fn start(ctx: &Context<'_>, input: AutomationStartInput) -> Result<AutomationStartPayload> {
    let automation = id("automationId", "automation", &input.automation_id);
    let key = input.idempotency_key;
    match input.who {
        AutomationStartWho::Tag(tag) => {
            let plan = automation.map(|automation| Plan::Enrol { tag, automation });
            let (operation, replayed, user_errors) = start_bulk(ctx, &key, plan).await?;
            Ok(AutomationStartPayload { enrolment: None, operation, replayed, user_errors })
        }
        AutomationStartWho::CustomerId(given) => {
            let mut replayed = false;
            let begun = async {
                let new = NewEnrolment { automation: automation?, customer: id("who.customerId", "customer", &given)? };
                let begun = enrolments::start(ctx.caller()?, new, &key).await;
                replayed = matches!(begun, Ok((_, true)) | Err(Error::RefusedBefore(_)));
                begun
            };
            let (begun, user_errors) = answer(ctx, begun).await?;
            let enrolment = begun.map(|(row, _)| Enrolment(row));
            Ok(AutomationStartPayload { enrolment, operation: None, replayed, user_errors })
        }
    }
}

async fn payload(
    ctx: &Context<'_>,
    operation: impl Future<Output = domain::Result<Model>>,
) -> Result<EnrolmentPayload> {
    let (row, user_errors) = answer(ctx, operation).await?;
    Ok(EnrolmentPayload { enrolment: row.map(Enrolment), user_errors })
}
