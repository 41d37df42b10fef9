//! Events: what happened, for whoever follows.

use async_graphql::{Context, Description, Enum, ID, InputObject, Object, OneofObject, Result, SimpleObject};
use entity::event::Model;

use super::context::Ask;
use super::customers::Customer;
use super::list::List;
use super::page::{self, Connection};
use super::payload::{UserErrorInterface, answer, id};
use super::runs::{Run, RunStatus};
use super::scalars::{DateTime, Json};
use domain::automations::runs;
use domain::events::track::{self, Tracked, Who};
use domain::queue::events::catalogue::{self, Kind};
use domain::queue::events::{self, Wish};
use domain::{Error, Scope};

/// Something that happened, written in the transaction of the fact.
#[derive(Description)]
pub struct Event(pub Model);

#[Object(use_type_description)]
impl Event {
    /// Opaque, and unique over the whole server.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// Object and past verb: one of `eventTypes`, or one of the business's own.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Of the payload's shape; goes up when that changes.
    fn version(&self) -> i32 {
        i32::from(self.0.version)
    }

    /// Whom it happened to.
    async fn customer(&self, ctx: &Context<'_>) -> Result<Option<Customer>> {
        let Some(id) = self.0.customer_id else { return Ok(None) };
        Ok(ctx.reads(Scope::OwnRead).await?.customers.get(id).await?.map(Customer))
    }

    /// What is to be known about it: by its name and version, as `eventTypes` says, or the properties that it was tracked
    /// with. Of `credits.…` it is what the activity says under these names.
    fn payload(&self) -> Json {
        Json(self.0.payload.clone())
    }

    /// How many triggers and automations led to it, one after another: 0 for what people and time do, at most 8.
    fn depth(&self) -> i32 {
        i32::from(self.0.depth)
    }

    /// What triggers did about it, newest first.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    async fn runs(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only those that came to this.")] status: Option<RunStatus>,
        #[graphql(desc = "How many from the beginning, 1 to 100; 20 if nothing is said.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Result<Connection<Run>> {
        let page = page::page(first, after.as_deref(), last, before.as_deref()).map_err(Error::from)?;
        let wish = runs::Wish { of: runs::Of::Event(self.0.id), status: status.map(Into::into), page };
        let slice = ctx.reads(Scope::StaffRead).await?.run_pages.get(wish).await?;
        Ok(page::connection(slice.unwrap_or_default(), |row| row.id, Run))
    }

    /// When it happened, by the account's clock.
    fn at(&self) -> DateTime {
        DateTime(self.0.at)
    }
}

/// Which values a property takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Kind", name = "EventPropertyKind")]
pub enum EventPropertyKind {
    /// A prefixed id.
    Id,
    /// Characters.
    Text,
    /// A whole number.
    Whole,
    /// An instant in UTC (RFC 3339).
    Instant,
    /// Several values.
    List,
    /// Several values with names.
    Object,
}

/// One thing that an event says.
#[derive(SimpleObject)]
pub struct EventProperty {
    /// What it is called.
    name: &'static str,
    /// Which values it takes.
    kind: EventPropertyKind,
    /// Whether it may be null.
    nullable: bool,
}

/// An event that the server tells of by itself.
#[derive(SimpleObject)]
pub struct EventType {
    /// Object and past verb.
    name: &'static str,
    /// When it happens.
    description: &'static str,
    /// Of the payload's shape; goes up when that changes.
    version: i32,
    /// What its payload says.
    properties: List<EventProperty>,
    /// Whether triggers can wait for it: it is about a customer.
    triggerable: bool,
}

impl From<&catalogue::EventType> for EventType {
    fn from(event: &catalogue::EventType) -> Self {
        let property = |property: &catalogue::Property| EventProperty {
            name: property.name,
            kind: property.kind.into(),
            nullable: property.optional,
        };
        Self {
            name: event.name,
            description: event.about,
            version: i32::from(event.version),
            properties: event.properties.iter().map(property).collect(),
            triggerable: event.of_customer,
        }
    }
}

