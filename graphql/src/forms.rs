//! Order forms and quotes, for anyone.

use std::sync::Arc;

use async_graphql::{Context, Description, ID, Object, Result, SimpleObject};

use super::context::Ask;
use super::expiration::ExpirationPolicy;
use super::list::List;
use super::price_terms::{Interval, PriceTier, RolloverKind, TierModeName, whole};
use super::prices::{Price, PriceKind};
use super::products::{Product, ProductKind};
use super::scalars::{Credits, CurrencyCode, DateTime, Money, TimeZone, Url};
use domain::catalog::prices::tiers_of;
use domain::ground::input;
use domain::sales::forms::{self, Affordable, Form, Offer, Quote};
use domain::{Refusal, Scope, View};

/// What is on sale behind a link: a product, its prices, and who sells it. For anyone.
#[derive(Description)]
pub struct OrderForm(Arc<Form>);

#[Object(use_type_description)]
impl OrderForm {
    /// Who sells it.
    fn business(&self) -> Business {
        let account = &self.0.account;
        Business {
            name: account.sender_name.clone().unwrap_or_else(|| account.name.clone()),
            logo_url: account.logo_url.clone().map(Url),
            support_address: account.support_address.clone(),
            time_zone: TimeZone(account.time_zone.clone()),
        }
    }

    /// What is sold.
    fn kind(&self) -> ProductKind {
        self.0.product.kind.into()
    }

    /// The name of the product.
    fn name(&self) -> &str {
        &self.0.product.name
    }

    /// What it is, in more words.
    fn description(&self) -> Option<&str> {
        self.0.product.description.as_deref()
    }

    /// The address of its picture.
    fn image_url(&self) -> Option<Url> {
        self.0.product.image_url.clone().map(Url)
    }

    /// Of a credit product: what its credits are good for.
    fn credit_type(&self) -> Option<OfferedCredits> {
        self.0.credit_type.as_ref().map(OfferedCredits::of)
    }

    /// Of a credit product: how many credits one unit is.
    fn credits_per_unit(&self) -> Option<Credits> {
        self.0.product.credits_per_unit.map(Credits)
    }

    /// How it can be paid.
    #[graphql(complexity = "child_complexity.saturating_mul(5).saturating_add(1)")]
    fn prices(&self) -> List<OfferedPrice> {
        let offer = |offer: &Offer| OfferedPrice { offer: offer.clone(), form: self.0.clone() };
        self.0.prices.iter().map(offer).collect()
    }
}

/// A business, as its customers see it.
#[derive(SimpleObject)]
pub struct Business {
    /// The name that customers read.
    name: String,
    /// The address of its logo.
    logo_url: Option<Url>,
    /// The e-mail address where customers find help.
    support_address: Option<String>,
    /// The zone in which its days begin and end.
    time_zone: TimeZone,
}

/// What the credits on sale are good for.
#[derive(SimpleObject)]
pub struct OfferedCredits {
    /// The name of the credit type.
    name: String,
    /// What it is good for, in more words.
    description: Option<String>,
    /// When its credits end, unless the product or the price says otherwise.
    expiration: ExpirationPolicy,
}

impl OfferedCredits {
    fn of(credit_type: &entity::credit_type::Model) -> Self {
        Self {
            name: credit_type.name.clone(),
            description: credit_type.description.clone(),
            expiration: credit_type.policy().into(),
        }
    }
}

/// A price on sale.
#[derive(Description)]
pub struct OfferedPrice {
    offer: Offer,
    form: Arc<Form>,
}

#[Object(use_type_description)]
impl OfferedPrice {
    /// The id of the price: what `priceQuote` and `orderPlace` take.
    fn id(&self) -> ID {
        self.offer.price.id.to_string().into()
    }

    /// How it is paid.
    fn kind(&self) -> PriceKind {
        self.offer.price.kind.into()
    }

    /// What tells it from the product's other prices.
    fn name(&self) -> Option<&str> {
        self.offer.price.name.as_deref()
    }

    /// Of money: the currency.
    fn currency(&self) -> Option<CurrencyCode> {
        self.offer.price.currency.clone().map(CurrencyCode)
    }

    /// Of money: which tier prices a quantity.
    fn tier_mode(&self) -> Option<TierModeName> {
        self.offer.price.tier_mode.map(Into::into)
    }

