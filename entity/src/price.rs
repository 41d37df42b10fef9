//! `price`: how a product is paid. Never changed: archived, and replaced by another.

use chrono::{DateTime, NaiveDate, Utc};
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, Anchor, CreditTypeId, Credits, Expiration, ExpirationKind, Owned, PeriodUnit, PriceId, ProductId,
};

/// How it is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Money, once.
    OneTime,
    /// Money, each period.
    Subscription,
    /// Credits.
    Credits,
}

/// Which tier prices a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum TierMode {
    /// The tier that the quantity falls in prices every unit.
    Volume,
    /// Each tier prices the units that fall in it.
    Graduated,
}

/// What becomes of what a period leaves unused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Rollover {
    /// It stays, for as long as its own policy says.
    All,
    /// It ends with the period.
    None,
    /// At most a number stays.
    UpTo,
}

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "price")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: AccountId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: PriceId,
    pub product_id: ProductId,
    pub kind: Kind,
    pub name: Option<String>,
    /// ISO 4217; of money.
    pub currency: Option<String>,
    pub tier_mode: Option<TierMode>,
    /// An array of tiers, `{from, upTo, unit, flat}`; empty for a price in credits.
    pub tiers: Json,
    pub minimum_quantity: i64,
    pub maximum_quantity: Option<i64>,
    /// How many units one customer may have, ever.
    pub max_per_customer: Option<i64>,
    /// Of a subscription: how long a period is.
    pub interval_count: Option<i32>,
    pub interval_unit: Option<PeriodUnit>,
    /// Of a subscription: how many credits a unit gets each time: at each renewal, or in each part of a period.
    pub credits_per_renewal: Option<Credits>,
    /// Of a subscription: how long a part of a period is, where credits come more often than it is paid.
    pub every_count: Option<i32>,
    pub every_unit: Option<PeriodUnit>,
    pub rollover: Option<Rollover>,
    pub rollover_limit: Option<Credits>,
    /// Of a subscription: whether a renewal issues its credits before it is paid.
    pub issue_before_payment: bool,
    /// Of a price in credits: of which type.
    pub credit_type_id: Option<CreditTypeId>,
    /// Of a price in credits: how many a unit costs.
    pub credit_amount: Option<Credits>,
    /// Overrides the policy of the credit type, where it is set; likewise the four that follow.
    pub expiration: Option<ExpirationKind>,
    pub period_count: Option<i32>,
    pub period_unit: Option<PeriodUnit>,
    pub period_from: Option<Anchor>,
    pub expires_on: Option<NaiveDate>,
    pub replaces_id: Option<PriceId>,
    pub archived_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Owned for Entity {
    const ACCOUNT: Column = Column::AccountId;
}

impl Model {
    /// How many units are ordered at most: by anybody at once, or by one customer ever; none if there is no limit.
    #[must_use]
    pub fn most(&self) -> Option<i64> {
        [self.maximum_quantity, self.max_per_customer].into_iter().flatten().min()
    }

    /// The policy that its credits get instead of their type's, if it brings one.
    #[must_use]
    pub fn policy(&self) -> Option<Expiration> {
        let period = (self.period_count, self.period_unit, self.period_from);
        self.expiration.and_then(|kind| Expiration::from_columns(kind, period, self.expires_on, None))
    }
}
