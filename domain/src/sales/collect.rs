//! What a payment provider is asked, and what it says: asked outside any transaction, heard within one.
//!
//! A payment that is opened, and a refund that is owed, are jobs: whoever opened one asks at once, and where that fails,
//! or the server ends, the job asks again with the same key. What is said twice, late, or after the order was given up
//! changes nothing that was done before, and loses nothing.

use std::time::Duration;

use chrono::TimeDelta;
use entity::account::Mode;
use entity::job::{self, Kind};
use entity::payment::{Column, Entity, Model, Status};
use entity::product_order::{self, Status as OrderStatus};
use entity::{AccountId, OrderId, Owned, PaymentId, RefundId, refund};
use sea_orm::{ActiveModelTrait, ColumnTrait, IntoActiveModel, QueryFilter, QuerySelect, Set};

use super::sale::placed::Placed;
use super::{disputes, orders, payments, refunds, renewals};
use crate::ground::clock::Instant;
use crate::ground::error::{Error, Result};
use crate::identity::app::App;
use crate::queue::jobs::{self, After};
use crate::storage::ports::payments::{Charge, Message, Return, Said, Unheard};
use crate::storage::tx::{TRIES, Tx, account_of_slug, find_account};

/// How long a payment that says nothing is asked again.
const PATIENCE: TimeDelta = TimeDelta::days(30);
/// How often, in the end.
const PAUSE: TimeDelta = TimeDelta::days(1);
/// How soon, in the beginning, where a worker comes.
const SOON: TimeDelta = TimeDelta::minutes(1);
/// How long a provider may take to answer.
const ANSWER: Duration = Duration::from_secs(20);
/// Opens a payment of an order, which is collected as soon as the transaction has ended.
pub(super) async fn open(
    tx: &Tx,
    order: &product_order::Model,
    provider: &str,
    method: Option<String>,
) -> Result<PaymentId> {
    let kept = payments::kept(&payments::paid_for(tx.db(), order).await?);
    let row = payments::succeeded(tx, order, provider, payments::due(order) - kept);
    let row = Model { method, status: Status::Pending, ..row };
    let id = row.id;
    row.into_active_model().insert(tx.db()).await?;
    jobs::schedule(tx.db(), &tx.account, Kind::Collect, vec![(id.to_string(), tx.now)], tx.now).await?;
    Ok(id)
}

/// Asks at once. Where that fails the job asks again, so nobody has to know.
pub(super) async fn now(app: &App, account: AccountId, payment: PaymentId) {
    if let Err(error) = ask(app, account, payment).await {
        tracing::warn!(%payment, %error, "a payment could not be collected at once; it is tried again");
    }
}

/// Tells at once of a refund that is owed; likewise.
pub(super) async fn refund_now(app: &App, account: AccountId, refund: RefundId) {
    if let Err(error) = give_back(app, account, refund).await {
        tracing::warn!(%refund, %error, "a refund could not be passed on at once; it is tried again");
    }
}

/// The job: a payment that is to be collected or asked about, or a refund that is owed.
pub(crate) async fn step(app: &App, job: &job::Model) -> Result<After> {
    if let Ok(payment) = job.key.parse() {
        return ask(app, job.account_id, payment).await;
    }
    let refund = job.key.parse().map_err(|_| Error::Internal(format!("the key of {} names no payment", job.id)))?;
    give_back(app, job.account_id, refund).await
}

/// A provider that says nothing is asked again, by the account's clock: after as long as it has been asked for already,
/// so that one that is away for long is not asked all the time; in a sandbox, where nobody waits, after a day.
async fn unheard(app: &App, account: AccountId, key: String, since: Instant, error: &Unheard) -> Result<After> {
    if matches!(error, Unheard::NotGenuine(_)) {
        return Err(Error::Internal(error.to_string()));
    }
    tracing::warn!(job = key, %error, "a payment provider is asked again later");
    let tx = Tx::open(app.store(), account).await?;
    let asked = tx.now - since;
    let pause = if tx.account.mode == Mode::Live { asked.clamp(SOON, PAUSE) } else { PAUSE };
    let next = (asked < PATIENCE).then(|| tx.now + pause);
    jobs::reschedule(tx.db(), &tx.account, Kind::Collect, vec![(key, next)]).await?;
    tx.commit().await?;
    Ok(After::Said)
}

