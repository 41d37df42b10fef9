//! `account`: the business. The one table whose key is not led by an account, being the account itself.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use crate::{AccountId, Owned};

/// Whether an account serves people or tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
pub enum Mode {
    /// Follows the clock on the wall.
    Live,
    /// Has a test clock that stands still at `clock_at`.
    Sandbox,
}

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "account")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: AccountId,
    /// Unique over the whole server: part of public links.
    pub slug: String,
    pub name: String,
    /// An IANA name.
    pub time_zone: String,
    /// ISO 4217.
    pub currency: String,
    pub credits_enabled: bool,
    pub mode: Mode,
    /// What the test clock shows; set on sandbox accounts only.
    pub clock_at: Option<DateTime<Utc>>,
    pub sender_name: Option<String>,
    pub logo_url: Option<String>,
    pub support_address: Option<String>,
    /// An HMAC by the ledger key: tells at start-up whether the configured key is the one that signs this ledger.
    pub key_check: Vec<u8>,
    /// How many days a hold may last.
    pub hold_limit_days: i32,
    /// Who settles orders that say nothing else.
    pub payment_provider: String,
    /// Days after its period began until an unpaid renewal is past due.
    pub renewal_due_days: i32,
    /// Days that a subscription goes on with a renewal past due before it is cancelled.
    pub renewal_grace_days: i32,
    /// Which events somebody follows: names, `credits.*` for all that begin so, `*` for all. Kept by whoever changes
    /// triggers and webhook endpoints, so that what nobody follows costs nothing.
    pub followed: Json,
    /// Days for which events are kept.
    pub event_days: i32,
    /// Days for which an order of a stranger that nobody pays is kept.
    pub order_days: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Owned for Entity {
    const ACCOUNT: Column = Column::Id;
}
