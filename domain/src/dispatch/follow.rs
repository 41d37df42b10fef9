//! What follows from events: each pending one is looked at once, and what follows is written in the transaction that says
//! so. Nothing has an effect here: triggers become runs, each a job of its own, and webhooks become deliveries.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use entity::account::Mode;
use entity::event::{Column, Entity, Model};
use entity::run::{self, Status};
use entity::{AccountId, EventId, RunId, event_trigger, job, webhook_endpoint};
use sea_orm::sea_query::{Expr, LockType, OnConflict};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect};
use serde_json::json;

use crate::automations::actions::Action;
use crate::automations::conditions::Conditions;
use crate::ground::cause::{Cause, DEEPEST, WIDEST};
use crate::ground::clock::fresh_id;
use crate::ground::error::{Error, Refusal, Result};
use crate::ground::refusal::flow::Flow;
use crate::identity::app::App;
use crate::ledger::runs;
use crate::queue::events::catalogue::passes;
use crate::queue::events::followed::texts;
use crate::queue::events::{Fact, read, stored};
use crate::queue::jobs::{self, After};
use crate::storage::tx::Tx;
use crate::webhooks::deliveries;

/// Events that are looked at in one transaction.
const BATCH: u64 = 256;
/// Runs that are enough for one transaction.
const ENOUGH: usize = 2_000;
/// The place of a run that says that no more may come of an event: behind all actions.
const LIMITED: i32 = i32::MAX;
/// Rows per statement.
const ROWS: usize = 900;

/// The next account after one, in the order of ids, in which an event waits. So accounts take turns.
pub async fn next_account(app: &App, after: Option<AccountId>) -> Result<Option<AccountId>> {
    let txn = app.store().snapshot().await?;
    // From the very first on, if after none: SQLite looks it up in the index of what waits.
    let after = after.unwrap_or(AccountId(uuid::Uuid::nil()));
    #[expect(clippy::disallowed_methods, reason = "the worker serves every account, one after another")]
    let select = Entity::find().select_only().column(Column::AccountId);
    let select = select.filter(Expr::cust("pending")).filter(Column::AccountId.gt(after));
    Ok(select.order_by_asc(Column::AccountId).limit(1).into_tuple().one(&*txn).await?)
}

/// Looks at what waits in a live account; answers how many events that were.
pub async fn live(app: &App, account: AccountId) -> Result<usize> {
    guarded(app, account, Some(Mode::Live)).await
}

/// Looks at all that waits in an account, which its own test clock asks for.
pub async fn all(app: &App, account: AccountId) -> Result<usize> {
    let mut count = 0;
    loop {
        match guarded(app, account, None).await? {
            0 => return Ok(count),
            some => count += some,
        }
    }
}

/// Looks at one event that could not be looked at with others.
pub async fn step(app: &App, job: &job::Model) -> Result<After> {
    let event = job.key.parse().map_err(|_| Error::Internal(format!("the key of {} names no event", job.id)))?;
    let tx = Tx::open(app.store(), job.account_id).await?;
    let event = tx.rows::<Entity>().filter(Column::Id.eq::<EventId>(event)).one(tx.db()).await?;
    look_at(&tx, app, event.into_iter().collect()).await?;
    tx.commit().await?;
    Ok(After::Done)
}

/// A batch, and where that fails each event by itself, so that one that cannot be looked at never stops the others.
async fn guarded(app: &App, account: AccountId, only: Option<Mode>) -> Result<usize> {
    match spawned(app, account, only, BATCH).await {
        Err(error) if !error.passes() => {
            tracing::error!(%account, %error, "events could not be looked at together: each is, by itself");
            match spawned(app, account, only, 1).await {
                Err(error) if !error.passes() => lay_aside(app, account, &error).await,
                looked => looked,
            }
        }
        looked => looked,
    }
}

/// In a task of its own: a panic is an error, and nobody's hanging up leaves a transaction open.
async fn spawned(app: &App, account: AccountId, only: Option<Mode>, most: u64) -> Result<usize> {
    let app = app.clone();
    let looked = tokio::spawn(async move {
        let tx = Tx::open(app.store(), account).await?;
        if only.is_some_and(|mode| mode != tx.account.mode) {
            return Ok(0);
        }
        let oldest = oldest(&tx, most).await?;
        let events = Entity::update_many()
            .col_expr(Column::Pending, Expr::value(false))
            .filter(Column::AccountId.eq(account))
            .filter(Column::Id.is_in(oldest))
            // Another server may have been faster.
            .filter(Column::Pending.eq(true))
            .exec_with_returning(tx.db())
            .await?;
        let looked = look_at(&tx, &app, events).await?;
        tx.commit().await?;
        Ok(looked)
    });
    looked.await.unwrap_or_else(|error| Err(Error::Internal(format!("looking at an event ended in a panic: {error}"))))
}

async fn oldest(tx: &Tx, most: u64) -> Result<Vec<EventId>> {
    let oldest = tx.rows::<Entity>().filter(Expr::cust("pending")).order_by_asc(Column::Id).limit(most);
    Ok(oldest.select_only().column(Column::Id).into_tuple().all(tx.db()).await?)
}

