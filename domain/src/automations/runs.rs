//! The log of what triggers and automations did, and carrying one action out.

use std::collections::HashMap;

use entity::activity::{ActorKind, Source};
use entity::run::{Column, Entity, Model, Status};
use entity::{EnrolmentId, EventId, Owned, RunId, TriggerId, job, run};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, Set,
};
use serde_json::{Value, json};

use super::actions::{Action, Because};
use crate::ground::cause::Cause;
use crate::ground::clock::{Instant, fresh_id};
use crate::ground::error::{Error, Refusal, Result};
use crate::ground::page::{self, Page, Slice};
use crate::identity::app::App;
use crate::ledger::runs::next;
use crate::ledger::{Outcome, post};
use crate::queue::events::{self, read, stored};
use crate::queue::jobs::{self, After};
use crate::storage::tx::{Tx, View};

/// What follows on an action that was refused stands behind all actions of its trigger.
const OTHERWISE: i32 = 1_000;

/// Carries out one action of a trigger, once.
pub(crate) async fn act(app: &App, job: &job::Model) -> Result<After> {
    let id = of_job(job)?;
    let Some(run) = ({
        let txn = app.store().snapshot().await?;
        Entity::of(job.account_id).filter(Column::Id.eq(id)).one(&*txn).await?
    }) else {
        return Ok(After::Done);
    };
    // What was carried out before may still lack what follows on it; what was cancelled has nothing.
    if run.status == Status::Cancelled {
        return Ok(After::Done);
    }
    let action: Action = read(&run.action)?;
    let reference = run.event_id.map(|event| event.to_string()).unwrap_or_default();
    let Some(command) = action.command(run.customer_id, reference) else {
        return take_effect(app, &run, &action).await;
    };
    let actor = (ActorKind::Trigger, run.trigger_id.map(|id| id.to_string()).unwrap_or_default());
    // Where more may follow, the job is over only once that is written.
    let ends_job = action.otherwise().is_none();
    let did = app.lanes().submit(post::Job::of_run(&run, actor, command, ends_job)).await;
    match (did, action.otherwise()) {
        (Err(Error::Refused(refusal) | Error::RefusedBefore(refusal)), Some(automation))
            if matches!(refusal, Refusal::InsufficientCredits { .. }) =>
        {
            follow_with(app, &run, &Action::Start { automation }).await?;
            Ok(After::Done)
        }
        // Its own transaction has ended the job.
        (Ok(Outcome { replayed: false, .. }) | Err(Error::Refused(_)), None) => Ok(After::Said),
        // It was carried out before.
        (Ok(_) | Err(Error::Refused(_) | Error::RefusedBefore(_)), _) => Ok(After::Done),
        (Err(error), _) => Err(error),
    }
}

/// Does what is no command to the ledger, together with the run that says so.
async fn take_effect(app: &App, run: &Model, action: &Action) -> Result<After> {
    let tx = Tx::open(app.store(), run.account_id).await?.because(cause(run));
    let Some(run) = pending(&tx, run.id).await? else { return Ok(After::Done) };
    let event = match run.event_id {
        Some(id) => tx.rows::<entity::event::Entity>().filter(entity::event::Column::Id.eq(id)).one(tx.db()).await?,
        None => None,
    };
    let facts = event.map_or(Value::Null, |event| event.payload);
    let because = Because { event: run.event_id, facts: &facts, cause: cause(&run) };
    let (tx, run, became) = match action.take_effect(&tx, run.customer_id, &because).await {
        Ok(detail) => (tx, run, Ok(detail)),
        Err(Error::Refused(refusal)) => {
            // What it did until then is undone.
            let (account, cause, id) = (run.account_id, cause(&run), run.id);
            drop(tx);
            let tx = Tx::open(app.store(), account).await?.because(cause);
            let Some(run) = pending(&tx, id).await? else { return Ok(After::Done) };
            (tx, run, Err(refusal))
        }
        Err(error) => return Err(error),
    };
    let (key, next) = (run.id.to_string(), next(&run));
    end(&tx, run, became).await?;
    jobs::reschedule(tx.db(), &tx.account, job::Kind::Act, vec![(key, None)]).await?;
    let next = next.map(|run| (run.to_string(), tx.now)).into_iter().collect();
    jobs::schedule(tx.db(), &tx.account, job::Kind::Act, next, tx.now).await?;
    tx.commit().await?;
    Ok(After::Said)
}

