//! Who did what: one line for each thing that somebody of an account changed or tried to change, and for each export.
//!
//! Written beside the request, many lines at a time, so that it costs the ledger no flush: a server that is killed may
//! lose the last lines. It tells people who did what; the ledger keeps its own record of every balance, signed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use entity::AccessEntryId;
use entity::access_entry::{Column, Entity, Model};
use entity::activity::ActorKind;
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::task::JoinHandle;

use super::caller::Caller;
use crate::ground::clock::fresh_id;
use crate::ground::error::Result;
use crate::ground::page::{Page, Slice};
use crate::ground::scope::Role;
use crate::storage::store::Store;
use crate::storage::tx::View;

/// Lines that may wait to be written.
const WAITING: usize = 20_000;
/// Lines of one statement.
const ROWS: usize = 500;
/// How long lines are gathered.
const GATHER: Duration = Duration::from_millis(200);
/// How often writing is tried again while the database is away.
const TRIES: u32 = 30;
/// The outcome of what went through.
pub const DONE: &str = "done";
/// Characters of what is written down.
const TEXT: usize = 255;

/// What somebody did, or tried to.
pub struct Noted<'a> {
    /// The field of the root type that was asked for.
    pub operation: &'a str,
    /// The id of what it was asked for, where one is named.
    pub about: Option<&'a str>,
    /// `done`, or the code of a refusal or an error.
    pub outcome: &'a str,
    pub request_id: &'a str,
}

/// Takes down who did what.
pub struct AccessLog {
    to: Mutex<Option<mpsc::Sender<Model>>>,
    writing: Mutex<Option<JoinHandle<()>>>,
    lost: AtomicU64,
}

impl AccessLog {
    /// Begins to write.
    pub(crate) fn start(store: &Arc<Store>) -> Self {
        let (to, lines) = mpsc::channel(WAITING);
        let writing = tokio::spawn(write(store.clone(), lines));
        Self { to: Some(to).into(), writing: Some(writing).into(), lost: AtomicU64::new(0) }
    }

    /// Writes what is left, and takes no more.
    pub(crate) async fn close(&self) {
        drop(self.to.lock().expect("nobody panics while closing").take());
        let writing = self.writing.lock().expect("nobody panics while closing").take();
        if let Some(writing) = writing
            && let Err(error) = writing.await
        {
            tracing::error!(%error, "the access log did not end by itself");
        }
    }

    /// Takes down that somebody did something, or tried to. Whoever belongs to no account leaves no line.
    pub(crate) fn note(&self, caller: &Caller, what: &Noted<'_>) {
        let Some(account_id) = caller.account() else { return };
        let (actor_kind, actor) = match caller.role() {
            // What customers were refused is theirs to try as often as they like; what they did is told by their ids.
            Role::Customer(_) if what.outcome != DONE => return,
            Role::Customer(customer) => (ActorKind::Customer, customer.to_string()),
            _ => caller.actor(),
        };
        // Without what PostgreSQL does not store: one line that cannot be written would take others with it.
        let short = |text: &str| text.chars().filter(|c| !c.is_control()).take(TEXT).collect::<String>();
        let line = Model {
            account_id,
            id: AccessEntryId(fresh_id()),
            at: caller.app().store().clock.now(),
            actor_kind,
            actor,
            operation: short(what.operation),
            about: what.about.map(short),
            outcome: short(what.outcome),
            request_id: short(what.request_id),
        };
        let to = self.to.lock().expect("nobody panics while noting");
        if let Some(to) = to.as_ref()
            && let Err(TrySendError::Full(_)) = to.try_send(line)
        {
            metrics::counter!("scrip_access_entries_lost_total").increment(1);
            let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
            if lost.is_power_of_two() {
                tracing::warn!(lost, operation = what.operation, "the access log is full: lines are lost");
            }
        }
    }
}

async fn write(store: Arc<Store>, mut lines: mpsc::Receiver<Model>) {
    let mut batch = Vec::with_capacity(ROWS);
    while lines.recv_many(&mut batch, ROWS).await > 0 {
        if batch.len() < ROWS {
            tokio::time::sleep(GATHER).await;
        }
        while batch.len() < ROWS
            && let Ok(line) = lines.try_recv()
        {
            batch.push(line);
        }
        for tried in 1..=TRIES {
            match insert(&store, &batch).await {
                Ok(()) => break,
                Err(error) if error.passes() && tried < TRIES => tokio::time::sleep(Duration::from_secs(1)).await,
                Err(error) => {
                    metrics::counter!("scrip_access_entries_lost_total").increment(batch.len() as u64);
                    tracing::error!(%error, lines = batch.len(), "lines of the access log could not be written");
                    break;
                }
            }
        }
        batch.clear();
    }
}

async fn insert(store: &Store, lines: &[Model]) -> Result<()> {
    let txn = store.begin().await?;
    let rows = lines.iter().map(|line| line.clone().into_active_model());
    Entity::insert_many(rows).exec_without_returning(&txn).await?;
    txn.commit().await?;
    Ok(())
}

/// Whose lines are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    pub kind: ActorKind,
    /// The token's subject, or the API key's id.
    pub subject: String,
}

/// Who did what, newest first, for staff.
pub async fn list(view: &View, actor: Option<&Actor>, page: &Page<AccessEntryId>) -> Result<Slice<Model>> {
    view.staff_only()?;
    let mut select = view.rows::<Entity>();
    if let Some(Actor { kind, subject }) = actor {
        // PostgreSQL keeps no text with a zero in it.
        let subject = subject.replace('\0', "");
        select = select.filter(Column::ActorKind.eq(*kind)).filter(Column::Actor.eq(subject));
    }
    let rows = page.of(select, Column::Id, true).all(view.db()).await?;
    Ok(page.slice(rows))
}
