//! Long work over many customers: begun by one request, done by jobs in parts, each of which survives a crash.
//!
//! Each customer or grant is a command of the ledger with a key of its own, (operation, subject): done once, however
//! often its part is run. What a rule refuses is written down with its reason, and does not stop the others.

mod step;
mod subjects;

pub(super) use step::step;

use std::collections::HashMap;

use entity::activity::Source;
use entity::bulk_operation::{self, Column, Entity, Kind, Model, Status};
use entity::{
    AutomationId, BulkOperationId, CreditTypeId, Credits, CustomerId, Owned, automation, bulk_refusal, credit_type,
    customer, job,
};
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveModelTrait, ColumnTrait, DatabaseTransaction, DbErr, EntityTrait, IntoActiveModel, QueryFilter};
use serde::{Deserialize, Serialize};

use crate::credits::opening;
use crate::ground::clock::{Instant, fresh_id};
use crate::ground::error::{Error, Refusal, Result};
use crate::ground::input;
use crate::ground::page::{Page, Slice};
use crate::ground::refusal::flow::Flow;
use crate::ground::scope::Scope;
use crate::identity::caller::Caller;
use crate::identity::once::{Operation, once_in};
use crate::ledger::{self, Command, Extend, Extension, Issue, Words};
use crate::queue::{jobs, requests};
use crate::storage::tx::{Tx, View};

/// What is done to each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plan {
    /// Issue the same to every customer with a tag.
    Issue { tag: String, issue: Issue },
    /// Give every grant that matches a later end.
    Extend(ExtendMany),
    /// Let every customer with a tag begin an automation.
    Enrol { tag: String, automation: AutomationId },
}

/// Which grants get a later end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExtendMany {
    /// At least one of the three says which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credit_type: Option<CreditTypeId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<CustomerId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    pub to: Extension,
    /// Whether what has ended already comes back as well.
    pub revive: bool,
    pub reason: String,
    pub words: Words,
}

/// What became of a request for long work.
#[derive(Clone, Debug)]
pub enum Begun {
    /// It goes on by itself.
    Operation { operation: Box<Model>, replayed: bool },
    /// A dry run: how many it would be done to, and how many credits that would issue or keep.
    Preview { subjects: u64, credits: Credits },
}

/// How much long work would be.
pub(crate) async fn preview(caller: &Caller, plan: Plan) -> Result<Begun> {
    let plan = check(plan)?;
    let view = caller.view(Scope::CreditsWrite).await?;
    exists(view.db(), view.account(), &plan, view.now()).await?;
    let (subjects, credits) = subjects::count(view.db(), view.account(), &plan, view.now()).await?;
    Ok(Begun::Preview { subjects, credits })
}

/// Begins long work, once per key; says whether it was begun before.
pub(crate) async fn begin(caller: &Caller, plan: Plan, key: &str) -> Result<(BulkOperationId, bool)> {
    caller.authorise(Scope::CreditsWrite)?;
    let plan = check(plan)?;
    // Counted before anything is locked: it may take a while, and is said as of the beginning.
    let total = {
        let view = caller.view(Scope::CreditsWrite).await?;
        subjects::count(view.db(), view.account(), &plan, view.now()).await?.0
    };
    let key = (caller.key_space(), input::key("idempotencyKey", key)?);
    let begun = once_in(caller, Scope::CreditsWrite, key, &Beginning { plan, total }).await?;
    caller.app().wake();
    Ok(begun)
}

/// The beginning of long work, so many subjects of which were counted.
#[derive(Serialize)]
struct Beginning {
    plan: Plan,
    total: u64,
}

impl Operation for Beginning {
    const NAME: &'static str = "bulk";
    type Made = BulkOperationId;

    async fn run(&self, tx: &Tx, caller: &Caller) -> Result<BulkOperationId> {
        exists(tx.db(), &tx.account, &self.plan, tx.now).await?;
        open(tx, caller, &self.plan, self.total).await
    }

