//! Grants.

use async_graphql::{Context, Description, Enum, ID, InputObject, Object, OneofObject, Result};
use entity::credit_grant::Model;

use super::activity::ActivitySource;
use super::answered::{RequestInput, carry_out, payload};
use super::context::Ask;
use super::credit_types::CreditType;
use super::customers::Customer;
use super::expiration::{ExpirationPolicy, PeriodUnitName};
use super::payload::id;
use super::scalars::{Credits, Date, DateTime, Json, Money, TimeZone, Whole};
use domain::Scope;
use domain::credits::about;
use domain::ledger::Extension;
use domain::ledger::grants::{self, Status};

/// What a grant is good for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Status", name = "GrantStatus")]
pub enum GrantStatus {
    /// Has free credits that count later.
    Scheduled,
    /// Has credits that can be used.
    Usable,
    /// Has free credits that cannot be used while their payment is disputed.
    Frozen,
    /// Has none left, and what was left was taken away.
    Voided,
    /// Has none left, and some ended unused.
    Expired,
    /// Has none left: every one was used, set aside or transferred.
    UsedUp,
}

/// One lot of credits, as it is now. Always `amount = remaining + held + consumed + expired + voided + transferred`.
#[derive(Description)]
pub struct Grant(pub Model);

#[Object(use_type_description)]
impl Grant {
    /// Opaque, and unique over the whole server.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// Whose they are.
    async fn customer(&self, ctx: &Context<'_>) -> Result<Option<Customer>> {
        Ok(ctx.reads(Scope::OwnRead).await?.customers.get(self.0.customer_id).await?.map(Customer))
    }

    /// What they are good for.
    async fn credit_type(&self, ctx: &Context<'_>) -> Result<Option<CreditType>> {
        Ok(ctx.reads(Scope::OwnRead).await?.credit_types.get(self.0.credit_type_id).await?.map(CreditType))
    }

    /// How many were issued.
    fn amount(&self) -> Credits {
        Credits(self.0.amount)
    }

    /// How many are free.
    fn remaining(&self) -> Credits {
        Credits(self.0.remaining)
    }

    /// How many are set aside.
    fn held(&self) -> Credits {
        Credits(self.0.held)
    }

    /// How many were used.
    fn consumed(&self) -> Credits {
        Credits(self.0.consumed)
    }

    /// How many ended unused.
    fn expired(&self) -> Credits {
        Credits(self.0.expired)
    }

    /// How many were taken away.
    fn voided(&self) -> Credits {
        Credits(self.0.voided)
    }

    /// Whether it was voided for good: what comes back to it later, from a hold or by a reversal, is voided too. A refund
    /// of what was unused does not close a grant.
    fn closed(&self) -> bool {
        self.0.closed
    }

    /// Whether its free credits cannot be used, because their payment is disputed.
    fn frozen(&self) -> bool {
        self.0.frozen
    }

    /// How many went to another customer.
    fn transferred(&self) -> Credits {
        Credits(self.0.transferred)
    }

    /// What it is good for now.
    async fn status(&self, ctx: &Context<'_>) -> Result<GrantStatus> {
        let now = ctx.reads(Scope::OwnRead).await?.now();
        Ok(grants::status(&self.0, now).into())
    }

    /// Lower is used first; among equals the one that ends soonest.
    fn priority(&self) -> i32 {
        i32::from(self.0.priority)
    }

    /// Whether it was given rather than paid for.
    fn promotional(&self) -> bool {
        self.0.promotional
    }

    /// The first instant at which it counts.
    fn effective_at(&self) -> DateTime {
        DateTime(self.0.effective_at)
    }

    /// The first instant at which it no longer counts; null if it never ends, or not before its first use.
    fn expires_at(&self) -> Option<DateTime> {
        self.0.expires_at.map(DateTime)
    }

    /// The policy that it was issued under.
    fn expiration(&self) -> ExpirationPolicy {
        self.0.policy().into()
    }

    /// The zone by which its policy is read: the account's, when it was issued.
    fn time_zone(&self) -> TimeZone {
        TimeZone(self.0.time_zone.clone())
    }

    /// When the first of it was used.
    fn first_used_at(&self) -> Option<DateTime> {
        self.0.first_used_at.map(DateTime)
    }

    /// What was paid for all of it.
    fn cost(&self) -> Money {
        Money::new(self.0.cost, &self.0.currency)
    }

    /// What was paid for those that are free.
    fn cost_left(&self) -> Money {
        Money::new(self.0.cost_left, &self.0.currency)
    }

