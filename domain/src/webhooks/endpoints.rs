//! Endpoints: where events are posted to, which events, and with which secret.

use std::collections::HashMap;

use chrono::TimeDelta;
use entity::webhook_endpoint::{ActiveModel, Column, Entity, Model};
use entity::{EventId, WebhookEndpointId, job, webhook_delivery};
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect, Set};
use serde_json::json;

use super::deliveries;
use crate::ground::clock::{Instant, fresh_id};
use crate::ground::error::{Error, Refusal, Result};
use crate::ground::input;
use crate::ground::page::{Page, Slice};
use crate::ground::refusal::flow::Flow;
use crate::ground::scope::Scope;
use crate::identity::caller::{Caller, transact};
use crate::keys::signature;
use crate::queue::events::{Fact, catalogue, followed, stored};
use crate::queue::jobs;
use crate::storage::ports::webhooks::Unanswered;
use crate::storage::tx::{Tx, View};

/// Endpoints of one account.
const MOST: u64 = 50;
/// Filters of one endpoint.
const FILTERS: usize = 50;
/// For how long the secret before the newest signs as well, unless somebody says otherwise.
const OVERLAP: i32 = 24;

/// An endpoint that is about to be.
#[derive(Clone, Debug)]
pub struct NewEndpoint {
    pub url: String,
    pub description: Option<String>,
    pub events: Vec<String>,
}

/// What an owner changes; what is left out stays, and `Some(None)` clears.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    pub url: Option<String>,
    pub description: Option<Option<String>>,
    pub events: Option<Vec<String>>,
    pub enabled: Option<bool>,
}

/// Creates an endpoint; answers it with its secret, which is shown here and when it is rotated.
pub async fn create(caller: &Caller, new: NewEndpoint) -> Result<(Model, String)> {
    caller.authorise(Scope::WebhooksWrite)?;
    let url = check_url(caller, &new.url).await?;
    let description = input::optional_text("description", new.description.as_deref(), input::NAME)?;
    let events = check_events(new.events)?;
    let endpoint = transact!(caller, Scope::WebhooksWrite, |tx| {
        let url = url.clone();
        let description = description.clone();
        followed::lock(tx).await?;
        if count(tx).await? >= MOST {
            let message = format!("An account has at most {MOST} webhook endpoints. Delete some first.");
            return Err(Refusal::invalid("url", message).into());
        }
        let now = caller.app().store().clock.now();
        let endpoint = Model {
            account_id: tx.account.id,
            id: WebhookEndpointId(fresh_id()),
            url,
            description,
            events: stored(&events)?,
            enabled: true,
            generation: 1,
            previous_until: None,
            failing_since: None,
            disabled_reason: None,
            created_at: now,
            updated_at: now,
            deleted_at: None,
        };
        let endpoint = endpoint.into_active_model().insert(tx.db()).await?;
        followed::refresh(tx).await?;
        Ok(endpoint)
    })?;
    let secret = signature::secret(&caller.app().store().key, endpoint.account_id, endpoint.id, endpoint.generation);
    Ok((endpoint, secret))
}

/// Changes an endpoint. What is on its way to one that is disabled is given up; one that is enabled again begins with a
/// clean slate.
pub async fn update(caller: &Caller, id: WebhookEndpointId, changes: Changes) -> Result<Model> {
    caller.authorise(Scope::WebhooksWrite)?;
    let url = match changes.url {
        Some(url) => Some(check_url(caller, &url).await?),
        None => None,
    };
    transact!(caller, Scope::WebhooksWrite, |tx| {
        followed::lock(tx).await?;
        let mut endpoint: ActiveModel = load(tx, id).await?.into_active_model();
        if let Some(url) = &url {
            endpoint.url = Set(url.clone());
        }
        if let Some(description) = &changes.description {
            endpoint.description = Set(input::optional_text("description", description.as_deref(), input::NAME)?);
        }
        if let Some(events) = &changes.events {
            endpoint.events = Set(stored(&check_events(events.clone())?)?);
        }
        let now = caller.app().store().clock.now();
        if let Some(enabled) = changes.enabled {
            endpoint.enabled = Set(enabled);
            (endpoint.failing_since, endpoint.disabled_reason) = (Set(None), Set(None));
            if enabled {
                jobs::schedule(tx.db(), &tx.account, job::Kind::Deliver, vec![(id.to_string(), now)], now).await?;
            } else {
                give_up(tx, id, now).await?;
            }
        }
        endpoint.updated_at = Set(now);
        let endpoint = endpoint.update(tx.db()).await?;
        followed::refresh(tx).await?;
        Ok(endpoint)
    })
}