    /// Of the plan alone: how many it is about changes from one time to the next.
    fn fingerprint(&self) -> Vec<u8> {
        requests::fingerprint(&self.plan)
    }
}

async fn open(tx: &Tx, caller: &Caller, plan: &Plan, total: u64) -> Result<BulkOperationId> {
    let id = BulkOperationId(fresh_id());
    let (actor_kind, actor) = caller.actor();
    let operation = Model {
        account_id: tx.account.id,
        id,
        kind: match plan {
            Plan::Issue { .. } => Kind::Issue,
            Plan::Extend(_) => Kind::Extend,
            Plan::Enrol { .. } => Kind::Enrol,
        },
        input: serde_json::to_value(plan).map_err(|error| Error::Internal(error.to_string()))?,
        actor_kind,
        actor,
        status: Status::Running,
        cursor: None,
        total: i64::try_from(total).unwrap_or(i64::MAX),
        done: 0,
        refused: 0,
        created_at: tx.now,
        finished_at: None,
    };
    operation.into_active_model().insert(tx.db()).await?;
    jobs::schedule(tx.db(), &tx.account, job::Kind::Bulk, vec![(id.to_string(), tx.now)], tx.now).await?;
    Ok(id)
}

/// The limits of the input: those of the command that each gets.
fn check(plan: Plan) -> Result<Plan, Refusal> {
    Ok(match plan {
        Plan::Issue { tag, issue } => {
            let tag = input::text("tag", &tag.to_lowercase(), 64)?;
            match Command::Issue(issue).check()? {
                Command::Issue(issue) => Plan::Issue { tag, issue },
                _ => unreachable!("a checked command is the command"),
            }
        }
        Plan::Enrol { tag, automation } => {
            Plan::Enrol { tag: input::text("tag", &tag.to_lowercase(), 64)?, automation }
        }
        Plan::Extend(mut many) => {
            if many.credit_type.is_none() && many.customer.is_none() && many.tag.is_none() {
                let message = "Say whose grants: give a creditTypeId, a customerId or a tag, or several of them.";
                return Err(Refusal::invalid("creditTypeId", message));
            }
            many.tag = many.tag.map(|tag| input::text("tag", &tag.to_lowercase(), 64)).transpose()?;
            let nobody = (CustomerId(uuid::Uuid::nil()), CreditTypeId(uuid::Uuid::nil()));
            match Command::Extend(many.extend(entity::GrantId(uuid::Uuid::nil()), nobody)).check()? {
                Command::Extend(extend) => {
                    Plan::Extend(ExtendMany { to: extend.to, reason: extend.reason, words: extend.words, ..many })
                }
                _ => unreachable!("a checked command is the command"),
            }
        }
    })
}

impl ExtendMany {
    /// The command for one grant.
    fn extend(&self, grant: entity::GrantId, (customer, credit_type): (CustomerId, CreditTypeId)) -> Extend {
        let (reason, words) = (self.reason.clone(), self.words.clone());
        Extend { grant, customer, credit_type, to: self.to, revive: self.revive, reason, words }
    }
}

