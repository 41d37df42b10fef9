//! Credit types.

use async_graphql::{Context, Description, ID, InputObject, MaybeUndefined, Object, Result, SimpleObject};
use entity::credit_type::Model;

use super::accounts::{changed, kept, or_empty};
use super::context::Ask;
use super::expiration::{ExpirationInput, ExpirationPolicy};
use super::list::List;
use super::page::{self, Connection};
use super::payload::{UserErrorInterface, answer, id};
use super::scalars::{Credits, DateTime, Whole};
use domain::catalog::credit_types::{self, Changes, NewCreditType};
use domain::{Error, Scope};

/// What one credit is good for: a coaching session, a class, a support call.
#[derive(Description)]
pub struct CreditType(pub Model);

#[Object(use_type_description)]
impl CreditType {
    /// Opaque, and unique over the whole server.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// The name that people read; unique in the account.
    fn name(&self) -> &str {
        &self.0.name
    }

    /// What it is good for, in more words.
    fn description(&self) -> Option<&str> {
        self.0.description.as_deref()
    }

    /// When its credits end, unless an issue says otherwise.
    fn expiration(&self) -> ExpirationPolicy {
        self.0.policy().into()
    }

    /// A balance of this many available credits or fewer is low.
    fn low_balance_at(&self) -> Option<Credits> {
        self.0.low_balance_at.map(Credits)
    }

    /// How many days before the end a customer is told.
    fn expiry_notice_days(&self) -> List<i32> {
        serde_json::from_value::<Vec<_>>(self.0.expiry_notice_days.clone()).unwrap_or_default().into()
    }

    /// When it was archived: since then it issues no more, and what exists can be used.
    fn archived_at(&self) -> Option<DateTime> {
        self.0.archived_at.map(DateTime)
    }

    /// When it was created.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it was last changed.
    fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }
}

#[derive(Default)]
pub struct CreditTypeQuery;

#[Object]
impl CreditTypeQuery {
    /// One credit type; null if there is none with this id. For staff.
    async fn credit_type(&self, ctx: &Context<'_>, #[graphql(desc = "Its id.")] id: ID) -> Option<Result<CreditType>> {
        let found = async {
            let reads = ctx.reads(Scope::StaffRead).await?;
            let Ok(id) = id.parse() else { return Ok(None) };
            Ok(reads.credit_types.get(id).await?.map(CreditType))
        };
        found.await.transpose()
    }

    /// Credit types, oldest first. For staff.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    async fn credit_types(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whether archived ones are listed too.", default)] include_archived: bool,
        #[graphql(desc = "How many from the beginning, 1 to 100; 20 if nothing is said.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Option<Result<Connection<CreditType>>> {
        let found = async {
            let page = page::page(first, after.as_deref(), last, before.as_deref()).map_err(Error::from)?;
            let reads = ctx.reads(Scope::StaffRead).await?;
            let slice = credit_types::list(reads.alone()?, include_archived, &page).await?;
            Ok(page::connection(slice, |row| row.id, CreditType))
        };
        Some(found.await)
    }
}

/// A new credit type.
#[derive(InputObject)]
pub struct CreditTypeCreateInput {
    /// The name that people read; unique in the account.
    name: String,
    /// What it is good for, in more words.
    description: Option<String>,
    /// When its credits end; never, if left out.
    expiration: Option<ExpirationInput>,
    /// A balance of this many available credits or fewer is low.
    low_balance_at: Option<Credits>,
    /// How many days before the end a customer is told: at most five numbers, each 1 to 366.
    expiry_notice_days: Option<Vec<Whole>>,
}

/// What changes in a credit type. What is left out stays; null clears where something may be absent.
/// Credits that are issued already keep their terms.
#[derive(InputObject)]
pub struct CreditTypeUpdateInput {
    /// The credit type.
    id: ID,
    /// The name that people read; unique in the account.
    name: MaybeUndefined<String>,
    /// What it is good for, in more words.
    description: MaybeUndefined<String>,
    /// When its credits end; null for never.
    expiration: MaybeUndefined<ExpirationInput>,
    /// A balance of this many available credits or fewer is low.
    low_balance_at: MaybeUndefined<Credits>,
    /// How many days before the end a customer is told: at most five numbers, each 1 to 366.
    expiry_notice_days: MaybeUndefined<Vec<Whole>>,
}

/// A credit type to archive.
#[derive(InputObject)]
pub struct CreditTypeArchiveInput {
    /// The credit type.
    id: ID,
}

/// What became of a change to a credit type.
#[derive(SimpleObject)]
pub struct CreditTypePayload {
    /// The credit type as it is now; null if the change was refused.
    credit_type: Option<CreditType>,
    /// Why it was refused.
    user_errors: Vec<UserErrorInterface>,
}

#[derive(Default)]
pub struct CreditTypeMutation;

#[Object]
impl CreditTypeMutation {
    /// Create a credit type. For staff.
    async fn credit_type_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The credit type.")] input: CreditTypeCreateInput,
    ) -> Option<Result<CreditTypePayload>> {
        let result = async {
            let new = NewCreditType {
                name: input.name,
                description: input.description,
                expiration: input.expiration.map(ExpirationInput::policy).transpose()?,
                low_balance_at: input.low_balance_at.map(|credits| credits.0),
                expiry_notice_days: plain(input.expiry_notice_days.unwrap_or_default()),
            };
            credit_types::create(ctx.caller()?, new).await
        };
        Some(Box::pin(payload(ctx, result)).await)
    }

    /// Change a credit type. For staff.
    async fn credit_type_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What changes.")] input: CreditTypeUpdateInput,
    ) -> Option<Result<CreditTypePayload>> {
        let result = async {
            let changes = Changes {
                name: kept("name", input.name)?,
                description: changed(input.description),
                expiration: or_empty(input.expiration, ExpirationInput::Never(true))
                    .map(ExpirationInput::policy)
                    .transpose()?,
                low_balance_at: changed(input.low_balance_at).map(|low| low.map(|credits| credits.0)),
                expiry_notice_days: or_empty(input.expiry_notice_days, Vec::new()).map(plain),
            };
            credit_types::update(ctx.caller()?, id("id", "credit type", &input.id)?, changes).await
        };
        Some(Box::pin(payload(ctx, result)).await)
    }

    /// Archive a credit type: it issues no more credits, and those that exist can be used. For staff.
    async fn credit_type_archive(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The credit type.")] input: CreditTypeArchiveInput,
    ) -> Option<Result<CreditTypePayload>> {
        let result = async { credit_types::archive(ctx.caller()?, id("id", "credit type", &input.id)?).await };
        Some(Box::pin(payload(ctx, result)).await)
    }
}

async fn payload(
    ctx: &Context<'_>,
    operation: impl Future<Output = domain::Result<Model>>,
) -> Result<CreditTypePayload> {
    let answered = answer(ctx, operation).await;
    answered.map(|(row, user_errors)| CreditTypePayload { credit_type: row.map(CreditType), user_errors })
}

fn plain(days: Vec<Whole>) -> Vec<i32> {
    days.into_iter().map(|days| days.0).collect()
}
