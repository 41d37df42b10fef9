//! Prices.

use async_graphql::{Context, Description, Enum, ID, InputObject, Object, OneofObject, Result, SimpleObject};
use entity::price::{Kind, Model};

use super::context::Ask;
use super::credit_types::CreditType;
use super::expiration::{ExpirationInput, ExpirationPolicy};
use super::list::List;
use super::payload::{UserErrorInterface, answer, id};
use super::price_terms::{
    Interval, IntervalInput, PriceTier, RolloverInput, RolloverKind, TierInput, TierModeName, money, rollover, whole,
};
use super::products::Product;
use super::scalars::{Credits, CurrencyCode, DateTime, Whole};
use domain::catalog::prices::{self, NewPrice, Paid, Renews, tiers_of};
use domain::catalog::pricing::Inversion;
use domain::ground::input as limits;
use domain::{Refusal, Scope};

/// How something is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Kind", name = "PriceKind")]
pub enum PriceKind {
    /// Money, once.
    OneTime,
    /// Money, each period.
    Subscription,
    /// Credits.
    Credits,
}

/// How a product is paid. Never changed: a price is archived, and replaced by another.
#[derive(Description)]
pub struct Price(pub Model);

#[Object(use_type_description)]
impl Price {
    /// Opaque, and unique over the whole server.
    pub async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// What it is the price of.
    async fn product(&self, ctx: &Context<'_>) -> Result<Option<Product>> {
        Ok(ctx.reads(Scope::OwnRead).await?.products.get(self.0.product_id).await?.map(Product))
    }

    /// How it is paid.
    fn kind(&self) -> PriceKind {
        self.0.kind.into()
    }

    /// What tells it from the product's other prices.
    fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// Of money: the currency.
    fn currency(&self) -> Option<CurrencyCode> {
        self.0.currency.clone().map(CurrencyCode)
    }

    /// Of money: which tier prices a quantity.
    fn tier_mode(&self) -> Option<TierModeName> {
        self.0.tier_mode.map(Into::into)
    }

    /// Of money: what units cost; empty for a price in credits.
    #[graphql(complexity = "child_complexity.saturating_mul(3).saturating_add(1)")]
    fn tiers(&self) -> List<PriceTier> {
        let currency = self.0.currency.as_deref().unwrap_or_default();
        tiers_of(&self.0).iter().map(|tier| PriceTier::new(tier, currency)).collect()
    }

    /// How many units are ordered at least.
    fn minimum_quantity(&self) -> i32 {
        whole(self.0.minimum_quantity)
    }

    /// How many units are ordered at most; null if there is no limit.
    fn maximum_quantity(&self) -> Option<i32> {
        self.0.maximum_quantity.map(whole)
    }

    /// How many units one customer may order, ever; null if there is no limit.
    fn max_per_customer(&self) -> Option<i32> {
        self.0.max_per_customer.map(whole)
    }

    /// Of a subscription: how long a period is.
    fn interval(&self) -> Option<Interval> {
        let (count, unit) = self.0.interval_count.zip(self.0.interval_unit)?;
        Some(Interval { count, unit: unit.into() })
    }

    /// Of a subscription: how many credits a unit gets each time: at each renewal, or with `grantEvery` in each part of a
    /// period.
    fn credits_per_renewal(&self) -> Option<Credits> {
        self.0.credits_per_renewal.map(Credits)
    }

    /// Of a subscription: how often credits come, where that is more often than it is paid.
    fn grant_every(&self) -> Option<Interval> {
        let (count, unit) = self.0.every_count.zip(self.0.every_unit)?;
        Some(Interval { count, unit: unit.into() })
    }

    /// Of a subscription: what becomes of what a period leaves unused.
    fn rollover(&self) -> Option<RolloverKind> {
        self.0.rollover.map(Into::into)
    }

    /// Of a subscription with rollover `UP_TO`: how many stay.
    fn rollover_limit(&self) -> Option<Credits> {
        self.0.rollover_limit.map(Credits)
    }

    /// Of a subscription: whether a renewal issues its credits before it is paid.
    fn issue_before_payment(&self) -> bool {
        self.0.issue_before_payment
    }

