//! Events of the business's own: a form was submitted, a session was delivered.

use entity::customer::{Column, Entity};
use entity::{CustomerId, CustomerOwned, EventId, event};
use sea_orm::sea_query::LockType;
use sea_orm::{ColumnTrait, QueryFilter, QuerySelect, Select};
use serde::Serialize;
use serde_json::Value;

use crate::customers::not_erased;
use crate::ground::clock::fresh_id;
use crate::ground::error::{Error, Refusal, Result};
use crate::ground::input;
use crate::ground::scope::Scope;
use crate::identity::caller::Caller;
use crate::identity::once::{Operation, once};
use crate::queue::events::catalogue;
use crate::queue::events::followed::is_followed;
use crate::storage::tx::Tx;

/// How deep properties may nest.
const DEEPEST: usize = 8;

/// How a customer is named.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    Id(CustomerId),
    Email(String),
    ExternalId(String),
}

/// Something that happened outside.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tracked {
    pub name: String,
    pub customer: Who,
    pub properties: Value,
}

/// Writes an event of the business's own, once per key; says whether the key had written it before.
pub async fn track(caller: &Caller, tracked: Tracked, key: &str) -> Result<(event::Model, bool)> {
    let name = check_name("name", &tracked.name)?;
    let properties = input::metadata("properties", tracked.properties)?;
    if depth(&properties) > DEEPEST {
        return Err(Refusal::invalid("properties", format!("Must not nest deeper than {DEEPEST} levels.")).into());
    }
    let tracked = Tracked { name, properties, ..tracked };
    let (id, replayed) = once(caller, Scope::EventsWrite, key, &tracked).await?;
    let view = caller.view(Scope::EventsWrite).await?;
    match crate::queue::events::by_ids(&view, &[id]).await?.remove(&id) {
        Some(event) => Ok((event, replayed)),
        // Its key is kept for good, the event for as long as the account says.
        None if replayed => {
            let message = "This key wrote an event that is kept no longer. Nothing was written now.";
            Err(Refusal::invalid("idempotencyKey", message).into())
        }
        None => Err(Error::Internal(format!("{id} was written and is gone"))),
    }
}

impl Operation for Tracked {
    const NAME: &'static str = "eventTrack";
    type Made = EventId;

    async fn run(&self, tx: &Tx, _: &Caller) -> Result<EventId> {
        let customer = find(tx, &self.customer).await?;
        let row = event::Model {
            account_id: tx.account.id,
            id: EventId(fresh_id()),
            name: self.name.clone(),
            version: 1,
            customer_id: Some(customer),
            subject_id: customer.0,
            payload: self.properties.clone(),
            at: tx.now,
            depth: 0,
            origin_id: None,
            pending: is_followed(&tx.account, &self.name),
        };
        let id = row.id;
        tx.keep([row]);
        Ok(id)
    }
}

/// A name that the business may use for events of its own.
pub fn check_name(field: &str, name: &str) -> Result<String, Refusal> {
    if !catalogue::is_name(name) {
        let message = "Must begin with a letter a-z and have at most 64 of the characters a-z, 0-9, _ and dots, such as form.submitted.";
        return Err(Refusal::invalid(field, message));
    }
    if catalogue::is_reserved(name) {
        let begin = name.split('.').next().unwrap_or_default();
        return Err(Refusal::invalid(
            field,
            format!("Names that begin with {begin}. are the server's own. Use another."),
        ));
    }
    Ok(name.to_owned())
}

/// It is not erased before the transaction ends.
fn locked(customer: Select<Entity>) -> Select<Entity> {
    customer.lock(LockType::KeyShare)
}

async fn find(tx: &Tx, who: &Who) -> Result<CustomerId> {
    let (select, field) = (tx.rows::<Entity>(), "customer");
    let found = match who {
        Who::Id(id) => locked(Entity::of_customer(tx.account.id, *id)).one(tx.db()).await?,
        Who::Email(email) => {
            locked(select.filter(Column::Email.eq(input::email("customer.email", email)?))).one(tx.db()).await?
        }
        Who::ExternalId(id) => {
            let id = input::text("customer.externalId", id, input::NAME)?;
            locked(select.filter(Column::ExternalId.eq(id))).one(tx.db()).await?
        }
    };
    let found = found.ok_or_else(|| Refusal::not_found(field, "customer"))?;
    Ok(not_erased(found, field)?.id)
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