    /// Of money: what units cost; empty for a price in credits.
    #[graphql(complexity = "child_complexity.saturating_mul(3).saturating_add(1)")]
    fn tiers(&self) -> List<PriceTier> {
        let currency = self.offer.price.currency.as_deref().unwrap_or_default();
        tiers_of(&self.offer.price).iter().map(|tier| PriceTier::new(tier, currency)).collect()
    }

    /// How many units are ordered at least.
    fn minimum_quantity(&self) -> i32 {
        whole(self.offer.price.minimum_quantity)
    }

    /// How many units are ordered at most, at once and by one customer; null if there is no limit.
    fn maximum_quantity(&self) -> Option<i32> {
        self.offer.price.most().map(whole)
    }

    /// How many units one customer may order, ever; null if there is no limit. What costs money and has one is for customers
    /// who have signed in.
    fn max_per_customer(&self) -> Option<i32> {
        self.offer.price.max_per_customer.map(whole)
    }

    /// Of a subscription: how long a period is.
    fn interval(&self) -> Option<Interval> {
        let (count, unit) = self.offer.price.interval_count.zip(self.offer.price.interval_unit)?;
        Some(Interval { count, unit: unit.into() })
    }

    /// Of a subscription: how many credits a unit gets each time.
    fn credits_per_renewal(&self) -> Option<Credits> {
        self.offer.price.credits_per_renewal.map(Credits)
    }

    /// Of a subscription: how often credits come, where that is more often than it is paid.
    fn grant_every(&self) -> Option<Interval> {
        let (count, unit) = self.offer.price.every_count.zip(self.offer.price.every_unit)?;
        Some(Interval { count, unit: unit.into() })
    }

    /// Of a subscription: what becomes of what a period leaves unused.
    fn rollover(&self) -> Option<RolloverKind> {
        self.offer.price.rollover.map(Into::into)
    }

    /// Of a subscription with rollover `UP_TO`: how many stay.
    fn rollover_limit(&self) -> Option<Credits> {
        self.offer.price.rollover_limit.map(Credits)
    }

    /// Of a price in credits: the credits that it costs.
    fn costs(&self) -> Option<OfferedCredits> {
        self.offer.costs.as_ref().map(OfferedCredits::of)
    }

    /// Of a price in credits: how many a unit costs.
    fn credit_amount(&self) -> Option<Credits> {
        self.offer.price.credit_amount.map(Credits)
    }

    /// What a quantity would cost, and what it would give; null for one that is not sold.
    fn quote(&self, #[graphql(desc = "How many units.", default = 1)] quantity: i32) -> Option<PriceQuote> {
        self.form.quote(&self.offer.price, i64::from(quantity)).ok().map(PriceQuote)
    }
}

/// What a quantity would cost, and what it would give.
#[derive(Description)]
pub struct PriceQuote(Quote);

impl PriceQuote {
    fn money(&self, minor: entity::Minor) -> Option<Money> {
        self.0.line.price.currency.as_ref().map(|currency| Money::new(minor, currency))
    }
}

#[Object(use_type_description)]
impl PriceQuote {
    /// How many units.
    fn quantity(&self) -> i32 {
        whole(self.0.line.quantity)
    }

    /// Of money: the tier that the quantity falls in.
    fn tier(&self) -> Option<PriceTier> {
        let currency = self.0.line.price.currency.as_ref()?;
        self.0.tier.as_ref().map(|tier| PriceTier::new(tier, currency))
    }

    /// Of money: what it costs; of a subscription, each period. Null for a price in credits.
    fn total(&self) -> Option<Money> {
        self.money(self.0.line.amount)
    }

    /// Of money: what one credit comes to, or one unit of what issues none, rounded half up to the minor unit.
    fn price_per_credit(&self) -> Option<Money> {
        self.0.each.and_then(|each| self.money(each))
    }

    /// How many credits it gives, over all parts of a period; null if it gives none.
    fn credits(&self) -> Option<Credits> {
        let gives = !self.0.line.costs_credits() && !self.0.line.credits.is_zero();
        gives.then_some(Credits(self.0.line.credits))
    }

    /// How many credits it costs; null for a price in money.
    fn credit_cost(&self) -> Option<Credits> {
        self.0.line.costs_credits().then_some(Credits(self.0.line.credits))
    }

    /// When its credits would end if it were paid now, of a period in parts those of the first; null if they never end, or
    /// not before their first use.
    fn expires_at(&self) -> Option<DateTime> {
        self.0.expires_at.map(DateTime)
    }

