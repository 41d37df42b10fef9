//! Triggers: when something happens, and these conditions hold, do that.

use std::collections::HashMap;

use entity::event_trigger::{ActiveModel, Column, Entity, Model};
use entity::{TriggerId, event};
use sea_orm::{ActiveModelTrait, ColumnTrait, IntoActiveModel, QueryFilter, QuerySelect, Set};

use super::actions::{Action, check_event};
use super::conditions::{Condition, Conditions, Match};
use super::runs;
use crate::ground::clock::fresh_id;
use crate::ground::error::{Refusal, Result};
use crate::ground::input;
use crate::ground::page::{Page, Slice};
use crate::ground::scope::Scope;
use crate::identity::caller::{Caller, transact};
use crate::queue::events::{catalogue, followed, read, stored};
use crate::storage::tx::{Tx, View};

/// Actions of one trigger.
const ACTIONS: usize = 10;
/// Triggers of one account: each event is held against all of its name.
const MOST: u64 = 500;

/// A trigger that is about to be.
#[derive(Clone, Debug)]
pub struct NewTrigger {
    pub name: String,
    pub event: String,
    pub conditions: Conditions,
    pub actions: Vec<Action>,
    pub enabled: bool,
}

/// What staff changes; what is left out stays.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    pub name: Option<String>,
    pub event: Option<String>,
    pub matching: Option<Match>,
    pub conditions: Option<Vec<Condition>>,
    pub actions: Option<Vec<Action>>,
    pub enabled: Option<bool>,
}

/// What became of a change: the trigger, and whether its event was ever seen.
#[derive(Clone, Debug)]
pub struct Saved {
    pub trigger: Model,
    pub event_seen: bool,
}

/// Creates a trigger. It looks at what happens from then on.
pub async fn create(caller: &Caller, new: NewTrigger) -> Result<Saved> {
    transact!(caller, Scope::AutomationsWrite, |tx| {
        let new = new.clone();
        followed::lock(tx).await?;
        if count(tx).await? >= MOST {
            return Err(Refusal::invalid(
                "name",
                format!("An account has at most {MOST} triggers. Delete some first."),
            )
            .into());
        }
        let event = check_event("eventName", &new.event)?;
        let conditions = new.conditions.check("conditions", catalogue::built_in(&event))?;
        let actions = check_actions(tx, new.actions).await?;
        let trigger = Model {
            account_id: tx.account.id,
            id: TriggerId(fresh_id()),
            name: input::text("name", &new.name, input::NAME)?,
            event,
            conditions: stored(&conditions)?,
            actions: stored(&actions)?,
            enabled: new.enabled,
            version: 1,
            created_at: tx.now,
            updated_at: tx.now,
            deleted_at: None,
        };
        let trigger = trigger.into_active_model().insert(tx.db()).await?;
        save(tx, trigger).await
    })
}

/// Changes a trigger. What has happened already is done as it was decided then; what is still to be done by one that is
/// disabled is not done any more.
pub async fn update(caller: &Caller, id: TriggerId, changes: Changes) -> Result<Saved> {
    transact!(caller, Scope::AutomationsWrite, |tx| {
        let changes = changes.clone();
        followed::lock(tx).await?;
        let before = load(tx, id).await?;
        let mut trigger: ActiveModel = before.clone().into_active_model();
        if let Some(name) = changes.name {
            trigger.name = Set(input::text("name", &name, input::NAME)?);
        }
        let event = changes.event.map_or_else(|| Ok(before.event.clone()), |event| check_event("eventName", &event))?;
        // Conditions that stay must also suit an event that is new.
        let mut conditions: Conditions = read(&before.conditions)?;
        conditions.matching = changes.matching.unwrap_or(conditions.matching);
        conditions.conditions = changes.conditions.unwrap_or(conditions.conditions);
        let conditions = stored(&conditions.check("conditions", catalogue::built_in(&event))?)?;
        let actions = match changes.actions {
            Some(actions) => stored(&check_actions(tx, actions).await?)?,
            None => before.actions.clone(),
        };
        if (&event, &conditions, &actions) != (&before.event, &before.conditions, &before.actions) {
            trigger.version = Set(before.version + 1);
        }
        (trigger.event, trigger.conditions, trigger.actions) = (Set(event), Set(conditions), Set(actions));
        if let Some(enabled) = changes.enabled {
            trigger.enabled = Set(enabled);
            if !enabled {
                runs::cancel(tx, id).await?;
            }
        }
        trigger.updated_at = Set(tx.now);
        let trigger = trigger.update(tx.db()).await?;
        save(tx, trigger).await
    })
}

/// Deletes a trigger; its log stays, and what it was still to do is not done. Doing it twice changes nothing.
pub async fn delete(caller: &Caller, id: TriggerId) -> Result<Model> {
    transact!(caller, Scope::AutomationsWrite, |tx| {
        followed::lock(tx).await?;
        let found = tx.rows::<Entity>().filter(Column::Id.eq(id)).one(tx.db()).await?;
        let trigger = found.ok_or_else(|| Refusal::not_found("id", "trigger"))?;
        if trigger.deleted_at.is_some() {
            return Ok(trigger);
        }
        let mut gone: ActiveModel = trigger.into_active_model();
        (gone.enabled, gone.deleted_at, gone.updated_at) = (Set(false), Set(Some(tx.now)), Set(tx.now));
        let gone = gone.update(tx.db()).await?;
        runs::cancel(tx, id).await?;
        Ok(save(tx, gone).await?.trigger)
    })
}

async fn save(tx: &Tx, trigger: Model) -> Result<Saved> {
    followed::refresh(tx).await?;
    let seen = tx.rows::<event::Entity>().filter(event::Column::Name.eq(&trigger.event)).one(tx.db()).await?;
    let event_seen = seen.is_some() || catalogue::built_in(&trigger.event).is_some();
    Ok(Saved { trigger, event_seen })
}

async fn check_actions(tx: &Tx, actions: Vec<Action>) -> Result<Vec<Action>> {
    if actions.is_empty() || actions.len() > ACTIONS {
        return Err(Refusal::invalid("actions", format!("Must be 1 to {ACTIONS} actions.")).into());
    }
    let mut checked = Vec::with_capacity(actions.len());
    for (number, action) in actions.into_iter().enumerate() {
        checked.push(action.check(tx, &format!("actions.{number}")).await?);
    }
    Ok(checked)
}

async fn load(tx: &Tx, id: TriggerId) -> Result<Model> {
    let found = tx.rows::<Entity>().filter(Column::Id.eq(id)).filter(Column::DeletedAt.is_null());
    found.lock_exclusive().one(tx.db()).await?.ok_or_else(|| Refusal::not_found("id", "trigger").into())
}

async fn count(tx: &Tx) -> Result<u64> {
    use sea_orm::PaginatorTrait;
    Ok(tx.rows::<Entity>().filter(Column::DeletedAt.is_null()).count(tx.db()).await?)
}

/// Triggers, oldest first, for staff.
pub async fn list(view: &View, page: &Page<TriggerId>) -> Result<Slice<Model>> {
    view.staff_only()?;
    let select = view.rows::<Entity>().filter(Column::DeletedAt.is_null());
    let rows = page.of(select, Column::Id, false).all(view.db()).await?;
    Ok(page.slice(rows))
}

/// Triggers by id, those that were deleted as well, for staff.
pub async fn by_ids(view: &View, ids: &[TriggerId]) -> Result<HashMap<TriggerId, Model>> {
    view.staff_only()?;
    let rows = view.rows::<Entity>().filter(view.among(Column::Id, ids.iter().copied())?).all(view.db()).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}
