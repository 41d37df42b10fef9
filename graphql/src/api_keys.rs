//! API keys: what programs of the business come in with.

use async_graphql::{Context, Description, Enum, ID, InputObject, Object, Result, SimpleObject};
use entity::api_key::Model;

use super::context::Ask;
use super::list::List;
use super::page::{self, Connection};
use super::payload::{UserErrorInterface, answer, id};
use super::scalars::DateTime;
use domain::accounts::api_keys::{self, NewKey};
use domain::ground::scope::{KeyScope, KeyScopes};
use domain::{Error, Scope};

/// What an API key may do. A key without `READ` gets ids, and the outcome of what it does: a mutation that asks for more
/// of its answer is refused before anything is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "KeyScope", name = "ApiKeyScope")]
pub enum ApiKeyScope {
    /// Read everything that staff reads, the access log and all that is kept about a customer included.
    Read,
    /// Create, change, tag and archive customers.
    CustomersWrite,
    /// Create and change credit types, products and prices.
    CatalogWrite,
    /// Issue, consume, hold, transfer, give back, take away and extend credits.
    CreditsWrite,
    /// Place, pay, cancel and refund orders, and change subscriptions.
    OrdersWrite,
    /// Track events.
    EventsWrite,
    /// Create and change triggers and automations, and begin or stop walks.
    AutomationsWrite,
    /// Create and change webhook endpoints.
    WebhooksWrite,
    /// Let customers in, for a while.
    SessionsWrite,
    /// Erase customers.
    CustomersErase,
}

/// What a program of the business comes in with, as a bearer token. The key itself is shown once and stored nowhere.
#[derive(Description)]
pub struct ApiKey(pub Model);

#[Object(use_type_description)]
impl ApiKey {
    /// Opaque, and unique over the whole server.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// What people call it.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// What it may do.
    fn scopes(&self) -> List<ApiKeyScope> {
        KeyScopes::of(&self.0).each().map(Into::into).collect()
    }

    /// Its last four characters, by which people tell it from others.
    fn ending(&self) -> &str {
        &self.0.ending
    }

    /// Who made it: the subject of the token.
    fn created_by(&self) -> &str {
        &self.0.created_by
    }

    /// When it was made.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it ends by itself, if it does.
    fn expires_at(&self) -> Option<DateTime> {
        self.0.expires_at.map(DateTime)
    }

    /// When it was last used, to a minute. Null if it never was.
    fn last_used_at(&self) -> Option<DateTime> {
        self.0.last_used_at.map(DateTime)
    }

    /// Since when it is revoked.
    fn revoked_at(&self) -> Option<DateTime> {
        self.0.revoked_at.map(DateTime)
    }
}

#[derive(Default)]
pub struct ApiKeyQuery;

#[Object]
impl ApiKeyQuery {
    /// The account's API keys, newest first, revoked ones too. For the owner.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    async fn api_keys(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, 1 to 100; 20 if nothing is said.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Option<Result<Connection<ApiKey>>> {
        let found = async {
            let page = page::page(first, after.as_deref(), last, before.as_deref()).map_err(Error::from)?;
            let reads = ctx.reads(Scope::KeysWrite).await?;
            Ok(page::connection(api_keys::list(reads.alone()?, &page).await?, |row| row.id, ApiKey))
        };
        Some(found.await)
    }
}

/// A new API key.
#[derive(InputObject)]
pub struct ApiKeyCreateInput {
    /// What people call it: 1 to 255 characters.
    name: String,
    /// What it may do: as little as it needs.
    scopes: Vec<ApiKeyScope>,
    /// When it ends by itself. Never if left out.
    expires_at: Option<DateTime>,
}

/// What became of `apiKeyCreate`.
#[derive(SimpleObject)]
pub struct ApiKeyCreatePayload {
    /// The key's record; null if it was refused.
    api_key: Option<ApiKey>,
    /// The key, to be sent as `Authorization: Bearer …`. It is answered this once: keep it where secrets are kept.
    key: Option<String>,
    /// Why it was refused.
    user_errors: Vec<UserErrorInterface>,
}

/// An API key to revoke.
#[derive(InputObject)]
pub struct ApiKeyRevokeInput {
    /// The key's id.
    id: ID,
}

/// What became of `apiKeyRevoke`.
#[derive(SimpleObject)]
pub struct ApiKeyRevokePayload {
    /// The key's record as it is now; null if it was refused.
    api_key: Option<ApiKey>,
    /// Why it was refused.
    user_errors: Vec<UserErrorInterface>,
}

#[derive(Default)]
pub struct ApiKeyMutation;

#[Object]
impl ApiKeyMutation {
    /// Make an API key for a program of the business. For the owner.
    async fn api_key_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key.")] input: ApiKeyCreateInput,
    ) -> Option<Result<ApiKeyCreatePayload>> {
        let result = async {
            let scopes = input.scopes.into_iter().map(KeyScope::from).collect();
            let expires_at = input.expires_at.map(|at| at.0);
            api_keys::create(ctx.caller()?, NewKey { name: input.name, scopes, expires_at }).await
        };
        Some(answer(ctx, result).await.map(|(made, user_errors)| {
            let (row, key) = made.unzip();
            ApiKeyCreatePayload { api_key: row.map(ApiKey), key, user_errors }
        }))
    }

    /// Revoke an API key, at once and for good. For the owner.
    async fn api_key_revoke(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key.")] input: ApiKeyRevokeInput,
    ) -> Option<Result<ApiKeyRevokePayload>> {
        let result = async { api_keys::revoke(ctx.caller()?, id("id", "API key", &input.id)?).await };
        let answered = answer(ctx, result).await;
        Some(answered.map(|(row, user_errors)| ApiKeyRevokePayload { api_key: row.map(ApiKey), user_errors }))
    }
}
