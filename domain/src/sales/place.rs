//! Placing orders: by staff, by customers, and by strangers, who learn nothing from it.

use entity::product_order::Status;
use entity::{CustomerId, CustomerOwned, Minor, OrderId, Owned, customer, payment};
use sea_orm::sea_query::LockType;
use sea_orm::{ColumnTrait, QueryFilter, QuerySelect};
use serde::Serialize;
use serde_json::{Value, json};

use super::basket::{self, Basket, Wanted};
use super::fulfil::{self, Terms};
use super::orders::{awaiting_payment, emit, insert};
use super::{collect, payments, renewals, strangers, subscriptions};
use crate::customers;
use crate::ground::error::{Refusal, Result};
use crate::ground::input;
use crate::ground::refusal::sale::Sale;
use crate::ground::scope::{Role, Scope};
use crate::identity::caller::Caller;
use crate::identity::once::{Operation, once};
use crate::storage::ports::payments::PaymentProvider;
use crate::storage::tx::Tx;

/// An order that is about to be.
#[derive(Clone, Debug, Serialize)]
pub struct NewOrder {
    pub buyer: Buyer,
    pub lines: Vec<Wanted>,
    pub note: Option<String>,
    pub metadata: Option<Value>,
    /// A stored method of the account's payment provider.
    pub payment_method: Option<String>,
}

/// Whose order it is.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Buyer {
    /// A customer's: said by staff, or the customer's own.
    Customer(Option<CustomerId>),
    /// Of somebody who says who it is.
    Anonymous { name: String, email: String },
}

/// Places an order, once per key. What costs nothing is paid at once, and so is what costs credits that are there.
pub async fn place(caller: &Caller, new: NewOrder, key: &str) -> Result<(OrderId, bool)> {
    let scope = scope_of(caller);
    let new = check(caller, new)?;
    if caller.role() == Role::Anyone && uuid::Uuid::parse_str(key).map_or(0, |key| key.get_version_num()) != 4 {
        let message = "Must be a random UUID (version 4): it is all that keeps others from asking for this order.";
        return Err(Refusal::invalid("idempotencyKey", message).into());
    }
    let (order, replayed) = once(caller, scope, key, &new).await?;
    let pending = {
        let account = caller.authorise(scope)?;
        let txn = caller.app().store().snapshot().await?;
        let pending = payment::Entity::of(account).filter(payment::Column::OrderId.eq(order));
        pending.filter(payment::Column::Status.eq(payment::Status::Pending)).one(&*txn).await?
    };
    if let Some(pending) = pending.filter(|pending| pending.provider_reference.is_none()) {
        collect::now(caller.app(), pending.account_id, pending.id).await;
    }
    Ok((order, replayed))
}

/// What a caller needs to order.
pub(super) fn scope_of(caller: &Caller) -> Scope {
    if caller.role() == Role::Anyone { Scope::OrderForm } else { Scope::Buy }
}

pub(super) fn check(caller: &Caller, mut new: NewOrder) -> Result<NewOrder, Refusal> {
    new.note = input::optional_text("note", new.note.as_deref(), input::NOTE)?;
    new.metadata = new.metadata.map(|json| input::metadata("metadata", json)).transpose()?;
    new.payment_method = input::optional_text("paymentMethod", new.payment_method.as_deref(), input::NAME)?;
    if !caller.role().may(Scope::StaffRead) && new.metadata.is_some() {
        return Err(Refusal::invalid("metadata", "Is for staff. Leave it out."));
    }
    // Given or left out, an empty object is one request.
    new.metadata = new.metadata.filter(|json| json.as_object().is_some_and(|it| !it.is_empty()));
    new.buyer = match (caller.role(), new.buyer) {
        (Role::Anyone, Buyer::Anonymous { name, email }) => Buyer::Anonymous {
            name: input::text("buyer.name", &name, input::NAME)?,
            email: input::email("buyer.email", &email)?,
        },
        (Role::Anyone, Buyer::Customer(_)) => {
            return Err(Refusal::invalid("buyer", "Say who you are: give a name and an e-mail address."));
        }
        (_, Buyer::Anonymous { .. }) => {
            return Err(Refusal::invalid(
                "buyer",
                "Is for buyers without a token. Give customerId, or order for yourself.",
            ));
        }
        (Role::Customer(own), Buyer::Customer(other)) if other.is_none_or(|other| other == own) => {
            Buyer::Customer(Some(own))
        }
        (Role::Customer(_), Buyer::Customer(_)) => return Err(Refusal::not_found("customerId", "customer")),
        (_, Buyer::Customer(None)) => return Err(Refusal::invalid("customerId", "Say whose order it is.")),
        (_, buyer) => buyer,
    };
    Ok(new)
}

/// What makes a basket more than this account, or this buyer, may order.
pub(super) fn may_order(account: &entity::account::Model, basket: &Basket, anonymous: bool) -> Result<(), Refusal> {
    if !account.credits_enabled && basket.lines.iter().any(|line| line.credit_type.is_some()) {
        return Err(Refusal::CreditsDisabled);
    }
    for (number, line) in basket.lines.iter().enumerate() {
        // To say that somebody had enough of it would say that somebody is known.
        let limited = line.price.max_per_customer.is_some() && basket.total > Minor::ZERO;
        if anonymous && (line.costs_credits() || limited) {
            return Err(Sale::SignInRequired { field: basket::price_field(number) }.into());
        }
    }
    Ok(())
}

