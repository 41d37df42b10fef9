//! Forgetting what is kept no longer: events, and with them the runs of triggers and the deliveries that came of them;
//! who did what; sessions that are over; and strangers' orders that nobody paid.
//!
//! Oldest first, by id, a few pages at a time. What waits is never forgotten, nor an event that something waits for.

use std::collections::HashSet;

use chrono::TimeDelta;
use entity::{
    AccessEntryId, AccountId, CustomerSessionId, EventId, Owned, RunId, WebhookDeliveryId, access_entry,
    customer_session, event, job, run, webhook_delivery,
};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder, QuerySelect, Select, Value};

use crate::ground::error::Result;
use crate::identity::app::App;
use crate::queue::housekeeping;
use crate::queue::jobs::{self, After};
use crate::sales::strangers;
use crate::storage::tx::Tx;

/// Rows that are looked at at a time.
const PAGE: u64 = 1_000;
/// Pages that are looked at in one transaction.
const PAGES: usize = 5;

/// Forgets a page of what is kept no longer, and says when to look again.
pub async fn step(app: &App, job: &job::Model) -> Result<After> {
    let tx = Tx::open(app.store(), job.account_id).await?;
    let more = page(&tx, app).await?;
    if !more {
        let again = vec![(job.key.clone(), Some(housekeeping::next(&tx.account, tx.now)))];
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

/// Forgets a few pages; answers whether there may be more.
async fn page(tx: &Tx, app: &App) -> Result<bool> {
    let kept = TimeDelta::days(i64::from(tx.account.event_days));
    let (before, real) = (tx.now - kept, app.store().clock.now() - kept);
    let more = [
        forget::<run::Entity>(tx, |row| (row.id, row.created_at < before, row.status == run::Status::Pending)).await?,
        forget::<webhook_delivery::Entity>(tx, |row| (row.id, row.created_at < real, row.next_at.is_some())).await?,
        forget::<access_entry::Entity>(tx, |row| (row.id, row.at < real, false)).await?,
        forget::<customer_session::Entity>(tx, |row| (row.id, row.expires_at < real, false)).await?,
        strangers::forget(tx).await?,
        // Last: what waits for one keeps it.
        forget::<event::Entity>(tx, |row| (row.id, row.at < before, row.pending)).await?,
    ];
    Ok(more.into_iter().any(|more| more))
}

/// What is forgotten in its time.
trait Kept: Owned<Model: Send + Sync + sea_orm::FromQueryResult> {
    /// The column of its id.
    const ID: Self::Column;
    /// Its id.
    type Id: Copy + Eq + std::hash::Hash + Into<Value> + Send + Sync;

    /// The rows that have their time.
    fn rows(tx: &Tx) -> Select<Self> {
        tx.rows()
    }

    /// Of these, those that something waits for.
    fn needed(_: &Tx, _: &[Self::Id]) -> impl Future<Output = Result<HashSet<Self::Id>>> + Send {
        async { Ok(HashSet::new()) }
    }
}

impl Kept for event::Entity {
    const ID: event::Column = event::Column::Id;
    type Id = EventId;

    async fn needed(tx: &Tx, ids: &[EventId]) -> Result<HashSet<EventId>> {
        let runs = run::Entity::of(tx.account.id).filter(run::Column::EventId.is_in(ids.iter().copied()));
        let runs = runs.filter(run::Column::Status.eq(run::Status::Pending)).all(tx.db()).await?;
        let posts = webhook_delivery::Entity::of(tx.account.id).filter(webhook_delivery::Column::NextAt.is_not_null());
        let posts = posts.filter(webhook_delivery::Column::EventId.is_in(ids.iter().copied())).all(tx.db()).await?;
        Ok(runs.into_iter().filter_map(|run| run.event_id).chain(posts.into_iter().map(|post| post.event_id)).collect())
    }
}

impl Kept for run::Entity {
    const ID: run::Column = run::Column::Id;
    type Id = RunId;

    /// The steps of enrolments are kept with them.
    fn rows(tx: &Tx) -> Select<Self> {
        tx.rows::<Self>().filter(run::Column::EnrolmentId.is_null())
    }
}

impl Kept for access_entry::Entity {
    const ID: access_entry::Column = access_entry::Column::Id;
    type Id = AccessEntryId;
}

impl Kept for customer_session::Entity {
    const ID: customer_session::Column = customer_session::Column::Id;
    type Id = CustomerSessionId;
}

impl Kept for webhook_delivery::Entity {
    const ID: webhook_delivery::Column = webhook_delivery::Column::Id;
    type Id = WebhookDeliveryId;
}

/// Forgets rows whose time is over and that nothing waits for, from the oldest id on, until a page has none that is old;
/// answers whether it ended before that, having forgotten some. `told` says of a row its id, whether its time is over, and whether it waits.
async fn forget<E: Kept>(tx: &Tx, told: impl Fn(&E::Model) -> (E::Id, bool, bool) + Send + Sync) -> Result<bool> {
    let (mut after, mut forgotten) = (None, 0);
    for _ in 0..PAGES {
        let mut select = E::rows(tx).order_by_asc(E::ID).limit(PAGE);
        if let Some(after) = after {
            select = select.filter(E::ID.gt(after));
        }
        let rows = select.all(tx.db()).await?.iter().map(&told).collect::<Vec<_>>();
        after = rows.last().map(|(id, ..)| *id);
        let over = rows.iter().filter(|(_, over, waits)| *over && !waits).map(|(id, ..)| *id).collect::<Vec<_>>();
        if !over.is_empty() {
            let needed = E::needed(tx, &over).await?;
            let over = over.into_iter().filter(|id| !needed.contains(id));
            let these = E::delete_many().filter(E::ACCOUNT.eq(tx.account.id)).filter(E::ID.is_in(over));
            forgotten += these.exec(tx.db()).await?.rows_affected;
        }
        if (rows.len() as u64) < PAGE || !rows.iter().any(|(_, over, _)| *over) {
            return Ok(false);
        }
    }
    Ok(forgotten > 0)
}
