//! What a customer has bought, and can buy.

use async_graphql::{Context, Description, Object, Result};
use entity::CustomerId;

use super::context::Ask;
use super::forms::CreditOffer;
use super::list::List;
use super::orders::Order;
use super::page::{self, Connection};
use super::subscriptions::Subscription;
use domain::sales::{orders, subscriptions};
use domain::{Error, Scope};

/// What a customer has bought, and can buy.
#[derive(Description)]
pub struct CustomerPurchases(pub CustomerId);

#[Object(use_type_description)]
impl CustomerPurchases {
    /// The orders, newest first.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    async fn orders(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, 1 to 100; 20 if nothing is said.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Result<Connection<Order>> {
        let page = page::page(first, after.as_deref(), last, before.as_deref()).map_err(Error::from)?;
        let wish = orders::Wish { customer: self.0, page };
        let slice = ctx.reads(Scope::OwnRead).await?.order_pages.get(wish).await?;
        Ok(page::connection(slice.unwrap_or_default(), |row| row.id, Order))
    }

    /// The subscriptions, newest first.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    async fn subscriptions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, 1 to 100; 20 if nothing is said.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Result<Connection<Subscription>> {
        let page = page::page(first, after.as_deref(), last, before.as_deref()).map_err(Error::from)?;
        let wish = subscriptions::Wish { customer: self.0, page };
        let slice = ctx.reads(Scope::OwnRead).await?.subscription_pages.get(wish).await?;
        Ok(page::connection(slice.unwrap_or_default(), |row| row.id, Subscription))
    }

    /// What is on sale for credits, as far as this customer's cover it now.
    #[graphql(complexity = "child_complexity.saturating_mul(10).saturating_add(1)")]
    async fn credit_offers(&self, ctx: &Context<'_>) -> Result<List<CreditOffer>> {
        let offers = ctx.reads(Scope::OwnRead).await?.affordable.get(self.0).await?;
        Ok(offers.unwrap_or_default().into_iter().map(CreditOffer).collect())
    }
}
