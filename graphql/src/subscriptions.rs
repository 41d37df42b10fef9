//! Subscriptions.

use async_graphql::{Context, Description, Enum, ID, Object, Result, SimpleObject};
use entity::renewal;
use entity::renewal::Status as PeriodStatus;
use entity::subscription::{Model, Status};

use super::context::Ask;
use super::customers::Customer;
use super::list::List;
use super::orders::Order;
use super::page::{self, Connection};
use super::price_terms::whole;
use super::prices::Price;
use super::scalars::{Credits, DateTime, Money, TimeZone};
use domain::sales::subscriptions::{self, PeriodWish};
use domain::sales::{basket, renewals};
use domain::{Error, Refusal, Scope};

/// How far a subscription is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Status", name = "SubscriptionStatus")]
pub enum SubscriptionStatus {
    /// Its first order awaits payment.
    Pending,
    /// It renews.
    Active,
    /// A renewal was not paid in time. It renews, and is cancelled after the account's `renewalGraceDays`.
    PastDue,
    /// Periods that begin now are skipped.
    Paused,
    /// It renews no more.
    Cancelled,
}

/// How far a period of a subscription is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "PeriodStatus", name = "RenewalStatus")]
pub enum RenewalStatus {
    /// It began, and nobody has paid yet.
    Due,
    /// It is paid.
    Paid,
    /// It began while the subscription was paused, or was over before anybody could have used it. It is not charged.
    Skipped,
    /// It was not paid in time.
    PastDue,
    /// It was given up unpaid.
    Cancelled,
}

/// An order that renews.
#[derive(Description)]
pub struct Subscription(pub Model);

#[Object(use_type_description)]
impl Subscription {
    /// Opaque, and unique over the whole server.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// Whose it is.
    async fn customer(&self, ctx: &Context<'_>) -> Result<Option<Customer>> {
        Ok(ctx.reads(Scope::OwnRead).await?.customers.get(self.0.customer_id).await?.map(Customer))
    }

    /// How far it is.
    fn status(&self) -> SubscriptionStatus {
        self.0.status.into()
    }

    /// What it costs.
    async fn price(&self, ctx: &Context<'_>) -> Result<Option<Price>> {
        Ok(ctx.reads(Scope::OwnRead).await?.prices.get(self.0.price_id).await?.map(Price))
    }

    /// What it will cost from the next period on, if that changes.
    async fn next_price(&self, ctx: &Context<'_>) -> Result<Option<Price>> {
        let Some(id) = self.0.pending_price_id else { return Ok(None) };
        Ok(ctx.reads(Scope::OwnRead).await?.prices.get(id).await?.map(Price))
    }

    /// How many units.
    fn quantity(&self) -> i32 {
        whole(self.0.quantity)
    }

    /// How many from the next period on, if that changes.
    fn next_quantity(&self) -> Option<i32> {
        self.0.pending_quantity.map(whole)
    }

    /// From when its periods are counted: its first payment, or the period at which its interval changed.
    fn anchor_at(&self) -> Option<DateTime> {
        self.0.anchor_at.map(DateTime)
    }

    /// The zone by which its periods are counted.
    fn time_zone(&self) -> TimeZone {
        TimeZone(self.0.time_zone.clone())
    }

    /// When its next period begins; null before its first payment and after its end.
    fn next_at(&self) -> Option<DateTime> {
        self.0.next_at.map(DateTime)
    }

    /// Whether it ends with the present period.
    fn cancel_at_period_end(&self) -> bool {
        self.0.cancel_at_period_end
    }

    /// Whether a payment method is stored that renewals are charged to.
    fn has_payment_method(&self) -> bool {
        self.0.payment_method.is_some()
    }

