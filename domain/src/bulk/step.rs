//! One part of long work: the next subjects, each with a command of its own, then how far it came.

use entity::activity::Source;
use entity::bulk_operation::{Column, Entity, Model, Status};
use entity::{BulkOperationId, GrantId, Owned, bulk_refusal, job, request};
use futures_util::StreamExt;
use futures_util::stream;
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ColumnTrait, DatabaseTransaction, DbErr, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, Select,
};

use super::subjects::{self, Part, Subject};
use super::{Plan, of_job, plan_of};
use crate::automations::enrolments::NewEnrolment;
use crate::ground::error::{Error, Refusal, Result};
use crate::ground::scope::{Role, Scope};
use crate::identity::app::App;
use crate::identity::caller::Caller;
use crate::identity::once::once_in;
use crate::ledger::{self, Command, Issue};
use crate::queue::jobs::After;
use crate::storage::tx;

/// Commands that are under way at once: as many as one commit takes, and few beside what others ask for.
const AT_ONCE: usize = 256;
/// Refusals that are written with one statement.
const ROWS: usize = 900;

/// Does the next part of an operation.
pub(crate) async fn step(app: &App, job: &job::Model) -> Result<After> {
    let store = app.store();
    let id = of_job(job)?;
    let (operation, plan, part) = {
        let txn = store.snapshot().await?;
        let Some(operation) = Entity::of(job.account_id).filter(Column::Id.eq(id)).one(&*txn).await? else {
            return Ok(After::Done);
        };
        let account = tx::find_account(&txn, job.account_id).await?;
        let account = account.ok_or_else(|| Error::Internal(format!("{id} belongs to no account")))?;
        let plan = plan_of(&operation)?;
        let now = tx::account_now(&account, store);
        let part = subjects::next(&txn, &account, &plan, &operation, now).await?;
        (operation, plan, part)
    };
    let subjects = &part.subjects;
    let calls = subjects.iter().map(|subject| carry_out(app, &operation, &plan, subject)).collect::<Vec<_>>();
    let outcomes = stream::iter(calls).buffered(AT_ONCE).collect::<Vec<_>>().await;
    let mut refusals = Vec::new();
    for (subject, outcome) in subjects.iter().zip(outcomes) {
        match outcome {
            Ok(()) => {}
            Err(Error::Refused(refusal) | Error::RefusedBefore(refusal)) => refusals.push((subject, refusal)),
            // One that fails by a fault does not stop the others: its lane has tried it by itself already.
            Err(Error::Internal(why)) => {
                tracing::error!(operation = %id, subject = %subject.id, error = why, "a bulk operation met a fault");
                refusals.push((subject, Refusal::Fault));
            }
            Err(error) => return Err(error),
        }
    }
    advance(app, &operation, &part, refusals).await?;
    Ok(if part.is_last { After::Done } else { After::Again })
}

async fn carry_out(app: &App, operation: &Model, plan: &Plan, subject: &Subject) -> Result<()> {
    let key = (caller_of(operation), subject.id.to_string());
    let command = match plan {
        Plan::Enrol { automation, .. } => {
            let staff = Caller::of(app.clone(), operation.account_id, Role::Staff, &operation.actor);
            let new = NewEnrolment { automation: *automation, customer: subject.customer };
            return once_in(&staff, Scope::AutomationsWrite, key, &new).await.map(drop);
        }
        Plan::Issue { issue, .. } => Command::Issue(Issue { customer: subject.customer, ..issue.clone() }),
        Plan::Extend(many) => {
            let credit_type =
                subject.credit_type.ok_or_else(|| Error::Internal("a grant without a type".to_owned()))?;
            Command::Extend(many.extend(GrantId(subject.id), (subject.customer, credit_type)))
        }
    };
    let actor = (operation.actor_kind, operation.actor.clone());
    let job = ledger::post::Job::once(operation.account_id, key, actor, Source::Manual, command);
    app.lanes().submit(job).await.map(drop)
}

/// Writes how far it came; a twin that did the same part has written it already.
async fn advance(app: &App, operation: &Model, part: &Part, refusals: Vec<(&Subject, Refusal)>) -> Result<()> {
    let txn = app.store().begin().await?;
    let count = i64::try_from(part.subjects.len()).unwrap_or(0);
    let refused = i64::try_from(refusals.len()).unwrap_or(0);
    let mut update = Entity::update_many()
        .col_expr(Column::Refused, Expr::col(Column::Refused).add(refused))
        .filter(Column::AccountId.eq(operation.account_id))
        .filter(Column::Id.eq(operation.id))
        .filter(Column::Status.eq(Status::Running));
    update = match operation.cursor {
        Some(cursor) => update.filter(Column::Cursor.eq(cursor)),
        None => update.filter(Column::Cursor.is_null()),
    };
    if !part.is_last {
        update = update.col_expr(Column::Done, Expr::col(Column::Done).add(count - refused));
    }
    if let Some(last) = part.cursor {
        update = update.col_expr(Column::Cursor, Expr::value(last));
    }
    if part.is_last {
        let account = tx::find_account(&txn, operation.account_id).await?;
        let now = account.map_or(operation.created_at, |account| tx::account_now(&account, app.store()));
        update = update.col_expr(Column::Status, Expr::value(Status::Done));
        update = update.col_expr(Column::FinishedAt, Expr::value(now));
        // A part that was cut short did some that the next try did not meet any more; their keys know of them.
        let done = keys_of(operation).filter(request::Column::ExpiresAt.is_null()).count(&txn).await?;
        update = update.col_expr(Column::Done, Expr::value(i64::try_from(done).unwrap_or(i64::MAX)));
    }
    if update.exec(&txn).await?.rows_affected == 1 {
        write_refusals(&txn, operation.id, operation, refusals).await?;
    }
    Ok(txn.commit().await?)
}

/// The keys of what was done to each: those of successes are kept for good.
fn keys_of(operation: &Model) -> Select<request::Entity> {
    request::Entity::of(operation.account_id).filter(request::Column::Caller.eq(caller_of(operation)))
}

/// Whose keys the keys of each are.
fn caller_of(operation: &Model) -> String {
    format!("bulk:{}", operation.id)
}

async fn write_refusals(
    txn: &DatabaseTransaction,
    id: BulkOperationId,
    operation: &Model,
    refusals: Vec<(&Subject, Refusal)>,
) -> Result<(), DbErr> {
    let rows = refusals.into_iter().map(|(subject, refusal)| {
        let refusal = serde_json::to_value(refusal).map_err(|error| DbErr::Json(error.to_string()))?;
        Ok(bulk_refusal::Model {
            account_id: operation.account_id,
            operation_id: id,
            subject_id: subject.id,
            customer_id: subject.customer,
            refusal,
        })
    });
    let rows = rows.collect::<Result<Vec<_>, DbErr>>()?;
    let key = [bulk_refusal::Column::AccountId, bulk_refusal::Column::OperationId, bulk_refusal::Column::SubjectId];
    for rows in rows.chunks(ROWS) {
        bulk_refusal::Entity::insert_many(rows.iter().cloned().map(IntoActiveModel::into_active_model))
            .on_conflict(OnConflict::columns(key).do_nothing().to_owned())
            .exec_without_returning(txn)
            .await?;
    }
    Ok(())
}