impl Operation for NewOrder {
    const NAME: &'static str = "orderPlace";
    type Made = OrderId;

    async fn run(&self, tx: &Tx, caller: &Caller) -> Result<OrderId> {
        place_in(tx, caller, self).await
    }
}

async fn place_in(tx: &Tx, caller: &Caller, new: &NewOrder) -> Result<OrderId> {
    let store = caller.app().store().as_ref();
    let basket = basket::load(tx.db(), (&tx.account, tx.now), &new.lines).await?;
    let anonymous = matches!(new.buyer, Buyer::Anonymous { .. });
    may_order(&tx.account, &basket, anonymous)?;
    if anonymous && basket.total.is_zero() {
        caller.app().trials().take(tx.account.id, caller.from())?;
    }
    let customer = match &new.buyer {
        Buyer::Anonymous { name, email } => customers::of_buyer(tx, name, email).await?,
        Buyer::Customer(id) => {
            let id = id.ok_or_else(|| Refusal::not_found("customerId", "customer"))?;
            customer_of(tx, id).await?
        }
    };
    let (limits, archived) = limits(tx, &customer, &basket).await?;
    let mut terms = Terms::by(caller.actor());
    match limits.and(archived) {
        Ok(()) => {}
        // The same answer to whoever asks: staff sees why nothing was given.
        Err(refusal) if anonymous => {
            terms.withheld = (0..).zip(&basket.lines).map(|(at, _)| (at, refusal.clone())).collect();
        }
        Err(refusal) => return Err(refusal.into()),
    }
    let mut order = awaiting_payment(tx, customer.id, &basket, caller.actor());
    if let Buyer::Anonymous { name, email } = &new.buyer {
        (order.buyer_name, order.buyer_email) = (Some(name.clone()), Some(email.clone()));
    }
    if anonymous && !basket.total.is_zero() {
        order.stranger = Some(strangers::take(tx, caller, &basket).await?);
    }
    order.note.clone_from(&new.note);
    order.metadata = new.metadata.clone().unwrap_or_else(|| json!({}));
    let mut subscription = None;
    if basket.renews() {
        let mut row = subscriptions::open(tx, &order, &basket, new.payment_method.clone()).await?;
        (order.subscription_id, order.renewal_number) = (Some(row.id), Some(0));
        if basket.total.is_zero() {
            let (price, gives_nothing) = (&basket.lines[0].price, !terms.withheld.is_empty());
            let (begun, period) = subscriptions::begin(tx, &row, price, gives_nothing).await?;
            (row, terms.period) = (begun, Some(period));
        }
        subscription = Some(row);
    }
    let provider = chargeable(caller, &tx.account, &basket, new)?;
    let paid = basket.total.is_zero();
    let given = if paid { fulfil::give(tx, store, &order, &basket.lines, &terms).await? } else { Vec::new() };
    if paid {
        (order.status, order.paid_at) = (Status::Paid, Some(tx.now));
    }
    insert(tx, &mut order, &basket, given).await?;
    emit(tx, "order.placed", &order);
    if paid {
        payments::emit_paid(tx, &order, subscription.as_ref());
        if let (Some(subscription), Some((_, period))) = (order.subscription_id, terms.period) {
            renewals::insert_paid(tx, subscription, &order, basket.lines[0].price.id, period).await?;
        }
    } else if provider.collects() {
        collect::open(tx, &order, provider.name(), new.payment_method.clone()).await?;
    }
    Ok(order.id)
}

/// Who settles an order: a provider that is asked to collect has to know what it charges for renewals.
pub(super) fn chargeable<'a>(
    caller: &'a Caller,
    account: &entity::account::Model,
    basket: &Basket,
    new: &NewOrder,
) -> Result<&'a dyn PaymentProvider, Refusal> {
    let provider = caller.app().providers().of_account(account, &account.payment_provider)?;
    let charges = provider.collects() && basket.renews() && !basket.total.is_zero();
    if charges && new.payment_method.is_none() {
        return Err(Sale::PaymentMethodMissing.into());
    }
    Ok(provider.as_ref())
}

/// The customer of an order, locked, so that two orders of one customer come after one another.
async fn customer_of(tx: &Tx, id: CustomerId) -> Result<customer::Model> {
    let found = customer::Entity::of_customer(tx.account.id, id).lock(LockType::NoKeyUpdate).one(tx.db()).await?;
    found.ok_or_else(|| Refusal::not_found("customerId", "customer").into())
}

/// Whether the customer may have as much, and may have anything at all.
async fn limits(
    tx: &Tx,
    customer: &customer::Model,
    basket: &Basket,
) -> Result<(Result<(), Refusal>, Result<(), Refusal>)> {
    let limited = basket.lines.iter().filter(|line| line.price.max_per_customer.is_some());
    let limited = limited.map(|line| line.price.id).collect::<Vec<_>>();
    let within = if limited.is_empty() {
        Ok(())
    } else {
        let had = basket::ordered(tx.db(), tx.account.id, customer.id, &limited).await?;
        basket::within_limits(basket, &had, basket::quantity_field)
    };
    if customer.erased_at.is_some() {
        let message = "This customer was erased: nothing is ordered for it any more.";
        return Err(Refusal::invalid("customerId", message).into());
    }
    let archived = customer.archived_at.is_some()
        && basket.lines.iter().any(|line| line.credit_type.is_some() && !line.costs_credits());
    let archived = if archived { Err(Refusal::CustomerArchived { field: "customerId".to_owned() }) } else { Ok(()) };
    Ok((within, archived))
}
