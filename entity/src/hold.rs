//! `hold`: credits set aside for a booking. Which grants they are of is what its placing activity allocated.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use crate::{AccountId, ActivityId, CreditTypeId, Credits, CustomerId, CustomerOwned, HoldId, Owned};

pub use ledger::hold::Status;

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, DeriveEntityModel)]
#[serde(rename_all = "camelCase")]
#[sea_orm(table_name = "hold")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: AccountId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: HoldId,
    pub customer_id: CustomerId,
    pub credit_type_id: CreditTypeId,
    /// The activity that placed it.
    pub activity_id: ActivityId,
    pub amount: Credits,
    /// How many of them were used; the rest went back.
    pub captured: Credits,
    pub status: Status,
    /// Whether `status` is open: a flag for indexes.
    pub open: bool,
    pub reference: Option<String>,
    pub placed_at: DateTime<Utc>,
    /// The first instant at which it no longer holds.
    pub expires_at: DateTime<Utc>,
    pub closed_at: Option<DateTime<Utc>>,
    /// The number of the activity that placed it within its wallet; 0 of one that was placed before that was kept.
    pub sequence: i64,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Owned for Entity {
    const ACCOUNT: Column = Column::AccountId;
    const FIXED: &'static [Column] = &[
        Column::CustomerId,
        Column::CreditTypeId,
        Column::ActivityId,
        Column::Amount,
        Column::Reference,
        Column::PlacedAt,
        Column::ExpiresAt,
        Column::Sequence,
    ];
}

impl CustomerOwned for Entity {
    const CUSTOMER: Column = Column::CustomerId;
}
