//! Holds: credits set aside for a booking.

use async_graphql::{Context, Description, Enum, ID, InputObject, Object, Result};
use entity::CustomerId;
use entity::hold::{Model, Status};

use super::activity::Activity;
use super::answered::{RequestInput, carry_out, payload};
use super::context::Ask;
use super::credit_types::CreditType;
use super::customers::Customer;
use super::page::{self, Connection};
use super::payload::id;
use super::scalars::{Credits, DateTime};
use domain::credits::about;
use domain::ledger::{Command, Place, holds};
use domain::{Error, Scope};

/// What became of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Status", name = "HoldStatus")]
pub enum HoldStatus {
    /// Its credits are set aside.
    Open,
    /// Its credits were used, or some of them were and the rest went back.
    Captured,
    /// Its credits went back.
    Released,
    /// Its time was over, and its credits went back by themselves.
    Lapsed,
}

/// Credits set aside for a booking, as they are now. They cannot be used, voided or transferred meanwhile, and do not
/// expire: they were booked in time.
#[derive(Description)]
pub struct Hold(pub Model);

#[Object(use_type_description)]
impl Hold {
    /// Opaque, and unique over the whole server.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// Whose credits they are.
    async fn customer(&self, ctx: &Context<'_>) -> Result<Option<Customer>> {
        Ok(ctx.reads(Scope::OwnRead).await?.customers.get(self.0.customer_id).await?.map(Customer))
    }

    /// What they are good for.
    async fn credit_type(&self, ctx: &Context<'_>) -> Result<Option<CreditType>> {
        Ok(ctx.reads(Scope::OwnRead).await?.credit_types.get(self.0.credit_type_id).await?.map(CreditType))
    }

    /// What became of it.
    fn status(&self) -> HoldStatus {
        self.0.status.into()
    }

    /// How many were set aside.
    fn amount(&self) -> Credits {
        Credits(self.0.amount)
    }

    /// How many of them were used.
    fn captured(&self) -> Credits {
        Credits(self.0.captured)
    }

    /// The business's own key for the booking.
    fn reference(&self) -> Option<&str> {
        self.0.reference.as_deref()
    }

    /// The record that placed it, whose allocations say which grants it holds.
    async fn activity(&self, ctx: &Context<'_>) -> Result<Option<Activity>> {
        Ok(ctx.reads(Scope::OwnRead).await?.activities.get(self.0.activity_id).await?.map(Activity::of))
    }

    /// When it was placed.
    fn placed_at(&self) -> DateTime {
        DateTime(self.0.placed_at)
    }

    /// The first instant at which it no longer holds.
    fn expires_at(&self) -> DateTime {
        DateTime(self.0.expires_at)
    }

    /// When it was captured or released, or lapsed; null while it is open.
    fn closed_at(&self) -> Option<DateTime> {
        self.0.closed_at.map(DateTime)
    }
}

/// A customer's holds.
#[derive(Description)]
pub struct CustomerHolds(pub CustomerId);

#[Object(use_type_description)]
impl CustomerHolds {
    /// The holds, newest first.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    #[expect(clippy::too_many_arguments, reason = "the arguments of a connection")]
    async fn holds(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only holds of this credit type.")] credit_type_id: Option<ID>,
        #[graphql(desc = "Only holds of which this became.")] status: Option<HoldStatus>,
        #[graphql(desc = "How many from the beginning, 1 to 100; 20 if nothing is said.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Result<Connection<Hold>> {
        let Ok(credit_type) = credit_type_id.map(|id| id.parse()).transpose() else {
            return Ok(Connection::default());
        };
        let wanted = holds::Wanted {
            customer: self.0,
            credit_type,
            status: status.map(Into::into),
            page: page::page(first, after.as_deref(), last, before.as_deref()).map_err(Error::from)?,
        };
        let slice = ctx.reads(Scope::OwnRead).await?.hold_pages.get(wanted).await?;
        Ok(page::connection(slice.unwrap_or_default(), |row| row.id, Hold))
    }
}

#[derive(Default)]
pub struct HoldQuery;

#[Object]
impl HoldQuery {
    /// One hold; null if there is no such hold for this caller.
    async fn hold(&self, ctx: &Context<'_>, #[graphql(desc = "Its id.")] id: ID) -> Option<Result<Hold>> {
        let found = async {
            let reads = ctx.reads(Scope::OwnRead).await?;
            let Ok(id) = id.parse() else { return Ok(None) };
            Ok(reads.holds.get(id).await?.map(Hold))
        };
        found.await.transpose()
    }
}

/// Credits to set aside.
#[derive(InputObject)]
pub struct HoldPlaceInput {
    /// Whose credits.
    customer_id: ID,
    /// Of which type.
    credit_type_id: ID,
    /// How many: 1 to 1,000,000,000. All of them, or none.
    amount: Credits,
    /// The first instant at which they are no longer set aside, if nobody has captured or released them before:
    /// at most the account's `holdLimitDays` from now.
    expires_at: DateTime,
    #[graphql(flatten)]
    request: RequestInput,
}

/// A hold whose credits are used.
#[derive(InputObject)]
pub struct HoldCaptureInput {
    /// The hold.
    hold_id: ID,
    /// How many of its credits; all of them, if left out. The rest goes back.
    amount: Option<Credits>,
    #[graphql(flatten)]
    request: RequestInput,
}

/// A hold whose credits go back.
#[derive(InputObject)]
pub struct HoldReleaseInput {
    /// The hold.
    hold_id: ID,
    #[graphql(flatten)]
    request: RequestInput,
}

payload! {
    /// What became of `holdPlace`.
    HoldPlacePayload with hold
}
payload! {
    /// What became of `holdCapture`.
    HoldCapturePayload with hold
}
payload! {
    /// What became of `holdRelease`.
    HoldReleasePayload with hold
}

#[derive(Default)]
pub struct HoldMutation;

#[Object]
impl HoldMutation {
    /// Set credits aside for a booking: all of the amount, or none. For staff.
    async fn hold_place(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The credits.")] input: HoldPlaceInput,
    ) -> Option<Result<HoldPlacePayload>> {
        let command = async {
            Ok(Command::Place(Place {
                customer: id("customerId", "customer", &input.customer_id)?,
                credit_type: id("creditTypeId", "credit type", &input.credit_type_id)?,
                amount: input.amount.0,
                expires_at: input.expires_at.0,
                words: input.request.words(),
            }))
        };
        Some(carry_out(ctx, &input.request, command).await.map(HoldPlacePayload))
    }

    /// Use what was set aside: the booking was delivered. What was taken first is used first. For staff.
    async fn hold_capture(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The hold.")] input: HoldCaptureInput,
    ) -> Option<Result<HoldCapturePayload>> {
        let command = Box::pin(async {
            let hold = id("holdId", "hold", &input.hold_id)?;
            let amount = input.amount.as_ref().map(|amount| amount.0);
            about::capture(ctx.caller()?, hold, amount, input.request.words()).await
        });
        Some(carry_out(ctx, &input.request, command).await.map(HoldCapturePayload))
    }

    /// Give back what was set aside: the booking was cancelled. For staff.
    async fn hold_release(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The hold.")] input: HoldReleaseInput,
    ) -> Option<Result<HoldReleasePayload>> {
        let command = Box::pin(async {
            let hold = id("holdId", "hold", &input.hold_id)?;
            about::release(ctx.caller()?, hold, input.request.words()).await
        });
        Some(carry_out(ctx, &input.request, command).await.map(HoldReleasePayload))
    }
}
