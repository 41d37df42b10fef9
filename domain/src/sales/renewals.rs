//! Renewals: each period of a subscription once, by a job that anybody may run.
//!
//! One job per subscription, due when something next happens to it: a period begins, an unpaid one is past due, a past
//! due one has been so for too long. Each is one transaction, the earliest first, so that a server that was away catches
//! up one by one; the row of the period is what keeps it from happening twice.

use chrono::TimeDelta;
use entity::activity::ActorKind;
use entity::job::{self, Kind};
use entity::price::{self, Rollover};
use entity::product_order::{self, Status as OrderStatus};
use entity::renewal::{Column, Entity, Model, Status};
use entity::subscription::{self, Status as Standing};
use entity::{AccountId, Owned, PaymentId, PriceId, SubscriptionId, credit_type, product};
use sea_orm::{ActiveModelTrait, ColumnTrait, DatabaseTransaction, IntoActiveModel, QueryFilter, Set};

use super::basket::{self, Basket};
use super::fulfil::{self, Terms};
use super::period::{Anchor, Period, period};
use super::{anew, change, collect, earlier, orders, payments, subscriptions, unpaid};
use crate::catalog::prices;
use crate::ground::clock::Instant;
use crate::ground::error::{Error, Result};
use crate::ground::fault::{self, Fault};
use crate::identity::app::App;
use crate::queue::jobs::{self, After};
use crate::storage::tx::{TRIES, Tx};

/// Why a subscription ended by itself.
const AT_END: &str = "Cancelled at the end of its period";
/// Why a subscription ended at a price that is sold no more.
const OVER: &str = "What its price gives would end before it begins";
/// What is to happen to a subscription.
enum Due {
    /// A period begins.
    Begins,
    /// An unpaid one is past due.
    Late(i64),
    /// A past due one has been so for too long.
    GivenUp,
}

/// Who does what happens by itself.
pub(super) fn nobody() -> (ActorKind, String) {
    (ActorKind::System, String::new())
}

/// The job of a subscription.
pub(crate) async fn step(app: &App, job: &job::Model) -> Result<After> {
    let id = job.key.parse().map_err(|_| Error::Internal(format!("the key of {} names no subscription", job.id)))?;
    run_due(app, job.account_id, id).await?;
    Ok(After::Said)
}

/// Lets happen what is due to a subscription, one thing at a time.
pub(super) async fn run_due(app: &App, account: AccountId, id: SubscriptionId) -> Result<()> {
    let mut met = 0;
    loop {
        match Box::pin(run_one(app, account, id)).await {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(Error::Conflict(_)) if met < TRIES => met += 1,
            Err(error) => return Err(error),
        }
    }
}

/// The earliest thing that is due, in a transaction of its own; answers whether there was one.
async fn run_one(app: &App, account: AccountId, id: SubscriptionId) -> Result<bool> {
    let tx = Tx::open(app.store(), account).await?;
    let row = subscriptions::lock(&tx, id, None).await?;
    let due = next(&tx, &row).await?.filter(|(at, _)| *at <= tx.now);
    let mut opened = None;
    let row = match due {
        None => {
            schedule(&tx, &row).await?;
            tx.commit().await?;
            return Ok(false);
        }
        Some((_, Due::Begins)) => {
            let (row, payment) = begin_next(&tx, app, row).await?;
            opened = payment;
            row
        }
        Some((at, Due::Late(number))) => past_due(&tx, row, number, at).await?,
        Some((_, Due::GivenUp)) if row.status == Standing::Cancelled => {
            unpaid::give_up(&tx, app.store(), &row, nobody()).await?;
            row
        }
        Some((_, Due::GivenUp)) => {
            subscriptions::end(&tx, app.store(), row, Some(unpaid::REASON.to_owned()), nobody()).await?
        }
    };
    schedule(&tx, &row).await?;
    tx.commit().await?;
    if let Some(payment) = opened {
        collect::now(app, account, payment).await;
    }
    Ok(true)
}

/// What happens next to a subscription, and when.
async fn next(tx: &Tx, subscription: &subscription::Model) -> Result<Option<(Instant, Due)>> {
    let grace = TimeDelta::days(i64::from(tx.account.renewal_grace_days));
    let unpaid = unpaid::periods(tx, subscription.id).await?;
    let begins_at = |renewal: &Model| subscription.next_at.is_some_and(|at| renewal.starts_at >= at);
    let waits = unpaid.iter().any(|renewal| renewal.number >= subscription.next_number && begins_at(renewal));
    let unpaid = unpaid.iter().filter_map(|renewal| {
        let at = renewal.past_due_at?;
        Some(if renewal.status == Status::Due { (at, Due::Late(renewal.number)) } else { (at + grace, Due::GivenUp) })
    });
    // One that waits for its payment begins with it.
    let begins = subscription.next_at.filter(|_| !waits).map(|at| (at, Due::Begins));
    Ok(unpaid.chain(begins).min_by_key(|(at, _)| *at))
}

