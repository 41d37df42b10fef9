//! What staff, or a customer, does with a subscription: change it, pause it, resume it, end it; once per key, if there is
//! one, and as a dry run.
//!
//! Each first lets happen what is due, so that a period that began before a pause is charged, and one that began within it
//! is not, whether a worker came in between or not.

use entity::price::Kind;
use entity::renewal;
use entity::subscription::{Model, Status};
use entity::{
    AccountId, Credits, CustomerId, Minor, Owned, PaymentId, PriceId, SubscriptionId, payment, price, product,
    product_order,
};
use sea_orm::{ActiveModelTrait, ColumnTrait, DatabaseTransaction, IntoActiveModel, QueryFilter, Set};
use serde::Serialize;

use super::basket::{self, Basket, Line};
use super::subscriptions::{emit, end, in_words, lock};
use super::{anew, change, collect, renewals, unpaid};
use crate::customers;
use crate::ground::clock::Instant;
use crate::ground::error::{Error, Refusal, Result};
use crate::ground::fault::{self, Fault};
use crate::ground::input;
use crate::ground::refusal::sale::Sale;
use crate::ground::scope::{Role, Scope};
use crate::identity::caller::Caller;
use crate::identity::once::{Operation, once_if};
use crate::storage::tx::{Tx, View};

/// What staff, or the customer, changes; what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Changes {
    /// Another price; `Some(None)` keeps the present one after all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Option<PriceId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<i64>,
    /// Whether price and quantity change now, and not from the next period on.
    pub now: bool,
    /// Whether it ends with the present period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancel_at_period_end: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_method: Option<Option<String>>,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    Update(Changes),
    /// Periods that begin meanwhile are skipped.
    Pause,
    /// Within a paid period, or while an order is open, nothing begins and the periods are counted as before. Later the
    /// period that was skipped ends here, and a new one is charged: it begins with its payment, which a stored method makes
    /// at once, and the next ones are counted from it (selling.md, S13).
    Resume,
    /// Now, with what is unpaid of it; what was paid stays.
    Cancel(Option<String>),
}

/// Something that is done with a subscription.
#[derive(Clone, Debug, Serialize)]
pub struct Verb {
    pub subscription: SubscriptionId,
    pub what: What,
}

/// What it would come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// What would be charged now.
    pub charged: Minor,
    pub currency: String,
    /// How many unused credits would go back, and what they had cost, which lowers the charge.
    pub returned: (Credits, Minor),
    /// When the next charge after that would be; none if there would be none.
    pub next_at: Option<Instant>,
    /// How much that would be.
    pub next_total: Minor,
}

/// Does something with a subscription, once per key, if there is one. Doing it twice changes nothing.
pub async fn act(caller: &Caller, verb: Verb, key: Option<&str>) -> Result<(SubscriptionId, bool)> {
    let verb = check(verb)?;
    bring_up_to_date(caller, verb.subscription).await?;
    let (id, replayed) = once_if(caller, Scope::Buy, key, &verb).await?;
    if !replayed {
        let account = caller.authorise(Scope::Buy)?;
        for payment in opened(caller, account, id).await? {
            collect::now(caller.app(), account, payment).await;
        }
    }
    Ok((id, replayed))
}

/// Refuses what is outside the limits, before anything is locked.
fn check(mut verb: Verb) -> Result<Verb, Refusal> {
    match &mut verb.what {
        What::Update(changes) => {
            if let Some(Some(method)) = &mut changes.payment_method {
                *method = input::text("paymentMethod", method, input::NAME)?;
            }
            if changes.now && changes.price.is_none() && changes.quantity.is_none() {
                return Err(Refusal::invalid("when", "Is for another price or quantity: give one."));
            }
        }
        What::Cancel(reason) => *reason = input::optional_text("reason", reason.as_deref(), input::NAME)?,
        What::Pause | What::Resume => {}
    }
    Ok(verb)
}