/// What led to a run.
fn cause(run: &Model) -> Cause {
    Cause { depth: run.depth, origin: run.origin_id }
}

/// The run, locked, if it is still to be carried out.
async fn pending(tx: &Tx, id: RunId) -> Result<Option<Model>> {
    let found = tx.rows::<Entity>().filter(Column::Id.eq(id)).lock_exclusive().one(tx.db()).await?;
    Ok(found.filter(|run| run.status == Status::Pending))
}

async fn end(tx: &Tx, run: Model, became: std::result::Result<Value, Refusal>) -> Result<()> {
    let mut kept = run.detail.clone();
    let mut ended = run.into_active_model();
    ended.ended_at = Set(Some(tx.now));
    match became {
        Ok(Value::Object(more)) => {
            if let Value::Object(kept) = &mut kept {
                kept.extend(more);
            }
            (ended.status, ended.detail) = (Set(Status::Done), Set(kept));
        }
        Ok(_) => ended.status = Set(Status::Done),
        Err(refusal) => (ended.status, ended.refusal) = (Set(Status::Refused), Set(Some(stored(&refusal)?))),
    }
    ended.update(tx.db()).await?;
    Ok(())
}

/// Writes down what follows on an action that was refused; doing it twice changes nothing.
async fn follow_with(app: &App, run: &Model, action: &Action) -> Result<()> {
    let tx = Tx::open(app.store(), run.account_id).await?;
    let next = run::Model {
        id: RunId(fresh_id()),
        position: run.position + OTHERWISE,
        action: stored(action)?,
        status: Status::Pending,
        activity_id: None,
        refusal: None,
        detail: json!({}),
        created_at: tx.now,
        ended_at: None,
        ..run.clone()
    };
    let key = [Column::AccountId, Column::TriggerId, Column::TriggerVersion, Column::EventId, Column::Position];
    let id = next.id.to_string();
    let written = Entity::insert_many([next.into_active_model()])
        .on_conflict(OnConflict::columns(key).do_nothing().to_owned())
        .exec_without_returning(tx.db())
        .await?;
    if written == 1 {
        jobs::schedule(tx.db(), &tx.account, job::Kind::Act, vec![(id, tx.now)], tx.now).await?;
    }
    tx.commit().await
}

/// One step of an enrolment, as it is written down.
pub(super) struct Taken<'a> {
    pub enrolment: &'a entity::enrolment::Model,
    pub step: &'a super::steps::Step,
    pub activity: Option<entity::ActivityId>,
    pub refusal: Option<&'a Refusal>,
    pub detail: Value,
}

/// Writes down a step that was taken.
pub(super) async fn write_step(tx: &Tx, taken: Taken<'_>) -> Result<()> {
    let enrolment = taken.enrolment;
    let row = Model {
        account_id: tx.account.id,
        id: RunId(fresh_id()),
        trigger_id: None,
        trigger_version: None,
        enrolment_id: Some(enrolment.id),
        event_id: enrolment.event_id,
        position: enrolment.position,
        customer_id: enrolment.customer_id,
        action: stored(taken.step)?,
        depth: enrolment.depth,
        origin_id: enrolment.origin_id,
        status: if taken.refusal.is_some() { Status::Refused } else { Status::Done },
        activity_id: taken.activity,
        refusal: taken.refusal.map(stored).transpose()?,
        detail: taken.detail,
        created_at: tx.now,
        ended_at: Some(tx.now),
    };
    row.into_active_model().insert(tx.db()).await?;
    Ok(())
}

/// What a trigger was still to do is not done any more: it was deleted or disabled.
pub(super) async fn cancel(tx: &Tx, trigger: TriggerId) -> Result<()> {
    Entity::update_many()
        .col_expr(Column::Status, Expr::value(Status::Cancelled))
        .col_expr(Column::EndedAt, Expr::value(tx.now))
        .filter(Column::AccountId.eq(tx.account.id))
        .filter(Column::TriggerId.eq(trigger))
        .filter(Column::Status.eq(Status::Pending))
        .exec(tx.db())
        .await?;
    Ok(())
}

