//! What a set of commands looks at and changes, read a set at a time.

use std::collections::{BTreeSet, HashMap};

use entity::{AccountId, CreditTypeId, Credits, CustomerId, Owned, credit_grant, credit_type, customer, wallet};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ColumnTrait, DatabaseTransaction, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, Select,
};

use super::chain;
use super::state::{Wallet, WalletKey};
use crate::domain::clock::Instant;
use crate::domain::error::Refusal;

/// What the jobs look at and change.
pub struct Loaded {
    pub wallets: HashMap<WalletKey, Wallet>,
    pub types: HashMap<CreditTypeId, credit_type::Model>,
    pub customers: BTreeSet<CustomerId>,
}

/// Locks the wallets in key order, making those that an issue needs, and in the next statements reads what they hold.
pub async fn lock(
    txn: &DatabaseTransaction,
    account: AccountId,
    keys: &BTreeSet<WalletKey>,
    issued_to: &BTreeSet<WalletKey>,
) -> Result<Loaded, DbErr> {
    let mut rows = lock_wallets(txn, account, keys).await?;
    let types = self::types(txn, account, keys).await?;
    let mut customers = rows.iter().map(|row| row.customer_id).collect::<BTreeSet<_>>();
    let found = rows.iter().map(|row| (row.customer_id, row.credit_type_id)).collect::<BTreeSet<_>>();
    let missing = keys.difference(&found).copied().collect::<BTreeSet<_>>();
    if !missing.is_empty() {
        customers.extend(self::customers(txn, account, &missing).await?);
        let new = missing
            .intersection(issued_to)
            .filter(|(customer, credit_type)| customers.contains(customer) && types.contains_key(credit_type))
            .copied()
            .collect::<BTreeSet<_>>();
        if !new.is_empty() {
            let empty = new.iter().map(|key| empty(account, *key).into_active_model());
            wallet::Entity::insert_many(empty).on_conflict_do_nothing().exec_without_returning(txn).await?;
            rows.extend(lock_wallets(txn, account, &new).await?);
        }
    }
    let mut grants: HashMap<WalletKey, Vec<credit_grant::Model>> = HashMap::new();
    for grant in self::grants(txn, account, keys).await? {
        grants.entry((grant.customer_id, grant.credit_type_id)).or_default().push(grant);
    }
    let wallets = rows
        .into_iter()
        .map(|row| {
            let key = (row.customer_id, row.credit_type_id);
            (key, Wallet::new(row, grants.remove(&key).unwrap_or_default()))
        })
        .collect();
    Ok(Loaded { wallets, types, customers })
}

async fn lock_wallets(
    txn: &DatabaseTransaction,
    account: AccountId,
    keys: &BTreeSet<WalletKey>,
) -> Result<Vec<wallet::Model>, DbErr> {
    in_wallets(wallet::Entity::of(account), keys)
        .order_by_asc(wallet::Column::CustomerId)
        .order_by_asc(wallet::Column::CreditTypeId)
        .lock_exclusive()
        .all(txn)
        .await
}

pub fn in_wallets(select: Select<wallet::Entity>, keys: &BTreeSet<WalletKey>) -> Select<wallet::Entity> {
    let pair = Expr::tuple([Expr::col(wallet::Column::CustomerId), Expr::col(wallet::Column::CreditTypeId)]);
    select.filter(pair.in_tuples(keys.iter().map(|(customer, credit_type)| (customer.0, credit_type.0))))
}

pub async fn grants(
    txn: &DatabaseTransaction,
    account: AccountId,
    keys: &BTreeSet<WalletKey>,
) -> Result<Vec<credit_grant::Model>, DbErr> {
    let pair =
        Expr::tuple([Expr::col(credit_grant::Column::CustomerId), Expr::col(credit_grant::Column::CreditTypeId)]);
    credit_grant::Entity::of(account)
        .filter(pair.in_tuples(keys.iter().map(|(customer, credit_type)| (customer.0, credit_type.0))))
        .filter(credit_grant::Column::Open.eq(true))
        .all(txn)
        .await
}

pub async fn types(
    txn: &DatabaseTransaction,
    account: AccountId,
    keys: &BTreeSet<WalletKey>,
) -> Result<HashMap<CreditTypeId, credit_type::Model>, DbErr> {
    let ids = keys.iter().map(|(_, credit_type)| *credit_type).collect::<BTreeSet<_>>();
    let rows = credit_type::Entity::of(account).filter(credit_type::Column::Id.is_in(ids)).all(txn).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

pub async fn customers(
    txn: &DatabaseTransaction,
    account: AccountId,
    keys: &BTreeSet<WalletKey>,
) -> Result<BTreeSet<CustomerId>, DbErr> {
    let ids = keys.iter().map(|(customer, _)| *customer).collect::<BTreeSet<_>>();
    let rows = customer::Entity::of(account).filter(customer::Column::Id.is_in(ids)).all(txn).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// A wallet before its first activity.
pub fn empty(account: AccountId, (customer, credit_type): WalletKey) -> wallet::Model {
    wallet::Model {
        account_id: account,
        customer_id: customer,
        credit_type_id: credit_type,
        sequence: 0,
        hash: chain::GENESIS.to_vec(),
        newest_at: Instant::UNIX_EPOCH,
        balance: Credits::ZERO,
        held: Credits::ZERO,
        issued: Credits::ZERO,
        consumed: Credits::ZERO,
        expired: Credits::ZERO,
        voided: Credits::ZERO,
        transferred: Credits::ZERO,
    }
}

/// The credit type, if both ends of a wallet exist.
pub fn existing<'a>(
    (customer, credit_type): WalletKey,
    customers: &BTreeSet<CustomerId>,
    types: &'a HashMap<CreditTypeId, credit_type::Model>,
) -> Result<&'a credit_type::Model, Refusal> {
    if !customers.contains(&customer) {
        return Err(Refusal::not_found("customerId", "customer"));
    }
    types.get(&credit_type).ok_or_else(|| Refusal::not_found("creditTypeId", "credit type"))
}
