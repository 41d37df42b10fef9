//! `product_order`: one purchase. Its lines never change.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::activity::ActorKind;
use crate::{AccountId, CustomerId, CustomerOwned, Minor, OrderId, Owned, SubscriptionId};

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Status {
    AwaitingPayment,
    Paid,
    PartiallyRefunded,
    Refunded,
    Cancelled,
    /// A dispute was lost, and no other money covers it.
    ChargedBack,
}

#[derive(Clone, Debug, PartialEq, serde::Serialize, DeriveEntityModel)]
#[serde(rename_all = "camelCase")]
#[sea_orm(table_name = "product_order")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: AccountId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: OrderId,
    /// 1, 2, 3 … within the account.
    pub number: i64,
    pub customer_id: CustomerId,
    /// The subscription that it started or renewed.
    pub subscription_id: Option<SubscriptionId>,
    /// Which of its periods: 0 is the first.
    pub renewal_number: Option<i64>,
    pub status: Status,
    /// ISO 4217; none where it is paid in credits.
    pub currency: Option<String>,
    pub subtotal: Minor,
    pub tax: Minor,
    pub total: Minor,
    /// How much of it unused credits of the period before are to pay, where it changes a subscription.
    pub covered: Minor,
    /// How much of it went back.
    pub refunded: Minor,
    /// As an anonymous buyer wrote it; likewise the address.
    pub buyer_name: Option<String>,
    pub buyer_email: Option<String>,
    /// What is kept of the address that a stranger ordered from, by which its open orders are counted.
    #[serde(skip)]
    pub stranger: Option<Vec<u8>>,
    pub note: Option<String>,
    pub metadata: Json,
    /// Who placed it.
    pub actor_kind: ActorKind,
    pub actor: String,
    pub placed_at: DateTime<Utc>,
    pub paid_at: Option<DateTime<Utc>>,
    pub cancelled_at: Option<DateTime<Utc>>,
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