    /// Of a price in credits: of which type.
    async fn credit_type(&self, ctx: &Context<'_>) -> Result<Option<CreditType>> {
        let Some(id) = self.0.credit_type_id else { return Ok(None) };
        Ok(ctx.reads(Scope::OwnRead).await?.credit_types.get(id).await?.map(CreditType))
    }

    /// Of a price in credits: how many a unit costs.
    fn credit_amount(&self) -> Option<Credits> {
        self.0.credit_amount.map(Credits)
    }

    /// When its credits end, where it says otherwise than its product and their type.
    fn expiration(&self) -> Option<ExpirationPolicy> {
        self.0.policy().map(Into::into)
    }

    /// The price that it took the place of.
    async fn replaces(&self, ctx: &Context<'_>) -> Result<Option<Price>> {
        let Some(id) = self.0.replaces_id else { return Ok(None) };
        Ok(ctx.reads(Scope::OwnRead).await?.prices.get(id).await?.map(Price))
    }

    /// When it was archived: since then nobody orders at it.
    fn archived_at(&self) -> Option<DateTime> {
        self.0.archived_at.map(DateTime)
    }

    /// When it was created.
    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }
}

/// Money, once.
#[derive(InputObject)]
pub struct OneTimePriceInput {
    /// The currency.
    currency: CurrencyCode,
    /// Which tier prices a quantity.
    #[graphql(default_with = "TierModeName::Volume")]
    tier_mode: TierModeName,
    /// What units cost: at least one tier, the first from 1, without gaps, the last without end unless there is a
    /// `maximumQuantity`.
    tiers: Vec<TierInput>,
}

/// Money, each period.
#[derive(InputObject)]
pub struct SubscriptionPriceInput {
    /// The currency.
    currency: CurrencyCode,
    /// Which tier prices a quantity.
    #[graphql(default_with = "TierModeName::Volume")]
    tier_mode: TierModeName,
    /// What units cost in each period.
    tiers: Vec<TierInput>,
    /// How long a period is: 1 day up to ten years.
    interval: IntervalInput,
    /// How many credits a unit gets each time: at each renewal, or with `grantEvery` in each part of a period.
    credits_per_renewal: Credits,
    /// How often credits come, where that is more often than it is paid, such as each month of a yearly price. They are
    /// issued with the payment, each to count from its time on.
    grant_every: Option<IntervalInput>,
    /// What becomes of what a period leaves unused; it all stays, if left out.
    rollover: Option<RolloverInput>,
    /// Whether a renewal issues its credits before it is paid. If it is then given up, what is unused of them is voided.
    #[graphql(default)]
    issue_before_payment: bool,
}

/// Credits.
#[derive(InputObject)]
pub struct CreditPriceInput {
    /// Of which type.
    credit_type_id: ID,
    /// How many a unit costs: 1 to 1,000,000,000.
    amount: Credits,
}

/// How something is paid. Exactly one of the fields.
#[derive(OneofObject)]
pub enum PaidInput {
    /// Money, once.
    OneTime(OneTimePriceInput),
    /// Money, each period. For credit products.
    Subscription(SubscriptionPriceInput),
    /// Credits. For service products.
    Credits(CreditPriceInput),
}

/// A new price.
#[derive(InputObject)]
pub struct PriceCreateInput {
    /// What it is the price of.
    product_id: ID,
    /// What tells it from the product's other prices.
    name: Option<String>,
    /// How it is paid.
    paid: PaidInput,
    /// How many units are ordered at least; one, if left out.
    minimum_quantity: Option<Whole>,
    /// How many units are ordered at most.
    maximum_quantity: Option<Whole>,
    /// How many units one customer may order, ever. A price at which something is free needs one.
    max_per_customer: Option<Whole>,
    /// When its credits end; as its product or their type says, if left out.
    expiration: Option<ExpirationInput>,
    /// The price of the same product that it takes the place of, and that is archived with it.
    replaces_price_id: Option<ID>,
}

/// A price to archive.
#[derive(InputObject)]
pub struct PriceArchiveInput {
    /// The price.
    id: ID,
}

/// What is worth a second look, though nothing is wrong.
#[derive(SimpleObject)]
pub struct Warning {
    /// What a client branches on.
    pub code: WarningCode,
    /// What it is about, in words for people.
    pub message: String,
}

