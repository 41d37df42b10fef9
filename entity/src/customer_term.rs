//! `customer_term`: the words by which a customer is found, so that a search is a range of an index.

use sea_orm::entity::prelude::*;

use crate::{AccountId, CustomerId, CustomerOwned, Owned};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "customer_term")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: AccountId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub customer_id: CustomerId,
    /// A lower-case word of the name, the e-mail or the external id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub term: String,
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
