//! `order_line`: so much of a product at a price.

use sea_orm::entity::prelude::*;

use crate::{AccountId, CreditTypeId, Credits, Minor, OrderId, Owned, PriceId, ProductId};

#[derive(Clone, Debug, PartialEq, serde::Serialize, DeriveEntityModel)]
#[serde(rename_all = "camelCase")]
#[sea_orm(table_name = "order_line")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: AccountId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub order_id: OrderId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub position: i32,
    pub product_id: ProductId,
    pub price_id: PriceId,
    pub quantity: i64,
    /// What it costs in money.
    pub amount: Minor,
    /// Of what it issues, or what it costs.
    pub credit_type_id: Option<CreditTypeId>,
    /// How many it issues, or costs.
    pub credits: Credits,
    /// When these end, where that is not as their type says; as the price or product said when it was ordered.
    pub expiration: Option<Json>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Owned for Entity {
    const ACCOUNT: Column = Column::AccountId;
}
