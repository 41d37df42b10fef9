//! Changing webhook endpoints, testing them, trying deliveries again.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, Result, SimpleObject};
use entity::webhook_endpoint::Model;

use super::accounts::{changed, kept};
use super::context::Ask;
use super::events::Event;
use super::payload::{UserErrorInterface, answer, id};
use super::scalars::{Url, Whole};
use super::webhooks::{WebhookDelivery, WebhookEndpoint};
use domain::queue::events;
use domain::webhooks::deliveries;
use domain::webhooks::endpoints::{self, Changes, NewEndpoint};
use domain::{Error, Scope};

/// A new webhook endpoint.
#[derive(InputObject)]
pub struct WebhookEndpointCreateInput {
    /// Where it is: a public address, unless whoever runs the server allows others.
    url: Url,
    /// What it is for: at most 255 characters.
    description: Option<String>,
    /// Which events it hears of: names, `credits.*` for all that begin so, `*` for all; 1 to 50 of them.
    events: Vec<String>,
}

/// What changes in a webhook endpoint. What is left out stays; null clears where something may be absent.
#[derive(InputObject)]
pub struct WebhookEndpointUpdateInput {
    /// The endpoint.
    id: ID,
    /// Where it is.
    url: MaybeUndefined<Url>,
    /// What it is for.
    description: MaybeUndefined<String>,
    /// Which events it hears of.
    events: MaybeUndefined<Vec<String>>,
    /// Whether anything is posted to it. To enable it again forgets how it failed.
    enabled: MaybeUndefined<bool>,
}

/// A webhook endpoint to delete.
#[derive(InputObject)]
pub struct WebhookEndpointDeleteInput {
    /// The endpoint.
    id: ID,
}

/// A webhook endpoint to give a new secret.
#[derive(InputObject)]
pub struct WebhookEndpointRotateSecretInput {
    /// The endpoint.
    id: ID,
    /// For how many hours the present secret signs as well: 0 to 168; 24, if left out.
    overlap_hours: Option<Whole>,
}

/// A webhook endpoint to test.
#[derive(InputObject)]
pub struct WebhookEndpointTestInput {
    /// The endpoint.
    id: ID,
}

/// A delivery to try again.
#[derive(InputObject)]
pub struct WebhookDeliveryRetryInput {
    /// The delivery.
    id: ID,
}

/// What became of a change to a webhook endpoint.
#[derive(SimpleObject)]
pub struct WebhookEndpointPayload {
    /// The endpoint as it is now; null if the change was refused.
    webhook_endpoint: Option<WebhookEndpoint>,
    /// Why it was refused.
    user_errors: Vec<UserErrorInterface>,
}

/// What became of what gives a webhook endpoint a secret.
#[derive(SimpleObject)]
pub struct WebhookEndpointSecretPayload {
    /// The endpoint as it is now; null if it was refused.
    webhook_endpoint: Option<WebhookEndpoint>,
    /// What signs from now on: `whsec_…`, to be kept where it is checked. It is answered this once.
    secret: Option<String>,
    /// Why it was refused.
    user_errors: Vec<UserErrorInterface>,
}

/// What became of `webhookEndpointTest`.
#[derive(SimpleObject)]
pub struct WebhookEndpointTestPayload {
    /// The event `webhook.tested`, which is posted; null if it was refused.
    event: Option<Event>,
    /// The delivery, to be looked at again for what became of it.
    webhook_delivery: Option<WebhookDelivery>,
    /// Why it was refused.
    user_errors: Vec<UserErrorInterface>,
}

/// What became of `webhookDeliveryRetry`.
#[derive(SimpleObject)]
pub struct WebhookDeliveryRetryPayload {
    /// The delivery as it is now; null if it was refused.
    webhook_delivery: Option<WebhookDelivery>,
    /// Why it was refused.
    user_errors: Vec<UserErrorInterface>,
}

#[derive(Default)]
pub struct WebhookMutation;

