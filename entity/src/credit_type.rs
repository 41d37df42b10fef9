//! `credit_type`: what one credit is good for.

use chrono::{DateTime, NaiveDate, Utc};
use sea_orm::entity::prelude::*;

use crate::{AccountId, Anchor, CreditTypeId, Credits, Expiration, ExpirationKind, Owned, PeriodUnit};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "credit_type")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: AccountId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: CreditTypeId,
    /// Unique in the account.
    pub name: String,
    pub description: Option<String>,
    pub expiration: ExpirationKind,
    pub period_count: Option<i32>,
    pub period_unit: Option<PeriodUnit>,
    pub period_from: Option<Anchor>,
    pub expires_on: Option<NaiveDate>,
    /// At or below this many available credits, a balance is low.
    pub low_balance_at: Option<Credits>,
    /// How many days before the end a customer is told: an array of at most five numbers.
    pub expiry_notice_days: Json,
    /// When what its customers are told of was last changed: nothing earlier is told.
    pub noticed_from: Option<DateTime<Utc>>,
    pub archived_at: Option<DateTime<Utc>>,
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
    /// The policy that its grants get unless an issue brings its own.
    #[must_use]
    pub fn policy(&self) -> Expiration {
        let period = (self.period_count, self.period_unit, self.period_from);
        Expiration::from_columns(self.expiration, period, self.expires_on, None)
            .expect("the table's CHECK keeps the columns of a policy together")
    }
}
