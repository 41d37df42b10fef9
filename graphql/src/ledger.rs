//! Issuing, consuming, giving back, giving away.

use async_graphql::{Context, Enum, ID, InputObject, Object, Result};

use super::answered::{RequestInput, carry_out, payload};
use super::context::Ask;
use super::expiration::ExpirationInput;
use super::payload::id;
use super::scalars::{Credits, CurrencyCode, DateTime, Json, MinorUnits, Whole};
use domain::ledger::{Command, Consume, Cost, Issue, OnExpired, Transfer};
use domain::{Refusal, credits};

/// An amount of money.
#[derive(InputObject)]
pub struct MoneyInput {
    /// The amount in the currency's minor unit: 1250 is 12.50 for CHF and 1250 for JPY.
    minor: MinorUnits,
    /// The currency.
    currency: CurrencyCode,
}

/// What every grant of an issue is given.
#[derive(InputObject)]
pub struct TermsInput {
    /// What they are good for.
    credit_type_id: ID,
    /// How many: 1 to 1,000,000,000.
    amount: Credits,
    /// From when they count; at once, if left out.
    effective_at: Option<DateTime>,
    /// When they end; as the credit type says, if left out.
    expiration: Option<ExpirationInput>,
    /// Lower is used first: 0 to 100; 50 if left out.
    priority: Option<Whole>,
    /// What was paid for them; nothing if left out, which makes them promotional.
    cost: Option<MoneyInput>,
    /// A JSON object of the business's own, at most 16 KiB.
    metadata: Option<Json>,
}

/// Credits to issue.
#[derive(InputObject)]
pub struct CreditsIssueInput {
    /// Who gets them.
    customer_id: ID,
    #[graphql(flatten)]
    terms: TermsInput,
    #[graphql(flatten)]
    request: RequestInput,
}

impl TermsInput {
    /// The command for a customer.
    pub fn issue(self, customer: entity::CustomerId, request: &RequestInput) -> Result<Issue, Refusal> {
        let out_of_range = || Refusal::invalid("priority", "Must be 0 to 100. Lower is used first.");
        Ok(Issue {
            customer,
            credit_type: id("creditTypeId", "credit type", &self.credit_type_id)?,
            amount: self.amount.0,
            effective_at: self.effective_at.map(|at| at.0),
            expiration: self.expiration.map(ExpirationInput::policy).transpose()?,
            priority: self.priority.map(|p| i16::try_from(p.0).map_err(|_| out_of_range())).transpose()?,
            cost: self.cost.map(|cost| Cost { minor: cost.minor.0, currency: cost.currency.0 }),
            metadata: self.metadata.map(|json| json.0),
            period: None,
            cap: None,
            words: request.words(),
        })
    }
}

/// Credits to use.
#[derive(InputObject)]
pub struct CreditsConsumeInput {
    /// Whose credits.
    customer_id: ID,
    /// Of which type.
    credit_type_id: ID,
    /// How many: 1 to 1,000,000,000. All of them, or none.
    amount: Credits,
    #[graphql(flatten)]
    request: RequestInput,
}

/// Credits to give to another customer.
#[derive(InputObject)]
pub struct CreditsTransferInput {
    /// Who gives them.
    from_customer_id: ID,
    /// Who gets them.
    to_customer_id: ID,
    /// Of which type.
    credit_type_id: ID,
    /// How many: 1 to 1,000,000,000. All of them, or none.
    amount: Credits,
    #[graphql(flatten)]
    request: RequestInput,
}

/// What becomes of credits that come back to a grant that has ended meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum ReversedExpired {
    /// They end at once: what had ended stays ended.
    Forfeit,
    /// They go to a new grant of the same customer, with `graceDays` to use them.
    Reissue,
}

/// Credits to give back.
#[derive(InputObject)]
pub struct ActivityReverseInput {
    /// The consume or capture that is undone.
    activity_id: ID,
    /// How many of its credits; all that were not given back yet, if left out.
    amount: Option<Credits>,
    /// What becomes of those whose grant has ended meanwhile.
    #[graphql(default_with = "ReversedExpired::Forfeit")]
    on_expired: ReversedExpired,
    /// With `REISSUE`: through how many days more they can be used, 1 to 366.
    grace_days: Option<Whole>,
    /// Why: 1 to 255 characters. The customer sees it.
    reason: String,
    #[graphql(flatten)]
    request: RequestInput,
}

