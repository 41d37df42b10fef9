//! Customers.

use async_graphql::{Context, Description, ID, Object, OneofObject, Result};
use entity::customer::Model;

use super::activity::{Activity, ActivityKind};
use super::balances::Balance;
use super::context::Ask;
use super::enrolments::CustomerWalks;
use super::grants::{Grant, GrantStatus};
use super::holds::CustomerHolds;
use super::list::List;
use super::page::{self, Connection};
use super::purchases::CustomerPurchases;
use super::scalars::{DateTime, Json};
use super::sessions::CustomerSessions;
use super::why::CustomerWhy;
use domain::customers::{self, Search};
use domain::ground::fault;
use domain::ledger::{activity, grants};
use domain::{Error, Scope};

/// A person who buys and uses credits.
#[derive(Description)]
pub struct Customer(pub Model);

#[Object(use_type_description)]
impl Customer {
    /// Opaque, and unique over the whole server.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// The name that people read.
    fn name(&self) -> &str {
        fault::panics(Some(&self.0.name));
        &self.0.name
    }

    /// Lower case; unique in the account.
    fn email(&self) -> Option<&str> {
        self.0.email.as_deref()
    }

    /// The business's own id for this customer; unique in the account.
    fn external_id(&self) -> Option<&str> {
        self.0.external_id.as_deref()
    }

    /// A language tag, such as `de-CH`.
    fn locale(&self) -> Option<&str> {
        self.0.locale.as_deref()
    }

    /// Words that the business put on this customer, sorted. Staff only: null for the customer.
    async fn tags(&self, ctx: &Context<'_>) -> Result<Option<List<String>>> {
        if !ctx.is_staff() {
            return Ok(None);
        }
        Ok(Some(ctx.reads(Scope::StaffRead).await?.tags.get(self.0.id).await?.unwrap_or_default().into()))
    }

    /// A JSON object of the business's own. Staff only: null for the customer.
    fn metadata(&self, ctx: &Context<'_>) -> Option<Json> {
        ctx.is_staff().then(|| Json(self.0.metadata.clone()))
    }

    /// When it was created.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it was last changed.
    fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }

    /// Since when it is archived: it gets no more credits, and what it has can be used.
    fn archived_at(&self) -> Option<DateTime> {
        self.0.archived_at.map(DateTime)
    }

    /// Since when it is erased: nothing says any more who it was, and its credits stay as numbers.
    fn erased_at(&self) -> Option<DateTime> {
        self.0.erased_at.map(DateTime)
    }

    /// The balances: one for each credit type that this customer ever had credits of, oldest type first.
    /// While the account's credits are disabled a customer sees none.
    #[graphql(complexity = "child_complexity.saturating_mul(3).saturating_add(1)")]
    async fn balances(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only the balance of this credit type.")] credit_type_id: Option<ID>,
    ) -> Result<List<Balance>> {
        let balances = ctx.reads(Scope::OwnRead).await?.balances(self.0.id).await?;
        Ok(match credit_type_id {
            None => balances.into_iter().map(Balance).collect(),
            Some(wanted) => {
                let wanted = wanted.parse().ok();
                balances.into_iter().filter(|balance| Some(balance.credit_type) == wanted).map(Balance).collect()
            }
        })
    }

    /// The grants, newest first.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    #[expect(clippy::too_many_arguments, reason = "the arguments of a connection")]
    async fn grants(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only grants of this credit type.")] credit_type_id: Option<ID>,
        #[graphql(desc = "Only grants that are good for this now.")] status: Option<GrantStatus>,
        #[graphql(desc = "How many from the beginning, 1 to 100; 20 if nothing is said.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Result<Connection<Grant>> {
        let Ok(credit_type) = credit_type_id.map(|id| id.parse()).transpose() else {
            return Ok(Connection::default());
        };
        let wanted = grants::Wanted {
            customer: self.0.id,
            credit_type,
            status: status.map(Into::into),
            page: page::page(first, after.as_deref(), last, before.as_deref()).map_err(Error::from)?,
        };
        let slice = ctx.reads(Scope::OwnRead).await?.grant_pages.get(wanted).await?;
        Ok(page::connection(slice.unwrap_or_default(), |row| row.id, Grant))
    }

    /// What happened, newest first.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    #[expect(clippy::too_many_arguments, reason = "the arguments of a connection")]
    async fn activity(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only activity of this credit type.")] credit_type_id: Option<ID>,
        #[graphql(desc = "Only activity of these kinds.")] kinds: Option<Vec<ActivityKind>>,
        #[graphql(desc = "Only activity at this instant or later.")] from: Option<DateTime>,
        #[graphql(desc = "Only activity before this instant.")] to: Option<DateTime>,
        #[graphql(desc = "How many from the beginning, 1 to 100; 20 if nothing is said.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Result<Connection<Activity>> {
        let Ok(credit_type) = credit_type_id.map(|id| id.parse()).transpose() else {
            return Ok(Connection::default());
        };
        let part = activity::Part {
            credit_type,
            kinds: kinds.unwrap_or_default().into_iter().map(Into::into).collect(),
            from: from.map(|at| at.0),
            to: to.map(|at| at.0),
            page: page::page(first, after.as_deref(), last, before.as_deref()).map_err(Error::from)?,
        };
        let wanted = activity::Wanted { customer: self.0.id, part };
        let slice = ctx.reads(Scope::OwnRead).await?.activity_pages.get(wanted).await?;
        Ok(page::connection(slice.unwrap_or_default(), |row| (row.at, row.sequence, row.id), Activity::of))
    }

    #[graphql(flatten)]
    fn holding(&self) -> CustomerHolds {
        CustomerHolds(self.0.id)
    }

    #[graphql(flatten)]
    fn purchases(&self) -> CustomerPurchases {
        CustomerPurchases(self.0.id)
    }

    #[graphql(flatten)]
    fn walks(&self) -> CustomerWalks {
        CustomerWalks(self.0.id)
    }

    #[graphql(flatten)]
    fn session_list(&self) -> CustomerSessions {
        CustomerSessions(self.0.id)
    }

    #[graphql(flatten)]
    fn why(&self) -> CustomerWhy {
        CustomerWhy(self.0.id)
    }
}