/// Deletes an endpoint; what is on its way is given up. Doing it twice changes nothing.
pub async fn delete(caller: &Caller, id: WebhookEndpointId) -> Result<Model> {
    transact!(caller, Scope::WebhooksWrite, |tx| {
        followed::lock(tx).await?;
        let found = tx.rows::<Entity>().filter(Column::Id.eq(id)).lock_exclusive().one(tx.db()).await?;
        let endpoint = found.ok_or_else(|| Refusal::not_found("id", "webhook endpoint"))?;
        if endpoint.deleted_at.is_some() {
            return Ok(endpoint);
        }
        let now = caller.app().store().clock.now();
        let mut gone: ActiveModel = endpoint.into_active_model();
        (gone.enabled, gone.deleted_at, gone.updated_at) = (Set(false), Set(Some(now)), Set(now));
        let gone = gone.update(tx.db()).await?;
        give_up(tx, id, now).await?;
        followed::refresh(tx).await?;
        Ok(gone)
    })
}

/// Gives an endpoint a new secret. The one before it signs as well for so many hours, 24 if nothing is said.
pub async fn rotate_secret(caller: &Caller, id: WebhookEndpointId, overlap: Option<i32>) -> Result<(Model, String)> {
    let overlap = overlap.unwrap_or(OVERLAP);
    if !(0..=7 * 24).contains(&overlap) {
        return Err(Refusal::invalid("overlapHours", "Must be 0 to 168.").into());
    }
    let rotated = transact!(caller, Scope::WebhooksWrite, |tx| {
        let endpoint = load(tx, id).await?;
        let now = caller.app().store().clock.now();
        // Two secrets are valid at most: a second rotation would end the one that receivers still check with.
        if let Some(until) = endpoint.previous_until.filter(|until| *until > now && overlap > 0) {
            let message = format!(
                "It was rotated before, and the secret of then is valid until {}. Wait, or say overlapHours: 0 to end all but the new one.",
                until.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
            );
            return Err(Refusal::invalid("overlapHours", message).into());
        }
        let generation = endpoint.generation + 1;
        let mut rotated: ActiveModel = endpoint.into_active_model();
        rotated.generation = Set(generation);
        rotated.previous_until = Set(Some(now + TimeDelta::hours(i64::from(overlap))));
        rotated.updated_at = Set(now);
        let rotated = rotated.update(tx.db()).await?;
        Ok(rotated)
    })?;
    let secret = signature::secret(&caller.app().store().key, rotated.account_id, rotated.id, rotated.generation);
    Ok((rotated, secret))
}

/// Posts a test to an endpoint, whatever events it asks for.
pub async fn test(caller: &Caller, id: WebhookEndpointId) -> Result<EventId> {
    let event = transact!(caller, Scope::WebhooksWrite, |tx| {
        let endpoint = load(tx, id).await?;
        if !endpoint.enabled {
            return Err(Flow::EndpointDisabled { field: "id".to_owned() }.into());
        }
        let payload = json!({ "webhookEndpointId": id, "reason": null });
        // For this endpoint alone.
        let event = tx.emit_quietly(Fact { name: "webhook.tested", customer: None, subject: id.0, payload });
        deliveries::enqueue(tx, caller.app(), &[(id, event)]).await?;
        Ok(event)
    })?;
    caller.app().wake();
    Ok(event)
}

/// An endpoint that can be posted to.
pub(crate) async fn live(tx: &Tx, id: WebhookEndpointId) -> Result<Option<Model>> {
    let found = tx.rows::<Entity>().filter(Column::Id.eq(id)).filter(Column::DeletedAt.is_null());
    Ok(found.filter(Column::Enabled.eq(true)).one(tx.db()).await?)
}

