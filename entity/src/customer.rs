//! `customer`: a person who buys and uses credits.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use crate::{AccountId, CustomerId, CustomerOwned, Owned};

#[derive(Clone, Debug, PartialEq, serde::Serialize, DeriveEntityModel)]
#[serde(rename_all = "camelCase")]
#[sea_orm(table_name = "customer")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: AccountId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: CustomerId,
    pub name: String,
    /// Lower case, trimmed; unique in the account.
    pub email: Option<String>,
    /// The business's own id; unique in the account.
    pub external_id: Option<String>,
    /// A BCP 47 tag.
    pub locale: Option<String>,
    pub metadata: Json,
    /// Since when it gets no more credits; what it has can be used.
    pub archived_at: Option<DateTime<Utc>>,
    /// Since when nothing says any more who it was; its ledger stays.
    pub erased_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Owned for Entity {
    const ACCOUNT: Column = Column::AccountId;
}

impl CustomerOwned for Entity {
    const CUSTOMER: Column = Column::Id;
}
