//! Who walks an automation: beginning, stopping, going on.

use std::collections::HashMap;

use entity::enrolment::{Column, Entity, Model, Status};
use entity::{AutomationId, CustomerId, EnrolmentId, automation, job};
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QuerySelect, Set,
};
use serde::Serialize;
use serde_json::Value;

use super::actions::Because;
use crate::customers;
use crate::ground::cause::{Cause, DEEPEST};
use crate::ground::clock::fresh_id;
use crate::ground::error::{Error, Refusal, Result};
use crate::ground::input;
use crate::ground::page::{self, Page, Slice};
use crate::ground::refusal::flow::Flow;
use crate::ground::scope::Scope;
use crate::identity::caller::{Caller, transact};
use crate::identity::once::{Operation, once};
use crate::queue::jobs;
use crate::storage::tx::{Tx, View};

/// Somebody who is to begin.
#[derive(Clone, Debug, Serialize)]
pub struct NewEnrolment {
    pub automation: AutomationId,
    pub customer: CustomerId,
}

/// Begins a walk by hand, once per key.
pub async fn start(caller: &Caller, new: NewEnrolment, key: &str) -> Result<(Model, bool)> {
    let (id, replayed) = once(caller, Scope::AutomationsWrite, key, &new).await?;
    let view = caller.view(Scope::AutomationsWrite).await?;
    let row = by_ids(&view, &[id]).await?.remove(&id);
    let row = row.ok_or_else(|| Error::Internal(format!("{id} was begun and is gone")))?;
    Ok((row, replayed))
}

impl Operation for NewEnrolment {
    const NAME: &'static str = "automationStart";
    type Made = EnrolmentId;

    async fn run(&self, tx: &Tx, _: &Caller) -> Result<EnrolmentId> {
        let cause = Cause { depth: 1, origin: None };
        let by_hand = Because { event: None, facts: &Value::Null, cause };
        begin(tx, self.automation, self.customer, &by_hand).await
    }
}

/// Begins a walk.
pub(super) async fn begin(
    tx: &Tx,
    automation: AutomationId,
    customer: CustomerId,
    because: &Because<'_>,
) -> Result<EnrolmentId> {
    let row = tx.rows::<automation::Entity>().filter(automation::Column::Id.eq(automation)).one(tx.db()).await?;
    let row = row.ok_or_else(|| Refusal::not_found("automationId", "automation"))?;
    if !row.enabled {
        return Err(Flow::AutomationDisabled { field: "automationId".to_owned() }.into());
    }
    customers::about(tx, customer, "who.customerId").await?;
    let Cause { depth, origin } = because.cause;
    if depth > DEEPEST {
        return Err(Flow::LoopLimit.into());
    }
    let enrolment = Model {
        account_id: tx.account.id,
        id: EnrolmentId(fresh_id()),
        automation_id: automation,
        version: row.version,
        customer_id: customer,
        event_id: because.event,
        facts: because.facts.clone(),
        status: Status::Running,
        active: true,
        step: 0,
        position: 0,
        wake_at: None,
        depth,
        origin_id: origin,
        reason: None,
        started_at: tx.now,
        ended_at: None,
    };
    let id = enrolment.id;
    let once = OnConflict::columns([Column::AccountId, Column::AutomationId, Column::CustomerId])
        .target_and_where(Expr::col(Column::Active))
        .do_nothing()
        .to_owned();
    let begun = Entity::insert_many([enrolment.into_active_model()]).on_conflict(once);
    if begun.exec_without_returning(tx.db()).await? == 0 {
        return Err(Flow::AlreadyEnrolled.into());
    }
    jobs::schedule(tx.db(), &tx.account, job::Kind::Walk, vec![(id.to_string(), tx.now)], tx.now).await?;
    Ok(id)
}