/// The oldest event waits no longer: a job of its own looks at it, again and again, and in the end is laid aside.
async fn lay_aside(app: &App, account: AccountId, error: &Error) -> Result<usize> {
    let tx = Tx::open(app.store(), account).await?;
    let oldest = oldest(&tx, 1).await?;
    tracing::error!(%account, event = ?oldest.first(), %error, "an event could not be looked at");
    Entity::update_many()
        .col_expr(Column::Pending, Expr::value(false))
        .filter(Column::AccountId.eq(account))
        .filter(Column::Id.is_in(oldest.iter().copied()))
        .exec(tx.db())
        .await?;
    let due = oldest.iter().map(|event| (event.to_string(), tx.now)).collect();
    jobs::schedule(tx.db(), &tx.account, job::Kind::Follow, due, tx.now).await?;
    tx.commit().await?;
    Ok(oldest.len())
}

/// Writes what follows from events, oldest first; answers how many were looked at. What would be too much for one
/// transaction waits for the next.
async fn look_at(tx: &Tx, app: &App, mut events: Vec<Model>) -> Result<usize> {
    events.sort_by_key(|event| event.id);
    let (runs, looked) = made(tx, &events).await?;
    let (events, rest) = events.split_at(looked);
    if !rest.is_empty() {
        Entity::update_many()
            .col_expr(Column::Pending, Expr::value(true))
            .filter(Column::AccountId.eq(tx.account.id))
            .filter(Column::Id.is_in(rest.iter().map(|event| event.id)))
            .exec(tx.db())
            .await?;
    }
    // Those that follow on another are due when it is over.
    let follow = runs.iter().filter_map(runs::next).collect::<BTreeSet<_>>();
    let waiting = runs.iter().filter(|run| run.status == Status::Pending && !follow.contains(&run.id));
    let due = waiting.map(|run| (run.id.to_string(), tx.now)).collect();
    let key = [
        run::Column::AccountId,
        run::Column::TriggerId,
        run::Column::TriggerVersion,
        run::Column::EventId,
        run::Column::Position,
    ];
    for runs in runs.chunks(ROWS) {
        let rows = runs.iter().cloned().map(IntoActiveModel::into_active_model);
        let once = OnConflict::columns(key).do_nothing().to_owned();
        run::Entity::insert_many(rows).on_conflict(once).exec_without_returning(tx.db()).await?;
    }
    jobs::schedule(tx.db(), &tx.account, job::Kind::Act, due, tx.now).await?;
    posts(tx, app, events).await?;
    Ok(events.len())
}

/// What a trigger says, if it can be read.
type Rules = Result<(Conditions, Vec<Action>)>;

/// What triggers make of events, and of how many: of all of them, or of so many that it is enough for one transaction.
async fn made(tx: &Tx, events: &[Model]) -> Result<(Vec<run::Model>, usize)> {
    if events.is_empty() {
        return Ok((Vec::new(), 0));
    }
    let names = events.iter().map(|event| event.name.as_str()).collect::<BTreeSet<_>>();
    let triggers = tx
        .rows::<event_trigger::Entity>()
        .filter(event_trigger::Column::Event.is_in(names))
        .filter(event_trigger::Column::Enabled.eq(true))
        .filter(event_trigger::Column::DeletedAt.is_null())
        .order_by_asc(event_trigger::Column::Id)
        .all(tx.db())
        .await?;
    let mut by_name: BTreeMap<String, Vec<(event_trigger::Model, Rules)>> = BTreeMap::new();
    for trigger in triggers {
        let rules = read(&trigger.conditions).and_then(|conditions| Ok((conditions, read(&trigger.actions)?)));
        by_name.entry(trigger.event.clone()).or_default().push((trigger, rules));
    }
    let mut widths = widths(tx, events.iter().filter(|event| by_name.contains_key(&event.name))).await?;
    let mut runs = Vec::new();
    for (looked, event) in events.iter().enumerate() {
        if runs.len() >= ENOUGH {
            return Ok((runs, looked));
        }
        for (trigger, rules) in by_name.get(&event.name).map(Vec::as_slice).unwrap_or_default() {
            // It looks at what happens from its creation on: an event that has waited may be older.
            if event.id.0 < trigger.id.0 {
                continue;
            }
            match rules {
                Ok((conditions, actions)) if conditions.hold(&event.payload) => {
                    let width = widths.entry(origin_of(event)).or_default();
                    if width.is_met {
                        continue;
                    }
                    if width.runs + actions.len() > WIDEST {
                        width.is_met = true;
                        runs.extend(too_wide(tx, event, trigger, actions)?);
                        continue;
                    }
                    width.runs += actions.len();
                    let ids = actions.iter().map(|_| RunId(fresh_id())).collect::<Vec<_>>();
                    for (position, (action, id)) in (0..).zip(actions.iter().zip(&ids)) {
                        let after = usize::try_from(position).ok().and_then(|position| ids.get(position + 1)).copied();
                        runs.extend(run_of(tx, event, trigger, (*id, position, after), action)?);
                    }
                }
                Ok(_) => {}
                // Its own fault, and said so: the other triggers of the event go on.
                Err(error) => {
                    tracing::error!(trigger = %trigger.id, %error, "a trigger cannot be read");
                    let broken = run_of(tx, event, trigger, (RunId(fresh_id()), 0, None), &serde_json::Value::Null)?;
                    let ended_at = Some(tx.now);
                    runs.extend(broken.map(|run| run::Model {
                        status: Status::Failed,
                        refusal: None,
                        ended_at,
                        ..run
                    }));
                }
            }
        }
    }
    Ok((runs, events.len()))
}

