//! Activity.

use async_graphql::{Context, Description, Enum, ID, Object, Result, SimpleObject};
use entity::activity::{ActorKind, Kind, Model, Source};
use entity::allocation;

use super::context::Ask;
use super::credit_types::CreditType;
use super::customers::Customer;
use super::grants::Grant;
use super::holds::Hold;
use super::list::List;
use super::scalars::{Credits, DateTime, Money};
use domain::Scope;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Kind", name = "ActivityKind")]
pub enum ActivityKind {
    /// A grant was made.
    Issue,
    /// Credits were used.
    Consume,
    /// Credits were set aside.
    Hold,
    /// Credits that were set aside were used.
    Capture,
    /// Credits that were set aside were given back.
    Release,
    /// Credits that were set aside came back by themselves: their hold had ended.
    Lapse,
    /// Credits that were used were given back.
    Reverse,
    /// Credits ended unused.
    Expire,
    /// Credits were taken away.
    Void,
    /// Credits that had been taken away were given back: the void was reversed.
    Reinstate,
    /// A grant was given a later end.
    Extend,
    /// Credits that had ended came back: their grant was given a later end.
    Revive,
    /// Credits went to another customer, or to a new grant.
    TransferOut,
    /// Credits came from another customer, or from a grant that had ended, as new grants.
    TransferIn,
    /// Cost was taken off credits that stay where they are, by a refund or with a lost dispute, or put back. What was used
    /// or had ended is marked: it is voided when it comes back.
    Reprice,
    /// Free credits cannot be used any more: their payment is disputed.
    Freeze,
    /// Credits that were frozen can be used again.
    Thaw,
}

/// What led to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Source", name = "ActivitySource")]
pub enum ActivitySource {
    /// A person decided it.
    Manual,
    /// Time did it.
    Clock,
    /// It was read from a file of opening balances.
    Import,
    /// Another grant, of this or of another customer.
    Transfer,
    /// A return to a grant that had ended: what came back went to a new one.
    Reissue,
    /// An order: what it gave or cost, and what was taken back of it; `reference` is the order's id.
    Order,
    /// A period of a subscription; `reference` is its order's id.
    Renewal,
    /// A trigger; `reference` is the event's id.
    Trigger,
    /// A step of an automation; `reference` is the enrolment's id.
    Automation,
}

/// What kind of actor it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "ActorKind", name = "ActorKind")]
pub enum ActorKindName {
    /// Someone of the business.
    Staff,
    /// A program of the business; the subject is its API key's id.
    ApiKey,
    /// The customer.
    Customer,
    /// Nobody: time, or the server.
    System,
    /// A trigger; the subject is its id.
    Trigger,
    /// An automation; the subject is its id.
    Automation,
}

/// Who did it.
#[derive(SimpleObject)]
pub struct Actor {
    /// What kind of actor.
    kind: ActorKindName,
    /// The subject of the token, or the id of the API key, trigger or automation. Null for the system, and for customers
    /// who ask about staff.
    subject: Option<String>,
}

impl Actor {
    /// Someone, named by the token's subject.
    #[must_use]
    pub fn new(kind: ActorKind, subject: &str) -> Self {
        Self { kind: kind.into(), subject: Some(subject.to_owned()).filter(|subject| !subject.is_empty()) }
    }
}

/// One record of the ledger. It is never changed and never removed.
#[derive(Description)]
pub struct Activity {
    row: Model,
    /// Its allocations, where they came along.
    allocations: Option<Vec<allocation::Model>>,
}

impl Activity {
    /// An activity whose allocations are read when asked for.
    #[must_use]
    pub fn of(row: Model) -> Self {
        Self { row, allocations: None }
    }

    /// An activity with its allocations.
    #[must_use]
    pub fn with(row: Model, allocations: Vec<allocation::Model>) -> Self {
        Self { row, allocations: Some(allocations) }
    }
}

#[Object(use_type_description)]
impl Activity {
    /// Opaque, and unique over the whole server.
    pub async fn id(&self) -> ID {
        self.row.id.to_string().into()
    }

    /// Whose credits.
    async fn customer(&self, ctx: &Context<'_>) -> Result<Option<Customer>> {
        Ok(ctx.reads(Scope::OwnRead).await?.customers.get(self.row.customer_id).await?.map(Customer))
    }

    /// What the credits are good for.
    async fn credit_type(&self, ctx: &Context<'_>) -> Result<Option<CreditType>> {
        Ok(ctx.reads(Scope::OwnRead).await?.credit_types.get(self.row.credit_type_id).await?.map(CreditType))
    }

    /// What happened.
    fn kind(&self) -> ActivityKind {
        self.row.kind.into()
    }

    /// Its number among this customer's activities of this credit type: 1, 2, 3, without gap.
    fn sequence(&self) -> Credits {
        Credits(entity::Credits(self.row.sequence))
    }

    /// The change of the free credits: negative where they became fewer.
    fn amount(&self) -> Credits {
        Credits(self.row.amount)
    }