/// Payments of a subscription that nobody was asked for yet.
async fn opened(caller: &Caller, account: AccountId, id: SubscriptionId) -> Result<Vec<PaymentId>> {
    let txn = caller.app().store().snapshot().await?;
    let open = product_order::Entity::of(account)
        .filter(product_order::Column::SubscriptionId.eq(id))
        .filter(product_order::Column::Status.eq(product_order::Status::AwaitingPayment));
    let orders = open.all(&*txn).await?.into_iter().map(|order| order.id).collect::<Vec<_>>();
    if orders.is_empty() {
        return Ok(Vec::new());
    }
    let pending = payment::Entity::of(account)
        .filter(payment::Column::OrderId.is_in(orders))
        .filter(payment::Column::Status.eq(payment::Status::Pending))
        .filter(payment::Column::ProviderReference.is_null());
    Ok(pending.all(&*txn).await?.into_iter().map(|payment| payment.id).collect())
}

/// Whose subscriptions a caller may touch: a customer its own.
fn only(caller: &Caller) -> Option<CustomerId> {
    if let Role::Customer(customer) = caller.role() { Some(customer) } else { None }
}

/// Lets happen what is due.
async fn bring_up_to_date(caller: &Caller, id: SubscriptionId) -> Result<()> {
    loop {
        let tx = caller.begin(Scope::Buy).await?;
        let subscription = lock(&tx, id, only(caller)).await?;
        if !renewals::is_due(&tx, &subscription).await? {
            return Ok(());
        }
        let account = tx.account.id;
        drop(tx);
        renewals::run_due(caller.app(), account, id).await?;
    }
}

impl Operation for Verb {
    const NAME: &'static str = "subscription";
    type Made = SubscriptionId;

    async fn run(&self, tx: &Tx, caller: &Caller) -> Result<SubscriptionId> {
        let row = lock(tx, self.subscription, only(caller)).await?;
        if renewals::is_due(tx, &row).await? {
            return Err(Error::Conflict("a period began meanwhile".to_owned()));
        }
        may(&row, &self.what)?;
        match &self.what {
            What::Update(changes) => Box::pin(update(tx, caller, row, changes)).await?,
            What::Pause if row.status == Status::Active => {
                set_status(tx, row, Status::Paused, "subscription.paused").await?;
            }
            What::Resume if row.status == Status::Paused => Box::pin(resume(tx, caller, row)).await?,
            What::Cancel(reason) if row.status != Status::Cancelled => {
                let reason = customers::said_of(tx, row.customer_id, reason.clone()).await?;
                Box::pin(end(tx, caller.app().store(), row, reason, caller.actor())).await?;
            }
            _ => {}
        }
        Ok(self.subscription)
    }
}

/// Refuses what a subscription that stands so cannot do (pure).
fn may(row: &Model, what: &What) -> Result<(), Refusal> {
    let fits = match what {
        What::Update(changes) if changes.now => match row.status {
            Status::PastDue => return Err(Sale::SubscriptionOwes.into()),
            status => status == Status::Active,
        },
        What::Update(_) => row.status != Status::Cancelled,
        What::Pause => matches!(row.status, Status::Active | Status::Paused),
        What::Resume => matches!(row.status, Status::Active | Status::PastDue | Status::Paused),
        What::Cancel(_) => true,
    };
    if fits { Ok(()) } else { Err(Sale::SubscriptionStatus { status: in_words(row.status).to_owned() }.into()) }
}

async fn update(tx: &Tx, caller: &Caller, row: Model, changes: &Changes) -> Result<()> {
    let line = next_line(tx.db(), (&tx.account, tx.now), &row, changes).await?;
    let mut written = row.clone().into_active_model();
    if let Some(line) = line.as_ref().filter(|_| !changes.now) {
        written.pending_price_id = Set(Some(line.price.id).filter(|price| *price != row.price_id));
        written.pending_quantity = Set(Some(line.quantity).filter(|quantity| *quantity != row.quantity));
    }
    if let Some(ends) = changes.cancel_at_period_end {
        written.cancel_at_period_end = Set(ends);
    }
    if let Some(method) = &changes.payment_method {
        written.payment_method = Set(method.clone());
    }
    written.updated_at = Set(tx.now);
    let updated = written.update(tx.db()).await?;
    if changes.payment_method.is_some() {
        unpaid::collect_again(tx, caller.app(), &updated).await?;
    }
    if let Some(line) = line.filter(|_| changes.now) {
        owes_nothing(tx, &updated).await?;
        Box::pin(change::open(tx, caller.app(), &updated, line, caller.actor())).await?;
        let row = lock(tx, updated.id, None).await?;
        renewals::schedule(tx, &row).await?;
    }
    Ok(())
}

