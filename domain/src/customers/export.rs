//! All that is kept about one customer, as JSON: what a person may ask for, and what an erasure would blank.

use entity::{
    CustomerId, CustomerOwned, Owned, activity, allocation, credit_grant, customer, customer_session, customer_tag,
    enrolment, event, hold, order_line, payment, product_order, refund, renewal, run, subscription, wallet,
};
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};
use serde::Serialize;
use serde_json::{Value, json};

use crate::ground::clock::Instant;
use crate::ground::error::{Error, Result};
use crate::ground::page::Page;
use crate::identity::access;
use crate::storage::tx::View;

/// How the access log names it.
pub const OPERATION: &str = "customerExport";
/// Ids of one statement.
const IDS: usize = 900;
/// Lines of the access log.
const LINES: i32 = 100;

/// What is kept.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Export {
    /// When it was read; all of it at the same instant.
    pub as_of: Instant,
    pub customer: Value,
    pub tags: Vec<String>,
    pub wallets: Value,
    pub grants: Value,
    pub activities: Value,
    pub allocations: Value,
    pub holds: Value,
    pub orders: Value,
    pub order_lines: Value,
    pub payments: Value,
    pub refunds: Value,
    pub subscriptions: Value,
    pub renewals: Value,
    pub events: Value,
    pub enrolments: Value,
    pub runs: Value,
    pub sessions: Value,
    /// What the customer did itself, the newest lines.
    pub access: Value,
}

/// All that is kept about a customer, for staff; none if there is no such customer.
pub async fn export(view: &View, id: CustomerId) -> Result<Option<Export>> {
    view.staff_only()?;
    let Some(row) = view.customer_rows::<customer::Entity>().filter(customer::Column::Id.eq(id)).one(view.db()).await?
    else {
        return Ok(None);
    };
    let tags = customer_tag::Entity::of_customer(view.account().id, id).all(view.db()).await?;
    let activities = of::<activity::Entity>(view, id, activity::Column::Id).await?;
    let allocations = within::<allocation::Entity, _>(
        view,
        allocation::Column::ActivityId,
        activities.iter().map(|activity| activity.id).collect(),
    );
    let orders = of::<product_order::Entity>(view, id, product_order::Column::Id).await?;
    let order_ids = || orders.iter().map(|order| order.id).collect::<Vec<_>>();
    let subscriptions = of::<subscription::Entity>(view, id, subscription::Column::Id).await?;
    let renewals = within::<renewal::Entity, _>(
        view,
        renewal::Column::SubscriptionId,
        subscriptions.iter().map(|subscription| subscription.id).collect(),
    );
    let own = access::Actor { kind: activity::ActorKind::Customer, subject: id.to_string() };
    let events = view.rows::<event::Entity>().filter(event::Column::CustomerId.eq(id));
    let events = events.order_by_asc(event::Column::Id).all(view.db()).await?;
    let enrolments = of::<enrolment::Entity>(view, id, enrolment::Column::Id).await?;
    // Of a run, what led to it is its customer's too.
    let mut runs =
        within::<run::Entity, _>(view, run::Column::EventId, events.iter().map(|event| event.id).collect()).await?;
    runs.extend(
        within::<run::Entity, _>(view, run::Column::EnrolmentId, enrolments.iter().map(|walk| walk.id).collect())
            .await?,
    );
    runs.retain(|run| run.customer_id == id);
    runs.sort_by_key(|run| run.id);
    runs.dedup_by_key(|run| run.id);
    Ok(Some(Export {
        as_of: view.now(),
        customer: told(row)?,
        tags: tags.into_iter().map(|tag| tag.tag).collect(),
        wallets: told(of::<wallet::Entity>(view, id, wallet::Column::CreditTypeId).await?)?,
        grants: told(of::<credit_grant::Entity>(view, id, credit_grant::Column::Id).await?)?,
        allocations: told(allocations.await?)?,
        holds: told(of::<hold::Entity>(view, id, hold::Column::Id).await?)?,
        order_lines: told(within::<order_line::Entity, _>(view, order_line::Column::OrderId, order_ids()).await?)?,
        payments: told(within::<payment::Entity, _>(view, payment::Column::OrderId, order_ids()).await?)?,
        refunds: told(within::<refund::Entity, _>(view, refund::Column::OrderId, order_ids()).await?)?,
        renewals: told(renewals.await?)?,
        events: told(events)?,
        enrolments: told(enrolments)?,
        runs: told(runs)?,
        sessions: told(of::<customer_session::Entity>(view, id, customer_session::Column::Id).await?)?,
        access: told(access::list(view, Some(&own), &newest()?).await?.items)?,
        activities: told(activities)?,
        orders: told(orders)?,
        subscriptions: told(subscriptions)?,
    }))
}

fn newest() -> Result<Page<entity::AccessEntryId>> {
    Ok(Page::new(Some(LINES), None, None, None)?)
}

/// The rows of a customer in a table, by a column.
async fn of<E: CustomerOwned>(view: &View, id: CustomerId, by: E::Column) -> Result<Vec<E::Model>> {
    let rows = view.customer_rows::<E>().filter(E::CUSTOMER.eq(id));
    Ok(rows.order_by_asc(by).all(view.db()).await?)
}

/// The rows of a table that belong to some others, a set at a time.
async fn within<E, I>(view: &View, column: E::Column, ids: Vec<I>) -> Result<Vec<E::Model>>
where
    E: Owned,
    I: Into<sea_orm::Value> + Copy + Send,
{
    let mut found = Vec::new();
    for ids in ids.chunks(IDS) {
        found.extend(view.rows::<E>().filter(column.is_in(ids.iter().copied())).all(view.db()).await?);
    }
    Ok(found)
}

fn told(rows: impl Serialize) -> Result<Value> {
    let value = serde_json::to_value(rows).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(without_account(value))
}

/// Each row without the account that all of them belong to.
fn without_account(value: Value) -> Value {
    match value {
        Value::Array(rows) => rows.into_iter().map(without_account).collect(),
        Value::Object(mut row) => {
            row.remove("accountId");
            Value::Object(row)
        }
        other => json!(other),
    }
}