/// What a provider answers, if it does in time.
async fn answered<T>(answer: impl Future<Output = Result<T, Unheard>>) -> Result<T, Unheard> {
    let late = |_| Err(Unheard::Away("it takes too long".to_owned()));
    tokio::time::timeout(ANSWER, answer).await.unwrap_or_else(late)
}

/// Whether the order of a payment that nobody was asked for still awaits it. Where it was paid otherwise or given up
/// meanwhile, the payment ends here, and nobody is charged.
async fn is_wanted(app: &App, account: AccountId, payment: &Model) -> Result<bool> {
    let tx = Tx::open(app.store(), account).await?;
    let order = orders::lock(&tx, payment.order_id, None).await?.order;
    let now = tx.rows::<Entity>().filter(Column::Id.eq(payment.id)).lock_exclusive().one(tx.db()).await?;
    // Another server may have asked meanwhile, and this very payment have paid the order.
    let asked = now.is_none_or(|now| now.status != Status::Pending || now.provider_reference.is_some());
    if asked || order.status == OrderStatus::AwaitingPayment {
        return Ok(true);
    }
    let mut row = payment.clone().into_active_model();
    row.status = Set(Status::Failed);
    row.failure = Set(Some(format!("the order was {} before anybody was charged", orders::in_words(order.status))));
    row.updated_at = Set(tx.now);
    row.update(tx.db()).await?;
    jobs::reschedule(tx.db(), &tx.account, Kind::Collect, vec![(payment.id.to_string(), None)]).await?;
    tx.commit().await?;
    Ok(false)
}

/// Whether an order is being paid already.
pub(super) async fn is_under_way(tx: &Tx, order: OrderId) -> Result<bool> {
    let open = tx.rows::<Entity>().filter(Column::OrderId.eq(order));
    let open = open.filter(Column::Status.is_in([Status::Pending, Status::RequiresAction]));
    Ok(open.one(tx.db()).await?.is_some())
}

/// Collects a payment, or asks what became of it.
async fn ask(app: &App, account: AccountId, id: PaymentId) -> Result<After> {
    let (payment, description) = {
        let txn = app.store().snapshot().await?;
        let found = Entity::of(account).filter(Column::Id.eq(id)).one(&*txn).await?;
        let Some(payment) = found else { return Ok(After::Done) };
        let order = product_order::Entity::of(account).filter(product_order::Column::Id.eq(payment.order_id));
        let number = order.one(&*txn).await?.map(|order| order.number).unwrap_or_default();
        let name = find_account(&txn, account).await?.map(|account| account.name).unwrap_or_default();
        (payment, format!("{name}, order {number}"))
    };
    if !matches!(payment.status, Status::Pending | Status::RequiresAction) {
        return Ok(After::Done);
    }
    if payment.provider_reference.is_none() && !is_wanted(app, account, &payment).await? {
        return Ok(After::Said);
    }
    let Some(provider) = app.providers().get(&payment.provider) else {
        return Err(Error::Unavailable(format!("this server knows no payment provider {}", payment.provider).into()));
    };
    let said = if let Some(reference) = &payment.provider_reference {
        answered(provider.result(reference)).await
    } else {
        let (amount, currency) = (payment.amount, payment.currency.clone());
        let charge = Charge { payment: id, amount, currency, description, method: payment.method.clone() };
        answered(provider.collect(&charge)).await
    };
    let said = match said {
        Ok(said) => said,
        Err(error) => return unheard(app, account, id.to_string(), payment.created_at, &error).await,
    };
    hear(app, account, id, &said).await?;
    Ok(After::Said)
}