/// Stops a walk where it is, so that it can be resumed, or ends it. What it has done stays.
pub async fn stop(caller: &Caller, id: EnrolmentId, reason: Option<String>, end: bool) -> Result<Model> {
    let reason = input::optional_text("reason", reason.as_deref(), input::NAME)?;
    transact!(caller, Scope::AutomationsWrite, |tx| {
        let enrolment = load(tx, id).await?;
        if enrolment.status != Status::Running && !(end && enrolment.status == Status::Stopped) {
            return Err(Flow::EnrolmentStatus { status: status(&enrolment).to_owned() }.into());
        }
        let reason = reason.clone().or_else(|| enrolment.reason.clone());
        let mut stopped = enrolment.into_active_model();
        (stopped.status, stopped.reason) = (Set(if end { Status::Done } else { Status::Stopped }), Set(reason));
        if end {
            (stopped.active, stopped.wake_at, stopped.ended_at) = (Set(false), Set(None), Set(Some(tx.now)));
        }
        let stopped = stopped.update(tx.db()).await?;
        jobs::reschedule(tx.db(), &tx.account, job::Kind::Walk, vec![(id.to_string(), None)]).await?;
        Ok(stopped)
    })
}

/// Lets a walk go on that was stopped: at once, or when its wait is over.
pub async fn resume(caller: &Caller, id: EnrolmentId) -> Result<Model> {
    transact!(caller, Scope::AutomationsWrite, |tx| {
        let enrolment = load(tx, id).await?;
        if enrolment.status != Status::Stopped {
            return Err(Flow::EnrolmentStatus { status: status(&enrolment).to_owned() }.into());
        }
        let at = std::cmp::max(enrolment.wake_at.unwrap_or(tx.now), tx.now);
        let mut running = enrolment.into_active_model();
        (running.status, running.reason) = (Set(Status::Running), Set(None));
        let running = running.update(tx.db()).await?;
        jobs::schedule(tx.db(), &tx.account, job::Kind::Walk, vec![(id.to_string(), at)], tx.now).await?;
        Ok(running)
    })
}

async fn load(tx: &Tx, id: EnrolmentId) -> Result<Model> {
    let found = tx.rows::<Entity>().filter(Column::Id.eq(id)).lock_exclusive().one(tx.db()).await?;
    found.ok_or_else(|| Refusal::not_found("enrolmentId", "enrolment").into())
}

fn status(enrolment: &Model) -> &'static str {
    match enrolment.status {
        Status::Running => "running",
        Status::Stopped => "stopped",
        Status::Done => "done",
        Status::Failed => "failed",
    }
}

/// Whether a customer walks an automation.
pub(super) async fn is_walking(view: &View, automation: AutomationId, customer: CustomerId) -> Result<bool> {
    let select = view.customer_rows::<Entity>().filter(Column::AutomationId.eq(automation));
    let select = select.filter(Column::CustomerId.eq(customer)).filter(Column::Active.eq(true));
    Ok(select.count(view.db()).await? > 0)
}

/// Whose enrolments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Of {
    Customer(CustomerId),
    Automation(AutomationId),
}

/// Which enrolments are wanted, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wish {
    pub of: Of,
    pub status: Option<Status>,
    pub page: Page<EnrolmentId>,
}

/// The enrolments of customers, or in automations, newest first, for staff.
pub async fn pages(view: &View, wanted: &[Wish]) -> Result<Vec<Slice<Model>>> {
    view.staff_only()?;
    let select = |wish: &Wish| {
        let mut select = view.customer_rows::<Entity>();
        select = match wish.of {
            Of::Customer(id) => select.filter(Column::CustomerId.eq(id)),
            Of::Automation(id) => select.filter(Column::AutomationId.eq(id)),
        };
        if let Some(status) = wish.status {
            select = select.filter(Column::Status.eq(status));
        }
        wish.page.of(select, Column::Id, true)
    };
    let rows = page::many(view.db(), wanted.iter().map(select).collect()).await?;
    Ok(rows.into_iter().zip(wanted).map(|(rows, wish)| wish.page.slice(rows)).collect())
}

/// Enrolments by id, for staff.
pub async fn by_ids(view: &View, ids: &[EnrolmentId]) -> Result<HashMap<EnrolmentId, Model>> {
    view.staff_only()?;
    let rows = view.rows::<Entity>().filter(view.among(Column::Id, ids.iter().copied())?).all(view.db()).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}
