//! `run`: one action of a trigger, or one step of an enrolment, that is or was carried out.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use crate::{AccountId, ActivityId, CustomerId, CustomerOwned, EnrolmentId, EventId, Owned, RunId, TriggerId};

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, serde::Serialize)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It will be carried out.
    Pending,
    /// It had its effect.
    Done,
    /// A rule said no.
    Refused,
    /// It could not be carried out, by a fault.
    Failed,
    /// Its trigger was deleted or disabled before it was carried out.
    Cancelled,
}

#[derive(Clone, Debug, PartialEq, serde::Serialize, DeriveEntityModel)]
#[serde(rename_all = "camelCase")]
#[sea_orm(table_name = "run")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: AccountId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: RunId,
    pub trigger_id: Option<TriggerId>,
    pub trigger_version: Option<i32>,
    pub enrolment_id: Option<EnrolmentId>,
    /// The event that led to it; for a step, the one that began its enrolment.
    pub event_id: Option<EventId>,
    /// Which action of the trigger, or which step of the walk, from 0.
    pub position: i32,
    pub customer_id: CustomerId,
    /// What is done, as it was decided at the time.
    pub action: Json,
    pub depth: i16,
    /// The event that all began with; none for a step of an enrolment that somebody began by hand.
    pub origin_id: Option<EventId>,
    pub status: Status,
    /// What it wrote in the ledger.
    pub activity_id: Option<ActivityId>,
    /// Why it was refused.
    pub refusal: Option<Json>,
    /// What else is to be known: where a branch went, until when it waits, what was begun.
    pub detail: Json,
    pub created_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Owned for Entity {
    const ACCOUNT: Column = Column::AccountId;
}

impl CustomerOwned for Entity {
    const CUSTOMER: Column = Column::CustomerId;
}