    /// How much more it costs than one unit fewer: with 1-4 at $100 and 5 or more at $85, 5 cost only $25 more than 4.
    /// Null for the first.
    fn more_than_one_fewer(&self) -> Option<Money> {
        self.0.more_than_fewer.and_then(|more| self.money(more))
    }

    /// The next tier, if more units fall in another one.
    fn next_tier(&self) -> Option<NextTier> {
        let (quantity, total, more) = self.0.next?;
        let currency = self.0.line.price.currency.as_ref()?;
        let amount = input::decimal(entity::Minor(more.0.abs()), currency);
        let here = self.0.line.quantity;
        let message = if more.0 < 0 {
            format!("{quantity} cost {amount} {currency} less than {here}.")
        } else {
            format!("{quantity} cost only {amount} {currency} more than {here}.")
        };
        Some(NextTier { quantity: whole(quantity), total: self.money(total)?, more: self.money(more)?, message })
    }

    /// For a customer, of a price in credits: how many of its credits can be used now.
    fn available(&self) -> Option<Credits> {
        self.0.available.map(Credits)
    }

    /// For a customer, of a price in credits: whether its credits cover it.
    fn covered(&self) -> Option<bool> {
        self.0.covered
    }
}

/// From which quantity on another tier prices it.
#[derive(SimpleObject)]
pub struct NextTier {
    /// The first quantity of the next tier.
    quantity: i32,
    /// What that costs.
    total: Money,
    /// How much more that is.
    more: Money,
    /// The same in words for people.
    message: String,
}

/// Something on sale that a customer's credits cover.
#[derive(Description)]
pub struct CreditOffer(pub Affordable);

#[Object(use_type_description)]
impl CreditOffer {
    /// What it is.
    fn product(&self) -> Product {
        Product(self.0.product.clone())
    }

    /// What it costs.
    fn price(&self) -> Price {
        Price(self.0.price.clone())
    }

    /// How many units the customer's credits cover now.
    fn affordable_quantity(&self) -> i32 {
        whole(self.0.times)
    }
}

/// The snapshot in which an account's forms are read: the request's own, for who belongs to the account, and otherwise one
/// that shows no customer's rows. None if there is no such account.
async fn counter(ctx: &Context<'_>, account: Option<&str>) -> domain::Result<Option<Arc<View>>> {
    let caller = ctx.caller()?;
    if caller.role().may(Scope::OwnRead) {
        let reads = ctx.reads(Scope::OwnRead).await?;
        if account.is_none_or(|slug| slug == reads.account().slug) {
            return Ok(Some(reads.alone()?.clone()));
        }
    }
    let missing = || Refusal::invalid("account", "Say whose price it is: give the account's slug.");
    ctx.leave_company()?;
    let view = forms::counter(caller, account.ok_or_else(missing)?).await?;
    Ok(view.map(Arc::new))
}

#[derive(Default)]
pub struct FormQuery;

#[Object]
impl FormQuery {
    /// What is on sale behind a link, `/o/{account}/{slug}`; null if nothing is. For anyone: no token is needed.
    async fn order_form(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The account's slug.")] account: String,
        #[graphql(desc = "The product's slug.")] slug: String,
    ) -> Option<Result<OrderForm>> {
        let found = async {
            let Some(view) = counter(ctx, Some(&account)).await? else { return Ok(None) };
            let found = forms::form(&view, &slug).await?;
            Ok(found.map(|form| OrderForm(Arc::new(form))))
        };
        found.await.transpose()
    }

    /// What a quantity at a price would cost, and what it would give. Null if there is no such price on sale (staff is told of
    /// one that is not); a quantity that is not sold is an error, with the limits. For anyone: without a token, `account` says
    /// where to look.
    #[graphql(complexity = "child_complexity.saturating_add(20)")]
    async fn price_quote(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The price.")] price_id: ID,
        #[graphql(desc = "How many units.")] quantity: i32,
        #[graphql(desc = "The account's slug; the token's account, if left out.")] account: Option<String>,
    ) -> Option<Result<PriceQuote>> {
        let found = async {
            let Ok(price) = price_id.parse() else { return Ok(None) };
            let Some(view) = counter(ctx, account.as_deref()).await? else { return Ok(None) };
            let quote = forms::quote(&view, price, i64::from(quantity)).await?;
            Ok(quote.map(PriceQuote))
        };
        found.await.transpose()
    }
}
