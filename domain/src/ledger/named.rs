//! Whom and what commands name: customers and credit types.

use std::collections::{BTreeMap, BTreeSet};

use entity::{AccountId, CreditTypeId, CustomerId, Owned, credit_type, customer};
use ledger::CreditType;
use sea_orm::sea_query::LockType;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, QueryOrder, QuerySelect};

use super::load::{Place, Purpose, ids};

/// Credit types, less those that are known.
pub(super) async fn types(
    txn: &DatabaseTransaction,
    places: &BTreeSet<Place>,
    known: Vec<credit_type::Model>,
) -> Result<BTreeMap<(AccountId, CreditTypeId), CreditType>, DbErr> {
    use credit_type::{Column, Entity};
    let named = places.iter().map(|(account, (_, credit_type))| (*account, *credit_type)).collect::<BTreeSet<_>>();
    let decides = |row: credit_type::Model| ((row.account_id, row.id), CreditType::from(&row));
    let known = known.into_iter().map(decides).filter(|(key, _)| named.contains(key));
    let mut types = known.collect::<BTreeMap<_, _>>();
    let unknown = named.into_iter().filter(|key| !types.contains_key(key)).collect::<Vec<_>>();
    if !unknown.is_empty() {
        let rows = Entity::keyed(txn.get_database_backend(), [Column::Id], ids(unknown))?.all(txn).await?;
        types.extend(rows.into_iter().map(decides));
    }
    Ok(types)
}

/// Customers, in the order of their keys.
pub(super) async fn customers(
    txn: &DatabaseTransaction,
    named: BTreeSet<(AccountId, CustomerId)>,
    purpose: Purpose,
) -> Result<BTreeMap<(AccountId, CustomerId), customer::Model>, DbErr> {
    use customer::{Column, Entity};
    if named.is_empty() {
        return Ok(BTreeMap::new());
    }
    let select = Entity::keyed(txn.get_database_backend(), [Column::Id], ids(named))?;
    let rows = match purpose {
        Purpose::Change(_) => {
            let in_order = select.order_by_asc(Column::AccountId).order_by_asc(Column::Id);
            in_order.lock(LockType::KeyShare).all(txn).await?
        }
        Purpose::Look(_) | Purpose::Glance => select.all(txn).await?,
    };
    Ok(rows.into_iter().map(|row| ((row.account_id, row.id), row)).collect())
}
