//! Order forms: what is on sale behind a link, and what a quantity would cost.

use std::collections::HashMap;

use entity::price::Kind;
use entity::{CreditTypeId, Credits, Minor, Owned, PriceId, credit_type, price, product};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};

use super::basket::{self, Basket, Line};
use super::period::{self, Anchor};
use super::place::{NewOrder, chargeable, check, may_order, scope_of};
use crate::catalog::prices::{self, tiers_of};
use crate::catalog::pricing::{self, Tier};
use crate::catalog::products;
use crate::customers;
use crate::ground::clock::Instant;
use crate::ground::error::{Refusal, Result};
use crate::ground::refusal::sale::Sale;
use crate::ground::scope::Scope;
use crate::identity::caller::Caller;
use crate::ledger::balances;
use crate::ledger::expiration::{at_issue, zone_of};
use crate::storage::tx::View;

/// What is behind a link.
#[derive(Clone, Debug)]
pub struct Form {
    pub account: entity::account::Model,
    pub product: product::Model,
    /// Of a credit product: what it issues.
    pub credit_type: Option<credit_type::Model>,
    pub prices: Vec<Offer>,
    now: Instant,
    own: Option<Own>,
}

/// A price on sale.
#[derive(Clone, Debug)]
pub struct Offer {
    pub price: price::Model,
    /// Of a price in credits: of which type.
    pub costs: Option<credit_type::Model>,
}

/// What a customer can use now, of each type.
type Own = HashMap<CreditTypeId, Credits>;

/// What a caller sees at the counter of an account that a link names; none if there is no such account.
pub async fn counter(caller: &Caller, account: &str) -> Result<Option<View>> {
    match caller.at_counter(account).await? {
        Some(visitor) => visitor.view(Scope::OrderForm).await.map(Some),
        None => Ok(None),
    }
}

/// What is on sale behind a link; none if nothing is.
pub async fn form(view: &View, slug: &str) -> Result<Option<Form>> {
    let Some(product) = products::on_sale(view, slug).await? else { return Ok(None) };
    let key = (product.id, false);
    let on_sale = prices::of_products(view, &[key]).await?.remove(&key).unwrap_or_default();
    let wanted = on_sale.iter().filter_map(|price| price.credit_type_id).chain(product.credit_type_id);
    let types = types(view, wanted).await?;
    let find = |id: Option<CreditTypeId>| id.and_then(|id| types.get(&id)).cloned();
    let issued = find(product.credit_type_id);
    // What would end before it begins is not offered (selling.md, S14).
    let is_over = |price: &price::Model| {
        let line = basket::priced("quantity", product.clone(), price.clone(), price.minimum_quantity);
        let pair = line.ok().zip(issued.as_ref());
        pair.is_some_and(|(line, issued)| basket::is_over(&line, view.account(), issued, view.now()))
    };
    let prices = on_sale.into_iter().filter(|price| !is_over(price));
    let prices = prices.map(|price| Offer { costs: find(price.credit_type_id), price }).collect();
    Ok(Some(Form {
        account: view.account().clone(),
        credit_type: issued,
        product,
        prices,
        now: view.now(),
        own: own(view).await?,
    }))
}

async fn types(
    view: &View,
    ids: impl Iterator<Item = CreditTypeId>,
) -> Result<HashMap<CreditTypeId, credit_type::Model>> {
    let rows = credit_type::Entity::of(view.account().id).filter(credit_type::Column::Id.is_in(ids));
    Ok(rows.all(view.db()).await?.into_iter().map(|row| (row.id, row)).collect())
}

/// What the caller can use, if it is a customer.
async fn own(view: &View) -> Result<Option<Own>> {
    let Some(customer) = view.customer() else { return Ok(None) };
    let wallets = balances::wallets(view, &[customer]).await?.remove(&customer).unwrap_or_default();
    let all = wallets.into_iter().map(|wallet| balances::balance(wallet, view.now()));
    Ok(Some(all.map(|balance| (balance.credit_type, balance.available)).collect()))
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
    /// Of a price in credits, for a customer: how many it can use now, and whether they cover it.
    pub available: Option<Credits>,
    pub covered: Option<bool>,
}

impl Form {
    /// What a quantity at one of its prices would cost (pure).
    pub fn quote(&self, price: &price::Model, quantity: i64) -> Result<Quote, Refusal> {
        let line = basket::priced("quantity", self.product.clone(), price.clone(), quantity)?;
        Ok(quoted(line, &self.account, self.now, self.credit_type.as_ref(), self.own.as_ref()))
    }
}

/// What a quantity at a price on sale would cost; for a customer, also whether its credits cover it.
pub async fn quote(view: &View, id: PriceId, quantity: i64) -> Result<Option<Quote>> {
    let found = price::Entity::of(view.account().id).filter(price::Column::Id.eq(id)).one(view.db()).await?;
    let Some(price) = found else { return Ok(None) };
    let product = products::of_rows_in_hand(view, &[price.product_id]).await?.remove(&price.product_id);
    let Some(product) = product else { return Ok(None) };
    // What is not on sale is not there for who does not work here.
    if !view.is_staff() && basket::on_sale("priceId", &product, &price).is_err() {
        return Ok(None);
    }
    let line = basket::priced("quantity", product, price, quantity)?;
    let types = types(view, line.product.credit_type_id.into_iter()).await?;
    if types.values().next().is_some_and(|issued| basket::is_over(&line, view.account(), issued, view.now())) {
        return Err(Sale::PriceOver { field: "priceId".to_owned() }.into());
    }
    let own = if line.costs_credits() { own(view).await? } else { None };
    Ok(Some(quoted(line, view.account(), view.now(), types.values().next(), own.as_ref())))
}