    /// The change of the credits that are set aside.
    fn held_amount(&self) -> Credits {
        Credits(self.row.held_amount)
    }

    /// The free credits before it, those not yet effective included.
    fn balance_before(&self) -> Credits {
        Credits(self.row.balance_before)
    }

    /// The free credits after it, those not yet effective included.
    fn balance_after(&self) -> Credits {
        Credits(self.row.balance_after)
    }

    /// On which grants it fell, in the order in which they were taken.
    #[graphql(complexity = "child_complexity.saturating_mul(2).saturating_add(1)")]
    async fn allocations(&self, ctx: &Context<'_>) -> Result<List<Allocation>> {
        let rows = match &self.allocations {
            Some(rows) => rows.clone(),
            None => ctx.reads(Scope::OwnRead).await?.allocations.get(self.row.id).await?.unwrap_or_default(),
        };
        Ok(rows.into_iter().map(Allocation).collect())
    }

    /// Who did it.
    fn actor(&self, ctx: &Context<'_>) -> Actor {
        let told = self.row.actor_kind == ActorKind::Customer || ctx.is_staff();
        Actor::new(self.row.actor_kind, if told { &self.row.actor } else { "" })
    }

    /// What led to it.
    fn source(&self) -> ActivitySource {
        self.row.source.into()
    }

    /// The business's own key for what it belongs to, such as a booking.
    fn reference(&self) -> Option<&str> {
        self.row.reference.as_deref()
    }

    /// Why credits were taken away. The customer sees it.
    fn reason(&self) -> Option<&str> {
        self.row.reason.as_deref()
    }

    /// What was said about it. The customer sees it.
    fn note(&self) -> Option<&str> {
        self.row.note.as_deref()
    }

    /// What was said about it among staff. Null for the customer.
    fn internal_note(&self, ctx: &Context<'_>) -> Option<&str> {
        self.row.internal_note.as_deref().filter(|_| ctx.is_staff())
    }

    /// The hold that it placed or closed.
    async fn hold(&self, ctx: &Context<'_>) -> Result<Option<Hold>> {
        let Some(id) = self.row.hold_id else { return Ok(None) };
        Ok(ctx.reads(Scope::OwnRead).await?.holds.get(id).await?.map(Hold))
    }

    /// What it gave back, wholly or in part.
    async fn reverses(&self, ctx: &Context<'_>) -> Result<Option<Activity>> {
        let Some(id) = self.row.reverses_id else { return Ok(None) };
        Ok(ctx.reads(Scope::OwnRead).await?.activities.get(id).await?.map(Activity::of))
    }

    /// What gave it back, or parts of it, oldest first.
    #[graphql(complexity = "child_complexity.saturating_mul(2).saturating_add(1)")]
    async fn reversed_by(&self, ctx: &Context<'_>) -> Result<List<Activity>> {
        let found = ctx.reads(Scope::OwnRead).await?.reversals.get(self.row.id).await?;
        Ok(found.unwrap_or_default().into_iter().map(Activity::of).collect())
    }

    /// When it happened. An expiry is dated when the credits ended, whenever that was written down.
    fn at(&self) -> DateTime {
        DateTime(self.row.at)
    }
}

/// How much of an activity fell on which grant.
#[derive(Description)]
pub struct Allocation(pub allocation::Model);

#[Object(use_type_description)]
impl Allocation {
    /// The grant, as it is now.
    async fn grant(&self, ctx: &Context<'_>) -> Result<Option<Grant>> {
        Ok(ctx.reads(Scope::OwnRead).await?.grants.get(self.0.grant_id).await?.map(Grant))
    }

    /// How many of its credits.
    fn amount(&self) -> Credits {
        Credits(self.0.amount)
    }

    /// The end that it gave the grant; null if it left that as it was, or gave it none.
    fn expires_at(&self) -> Option<DateTime> {
        self.0.ends_after.map(DateTime)
    }

    /// When the grant ended before, if its end was moved.
    fn previous_expires_at(&self) -> Option<DateTime> {
        self.0.ends_before.map(DateTime)
    }

    /// What these credits had cost.
    async fn cost(&self, ctx: &Context<'_>) -> Result<Option<Money>> {
        let grant = ctx.reads(Scope::OwnRead).await?.grants.get(self.0.grant_id).await?;
        Ok(grant.map(|grant| Money::new(self.0.cost, &grant.currency)))
    }
}

#[derive(Default)]
pub struct ActivityQuery;

#[Object]
impl ActivityQuery {
    /// One activity; null if there is no such activity for this caller.
    async fn activity(&self, ctx: &Context<'_>, #[graphql(desc = "Its id.")] id: ID) -> Option<Result<Activity>> {
        let found = async {
            let reads = ctx.reads(Scope::OwnRead).await?;
            let Ok(id) = id.parse() else { return Ok(None) };
            Ok(reads.activities.get(id).await?.map(Activity::of))
        };
        found.await.transpose()
    }
}