/// Whether something is due.
pub(super) async fn is_due(tx: &Tx, subscription: &subscription::Model) -> Result<bool> {
    Ok(next(tx, subscription).await?.is_some_and(|(at, _)| at <= tx.now))
}

/// Sees to it that what happens next happens then.
pub(super) async fn schedule(tx: &Tx, subscription: &subscription::Model) -> Result<()> {
    let at = next(tx, subscription).await?.map(|(at, _)| at);
    let due = vec![(subscription.id.to_string(), at)];
    Ok(jobs::reschedule(tx.db(), &tx.account, Kind::Renew, due).await?)
}

/// The same where nothing is unpaid: the first period has begun.
pub(super) async fn schedule_begin(tx: &Tx, subscription: &subscription::Model) -> Result<()> {
    let due = vec![(subscription.id.to_string(), subscription.next_at)];
    Ok(jobs::reschedule(tx.db(), &tx.account, Kind::Renew, due).await?)
}

/// Begins the next period, or ends the subscription with the present one.
pub(super) async fn begin_next(
    tx: &Tx,
    app: &App,
    mut row: subscription::Model,
) -> Result<(subscription::Model, Option<PaymentId>)> {
    if row.cancel_at_period_end {
        return Ok((subscriptions::ended(tx, row, Some(AT_END.to_owned())).await?, None));
    }
    if change::lapse(tx, app, &row).await? {
        // Its number is gone, and the next one begins when it would have.
        (row.next_number, row.anchor_number) = (row.next_number + 1, row.anchor_number + 1);
    }
    let number = row.next_number;
    let present = price_of(tx, row.price_id).await?;
    row.quantity = row.pending_quantity.take().unwrap_or(row.quantity);
    let price = match row.pending_price_id.take() {
        Some(pending) => price_of(tx, pending).await?,
        None => present.clone(),
    };
    let rhythm =
        |price: &price::Model| (price.interval_count, price.interval_unit, price.every_count, price.every_unit);
    if rhythm(&price) != rhythm(&present) {
        (row.anchor_at, row.anchor_number) = (row.next_at, number);
    }
    let anchor = subscriptions::anchor_of(&row).ok_or_else(|| Error::Internal(format!("{} has no anchor", row.id)))?;
    let period = period(&price, anchor, number).ok_or_else(|| prices::broken(&price))?;
    let nobody_could_use_it = period.ends_at <= tx.now && price.rollover == Some(Rollover::None);
    if row.status != Standing::Paused && Box::pin(is_over(tx, &row, &price, (anchor, period))).await? {
        // Nobody is charged for what ends before it begins (selling.md, S14).
        subscriptions::emit(tx, "price.over", &row);
        return Ok((subscriptions::ended(tx, row, Some(OVER.to_owned())).await?, None));
    }
    let payment = if row.status == Standing::Paused || nobody_could_use_it {
        insert_renewal(tx, row.id, price.id, period, Status::Skipped, None).await?;
        None
    } else {
        renew(tx, app, &row, &price, (anchor, period)).await?
    };
    let mut written = row.clone().into_active_model();
    written.price_id = Set(price.id);
    written.pending_price_id = Set(None);
    (written.quantity, written.pending_quantity) = (Set(row.quantity), Set(None));
    written.anchor_at = Set(row.anchor_at);
    written.anchor_number = Set(row.anchor_number);
    written.next_number = Set(number + 1);
    written.next_at = Set(Some(period.ends_at));
    written.updated_at = Set(tx.now);
    Ok((written.update(tx.db()).await?, payment))
}

/// Whether what a period would give ends before it begins.
async fn is_over(
    tx: &Tx,
    row: &subscription::Model,
    price: &price::Model,
    (anchor, period): (Anchor, Period),
) -> Result<bool> {
    let line = line_of(tx, row, price).await?;
    Ok(issued_by(tx, &line).await?.is_some_and(|issued| basket::is_over_in(&line, &issued, anchor, period)))
}

