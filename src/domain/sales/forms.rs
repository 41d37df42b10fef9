//! Order forms: what is on sale behind a link, and what a quantity would cost.

use std::collections::HashMap;

use entity::price::Kind;
use entity::{Credits, Minor, Owned, PriceId, credit_type, price, product};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};

use super::basket::{self, Basket, Line};
use super::period::{self, Anchor};
use super::place::{NewOrder, check, may_order, scope_of};
use crate::domain::caller::{Caller, Role, Scope};
use crate::domain::catalog::prices::{self, tiers_of};
use crate::domain::catalog::pricing::{self, Tier};
use crate::domain::catalog::products;
use crate::domain::clock::Instant;
use crate::domain::customers;
use crate::domain::error::{Refusal, Result};
use crate::domain::ledger::balances;
use crate::domain::ledger::expiration::{at_issue, zone_of};
use crate::domain::tx::View;

/// What is behind a link.
#[derive(Clone, Debug)]
pub struct Form {
    pub account: entity::account::Model,
    pub product: product::Model,
    /// Of a credit product: what it issues.
    pub credit_type: Option<credit_type::Model>,
    pub prices: Vec<Offer>,
}

/// A price on sale.
#[derive(Clone, Debug)]
pub struct Offer {
    pub price: price::Model,
    /// Of a price in credits: of which type.
    pub costs: Option<credit_type::Model>,
}

/// What is on sale behind a link; none if nothing is.
pub async fn form(caller: &Caller, account: &str, slug: &str) -> Result<Option<(Caller, Form)>> {
    let Some(visitor) = caller.at_counter(account).await? else { return Ok(None) };
    let view = visitor.view(Scope::OrderForm).await?;
    let Some(product) = products::on_sale(&view, slug).await? else { return Ok(None) };
    let key = (product.id, false);
    let on_sale = prices::of_products(&view, &[key]).await?.remove(&key).unwrap_or_default();
    let types =
        types(&view, on_sale.iter().filter_map(|price| price.credit_type_id).chain(product.credit_type_id)).await?;
    let find = |id: Option<entity::CreditTypeId>| id.and_then(|id| types.get(&id)).cloned();
    let prices = on_sale.into_iter().map(|price| Offer { costs: find(price.credit_type_id), price }).collect();
    let form = Form { account: view.account().clone(), credit_type: find(product.credit_type_id), product, prices };
    Ok(Some((visitor, form)))
}

async fn types(
    view: &View,
    ids: impl Iterator<Item = entity::CreditTypeId>,
) -> Result<HashMap<entity::CreditTypeId, credit_type::Model>> {
    let rows = credit_type::Entity::of(view.account().id).filter(credit_type::Column::Id.is_in(ids));
    Ok(rows.all(view.db()).await?.into_iter().map(|row| (row.id, row)).collect())
}

/// What a quantity costs, and what it gives.
#[derive(Clone, Debug)]
pub struct Quote {
    pub line: Line,
    /// The tier that the quantity falls in.
    pub tier: Option<Tier>,
    /// What one credit, or else one unit, comes to, rounded half up to the minor unit.
    pub each: Option<Minor>,
    /// How much more it costs than one unit fewer; none for the first.
    pub more_than_fewer: Option<Minor>,
    /// The next tier: from which quantity on, what that costs, and how much more that is.
    pub next: Option<(i64, Minor, Minor)>,
    /// When its credits would end, if it were paid now.
    pub expires_at: Option<Instant>,
    /// Of a price in credits, for a customer: how many it has, and whether they cover it.
    pub available: Option<Credits>,
    pub covered: Option<bool>,
}