/// A priced line, and what there is to say about it (pure).
fn quoted(
    line: Line,
    account: &entity::account::Model,
    now: Instant,
    issued: Option<&credit_type::Model>,
    own: Option<&Own>,
) -> Quote {
    let tiers = tiers_of(&line.price);
    let mode = line.price.tier_mode;
    let total = |quantity: i64| mode.and_then(|mode| pricing::total(mode, &tiers, quantity));
    let fewer = (line.quantity > line.price.minimum_quantity).then(|| total(line.quantity - 1)).flatten();
    let sold = |quantity: &i64| line.price.most().is_none_or(|most| *quantity <= most);
    let next = tiers.iter().map(|tier| tier.from).find(|from| *from > line.quantity).filter(sold);
    let next = next.and_then(|from| total(from).map(|sum| (from, sum, sum - line.amount)));
    let units = if line.costs_credits() || line.credits.is_zero() { line.quantity } else { line.credits.0 };
    let available = own.filter(|_| line.costs_credits());
    let available = available.map(|own| line.credit_type.and_then(|id| own.get(&id)).copied().unwrap_or_default());
    Quote {
        tier: pricing::tier_of(&tiers, line.quantity).copied(),
        each: line.price.currency.as_ref().and_then(|_| pricing::per_credit(line.amount, units)),
        more_than_fewer: fewer.map(|fewer| line.amount - fewer),
        next,
        expires_at: issued.and_then(|issued| expires_at(&line, account, now, issued)),
        covered: available.map(|available| account.credits_enabled && available >= line.credits),
        available,
        line,
    }
}

/// When the credits of a line would end, if it were paid now: of a subscription, those of its first part (pure).
fn expires_at(
    line: &Line,
    account: &entity::account::Model,
    now: Instant,
    issued: &credit_type::Model,
) -> Option<Instant> {
    let zone = zone_of(&account.time_zone);
    let anchor = Anchor { at: now, number: 0, zone };
    let policy = match line.price.kind {
        Kind::Credits => return None,
        Kind::OneTime => line.policy,
        Kind::Subscription => period::period(&line.price, anchor, 0)
            .and_then(|first| period::parts(&line.price, line.policy, anchor, first, (line.credits, line.amount)))
            .and_then(|parts| parts.first().and_then(|part| part.expiration)),
    };
    at_issue(policy.unwrap_or_else(|| issued.policy()), now, zone)
}

/// What placing an order would come to. Takes no lock, knows no key, writes nothing.
pub async fn preview(caller: &Caller, new: NewOrder) -> Result<Basket> {
    let new = check(caller, new)?;
    let view = caller.view(scope_of(caller)).await?;
    let basket = basket::load(view.db(), (view.account(), view.now()), &new.lines).await?;
    let customer = match &new.buyer {
        super::place::Buyer::Anonymous { .. } => None,
        super::place::Buyer::Customer(id) => *id,
    };
    may_order(view.account(), &basket, customer.is_none())?;
    chargeable(caller, view.account(), &basket, &new)?;
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
        basket::within_limits(&basket, &had, basket::quantity_field)?;
    }
    covered(&view, customer, &basket).await?;
    Ok(basket)
}

/// Refuses what costs more credits than the customer has.
async fn covered(view: &View, customer: entity::CustomerId, basket: &Basket) -> Result<()> {
    let mut costs: HashMap<CreditTypeId, (usize, Credits)> = HashMap::new();
    for (number, line) in basket.lines.iter().enumerate().filter(|(_, line)| line.costs_credits()) {
        if let Some(credit_type) = line.credit_type {
            let sum = costs.entry(credit_type).or_default();
            *sum = (number, sum.1 + line.credits);
        }
    }
    if costs.is_empty() {
        return Ok(());
    }
    let wallets = balances::wallets(view, &[customer]).await?.remove(&customer).unwrap_or_default();
    let all = wallets.into_iter().map(|wallet| balances::balance(wallet, view.now())).collect::<Vec<_>>();
    for (credit_type, (number, requested)) in costs {
        let balance = all.iter().find(|balance| balance.credit_type == credit_type);
        let available = balance.map(|balance| balance.available).unwrap_or_default();
        if available < requested {
            return Err(Refusal::InsufficientCredits {
                field: Some(basket::quantity_field(number)),
                requested,
                available,
                held: balance.map(|balance| balance.held).unwrap_or_default(),
                expired: balance.map(|balance| balance.totals.expired).unwrap_or_default(),
                not_yet_effective: balance.map(|balance| balance.not_yet_effective).unwrap_or_default(),
                frozen: balance.map(|balance| balance.frozen).unwrap_or_default(),
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
            let times = price.most().map_or(times, |most| times.min(most));
            let enough = times >= price.minimum_quantity;
            enough.then(|| Affordable { product: product.clone(), price: price.clone(), times })
        });
        affordable.entry(balance.customer).or_default().extend(offers);
    }
    Ok(affordable)
}