/// How to find one customer. Exactly one of the fields.
#[derive(OneofObject)]
pub enum CustomerBy {
    /// By its id.
    Id(ID),
    /// By its e-mail address, in any case.
    Email(String),
    /// By the business's own id.
    ExternalId(String),
}

#[derive(Default)]
pub struct CustomerQuery;

#[Object]
impl CustomerQuery {
    /// One customer; null if there is no such customer for this caller.
    async fn customer(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How to find it.")] by: CustomerBy,
    ) -> Option<Result<Customer>> {
        let found = async {
            let reads = ctx.reads(Scope::OwnRead).await?;
            let found = match by {
                CustomerBy::Id(id) => match id.parse() {
                    Ok(id) => reads.customers.get(id).await?,
                    Err(_) => None,
                },
                CustomerBy::Email(email) => customers::by_email(reads.alone()?, &email).await?,
                CustomerBy::ExternalId(id) => customers::by_external_id(reads.alone()?, &id).await?,
            };
            Ok(found.map(Customer))
        };
        found.await.transpose()
    }

    /// Customers, newest first. For staff.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    #[expect(clippy::too_many_arguments, reason = "the arguments of a connection")]
    async fn customers(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Beginnings of words of the name, e-mail or external id; every one must match. The first five words count."
        )]
        search: Option<String>,
        #[graphql(desc = "Only customers with this tag.")] tag: Option<String>,
        #[graphql(desc = "Archived ones as well.", default)] include_archived: bool,
        #[graphql(desc = "How many from the beginning, 1 to 100; 20 if nothing is said.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Option<Result<Connection<Customer>>> {
        let found = async {
            let page = page::page(first, after.as_deref(), last, before.as_deref()).map_err(Error::from)?;
            let reads = ctx.reads(Scope::StaffRead).await?;
            let view = if search.is_some() { reads.at_length().await? } else { reads.alone()? };
            let slice = customers::search(view, &Search { text: search, tag, include_archived, page }).await?;
            Ok(page::connection(slice, |row| row.id, Customer))
        };
        Some(found.await)
    }
}
