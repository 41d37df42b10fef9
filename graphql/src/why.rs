//! Why: what makes a balance, what will end.

use async_graphql::{Context, Description, Enum, ID, Object, Result};
use entity::CustomerId;

use super::activity::Activity;
use super::context::Ask;
use super::credit_status::CreditStatus;
use super::credit_types::CreditType;
use super::grants::Grant;
use super::list::List;
use super::page::{self, Connection};
use super::scalars::{Credits, DateTime, Money};
use domain::ground::clock::truncate;
use domain::ground::input;
use domain::ground::page::Slice;
use domain::ledger::explanation::{self, Explained, Explanation, Skipped};
use domain::ledger::forecast::{self, Ending};
use domain::ledger::status;
use domain::sales::pending;
use domain::{Error, Refusal, Scope};

/// Why a grant would not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Skipped", name = "GrantSkipped")]
pub enum GrantSkipped {
    /// It counts only later.
    NotYetEffective,
    /// Its payment is disputed.
    Frozen,
    /// What was left was taken away.
    Voided,
    /// What is left is set aside.
    Held,
    /// What was left has ended.
    Expired,
    /// What was left went to another customer, or to a new grant.
    Transferred,
    /// Every one was used.
    UsedUp,
}

/// What makes a balance at an instant.
#[derive(Description)]
pub struct BalanceExplanation(Explanation);

#[Object(use_type_description)]
impl BalanceExplanation {
    /// The instant. One in the future shows what time alone will do.
    fn at(&self) -> DateTime {
        DateTime(self.0.at)
    }

    /// How many could be used.
    fn available(&self) -> Credits {
        Credits(self.0.available)
    }

    /// How many were set aside.
    fn held(&self) -> Credits {
        Credits(self.0.held)
    }

    /// How many counted only later.
    fn not_yet_effective(&self) -> Credits {
        Credits(self.0.not_yet_effective)
    }

    /// How many could not be used while their payment was disputed.
    fn frozen(&self) -> Credits {
        Credits(self.0.frozen)
    }

    /// Every grant that had been issued by then: first those that would be used, in burn order, then the others.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    #[expect(clippy::unused_async, reason = "a plain function would be asked to take its cursors by reference")]
    async fn grants(
        &self,
        #[graphql(desc = "How many from the beginning, 1 to 100; 20 if nothing is said.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Result<Connection<GrantExplanation>> {
        let page = page::page::<u32>(first, after.as_deref(), last, before.as_deref()).map_err(Error::from)?;
        let at = self.0.at;
        let all = self.0.grants.iter().cloned().zip(0_u32..);
        let within = all.filter(|(_, number)| {
            page.after.is_none_or(|after| *number > after) && page.before.is_none_or(|before| *number < before)
        });
        let mut items = within.collect::<Vec<_>>();
        let size = usize::try_from(page.size).unwrap_or(usize::MAX);
        let more = items.len() > size;
        let slice = if page.backwards {
            items.drain(..items.len().saturating_sub(size));
            Slice { items, has_previous: more, has_next: page.before.is_some() }
        } else {
            items.truncate(size);
            Slice { items, has_previous: page.after.is_some(), has_next: more }
        };
        Ok(page::connection(slice, |(_, number)| *number, |(explained, _)| GrantExplanation { explained, at }))
    }
}

/// One grant as it was at an instant, and what it would have been used as.
#[derive(Description)]
pub struct GrantExplanation {
    explained: Explained,
    at: domain::ground::clock::Instant,
}

#[Object(use_type_description)]
impl GrantExplanation {
    /// The grant, as it is now.
    async fn grant(&self, ctx: &Context<'_>) -> Result<Option<Grant>> {
        Ok(ctx.reads(Scope::OwnRead).await?.grants.get(self.explained.grant.id).await?.map(Grant))
    }

    /// As which it would have been used: 1 is first. Null if it would not.
    fn place(&self) -> Option<i32> {
        self.explained.place.as_ref().ok().and_then(|place| i32::try_from(*place).ok())
    }

