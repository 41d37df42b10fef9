//! Deliveries: one event on its way to one endpoint. Each endpoint has one job, which posts what is due to it, a few at
//! a time, and one at a time while it fails; so whoever is dead holds up nobody else, and is asked no more than it can bear.

use std::collections::{BTreeSet, HashMap};

use chrono::SecondsFormat;
use entity::webhook_delivery::{Column, Entity, Model, Status};
use entity::{EventId, Owned, WebhookDeliveryId, WebhookEndpointId, event, job, webhook_endpoint};
use futures_util::future::join_all;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, Set};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{endpoints, retry};
use crate::ground::clock::{Instant, fresh_id};
use crate::ground::error::{Error, Refusal, Result};
use crate::ground::page::{self, Page, Slice};
use crate::ground::refusal::flow::Flow;
use crate::ground::scope::Scope;
use crate::identity::app::App;
use crate::identity::caller::{Caller, transact};
use crate::keys::signature;
use crate::queue::events::{followed, read, stored};
use crate::queue::jobs::{self, After};
use crate::storage::ports::webhooks::{Answered, Unanswered};
use crate::storage::tx::{Tx, View};

/// What is posted to one endpoint at once while it answers.
const AT_ONCE: u64 = 8;
/// Rows per statement.
const ROWS: usize = 900;
/// Characters of what is said about an attempt.
const SAID: usize = 300;

/// What became of one attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    pub at: Instant,
    /// What the endpoint answered, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How long it took.
    pub millis: u64,
}

/// Posts what is due to an endpoint.
pub(crate) async fn step(app: &App, job: &job::Model) -> Result<After> {
    let endpoint = job.key.parse().map_err(|_| Error::Internal(format!("the key of {} names no endpoint", job.id)))?;
    let Some((endpoint, due)) = due(app, job, endpoint).await? else { return leave(app, job, endpoint).await };
    let posts = due.into_iter().map(|(delivery, event)| {
        let endpoint = &endpoint;
        async move {
            let attempt = attempt(app, endpoint, event.as_ref()).await;
            (delivery, attempt)
        }
    });
    let posted = join_all(posts).await;
    conclude(app, job, &endpoint, posted).await
}

/// Nothing is posted to an endpoint that is disabled or deleted: what was set on its way as that happened is given up.
async fn leave(app: &App, job: &job::Model, id: WebhookEndpointId) -> Result<After> {
    let tx = Tx::open(app.store(), job.account_id).await?;
    let endpoint = tx.rows::<webhook_endpoint::Entity>().filter(webhook_endpoint::Column::Id.eq(id));
    let endpoint = endpoint.lock_exclusive().one(tx.db()).await?;
    jobs::hold(&tx, job).await?;
    if endpoint.is_some_and(|endpoint| endpoint.enabled && endpoint.deleted_at.is_none()) {
        // It is back: the next round posts.
        return Ok(After::Again);
    }
    endpoints::give_up(&tx, id, app.store().clock.now()).await?;
    jobs::reschedule(tx.db(), &tx.account, job::Kind::Deliver, vec![(job.key.clone(), None)]).await?;
    tx.commit().await?;
    Ok(After::Said)
}

type Due = (Model, Option<event::Model>);

/// What is due, with what it tells of; none if the endpoint is gone.
async fn due(
    app: &App,
    job: &job::Model,
    id: WebhookEndpointId,
) -> Result<Option<(webhook_endpoint::Model, Vec<Due>)>> {
    let (store, account) = (app.store(), job.account_id);
    let txn = store.snapshot().await?;
    let endpoint = webhook_endpoint::Entity::of(account).filter(webhook_endpoint::Column::Id.eq(id)).one(&*txn).await?;
    let Some(endpoint) = endpoint.filter(|endpoint| endpoint.enabled && endpoint.deleted_at.is_none()) else {
        return Ok(None);
    };
    let most = if endpoint.failing_since.is_some() { 1 } else { AT_ONCE };
    let due = Entity::of(account).filter(Column::EndpointId.eq(id)).filter(Column::NextAt.lte(store.clock.now()));
    let due = due.order_by_asc(Column::NextAt).limit(most).all(&*txn).await?;
    let events = event::Entity::of(account).filter(event::Column::Id.is_in(due.iter().map(|row| row.event_id)));
    let mut events = events.all(&*txn).await?.into_iter().map(|row| (row.id, row)).collect::<HashMap<_, _>>();
    let due = due.into_iter().map(|row| {
        let event = events.remove(&row.event_id);
        (row, event)
    });
    Ok(Some((endpoint, due.collect())))
}

