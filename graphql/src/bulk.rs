//! Long work over many customers.

use async_graphql::{Context, Description, Enum, ID, InputObject, Object, Result, SimpleObject};
use entity::bulk_operation::{Kind, Model, Status};
use entity::{CustomerId, GrantId, bulk_refusal};
use uuid::Uuid;

use super::activity::Actor;
use super::answered::RequestInput;
use super::context::Ask;
use super::credit_types::CreditType;
use super::customers::Customer;
use super::grants::{ExtensionInput, Grant};
use super::ledger::TermsInput;
use super::page::{self, Connection};
use super::payload::{UserErrorInterface, answer, id};
use super::scalars::{Credits, DateTime};
use domain::bulk::{self, Begun, ExtendMany, Plan};
use domain::{Error, Refusal, Scope, work};

/// What is done to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Kind", name = "BulkOperationKind")]
pub enum BulkOperationKind {
    /// Credits are issued to each customer.
    Issue,
    /// Each grant is given a later end.
    Extend,
    /// Each customer begins an automation.
    Enrol,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Status", name = "BulkOperationStatus")]
pub enum BulkOperationStatus {
    /// It goes on by itself.
    Running,
    /// It is done: each was carried out, or refused with a reason.
    Done,
    /// It was laid aside: see `jobs(dead: true)`, and `jobRetry` to let it go on.
    Failed,
}

/// Long work over many customers. It goes on by itself, survives a crash, and does each of them once.
#[derive(Description)]
pub struct BulkOperation(pub Model);

#[Object(use_type_description)]
impl BulkOperation {
    /// Opaque, and unique over the whole server.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// What is done to each.
    fn kind(&self) -> BulkOperationKind {
        self.0.kind.into()
    }

    /// The tag of the customers that it is for, if they were chosen by one.
    fn tag(&self) -> Result<Option<String>> {
        Ok(match bulk::plan_of(&self.0)? {
            Plan::Issue { tag, .. } | Plan::Enrol { tag, .. } => Some(tag),
            Plan::Extend(many) => many.tag,
        })
    }

    /// The credit type that it is about, if it is about one.
    async fn credit_type(&self, ctx: &Context<'_>) -> Result<Option<CreditType>> {
        let id = match bulk::plan_of(&self.0)? {
            Plan::Issue { issue, .. } => Some(issue.credit_type),
            Plan::Extend(many) => many.credit_type,
            Plan::Enrol { .. } => None,
        };
        let Some(id) = id else { return Ok(None) };
        Ok(ctx.reads(Scope::StaffRead).await?.credit_types.get(id).await?.map(CreditType))
    }

    /// Why, where it had to say so.
    fn reason(&self) -> Result<Option<String>> {
        Ok(match bulk::plan_of(&self.0)? {
            Plan::Issue { .. } | Plan::Enrol { .. } => None,
            Plan::Extend(many) => Some(many.reason),
        })
    }

    /// Who began it.
    fn actor(&self) -> Actor {
        Actor::new(self.0.actor_kind, &self.0.actor)
    }

    /// How far it is.
    fn status(&self) -> BulkOperationStatus {
        self.0.status.into()
    }

    /// How many there were to do when it began.
    fn total(&self) -> Credits {
        Credits(entity::Credits(self.0.total))
    }

    /// How many are done.
    fn done(&self) -> Credits {
        Credits(entity::Credits(self.0.done))
    }

    /// How many were refused.
    fn refused(&self) -> Credits {
        Credits(entity::Credits(self.0.refused))
    }

    /// How many were not there any more when their turn came: erased or archived meanwhile, or without the tag. Known once
    /// it is done: `total` is `done + refused + gone`, unless others came meanwhile.
    fn gone(&self) -> Credits {
        let gone = self.0.total - self.0.done - self.0.refused;
        Credits(entity::Credits(if self.0.status == Status::Done { gone.max(0) } else { 0 }))
    }

    /// Those that were refused, and why.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    async fn refusals(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, 1 to 100; 20 if nothing is said.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Result<Connection<BulkRefusal>> {
        let page = page::page::<Uuid>(first, after.as_deref(), last, before.as_deref()).map_err(Error::from)?;
        let reads = ctx.reads(Scope::StaffRead).await?;
        let slice = bulk::refusals(reads.alone()?, self.0.id, &page).await?;
        Ok(page::connection(slice, |(row, _)| row.subject_id, |(row, refusal)| BulkRefusal { row, why: refusal }))
    }

    /// When it was begun.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it was done or laid aside; null while it is running.
    fn finished_at(&self) -> Option<DateTime> {
        self.0.finished_at.map(DateTime)
    }
}

/// One that a bulk operation could not be done to.
#[derive(Description)]
pub struct BulkRefusal {
    row: bulk_refusal::Model,
    why: Refusal,
}

#[Object(use_type_description)]
impl BulkRefusal {
    /// Whom it was for.
    async fn customer(&self, ctx: &Context<'_>) -> Result<Option<Customer>> {
        let id: CustomerId = self.row.customer_id;
        Ok(ctx.reads(Scope::StaffRead).await?.customers.get(id).await?.map(Customer))
    }

    /// The grant that it was for; null where it was for the customer.
    async fn grant(&self, ctx: &Context<'_>) -> Result<Option<Grant>> {
        Ok(ctx.reads(Scope::StaffRead).await?.grants.get(GrantId(self.row.subject_id)).await?.map(Grant))
    }

    /// Why it was refused.
    fn user_error(&self) -> UserErrorInterface {
        self.why.clone().into()
    }
}

