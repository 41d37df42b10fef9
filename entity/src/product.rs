//! `product`: what an order form offers.

use chrono::{DateTime, NaiveDate, Utc};
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{AccountId, Anchor, CreditTypeId, Credits, Expiration, ExpirationKind, Owned, PeriodUnit, ProductId};

/// What is sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Issues credits when its order is paid.
    Credit,
    /// Anything else.
    Service,
}

/// Whether it is sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Not yet.
    Draft,
    Active,
    /// No more.
    Archived,
}

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "product")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: AccountId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ProductId,
    pub kind: Kind,
    pub status: Status,
    /// Unique in the account: part of its order form's link.
    pub slug: String,
    pub name: String,
    pub description: Option<String>,
    pub image_url: Option<String>,
    /// What buyers read after the order.
    pub thank_you: Option<String>,
    /// Where buyers go after the order.
    pub redirect_url: Option<String>,
    /// Of a credit product: what it issues.
    pub credit_type_id: Option<CreditTypeId>,
    /// Of a credit product: how many per unit.
    pub credits_per_unit: Option<Credits>,
    /// Overrides the policy of the credit type, where it is set; likewise the four that follow.
    pub expiration: Option<ExpirationKind>,
    pub period_count: Option<i32>,
    pub period_unit: Option<PeriodUnit>,
    pub period_from: Option<Anchor>,
    pub expires_on: Option<NaiveDate>,
    pub metadata: Json,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Owned for Entity {
    const ACCOUNT: Column = Column::AccountId;
}

impl Model {
    /// The policy that its credits get instead of their type's, if it brings one.
    #[must_use]
    pub fn policy(&self) -> Option<Expiration> {
        let period = (self.period_count, self.period_unit, self.period_from);
        self.expiration.and_then(|kind| Expiration::from_columns(kind, period, self.expires_on, None))
    }
}