/// Posts one event; answers what became of it, what was asked for, and whether it is of no use to try again.
async fn attempt(app: &App, endpoint: &webhook_endpoint::Model, event: Option<&event::Model>) -> Outcome {
    let store = app.store();
    let (at, started) = (store.clock.now(), std::time::Instant::now());
    let answer = match event {
        Some(event) => {
            let body = body(event);
            let timestamp = at.timestamp().to_string();
            let message = format!("{}.{timestamp}.{body}", event.id);
            let headers = [
                ("webhook-id", event.id.to_string()),
                ("webhook-timestamp", timestamp),
                ("webhook-signature", signature::signatures(&store.key, endpoint, at, &message)),
            ];
            app.poster().post(&endpoint.url, &headers, body).await
        }
        None => Err(Unanswered::Away("the event is kept no longer".to_owned())),
    };
    let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (status, error, retry_after) = match answer {
        Ok(Answered { status, retry_after }) => (Some(status), None, retry_after),
        Err(Unanswered::NotPublic(host)) => (None, Some(format!("{host} does not lead to a public address")), None),
        Err(Unanswered::Away(why)) => (None, Some(why.chars().take(SAID).collect()), None),
    };
    Outcome { attempt: Attempt { at, status, error, millis }, retry_after, is_over: event.is_none() }
}

struct Outcome {
    attempt: Attempt,
    retry_after: Option<std::time::Duration>,
    is_over: bool,
}

impl Outcome {
    fn succeeded(&self) -> bool {
        self.attempt.status.is_some_and(|status| (200..300).contains(&status))
    }

    fn is_gone(&self) -> bool {
        self.attempt.status == Some(410)
    }
}

/// What is posted: the specification's three members, and what an event has beside them.
fn body(event: &event::Model) -> String {
    let body = json!({
        "type": event.name,
        "timestamp": event.at.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        "version": event.version,
        "accountId": event.account_id,
        "customerId": event.customer_id,
        "data": event.payload,
    });
    body.to_string()
}

/// Writes down what became of attempts, and when the endpoint is posted to next.
///
/// The job's row is locked before it is read what waits: an event that is set on its way meanwhile is either seen here,
/// or makes its job due anew.
async fn conclude(
    app: &App,
    job: &job::Model,
    posted_to: &webhook_endpoint::Model,
    posted: Vec<(Model, Outcome)>,
) -> Result<After> {
    let (tx, id) = (Tx::open(app.store(), job.account_id).await?, posted_to.id);
    let gone = posted.iter().any(|(_, outcome)| outcome.is_gone());
    let now = app.store().clock.now();
    let is_long = |since: Option<Instant>| since.is_some_and(|since| now - since >= retry::PATIENCE);
    let may_disable = gone || is_long(posted_to.failing_since);
    if may_disable {
        // What disabling changes is locked in the order in which people's changes lock it.
        followed::lock(&tx).await?;
    }
    let endpoint = tx.rows::<webhook_endpoint::Entity>().filter(webhook_endpoint::Column::Id.eq(id));
    let Some(endpoint) = endpoint.lock_exclusive().one(tx.db()).await? else { return Ok(After::Done) };
    // Whoever changed it meanwhile is not judged by what was posted before.
    let unchanged = endpoint.updated_at == posted_to.updated_at;
    let succeeded = posted.iter().any(|(_, outcome)| outcome.succeeded());
    let asked = posted.iter().filter_map(|(_, outcome)| outcome.retry_after).max();
    let tried = posted.iter().filter(|(_, outcome)| !outcome.is_over).count();
    for (delivery, outcome) in posted {
        write(&tx, delivery, &outcome, now).await?;
    }
    let since = if succeeded { None } else { endpoint.failing_since.or((tried > 0).then_some(now)) };
    let too_long = may_disable && is_long(since) && endpoint.failing_since.is_some();
    if !unchanged {
        // Its next attempts tell.
    } else if gone && endpoint.enabled {
        endpoints::disable(&tx, endpoint, "It answered 410: it is gone.", now).await?;
    } else if too_long && endpoint.enabled {
        endpoints::disable(&tx, endpoint, "Every attempt failed for 5 days.", now).await?;
    } else if since != endpoint.failing_since {
        let mut endpoint = endpoint.into_active_model();
        endpoint.failing_since = Set(since);
        endpoint.update(tx.db()).await?;
    }
    jobs::hold(&tx, job).await?;
    let waiting = tx.rows::<Entity>().filter(Column::EndpointId.eq(id)).filter(Column::NextAt.is_not_null());
    let first = waiting.order_by_asc(Column::NextAt).one(tx.db()).await?.and_then(|delivery| delivery.next_at);
    // Who asks to be left alone is, and who fails is given a rest, whatever else waits.
    let rest = (!succeeded && tried > 0).then(|| now + retry::rest(asked));
    let first = first.map(|first| rest.map_or(first, |rest| first.max(rest)));
    jobs::reschedule(tx.db(), &tx.account, job::Kind::Deliver, vec![(job.key.clone(), first)]).await?;
    tx.commit().await?;
    app.wake();
    Ok(After::Said)
}