/// Disables an endpoint that failed for too long, or is gone, and tells of it. What is followed is locked.
pub(super) async fn disable(tx: &Tx, endpoint: Model, reason: &str, now: Instant) -> Result<()> {
    let id = endpoint.id;
    let mut disabled: ActiveModel = endpoint.into_active_model();
    (disabled.enabled, disabled.disabled_reason, disabled.updated_at) =
        (Set(false), Set(Some(reason.to_owned())), Set(now));
    disabled.update(tx.db()).await?;
    give_up(tx, id, now).await?;
    followed::refresh(tx).await?;
    let payload = json!({ "webhookEndpointId": id, "reason": reason });
    tx.emit(Fact { name: "webhook.disabled", customer: None, subject: id.0, payload });
    Ok(())
}

/// What is on its way to an endpoint is not tried any more.
pub(super) async fn give_up(tx: &Tx, id: WebhookEndpointId, now: Instant) -> Result<()> {
    use webhook_delivery::{Column, Entity, Status};
    Entity::update_many()
        .col_expr(Column::Status, Expr::value(Status::Failed))
        .col_expr(Column::NextAt, Expr::value(Option::<Instant>::None))
        .col_expr(Column::EndedAt, Expr::value(now))
        .filter(Column::AccountId.eq(tx.account.id))
        .filter(Column::EndpointId.eq(id))
        .filter(Column::NextAt.is_not_null())
        .exec(tx.db())
        .await?;
    Ok(())
}

async fn load(tx: &Tx, id: WebhookEndpointId) -> Result<Model> {
    let found = tx.rows::<Entity>().filter(Column::Id.eq(id)).filter(Column::DeletedAt.is_null());
    found.lock_exclusive().one(tx.db()).await?.ok_or_else(|| Refusal::not_found("id", "webhook endpoint").into())
}

async fn count(tx: &Tx) -> Result<u64> {
    use sea_orm::PaginatorTrait;
    Ok(tx.rows::<Entity>().filter(Column::DeletedAt.is_null()).count(tx.db()).await?)
}

/// A URL that may be posted to. Asked of the network, so no transaction is open.
async fn check_url(caller: &Caller, url: &str) -> Result<String> {
    let url = input::url("url", url)?;
    let parsed = url::Url::parse(&url).map_err(|error| Error::Internal(error.to_string()))?;
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(
            Refusal::invalid("url", "Must not hold a user or a password: what is posted is signed instead.").into()
        );
    }
    match caller.app().poster().look(&url).await {
        Ok(()) | Err(Unanswered::Away(_)) => Ok(url),
        Err(Unanswered::NotPublic(host)) => Err(Flow::AddressNotPublic { field: "url".to_owned(), host }.into()),
    }
}

fn check_events(mut filters: Vec<String>) -> Result<Vec<String>, Refusal> {
    filters.sort();
    filters.dedup();
    if filters.is_empty() || filters.len() > FILTERS {
        return Err(Refusal::invalid("events", format!("Must be 1 to {FILTERS} names; \"*\" is for all.")));
    }
    for filter in &filters {
        let heard = || catalogue::BUILT_IN.iter().any(|event| catalogue::lets_through(filter, event.name));
        if !catalogue::is_filter(filter) || (catalogue::is_reserved(filter) && !heard()) {
            let message = format!("{filter} is no name of an event, such as order.paid, credits.* or *.");
            return Err(Refusal::invalid("events", message));
        }
    }
    Ok(filters)
}

/// Endpoints, oldest first, for the owner.
pub async fn list(view: &View, page: &Page<WebhookEndpointId>) -> Result<Slice<Model>> {
    view.staff_only()?;
    let select = view.rows::<Entity>().filter(Column::DeletedAt.is_null());
    let rows = page.of(select, Column::Id, false).all(view.db()).await?;
    Ok(page.slice(rows))
}

/// Endpoints by id, those that were deleted as well, for the owner.
pub async fn by_ids(view: &View, ids: &[WebhookEndpointId]) -> Result<HashMap<WebhookEndpointId, Model>> {
    view.staff_only()?;
    let rows = view.rows::<Entity>().filter(view.among(Column::Id, ids.iter().copied())?).all(view.db()).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}
