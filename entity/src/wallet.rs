//! `wallet`: one customer's credits of one type; the row that is locked before anything moves.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use crate::{AccountId, CreditTypeId, Credits, CustomerId, CustomerOwned, Owned};

#[derive(Clone, Debug, PartialEq, serde::Serialize, DeriveEntityModel)]
#[serde(rename_all = "camelCase")]
#[sea_orm(table_name = "wallet")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: AccountId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub customer_id: CustomerId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub credit_type_id: CreditTypeId,
    /// The number of its activities, and of the newest.
    pub sequence: i64,
    /// The chain's head: the hash of the newest activity, 32 bytes; zeros before the first.
    #[serde(skip)]
    pub hash: Vec<u8>,
    /// The instant of the newest activity.
    pub newest_at: DateTime<Utc>,
    /// Free credits, those not yet effective included.
    pub balance: Credits,
    pub held: Credits,
    pub issued: Credits,
    pub consumed: Credits,
    pub expired: Credits,
    pub voided: Credits,
    pub transferred: Credits,
    /// How many grants are frozen.
    pub frozen_grants: i32,
    /// How many grants bear a rollover cap.
    pub caps: i32,
    /// Until when thresholds were watched: what they were crossed by later is still to be told. Since its newest activity
    /// if none.
    pub noticed_at: Option<DateTime<Utc>>,
    /// How many of its grants are open.
    pub open_grants: i32,
    /// The latest instant from which on one of its grants counts; none before the first.
    pub last_begins_at: Option<DateTime<Utc>>,
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
