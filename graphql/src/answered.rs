//! What all operations on the ledger take and answer.

use async_graphql::{Context, Description, InputObject, Object, Result};
use entity::{GrantId, activity, allocation};

use super::activity::Activity;
use super::balances::{Balance, Expiry};
use super::context::Ask;
use super::grants::Grant;
use super::holds::Hold;
use super::list::List;
use super::payload::{UserErrorInterface, answer};
use super::scalars::{Credits, Money};
use domain::ledger::{Command, Preview, Words};
use domain::{Error, Scope, credits};

/// What every operation on the ledger takes.
#[derive(InputObject)]
pub struct RequestInput {
    /// What the customer reads about it: at most 2,000 characters.
    pub note: Option<String>,
    /// What only staff reads about it: at most 2,000 characters.
    pub internal_note: Option<String>,
    /// The business's own key for what it belongs to, such as a booking: at most 255 characters.
    pub reference: Option<String>,
    /// 1 to 255 characters, the same for the same request however often it is sent: it is carried out once. A key
    /// belongs to one request in the account, whatever its operation: `booking-7` cannot both place and capture a hold.
    /// A refusal is remembered for 30 days: a new attempt needs a new key.
    pub idempotency_key: String,
    /// Only say what would happen, in `preview`. Nothing is written, and the key is not looked at.
    #[graphql(default_with = "Some(false)")]
    pub dry_run: Option<bool>,
}

impl RequestInput {
    /// The key, and whether it is a dry run.
    pub fn once(&self) -> (&str, bool) {
        (&self.idempotency_key, self.dry_run.unwrap_or(false))
    }

    /// What was said about it.
    pub fn words(&self) -> Words {
        Words { note: self.note.clone(), internal_note: self.internal_note.clone(), reference: self.reference.clone() }
    }
}

/// What an operation would do now.
#[derive(Description)]
pub struct PreviewAnswer(pub Preview);

#[Object(name = "Preview", use_type_description)]
impl PreviewAnswer {
    /// On which grants it would fall, in order, and how much of each. Empty for an issue.
    fn draws(&self) -> List<PreviewDraw> {
        self.0.draws.iter().map(|(grant, amount)| PreviewDraw { grant: *grant, amount: *amount }).collect()
    }

    /// The free credits afterwards, those not yet effective included.
    fn balance_after(&self) -> Credits {
        Credits(self.0.balance_after)
    }

    /// What would be left in the grants that it touches, by when that ends.
    fn would_expire(&self) -> List<Expiry> {
        self.0.would_expire.iter().copied().map(Expiry::from).collect()
    }

    /// How many of those that come back would end, or be voided, in the same instant, because their grant has.
    fn lost(&self) -> Credits {
        Credits(self.0.lost)
    }

    /// What the credits that it moves had cost, one sum per currency.
    fn cost(&self) -> List<Money> {
        self.0.cost.iter().map(|(currency, minor)| Money::new(*minor, currency)).collect()
    }
}

/// How much of a grant an operation would move.
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
    fn amount(&self) -> Credits {
        Credits(self.amount)
    }
}

/// What became of an operation on the ledger: the fields that all its payloads have.
#[derive(Default, Description)]
pub struct Answered {
    posted: Vec<(activity::Model, Vec<allocation::Model>)>,
    preview: Option<Preview>,
    replayed: bool,
    user_errors: Vec<UserErrorInterface>,
}

impl Answered {
    /// The record of the operation itself.
    pub fn record(&self) -> Option<Activity> {
        self.posted.first().cloned().map(|(row, allocations)| Activity::with(row, allocations))
    }

    /// The one grant of an operation on one.
    pub async fn only_grant(&self, ctx: &Context<'_>) -> Result<Option<Grant>> {
        let allocation = self.posted.first().and_then(|(_, allocations)| allocations.first());
        let Some(allocation) = allocation else { return Ok(None) };
        Ok(ctx.reads(Scope::OwnRead).await?.grants.get(allocation.grant_id).await?.map(Grant))
    }

    /// The hold of an operation on one.
    pub async fn only_hold(&self, ctx: &Context<'_>) -> Result<Option<Hold>> {
        let Some(id) = self.posted.first().and_then(|(row, _)| row.hold_id) else { return Ok(None) };
        Ok(ctx.reads(Scope::OwnRead).await?.holds.get(id).await?.map(Hold))
    }
}

