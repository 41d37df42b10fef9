//! Orders, as staff and customers see them.

use async_graphql::{Context, Description, Enum, ID, Object, Result};
use entity::activity::ActorKind;
use entity::product_order::{Model, Status};
use entity::{fulfilment, order_line};

use super::activity::{Activity, Actor};
use super::context::Ask;
use super::credit_types::CreditType;
use super::customers::Customer;
use super::grants::Grant;
use super::list::List;
use super::page::{self, Connection};
use super::payload::UserErrorInterface;
use super::payments::{Payment, Refund};
use super::price_terms::whole;
use super::prices::Price;
use super::products::Product;
use super::scalars::{Credits, CurrencyCode, DateTime, Json, Money};
use super::subscriptions::Subscription;
use domain::sales::{fulfil, orders, payments};
use domain::{Error, Scope};

/// How far an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Status", name = "OrderStatus")]
pub enum OrderStatus {
    /// Nobody has paid yet.
    AwaitingPayment,
    /// Paid, and what it gives is given.
    Paid,
    /// Some of it went back.
    PartiallyRefunded,
    /// All of it went back.
    Refunded,
    /// Given up before it was paid.
    Cancelled,
    /// A dispute of its payment was lost, and no other money covers it.
    ChargedBack,
}

/// One purchase.
#[derive(Description)]
pub struct Order(pub Model);

impl Order {
    fn money(&self, minor: entity::Minor) -> Option<Money> {
        self.0.currency.as_ref().map(|currency| Money::new(minor, currency))
    }
}

#[Object(use_type_description)]
impl Order {
    /// Opaque, and unique over the whole server.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// 1, 2, 3 … within the account.
    fn number(&self) -> i32 {
        whole(self.0.number)
    }

    /// Whose it is.
    async fn customer(&self, ctx: &Context<'_>) -> Result<Option<Customer>> {
        Ok(ctx.reads(Scope::OwnRead).await?.customers.get(self.0.customer_id).await?.map(Customer))
    }

    /// How far it is.
    fn status(&self) -> OrderStatus {
        self.0.status.into()
    }

    /// The currency of its money; null if it is paid in credits.
    fn currency(&self) -> Option<CurrencyCode> {
        self.0.currency.clone().map(CurrencyCode)
    }

    /// What its lines cost; null if it is paid in credits.
    fn subtotal(&self) -> Option<Money> {
        self.money(self.0.subtotal)
    }

    /// The tax on it; 0 for now.
    fn tax(&self) -> Option<Money> {
        self.money(self.0.tax)
    }

    /// What is to be paid; null if it is paid in credits.
    fn total(&self) -> Option<Money> {
        self.money(self.0.total)
    }

    /// How much money is here for it: what was paid and has not gone back, beyond the total as well. Null if it is paid in
    /// credits.
    async fn paid(&self, ctx: &Context<'_>) -> Result<Option<Money>> {
        let Some(currency) = &self.0.currency else { return Ok(None) };
        let payments = ctx.reads(Scope::OwnRead).await?.payments.get(self.0.id).await?.unwrap_or_default();
        Ok(Some(Money::new(payments::kept(&payments), currency)))
    }

    /// How much of it went back.
    fn refunded(&self) -> Option<Money> {
        self.money(self.0.refunded)
    }

    /// What was ordered.
    #[graphql(complexity = "child_complexity.saturating_mul(3).saturating_add(1)")]
    async fn lines(&self, ctx: &Context<'_>) -> Result<List<OrderLine>> {
        let lines = ctx.reads(Scope::OwnRead).await?.order_lines.get(self.0.id).await?.unwrap_or_default();
        Ok(lines.into_iter().map(|row| OrderLine { row, currency: self.0.currency.clone() }).collect())
    }

