//! `allocation`: how much of an activity, and how much cost, fell on which grant.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use crate::{AccountId, ActivityId, Credits, GrantId, Minor, Owned};

pub use ledger::allocation::CostPool;

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, DeriveEntityModel)]
#[serde(rename_all = "camelCase")]
#[sea_orm(table_name = "allocation")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: AccountId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub activity_id: ActivityId,
    /// 0, 1, 2 … in the order in which the grants were taken.
    #[sea_orm(primary_key, auto_increment = false)]
    pub position: i32,
    pub grant_id: GrantId,
    /// Never negative: the activity's kind says where it went. None where only the grant's end was moved.
    pub amount: Credits,
    pub cost: Minor,
    /// When the grant ended before this activity, where the activity moved its end.
    pub ends_before: Option<DateTime<Utc>>,
    /// When the grant ends since this activity, where the activity set its end.
    pub ends_after: Option<DateTime<Utc>>,
    /// Of a void: that it does not close the grant.
    pub leaves_open: bool,
    /// Of a reprice: where the cost stood; `amount` says for how many credits it stood there, none of which move.
    pub cost_from: Option<CostPool>,
    /// Of a reprice: where the cost stands since.
    pub cost_to: Option<CostPool>,
    /// Of a void, and of what undoes it: that its cost went back to who had paid it.
    pub refunded: bool,
    /// What it added to the allowance that the grant bears for what comes back of earlier periods, or took off it.
    pub allowance: Option<Credits>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Owned for Entity {
    const ACCOUNT: Column = Column::AccountId;
}