/// Takes what arrived at a provider's inbound door for an account of that slug. Answers whether there is such a door.
pub async fn receive(app: &App, provider: &str, slug: &str, message: &Message<'_>) -> Result<bool, Error> {
    let Some(provider) = app.providers().get(provider) else { return Ok(false) };
    let account = {
        let txn = app.store().snapshot().await?;
        let Some(id) = account_of_slug(&txn, slug).await? else { return Ok(false) };
        find_account(&txn, id).await?.ok_or(Error::Unauthenticated)?
    };
    if app.providers().of_account(&account, provider.name()).is_err() {
        return Ok(false);
    }
    let said = provider.hear(message).map_err(|_| Error::Unauthenticated)?;
    for said in said {
        let found = if said.reference.contains('\0') {
            None
        } else {
            let txn = app.store().snapshot().await?;
            let known = Entity::of(account.id).filter(Column::Provider.eq(provider.name()));
            known.filter(Column::ProviderReference.eq(&said.reference)).one(&*txn).await?
        };
        match found {
            Some(payment) => hear(app, account.id, payment.id, &said).await?,
            // Said before we have written what the payment is called: to be said again.
            None => return Err(Error::Unavailable("a payment that is not known yet".into())),
        }
    }
    Ok(true)
}

/// Writes down what was said of a payment, and lets follow what follows from it.
async fn hear(app: &App, account: AccountId, payment: PaymentId, said: &Said) -> Result<()> {
    for _ in 1..TRIES {
        match hear_once(app, account, payment, said).await {
            Err(Error::Conflict(_)) => {}
            heard => return heard,
        }
    }
    hear_once(app, account, payment, said).await
}

async fn hear_once(app: &App, account: AccountId, payment: PaymentId, said: &Said) -> Result<()> {
    let tx = Tx::open(app.store(), account).await?;
    let row = |tx: &Tx| tx.rows::<Entity>().filter(Column::Id.eq(payment));
    let Some(found) = row(&tx).one(tx.db()).await? else { return Ok(()) };
    let placed = orders::lock(&tx, found.order_id, None).await?;
    let Some(before) = row(&tx).lock_exclusive().one(tx.db()).await? else { return Ok(()) };
    let status = after(before.status, said.status);
    schedule_next(&tx, &before, status).await?;
    let news = (status != before.status).then_some(before.status);
    let mut changed = before.into_active_model();
    changed.provider_reference = Set(Some(said.reference.clone()));
    if news.is_some() {
        changed.status = Set(status);
        changed.action_url = Set(said.action_url.clone());
        changed.failure = Set(said.failure.clone());
        changed.updated_at = Set(tx.now);
    }
    changed.update(tx.db()).await?;
    if let Some(before) = news {
        follow(&tx, app, placed, (payment, before, status)).await?;
    } else if status == Status::Refunded && is_of_disputes(said.status) {
        // What went over to another order is disputed there.
        disputes::follow_moved(&tx, app.store(), payment, said.status).await?;
    }
    tx.commit().await
}

/// Whether it may begin or end a dispute.
fn is_of_disputes(said: Status) -> bool {
    matches!(said, Status::Succeeded | Status::Disputed | Status::ChargedBack)
}

/// What a payment is after something was said of it: what has been paid stays so, whatever arrives late. What went back is
/// known here, and not told; a dispute ends when it is said once more that the payment succeeded.
fn after(before: Status, said: Status) -> Status {
    match (before, said) {
        (Status::Refunded, _) => Status::Refunded,
        (before, Status::Refunded) => before,
        (Status::Succeeded, Status::Pending | Status::RequiresAction | Status::Failed) => Status::Succeeded,
        (Status::Disputed, Status::Pending | Status::RequiresAction | Status::Failed) => Status::Disputed,
        // Only money that is back again changes it.
        (Status::ChargedBack, said) if said != Status::Succeeded => Status::ChargedBack,
        (Status::Failed, Status::Pending) => Status::Failed,
        (_, said) => said,
    }
}

