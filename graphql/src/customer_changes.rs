//! Changing customers.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, Result, SimpleObject};
use entity::customer::Model;

use super::accounts::{changed, kept, or_empty};
use super::context::Ask;
use super::customers::Customer;
use super::payload::{UserErrorInterface, answer, id};
use super::scalars::Json;
use domain::customers::{self, Changes, NewCustomer};

/// A new customer.
#[derive(InputObject)]
pub struct CustomerCreateInput {
    /// The name that people read: 1 to 255 characters.
    name: String,
    /// Unique in the account, in any case.
    email: Option<String>,
    /// The business's own id for this customer; unique in the account.
    external_id: Option<String>,
    /// A language tag, such as `de-CH`.
    locale: Option<String>,
    /// Words to put on it, at most 50, in any case.
    tags: Option<Vec<String>>,
    /// A JSON object of the business's own, at most 16 KiB.
    metadata: Option<Json>,
}

/// What changes in a customer. What is left out stays; null clears where something may be absent.
#[derive(InputObject)]
pub struct CustomerUpdateInput {
    /// The customer.
    id: ID,
    /// The name that people read.
    name: MaybeUndefined<String>,
    /// Unique in the account, in any case.
    email: MaybeUndefined<String>,
    /// The business's own id for this customer; unique in the account.
    external_id: MaybeUndefined<String>,
    /// A language tag, such as `de-CH`.
    locale: MaybeUndefined<String>,
    /// All of its tags: those that are not named are taken off.
    tags: MaybeUndefined<Vec<String>>,
    /// A JSON object of the business's own, in place of the former one.
    metadata: MaybeUndefined<Json>,
}

/// Tags to put on a customer, or to take off.
#[derive(InputObject)]
pub struct CustomerTagInput {
    /// The customer.
    id: ID,
    /// The tags, in any case.
    tags: Vec<String>,
}

/// A customer to archive.
#[derive(InputObject)]
pub struct CustomerArchiveInput {
    /// The customer.
    id: ID,
}

/// A customer to erase.
#[derive(InputObject)]
pub struct CustomerEraseInput {
    /// The customer.
    id: ID,
}

/// An archived customer to bring back.
#[derive(InputObject)]
pub struct CustomerUnarchiveInput {
    /// The customer.
    id: ID,
}

/// What became of a change to a customer.
#[derive(SimpleObject)]
pub struct CustomerPayload {
    /// The customer as it is now; null if the change was refused.
    customer: Option<Customer>,
    /// Why it was refused.
    user_errors: Vec<UserErrorInterface>,
}

#[derive(Default)]
pub struct CustomerMutation;

#[Object]
impl CustomerMutation {
    /// Create a customer. For staff.
    async fn customer_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The customer.")] input: CustomerCreateInput,
    ) -> Option<Result<CustomerPayload>> {
        let new = NewCustomer {
            name: input.name,
            email: input.email,
            external_id: input.external_id,
            locale: input.locale,
            tags: input.tags.unwrap_or_default(),
            metadata: input.metadata.map(|json| json.0),
        };
        Some(Box::pin(payload(ctx, async { customers::create(ctx.caller()?, new).await })).await)
    }

    /// Change a customer. For staff.
    async fn customer_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What changes.")] input: CustomerUpdateInput,
    ) -> Option<Result<CustomerPayload>> {
        let result = async {
            let changes = Changes {
                name: kept("name", input.name)?,
                email: changed(input.email),
                external_id: changed(input.external_id),
                locale: changed(input.locale),
                tags: or_empty(input.tags, Vec::new()),
                metadata: or_empty(input.metadata, Json(serde_json::json!({}))).map(|json| json.0),
            };
            customers::update(ctx.caller()?, id("id", "customer", &input.id)?, changes).await
        };
        Some(payload(ctx, Box::pin(result)).await)
    }

    /// Archive a customer, who then gets no more credits, neither issued nor transferred. What is there can be used, and
    /// what is given back still comes back. For staff.
    async fn customer_archive(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The customer.")] input: CustomerArchiveInput,
    ) -> Option<Result<CustomerPayload>> {
        let result = async { customers::archive(ctx.caller()?, id("id", "customer", &input.id)?, true).await };
        Some(Box::pin(payload(ctx, result)).await)
    }

    /// Bring an archived customer back. For staff.
    async fn customer_unarchive(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The customer.")] input: CustomerUnarchiveInput,
    ) -> Option<Result<CustomerPayload>> {
        let result = async { customers::archive(ctx.caller()?, id("id", "customer", &input.id)?, false).await };
        Some(Box::pin(payload(ctx, result)).await)
    }

    /// Erase a customer for good: name, e-mail, external id, locale, tags, metadata, notes, what events and order forms were
    /// told about it; its sessions and walks end, and it is archived. Its credits, activities and orders stay as numbers,
    /// and the ledger still verifies. Subscriptions must be cancelled first. For the owner, and API keys with the scope.
    async fn customer_erase(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The customer.")] input: CustomerEraseInput,
    ) -> Option<Result<CustomerPayload>> {
        let result = async { customers::erase(ctx.caller()?, id("id", "customer", &input.id)?).await };
        Some(Box::pin(payload(ctx, result)).await)
    }

    /// Put tags on a customer, beside those that it has. For staff.
    async fn customer_tag(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The customer and the tags.")] input: CustomerTagInput,
    ) -> Option<Result<CustomerPayload>> {
        let result = async { customers::tag(ctx.caller()?, id("id", "customer", &input.id)?, &input.tags).await };
        Some(Box::pin(payload(ctx, result)).await)
    }

    /// Take tags off a customer. For staff.
    async fn customer_untag(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The customer and the tags.")] input: CustomerTagInput,
    ) -> Option<Result<CustomerPayload>> {
        let result = async { customers::untag(ctx.caller()?, id("id", "customer", &input.id)?, &input.tags).await };
        Some(Box::pin(payload(ctx, result)).await)
    }
}

async fn payload(ctx: &Context<'_>, operation: impl Future<Output = domain::Result<Model>>) -> Result<CustomerPayload> {
    let answered = answer(ctx, operation).await;
    answered.map(|(row, user_errors)| CustomerPayload { customer: row.map(Customer), user_errors })
}
