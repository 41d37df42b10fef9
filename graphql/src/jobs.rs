//! Jobs: what is to be done later, and what could not be done.

use async_graphql::{Context, Description, Enum, ID, InputObject, Object, Result, SimpleObject};
use entity::job::{Kind, Model};

use super::context::Ask;
use super::page::{self, Connection};
use super::payload::{UserErrorInterface, answer, id};
use super::scalars::DateTime;
use domain::work::dead;
use domain::{Error, Scope};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Kind", name = "JobKind")]
pub enum JobKind {
    /// Carry out one action of a trigger.
    Act,
    /// Go on with long work over many customers.
    Bulk,
    /// Let a test clock go on. Never listed.
    Clock,
    /// Ask a payment provider what became of a payment, or tell it of a refund.
    Collect,
    /// Post what is due to a webhook endpoint.
    Deliver,
    /// Look at what follows from one event that could not be looked at with others.
    Follow,
    /// Forget events that are kept no longer.
    Purge,
    /// Begin a subscription's next period, or act on one that was not paid.
    Renew,
    /// Look again at balances whose thresholds were changed.
    Revisit,
    /// Write down what time has done to a customer's credits of one type. Balances are right before it has run.
    Settle,
    /// Take an enrolment's next steps.
    Walk,
}

/// Something that is to be done at an instant, once, whatever happens to the server that does it.
#[derive(Description)]
pub struct Job(pub Model);

#[Object(use_type_description)]
impl Job {
    /// Opaque, and unique over the whole server.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// What is to be done.
    fn kind(&self) -> JobKind {
        self.0.kind.into()
    }

    /// What it is about: ids, with spaces between them.
    fn key(&self) -> &str {
        &self.0.key
    }

    /// When it is due, by the account's clock.
    fn run_at(&self) -> DateTime {
        DateTime(self.0.run_at)
    }

    /// How often it was begun since it last succeeded.
    fn attempts(&self) -> i32 {
        self.0.attempts
    }

    /// Whether the last try failed. What it failed of is in the server's log, under the job's id.
    fn failed(&self) -> bool {
        self.0.error.is_some()
    }

    /// Since when it is laid aside: it failed too often, and is not tried any more unless `jobRetry` asks for it.
    fn dead_at(&self) -> Option<DateTime> {
        self.0.dead_at.map(DateTime)
    }
}

#[derive(Default)]
pub struct JobQuery;

#[Object]
impl JobQuery {
    /// What is to be done in the account, oldest first. For staff.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    async fn jobs(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only those that were laid aside.", default)] dead: bool,
        #[graphql(desc = "How many from the beginning, 1 to 100; 20 if nothing is said.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Option<Result<Connection<Job>>> {
        let found = async {
            let page = page::page(first, after.as_deref(), last, before.as_deref()).map_err(Error::from)?;
            let reads = ctx.reads(Scope::StaffRead).await?;
            Ok(page::connection(dead::list(reads.alone()?, dead, &page).await?, |row| row.id, Job))
        };
        Some(found.await)
    }
}

/// A job to try again.
#[derive(InputObject)]
pub struct JobRetryInput {
    /// The job.
    id: ID,
}

/// What became of `jobRetry`.
#[derive(SimpleObject)]
pub struct JobRetryPayload {
    /// The job, as it is now; null if it was refused.
    job: Option<Job>,
    /// Why it was refused.
    user_errors: Vec<UserErrorInterface>,
}

#[derive(Default)]
pub struct JobMutation;

#[Object]
impl JobMutation {
    /// Try a job again that was laid aside. For staff.
    async fn job_retry(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The job.")] input: JobRetryInput,
    ) -> Option<Result<JobRetryPayload>> {
        let result = async { dead::retry(ctx.caller()?, id("id", "job", &input.id)?).await };
        let answered = answer(ctx, result).await;
        Some(answered.map(|(row, user_errors)| JobRetryPayload { job: row.map(Job), user_errors }))
    }
}