/// What a warning is about. New ones may be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum WarningCode {
    /// More units cost less in total.
    MoreCostsLess,
    /// No event of this name was ever seen. It may be misspelt, or simply not have happened yet.
    EventNeverSeen,
}

/// What became of `priceCreate`.
#[derive(SimpleObject)]
pub struct PriceCreatePayload {
    /// The price; null if it was refused.
    price: Option<Price>,
    /// What is worth a second look.
    warnings: List<Warning>,
    /// Why it was refused.
    user_errors: Vec<UserErrorInterface>,
}

/// What became of `priceArchive`.
#[derive(SimpleObject)]
pub struct PriceArchivePayload {
    /// The price as it is now; null if the change was refused.
    price: Option<Price>,
    /// Why it was refused.
    user_errors: Vec<UserErrorInterface>,
}

impl PaidInput {
    fn paid(self) -> Result<Paid, Refusal> {
        Ok(match self {
            Self::OneTime(input) => Paid::Once(money(input.currency, input.tier_mode, input.tiers)),
            Self::Credits(input) => Paid::Credits {
                credit_type: id("paid.credits.creditTypeId", "credit type", &input.credit_type_id)?,
                amount: input.amount.0,
            },
            Self::Subscription(input) => {
                let (rollover, rollover_limit) = rollover(input.rollover)?;
                let renews = Renews {
                    interval: (input.interval.count.0, input.interval.unit.into()),
                    credits: input.credits_per_renewal.0,
                    every: input.grant_every.map(|every| (every.count.0, every.unit.into())),
                    rollover,
                    rollover_limit,
                    issue_before_payment: input.issue_before_payment,
                };
                Paid::Renewing { money: money(input.currency, input.tier_mode, input.tiers), renews }
            }
        })
    }
}

fn warning(inversion: &Inversion, currency: &str) -> Warning {
    let of = |minor| limits::decimal(minor, currency);
    let message = format!(
        "{} cost {} {currency}, and {} cost {} {currency}: who wants fewer pays more.",
        inversion.quantity,
        of(inversion.total),
        inversion.quantity - 1,
        of(inversion.fewer_total),
    );
    Warning { code: WarningCode::MoreCostsLess, message }
}

#[derive(Default)]
pub struct PriceMutation;

#[Object]
impl PriceMutation {
    /// Create a price. Where more units of it cost less in total, it warns. For staff.
    async fn price_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The price.")] input: PriceCreateInput,
    ) -> Option<Result<PriceCreatePayload>> {
        let quantity = |quantity: Option<Whole>| quantity.map(|quantity| i64::from(quantity.0));
        let result = async {
            let replaces = input.replaces_price_id.map(|it| id("replacesPriceId", "price", &it)).transpose()?;
            let new = NewPrice {
                product: id("productId", "product", &input.product_id)?,
                name: input.name,
                paid: input.paid.paid()?,
                minimum_quantity: quantity(input.minimum_quantity).unwrap_or(1),
                maximum_quantity: quantity(input.maximum_quantity),
                max_per_customer: quantity(input.max_per_customer),
                expiration: input.expiration.map(ExpirationInput::policy).transpose()?,
                replaces,
            };
            prices::create(ctx.caller()?, new).await
        };
        let answered = answer(ctx, result).await;
        Some(answered.map(|(created, user_errors)| {
            let (price, inversions) = created.unzip();
            let currency = price.as_ref().and_then(|price: &Model| price.currency.clone()).unwrap_or_default();
            let warnings = inversions.unwrap_or_default().iter().map(|found| warning(found, &currency)).collect();
            PriceCreatePayload { price: price.map(Price), warnings, user_errors }
        }))
    }

    /// Archive a price: nobody orders at it any more, and what was ordered goes on. For staff.
    async fn price_archive(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The price.")] input: PriceArchiveInput,
    ) -> Option<Result<PriceArchivePayload>> {
        let result = async { prices::archive(ctx.caller()?, id("id", "price", &input.id)?).await };
        let answered = answer(ctx, result).await;
        Some(answered.map(|(row, user_errors)| PriceArchivePayload { price: row.map(Price), user_errors }))
    }
}