async fn owes_nothing(tx: &Tx, row: &Model) -> Result<(), Error> {
    if unpaid::periods(tx, row.id).await?.is_empty() { Ok(()) } else { Err(Sale::SubscriptionOwes.into()) }
}

/// What a subscription is to change to, if it is: on sale, renewing, in the same currency, within its limits.
async fn next_line(
    txn: &DatabaseTransaction,
    at: (&entity::account::Model, Instant),
    row: &Model,
    changes: &Changes,
) -> Result<Option<Line>> {
    if changes.price.is_none() && changes.quantity.is_none() {
        return Ok(None);
    }
    let account = at.0.id;
    let find = |id| price::Entity::of(account).filter(price::Column::Id.eq(id)).one(txn);
    let not_found = || Refusal::not_found("priceId", "price");
    let wanted = match changes.price {
        Some(price) => price.unwrap_or(row.price_id),
        None => row.pending_price_id.unwrap_or(row.price_id),
    };
    let quantity = match (changes.quantity, changes.price) {
        (Some(quantity), _) => quantity,
        // The present price after all, for as many as at present.
        (None, Some(None)) => row.quantity,
        (None, _) => row.pending_quantity.unwrap_or(row.quantity),
    };
    let found = find(wanted).await?.ok_or_else(not_found)?;
    let product = product::Entity::of(account).filter(product::Column::Id.eq(found.product_id));
    let product = product.one(txn).await?.ok_or_else(not_found)?;
    let field = if changes.quantity.is_some() && wanted == row.price_id { "quantity" } else { "priceId" };
    if wanted != row.price_id {
        basket::on_sale("priceId", &product, &found)?;
        if found.kind != Kind::Subscription {
            return Err(Refusal::invalid("priceId", "Must be the price of a subscription.").into());
        }
        let present = find(row.price_id).await?;
        if present.is_some_and(|present| present.currency != found.currency) {
            return Err(Refusal::invalid("priceId", "Must be in the subscription's currency.").into());
        }
    }
    let line = basket::priced(field, product, found, quantity)?;
    if wanted == row.price_id && quantity == row.quantity && !changes.now {
        return Ok(Some(line));
    }
    let alone = Basket { currency: line.price.currency.clone(), total: line.amount, lines: vec![line.clone()] };
    basket::can_be_given(txn, at, &alone, |_| field.to_owned()).await?;
    if wanted != row.price_id {
        let had = basket::ordered(txn, account, row.customer_id, &[wanted]).await?;
        basket::within_limits(&alone, &had, |_| field.to_owned())?;
    }
    Ok(Some(line))
}

/// Makes a paused subscription active again, and begins a period where it was paused beyond the one that was paid.
async fn resume(tx: &Tx, caller: &Caller, mut row: Model) -> Result<()> {
    still_sold(tx, &row).await?;
    let Some(skipped) = outlasted(tx, &row).await? else {
        return set_status(tx, row, Status::Active, "subscription.resumed").await;
    };
    anew::cut_short(tx, &mut row, skipped).await?;
    row.status = Status::Active;
    let mut written = row.into_active_model().reset_all();
    written.updated_at = Set(tx.now);
    let row = written.update(tx.db()).await?;
    emit(tx, "subscription.resumed", &row);
    let (row, _) = anew::open_next(tx, caller.app(), row).await?;
    renewals::schedule(tx, &row).await
}

/// The skipped period that a pause has reached; none within a paid one, or while an order is open.
async fn outlasted(tx: &Tx, row: &Model) -> Result<Option<renewal::Model>> {
    let newest = anew::newest(tx.db(), row).await?;
    let skipped = newest.filter(|newest| newest.status == renewal::Status::Skipped && newest.ends_at > tx.now);
    let owes = !unpaid::periods(tx, row.id).await?.is_empty();
    Ok(skipped.filter(|_| !owes && !fault::is(Fault::Anchor)))
}

