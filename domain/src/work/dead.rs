//! Jobs as staff sees them: what waits, what failed, what was laid aside, and trying that again.

use std::collections::HashMap;

use entity::job::{Column, Entity, Kind, Model};
use entity::{JobId, Owned};
use sea_orm::{ActiveModelTrait, ColumnTrait, Condition, IntoActiveModel, QueryFilter, QuerySelect, Set};

use super::test_clock;
use crate::automations::{runs, walk};
use crate::bulk;
use crate::ground::error::{Refusal, Result};
use crate::ground::page::{Page, Slice};
use crate::ground::scope::Scope;
use crate::identity::caller::{Caller, transact};
use crate::storage::tx::View;

/// Jobs, oldest first: all of them, or only those that were laid aside.
pub async fn list(view: &View, dead: bool, page: &Page<JobId>) -> Result<Slice<Model>> {
    view.staff_only()?;
    // Housekeeping shows only where it fails.
    let shown = Condition::any().add(Column::Kind.ne(Kind::Purge)).add(Column::DeadAt.is_not_null());
    let mut select = view.rows::<Entity>().filter(Column::Kind.ne(Kind::Clock)).filter(shown);
    if dead {
        select = select.filter(Column::DeadAt.is_not_null());
    }
    let rows = page.of(select, Column::Id, false).all(view.db()).await?;
    Ok(page.slice(rows))
}

/// Jobs by id, for staff.
pub async fn by_ids(view: &View, ids: &[JobId]) -> Result<HashMap<JobId, Model>> {
    view.staff_only()?;
    let rows = view.rows::<Entity>().filter(view.among(Column::Id, ids.iter().copied())?).all(view.db()).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// Lets a job that was laid aside be tried again, from the beginning.
pub async fn retry(caller: &Caller, id: JobId) -> Result<Model> {
    let again = transact!(caller, Scope::CreditsWrite, |tx| {
        let job = Entity::of(tx.account.id).filter(Column::Id.eq(id)).lock_exclusive().one(tx.db()).await?;
        let job = job.ok_or_else(|| Refusal::not_found("id", "job"))?;
        if job.dead_at.is_none() {
            return Err(Refusal::JobNotDead.into());
        }
        match job.kind {
            Kind::Bulk => bulk::resume(tx.db(), &job).await?,
            Kind::Act => runs::resume(tx.db(), &job).await?,
            Kind::Walk => walk::resume(tx, &job).await?,
            _ => {}
        }
        let mut again = job.into_active_model();
        (again.dead_at, again.not_before, again.attempts) = (Set(None), Set(None), Set(0));
        let again = again.update(tx.db()).await?;
        Ok(again)
    })?;
    caller.app().wake();
    // No worker comes to a sandbox.
    test_clock::catch_up(caller.app(), again.account_id).await?;
    let view = caller.view(Scope::CreditsWrite).await?;
    Ok(by_ids(&view, &[id]).await?.remove(&id).unwrap_or(again))
}
