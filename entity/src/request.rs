//! `request`: what an idempotency key was answered, so that the same key is answered the same.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use crate::{AccountId, Owned};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "request")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: AccountId,
    /// Whose key it is: `staff`, or `customer:` and the id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub caller: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    /// A version byte and the SHA-256 of the mutation and the arguments given.
    pub fingerprint: Vec<u8>,
    /// The recorded outcome.
    pub outcome: Json,
    pub created_at: DateTime<Utc>,
    /// When it is forgotten; never for a success.
    pub expires_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Owned for Entity {
    const ACCOUNT: Column = Column::AccountId;
}