    /// Why it would not have been used; null if it would.
    fn skipped(&self) -> Option<GrantSkipped> {
        self.explained.place.as_ref().err().map(|skipped| (*skipped).into())
    }

    /// How many were free then.
    fn remaining(&self) -> Credits {
        Credits(self.explained.grant.remaining)
    }

    /// How many were set aside then.
    fn held(&self) -> Credits {
        Credits(self.explained.grant.held)
    }

    /// How many had been used.
    fn consumed(&self) -> Credits {
        Credits(self.explained.grant.consumed)
    }

    /// How many had ended unused.
    fn expired(&self) -> Credits {
        Credits(self.explained.grant.expired)
    }

    /// How many had been taken away.
    fn voided(&self) -> Credits {
        Credits(self.explained.grant.voided)
    }

    /// How many had gone to another customer, or to a new grant.
    fn transferred(&self) -> Credits {
        Credits(self.explained.grant.transferred)
    }

    /// The first instant at which it no longer counts, as that stood then.
    fn expires_at(&self) -> Option<DateTime> {
        self.explained.grant.expires_at.map(DateTime)
    }

    /// What touched it until then, newest first.
    #[graphql(complexity = "page::cost(Some(first), None, child_complexity)")]
    async fn movements(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100.", default = 20)] first: i32,
    ) -> Result<List<Movement>> {
        let most = u64::try_from(first).ok().filter(|most| (1..=100).contains(most));
        let most = most.ok_or_else(|| Error::from(Refusal::invalid("first", "Must be 1 to 100.")))?;
        let reads = ctx.reads(Scope::OwnRead).await?;
        let currency = &self.explained.grant.currency;
        let rows = reads.touched.get((self.explained.grant.id, self.at, most)).await?.unwrap_or_default();
        Ok(rows.into_iter().map(|row| Movement { row, currency: currency.clone() }).collect())
    }
}

/// How much of an activity fell on a grant.
#[derive(Description)]
pub struct Movement {
    row: entity::allocation::Model,
    currency: String,
}

#[Object(use_type_description)]
impl Movement {
    /// The activity, whose kind says from where to where.
    async fn activity(&self, ctx: &Context<'_>) -> Result<Option<Activity>> {
        Ok(ctx.reads(Scope::OwnRead).await?.activities.get(self.row.activity_id).await?.map(Activity::of))
    }

    /// How many of the grant's credits it moved; 0 if it only moved the grant's end.
    fn amount(&self) -> Credits {
        Credits(self.row.amount)
    }

    /// What these credits had cost.
    fn cost(&self) -> Money {
        Money::new(self.row.cost, &self.currency)
    }

    /// The end that it gave the grant; null if it left that as it was, or gave it none.
    fn expires_at(&self) -> Option<DateTime> {
        self.row.ends_after.map(DateTime)
    }
}

/// Credits of one type that will end at one instant, if nothing more happens.
#[derive(Description)]
pub struct ExpiryForecast(Ending);

#[Object(use_type_description)]
impl ExpiryForecast {
    /// What they are good for.
    async fn credit_type(&self, ctx: &Context<'_>) -> Result<Option<CreditType>> {
        Ok(ctx.reads(Scope::OwnRead).await?.credit_types.get(self.0.credit_type).await?.map(CreditType))
    }

    /// The first instant at which they no longer count.
    fn at(&self) -> DateTime {
        DateTime(self.0.at)
    }

    /// How many.
    fn amount(&self) -> Credits {
        Credits(self.0.amount)
    }
}

/// A customer's credits, explained.
#[derive(Description)]
pub struct CustomerWhy(pub CustomerId);