    /// Its periods, newest first.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    async fn renewals(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning, 1 to 100; 20 if nothing is said.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Result<Connection<Renewal>> {
        let page = page::page(first, after.as_deref(), last, before.as_deref()).map_err(Error::from)?;
        let wish = PeriodWish { subscription: self.0.id, page };
        let slice = ctx.reads(Scope::OwnRead).await?.renewal_pages.get(wish).await?;
        Ok(page::connection(slice.unwrap_or_default(), |row| row.number, Renewal))
    }

    /// The periods that will begin if nothing changes, soonest first. None of a subscription that is paused or ends.
    #[graphql(complexity = "page::cost(Some(first), None, child_complexity)")]
    async fn upcoming_renewals(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100.", default = 3)] first: i32,
    ) -> Result<List<UpcomingRenewal>> {
        let most = usize::try_from(first).ok().filter(|most| (1..=100).contains(most));
        let most = most.ok_or_else(|| Error::from(Refusal::invalid("first", "Must be 1 to 100.")))?;
        let price = self.0.pending_price_id.unwrap_or(self.0.price_id);
        let reads = ctx.reads(Scope::OwnRead).await?;
        let Some(price) = reads.prices.get(price).await? else { return Ok(List::default()) };
        let Some(product) = reads.products.get(price.product_id).await? else { return Ok(List::default()) };
        let issued = match product.credit_type_id {
            Some(id) => reads.credit_types.get(id).await?,
            None => None,
        };
        let quantity = self.0.pending_quantity.unwrap_or(self.0.quantity);
        let Ok(line) = basket::priced("quantity", product, price, quantity) else { return Ok(List::default()) };
        let periods = renewals::upcoming(&self.0, (&line, issued.as_ref()), most).into_iter();
        let currency = line.price.currency.clone().unwrap_or_default();
        let upcoming = periods.map(|period| UpcomingRenewal {
            number: whole(period.number),
            starts_at: DateTime(period.starts_at),
            ends_at: DateTime(period.ends_at),
            total: Money::new(line.amount, &currency),
            credits: Credits(line.credits),
        });
        Ok(upcoming.collect())
    }

    /// When it was ordered.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it ended.
    fn ended_at(&self) -> Option<DateTime> {
        self.0.ended_at.map(DateTime)
    }

    /// Why it ended.
    fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }
}

/// One period of a subscription.
#[derive(Description)]
pub struct Renewal(pub renewal::Model);

#[Object(use_type_description)]
impl Renewal {
    /// Which period: 0 is the first.
    fn number(&self) -> i32 {
        whole(self.0.number)
    }

    /// How far it is.
    fn status(&self) -> RenewalStatus {
        self.0.status.into()
    }

    /// What it costs.
    async fn price(&self, ctx: &Context<'_>) -> Result<Option<Price>> {
        Ok(ctx.reads(Scope::OwnRead).await?.prices.get(self.0.price_id).await?.map(Price))
    }

    /// Its first instant.
    fn starts_at(&self) -> DateTime {
        DateTime(self.0.starts_at)
    }

    /// The first instant of the next one.
    fn ends_at(&self) -> DateTime {
        DateTime(self.0.ends_at)
    }

    /// Its order; null if it was skipped.
    async fn order(&self, ctx: &Context<'_>) -> Result<Option<Order>> {
        let Some(id) = self.0.order_id else { return Ok(None) };
        Ok(ctx.reads(Scope::OwnRead).await?.orders.get(id).await?.map(Order))
    }

    /// From when it is, or will be, past due, while nobody has paid.
    fn past_due_at(&self) -> Option<DateTime> {
        let unpaid = matches!(self.0.status, PeriodStatus::Due | PeriodStatus::PastDue);
        self.0.past_due_at.filter(|_| unpaid).map(DateTime)
    }
}

/// A period that will begin if nothing changes.
#[derive(SimpleObject)]
pub struct UpcomingRenewal {
    /// Which period.
    number: i32,
    /// Its first instant.
    starts_at: DateTime,
    /// The first instant of the one after.
    ends_at: DateTime,
    /// What will be charged.
    total: Money,
    /// How many credits it will give, over all its parts.
    credits: Credits,
}

#[derive(Default)]
pub struct SubscriptionQuery;

#[Object]
impl SubscriptionQuery {
    /// One subscription; null if there is no such subscription for this caller.
    async fn subscription(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its id.")] id: ID,
    ) -> Option<Result<Subscription>> {
        let found = async {
            let reads = ctx.reads(Scope::OwnRead).await?;
            let Ok(id) = id.parse() else { return Ok(None) };
            Ok(reads.subscriptions.get(id).await?.map(Subscription))
        };
        found.await.transpose()
    }

    /// The account's subscriptions, newest first. For staff.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    async fn subscriptions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only those that are so far.")] status: Option<SubscriptionStatus>,
        #[graphql(desc = "How many from the beginning, 1 to 100; 20 if nothing is said.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Option<Result<Connection<Subscription>>> {
        let found = async {
            let page = page::page(first, after.as_deref(), last, before.as_deref()).map_err(Error::from)?;
            let reads = ctx.reads(Scope::StaffRead).await?;
            let slice = subscriptions::list(reads.alone()?, status.map(Into::into), &page).await?;
            Ok(page::connection(slice, |row| row.id, Subscription))
        };
        Some(found.await)
    }
}
