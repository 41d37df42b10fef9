//! `bulk_refusal`: one that a bulk operation could not be done to, and why.

use sea_orm::entity::prelude::*;

use crate::{AccountId, BulkOperationId, CustomerId, Owned};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "bulk_refusal")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: AccountId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub operation_id: BulkOperationId,
    /// The customer or the grant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub subject_id: Uuid,
    pub customer_id: CustomerId,
    pub refusal: Json,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Owned for Entity {
    const ACCOUNT: Column = Column::AccountId;
}
