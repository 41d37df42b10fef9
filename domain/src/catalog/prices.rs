//! Prices: how a product is paid. A price is never changed: it is archived, and replaced by another.

use std::collections::HashMap;

use entity::price::{Column, Entity, Kind, Model, Rollover, TierMode};
use entity::product::{self, Status};
use entity::{CreditTypeId, Credits, Expiration, Owned, PeriodUnit, PriceId, ProductId, credit_type};
use sea_orm::{ActiveModelTrait, ColumnTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, Set};

use super::credit_types::{check_future, check_policy};
use super::pricing::{self, Inversion, Tier};
use super::products;
use crate::ground::clock::fresh_id;
use crate::ground::error::{Error, Refusal, Result};
use crate::ground::input;
use crate::ground::refusal::sale::Sale;
use crate::ground::scope::Scope;
use crate::identity::caller::{Caller, transact};
use crate::storage::tx::{Tx, View};

/// Prices on sale of one product.
const MOST: u64 = 50;
/// The longest period of a subscription: ten years, in each unit.
fn longest(unit: PeriodUnit) -> i32 {
    match unit {
        PeriodUnit::Day => 3_660,
        PeriodUnit::Week => 520,
        PeriodUnit::Month => 120,
        PeriodUnit::Year => 10,
    }
}
/// Parts of one period.
pub const PARTS: i32 = 120;

/// A price that is about to be.
#[derive(Clone, Debug)]
pub struct NewPrice {
    pub product: ProductId,
    pub name: Option<String>,
    pub paid: Paid,
    pub minimum_quantity: i64,
    pub maximum_quantity: Option<i64>,
    pub max_per_customer: Option<i64>,
    /// Instead of the product's, or the credit type's own policy.
    pub expiration: Option<Expiration>,
    /// The price that it takes the place of, which is archived.
    pub replaces: Option<PriceId>,
}

/// How it is paid.
#[derive(Clone, Debug)]
pub enum Paid {
    Once(Money),
    Renewing { money: Money, renews: Renews },
    Credits { credit_type: CreditTypeId, amount: Credits },
}

/// What a quantity costs in money.
#[derive(Clone, Debug)]
pub struct Money {
    pub currency: String,
    pub mode: TierMode,
    pub tiers: Vec<Tier>,
}

/// How a subscription renews.
#[derive(Clone, Debug)]
pub struct Renews {
    /// How long a period is.
    pub interval: (i32, PeriodUnit),
    /// Credits that a unit gets each time.
    pub credits: Credits,
    /// How long a part is, where credits come more often than it is paid.
    pub every: Option<(i32, PeriodUnit)>,
    pub rollover: Rollover,
    pub rollover_limit: Option<Credits>,
    pub issue_before_payment: bool,
}

/// The tiers of a price.
#[must_use]
pub fn tiers_of(price: &Model) -> Vec<Tier> {
    serde_json::from_value(price.tiers.clone()).unwrap_or_default()
}

/// How many parts a period of a price has; 1 where credits come with each renewal.
#[must_use]
pub fn parts_of(price: &Model) -> i32 {
    let period = price.interval_count.zip(price.interval_unit);
    let every = price.every_count.zip(price.every_unit);
    period.zip(every).and_then(|(period, every)| parts(period, every)).unwrap_or(1)
}

/// How often one period goes into another; none unless it does so exactly.
fn parts(period: (i32, PeriodUnit), every: (i32, PeriodUnit)) -> Option<i32> {
    let in_days = |(count, unit): (i32, PeriodUnit)| match unit {
        PeriodUnit::Day => Some(count),
        PeriodUnit::Week => count.checked_mul(7),
        PeriodUnit::Month | PeriodUnit::Year => None,
    };
    let in_months = |(count, unit): (i32, PeriodUnit)| match unit {
        PeriodUnit::Month => Some(count),
        PeriodUnit::Year => count.checked_mul(12),
        PeriodUnit::Day | PeriodUnit::Week => None,
    };
    let days = in_days(period).zip(in_days(every));
    let (period, every) = days.or_else(|| in_months(period).zip(in_months(every)))?;
    (every >= 1 && period % every == 0).then(|| period / every)
}

/// Creates a price; answers where more units of it cost less.
pub async fn create(caller: &Caller, new: NewPrice) -> Result<(Model, Vec<Inversion>)> {
    transact!(caller, Scope::CatalogWrite, |tx| {
        let product = products::lock(tx, new.product, "productId").await?;
        if product.status == Status::Archived {
            return Err(not_active("productId", product.status).into());
        }
        let price = checked(tx, &product, &new).await?;
        let bounds = (price.minimum_quantity, price.most());
        let tiers = tiers_of(&price);
        let inversions = price.tier_mode.map(|mode| pricing::inversions(mode, &tiers, bounds)).unwrap_or_default();
        if let Some(replaced) = new.replaces {
            let replaced = lock(tx, replaced, "replacesPriceId").await?;
            if replaced.product_id != product.id {
                return Err(Refusal::invalid("replacesPriceId", "Must be a price of the same product.").into());
            }
            set_archived(tx, replaced).await?;
        }
        let on_sale = Entity::of(tx.account.id).filter(Column::ProductId.eq(product.id));
        let on_sale = on_sale.filter(Column::ArchivedAt.is_null()).limit(MOST).all(tx.db()).await?;
        if on_sale.len() as u64 >= MOST {
            return Err(
                Refusal::invalid("productId", format!("A product has {MOST} prices at most. Archive some.")).into()
            );
        }
        let price = price.into_active_model().insert(tx.db()).await?;
        Ok((price, inversions))
    })
}

