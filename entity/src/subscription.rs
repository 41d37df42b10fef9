//! `subscription`: an order that renews.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{AccountId, CustomerId, CustomerOwned, Owned, PriceId, SubscriptionId};

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Its first order awaits payment.
    Pending,
    Active,
    /// A renewal was not paid in time.
    PastDue,
    Paused,
    Cancelled,
}

#[derive(Clone, Debug, PartialEq, serde::Serialize, DeriveEntityModel)]
#[serde(rename_all = "camelCase")]
#[sea_orm(table_name = "subscription")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: AccountId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: SubscriptionId,
    pub customer_id: CustomerId,
    pub price_id: PriceId,
    pub quantity: i64,
    pub status: Status,
    /// From when its periods are counted: its first payment, or the period at which its interval changed.
    pub anchor_at: Option<DateTime<Utc>>,
    /// The number of the period that begins at the anchor.
    pub anchor_number: i64,
    /// The period that begins next.
    pub next_number: i64,
    /// When that is; none before the first payment and after the end.
    pub next_at: Option<DateTime<Utc>>,
    /// The account's, when it was placed.
    pub time_zone: String,
    /// The price from the next period on.
    pub pending_price_id: Option<PriceId>,
    /// How many from the next period on.
    pub pending_quantity: Option<i64>,
    pub cancel_at_period_end: bool,
    /// A stored method of the provider that renewals are charged to.
    pub payment_method: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
    /// Why it was cancelled.
    pub reason: Option<String>,
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