    /// What led to it.
    fn source(&self) -> ActivitySource {
        self.0.source.into()
    }

    /// The grant that it was transferred from, as far as this caller may see it.
    async fn origin(&self, ctx: &Context<'_>) -> Result<Option<Grant>> {
        let Some(id) = self.0.origin_id else { return Ok(None) };
        let found = ctx.reads(Scope::OwnRead).await?.grants.get(id).await?;
        // Another customer's is staff's to see: not a customer's, nor a program's that may not read.
        let seen = found.filter(|grant| ctx.is_staff() || grant.customer_id == self.0.customer_id);
        Ok(seen.map(Grant))
    }

    /// A JSON object of the business's own. Staff only: null for the customer.
    fn metadata(&self, ctx: &Context<'_>) -> Option<Json> {
        ctx.is_staff().then(|| Json(self.0.metadata.clone()))
    }

    /// When it was issued.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }
}

#[derive(Default)]
pub struct GrantQuery;

#[Object]
impl GrantQuery {
    /// One grant; null if there is no such grant for this caller.
    async fn grant(&self, ctx: &Context<'_>, #[graphql(desc = "Its id.")] id: ID) -> Option<Result<Grant>> {
        let found = async {
            let reads = ctx.reads(Scope::OwnRead).await?;
            let Ok(id) = id.parse() else { return Ok(None) };
            Ok(reads.grants.get(id).await?.map(Grant))
        };
        found.await.transpose()
    }
}

/// A grant to take back.
#[derive(InputObject)]
pub struct GrantVoidInput {
    /// The grant.
    grant_id: ID,
    /// Why: 1 to 255 characters. The customer sees it.
    reason: String,
    #[graphql(flatten)]
    request: RequestInput,
}

/// A later end. Exactly one of the fields.
#[derive(OneofObject)]
pub enum ExtensionInput {
    /// So much later than the grant ends, or ended, by the calendar of its time zone.
    By(ExtensionPeriodInput),
    /// At the end of a date in the grant's time zone.
    On(Date),
    /// At an exact instant.
    At(DateTime),
}

/// A number of calendar periods.
#[derive(InputObject)]
pub struct ExtensionPeriodInput {
    /// How many units: 1 up to a hundred years.
    count: Whole,
    /// The unit.
    unit: PeriodUnitName,
}

impl From<ExtensionInput> for Extension {
    fn from(input: ExtensionInput) -> Self {
        match input {
            ExtensionInput::By(period) => Self::By { count: period.count.0, unit: period.unit.into() },
            ExtensionInput::On(date) => Self::On(date.0),
            ExtensionInput::At(at) => Self::At(at.0),
        }
    }
}

/// A grant to give a later end.
#[derive(InputObject)]
pub struct GrantExtendInput {
    /// The grant.
    grant_id: ID,
    /// Its later end.
    to: ExtensionInput,
    /// Why: 1 to 255 characters, such as illness or a closing day. The customer sees it.
    reason: String,
    #[graphql(flatten)]
    request: RequestInput,
}

payload! {
    /// What became of `grantVoid`.
    GrantVoidPayload with grant
}
payload! {
    /// What became of `grantExtend`.
    GrantExtendPayload with grant
}

#[derive(Default)]
pub struct GrantMutation;

#[Object]
impl GrantMutation {
    /// Take away what is left of a grant, for a reason. What is set aside stays so. For staff.
    async fn grant_void(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The grant and the reason.")] input: GrantVoidInput,
    ) -> Option<Result<GrantVoidPayload>> {
        let command = Box::pin(async {
            let grant = id("grantId", "grant", &input.grant_id)?;
            about::void(ctx.caller()?, grant, input.reason.clone(), input.request.words()).await
        });
        Some(carry_out(ctx, &input.request, command).await.map(GrantVoidPayload))
    }

    /// Give a grant a later end, for a reason. What had ended unused already comes back. For staff.
    async fn grant_extend(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The grant, its end, and the reason.")] input: GrantExtendInput,
    ) -> Option<Result<GrantExtendPayload>> {
        let GrantExtendInput { grant_id, to, reason, request } = input;
        let command = Box::pin(async {
            let grant = id("grantId", "grant", &grant_id)?;
            about::extend(ctx.caller()?, grant, to.into(), reason, request.words()).await
        });
        Some(carry_out(ctx, &request, command).await.map(GrantExtendPayload))
    }
}
