//! Webhook endpoints, and what is posted to them.

use async_graphql::{Context, Description, Enum, ID, Object, Result, SimpleObject};
use entity::webhook_delivery::{self, Status};
use entity::webhook_endpoint;

use super::context::Ask;
use super::events::Event;
use super::list::List;
use super::page::{self, Connection};
use super::scalars::{DateTime, Url};
use domain::queue::events::followed::texts;
use domain::webhooks::{deliveries, endpoints};
use domain::{Error, Scope};

/// Where events are posted to, as the Standard Webhooks specification has it: JSON with `type`, `timestamp` and `data`,
/// and the headers `webhook-id`, `webhook-timestamp` and `webhook-signature`. An endpoint that fails is tried again for
/// about three days for each event, and disabled after five days without a success.
#[derive(Description)]
pub struct WebhookEndpoint(pub webhook_endpoint::Model);

#[Object(use_type_description)]
impl WebhookEndpoint {
    /// Opaque, and unique over the whole server.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// Where it is.
    fn url(&self) -> Url {
        Url(self.0.url.clone())
    }

    /// What it is for, in words.
    fn description(&self) -> Option<&str> {
        self.0.description.as_deref()
    }

    /// Which events it hears of: names, `credits.*` for all that begin so, `*` for all.
    fn events(&self) -> List<String> {
        texts(&self.0.events).into()
    }

    /// Whether anything is posted to it.
    fn enabled(&self) -> bool {
        self.0.enabled
    }

    /// Why the server disabled it; null if it did not.
    fn disabled_reason(&self) -> Option<&str> {
        self.0.disabled_reason.as_deref()
    }

    /// Since when every attempt failed, by the real clock.
    fn failing_since(&self) -> Option<DateTime> {
        self.0.failing_since.map(DateTime)
    }

    /// Until when the secret before the newest signs as well, by the real clock.
    fn previous_secret_until(&self) -> Option<DateTime> {
        self.0.previous_until.map(DateTime)
    }

    /// What was posted to it or will be, newest first.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    async fn deliveries(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only those that are so far.")] status: Option<WebhookDeliveryStatus>,
        #[graphql(desc = "How many from the beginning, 1 to 100; 20 if nothing is said.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Result<Connection<WebhookDelivery>> {
        let page = page::page(first, after.as_deref(), last, before.as_deref()).map_err(Error::from)?;
        let wish = deliveries::Wish { endpoint: self.0.id, status: status.map(Into::into), page };
        let slice = ctx.reads(Scope::WebhooksWrite).await?.delivery_pages.get(wish).await?;
        Ok(page::connection(slice.unwrap_or_default(), |row| row.id, WebhookDelivery))
    }

    /// When it was created, by the real clock.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it was deleted. Its log stays.
    fn deleted_at(&self) -> Option<DateTime> {
        self.0.deleted_at.map(DateTime)
    }
}

/// How far a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Status", name = "WebhookDeliveryStatus")]
pub enum WebhookDeliveryStatus {
    /// It will be tried, or tried again.
    Pending,
    /// The endpoint took it: it answered 200 to 299.
    Delivered,
    /// It was tried as often as it is, or its endpoint is disabled or deleted. `webhookDeliveryRetry` tries again.
    Failed,
}

/// One attempt to post.
#[derive(SimpleObject)]
pub struct WebhookAttempt {
    /// When, by the real clock.
    at: DateTime,
    /// The HTTP status that the endpoint answered; null if it did not.
    status_code: Option<i32>,
    /// Why it did not answer.
    error: Option<String>,
    /// How long it took, in milliseconds.
    millis: i32,
}

/// One event on its way to one endpoint.
#[derive(Description)]
pub struct WebhookDelivery(pub webhook_delivery::Model);

#[Object(use_type_description)]
impl WebhookDelivery {
    /// Opaque, and unique over the whole server.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// Where to.
    async fn webhook_endpoint(&self, ctx: &Context<'_>) -> Result<Option<WebhookEndpoint>> {
        Ok(ctx.reads(Scope::WebhooksWrite).await?.endpoints.get(self.0.endpoint_id).await?.map(WebhookEndpoint))
    }

    /// What it tells of; null once the event is kept no longer. Its id is the `webhook-id`.
    async fn event(&self, ctx: &Context<'_>) -> Result<Option<Event>> {
        Ok(ctx.reads(Scope::WebhooksWrite).await?.events.get(self.0.event_id).await?.map(Event))
    }

    /// How far it is.
    fn status(&self) -> WebhookDeliveryStatus {
        self.0.status.into()
    }

    /// What became of each attempt, oldest first.
    fn attempts(&self) -> Result<List<WebhookAttempt>> {
        let attempts = deliveries::attempts(&self.0)?;
        let attempt = |attempt: deliveries::Attempt| WebhookAttempt {
            at: DateTime(attempt.at),
            status_code: attempt.status.map(i32::from),
            error: attempt.error,
            millis: i32::try_from(attempt.millis).unwrap_or(i32::MAX),
        };
        Ok(attempts.into_iter().map(attempt).collect())
    }

    /// When it is tried next, by the real clock; null if it is not.
    fn next_at(&self) -> Option<DateTime> {
        self.0.next_at.map(DateTime)
    }

    /// When it was set on its way, by the real clock.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it was taken or given up, by the real clock.
    fn ended_at(&self) -> Option<DateTime> {
        self.0.ended_at.map(DateTime)
    }
}

#[derive(Default)]
pub struct WebhookQuery;

#[Object]
impl WebhookQuery {
    /// One webhook endpoint; null if there is no such endpoint. For the owner.
    async fn webhook_endpoint(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its id.")] id: ID,
    ) -> Option<Result<WebhookEndpoint>> {
        let found = async {
            let reads = ctx.reads(Scope::WebhooksWrite).await?;
            let Ok(id) = id.parse() else { return Ok(None) };
            Ok(reads.endpoints.get(id).await?.map(WebhookEndpoint))
        };
        found.await.transpose()
    }

    /// The account's webhook endpoints, oldest first. For the owner.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    async fn webhook_endpoints(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, 1 to 100; 20 if nothing is said.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Option<Result<Connection<WebhookEndpoint>>> {
        let found = async {
            let page = page::page(first, after.as_deref(), last, before.as_deref()).map_err(Error::from)?;
            let reads = ctx.reads(Scope::WebhooksWrite).await?;
            Ok(page::connection(endpoints::list(reads.alone()?, &page).await?, |row| row.id, WebhookEndpoint))
        };
        Some(found.await)
    }
}
