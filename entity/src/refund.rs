//! `refund`: money, or credits, of an order that went back.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::activity::ActorKind;
use crate::{AccountId, Credits, Minor, OrderId, Owned, PaymentId, RefundId};

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The provider has not said yet.
    Pending,
    Succeeded,
    Failed,
}

#[derive(Clone, Debug, PartialEq, serde::Serialize, DeriveEntityModel)]
#[serde(rename_all = "camelCase")]
#[sea_orm(table_name = "refund")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: AccountId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: RefundId,
    pub order_id: OrderId,
    pub payment_id: Option<PaymentId>,
    pub provider_reference: Option<String>,
    pub status: Status,
    pub amount: Minor,
    /// The part of the amount that is of lines which issued nothing.
    pub line_amount: Minor,
    pub currency: Option<String>,
    /// How many credits were voided, or given back.
    pub credits: Credits,
    /// The part of the amount that is beyond the order's total, and takes no credits.
    pub surplus_amount: Minor,
    /// What of the amount is for lines that issued nothing: a list of `[position, minor]`.
    pub of_lines: Json,
    /// The activities that took credits or their cost away, as a list of ids: undone if the refund fails.
    pub taken: Json,
    pub reason: String,
    pub failure: Option<String>,
    pub actor_kind: ActorKind,
    pub actor: String,
    pub at: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Owned for Entity {
    const ACCOUNT: Column = Column::AccountId;
}
