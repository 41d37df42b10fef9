//! Events: what happened, for whoever follows.

use async_graphql::connection::Connection;
use async_graphql::{Context, Description, ID, Object, Result};
use entity::event::Model;

use super::context::Ask;
use super::customers::Customer;
use super::page;
use super::scalars::{DateTime, Json};
use crate::domain::{Error, Scope, event};

/// Something that happened, written in the transaction of the fact.
#[derive(Description)]
pub struct Event(pub Model);

#[Object(use_type_description)]
impl Event {
    /// Opaque, and unique over the whole server.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// Object and past verb. One for each activity of the ledger: `credits.issued`, `credits.consumed`, `credits.held`,
    /// `credits.captured`, `credits.released`, `credits.lapsed`, `credits.reversed`, `credits.expired`, `credits.voided`,
    /// `credits.extended`, `credits.revived`, `credits.transferred_out`, `credits.transferred_in`. Of selling: `order.placed`,
    /// `order.paid`, `order.paid_again`, `order.cancelled`, `order.refunded`, `order.payment_failed`, `order.refund_failed`, `order.disputed`, `order.dispute_ended`,
    /// `subscription.started`, `subscription.renewed`, `subscription.renewal_failed`, `subscription.paused`,
    /// `subscription.resumed`, `subscription.cancelled`.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// Of the payload's shape; goes up when that changes.
    async fn version(&self) -> i32 {
        i32::from(self.0.version)
    }

    /// Whom it happened to.
    async fn customer(&self, ctx: &Context<'_>) -> Result<Option<Customer>> {
        let Some(id) = self.0.customer_id else { return Ok(None) };
        Ok(ctx.reads(Scope::StaffRead).await?.customers.get(id).await?.map(Customer))
    }

    /// What is to be known about it, by its name and version. Of `credits.…` it is `activityId`, `creditTypeId`, `amount`,
    /// `heldAmount`, `balanceAfter`, and `holdId` and `reversesId` or null: what the activity says under these names. Of
    /// `order.…` it is `orderId`, `number`, `status`, `currency`, `total`, `refunded`, `subscriptionId` and `renewalNumber`;
    /// of `subscription.…` it is `subscriptionId`, `status`, `priceId`, `nextNumber`, `nextAt` and `reason`.
    async fn payload(&self) -> Json {
        Json(self.0.payload.clone())
    }

    /// When it happened, by the account's clock.
    async fn at(&self) -> DateTime {
        DateTime(self.0.at)
    }
}

#[derive(Default)]
pub struct EventQuery;

#[Object]
impl EventQuery {
    /// What happened in the account, newest first. For staff.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    async fn events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, 1 to 100; 20 if nothing is said.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Option<Result<Connection<String, Event>>> {
        let found = async {
            let page = page::page(first, after.as_deref(), last, before.as_deref()).map_err(Error::from)?;
            let reads = ctx.reads(Scope::StaffRead).await?;
            Ok(page::connection(event::list(&reads.view, &page).await?, |row| row.id, Event))
        };
        Some(found.await)
    }
}