    /// What it gave: per line, and per part of a period, the grant that it made, or why none. Empty before it is
    /// paid, but for a renewal whose price issues before payment.
    #[graphql(complexity = "child_complexity.saturating_mul(4).saturating_add(1)")]
    async fn fulfilment(&self, ctx: &Context<'_>) -> Result<List<Fulfilment>> {
        let reads = ctx.reads(Scope::OwnRead).await?;
        let lines = reads.order_lines.get(self.0.id).await?.unwrap_or_default();
        let given = reads.fulfilments.get(self.0.id).await?.unwrap_or_default();
        let paid = self.0.paid_at.is_some();
        let of_line = |line: order_line::Model| {
            let rows = given.iter().filter(|row| row.position == line.position).cloned().map(Some).collect::<Vec<_>>();
            let rows = if rows.is_empty() && paid { vec![None] } else { rows };
            let currency = self.0.currency.clone();
            rows.into_iter().map(move |row| Fulfilment { line: line.clone(), row, currency: currency.clone() })
        };
        Ok(lines.into_iter().flat_map(of_line).collect())
    }

    /// What settled it, oldest first.
    #[graphql(complexity = "child_complexity.saturating_mul(2).saturating_add(1)")]
    async fn payments(&self, ctx: &Context<'_>) -> Result<List<Payment>> {
        let payments = ctx.reads(Scope::OwnRead).await?.payments.get(self.0.id).await?;
        Ok(payments.unwrap_or_default().into_iter().map(Payment).collect())
    }

    /// What went back, oldest first.
    #[graphql(complexity = "child_complexity.saturating_mul(2).saturating_add(1)")]
    async fn refunds(&self, ctx: &Context<'_>) -> Result<List<Refund>> {
        let refunds = ctx.reads(Scope::OwnRead).await?.refunds.get(self.0.id).await?;
        Ok(refunds.unwrap_or_default().into_iter().map(Refund).collect())
    }

    /// The subscription that it started or renewed.
    async fn subscription(&self, ctx: &Context<'_>) -> Result<Option<Subscription>> {
        let Some(id) = self.0.subscription_id else { return Ok(None) };
        Ok(ctx.reads(Scope::OwnRead).await?.subscriptions.get(id).await?.map(Subscription))
    }

    /// Which period of the subscription it is for: 0 is the first.
    fn renewal_number(&self) -> Option<i32> {
        self.0.renewal_number.map(whole)
    }

    /// The name that an anonymous buyer gave. Staff only: null for the customer.
    fn buyer_name(&self, ctx: &Context<'_>) -> Option<&str> {
        self.0.buyer_name.as_deref().filter(|_| ctx.is_staff())
    }

    /// The e-mail address that an anonymous buyer gave. Staff only: null for the customer.
    fn buyer_email(&self, ctx: &Context<'_>) -> Option<&str> {
        self.0.buyer_email.as_deref().filter(|_| ctx.is_staff())
    }

    /// What the buyer wrote with it.
    fn note(&self) -> Option<&str> {
        self.0.note.as_deref()
    }

    /// A JSON object of the business's own. Staff only: null for the customer.
    fn metadata(&self, ctx: &Context<'_>) -> Option<Json> {
        ctx.is_staff().then(|| Json(self.0.metadata.clone()))
    }

    /// Who placed it: the customer, whether known or not, staff, or the system where a subscription renewed.
    fn placed_by(&self, ctx: &Context<'_>) -> Actor {
        let told = self.0.actor_kind == ActorKind::Customer || ctx.is_staff();
        Actor::new(self.0.actor_kind, if told { &self.0.actor } else { "" })
    }

    /// When it was placed.
    fn placed_at(&self) -> DateTime {
        DateTime(self.0.placed_at)
    }

    /// When it was paid.
    fn paid_at(&self) -> Option<DateTime> {
        self.0.paid_at.map(DateTime)
    }

    /// When it was given up.
    fn cancelled_at(&self) -> Option<DateTime> {
        self.0.cancelled_at.map(DateTime)
    }

    /// Why it was given up.
    fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }
}

/// So much of a product at a price.
#[derive(Description)]
pub struct OrderLine {
    pub row: order_line::Model,
    pub currency: Option<String>,
}

#[Object(use_type_description)]
impl OrderLine {
    /// What was ordered.
    async fn product(&self, ctx: &Context<'_>) -> Result<Option<Product>> {
        Ok(ctx.reads(Scope::OwnRead).await?.products.get(self.row.product_id).await?.map(Product))
    }

    /// At which price.
    async fn price(&self, ctx: &Context<'_>) -> Result<Option<Price>> {
        Ok(ctx.reads(Scope::OwnRead).await?.prices.get(self.row.price_id).await?.map(Price))
    }

