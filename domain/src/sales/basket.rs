//! What is to be ordered: lines of products on sale, priced, within their limits.

use std::collections::HashMap;

use entity::price::Kind;
use entity::{
    AccountId, CreditTypeId, Credits, CustomerId, Expiration, Minor, Owned, PriceId, account, credit_type, fulfilment,
    order_line, price, product, product_order,
};
use sea_orm::sea_query::Query;
use sea_orm::{ColumnTrait, Condition, DatabaseTransaction, DbErr, QueryFilter};
use serde::Serialize;

use super::period::{self, Anchor, Period};
use crate::catalog::prices::{self, parts_of, tiers_of};
use crate::catalog::pricing;
use crate::ground::clock::Instant;
use crate::ground::error::{Refusal, Result};
use crate::ground::refusal::sale::Sale;
use crate::ledger::expiration::{at_issue, zone_of};

/// Lines of one order.
const LINES: usize = 20;

/// So much at a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Wanted {
    pub price: PriceId,
    pub quantity: i64,
}

/// A line, and what it comes to.
#[derive(Clone, Debug)]
pub struct Line {
    pub product: product::Model,
    pub price: price::Model,
    pub quantity: i64,
    /// In money.
    pub amount: Minor,
    /// Of what it issues, or what it costs.
    pub credit_type: Option<CreditTypeId>,
    /// How many it issues, over all parts of a period, or costs.
    pub credits: Credits,
    /// The policy that its credits get instead of their type's: the price's own, or its product's, when it was ordered.
    pub policy: Option<Expiration>,
}

impl Line {
    /// Whether it is paid in credits.
    #[must_use]
    pub fn costs_credits(&self) -> bool {
        self.price.kind == Kind::Credits
    }
}

/// Priced lines, all paid alike.
#[derive(Clone, Debug)]
pub struct Basket {
    pub lines: Vec<Line>,
    /// None where it is paid in credits.
    pub currency: Option<String>,
    pub total: Minor,
}

impl Basket {
    /// Whether it begins a subscription.
    #[must_use]
    pub fn renews(&self) -> bool {
        self.lines.iter().any(|line| line.price.kind == Kind::Subscription)
    }
}

/// Looks up and prices what is wanted.
pub(super) async fn load(
    txn: &DatabaseTransaction,
    at: (&account::Model, Instant),
    wanted: &[Wanted],
) -> Result<Basket> {
    let account = at.0.id;
    if wanted.is_empty() || wanted.len() > LINES {
        return Err(Refusal::invalid("lines", format!("An order has 1 to {LINES} lines.")).into());
    }
    let prices = price::Entity::of(account).filter(price::Column::Id.is_in(wanted.iter().map(|line| line.price)));
    let prices = prices.all(txn).await?.into_iter().map(|row| (row.id, row)).collect::<HashMap<_, _>>();
    let products = product::Entity::of(account)
        .filter(product::Column::Id.is_in(prices.values().map(|price| price.product_id)))
        .all(txn)
        .await?;
    let products = products.into_iter().map(|row| (row.id, row)).collect::<HashMap<_, _>>();
    let mut lines = Vec::with_capacity(wanted.len());
    for (number, wanted) in wanted.iter().enumerate() {
        let field = price_field(number);
        let price = prices.get(&wanted.price).ok_or_else(|| Refusal::not_found(&field, "price"))?;
        let product = products.get(&price.product_id).ok_or_else(|| Refusal::not_found(&field, "price"))?;
        on_sale(&field, product, price)?;
        lines.push(line(number, product.clone(), price.clone(), wanted.quantity)?);
    }
    let basket = total(lines)?;
    can_be_given(txn, at, &basket, price_field).await?;
    Ok(basket)
}

/// A product and a price that can be ordered.
pub(super) fn on_sale(field: &str, product: &product::Model, price: &price::Model) -> Result<(), Refusal> {
    if product.status != product::Status::Active {
        return Err(prices::not_active(field, product.status));
    }
    if price.archived_at.is_some() {
        return Err(Sale::PriceArchived { field: field.to_owned() }.into());
    }
    Ok(())
}