pub(super) async fn line_of(tx: &Tx, row: &subscription::Model, price: &price::Model) -> Result<basket::Line> {
    let product = product::Entity::of(tx.account.id).filter(product::Column::Id.eq(price.product_id));
    let product = product.one(tx.db()).await?.ok_or_else(|| prices::broken(price))?;
    Ok(basket::priced("quantity", product, price.clone(), row.quantity)?)
}

/// The credit type that a line issues.
pub(super) async fn issued_by(tx: &Tx, line: &basket::Line) -> Result<Option<credit_type::Model>> {
    let Some(id) = line.credit_type.filter(|_| !line.costs_credits()) else { return Ok(None) };
    Ok(credit_type::Entity::of(tx.account.id).filter(credit_type::Column::Id.eq(id)).one(tx.db()).await?)
}

/// The order of a period: paid at once where it costs nothing, and otherwise collected.
pub(super) async fn renew(
    tx: &Tx,
    app: &App,
    row: &subscription::Model,
    price: &price::Model,
    (anchor, period): (Anchor, Period),
) -> Result<Option<PaymentId>> {
    let line = line_of(tx, row, price).await?;
    let basket = Basket { currency: price.currency.clone(), total: line.amount, lines: vec![line] };
    let mut order = orders::awaiting_payment(tx, row.customer_id, &basket, nobody());
    (order.subscription_id, order.renewal_number) = (Some(row.id), Some(period.number));
    let free = basket.total.is_zero();
    let mut given = Vec::new();
    if !free && fault::is(Fault::CapBefore) {
        let earlier = earlier::before(tx, row, period.number).await?;
        let terms = Terms { earlier, ..Terms::by(nobody()) };
        fulfil::roll_over_now(tx, app.store(), &order, &basket.lines, &terms).await?;
    }
    if free || price.issue_before_payment {
        let earlier = earlier::before(tx, row, period.number).await?;
        let terms = Terms { period: Some((anchor, period)), earlier, ..Terms::by(nobody()) };
        given = fulfil::give(tx, app.store(), &order, &basket.lines, &terms).await?;
    }
    if free {
        (order.status, order.paid_at) = (OrderStatus::Paid, Some(tx.now));
    }
    orders::insert(tx, &mut order, &basket, given).await?;
    orders::emit(tx, "order.placed", &order);
    let status = if free { Status::Paid } else { Status::Due };
    insert_renewal(tx, row.id, price.id, period, status, Some(order.id)).await?;
    if free {
        payments::emit_paid(tx, &order, Some(row));
        return Ok(None);
    }
    let provider = app.providers().of_account(&tx.account, &tx.account.payment_provider)?;
    if !provider.collects() || row.payment_method.is_none() {
        return Ok(None);
    }
    collect::open(tx, &order, provider.name(), row.payment_method.clone()).await.map(Some)
}

pub(super) async fn price_of(tx: &Tx, id: PriceId) -> Result<price::Model> {
    let found = price::Entity::of(tx.account.id).filter(price::Column::Id.eq(id)).one(tx.db()).await?;
    found.ok_or_else(|| Error::Internal(format!("{id} is gone")))
}

async fn insert_renewal(
    tx: &Tx,
    subscription: SubscriptionId,
    price: PriceId,
    period: Period,
    status: Status,
    order: Option<entity::OrderId>,
) -> Result<()> {
    let due = TimeDelta::days(i64::from(tx.account.renewal_due_days));
    let row = Model {
        account_id: tx.account.id,
        subscription_id: subscription,
        number: period.number,
        price_id: price,
        status,
        starts_at: period.starts_at,
        ends_at: period.ends_at,
        order_id: order,
        past_due_at: (status == Status::Due).then(|| tx.now + due),
        created_at: tx.now,
    };
    row.into_active_model().insert(tx.db()).await?;
    Ok(())
}

/// Writes the first period, which is paid.
pub(super) async fn insert_paid(
    tx: &Tx,
    subscription: SubscriptionId,
    order: &product_order::Model,
    price: PriceId,
    period: Period,
) -> Result<()> {
    insert_renewal(tx, subscription, price, period, Status::Paid, Some(order.id)).await
}

pub(super) async fn find(
    txn: &DatabaseTransaction,
    account: AccountId,
    subscription: SubscriptionId,
    number: i64,
) -> Result<Model> {
    let found = Entity::of(account).filter(Column::SubscriptionId.eq(subscription)).filter(Column::Number.eq(number));
    let found = found.one(txn).await?;
    found.ok_or_else(|| Error::Internal(format!("{subscription} has no period {number}")))
}

