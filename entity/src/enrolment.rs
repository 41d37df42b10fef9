//! `enrolment`: one customer's walk through an automation.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use crate::{AccountId, AutomationId, CustomerId, CustomerOwned, EnrolmentId, EventId, Owned};

/// How far a walk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, serde::Serialize)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It goes on by itself.
    Running,
    /// Somebody stopped it; it can be resumed.
    Stopped,
    /// It came to its end.
    Done,
    /// A step of it could not be taken, by a fault.
    Failed,
}

#[derive(Clone, Debug, PartialEq, serde::Serialize, DeriveEntityModel)]
#[serde(rename_all = "camelCase")]
#[sea_orm(table_name = "enrolment")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: AccountId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: EnrolmentId,
    pub automation_id: AutomationId,
    /// The version that it walks to its end.
    pub version: i32,
    pub customer_id: CustomerId,
    /// The event that began it, if one did.
    pub event_id: Option<EventId>,
    /// What that event said: branches read it.
    pub facts: Json,
    pub status: Status,
    /// Whether it is running or stopped.
    pub active: bool,
    /// The step that comes next, from 0.
    pub step: i32,
    /// How many steps were taken.
    pub position: i32,
    /// When it goes on, while it waits.
    pub wake_at: Option<DateTime<Utc>>,
    pub depth: i16,
    /// The event that all began with; none if somebody began it by hand.
    pub origin_id: Option<EventId>,
    /// Why it ended, or was stopped.
    pub reason: Option<String>,
    pub started_at: DateTime<Utc>,
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
