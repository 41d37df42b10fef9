//! Automations: steps that customers walk through, and their versions. A walk goes on with the version that it began.

use std::collections::HashMap;

use entity::automation::{ActiveModel, Column, Entity, Model};
use entity::{AutomationId, automation_version, credit_type, webhook_endpoint};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, IntoActiveModel, PaginatorTrait, QueryFilter, QuerySelect, Set,
};

use super::steps::{self, Does, Question, Step};
use crate::ground::clock::fresh_id;
use crate::ground::error::{Refusal, Result};
use crate::ground::input;
use crate::ground::page::{Page, Slice};
use crate::ground::scope::Scope;
use crate::identity::caller::{Caller, transact};
use crate::queue::events::{read, stored};
use crate::storage::tx::{Tx, View};

/// Automations of one account.
const MOST: u64 = 1_000;

/// An automation that is about to be.
#[derive(Clone, Debug)]
pub struct NewAutomation {
    pub name: String,
    pub steps: Vec<Step>,
    pub enabled: bool,
}

/// What staff changes; what is left out stays.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    pub name: Option<String>,
    pub steps: Option<Vec<Step>>,
    pub enabled: Option<bool>,
}

/// Creates an automation.
pub async fn create(caller: &Caller, new: NewAutomation) -> Result<Model> {
    transact!(caller, Scope::AutomationsWrite, |tx| {
        let new = new.clone();
        if tx.rows::<Entity>().count(tx.db()).await? >= MOST {
            return Err(Refusal::invalid(
                "name",
                format!("An account has at most {MOST} automations. Change one instead."),
            )
            .into());
        }
        let name = input::text("name", &new.name, input::NAME)?;
        let steps = check(tx, new.steps).await?;
        let automation = Model {
            account_id: tx.account.id,
            id: AutomationId(fresh_id()),
            name,
            enabled: new.enabled,
            version: 1,
            created_at: tx.now,
            updated_at: tx.now,
        };
        let automation = automation.into_active_model().insert(tx.db()).await?;
        write_version(tx, &automation, &steps).await?;
        Ok(automation)
    })
}

/// Changes an automation. Other steps are a new version, which those walk who begin from then on.
pub async fn update(caller: &Caller, id: AutomationId, changes: Changes) -> Result<Model> {
    transact!(caller, Scope::AutomationsWrite, |tx| {
        let changes = changes.clone();
        let found = tx.rows::<Entity>().filter(Column::Id.eq(id)).lock_exclusive().one(tx.db()).await?;
        let before = found.ok_or_else(|| Refusal::not_found("id", "automation"))?;
        let mut automation: ActiveModel = before.clone().into_active_model();
        if let Some(name) = changes.name {
            automation.name = Set(input::text("name", &name, input::NAME)?);
        }
        if let Some(enabled) = changes.enabled {
            automation.enabled = Set(enabled);
        }
        let mut steps = None;
        if let Some(wanted) = changes.steps {
            let wanted = check(tx, wanted).await?;
            if wanted != steps_of(tx, id, before.version).await? {
                automation.version = Set(before.version + 1);
                steps = Some(wanted);
            }
        }
        automation.updated_at = Set(tx.now);
        let automation = automation.update(tx.db()).await?;
        if let Some(steps) = steps {
            write_version(tx, &automation, &steps).await?;
        }
        Ok(automation)
    })
}

async fn write_version(tx: &Tx, automation: &Model, steps: &[Step]) -> Result<()> {
    let version = automation_version::Model {
        account_id: tx.account.id,
        automation_id: automation.id,
        version: automation.version,
        steps: stored(&steps)?,
        created_at: tx.now,
    };
    version.into_active_model().insert(tx.db()).await?;
    Ok(())
}

/// The steps of a version.
pub(super) async fn steps_of(tx: &Tx, id: AutomationId, version: i32) -> Result<Vec<Step>> {
    use automation_version::Column;
    let row = tx.rows::<automation_version::Entity>().filter(Column::AutomationId.eq(id));
    let row = row.filter(Column::Version.eq(version)).one(tx.db()).await?;
    row.map_or_else(|| Ok(Vec::new()), |row| read(&row.steps))
}

/// The limits of the steps, and that what they name is there.
async fn check(tx: &Tx, steps: Vec<Step>) -> Result<Vec<Step>> {
    let mut steps = steps::check(steps)?;
    for (number, step) in steps.iter_mut().enumerate() {
        let field = format!("steps.{number}.does");
        match &mut step.does {
            Does::Act(action) => *action = action.clone().check(tx, &field).await?,
            Does::Webhook { endpoint } => {
                use webhook_endpoint::Column;
                let row = tx.rows::<webhook_endpoint::Entity>().filter(Column::Id.eq(*endpoint));
                let row = row.filter(Column::DeletedAt.is_null()).one(tx.db()).await?;
                row.ok_or_else(|| Refusal::not_found(&format!("{field}.callWebhook"), "webhook endpoint"))?;
            }
            Does::Branch(branch) => {
                for (place, question) in branch.questions.iter().enumerate() {
                    let Question::Balance { credit_type, .. } = question else { continue };
                    let row = tx.rows::<credit_type::Entity>().filter(credit_type::Column::Id.eq(*credit_type));
                    let field = format!("{field}.branch.conditions.{place}.balance.creditTypeId");
                    row.one(tx.db()).await?.ok_or_else(|| Refusal::not_found(&field, "credit type"))?;
                }
            }
            Does::Wait { .. } | Does::WaitUntil(_) | Does::Stop => {}
        }
    }
    Ok(steps)
}

/// Automations, oldest first, for staff.
pub async fn list(view: &View, page: &Page<AutomationId>) -> Result<Slice<Model>> {
    view.staff_only()?;
    let rows = page.of(view.rows::<Entity>(), Column::Id, false).all(view.db()).await?;
    Ok(page.slice(rows))
}

/// Automations by id, for staff.
pub async fn by_ids(view: &View, ids: &[AutomationId]) -> Result<HashMap<AutomationId, Model>> {
    view.staff_only()?;
    let rows = view.rows::<Entity>().filter(view.among(Column::Id, ids.iter().copied())?).all(view.db()).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// The steps of versions, for staff.
pub async fn versions(view: &View, wanted: &[(AutomationId, i32)]) -> Result<HashMap<(AutomationId, i32), Vec<Step>>> {
    use automation_version::Column;
    view.staff_only()?;
    let any = wanted.iter().fold(Condition::any(), |any, (id, version)| {
        any.add(Condition::all().add(Column::AutomationId.eq(*id)).add(Column::Version.eq(*version)))
    });
    let rows = view.rows::<automation_version::Entity>().filter(any).all(view.db()).await?;
    rows.into_iter().map(|row| Ok(((row.automation_id, row.version), read(&row.steps)?))).collect()
}
