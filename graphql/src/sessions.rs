//! Customers' sessions: what a portal of the business lets one customer in with.

use async_graphql::{Context, Description, ID, InputObject, Object, Result, SimpleObject};
use entity::CustomerId;
use entity::customer_session::Model;

use super::context::Ask;
use super::customers::Customer;
use super::page::{self, Connection};
use super::payload::{UserErrorInterface, answer, id};
use super::scalars::{DateTime, Whole};
use domain::customers::sessions;
use domain::{Error, Scope};

/// Minutes that a session lasts where nobody says how many.
const USUAL: i32 = 60;

/// What one customer comes in with, as a bearer token, for a while. The token itself is shown once and stored nowhere.
#[derive(Description)]
pub struct CustomerSession(pub Model);

#[Object(use_type_description)]
impl CustomerSession {
    /// Opaque, and unique over the whole server.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// Who it lets in.
    async fn customer(&self, ctx: &Context<'_>) -> Result<Option<Customer>> {
        Ok(ctx.reads(Scope::OwnRead).await?.customers.get(self.0.customer_id).await?.map(Customer))
    }

    /// When it was made.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it ends by itself.
    fn expires_at(&self) -> DateTime {
        DateTime(self.0.expires_at)
    }

    /// Since when it is revoked.
    fn revoked_at(&self) -> Option<DateTime> {
        self.0.revoked_at.map(DateTime)
    }
}

/// A customer's sessions, as a part of the customer.
pub struct CustomerSessions(pub CustomerId);

#[Object]
impl CustomerSessions {
    /// The sessions that let this customer in or did, newest first. For staff.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    async fn sessions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, 1 to 100; 20 if nothing is said.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Result<Connection<CustomerSession>> {
        let page = page::page(first, after.as_deref(), last, before.as_deref()).map_err(Error::from)?;
        let slice = ctx.reads(Scope::StaffRead).await?.session_pages.get((self.0, page)).await?;
        Ok(page::connection(slice.unwrap_or_default(), |row| row.id, CustomerSession))
    }
}

/// A customer to let in.
#[derive(InputObject)]
pub struct CustomerSessionCreateInput {
    /// The customer.
    customer_id: ID,
    /// For how many minutes: 1 to 1,440. 60 if nothing is said.
    minutes: Option<Whole>,
}

/// What became of `customerSessionCreate`.
#[derive(SimpleObject)]
pub struct CustomerSessionCreatePayload {
    /// The session; null if it was refused.
    session: Option<CustomerSession>,
    /// The token, to be sent by the customer's browser as `Authorization: Bearer …`. It is answered this once.
    token: Option<String>,
    /// Why it was refused.
    user_errors: Vec<UserErrorInterface>,
}

/// A session to end.
#[derive(InputObject)]
pub struct CustomerSessionRevokeInput {
    /// The session's id.
    id: ID,
}

/// What became of `customerSessionRevoke`.
#[derive(SimpleObject)]
pub struct CustomerSessionRevokePayload {
    /// The session as it is now; null if it was refused.
    session: Option<CustomerSession>,
    /// Why it was refused.
    user_errors: Vec<UserErrorInterface>,
}

#[derive(Default)]
pub struct SessionMutation;

#[Object]
impl SessionMutation {
    /// Let one customer in for a while: the business's own server asks for this once it knows who stands before its
    /// portal, and hands the token on. For staff, and API keys with the scope.
    async fn customer_session_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom, and for how long.")] input: CustomerSessionCreateInput,
    ) -> Option<Result<CustomerSessionCreatePayload>> {
        let result = async {
            let customer = id("customerId", "customer", &input.customer_id)?;
            sessions::create(ctx.caller()?, customer, input.minutes.map_or(USUAL, |minutes| minutes.0)).await
        };
        Some(answer(ctx, result).await.map(|(made, user_errors)| {
            let (row, token) = made.unzip();
            CustomerSessionCreatePayload { session: row.map(CustomerSession), token, user_errors }
        }))
    }

    /// End a session at once. For staff; a customer may end its own.
    async fn customer_session_revoke(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The session.")] input: CustomerSessionRevokeInput,
    ) -> Option<Result<CustomerSessionRevokePayload>> {
        let result = async { sessions::revoke(ctx.caller()?, id("id", "session", &input.id)?).await };
        let answered = answer(ctx, result).await;
        Some(
            answered.map(|(row, user_errors)| CustomerSessionRevokePayload {
                session: row.map(CustomerSession),
                user_errors,
            }),
        )
    }
}