/// Its job was laid aside: what comes after it does not wait for it.
pub(crate) async fn lay_aside(txn: &DatabaseTransaction, job: &job::Model, now: Instant) -> Result<()> {
    mark(txn, job, (Status::Pending, Status::Failed), Some(now)).await?;
    let run = Entity::of(job.account_id).filter(Column::Id.eq(of_job(job)?)).one(txn).await?;
    let account = crate::storage::tx::find_account(txn, job.account_id).await?;
    if let (Some(next), Some(account)) = (run.as_ref().and_then(next), account) {
        jobs::schedule(txn, &account, job::Kind::Act, vec![(next.to_string(), now)], now).await?;
    }
    Ok(())
}

/// Its job is tried again.
pub(crate) async fn resume(txn: &DatabaseTransaction, job: &job::Model) -> Result<()> {
    mark(txn, job, (Status::Failed, Status::Pending), None).await
}

fn of_job(job: &job::Model) -> Result<RunId> {
    job.key.parse().map_err(|_| Error::Internal(format!("the key of {} names no run", job.id)))
}

async fn mark(
    txn: &DatabaseTransaction,
    job: &job::Model,
    (from, to): (Status, Status),
    ended_at: Option<Instant>,
) -> Result<()> {
    Entity::update_many()
        .col_expr(Column::Status, Expr::value(to))
        .col_expr(Column::EndedAt, Expr::value(ended_at))
        .filter(Column::AccountId.eq(job.account_id))
        .filter(Column::Id.eq(of_job(job)?))
        .filter(Column::Status.eq(from))
        .exec(txn)
        .await?;
    Ok(())
}

/// How activities name what led to them: a step of an automation.
pub(super) fn author(automation: entity::AutomationId) -> ((ActorKind, String), Source) {
    ((ActorKind::Automation, automation.to_string()), Source::Automation)
}

/// What runs belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Of {
    Trigger(TriggerId),
    /// What triggers did about it.
    Event(EventId),
}

/// Which runs are wanted, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wish {
    pub of: Of,
    pub status: Option<Status>,
    pub page: Page<RunId>,
}

/// Runs of triggers, or about events, for staff.
pub async fn pages(view: &View, wanted: &[Wish]) -> Result<Vec<Slice<Model>>> {
    view.staff_only()?;
    let select = |wish: &Wish| {
        let mut select = view.rows::<Entity>();
        select = match wish.of {
            Of::Trigger(id) => select.filter(Column::TriggerId.eq(id)),
            Of::Event(id) => select.filter(Column::EventId.eq(id)).filter(Column::TriggerId.is_not_null()),
        };
        if let Some(status) = wish.status {
            select = select.filter(Column::Status.eq(status));
        }
        wish.page.of(select, Column::Id, true)
    };
    let rows = page::many(view.db(), wanted.iter().map(select).collect()).await?;
    Ok(rows.into_iter().zip(wanted).map(|(rows, wish)| wish.page.slice(rows)).collect())
}

/// All runs of an account that came to something, newest first, for staff.
pub async fn list(view: &View, status: Status, page: &Page<RunId>) -> Result<Slice<Model>> {
    view.staff_only()?;
    let select = view.rows::<Entity>().filter(Column::Status.eq(status));
    let rows = page.of(select, Column::Id, true).all(view.db()).await?;
    Ok(page.slice(rows))
}

/// The steps that enrolments took, oldest first, for staff.
pub async fn of_enrolments(view: &View, ids: &[EnrolmentId]) -> Result<HashMap<EnrolmentId, Vec<Model>>> {
    view.staff_only()?;
    let rows = view.rows::<Entity>().filter(view.among(Column::EnrolmentId, ids.iter().copied())?);
    let rows = rows.order_by_asc(Column::EnrolmentId).order_by_asc(Column::Position).all(view.db()).await?;
    let mut steps: HashMap<_, Vec<_>> = HashMap::new();
    for row in rows {
        if let Some(id) = row.enrolment_id {
            steps.entry(id).or_default().push(row);
        }
    }
    Ok(steps)
}

/// Runs by id, for staff.
pub async fn by_ids(view: &View, ids: &[RunId]) -> Result<HashMap<RunId, Model>> {
    view.staff_only()?;
    let rows = view.rows::<Entity>().filter(view.among(Column::Id, ids.iter().copied())?).all(view.db()).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// Why a run was refused, if it was.
pub fn refusal(run: &Model) -> Result<Option<Refusal>> {
    run.refusal.as_ref().map(events::read).transpose()
}

/// What was done: an action, or a step.
pub fn form<T: serde::de::DeserializeOwned>(run: &Model) -> Result<T> {
    events::read(&run.action)
}
