//! What a customer has ordered and has no credits of: not paid yet, past due, or of products that issue none.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use entity::product_order::{Column, Entity, Model, Status};
use entity::{CreditTypeId, Credits, CustomerId, OrderId, SubscriptionId, order_line, renewal, subscription};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::ground::error::Result;
use crate::ground::page;
use crate::storage::tx::View;

/// Orders of one customer that are looked at: the newest.
const ORDERS: u64 = 100;

/// Why there are no credits of what was ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is not paid yet.
    OrderAwaitingPayment,
    /// A renewal was not paid in time.
    RenewalPastDue,
    /// The subscription is paused.
    SubscriptionPaused,
    /// The product issues none.
    ProductIssuesNothing,
}

/// One reason, and how many credits it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Why {
    pub reason: Reason,
    pub amount: Credits,
}

/// Something that was ordered, and why there are no credits of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Of which type they will be; none where the product issues none.
    pub credit_type: Option<CreditTypeId>,
    pub reason: Reason,
    pub amount: Credits,
}

/// What customers have ordered and have no credits of.
pub async fn of_customers(view: &View, customers: &[CustomerId]) -> Result<HashMap<CustomerId, Vec<Pending>>> {
    let wanted = customers.iter().map(|customer| ((*customer).into(), ()));
    let open = |(): &()| {
        let rows = view.customer_rows::<Entity>();
        let open = rows.filter(Column::Status.is_in([Status::AwaitingPayment, Status::Paid]));
        open.order_by_desc(Column::Id).limit(ORDERS)
    };
    let orders = page::of_each(view.db(), Column::CustomerId, wanted, open).await?;
    let orders = orders.into_iter().flatten().map(|order| (order.id, order)).collect::<HashMap<_, _>>();
    if orders.is_empty() {
        return Ok(HashMap::new());
    }
    let late = past_due(view, orders.values()).await?;
    let paused = paused(view, orders.values()).await?;
    let lines =
        view.rows::<order_line::Entity>().filter(view.among(order_line::Column::OrderId, orders.keys().copied())?);
    let mut pending: HashMap<_, Vec<_>> = HashMap::new();
    for line in lines.all(view.db()).await? {
        let Some(order) = orders.get(&line.order_id) else { continue };
        if paused.contains(&order.id) {
            let (credit_type, reason, amount) = (line.credit_type_id, Reason::SubscriptionPaused, line.credits);
            pending.entry(order.customer_id).or_default().push(Pending { credit_type, reason, amount });
        }
        let is_late = order.subscription_id.zip(order.renewal_number).is_some_and(|period| late.contains(&period));
        let (reason, amount) = match (order.status, line.credit_type_id) {
            (Status::AwaitingPayment, Some(_)) if is_late => (Reason::RenewalPastDue, line.credits),
            (Status::AwaitingPayment, Some(_)) => (Reason::OrderAwaitingPayment, line.credits),
            (Status::Paid, None) => (Reason::ProductIssuesNothing, Credits::ZERO),
            _ => continue,
        };
        let credit_type = line.credit_type_id;
        pending.entry(order.customer_id).or_default().push(Pending { credit_type, reason, amount });
    }
    Ok(pending)
}

/// The newest order of each subscription that is paused: it says what does not come.
async fn paused(view: &View, orders: impl Iterator<Item = &Model>) -> Result<BTreeSet<OrderId>> {
    let of_subscriptions = orders.filter_map(|order| Some((order.subscription_id?, order.id)));
    let mut newest: BTreeMap<SubscriptionId, OrderId> = BTreeMap::new();
    for (subscription, order) in of_subscriptions {
        let known = newest.entry(subscription).or_insert(order);
        *known = order.max(*known);
    }
    if newest.is_empty() {
        return Ok(BTreeSet::new());
    }
    let rows = view
        .customer_rows::<subscription::Entity>()
        .filter(view.among(subscription::Column::Id, newest.keys().copied())?)
        .filter(subscription::Column::Status.eq(subscription::Status::Paused));
    Ok(rows.all(view.db()).await?.iter().filter_map(|row| newest.get(&row.id).copied()).collect())
}

/// The periods that are past due, of subscriptions whose orders these are.
async fn past_due(view: &View, orders: impl Iterator<Item = &Model>) -> Result<Vec<(SubscriptionId, i64)>> {
    let renewing = orders.filter(|order| order.status == Status::AwaitingPayment);
    let renewing = renewing.filter_map(|order| order.subscription_id).collect::<Vec<_>>();
    if renewing.is_empty() {
        return Ok(Vec::new());
    }
    let rows = view
        .rows::<renewal::Entity>()
        .filter(view.among(renewal::Column::SubscriptionId, renewing)?)
        .filter(renewal::Column::Status.eq(renewal::Status::PastDue));
    Ok(rows.all(view.db()).await?.into_iter().map(|row| (row.subscription_id, row.number)).collect())
}

/// The reasons that are about credits of one type, each once.
#[must_use]
pub fn reasons(pending: &[Pending], credit_type: CreditTypeId) -> Vec<Why> {
    let mut reasons: Vec<Why> = Vec::new();
    for pending in pending.iter().filter(|pending| pending.credit_type.is_none_or(|its| its == credit_type)) {
        match reasons.iter_mut().find(|why| why.reason == pending.reason) {
            Some(why) => why.amount += pending.amount,
            None => reasons.push(Why { reason: pending.reason, amount: pending.amount }),
        }
    }
    reasons
}

impl Why {
    /// The reason in words for staff, and what can be done.
    #[must_use]
    pub fn message(&self) -> String {
        let amount = self.amount;
        let are = if amount == Credits(1) { "is" } else { "are" };
        match self.reason {
            Reason::OrderAwaitingPayment => {
                format!("{amount} {are} ordered and not paid: they come when the order is paid, as with orderMarkPaid.")
            }
            Reason::RenewalPastDue => {
                format!("{amount} {are} of a renewal that was not paid in time: they come when its order is paid.")
            }
            Reason::SubscriptionPaused => format!(
                "{amount} would come with each period of a subscription that is paused: subscriptionResume lets it go on."
            ),
            Reason::ProductIssuesNothing => {
                "What was bought issues no credits: a service product, not a credit product. Issue some by hand if that was meant."
                    .to_owned()
            }
        }
    }
}
