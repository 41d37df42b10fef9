//! `event`: something that happened, written in the transaction of the fact.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use crate::{AccountId, CustomerId, EventId, Owned};

#[derive(Clone, Debug, PartialEq, serde::Serialize, DeriveEntityModel)]
#[serde(rename_all = "camelCase")]
#[sea_orm(table_name = "event")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: AccountId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: EventId,
    /// Object and past verb: `credits.issued`.
    pub name: String,
    /// Of the payload's shape; goes up when that changes.
    pub version: i16,
    pub customer_id: Option<CustomerId>,
    /// What it is about: the UUID of an activity, for what happens in the ledger.
    pub subject_id: Uuid,
    pub payload: Json,
    pub at: DateTime<Utc>,
    /// How many triggers and automations led to it, one after another: 0 for what people and time do.
    pub depth: i16,
    /// The event that all of these began with; none for what people and time do.
    pub origin_id: Option<EventId>,
    /// Whether nobody has yet looked at what follows from it.
    pub pending: bool,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Owned for Entity {
    const ACCOUNT: Column = Column::AccountId;
}