/// Archives a price: nobody orders at it any more, and what was ordered goes on. Doing it twice changes nothing.
pub async fn archive(caller: &Caller, id: PriceId) -> Result<Model> {
    transact!(caller, Scope::CatalogWrite, |tx| {
        let found = tx.rows::<Entity>().filter(Column::Id.eq(id)).one(tx.db()).await?;
        let found = found.ok_or_else(|| Refusal::not_found("id", "price"))?;
        // The product first, as creating a price locks them.
        let product = products::lock(tx, found.product_id, "id").await?;
        let price = lock(tx, id, "id").await?;
        if price.archived_at.is_some() {
            return Ok(price);
        }
        let others = Entity::of(tx.account.id).filter(Column::ProductId.eq(product.id)).filter(Column::Id.ne(id));
        let others = others.filter(Column::ArchivedAt.is_null()).limit(1).one(tx.db()).await?;
        if product.status == Status::Active && others.is_none() {
            let message = "This is the last price of a product on sale. Archive the product, or replace the price: priceCreate takes replacesPriceId.";
            return Err(Refusal::invalid("id", message).into());
        }
        let price = set_archived(tx, price).await?;
        Ok(price)
    })
}

async fn lock(tx: &Tx, id: PriceId, field: &str) -> Result<Model> {
    let found = tx.rows::<Entity>().filter(Column::Id.eq(id)).lock_exclusive().one(tx.db()).await?;
    found.ok_or_else(|| Refusal::not_found(field, "price").into())
}

async fn set_archived(tx: &Tx, price: Model) -> Result<Model> {
    if price.archived_at.is_some() {
        return Ok(price);
    }
    let mut price = price.into_active_model();
    price.archived_at = Set(Some(tx.now));
    Ok(price.update(tx.db()).await?)
}

/// The refusal of a product that is not on sale.
pub(crate) fn not_active(field: &str, status: Status) -> Refusal {
    let status = if status == Status::Draft { "draft" } else { "archived" };
    Sale::ProductNotActive { field: field.to_owned(), status: status.to_owned() }.into()
}

/// The row of a price whose parts fit together and lie within their limits.
async fn checked(tx: &Tx, product: &product::Model, new: &NewPrice) -> Result<Model> {
    let least = input::quantity("minimumQuantity", new.minimum_quantity)?;
    let most = new.maximum_quantity.map(|most| input::quantity("maximumQuantity", most)).transpose()?;
    if most.is_some_and(|most| most < least) {
        return Err(Refusal::invalid("maximumQuantity", "Must not be less than minimumQuantity.").into());
    }
    let per_customer = new.max_per_customer.map(|most| input::quantity("maxPerCustomer", most)).transpose()?;
    if per_customer.is_some_and(|most| most < least) {
        return Err(Refusal::invalid("maxPerCustomer", "Must not be less than minimumQuantity.").into());
    }
    let policy = new.expiration.map(check_policy).transpose()?;
    if let Some(policy) = policy {
        check_future(tx, policy)?;
    }
    let period = policy.and_then(|policy| policy.period());
    let mut price = Model {
        account_id: tx.account.id,
        id: PriceId(fresh_id()),
        product_id: product.id,
        kind: Kind::OneTime,
        name: input::optional_text("name", new.name.as_deref(), input::NAME)?,
        currency: None,
        tier_mode: None,
        tiers: serde_json::json!([]),
        minimum_quantity: least,
        maximum_quantity: most,
        max_per_customer: per_customer,
        interval_count: None,
        interval_unit: None,
        credits_per_renewal: None,
        every_count: None,
        every_unit: None,
        rollover: None,
        rollover_limit: None,
        issue_before_payment: false,
        credit_type_id: None,
        credit_amount: None,
        expiration: policy.map(|policy| policy.kind()),
        period_count: period.map(|(count, _, _)| count),
        period_unit: period.map(|(_, unit, _)| unit),
        period_from: period.map(|(_, _, from)| from),
        expires_on: policy.and_then(|policy| policy.date()),
        replaces_id: new.replaces,
        archived_at: None,
        created_at: tx.now,
    };
    if policy.is_some() && product.kind == product::Kind::Service {
        return Err(Refusal::invalid("expiration", "A service product issues no credits that could end.").into());
    }
    match &new.paid {
        Paid::Once(money) => with_money(&mut price, money, "paid.oneTime")?,
        Paid::Renewing { money, renews } => {
            if product.kind == product::Kind::Service || product.credit_type_id.is_none() {
                let message = "A subscription grants credits at each renewal: its product must be a credit product with a credit type.";
                return Err(Refusal::invalid("paid.subscription", message).into());
            }
            with_money(&mut price, money, "paid.subscription")?;
            with_renewals(&mut price, renews)?;
        }
        Paid::Credits { credit_type, amount } => {
            if product.kind == product::Kind::Credit {
                let message = "A credit product is paid in money. Let a service product cost credits.";
                return Err(Refusal::invalid("paid.credits", message).into());
            }
            let amount = input::amount("paid.credits.amount", *amount)?;
            let found = credit_type::Entity::of(tx.account.id).filter(credit_type::Column::Id.eq(*credit_type));
            found.one(tx.db()).await?.ok_or_else(|| Refusal::not_found("paid.credits.creditTypeId", "credit type"))?;
            price.kind = Kind::Credits;
            price.credit_type_id = Some(*credit_type);
            price.credit_amount = Some(amount);
        }
    }
    Ok(price)
}

