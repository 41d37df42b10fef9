//! What is done with a subscription: changed, paused, resumed, ended.

use async_graphql::{Context, Enum, ID, InputObject, MaybeUndefined, Object, Result, SimpleObject};

use super::accounts::{changed, kept};
use super::context::Ask;
use super::payload::{UserErrorInterface, answer, id};
use super::scalars::{Credits, DateTime, Money, Whole};
use super::subscriptions::Subscription;
use domain::sales::verbs::{self, Changes, Verb, What};
use domain::{Error, Refusal, Scope};

/// From when on another price or quantity counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum SubscriptionChangeWhen {
    /// Now: unused credits of the running period pay for it as far as they reach, the rest is charged, and a new period
    /// begins with the payment. A change never pays money out.
    Now,
    /// From the next period on. Nothing that was bought is cut.
    PeriodEnd,
}

/// What changes in a subscription. What is left out stays.
#[derive(InputObject)]
pub struct SubscriptionUpdateInput {
    /// The subscription.
    subscription_id: ID,
    /// Another price; null keeps the present one after all.
    price_id: MaybeUndefined<ID>,
    /// Another number of units.
    quantity: Option<Whole>,
    /// From when on price and quantity count.
    #[graphql(default_with = "SubscriptionChangeWhen::PeriodEnd")]
    when: SubscriptionChangeWhen,
    /// Whether it ends with the present period.
    cancel_at_period_end: MaybeUndefined<bool>,
    /// A stored method of the account's payment provider, which is charged at once for what is unpaid; null for none.
    payment_method: MaybeUndefined<String>,
    /// 1 to 255 characters, the same for the same request however often it is sent.
    idempotency_key: Option<String>,
    /// Only say what it would come to, in `preview`.
    #[graphql(default)]
    dry_run: bool,
}

/// A subscription to end.
#[derive(InputObject)]
pub struct SubscriptionCancelInput {
    /// The subscription.
    subscription_id: ID,
    /// Why: at most 255 characters.
    reason: Option<String>,
    /// 1 to 255 characters, the same for the same request however often it is sent.
    idempotency_key: Option<String>,
    /// Only say what it would come to, in `preview`.
    #[graphql(default)]
    dry_run: bool,
}

/// A subscription to pause.
#[derive(InputObject)]
pub struct SubscriptionPauseInput {
    /// The subscription.
    subscription_id: ID,
    /// 1 to 255 characters, the same for the same request however often it is sent.
    idempotency_key: Option<String>,
    /// Only say what it would come to, in `preview`.
    #[graphql(default)]
    dry_run: bool,
}

/// A subscription to resume.
#[derive(InputObject)]
pub struct SubscriptionResumeInput {
    /// The subscription.
    subscription_id: ID,
    /// 1 to 255 characters, the same for the same request however often it is sent.
    idempotency_key: Option<String>,
    /// Only say what it would come to, in `preview`.
    #[graphql(default)]
    dry_run: bool,
}

/// What a change to a subscription would come to.
#[derive(SimpleObject)]
pub struct SubscriptionPreview {
    /// What would be charged now.
    charged: Money,
    /// How many unused credits of the running period would go back.
    returned: Credits,
    /// What these had cost, which lowers what is charged.
    returned_cost: Money,
    /// When the next charge after that would be; null if there would be none.
    next_at: Option<DateTime>,
    /// How much that would be.
    next_total: Money,
}

impl From<verbs::Preview> for SubscriptionPreview {
    fn from(preview: verbs::Preview) -> Self {
        let money = |minor| Money::new(minor, &preview.currency);
        Self {
            charged: money(preview.charged),
            returned: Credits(preview.returned.0),
            returned_cost: money(preview.returned.1),
            next_at: preview.next_at.map(DateTime),
            next_total: money(preview.next_total),
        }
    }
}

/// What became of a change to a subscription.
#[derive(SimpleObject)]
pub struct SubscriptionPayload {
    /// The subscription as it is now; null if the change was refused or a dry run.
    subscription: Option<Subscription>,
    /// What it would come to; null unless it was a dry run that nothing refused.
    preview: Option<SubscriptionPreview>,
    /// The key was known: this is its first outcome once more. Nothing was done now.
    replayed: bool,
    /// Why it was refused.
    user_errors: Vec<UserErrorInterface>,
}

