//! `allocation`: how much of an activity, and how much cost, fell on which grant.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{AccountId, ActivityId, Credits, GrantId, Minor, Owned};

/// Where the cost of credits stands that a reprice moves, while the credits stay where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum CostPool {
    /// With the free credits.
    Left,
    /// With the used ones.
    Consumed,
    /// With those that ended unused.
    Expired,
    /// With those that were taken away.
    Voided,
    /// With those that went to another grant.
    Transferred,
    /// With none: a refund took it off (selling.md, S8).
    Reduced,
    /// With none: the money for what was used was charged back, or never came (selling.md, S8).
    Lost,
}

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