/// A quantity at a price, within the price's limits.
pub(super) fn line(
    number: usize,
    product: product::Model,
    price: price::Model,
    quantity: i64,
) -> Result<Line, Refusal> {
    priced(&quantity_field(number), product, price, quantity)
}

/// A quantity at a price: what it costs, and what it issues.
pub fn priced(field: &str, product: product::Model, price: price::Model, quantity: i64) -> Result<Line, Refusal> {
    let (least, most) = (price.minimum_quantity, price.most());
    if quantity < least || most.is_some_and(|most| quantity > most) {
        return Err(Sale::QuantityOutOfRange { field: field.to_owned(), least, most }.into());
    }
    let too_many = || Refusal::invalid(field, "Comes to more than 1,000,000,000 credits. Order fewer.");
    let many = |each: Option<Credits>, parts: i32| {
        let each = each.unwrap_or_default().0.checked_mul(quantity).and_then(|each| each.checked_mul(i64::from(parts)));
        each.map(Credits).filter(|credits| *credits <= Credits::MOST).ok_or_else(too_many)
    };
    let (credit_type, credits) = match price.kind {
        Kind::Credits => (price.credit_type_id, many(price.credit_amount, 1)?),
        Kind::Subscription => (product.credit_type_id, many(price.credits_per_renewal, parts_of(&price))?),
        Kind::OneTime => (product.credit_type_id, many(product.credits_per_unit, 1)?),
    };
    let amount = match price.tier_mode {
        None => Minor::ZERO,
        Some(mode) => pricing::total(mode, &tiers_of(&price), quantity)
            .ok_or_else(|| Refusal::invalid(field, "Comes to more than one order may cost. Order fewer."))?,
    };
    let policy = price.policy().or_else(|| product.policy());
    Ok(Line { product, price, quantity, amount, credit_type, credits, policy })
}

/// All lines together: in one currency, or in credits; a subscription alone.
fn total(lines: Vec<Line>) -> Result<Basket, Refusal> {
    let currency = lines.first().and_then(|line| line.price.currency.clone());
    if let Some((number, _)) = lines.iter().enumerate().find(|(_, line)| line.price.currency != currency) {
        return Err(Sale::MixedPayment { field: price_field(number) }.into());
    }
    let total = Minor(lines.iter().map(|line| line.amount.0).sum());
    if total > Minor::MOST {
        return Err(Refusal::invalid("lines", "Come to more than one order may cost. Order fewer."));
    }
    let basket = Basket { lines, currency, total };
    if basket.renews() && basket.lines.len() > 1 {
        return Err(Refusal::invalid("lines", "A subscription is ordered alone. Place one order for each."));
    }
    Ok(basket)
}

/// What issues credits of an archived type is not ordered, nor what would end before it begins (selling.md, S14).
pub(super) async fn can_be_given(
    txn: &DatabaseTransaction,
    (account, now): (&account::Model, Instant),
    basket: &Basket,
    field: impl Fn(usize) -> String,
) -> Result<()> {
    let issued = basket.lines.iter().filter(|line| !line.costs_credits()).filter_map(|line| line.credit_type);
    let issued = issued.collect::<Vec<_>>();
    if issued.is_empty() {
        return Ok(());
    }
    let types = credit_type::Entity::of(account.id).filter(credit_type::Column::Id.is_in(issued)).all(txn).await?;
    for (number, line) in basket.lines.iter().enumerate() {
        let issued = line.credit_type.filter(|_| !line.costs_credits());
        let Some(found) = types.iter().find(|found| Some(found.id) == issued) else { continue };
        if found.archived_at.is_some() {
            return Err(Sale::CreditTypeArchived { field: field(number) }.into());
        }
        if is_over(line, account, found, now) {
            return Err(Sale::PriceOver { field: field(number) }.into());
        }
    }
    Ok(())
}

