//! Issuing and consuming.

use async_graphql::{Context, Description, ID, InputObject, Object, Result};
use entity::{GrantId, activity, allocation};

use super::activity::Activity;
use super::balances::{Balance, Expiry};
use super::context::Ask;
use super::expiration::ExpirationInput;
use super::grants::Grant;
use super::payload::{UserErrorInterface, answer, id};
use super::scalars::{Credits, CurrencyCode, DateTime, Json, MinorUnits, Money};
use crate::domain::ledger::{self, Command, Consume, Cost, Issue, Preview, Words, grants};
use crate::domain::{Error, Refusal, Scope};

/// An amount of money.
#[derive(InputObject)]
pub struct MoneyInput {
    /// The amount in the currency's minor unit: 1250 is 12.50 for CHF and 1250 for JPY.
    minor: MinorUnits,
    /// The currency.
    currency: CurrencyCode,
}

/// Credits to issue.
#[derive(InputObject)]
pub struct CreditsIssueInput {
    /// Who gets them.
    customer_id: ID,
    /// What they are good for.
    credit_type_id: ID,
    /// How many: 1 to 1,000,000,000.
    amount: Credits,
    /// From when they count; at once, if left out.
    effective_at: Option<DateTime>,
    /// When they end; as the credit type says, if left out.
    expiration: Option<ExpirationInput>,
    /// Lower is used first: 0 to 100; 50 if left out.
    priority: Option<i32>,
    /// What was paid for them; nothing if left out, which makes them promotional.
    cost: Option<MoneyInput>,
    /// What the customer reads about it: at most 2,000 characters.
    note: Option<String>,
    /// What only staff reads about it: at most 2,000 characters.
    internal_note: Option<String>,
    /// The business's own key for what it belongs to, such as a booking: at most 255 characters.
    reference: Option<String>,
    /// A JSON object of the business's own, at most 16 KiB.
    metadata: Option<Json>,
    /// 1 to 255 characters, the same for the same request however often it is sent: it is carried out once.
    /// A refusal is remembered for 30 days: a new attempt needs a new key.
    idempotency_key: String,
    /// Only say what would happen, in `preview`. Nothing is written, and the key is not looked at.
    #[graphql(default_with = "Some(false)")]
    dry_run: Option<bool>,
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
    /// What the customer reads about it: at most 2,000 characters.
    note: Option<String>,
    /// What only staff reads about it: at most 2,000 characters.
    internal_note: Option<String>,
    /// The business's own key for what it belongs to, such as a booking: at most 255 characters.
    reference: Option<String>,
    /// 1 to 255 characters, the same for the same request however often it is sent: it is carried out once.
    /// A refusal is remembered for 30 days: a new attempt needs a new key.
    idempotency_key: String,
    /// Only say what would happen, in `preview`. Nothing is written, and the key is not looked at.
    #[graphql(default_with = "Some(false)")]
    dry_run: Option<bool>,
}

impl CreditsIssueInput {
    fn issue(self) -> Result<Issue, Refusal> {
        let out_of_range = || Refusal::invalid("priority", "Must be 0 to 100. Lower is used first.");
        Ok(Issue {
            customer: id("customerId", "customer", &self.customer_id)?,
            credit_type: id("creditTypeId", "credit type", &self.credit_type_id)?,
            amount: self.amount.0,
            effective_at: self.effective_at.map(|at| at.0),
            expiration: self.expiration.map(ExpirationInput::policy).transpose()?,
            priority: self.priority.map(|p| i16::try_from(p).map_err(|_| out_of_range())).transpose()?,
            cost: self.cost.map(|cost| Cost { minor: cost.minor.0, currency: cost.currency.0 }),
            metadata: self.metadata.map(|json| json.0),
            words: Words { note: self.note, internal_note: self.internal_note, reference: self.reference },
        })
    }
}

impl CreditsConsumeInput {
    fn consume(self) -> Result<Consume, Refusal> {
        Ok(Consume {
            customer: id("customerId", "customer", &self.customer_id)?,
            credit_type: id("creditTypeId", "credit type", &self.credit_type_id)?,
            amount: self.amount.0,
            words: Words { note: self.note, internal_note: self.internal_note, reference: self.reference },
        })
    }
}

