//! Events: what happened, for whoever follows. Each is written in the transaction of its fact; everything later follows
//! from it and from nothing else.
//!
//! * [`Tx::emit`]: write one beside its fact. The ledger writes its own (`ledger::facts`), the business too
//!   (`events::track`); what follows from it is `dispatch`'s.
//! * [`catalogue`]: the names and payloads of the server's own.
//!
//! An event that somebody follows is written as *pending*, and leaves that state in the transaction that writes down what
//! follows. The account knows which names are followed (`followed`), so that what nobody follows costs one row and no
//! more.

pub mod catalogue;
pub mod followed;

use std::collections::HashMap;

use entity::event::{Column, Entity, Model};
use entity::{CustomerId, EventId};
use sea_orm::{ColumnTrait, QueryFilter};
use serde_json::Value;
use uuid::Uuid;

use crate::ground::cause::Cause;
use crate::ground::clock::fresh_id;
use crate::ground::error::{Error, Result};
use crate::ground::page::{Page, Slice};
use crate::storage::tx::{Tx, View};
use followed::is_followed;

pub(crate) fn version_of(name: &str) -> i16 {
    catalogue::built_in(name).map_or(1, |event| event.version)
}

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Fact {
    pub name: &'static str,
    /// To whom, if to a customer.
    pub customer: Option<CustomerId>,
    /// What it is about.
    pub subject: Uuid,
    pub payload: Value,
}

impl Tx {
    /// Keeps what happened, to be written with what made it happen.
    pub(crate) fn emit(&self, fact: Fact) -> EventId {
        self.emit_because(fact, self.cause)
    }

    /// The same, for what this led to.
    pub(crate) fn emit_because(&self, fact: Fact, cause: Cause) -> EventId {
        let followed = is_followed(&self.account, fact.name);
        self.note(fact, cause, followed)
    }

    /// The same, for nobody to follow.
    pub(crate) fn emit_quietly(&self, fact: Fact) -> EventId {
        self.note(fact, self.cause, false)
    }

    fn note(&self, fact: Fact, cause: Cause, pending: bool) -> EventId {
        let row = Model {
            account_id: self.account.id,
            id: EventId(fresh_id()),
            name: fact.name.to_owned(),
            version: version_of(fact.name),
            customer_id: fact.customer,
            subject_id: fact.subject,
            payload: fact.payload,
            at: self.now,
            depth: cause.depth,
            origin_id: cause.origin,
            pending,
        };
        let id = row.id;
        self.keep([row]);
        id
    }
}

/// Which events are wanted.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    pub name: Option<String>,
    pub customer: Option<CustomerId>,
}

/// Events, newest first, for staff. By name and by customer they are found in an index of their own.
pub async fn list(view: &View, wish: &Wish, page: &Page<EventId>) -> Result<Slice<Model>> {
    view.staff_only()?;
    let mut select = view.rows::<Entity>();
    if let Some(name) = &wish.name {
        if name.contains('\0') {
            return Ok(Slice::default());
        }
        select = select.filter(Column::Name.eq(name));
    }
    if let Some(customer) = wish.customer {
        select = select.filter(Column::CustomerId.eq(customer));
    }
    let rows = page.of(select, Column::Id, true).all(view.db()).await?;
    Ok(page.slice(rows))
}

/// Events by id, for staff.
pub async fn by_ids(view: &View, ids: &[EventId]) -> Result<HashMap<EventId, Model>> {
    view.staff_only()?;
    let rows = view.rows::<Entity>().filter(view.among(Column::Id, ids.iter().copied())?).all(view.db()).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// A stored form, read back.
pub(crate) fn read<T: serde::de::DeserializeOwned>(json: &Value) -> Result<T> {
    T::deserialize(json).map_err(|error| Error::Internal(format!("a stored form cannot be read: {error}")))
}

/// What is stored of a form.
pub(crate) fn stored(form: &impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(form).map_err(|error| Error::Internal(format!("a form cannot be stored: {error}")))
}