/// What a quantity at a price on sale would cost; for a customer, also whether its credits cover it. An account says
/// where to look, for who belongs to none.
pub async fn quote(caller: &Caller, account: Option<&str>, id: PriceId, quantity: i64) -> Result<Option<Quote>> {
    let visitor = match account {
        Some(slug) => match caller.at_counter(slug).await? {
            Some(visitor) => visitor,
            None => return Ok(None),
        },
        None if caller.role() == Role::Anyone && caller.authorise(Scope::OrderForm).is_err() => {
            return Err(Refusal::invalid("account", "Say whose price it is: give the account's slug.").into());
        }
        None => caller.clone(),
    };
    let view = visitor.view(Scope::OrderForm).await?;
    let txn = view.db();
    let found = price::Entity::of(view.account().id).filter(price::Column::Id.eq(id)).one(txn).await?;
    let Some(price) = found else { return Ok(None) };
    let product = products::of_rows_in_hand(&view, &[price.product_id]).await?.remove(&price.product_id);
    let Some(product) = product else { return Ok(None) };
    // What is not on sale is not there for who does not work here.
    if !view.is_staff() && basket::on_sale("priceId", &product, &price).is_err() {
        return Ok(None);
    }
    let line = basket::priced("quantity", product, price, quantity)?;
    let mut quote = priced(&view, line).await?;
    if let (Role::Customer(customer), Kind::Credits) = (visitor.role(), quote.line.price.kind) {
        let wallets = balances::wallets(&view, &[customer]).await?.remove(&customer).unwrap_or_default();
        let wallet = wallets.into_iter().find(|wallet| Some(wallet.row.credit_type_id) == quote.line.credit_type);
        let available = wallet.map(|wallet| balances::balance(wallet, view.now()).available).unwrap_or_default();
        quote.available = Some(available);
        quote.covered = Some(view.account().credits_enabled && available >= quote.line.credits);
    }
    Ok(Some(quote))
}

async fn priced(view: &View, line: Line) -> Result<Quote> {
    let tiers = tiers_of(&line.price);
    let mode = line.price.tier_mode;
    let total = |quantity: i64| mode.and_then(|mode| pricing::total(mode, &tiers, quantity));
    let tier = pricing::tier_of(&tiers, line.quantity).copied();
    let fewer = (line.quantity > line.price.minimum_quantity).then(|| total(line.quantity - 1)).flatten();
    let sold = |quantity: &i64| line.price.maximum_quantity.is_none_or(|most| *quantity <= most);
    let next = tiers.iter().map(|tier| tier.from).find(|from| *from > line.quantity).filter(sold);
    let next = next.and_then(|from| total(from).map(|sum| (from, sum, sum - line.amount)));
    let units = if line.costs_credits() || line.credits.is_zero() { line.quantity } else { line.credits.0 };
    Ok(Quote {
        each: line.price.currency.as_ref().and_then(|_| pricing::per_credit(line.amount, units)),
        more_than_fewer: fewer.map(|fewer| line.amount - fewer),
        expires_at: expires_at(view, &line).await?,
        tier,
        next,
        available: None,
        covered: None,
        line,
    })
}

/// When the credits of a line would end, if it were paid now: of a subscription, those of its first part.
async fn expires_at(view: &View, line: &Line) -> Result<Option<Instant>> {
    let Some(credit_type) = line.credit_type.filter(|_| !line.costs_credits()) else { return Ok(None) };
    let zone = zone_of(&view.account().time_zone);
    let anchor = Anchor { at: view.now(), number: 0, zone };
    let policy = match line.price.kind {
        Kind::Subscription => period::period(&line.price, anchor, 0)
            .and_then(|first| period::parts(&line.price, line.policy(), anchor, first, (line.credits, line.amount)))
            .and_then(|parts| parts.first().and_then(|part| part.expiration)),
        _ => line.policy(),
    };
    let policy = match policy {
        Some(policy) => Some(policy),
        None => types(view, std::iter::once(credit_type)).await?.remove(&credit_type).map(|found| found.policy()),
    };
    Ok(policy.and_then(|policy| at_issue(policy, view.now(), zone)))
}