/// Whether any part of what a line would give now ends before it begins, as the price, the product or the credit type
/// says; on its last day it does not yet (selling.md, S14, pure).
#[must_use]
pub fn is_over(line: &Line, account: &account::Model, issued: &credit_type::Model, now: Instant) -> bool {
    let zone = zone_of(&account.time_zone);
    match line.price.kind {
        Kind::Credits => false,
        Kind::OneTime => ends_early(line.policy, None, issued, (now, zone)),
        Kind::Subscription => {
            let anchor = Anchor { at: now, number: 0, zone };
            period::period(&line.price, anchor, 0).is_some_and(|first| is_over_in(line, issued, anchor, first))
        }
    }
}

/// Whether any part of a period's credits ends before it begins (pure).
#[must_use]
pub fn is_over_in(line: &Line, issued: &credit_type::Model, anchor: Anchor, period: Period) -> bool {
    let parts = period::parts(&line.price, line.policy, anchor, period, (line.credits, line.amount));
    let parts = parts.unwrap_or_default();
    parts.iter().any(|part| ends_early(part.expiration, part.effective_at, issued, (period.starts_at, anchor.zone)))
}

fn ends_early(
    policy: Option<Expiration>,
    effective_at: Option<Instant>,
    issued: &credit_type::Model,
    (now, zone): (Instant, chrono_tz::Tz),
) -> bool {
    let begins = effective_at.unwrap_or(now);
    at_issue(policy.unwrap_or_else(|| issued.policy()), begins, zone).is_some_and(|end| end <= begins)
}

/// The field of a line's price in an order.
pub(super) fn price_field(number: usize) -> String {
    format!("lines.{number}.priceId")
}

/// The field of a line's quantity in an order.
pub(super) fn quantity_field(number: usize) -> String {
    format!("lines.{number}.quantity")
}

/// How many units at prices a customer has ordered. What was cancelled, what gave nothing, and what renews by itself does
/// not count.
pub(super) async fn ordered(
    txn: &DatabaseTransaction,
    account: AccountId,
    customer: CustomerId,
    prices: &[PriceId],
) -> Result<HashMap<PriceId, i64>, DbErr> {
    let own = Query::select()
        .column(product_order::Column::Id)
        .from(product_order::Entity)
        .and_where(product_order::Column::AccountId.eq(account))
        .and_where(product_order::Column::CustomerId.eq(customer))
        .and_where(product_order::Column::Status.ne(product_order::Status::Cancelled))
        .cond_where(
            Condition::any()
                .add(product_order::Column::RenewalNumber.is_null())
                .add(product_order::Column::RenewalNumber.eq(0_i64)),
        )
        .to_owned();
    let lines = order_line::Entity::of(account)
        .filter(order_line::Column::OrderId.in_subquery(own))
        .filter(order_line::Column::PriceId.is_in(prices.iter().copied()))
        .all(txn)
        .await?;
    let refused = fulfilment::Entity::of(account)
        .filter(fulfilment::Column::OrderId.is_in(lines.iter().map(|line| line.order_id)))
        .filter(fulfilment::Column::Refusal.is_not_null())
        .all(txn)
        .await?;
    let mut had = HashMap::new();
    for line in lines {
        if !refused.iter().any(|row| (row.order_id, row.position) == (line.order_id, line.position)) {
            *had.entry(line.price_id).or_insert(0) += line.quantity;
        }
    }
    Ok(had)
}

/// Refuses what goes beyond the limit that a price has for one customer.
pub(super) fn within_limits(
    basket: &Basket,
    had: &HashMap<PriceId, i64>,
    field: impl Fn(usize) -> String,
) -> Result<(), Refusal> {
    let mut had = had.clone();
    for (number, line) in basket.lines.iter().enumerate() {
        let Some(most) = line.price.max_per_customer else { continue };
        let before = had.entry(line.price.id).or_insert(0);
        if *before + line.quantity > most {
            return Err(Sale::LimitPerCustomer { field: field(number), most, had: *before }.into());
        }
        *before += line.quantity;
    }
    Ok(())
}
