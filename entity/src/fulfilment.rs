//! `fulfilment`: what a line of a paid order gave: one row per line and part, so that it gives once.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use crate::{AccountId, ActivityId, Credits, GrantId, Minor, OrderId, Owned};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "fulfilment")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: AccountId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub order_id: OrderId,
    /// Of the line.
    #[sea_orm(primary_key, auto_increment = false)]
    pub position: i32,
    /// 0, 1, 2 …: where a period's credits come in parts.
    #[sea_orm(primary_key, auto_increment = false)]
    pub part: i32,
    pub credits: Credits,
    /// The share of the line's amount.
    pub cost: Minor,
    /// The grant that it made.
    pub grant_id: Option<GrantId>,
    /// The issue, or the consume of a line that costs credits.
    pub activity_id: Option<ActivityId>,
    /// Why it made none.
    pub refusal: Option<Json>,
    pub at: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Owned for Entity {
    const ACCOUNT: Column = Column::AccountId;
}