#[derive(Default)]
pub struct SubscriptionMutation;

#[Object]
impl SubscriptionMutation {
    /// Change a subscription: its price and quantity, from the next period on or now, whether it ends with this one, what is
    /// charged. For staff, and for the customer whose it is.
    async fn subscription_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What changes.")] input: SubscriptionUpdateInput,
    ) -> Option<Result<SubscriptionPayload>> {
        let (key, dry_run, it) = (input.idempotency_key.clone(), input.dry_run, input.subscription_id.clone());
        let what = || {
            let price = changed(input.price_id).map(|it| it.map(|it| id("priceId", "price", &it)).transpose());
            Ok(What::Update(Changes {
                price: price.transpose()?,
                quantity: input.quantity.map(|quantity| i64::from(quantity.0)),
                now: input.when == SubscriptionChangeWhen::Now,
                cancel_at_period_end: kept("cancelAtPeriodEnd", input.cancel_at_period_end)?,
                payment_method: changed(input.payment_method),
            }))
        };
        Some(Box::pin(act(ctx, &it, what(), (key, dry_run))).await)
    }

    /// End a subscription now, and give up what is unpaid of it. What was paid stays: `orderRefund` gives it back. To end it
    /// with its period, use `subscriptionUpdate`. For staff, and for the customer whose it is.
    async fn subscription_cancel(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The subscription.")] input: SubscriptionCancelInput,
    ) -> Option<Result<SubscriptionPayload>> {
        let what = Ok(What::Cancel(input.reason));
        Some(Box::pin(act(ctx, &input.subscription_id, what, (input.idempotency_key, input.dry_run))).await)
    }

    /// Pause a subscription: periods that begin meanwhile are skipped. No end of credits is moved by it (`grantsExtend` does
    /// that), and an order that is open goes on. For staff, and for the customer whose it is.
    async fn subscription_pause(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The subscription.")] input: SubscriptionPauseInput,
    ) -> Option<Result<SubscriptionPayload>> {
        let keyed = (input.idempotency_key, input.dry_run);
        Some(Box::pin(act(ctx, &input.subscription_id, Ok(What::Pause), keyed)).await)
    }

    /// Resume a paused subscription. Within a paid period, or while an order is open, nothing begins. Later a new period is
    /// charged: it begins with its payment, and the next ones are counted from it. For staff, and for the customer whose it
    /// is.
    async fn subscription_resume(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The subscription.")] input: SubscriptionResumeInput,
    ) -> Option<Result<SubscriptionPayload>> {
        let keyed = (input.idempotency_key, input.dry_run);
        Some(Box::pin(act(ctx, &input.subscription_id, Ok(What::Resume), keyed)).await)
    }
}

async fn act(
    ctx: &Context<'_>,
    it: &ID,
    what: Result<What, Refusal>,
    (key, dry_run): (Option<String>, bool),
) -> Result<SubscriptionPayload> {
    let verb = what.and_then(|what| Ok(Verb { subscription: id("subscriptionId", "subscription", it)?, what }));
    if dry_run {
        let preview = Box::pin(async { Ok(verbs::preview(ctx.caller()?, verb?).await?.into()) });
        let (preview, user_errors) = answer(ctx, preview).await?;
        return Ok(SubscriptionPayload { subscription: None, preview, replayed: false, user_errors });
    }
    let mut replayed = false;
    let done = async {
        let outcome = verbs::act(ctx.caller()?, verb?, key.as_deref()).await;
        replayed = matches!(outcome, Err(Error::RefusedBefore(_)) | Ok((_, true)));
        outcome
    };
    let (done, user_errors) = answer(ctx, Box::pin(done)).await?;
    let subscription = match done {
        Some((id, _)) => ctx.reads(Scope::OwnRead).await?.subscriptions.get(id).await?.map(Subscription),
        None => None,
    };
    Ok(SubscriptionPayload { subscription, preview: None, replayed, user_errors })
}