async fn write(tx: &Tx, delivery: Model, outcome: &Outcome, now: Instant) -> Result<()> {
    let mut log: Vec<Attempt> = read(&delivery.log)?;
    log.push(outcome.attempt.clone());
    let attempts = delivery.attempts + 1;
    let next = if outcome.succeeded() || outcome.is_over || outcome.is_gone() {
        None
    } else {
        retry::next(attempts, now, outcome.retry_after)
    };
    let status = match next {
        Some(_) => Status::Pending,
        None if outcome.succeeded() => Status::Delivered,
        None => Status::Failed,
    };
    Entity::update_many()
        .col_expr(Column::Status, Expr::value(status))
        .col_expr(Column::Attempts, Expr::value(attempts))
        .col_expr(Column::NextAt, Expr::value(next))
        .col_expr(Column::Log, Expr::value(stored(&log)?))
        .col_expr(Column::EndedAt, Expr::value(next.is_none().then_some(now)))
        .filter(Column::AccountId.eq(tx.account.id))
        .filter(Column::Id.eq(delivery.id))
        // Whoever wrote meanwhile, another server or somebody who gave it up, knows better.
        .filter(Column::Attempts.eq(delivery.attempts))
        .filter(Column::NextAt.is_not_null())
        .exec(tx.db())
        .await?;
    Ok(())
}

/// Tries a delivery again at once, as if it were the first time.
pub async fn retry(caller: &Caller, id: WebhookDeliveryId) -> Result<Model> {
    let again = transact!(caller, Scope::WebhooksWrite, |tx| {
        let found = tx.rows::<Entity>().filter(Column::Id.eq(id)).lock_exclusive().one(tx.db()).await?;
        let delivery = found.ok_or_else(|| Refusal::not_found("id", "webhook delivery"))?;
        if delivery.status == Status::Pending {
            return Err(Flow::DeliveryPending.into());
        }
        if endpoints::live(tx, delivery.endpoint_id).await?.is_none() {
            return Err(Flow::EndpointDisabled { field: "id".to_owned() }.into());
        }
        let now = caller.app().store().clock.now();
        let key = delivery.endpoint_id.to_string();
        let mut again = delivery.into_active_model();
        (again.status, again.attempts, again.next_at, again.ended_at) =
            (Set(Status::Pending), Set(0), Set(Some(now)), Set(None));
        let again = again.update(tx.db()).await?;
        jobs::schedule(tx.db(), &tx.account, job::Kind::Deliver, vec![(key, now)], now).await?;
        Ok(again)
    })?;
    caller.app().wake();
    Ok(again)
}

/// The attempts of a delivery, oldest first.
pub fn attempts(delivery: &Model) -> Result<Vec<Attempt>> {
    read(&delivery.log)
}

/// Which deliveries are wanted, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wish {
    pub endpoint: WebhookEndpointId,
    pub status: Option<Status>,
    pub page: Page<WebhookDeliveryId>,
}

/// Deliveries to endpoints, newest first, for the owner.
pub async fn pages(view: &View, wanted: &[Wish]) -> Result<Vec<Slice<Model>>> {
    view.staff_only()?;
    let wishes = wanted.iter().map(|wish| (wish.endpoint.into(), (wish.status, &wish.page)));
    let select = |(status, page): &(Option<Status>, &Page<_>)| {
        let mut select = view.rows::<Entity>();
        if let Some(status) = status {
            select = select.filter(Column::Status.eq(*status));
        }
        page.of(select, Column::Id, true)
    };
    let rows = page::of_each(view.db(), Column::EndpointId, wishes, select).await?;
    Ok(rows.into_iter().zip(wanted).map(|(rows, wish)| wish.page.slice(rows)).collect())
}

/// Deliveries by id, for the owner.
pub async fn by_ids(view: &View, ids: &[WebhookDeliveryId]) -> Result<HashMap<WebhookDeliveryId, Model>> {
    view.staff_only()?;
    let rows = view.rows::<Entity>().filter(view.among(Column::Id, ids.iter().copied())?).all(view.db()).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// The delivery of an event to an endpoint, for the owner.
pub async fn of_event(view: &View, endpoint: WebhookEndpointId, event: EventId) -> Result<Option<Model>> {
    view.staff_only()?;
    let select = view.rows::<Entity>().filter(Column::EndpointId.eq(endpoint)).filter(Column::EventId.eq(event));
    Ok(select.one(view.db()).await?)
}

/// Sets events on their way to endpoints, once each.
pub(crate) async fn enqueue(tx: &Tx, app: &App, wanted: &[(WebhookEndpointId, EventId)]) -> Result<()> {
    tx.write_facts().await?;
    let now = app.store().clock.now();
    let key = [Column::AccountId, Column::EndpointId, Column::EventId];
    for wanted in wanted.chunks(ROWS) {
        let rows = wanted.iter().map(|(endpoint, event)| {
            Model {
                account_id: tx.account.id,
                id: WebhookDeliveryId(fresh_id()),
                endpoint_id: *endpoint,
                event_id: *event,
                status: Status::Pending,
                attempts: 0,
                next_at: Some(now),
                log: json!([]),
                created_at: now,
                ended_at: None,
            }
            .into_active_model()
        });
        let once = OnConflict::columns(key).do_nothing().to_owned();
        Entity::insert_many(rows).on_conflict(once).exec_without_returning(tx.db()).await?;
    }
    let endpoints = wanted.iter().map(|(endpoint, _)| endpoint.to_string()).collect::<BTreeSet<_>>();
    let due = endpoints.into_iter().map(|endpoint| (endpoint, now)).collect();
    Ok(jobs::schedule(tx.db(), &tx.account, job::Kind::Deliver, due, now).await?)
}