fn with_money(price: &mut Model, money: &Money, field: &str) -> Result<(), Refusal> {
    price.currency = Some(input::currency(&format!("{field}.currency"), &money.currency)?);
    pricing::check(&format!("{field}.tiers"), &money.tiers, price.maximum_quantity)?;
    price.tier_mode = Some(money.mode);
    price.tiers = serde_json::to_value(&money.tiers).unwrap_or_default();
    let free = money.tiers.iter().any(|tier| tier.unit.is_zero() && tier.flat.is_zero());
    if free && price.max_per_customer.is_none() {
        return Err(Refusal::invalid(
            "maxPerCustomer",
            "A price at which something is free needs a limit per customer.",
        ));
    }
    Ok(())
}

fn with_renewals(price: &mut Model, renews: &Renews) -> Result<(), Refusal> {
    let period = |field: &str, (count, unit): (i32, PeriodUnit)| {
        let most = longest(unit);
        if (1..=most).contains(&count) {
            Ok(())
        } else {
            Err(Refusal::invalid(&format!("paid.subscription.{field}.count"), format!("Must be 1 to {most}.")))
        }
    };
    period("interval", renews.interval)?;
    if let Some(every) = renews.every {
        period("grantEvery", every)?;
        if parts(renews.interval, every).is_none_or(|parts| !(2..=PARTS).contains(&parts)) {
            let message = format!("Must go into the interval 2 to {PARTS} times exactly, as a month goes into a year.");
            return Err(Refusal::invalid("paid.subscription.grantEvery", message));
        }
    }
    if price.expiration.is_some() && renews.rollover == Rollover::None {
        return Err(Refusal::invalid("expiration", "Without rollover, credits end with their period. Leave this out."));
    }
    if let Some(limit) = renews.rollover_limit {
        if !(Credits::ZERO..=Credits::MOST).contains(&limit) {
            return Err(Refusal::invalid("paid.subscription.rollover.upTo", "Must be 0 to 1,000,000,000."));
        }
        if renews.every.is_some() {
            let message = "Credits that come in parts of a period roll over all, or none.";
            return Err(Refusal::invalid("paid.subscription.rollover.upTo", message));
        }
    }
    price.kind = Kind::Subscription;
    price.interval_count = Some(renews.interval.0);
    price.interval_unit = Some(renews.interval.1);
    price.credits_per_renewal = Some(input::amount("paid.subscription.creditsPerRenewal", renews.credits)?);
    price.every_count = renews.every.map(|(count, _)| count);
    price.every_unit = renews.every.map(|(_, unit)| unit);
    price.rollover = Some(renews.rollover);
    price.rollover_limit = renews.rollover_limit;
    price.issue_before_payment = renews.issue_before_payment;
    Ok(())
}

/// The prices of products: those on sale, or all of them, oldest first.
pub async fn of_products(view: &View, wanted: &[(ProductId, bool)]) -> Result<HashMap<(ProductId, bool), Vec<Model>>> {
    let select = view.rows::<Entity>().filter(view.among(Column::ProductId, wanted.iter().map(|(id, _)| *id))?);
    let select = if wanted.iter().any(|(_, all)| *all) { select } else { select.filter(Column::ArchivedAt.is_null()) };
    let mut prices: HashMap<_, Vec<_>> = HashMap::new();
    for row in select.order_by_asc(Column::Id).all(view.db()).await? {
        for key in wanted.iter().filter(|(id, all)| *id == row.product_id && (*all || row.archived_at.is_none())) {
            prices.entry(*key).or_default().push(row.clone());
        }
    }
    Ok(prices)
}

/// Prices by id, for whoever has something in hand that names them.
pub async fn of_rows_in_hand(view: &View, ids: &[PriceId]) -> Result<HashMap<PriceId, Model>> {
    let rows = view.rows::<Entity>().filter(view.among(Column::Id, ids.iter().copied())?).all(view.db()).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// What went wrong with a price that the domain itself keeps.
pub(crate) fn broken(price: &Model) -> Error {
    Error::Internal(format!("{} does not say what its kind needs", price.id))
}