/// A grant to take back.
#[derive(InputObject)]
pub struct GrantVoidInput {
    /// The grant.
    grant_id: ID,
    /// Why: 1 to 255 characters. The customer sees it.
    reason: String,
    /// What the customer reads about it: at most 2,000 characters.
    note: Option<String>,
    /// What only staff reads about it: at most 2,000 characters.
    internal_note: Option<String>,
    /// The business's own key for what it belongs to, such as a booking: at most 255 characters.
    reference: Option<String>,
    /// 1 to 255 characters, the same for the same request however often it is sent: it is carried out once.
    /// A refusal is remembered for 30 days: a new attempt needs a new key.
    idempotency_key: String,
    /// Only say what would happen, in `preview`. Nothing is written, and the key is not looked at.
    #[graphql(default_with = "Some(false)")]
    dry_run: Option<bool>,
}

/// What an operation would do now.
#[derive(Description)]
pub struct PreviewAnswer(Preview);

#[Object(name = "Preview", use_type_description)]
impl PreviewAnswer {
    /// Which grants would be used, in order, and how much of each. Empty for an issue.
    async fn draws(&self) -> Vec<PreviewDraw> {
        self.0.draws.iter().map(|(grant, amount)| PreviewDraw { grant: *grant, amount: *amount }).collect()
    }

    /// The free credits afterwards, those not yet effective included.
    async fn balance_after(&self) -> Credits {
        Credits(self.0.balance_after)
    }

    /// What would be left in the grants that it touches, by when that ends.
    async fn would_expire(&self) -> Vec<Expiry> {
        self.0.would_expire.iter().copied().map(Expiry::from).collect()
    }

    /// What the credits that it moves had cost, one sum per currency.
    async fn cost(&self) -> Vec<Money> {
        self.0.cost.iter().map(|(currency, minor)| Money::new(*minor, currency)).collect()
    }
}

/// How much of a grant an operation would use.
#[derive(Description)]
pub struct PreviewDraw {
    grant: GrantId,
    amount: entity::Credits,
}

#[Object(use_type_description)]
impl PreviewDraw {
    /// The grant, as it is now.
    async fn grant(&self, ctx: &Context<'_>) -> Result<Option<Grant>> {
        Ok(ctx.reads(Scope::OwnRead).await?.grants.get(self.grant).await?.map(Grant))
    }

    /// How many of its credits.
    async fn amount(&self) -> Credits {
        Credits(self.amount)
    }
}

/// What became of an operation on the ledger: the fields that all its payloads have.
#[derive(Default, Description)]
pub struct Answered {
    posted: Option<(activity::Model, Vec<allocation::Model>)>,
    preview: Option<Preview>,
    replayed: bool,
    user_errors: Vec<UserErrorInterface>,
}

impl Answered {
    fn record(&self) -> Option<Activity> {
        self.posted.clone().map(|(row, allocations)| Activity::with(row, allocations))
    }

    /// The one grant of an operation on one.
    async fn only_grant(&self, ctx: &Context<'_>) -> Result<Option<Grant>> {
        let allocation = self.posted.as_ref().and_then(|(_, allocations)| allocations.first());
        let Some(allocation) = allocation else { return Ok(None) };
        Ok(ctx.reads(Scope::OwnRead).await?.grants.get(allocation.grant_id).await?.map(Grant))
    }
}

#[Object(use_type_description)]
impl Answered {
    /// The balance as it is now; null if it was refused or a dry run.
    async fn balance(&self, ctx: &Context<'_>) -> Result<Option<Balance>> {
        let Some((row, _)) = &self.posted else { return Ok(None) };
        let balances = ctx.reads(Scope::OwnRead).await?.balances.get(row.customer_id).await?.unwrap_or_default();
        Ok(balances.into_iter().find(|balance| balance.credit_type == row.credit_type_id).map(Balance))
    }

    /// What would happen; null unless it was a dry run that nothing refused.
    async fn preview(&self) -> Option<PreviewAnswer> {
        self.preview.clone().map(PreviewAnswer)
    }

    /// The key was known: this is its first outcome once more, also where that was a refusal. Nothing was done now.
    async fn replayed(&self) -> bool {
        self.replayed
    }

    /// Why it was refused.
    async fn user_errors(&self) -> &[UserErrorInterface] {
        &self.user_errors
    }
}