/// The event that all began with which led to one.
fn origin_of(event: &Model) -> EventId {
    event.origin_id.unwrap_or(event.id)
}

/// How much came of an event.
#[derive(Clone, Copy, Debug, Default)]
struct Width {
    runs: usize,
    /// Whether more would have come, and was refused.
    is_met: bool,
}

/// How much came of the events that these began with. Nobody adds to it until the transaction ends.
async fn widths(tx: &Tx, events: impl Iterator<Item = &Model> + Clone) -> Result<HashMap<EventId, Width>> {
    let origins = events.clone().map(origin_of).collect::<BTreeSet<_>>();
    if origins.is_empty() {
        return Ok(HashMap::new());
    }
    let led = events.filter_map(|event| event.origin_id).collect::<BTreeSet<_>>();
    if !led.is_empty() {
        let led = tx.rows::<Entity>().filter(Column::Id.is_in(led)).order_by_asc(Column::Id);
        led.lock(LockType::NoKeyUpdate).all(tx.db()).await?;
    }
    let runs = tx.rows::<run::Entity>().filter(run::Column::OriginId.is_in(origins)).select_only();
    let runs = runs.column(run::Column::OriginId).column_as(run::Column::Id.count(), "runs");
    let runs = runs.column_as(run::Column::Position.max(), "last").group_by(run::Column::OriginId);
    let rows = runs.into_tuple::<(EventId, i64, i32)>().all(tx.db()).await?;
    let width = |(origin, runs, last)| {
        (origin, Width { runs: usize::try_from(runs).unwrap_or(usize::MAX), is_met: last == LIMITED })
    };
    Ok(rows.into_iter().map(width).collect())
}

/// More would come of an event than may: written down once, as a run that was refused, and told.
fn too_wide(tx: &Tx, event: &Model, trigger: &event_trigger::Model, actions: &[Action]) -> Result<Option<run::Model>> {
    let run = run_of(tx, event, trigger, (RunId(fresh_id()), LIMITED, None), &actions.first())?;
    let refusal = stored(&Refusal::from(Flow::RunLimit))?;
    let Some(run) = run else { return Ok(None) };
    let origin = origin_of(event);
    let fact = Fact {
        name: "trigger.limited",
        customer: event.customer_id,
        subject: trigger.id.0,
        payload: json!({ "triggerId": trigger.id, "eventId": event.id, "originEventId": origin, "runs": WIDEST }),
    };
    tx.emit_because(fact, Cause { depth: event.depth + 1, origin: Some(origin) });
    Ok(Some(run::Model { status: Status::Refused, refusal: Some(refusal), ended_at: Some(tx.now), ..run }))
}

fn run_of(
    tx: &Tx,
    event: &Model,
    trigger: &event_trigger::Model,
    (id, position, after): (RunId, i32, Option<RunId>),
    action: &impl serde::Serialize,
) -> Result<Option<run::Model>> {
    let Some(customer_id) = event.customer_id else { return Ok(None) };
    let too_deep = event.depth >= DEEPEST;
    let refusal = too_deep.then(|| stored(&Refusal::from(Flow::LoopLimit))).transpose()?;
    Ok(Some(run::Model {
        account_id: tx.account.id,
        id,
        trigger_id: Some(trigger.id),
        trigger_version: Some(trigger.version),
        enrolment_id: None,
        event_id: Some(event.id),
        position,
        customer_id,
        action: stored(action)?,
        depth: event.depth + 1,
        origin_id: Some(origin_of(event)),
        status: if too_deep { Status::Refused } else { Status::Pending },
        activity_id: None,
        refusal,
        detail: runs::followed_by(after),
        created_at: tx.now,
        ended_at: too_deep.then_some(tx.now),
    }))
}

/// What webhook endpoints are to hear of events. By the real clock: who listens has no other.
async fn posts(tx: &Tx, app: &App, events: &[Model]) -> Result<()> {
    let endpoints = tx
        .rows::<webhook_endpoint::Entity>()
        .filter(webhook_endpoint::Column::Enabled.eq(true))
        .filter(webhook_endpoint::Column::DeletedAt.is_null())
        .order_by_asc(webhook_endpoint::Column::Id)
        .all(tx.db())
        .await?;
    let mut wanted = Vec::new();
    for endpoint in &endpoints {
        let filters = texts(&endpoint.events);
        let heard = events.iter().filter(|event| event.id.0 > endpoint.id.0 && passes(&filters, &event.name));
        wanted.extend(heard.map(|event| (endpoint.id, event.id)));
    }
    deliveries::enqueue(tx, app, &wanted).await
}
