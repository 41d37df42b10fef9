//! Forgetting what was said: the notes of a customer's activities, and with them the salt by which their digest could be
//! guessed. The one change that is ever made to an activity; the chain signs the digest, so it still verifies.

use entity::activity::Column;
use entity::{CustomerId, activity, credit_grant};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter};

use crate::ground::error::Result;
use crate::storage::tx::Tx;

/// Blanks the notes of a customer's activities, and what the business had kept with its grants.
pub(crate) async fn notes(tx: &Tx, customer: CustomerId) -> Result<()> {
    let account = tx.account.id;
    let noted = Condition::any().add(Column::NoteSalt.is_not_null()).add(Column::Note.is_not_null());
    activity::Entity::update_many()
        .col_expr(Column::Note, Expr::value(Option::<String>::None))
        .col_expr(Column::InternalNote, Expr::value(Option::<String>::None))
        .col_expr(Column::NoteSalt, Expr::value(Option::<Vec<u8>>::None))
        .filter(Column::AccountId.eq(account))
        .filter(Column::CustomerId.eq(customer))
        .filter(noted)
        .exec(tx.db())
        .await?;
    credit_grant::Entity::update_many()
        .col_expr(credit_grant::Column::Metadata, Expr::value(serde_json::json!({})))
        .filter(credit_grant::Column::AccountId.eq(account))
        .filter(credit_grant::Column::CustomerId.eq(customer))
        // Only these: whoever moves others need not wait.
        .filter(credit_grant::Column::Metadata.ne(serde_json::json!({})))
        .exec(tx.db())
        .await?;
    Ok(())
}