/// Marks a period paid; answers what its credits are counted by.
pub(super) async fn paid(
    tx: &Tx,
    subscription: subscription::Model,
    number: i64,
) -> Result<(subscription::Model, (Anchor, Period))> {
    let found = find(tx.db(), tx.account.id, subscription.id, number).await?;
    if number >= subscription.next_number {
        return anew::begin(tx, subscription, found).await;
    }
    let period = period_of(&subscription, &found);
    set_status(tx, found, Status::Paid).await?;
    Ok((stand(tx, subscription).await?, period))
}

/// A period that has begun, and what it is counted from (pure).
pub(super) fn period_of(subscription: &subscription::Model, renewal: &Model) -> (Anchor, Period) {
    let number = renewal.number;
    let period = Period { number, starts_at: renewal.starts_at, ends_at: renewal.ends_at };
    let anchor = subscriptions::anchor_of(subscription).filter(|anchor| anchor.number <= number);
    let zone = crate::ledger::expiration::zone_of(&subscription.time_zone);
    // Where the rhythm has changed since, this period is counted from its own beginning.
    (anchor.unwrap_or(Anchor { at: period.starts_at, number, zone }), period)
}

pub(super) async fn set_status(tx: &Tx, renewal: Model, status: Status) -> Result<()> {
    let mut row = renewal.into_active_model();
    row.status = Set(status);
    row.update(tx.db()).await?;
    Ok(())
}

/// A subscription with nothing past due is active again, and the other way round.
pub(super) async fn stand(tx: &Tx, mut subscription: subscription::Model) -> Result<subscription::Model> {
    let late = unpaid::periods(tx, subscription.id).await?.iter().any(|renewal| renewal.status == Status::PastDue);
    let standing = match (subscription.status, late) {
        (Standing::Active, true) => Standing::PastDue,
        (Standing::PastDue, false) => Standing::Active,
        (same, _) => same,
    };
    if standing != subscription.status {
        let mut row = subscription.into_active_model();
        row.status = Set(standing);
        row.updated_at = Set(tx.now);
        subscription = row.update(tx.db()).await?;
    }
    schedule(tx, &subscription).await?;
    Ok(subscription)
}

/// A period that was not paid in time.
async fn past_due(tx: &Tx, row: subscription::Model, number: i64, at: Instant) -> Result<subscription::Model> {
    let mut renewal = find(tx.db(), tx.account.id, row.id, number).await?.into_active_model();
    renewal.status = Set(Status::PastDue);
    renewal.past_due_at = Set(Some(at));
    renewal.update(tx.db()).await?;
    let row = stand(tx, row).await?;
    subscriptions::emit(tx, "subscription.renewal_failed", &row);
    Ok(row)
}

/// The provider could not collect a period's payment: it is past due at once.
pub(super) async fn failed(tx: &Tx, row: subscription::Model, number: i64) -> Result<()> {
    // Nobody is late with what has not begun.
    let has_begun = number < row.next_number;
    if has_begun && find(tx.db(), tx.account.id, row.id, number).await?.status == Status::Due {
        past_due(tx, row, number, tx.now).await?;
    }
    Ok(())
}

/// The periods that will begin, if nothing changes, at most so many; none from the first on that would give what ends before
/// it begins: there the subscription ends (selling.md, S14). `issued` is the type that its line issues.
#[must_use]
pub fn upcoming(
    subscription: &subscription::Model,
    (line, issued): (&basket::Line, Option<&credit_type::Model>),
    most: usize,
) -> Vec<Period> {
    let price = &line.price;
    let Some(mut anchor) = subscriptions::anchor_of(subscription) else { return Vec::new() };
    let ends = subscription.cancel_at_period_end || subscription.next_at.is_none();
    if ends || subscription.status == Standing::Paused {
        return Vec::new();
    }
    if subscription.pending_price_id == Some(price.id)
        && let Some(at) = subscription.next_at
    {
        // As the next period will have it; where the rhythm stays the same, so do the instants.
        let kept = period(price, anchor, subscription.next_number).map(|period| period.starts_at);
        if kept != Some(at) {
            anchor = Anchor { at, number: subscription.next_number, ..anchor };
        }
    }
    let periods = (subscription.next_number..).map_while(|number| period(price, anchor, number));
    let over = |next: &Period| issued.is_some_and(|issued| basket::is_over_in(line, issued, anchor, *next));
    periods.take_while(|next| !over(next)).take(most).collect()
}