    /// How many units.
    fn quantity(&self) -> i32 {
        whole(self.row.quantity)
    }

    /// What it costs in money; null if it is paid in credits.
    fn amount(&self) -> Option<Money> {
        self.currency.as_ref().map(|currency| Money::new(self.row.amount, currency))
    }

    /// Of what it issues, or what it costs.
    async fn credit_type(&self, ctx: &Context<'_>) -> Result<Option<CreditType>> {
        let Some(id) = self.row.credit_type_id else { return Ok(None) };
        Ok(ctx.reads(Scope::OwnRead).await?.credit_types.get(id).await?.map(CreditType))
    }

    /// How many credits it issues, over all parts of a period, or costs.
    fn credits(&self) -> Credits {
        Credits(self.row.credits)
    }
}

/// What a line gave, or why it gave nothing.
#[derive(Description)]
pub struct Fulfilment {
    line: order_line::Model,
    row: Option<fulfilment::Model>,
    currency: Option<String>,
}

#[Object(use_type_description)]
impl Fulfilment {
    /// The line.
    fn line(&self) -> OrderLine {
        OrderLine { row: self.line.clone(), currency: self.currency.clone() }
    }

    /// Which part of a period, where its credits come in parts: 0 is the first.
    fn part(&self) -> i32 {
        self.row.as_ref().map_or(0, |row| row.part)
    }

    /// How many credits it gave, or took; of one that was refused, how many it did not give.
    fn credits(&self) -> Credits {
        Credits(self.row.as_ref().map(|row| row.credits).unwrap_or_default())
    }

    /// Its share of what the line cost; null if that is paid in credits.
    fn cost(&self) -> Option<Money> {
        let cost = self.row.as_ref().map_or(self.line.amount, |row| row.cost);
        self.currency.as_ref().map(|currency| Money::new(cost, currency))
    }

    /// The grant that it made; null if it made none, or cost credits.
    async fn grant(&self, ctx: &Context<'_>) -> Result<Option<Grant>> {
        let Some(id) = self.row.as_ref().and_then(|row| row.grant_id) else { return Ok(None) };
        Ok(ctx.reads(Scope::OwnRead).await?.grants.get(id).await?.map(Grant))
    }

    /// The record in the ledger: the issue, or the consume of a line that costs credits.
    async fn activity(&self, ctx: &Context<'_>) -> Result<Option<Activity>> {
        let Some(id) = self.row.as_ref().and_then(|row| row.activity_id) else { return Ok(None) };
        Ok(ctx.reads(Scope::OwnRead).await?.activities.get(id).await?.map(Activity::of))
    }

    /// Why it gave nothing, though it is paid. Staff only: null for the customer.
    fn refused(&self, ctx: &Context<'_>) -> Option<UserErrorInterface> {
        let refusal = self.row.as_ref().and_then(fulfil::refusal_of).filter(|_| ctx.is_staff());
        refusal.map(Into::into)
    }

    /// Whether the product issues nothing: there was nothing to give.
    fn issues_nothing(&self) -> bool {
        self.row.is_none()
    }
}

#[derive(Default)]
pub struct OrderQuery;

#[Object]
impl OrderQuery {
    /// One order; null if there is no such order for this caller.
    async fn order(&self, ctx: &Context<'_>, #[graphql(desc = "Its id.")] id: ID) -> Option<Result<Order>> {
        let found = async {
            let reads = ctx.reads(Scope::OwnRead).await?;
            let Ok(id) = id.parse() else { return Ok(None) };
            Ok(reads.orders.get(id).await?.map(Order))
        };
        found.await.transpose()
    }

    /// The account's orders, newest first. For staff.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    async fn orders(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only those that are so far.")] status: Option<OrderStatus>,
        #[graphql(desc = "How many from the beginning, 1 to 100; 20 if nothing is said.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Option<Result<Connection<Order>>> {
        let found = async {
            let page = page::page(first, after.as_deref(), last, before.as_deref()).map_err(Error::from)?;
            let reads = ctx.reads(Scope::StaffRead).await?;
            let slice = orders::list(reads.alone()?, status.map(Into::into), &page).await?;
            Ok(page::connection(slice, |row| row.id, Order))
        };
        Some(found.await)
    }
}