/// Credits to issue to every customer with a tag.
#[derive(InputObject)]
pub struct CreditsIssueBulkInput {
    /// The tag, in any case.
    tag: String,
    #[graphql(flatten)]
    terms: TermsInput,
    #[graphql(flatten)]
    request: RequestInput,
}

/// Grants to give a later end: those that match all of `creditTypeId`, `customerId` and `tag` that are given, of which
/// there must be one at least; that have an end, which is before the new one; and of which something is left.
#[derive(InputObject)]
pub struct GrantsExtendInput {
    /// Only grants of this type.
    credit_type_id: Option<ID>,
    /// Only grants of this customer.
    customer_id: Option<ID>,
    /// Only grants of customers with this tag, in any case.
    tag: Option<String>,
    /// Their later end.
    to: ExtensionInput,
    /// Whether what has ended unused already comes back as well.
    #[graphql(default)]
    revive: bool,
    /// Why: 1 to 255 characters, such as illness or a closing day. The customers see it.
    reason: String,
    #[graphql(flatten)]
    request: RequestInput,
}

/// How much a bulk operation would be.
#[derive(SimpleObject)]
pub struct BulkPreview {
    /// How many customers, or grants, it would be done to.
    count: Credits,
    /// How many credits it would issue, or keep from ending and bring back.
    credits: Credits,
}

/// What became of a request for long work.
#[derive(SimpleObject)]
pub struct BulkPayload {
    /// The operation, which goes on by itself; null if it was refused or a dry run.
    operation: Option<BulkOperation>,
    /// How much it would be; null unless it was a dry run that nothing refused.
    preview: Option<BulkPreview>,
    /// The key was known: this is the operation that it began, or why it began none. Nothing was begun now.
    replayed: bool,
    /// Why it was refused.
    user_errors: Vec<UserErrorInterface>,
}

#[derive(Default)]
pub struct BulkQuery;

#[Object]
impl BulkQuery {
    /// Bulk operations, newest first. For staff.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    async fn bulk_operations(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, 1 to 100; 20 if nothing is said.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Option<Result<Connection<BulkOperation>>> {
        let found = async {
            let page = page::page(first, after.as_deref(), last, before.as_deref()).map_err(Error::from)?;
            let reads = ctx.reads(Scope::StaffRead).await?;
            Ok(page::connection(bulk::list(reads.alone()?, &page).await?, |row| row.id, BulkOperation))
        };
        Some(found.await)
    }

    /// One bulk operation; null if there is no such operation. For staff.
    async fn bulk_operation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its id.")] id: ID,
    ) -> Option<Result<BulkOperation>> {
        let found = async {
            let reads = ctx.reads(Scope::StaffRead).await?;
            let Ok(id) = id.parse() else { return Ok(None) };
            Ok(bulk::by_ids(reads.alone()?, &[id]).await?.remove(&id).map(BulkOperation))
        };
        found.await.transpose()
    }
}

#[derive(Default)]
pub struct BulkMutation;

#[Object]
impl BulkMutation {
    /// Issue the same credits to every customer with a tag. For staff.
    async fn credits_issue_bulk(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The credits and the tag.")] input: CreditsIssueBulkInput,
    ) -> Option<Result<BulkPayload>> {
        let CreditsIssueBulkInput { tag, terms, request } = input;
        // Each customer of the tag takes this one's place.
        let plan = terms.issue(CustomerId(Uuid::nil()), &request).map(|issue| Plan::Issue { tag, issue });
        Some(begin(ctx, request.once(), plan).await)
    }

    /// Give many grants a later end, for a reason. For staff.
    async fn grants_extend(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The grants, their end, and the reason.")] input: GrantsExtendInput,
    ) -> Option<Result<BulkPayload>> {
        let GrantsExtendInput { credit_type_id, customer_id, tag, to, revive, reason, request } = input;
        let plan = || {
            let of_type = credit_type_id.map(|given| id("creditTypeId", "credit type", &given));
            let of_customer = customer_id.map(|given| id("customerId", "customer", &given));
            Ok(Plan::Extend(ExtendMany {
                credit_type: of_type.transpose()?,
                customer: of_customer.transpose()?,
                tag,
                to: to.into(),
                revive,
                reason,
                words: request.words(),
            }))
        };
        let plan = plan();
        Some(begin(ctx, request.once(), plan).await)
    }
}

/// Begins long work that is no dry run: the operation, whether the key was known, and why it was refused.
pub(super) async fn start_bulk(
    ctx: &Context<'_>,
    key: &str,
    plan: Result<Plan, Refusal>,
) -> Result<(Option<BulkOperation>, bool, Vec<UserErrorInterface>)> {
    let payload = begin(ctx, (key, false), plan).await?;
    Ok((payload.operation, payload.replayed, payload.user_errors))
}

async fn begin(ctx: &Context<'_>, (key, dry_run): (&str, bool), plan: Result<Plan, Refusal>) -> Result<BulkPayload> {
    let mut replayed = false;
    let begun = async {
        let begun = work::bulk::begin(ctx.caller()?, plan?, key, dry_run).await;
        replayed = matches!(begun, Err(Error::RefusedBefore(_)));
        begun
    };
    let (begun, user_errors) = answer(ctx, Box::pin(begun)).await?;
    let mut payload = BulkPayload { operation: None, preview: None, replayed, user_errors };
    match begun {
        Some(Begun::Operation { operation, replayed }) => {
            payload.operation = Some(BulkOperation(*operation));
            payload.replayed = replayed;
        }
        Some(Begun::Preview { subjects, credits }) => {
            let count = entity::Credits(i64::try_from(subjects).unwrap_or(i64::MAX));
            payload.preview = Some(BulkPreview { count: Credits(count), credits: Credits(credits) });
        }
        None => {}
    }
    Ok(payload)
}
