//! Forgetting what is kept no longer: events, and with them the runs of triggers and the deliveries that came of them.
//!
//! Oldest first, by id, a page at a time. What waits is never forgotten.

use chrono::TimeDelta;
use entity::account::{Mode, Model as Account};
use entity::{AccountId, Owned, event, job, run, webhook_delivery};
use sea_orm::{ColumnTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::domain::app::App;
use crate::domain::clock::Instant;
use crate::domain::error::Result;
use crate::domain::jobs::{self, After};
use crate::domain::tx::Tx;

/// Rows that are looked at in one transaction.
const PAGE: u64 = 1_000;

/// When an account next looks for what is kept no longer: ten times within what is kept, and at most once a day.
#[must_use]
fn next(account: &Account, now: Instant) -> Instant {
    now + TimeDelta::days(i64::from(account.event_days / 10).max(1))
}

/// Sees to it that an account looks, now or in its time. A sandbox does without a job: it looks whenever its clock arrives.
pub async fn schedule(txn: &DatabaseTransaction, account: &Account, now: Instant, at_once: bool) -> Result<(), DbErr> {
    if account.mode == Mode::Sandbox {
        return Ok(());
    }
    let at = if at_once { now } else { next(account, now) };
    jobs::schedule(txn, account, job::Kind::Purge, vec![(String::new(), at)], now).await
}

/// Forgets a page of what is kept no longer, and says when to look again.
pub async fn step(app: &App, job: &job::Model) -> Result<After> {
    let tx = Tx::open(app.store(), job.account_id).await?;
    let more = page(&tx, app).await?;
    if !more {
        let again = vec![(job.key.clone(), Some(next(&tx.account, tx.now)))];
        jobs::reschedule(tx.db(), &tx.account, job::Kind::Purge, again).await?;
    }
    tx.commit().await?;
    Ok(if more { After::Again } else { After::Said })
}

/// Forgets all that a sandbox keeps no longer.
pub async fn all(app: &App, account: AccountId) -> Result<()> {
    loop {
        let tx = Tx::open(app.store(), account).await?;
        let more = page(&tx, app).await?;
        tx.commit().await?;
        if !more {
            return Ok(());
        }
    }
}

/// Forgets a page; answers whether there is more.
async fn page(tx: &Tx, app: &App) -> Result<bool> {
    let before = tx.now - TimeDelta::days(i64::from(tx.account.event_days));
    let mut more = false;
    {
        use event::{Column, Entity};
        let oldest = Entity::of(tx.account.id).order_by_asc(Column::Id).limit(PAGE).all(tx.db()).await?;
        let over = oldest.iter().filter(|row| row.at < before && !row.pending).map(|row| row.id).collect::<Vec<_>>();
        more |= over.len() as u64 == PAGE;
        let these = Entity::delete_many().filter(Column::AccountId.eq(tx.account.id)).filter(Column::Id.is_in(over));
        these.exec(tx.db()).await?;
    }
    {
        use run::{Column, Entity, Status};
        let of_triggers = Entity::of(tx.account.id).filter(Column::EnrolmentId.is_null());
        let oldest = of_triggers.order_by_asc(Column::Id).limit(PAGE).all(tx.db()).await?;
        let over = oldest.iter().filter(|row| row.created_at < before && row.status != Status::Pending);
        let over = over.map(|row| row.id).collect::<Vec<_>>();
        more |= over.len() as u64 == PAGE;
        let these = Entity::delete_many().filter(Column::AccountId.eq(tx.account.id)).filter(Column::Id.is_in(over));
        these.exec(tx.db()).await?;
    }
    {
        use webhook_delivery::{Column, Entity, Status};
        let real = app.store().clock.now() - TimeDelta::days(i64::from(tx.account.event_days));
        let oldest = Entity::of(tx.account.id).order_by_asc(Column::Id).limit(PAGE).all(tx.db()).await?;
        let over = oldest.iter().filter(|row| row.created_at < real && row.status != Status::Pending);
        let over = over.map(|row| row.id).collect::<Vec<_>>();
        more |= over.len() as u64 == PAGE;
        let these = Entity::delete_many().filter(Column::AccountId.eq(tx.account.id)).filter(Column::Id.is_in(over));
        these.exec(tx.db()).await?;
    }
    Ok(more)
}