#[Object]
impl WebhookMutation {
    /// Create a webhook endpoint. For the owner.
    async fn webhook_endpoint_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The endpoint.")] input: WebhookEndpointCreateInput,
    ) -> Option<Result<WebhookEndpointSecretPayload>> {
        let made = async {
            let new = NewEndpoint { url: input.url.0, description: input.description, events: input.events };
            endpoints::create(ctx.caller()?, new).await
        };
        Some(Box::pin(with_secret(ctx, made)).await)
    }

    /// Change a webhook endpoint. For the owner.
    async fn webhook_endpoint_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What changes.")] input: WebhookEndpointUpdateInput,
    ) -> Option<Result<WebhookEndpointPayload>> {
        let updated = async {
            let changes = Changes {
                url: kept("url", input.url)?.map(|url| url.0),
                description: changed(input.description),
                events: kept("events", input.events)?,
                enabled: kept("enabled", input.enabled)?,
            };
            endpoints::update(ctx.caller()?, id("id", "webhook endpoint", &input.id)?, changes).await
        };
        Some(Box::pin(payload(ctx, updated)).await)
    }

    /// Delete a webhook endpoint: what is on its way is given up, its log stays. For the owner.
    async fn webhook_endpoint_delete(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The endpoint.")] input: WebhookEndpointDeleteInput,
    ) -> Option<Result<WebhookEndpointPayload>> {
        let deleted = async { endpoints::delete(ctx.caller()?, id("id", "webhook endpoint", &input.id)?).await };
        Some(Box::pin(payload(ctx, deleted)).await)
    }

    /// Give a webhook endpoint a new secret. The one before it signs as well for a while. For the owner.
    async fn webhook_endpoint_rotate_secret(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The endpoint.")] input: WebhookEndpointRotateSecretInput,
    ) -> Option<Result<WebhookEndpointSecretPayload>> {
        let rotated = async {
            let overlap = input.overlap_hours.map(|hours| hours.0);
            endpoints::rotate_secret(ctx.caller()?, id("id", "webhook endpoint", &input.id)?, overlap).await
        };
        Some(Box::pin(with_secret(ctx, rotated)).await)
    }

    /// Post the event `webhook.tested` to a webhook endpoint, whatever events it hears of. For the owner.
    async fn webhook_endpoint_test(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The endpoint.")] input: WebhookEndpointTestInput,
    ) -> Option<Result<WebhookEndpointTestPayload>> {
        let tested = async {
            let (caller, id) = (ctx.caller()?, id("id", "webhook endpoint", &input.id)?);
            let event = endpoints::test(caller, id).await?;
            let view = caller.view(Scope::WebhooksWrite).await?;
            let delivery = deliveries::of_event(&view, id, event).await?;
            Ok((events::by_ids(&view, &[event]).await?.remove(&event), delivery))
        };
        let answered = answer(ctx, tested).await;
        Some(answered.map(|(tested, user_errors)| {
            let (event, delivery) = tested.unwrap_or_default();
            WebhookEndpointTestPayload {
                event: event.map(Event),
                webhook_delivery: delivery.map(WebhookDelivery),
                user_errors,
            }
        }))
    }

    /// Try a delivery again that was taken or given up: at once, and as often as the first time. For the owner.
    async fn webhook_delivery_retry(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The delivery.")] input: WebhookDeliveryRetryInput,
    ) -> Option<Result<WebhookDeliveryRetryPayload>> {
        let retried = async { deliveries::retry(ctx.caller()?, id("id", "webhook delivery", &input.id)?).await };
        let answered = answer(ctx, retried).await;
        Some(answered.map(|(row, user_errors)| WebhookDeliveryRetryPayload {
            webhook_delivery: row.map(WebhookDelivery),
            user_errors,
        }))
    }
}

async fn payload(
    ctx: &Context<'_>,
    operation: impl Future<Output = domain::Result<Model>>,
) -> Result<WebhookEndpointPayload> {
    let (row, user_errors) = answer(ctx, operation).await?;
    Ok(WebhookEndpointPayload { webhook_endpoint: row.map(WebhookEndpoint), user_errors })
}

async fn with_secret(
    ctx: &Context<'_>,
    operation: impl Future<Output = Result<(Model, String), Error>>,
) -> Result<WebhookEndpointSecretPayload> {
    let (made, user_errors) = answer(ctx, operation).await?;
    let (row, secret) = made.unzip();
    Ok(WebhookEndpointSecretPayload { webhook_endpoint: row.map(WebhookEndpoint), secret, user_errors })
}