/// What became of `creditsIssue`.
#[derive(Description)]
pub struct CreditsIssuePayload(Answered);

#[Object(use_type_description)]
impl CreditsIssuePayload {
    /// The lot that was made, as it is now; null if it was refused or a dry run.
    async fn grant(&self, ctx: &Context<'_>) -> Result<Option<Grant>> {
        self.0.only_grant(ctx).await
    }

    /// The record in the ledger; null if it was refused or a dry run.
    async fn activity(&self) -> Option<Activity> {
        self.0.record()
    }

    #[graphql(flatten)]
    #[expect(clippy::unused_async, reason = "the library asks for it")]
    async fn answered(&self) -> &Answered {
        &self.0
    }
}

/// What became of `creditsConsume`.
#[derive(Description)]
pub struct CreditsConsumePayload(Answered);

#[Object(use_type_description)]
impl CreditsConsumePayload {
    /// The record in the ledger; null if it was refused or a dry run.
    async fn activity(&self) -> Option<Activity> {
        self.0.record()
    }

    #[graphql(flatten)]
    #[expect(clippy::unused_async, reason = "the library asks for it")]
    async fn answered(&self) -> &Answered {
        &self.0
    }
}

/// What became of `grantVoid`.
#[derive(Description)]
pub struct GrantVoidPayload(Answered);

#[Object(use_type_description)]
impl GrantVoidPayload {
    /// The grant, as it is now; null if it was refused or a dry run.
    async fn grant(&self, ctx: &Context<'_>) -> Result<Option<Grant>> {
        self.0.only_grant(ctx).await
    }

    /// The record in the ledger; null if it was refused or a dry run.
    async fn activity(&self) -> Option<Activity> {
        self.0.record()
    }

    #[graphql(flatten)]
    #[expect(clippy::unused_async, reason = "the library asks for it")]
    async fn answered(&self) -> &Answered {
        &self.0
    }
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
        let (key, dry_run) = (input.idempotency_key.clone(), input.dry_run);
        let command = async { Ok(Command::Issue(input.issue()?)) };
        Some(carry_out(ctx, command, &key, dry_run).await.map(CreditsIssuePayload))
    }

    /// Use credits: all of the amount, or none. Takes the grants that expire soonest first. For staff.
    async fn credits_consume(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The credits.")] input: CreditsConsumeInput,
    ) -> Option<Result<CreditsConsumePayload>> {
        let (key, dry_run) = (input.idempotency_key.clone(), input.dry_run);
        let command = async { Ok(Command::Consume(input.consume()?)) };
        Some(carry_out(ctx, command, &key, dry_run).await.map(CreditsConsumePayload))
    }

    /// Take away what is left of a grant, for a reason. What is set aside stays so. For staff.
    async fn grant_void(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The grant and the reason.")] input: GrantVoidInput,
    ) -> Option<Result<GrantVoidPayload>> {
        let words = Words { note: input.note, internal_note: input.internal_note, reference: input.reference };
        let command = async {
            let grant = id("grantId", "grant", &input.grant_id)?;
            grants::to_void(ctx.caller()?, grant, &input.reason, words).await
        };
        Some(carry_out(ctx, command, &input.idempotency_key, input.dry_run).await.map(GrantVoidPayload))
    }
}

/// Does what is asked, or says what it would do.
async fn carry_out(
    ctx: &Context<'_>,
    command: impl Future<Output = crate::domain::Result<Command>>,
    key: &str,
    dry_run: Option<bool>,
) -> Result<Answered> {
    let caller = ctx.caller()?;
    if dry_run.unwrap_or(false) {
        let preview = async { ledger::preview(caller, command.await?).await };
        let (preview, user_errors) = answer(ctx, preview).await?;
        return Ok(Answered { preview, user_errors, ..Answered::default() });
    }
    let mut replayed = false;
    let outcome = async {
        let outcome = ledger::submit(caller, command.await?, key).await;
        replayed = match &outcome {
            Ok(outcome) => outcome.replayed,
            Err(error) => matches!(error, Error::RefusedBefore(_)),
        };
        outcome
    };
    let (outcome, user_errors) = answer(ctx, outcome).await?;
    let posted = outcome.and_then(|outcome| outcome.activities.into_iter().next());
    Ok(Answered { posted, replayed, user_errors, preview: None })
}