/// What placing an order would come to. Takes no lock, knows no key, writes nothing.
pub async fn preview(caller: &Caller, new: NewOrder) -> Result<Basket> {
    let new = check(caller, new)?;
    let view = caller.view(scope_of(caller)).await?;
    let basket = basket::load(view.db(), view.account().id, &new.lines).await?;
    let customer = match new.buyer {
        super::place::Buyer::Anonymous { .. } => None,
        super::place::Buyer::Customer(id) => id,
    };
    may_order(view.account(), &basket, customer.is_none())?;
    let Some(customer) = customer else { return Ok(basket) };
    let found = customers::by_ids(&view, &[customer]).await?.remove(&customer);
    let found = found.ok_or_else(|| Refusal::not_found("customerId", "customer"))?;
    let issues = basket.lines.iter().any(|line| line.credit_type.is_some() && !line.costs_credits());
    if found.archived_at.is_some() && issues {
        return Err(Refusal::CustomerArchived { field: "customerId".to_owned() }.into());
    }
    let limited = basket.lines.iter().filter(|line| line.price.max_per_customer.is_some());
    let limited = limited.map(|line| line.price.id).collect::<Vec<_>>();
    if !limited.is_empty() {
        let had = basket::ordered(view.db(), view.account().id, customer, &limited).await?;
        basket::within_limits(&basket, &had)?;
    }
    covered(&view, customer, &basket).await?;
    Ok(basket)
}

/// Refuses what costs more credits than the customer has.
async fn covered(view: &View, customer: entity::CustomerId, basket: &Basket) -> Result<()> {
    let mut costs: HashMap<entity::CreditTypeId, Credits> = HashMap::new();
    for line in basket.lines.iter().filter(|line| line.costs_credits()) {
        if let Some(credit_type) = line.credit_type {
            *costs.entry(credit_type).or_default() += line.credits;
        }
    }
    if costs.is_empty() {
        return Ok(());
    }
    let wallets = balances::wallets(view, &[customer]).await?.remove(&customer).unwrap_or_default();
    let all = wallets.into_iter().map(|wallet| balances::balance(wallet, view.now())).collect::<Vec<_>>();
    for (credit_type, requested) in costs {
        let balance = all.iter().find(|balance| balance.credit_type == credit_type);
        let available = balance.map(|balance| balance.available).unwrap_or_default();
        if available < requested {
            return Err(Refusal::InsufficientCredits {
                requested,
                available,
                held: balance.map(|balance| balance.held).unwrap_or_default(),
                expired: balance.map(|balance| balance.totals.expired).unwrap_or_default(),
                not_yet_effective: balance.map(|balance| balance.not_yet_effective).unwrap_or_default(),
            }
            .into());
        }
    }
    Ok(())
}

/// Something on sale that is paid in credits, and how often a customer's credits cover it now.
#[derive(Clone, Debug)]
pub struct Affordable {
    pub price: price::Model,
    pub product: product::Model,
    pub times: i64,
}

/// What customers can buy with the credits they have.
pub async fn affordable(
    view: &View,
    customers: &[entity::CustomerId],
) -> Result<HashMap<entity::CustomerId, Vec<Affordable>>> {
    let mut affordable: HashMap<_, Vec<_>> = HashMap::new();
    if !view.account().credits_enabled {
        return Ok(affordable);
    }
    let wallets = balances::wallets(view, customers).await?;
    let types = wallets.values().flatten().map(|wallet| wallet.row.credit_type_id);
    let in_credits = price::Entity::of(view.account().id)
        .filter(price::Column::CreditTypeId.is_in(types.collect::<std::collections::BTreeSet<_>>()))
        .filter(price::Column::ArchivedAt.is_null())
        .order_by_asc(price::Column::Id)
        .all(view.db())
        .await?;
    let ids = in_credits.iter().map(|price| price.product_id).collect::<Vec<_>>();
    let products = products::of_rows_in_hand(view, &ids).await?;
    for wallet in wallets.into_values().flatten() {
        let balance = balances::balance(wallet, view.now());
        let here = in_credits.iter().filter(|price| price.credit_type_id == Some(balance.credit_type));
        let offers = here.filter_map(|price| {
            let product =
                products.get(&price.product_id).filter(|product| product.status == product::Status::Active)?;
            let times = balance.available.0 / price.credit_amount?.0;
            let times = price.maximum_quantity.map_or(times, |most| times.min(most));
            let enough = times >= price.minimum_quantity;
            enough.then(|| Affordable { product: product.clone(), price: price.clone(), times })
        });
        affordable.entry(balance.customer).or_default().extend(offers);
    }
    Ok(affordable)
}
