//! `webhook_endpoint`: where events are posted to. Its secrets are derived, and stored nowhere.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use crate::{AccountId, Owned, WebhookEndpointId};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "webhook_endpoint")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: AccountId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: WebhookEndpointId,
    pub url: String,
    pub description: Option<String>,
    /// Names of events, `credits.*` for all that begin so, `*` for all.
    pub events: Json,
    pub enabled: bool,
    /// Which secret signs; goes up with each rotation.
    pub generation: i32,
    /// Until when the secret before it signs as well.
    pub previous_until: Option<DateTime<Utc>>,
    /// Since when every attempt failed.
    pub failing_since: Option<DateTime<Utc>>,
    /// Why the server disabled it.
    pub disabled_reason: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub deleted_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Owned for Entity {
    const ACCOUNT: Column = Column::AccountId;
}
