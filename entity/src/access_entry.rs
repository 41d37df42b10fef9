//! `access_entry`: one line of who did what.

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;

use crate::activity::ActorKind;
use crate::{AccessEntryId, AccountId, Owned};

#[derive(Clone, Debug, PartialEq, serde::Serialize, DeriveEntityModel)]
#[serde(rename_all = "camelCase")]
#[sea_orm(table_name = "access_entry")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: AccountId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: AccessEntryId,
    pub at: DateTime<Utc>,
    pub actor_kind: ActorKind,
    /// The token's subject, the API key's id or the customer's.
    pub actor: String,
    /// The field of the root type that was asked for.
    pub operation: String,
    /// The id of what it was asked for.
    pub about: Option<String>,
    /// `done`, or the code of a refusal or an error.
    pub outcome: String,
    pub request_id: String,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Owned for Entity {
    const ACCOUNT: Column = Column::AccountId;
}