/// Refuses ids that lead nowhere, and what would be refused for everybody.
async fn exists(txn: &DatabaseTransaction, account: &entity::account::Model, plan: &Plan, now: Instant) -> Result<()> {
    let (type_id, customer) = match plan {
        Plan::Issue { issue, .. } => (Some(issue.credit_type), None),
        Plan::Extend(many) => (many.credit_type, many.customer),
        Plan::Enrol { .. } => (None, None),
    };
    let mut credit_type = None;
    if let Some(id) = type_id {
        credit_type = credit_type::Entity::of(account.id).filter(credit_type::Column::Id.eq(id)).one(txn).await?;
        if credit_type.is_none() {
            return Err(Refusal::not_found("creditTypeId", "credit type").into());
        }
    }
    if let Some(id) = customer {
        let found = customer::Entity::of(account.id).filter(customer::Column::Id.eq(id)).one(txn).await?;
        found.ok_or_else(|| Refusal::not_found("customerId", "customer"))?;
    }
    match plan {
        // What would be refused for everybody is refused at once: the command itself, for somebody who has nothing.
        Plan::Issue { issue, .. } => {
            opening::rehearse_one(account, credit_type.as_ref(), issue, (Source::Import, now))?;
        }
        Plan::Enrol { automation: id, .. } => {
            let found = automation::Entity::of(account.id).filter(automation::Column::Id.eq(*id)).one(txn).await?;
            let found = found.ok_or_else(|| Refusal::not_found("automationId", "automation"))?;
            if !found.enabled {
                return Err(Flow::AutomationDisabled { field: "automationId".to_owned() }.into());
            }
        }
        Plan::Extend(many) => {
            let end = match many.to {
                Extension::By { .. } => None,
                to => ledger::expiration::extended(now, to, ledger::expiration::zone_of(&account.time_zone)),
            };
            if end.is_some_and(|end| end <= now) {
                return Err(Refusal::ExtensionNotInFuture.into());
            }
        }
    }
    Ok(())
}

fn of_job(job: &job::Model) -> Result<BulkOperationId> {
    job.key.parse().map_err(|_| Error::Internal(format!("the key of {} names no bulk operation", job.id)))
}

/// Its job was laid aside.
pub(super) async fn fail(txn: &DatabaseTransaction, job: &job::Model, now: Instant) -> Result<()> {
    mark(txn, job, Status::Failed, Some(now)).await
}

/// Its job is tried again.
pub(super) async fn resume(txn: &DatabaseTransaction, job: &job::Model) -> Result<()> {
    mark(txn, job, Status::Running, None).await
}

async fn mark(txn: &DatabaseTransaction, job: &job::Model, status: Status, finished_at: Option<Instant>) -> Result<()> {
    Entity::update_many()
        .col_expr(Column::Status, Expr::value(status))
        .col_expr(Column::FinishedAt, Expr::value(finished_at))
        .filter(Column::AccountId.eq(job.account_id))
        .filter(Column::Id.eq(of_job(job)?))
        .exec(txn)
        .await?;
    Ok(())
}

/// Bulk operations by id, for staff.
pub async fn by_ids(view: &View, ids: &[BulkOperationId]) -> Result<HashMap<BulkOperationId, Model>> {
    view.staff_only()?;
    let rows = view.rows::<Entity>().filter(view.among(Column::Id, ids.iter().copied())?).all(view.db()).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// Bulk operations, newest first, for staff.
pub async fn list(view: &View, page: &Page<BulkOperationId>) -> Result<Slice<Model>> {
    view.staff_only()?;
    let rows = page.of(view.rows::<Entity>(), Column::Id, true).all(view.db()).await?;
    Ok(page.slice(rows))
}

/// What a bulk operation could not be done to, and why, for staff.
pub async fn refusals(
    view: &View,
    operation: BulkOperationId,
    page: &Page<uuid::Uuid>,
) -> Result<Slice<(bulk_refusal::Model, Refusal)>> {
    view.staff_only()?;
    let rows = page
        .of(
            view.rows::<bulk_refusal::Entity>().filter(bulk_refusal::Column::OperationId.eq(operation)),
            bulk_refusal::Column::SubjectId,
            false,
        )
        .all(view.db())
        .await?;
    let read = |row: bulk_refusal::Model| {
        let refusal = serde_json::from_value(row.refusal.clone()).map_err(|error| DbErr::Json(error.to_string()))?;
        Ok((row, refusal))
    };
    Ok(page.slice(rows.into_iter().map(read).collect::<Result<_, DbErr>>()?))
}

/// What an operation does to each.
pub fn plan_of(operation: &bulk_operation::Model) -> Result<Plan> {
    serde_json::from_value(operation.input.clone()).map_err(|error| Error::Internal(error.to_string()))
}
