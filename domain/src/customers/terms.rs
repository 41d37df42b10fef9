//! The words by which a customer is found.

use std::collections::BTreeSet;

use entity::{customer, customer_term};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter};

use crate::ground::error::Result;
use crate::storage::tx::Tx;

/// Characters of a word that count.
const LONGEST: usize = 64;
/// Words of one customer that count.
const MOST: usize = 32;

/// The words of a text: lower case, split where neither letters nor digits are.
pub fn words(text: &str) -> impl Iterator<Item = String> {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(|word| word.chars().take(LONGEST).collect()).collect::<Vec<String>>().into_iter()
}

/// Writes down the words of a customer.
pub async fn write(tx: &Tx, customer: &customer::Model) -> Result<()> {
    customer_term::Entity::delete_many()
        .filter(customer_term::Column::AccountId.eq(customer.account_id))
        .filter(customer_term::Column::CustomerId.eq(customer.id))
        .exec(tx.db())
        .await?;
    let texts = [Some(&customer.name), customer.email.as_ref(), customer.external_id.as_ref()];
    let terms = texts.into_iter().flatten().flat_map(|text| words(text)).collect::<BTreeSet<_>>();
    let rows = terms.into_iter().take(MOST).map(|term| {
        customer_term::Model { account_id: customer.account_id, customer_id: customer.id, term }.into_active_model()
    });
    let rows = rows.collect::<Vec<_>>();
    if !rows.is_empty() {
        customer_term::Entity::insert_many(rows).exec_without_returning(tx.db()).await?;
    }
    Ok(())
}