#[Object(use_type_description)]
impl Answered {
    /// All records that it made, in order: also of what was given back beside it, went on at once to be expired or
    /// voided, or arrived elsewhere. Empty if it was refused or a dry run.
    #[graphql(complexity = "child_complexity.saturating_mul(3).saturating_add(1)")]
    fn activities(&self) -> List<Activity> {
        self.posted.iter().cloned().map(|(row, allocations)| Activity::with(row, allocations)).collect()
    }

    /// The balance as it is now; null if it was refused or a dry run.
    async fn balance(&self, ctx: &Context<'_>) -> Result<Option<Balance>> {
        let Some((row, _)) = self.posted.first() else { return Ok(None) };
        let balances = ctx.reads(Scope::OwnRead).await?.balances(row.customer_id).await?;
        Ok(balances.into_iter().find(|balance| balance.credit_type == row.credit_type_id).map(Balance))
    }

    /// What would happen; null unless it was a dry run that nothing refused.
    fn preview(&self) -> Option<PreviewAnswer> {
        self.preview.clone().map(PreviewAnswer)
    }

    /// The key was known: this is its first outcome once more, also where that was a refusal. Nothing was done now.
    fn replayed(&self) -> bool {
        self.replayed
    }

    /// Why it was refused.
    fn user_errors(&self) -> &[UserErrorInterface] {
        &self.user_errors
    }
}

/// A payload of the ledger: what all of them answer, and the grant or the hold that the operation is about.
macro_rules! payload {
    ($(#[$meta:meta])* $name:ident) => {
        payload!(@make $(#[$meta])* $name {});
    };
    ($(#[$meta:meta])* $name:ident with grant) => {
        payload!(@make $(#[$meta])* $name {
            /// The grant, as it is now; null if it was refused or a dry run.
            async fn grant(&self, ctx: &async_graphql::Context<'_>) -> async_graphql::Result<Option<$crate::grants::Grant>> {
                self.0.only_grant(ctx).await
            }
        });
    };
    ($(#[$meta:meta])* $name:ident with hold) => {
        payload!(@make $(#[$meta])* $name {
            /// The hold, as it is now; null if it was refused or a dry run.
            async fn hold(&self, ctx: &async_graphql::Context<'_>) -> async_graphql::Result<Option<$crate::holds::Hold>> {
                self.0.only_hold(ctx).await
            }
        });
    };
    (@make $(#[$meta:meta])* $name:ident { $($fields:tt)* }) => {
        $(#[$meta])*
        #[derive(async_graphql::Description)]
        pub struct $name(pub $crate::answered::Answered);

        #[async_graphql::Object(use_type_description)]
        impl $name {
            $($fields)*

            /// The record in the ledger; null if it was refused or a dry run.
            async fn activity(&self) -> Option<$crate::activity::Activity> {
                self.0.record()
            }

            #[graphql(flatten)]
            async fn answered(&self) -> &$crate::answered::Answered {
                &self.0
            }
        }
    };
}

pub(super) use payload;

/// Does what is asked, or says what it would do.
pub async fn carry_out(
    ctx: &Context<'_>,
    request: &RequestInput,
    command: impl Future<Output = domain::Result<Command>>,
) -> Result<Answered> {
    let caller = ctx.caller()?;
    if request.dry_run.unwrap_or(false) {
        let preview = async { credits::preview(caller, command.await?).await };
        let (preview, user_errors) = answer(ctx, preview).await?;
        return Ok(Answered { preview, user_errors, ..Answered::default() });
    }
    let mut replayed = false;
    let outcome = async {
        let outcome = credits::submit(caller, command.await?, &request.idempotency_key).await;
        replayed = match &outcome {
            Ok(outcome) => outcome.replayed,
            Err(error) => matches!(error, Error::RefusedBefore(_)),
        };
        outcome
    };
    let (outcome, user_errors) = answer(ctx, outcome).await?;
    let posted = outcome.map(|outcome| outcome.activities).unwrap_or_default();
    Ok(Answered { posted, replayed, user_errors, preview: None })
}