/// Refuses what renews at a price that is over: it would be charged for nothing.
async fn still_sold(tx: &Tx, row: &Model) -> Result<()> {
    let line = standing_line(tx, row).await?;
    let issued = renewals::issued_by(tx, &line).await?;
    let begins = row.next_at.unwrap_or(tx.now).max(tx.now);
    if issued.is_some_and(|issued| basket::is_over(&line, &tx.account, &issued, begins)) {
        return Err(Sale::PriceOver { field: "subscriptionId".to_owned() }.into());
    }
    Ok(())
}

async fn set_status(tx: &Tx, row: Model, status: Status, name: &'static str) -> Result<()> {
    let mut written = row.into_active_model();
    written.status = Set(status);
    written.updated_at = Set(tx.now);
    let row = written.update(tx.db()).await?;
    let row = renewals::stand(tx, row).await?;
    emit(tx, name, &row);
    Ok(())
}

/// What the next period is, as things stand: at the price and the quantity that are to come.
async fn standing_line(tx: &Tx, row: &Model) -> Result<Line> {
    let price = renewals::price_of(tx, row.pending_price_id.unwrap_or(row.price_id)).await?;
    let quantity = row.pending_quantity.unwrap_or(row.quantity);
    renewals::line_of(tx, &Model { quantity, ..row.clone() }, &price).await
}

/// What it would come to. What is due happens first, as it would anyhow; nothing else is written.
pub async fn preview(caller: &Caller, verb: Verb) -> Result<Preview> {
    let verb = check(verb)?;
    bring_up_to_date(caller, verb.subscription).await?;
    // Refused, or decided, on the same path, in a transaction that is thrown away.
    let tx = caller.begin(Scope::Buy).await?;
    let row = lock(&tx, verb.subscription, only(caller)).await?;
    may(&row, &verb.what)?;
    let wanted = match &verb.what {
        What::Update(changes) => next_line(tx.db(), (&tx.account, tx.now), &row, changes).await?,
        _ => None,
    };
    let line = match wanted.clone() {
        Some(line) => line,
        None => standing_line(&tx, &row).await?,
    };
    let runs = row.status != Status::Cancelled && row.status != Status::Paused;
    let stays = Preview {
        currency: line.price.currency.clone().unwrap_or_default(),
        next_at: row.next_at.filter(|_| runs && !row.cancel_at_period_end),
        next_total: line.amount,
        ..Preview::default()
    };
    let nothing_more = |preview: Preview| Preview { next_at: None, next_total: Minor::ZERO, ..preview };
    match (&verb.what, wanted) {
        (What::Update(changes), Some(line)) if changes.now => {
            owes_nothing(&tx, &row).await?;
            let outlook = change::outlook(tx.db(), &row, &line, tx.now).await?;
            let returned = (outlook.cover.credits, outlook.cover.cost);
            Ok(Preview { charged: outlook.charged, returned, next_at: Some(outlook.ends_at), ..stays })
        }
        (What::Update(changes), _) if changes.cancel_at_period_end == Some(true) => Ok(nothing_more(stays)),
        (What::Resume, _) if row.status == Status::Paused => {
            still_sold(&tx, &row).await?;
            if outlasted(&tx, &row).await?.is_none() {
                return Ok(Preview { next_at: row.next_at, ..stays });
            }
            let outlook = change::outlook(tx.db(), &Model { next_number: i64::MIN, ..row }, &line, tx.now).await;
            let ends_at = outlook.map(|outlook| outlook.ends_at).ok();
            Ok(Preview { charged: line.amount, next_at: ends_at, ..stays })
        }
        (What::Pause | What::Cancel(_), _) => Ok(nothing_more(stays)),
        _ => Ok(stays),
    }
}

/// The subscription as it is now.
pub async fn read(view: &View, id: SubscriptionId) -> Result<Option<Model>> {
    Ok(super::subscriptions::by_ids(view, &[id]).await?.remove(&id))
}