#[Object(use_type_description)]
impl CustomerWhy {
    /// Whether credits of a type can be used now, and if not, every reason why. Null if there is no such type.
    async fn credit_status(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The credit type.")] credit_type_id: ID,
        #[graphql(desc = "How many are to be used; one, if nothing is said.")] amount: Option<Credits>,
    ) -> Option<Result<CreditStatus>> {
        let found = async {
            let wanted = amount.map_or(entity::Credits(1), |amount| amount.0);
            let wanted = input::amount("amount", wanted).map_err(Error::from)?;
            let reads = ctx.reads(Scope::OwnRead).await?;
            let Ok(credit_type) = credit_type_id.parse() else { return Ok(None) };
            // Staff knows which types there are; a customer only those of its own credits.
            if ctx.is_staff() && reads.credit_types.get(credit_type).await?.is_none() {
                return Ok(None);
            }
            let wallets = reads.wallets.get(self.0).await?.unwrap_or_default();
            let wallet = wallets.into_iter().find(|wallet| wallet.row.credit_type_id == credit_type);
            let account = reads.account();
            let hidden = !account.credits_enabled && !ctx.is_staff();
            let pending = reads.pending.get(self.0).await?.unwrap_or_default();
            let status = status::status(account.credits_enabled, wallet, hidden, wanted, reads.now());
            let is_short = !hidden && status.available < wanted;
            let ordered = if is_short { pending::reasons(&pending, credit_type) } else { Vec::new() };
            Ok(Some(CreditStatus { status, ordered }))
        };
        found.await.transpose()
    }

    /// Why a balance is what it is, was, or will be if nothing more happens: every grant, what touched it, in which
    /// order it would be used, and why it would not be. Null for a credit type that the customer never had.
    #[graphql(complexity = "child_complexity.saturating_add(500)")]
    async fn balance_explanation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The credit type.")] credit_type_id: ID,
        #[graphql(desc = "At which instant; now, if nothing is said.")] at: Option<DateTime>,
    ) -> Result<Option<BalanceExplanation>> {
        let reads = ctx.reads(Scope::OwnRead).await?;
        let Ok(credit_type) = credit_type_id.parse() else { return Ok(None) };
        let wallets = reads.wallets.get(self.0).await?.unwrap_or_default();
        let wallet = wallets.into_iter().find(|wallet| wallet.row.credit_type_id == credit_type);
        let Some(wallet) = wallet else { return Ok(None) };
        let at = at.map_or_else(|| wallet.instant(reads.now()), |at| truncate(at.0));
        let at = input::instant("at", at).map_err(Error::from)?;
        Ok(Some(BalanceExplanation(explanation::explain(reads.at_length().await?, self.0, credit_type, at).await?)))
    }

    /// What will end in the days to come, soonest first, if nothing more happens.
    #[graphql(complexity = "child_complexity.saturating_mul(10).saturating_add(1)")]
    async fn expiry_forecast(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many days to look ahead: 1 to 366.", default = 30)] days: i32,
    ) -> Option<Result<List<ExpiryForecast>>> {
        let found = async {
            let reads = ctx.reads(Scope::OwnRead).await?;
            let now = reads.now();
            let until = forecast::horizon(now, days).map_err(Error::from)?;
            let wallets = reads.whole_wallets.get(self.0).await?.unwrap_or_default();
            Ok(forecast::of_wallets(wallets, now, until).into_iter().map(ExpiryForecast).collect())
        };
        Some(found.await)
    }
}

#[derive(Default)]
pub struct WhyQuery;

#[Object]
impl WhyQuery {
    /// What will end in the whole account in the days to come, soonest first, if nothing more happens: the first 1,000
    /// lines of it. For staff.
    #[graphql(complexity = "child_complexity.saturating_mul(50).saturating_add(1)")]
    async fn expiry_forecast(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many days to look ahead: 1 to 366.", default = 30)] days: i32,
    ) -> Option<Result<List<ExpiryForecast>>> {
        let found = async {
            let reads = ctx.reads(Scope::StaffRead).await?;
            let until = forecast::horizon(reads.now(), days).map_err(Error::from)?;
            Ok(forecast::of_account(reads.at_length().await?, until).await?.into_iter().map(ExpiryForecast).collect())
        };
        Some(found.await)
    }
}