impl ActivityReverseInput {
    fn on_expired(&self) -> Result<OnExpired, Refusal> {
        match (self.on_expired, self.grace_days) {
            (ReversedExpired::Forfeit, None) => Ok(OnExpired::Forfeit),
            (ReversedExpired::Forfeit, Some(_)) => {
                Err(Refusal::invalid("graceDays", "Belongs to onExpired REISSUE. Leave it out."))
            }
            (ReversedExpired::Reissue, grace_days) => {
                Ok(OnExpired::Reissue { grace_days: grace_days.map_or(0, |days| days.0) })
            }
        }
    }
}

payload! {
    /// What became of `creditsIssue`.
    CreditsIssuePayload with grant
}
payload! {
    /// What became of `creditsConsume`.
    CreditsConsumePayload
}
payload! {
    /// What became of `creditsTransfer`. The balance is that of the customer who gives; `activities` has both sides.
    CreditsTransferPayload
}
payload! {
    /// What became of `activityReverse`.
    ActivityReversePayload
}

#[derive(Default)]
pub struct LedgerMutation;

#[Object]
impl LedgerMutation {
    /// Issue credits: make a new grant. For staff.
    async fn credits_issue(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The credits.")] input: CreditsIssueInput,
    ) -> Option<Result<CreditsIssuePayload>> {
        let CreditsIssueInput { customer_id, terms, request } = input;
        let command = async { Ok(Command::Issue(terms.issue(id("customerId", "customer", &customer_id)?, &request)?)) };
        Some(carry_out(ctx, &request, command).await.map(CreditsIssuePayload))
    }

    /// Use credits: all of the amount, or none. Takes the grants that expire soonest first. For staff.
    async fn credits_consume(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The credits.")] input: CreditsConsumeInput,
    ) -> Option<Result<CreditsConsumePayload>> {
        let command = async {
            Ok(Command::Consume(Consume {
                customer: id("customerId", "customer", &input.customer_id)?,
                credit_type: id("creditTypeId", "credit type", &input.credit_type_id)?,
                amount: input.amount.0,
                words: input.request.words(),
            }))
        };
        Some(carry_out(ctx, &input.request, command).await.map(CreditsConsumePayload))
    }

    /// Give credits to another customer, who gets them with the same start, end, priority and share of the cost.
    /// Those are given first that would be used first. For staff.
    async fn credits_transfer(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The credits and the customers.")] input: CreditsTransferInput,
    ) -> Option<Result<CreditsTransferPayload>> {
        let command = async {
            Ok(Command::Transfer(Transfer {
                from: id("fromCustomerId", "customer", &input.from_customer_id)?,
                to: id("toCustomerId", "customer", &input.to_customer_id)?,
                credit_type: id("creditTypeId", "credit type", &input.credit_type_id)?,
                amount: input.amount.0,
                words: input.request.words(),
            }))
        };
        Some(carry_out(ctx, &input.request, command).await.map(CreditsTransferPayload))
    }

    /// Give back what a consume or a capture used, or what a void took away: all of it or a part, as often as something is left of it.
    /// What was taken last goes back first, to the grants that it was taken from. A void is undone as a whole: its credits
    /// come back at their cost, and its grant is open again. For staff.
    async fn activity_reverse(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The activity and the reason.")] input: ActivityReverseInput,
    ) -> Option<Result<ActivityReversePayload>> {
        let command = Box::pin(async {
            let activity = id("activityId", "activity", &input.activity_id)?;
            let on_expired = input.on_expired()?;
            let (amount, reason) = (input.amount.as_ref().map(|amount| amount.0), input.reason.clone());
            credits::about::reverse(ctx.caller()?, activity, amount, on_expired, reason, input.request.words()).await
        });
        Some(carry_out(ctx, &input.request, command).await.map(ActivityReversePayload))
    }
}
