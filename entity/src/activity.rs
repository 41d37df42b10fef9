//! `activity`: the ledger. Rows are added, never changed and never removed.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;
use sea_orm::sqlx::postgres::{PgRow, Postgres};
use sea_orm::sqlx::{Decode, Row, Type};
use sea_orm::{FromQueryResult, QueryResult, RuntimeErr};

use crate::{AccountId, ActivityId, CreditTypeId, Credits, CustomerId, CustomerOwned, HoldId, Owned};

pub use ledger::activity::{ActorKind, Kind, Source};

#[derive(Clone, Debug, PartialEq, serde::Serialize, DeriveEntityModel)]
#[serde(rename_all = "camelCase")]
#[sea_orm(table_name = "activity")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: AccountId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ActivityId,
    pub customer_id: CustomerId,
    pub credit_type_id: CreditTypeId,
    /// 1, 2, 3 … within the wallet, without gap.
    pub sequence: i64,
    pub kind: Kind,
    /// Signed change of the free credits.
    pub amount: Credits,
    /// Signed change of the held credits.
    pub held_amount: Credits,
    pub balance_before: Credits,
    pub balance_after: Credits,
    pub actor_kind: ActorKind,
    /// The token's subject; empty for the system.
    pub actor: String,
    pub source: Source,
    /// The business's own key for what this belongs to, such as a booking.
    pub reference: Option<String>,
    /// Why credits were taken away. The customer sees it.
    pub reason: Option<String>,
    /// What the customer sees.
    pub note: Option<String>,
    /// What only staff sees.
    pub internal_note: Option<String>,
    /// 16 random bytes that keep the digest from being guessed; blanked with the notes.
    #[serde(skip)]
    pub note_salt: Option<Vec<u8>>,
    /// SHA-256 over salt and notes: what the chain signs, so that it still verifies once the notes are erased.
    #[serde(skip)]
    pub note_digest: Option<Vec<u8>>,
    /// The hold that it opened or closed.
    pub hold_id: Option<HoldId>,
    /// The activity that it undid, or a part of it; of a reprice, the one that used the credits.
    pub reverses_id: Option<ActivityId>,
    pub at: DateTime<Utc>,
    /// HMAC-SHA256 over the one before it in its wallet and everything above.
    #[serde(skip)]
    pub hash: Vec<u8>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Owned for Entity {
    const ACCOUNT: Column = Column::AccountId;

    /// Nothing is read as often as pages of activity. By name SeaORM looks every column up, and makes a message for every
    /// null; PostgreSQL's rows are read by their places.
    fn read(row: &QueryResult) -> Result<Model, DbErr> {
        let Some(row) = row.try_as_pg_row() else { return Model::from_query_result(row, "") };
        Ok(Model {
            account_id: AccountId(at(row, 0)?),
            id: ActivityId(at(row, 1)?),
            customer_id: CustomerId(at(row, 2)?),
            credit_type_id: CreditTypeId(at(row, 3)?),
            sequence: at(row, 4)?,
            kind: Kind::try_from_value(&at(row, 5)?)?,
            amount: Credits(at(row, 6)?),
            held_amount: Credits(at(row, 7)?),
            balance_before: Credits(at(row, 8)?),
            balance_after: Credits(at(row, 9)?),
            actor_kind: ActorKind::try_from_value(&at(row, 10)?)?,
            actor: at(row, 11)?,
            source: Source::try_from_value(&at(row, 12)?)?,
            reference: at(row, 13)?,
            reason: at(row, 14)?,
            note: at(row, 15)?,
            internal_note: at(row, 16)?,
            note_salt: at(row, 17)?,
            note_digest: at(row, 18)?,
            hold_id: at::<Option<Uuid>>(row, 19)?.map(HoldId),
            reverses_id: at::<Option<Uuid>>(row, 20)?.map(ActivityId),
            at: at(row, 21)?,
            hash: at(row, 22)?,
        })
    }
}

/// The column at a place, in the order of [`Column`].
fn at<'r, T>(row: &'r PgRow, place: usize) -> Result<T, DbErr>
where
    T: Decode<'r, Postgres> + Type<Postgres>,
{
    row.try_get(place).map_err(|error| DbErr::Query(RuntimeErr::SqlxError(Arc::new(error))))
}

impl CustomerOwned for Entity {
    const CUSTOMER: Column = Column::CustomerId;
}