/// What follows from a payment's new status.
async fn follow(
    tx: &Tx,
    app: &App,
    placed: Placed,
    (payment, before, status): (PaymentId, Status, Status),
) -> Result<()> {
    let order = &placed.order;
    let open = matches!(order.status, OrderStatus::AwaitingPayment | OrderStatus::Cancelled);
    let was_disputed = matches!(before, Status::Disputed | Status::ChargedBack);
    match status {
        Status::Disputed | Status::ChargedBack => {
            Box::pin(disputes::follow(tx, app.store(), placed, (payment, before, status))).await?;
        }
        Status::Succeeded if was_disputed => {
            Box::pin(disputes::follow(tx, app.store(), placed, (payment, before, status))).await?;
        }
        Status::Succeeded if open => {
            let paid = payments::paid_for(tx.db(), order).await?;
            if payments::kept(&paid) >= payments::due(order) {
                Box::pin(payments::settle(tx, app.store(), placed, (paid, renewals::nobody()))).await?;
            } else {
                // It was asked for a part only, of an order that is given up by now, or of which another part has gone.
                let awaits = order.status == OrderStatus::AwaitingPayment;
                orders::emit(tx, if awaits { "order.partly_paid" } else { "order.paid_again" }, order);
            }
        }
        // It can be given back: what was paid for an order is more than its total now.
        Status::Succeeded => orders::emit(tx, "order.paid_again", order),
        Status::Failed if order.status == OrderStatus::AwaitingPayment => {
            orders::emit(tx, "order.payment_failed", order);
            if let (Some(subscription), Some(1..)) = (placed.subscription, order.renewal_number) {
                renewals::failed(tx, subscription, order.renewal_number.unwrap_or_default()).await?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// A payment that has not ended is asked about again, for a while.
async fn schedule_next(tx: &Tx, payment: &Model, status: Status) -> Result<()> {
    let open = matches!(status, Status::Pending | Status::RequiresAction);
    let next = (open && tx.now - payment.created_at < PATIENCE).then(|| tx.now + PAUSE);
    Ok(jobs::reschedule(tx.db(), &tx.account, Kind::Collect, vec![(payment.id.to_string(), next)]).await?)
}

/// Owes a refund to whoever paid, told to the provider as soon as the transaction has ended.
pub(super) async fn owe(tx: &Tx, refund: &refund::Model) -> Result<()> {
    let due = vec![(refund.id.to_string(), tx.now)];
    Ok(jobs::schedule(tx.db(), &tx.account, Kind::Collect, due, tx.now).await?)
}

async fn give_back(app: &App, account: AccountId, id: RefundId) -> Result<After> {
    let (owed, payment) = {
        let txn = app.store().snapshot().await?;
        let owed = refund::Entity::of(account).filter(refund::Column::Id.eq(id)).one(&*txn).await?;
        let Some(owed) = owed.filter(|owed| owed.status == refund::Status::Pending) else { return Ok(After::Done) };
        let Some(payment) = owed.payment_id else { return Ok(After::Done) };
        let payment = Entity::of(account).filter(Column::Id.eq(payment)).one(&*txn).await?;
        let Some(payment) = payment else { return Ok(After::Done) };
        (owed, payment)
    };
    let Some(provider) = app.providers().get(&payment.provider) else {
        return Err(Error::Unavailable(format!("this server knows no payment provider {}", payment.provider).into()));
    };
    let (reference, amount, currency) = (payment.provider_reference, owed.amount, payment.currency);
    let said = answered(provider.refund(&Return { refund: id, reference, amount, currency })).await;
    let said = match said {
        Ok(said) => said,
        Err(error) => return unheard(app, account, id.to_string(), owed.at, &error).await,
    };
    let tx = Tx::open(app.store(), account).await?;
    let order: OrderId = owed.order_id;
    let order = orders::lock(&tx, order, None).await?.order;
    let pending = tx.rows::<refund::Entity>().filter(refund::Column::Id.eq(id)).one(tx.db()).await?;
    let Some(owed) = pending.filter(|owed| owed.status == refund::Status::Pending) else { return Ok(After::Done) };
    let mut row = owed.clone().into_active_model();
    row.status = Set(if said.failure.is_some() { refund::Status::Failed } else { refund::Status::Succeeded });
    let failed = said.failure.is_some();
    (row.failure, row.provider_reference) = (Set(said.failure), Set(said.reference));
    row.update(tx.db()).await?;
    if failed {
        refunds::failed(&tx, app.store(), order, &owed).await?;
    }
    jobs::reschedule(tx.db(), &tx.account, Kind::Collect, vec![(id.to_string(), None)]).await?;
    tx.commit().await?;
    Ok(After::Said)
}