#[derive(Default)]
pub struct EventQuery;

#[Object]
impl EventQuery {
    /// What happened in the account, newest first. Kept for the account's `eventDays`. For staff.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    #[expect(clippy::too_many_arguments, reason = "the arguments of a connection")]
    async fn events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only events of this name.")] name: Option<String>,
        #[graphql(desc = "Only what happened to this customer.")] customer_id: Option<ID>,
        #[graphql(desc = "How many from the beginning, 1 to 100; 20 if nothing is said.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Option<Result<Connection<Event>>> {
        let found = async {
            let page = page::page(first, after.as_deref(), last, before.as_deref()).map_err(Error::from)?;
            let reads = ctx.reads(Scope::StaffRead).await?;
            let Ok(customer) = customer_id.map(|id| id.parse()).transpose() else {
                return Ok(Connection::default());
            };
            let slice = events::list(reads.alone()?, &Wish { name, customer }, &page).await?;
            Ok(page::connection(slice, |row| row.id, Event))
        };
        Some(found.await)
    }

    /// One event; null if there is no such event, or it is kept no longer. For staff.
    async fn event(&self, ctx: &Context<'_>, #[graphql(desc = "Its id.")] id: ID) -> Option<Result<Event>> {
        let found = async {
            let reads = ctx.reads(Scope::StaffRead).await?;
            let Ok(id) = id.parse() else { return Ok(None) };
            Ok(reads.events.get(id).await?.map(Event))
        };
        found.await.transpose()
    }

    /// The events that the server tells of by itself, and what each says. The same for every account.
    async fn event_types(&self) -> List<EventType> {
        catalogue::BUILT_IN.iter().map(Into::into).collect()
    }
}

/// How a customer is named. Exactly one of the fields.
#[derive(OneofObject)]
pub enum EventCustomerInput {
    /// By its id.
    Id(ID),
    /// By its e-mail address, in any case.
    Email(String),
    /// By the business's own id.
    ExternalId(String),
}

/// Something that happened outside.
#[derive(InputObject)]
pub struct EventTrackInput {
    /// Its name: `[a-z][a-z0-9_.]{0,63}`, such as `form.submitted`, outside the server's own.
    name: String,
    /// Whom it happened to.
    customer: EventCustomerInput,
    /// What is to be known about it: a JSON object of at most 16 KiB and 8 levels.
    #[graphql(default_with = "Json(serde_json::json!({}))")]
    properties: Json,
    /// 1 to 255 characters, the same for the same request however often it is sent: it is written once.
    idempotency_key: String,
}

/// What became of `eventTrack`.
#[derive(SimpleObject)]
pub struct EventTrackPayload {
    /// The event; null if it was refused.
    event: Option<Event>,
    /// The key was known: this is the event that it wrote. Nothing was written now.
    replayed: bool,
    /// Why it was refused.
    user_errors: Vec<UserErrorInterface>,
}

#[derive(Default)]
pub struct EventMutation;

#[Object]
impl EventMutation {
    /// Tell of something that happened outside, for triggers and webhooks to follow. For staff.
    async fn event_track(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What happened.")] input: EventTrackInput,
    ) -> Option<Result<EventTrackPayload>> {
        let tracked = async {
            let customer = match input.customer {
                EventCustomerInput::Id(given) => Who::Id(id("customer.id", "customer", &given)?),
                EventCustomerInput::Email(email) => Who::Email(email),
                EventCustomerInput::ExternalId(id) => Who::ExternalId(id),
            };
            let tracked = Tracked { name: input.name, customer, properties: input.properties.0 };
            track::track(ctx.caller()?, tracked, &input.idempotency_key).await
        };
        let answered = answer(ctx, tracked).await;
        Some(answered.map(|(tracked, user_errors)| {
            let (event, replayed) = tracked.unzip();
            EventTrackPayload { event: event.map(Event), replayed: replayed.unwrap_or(false), user_errors }
        }))
    }
}
