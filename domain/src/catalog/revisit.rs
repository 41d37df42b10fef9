//! Looking again at the wallets of a credit type whose thresholds were changed: what they cross next may come sooner.

use entity::{CreditTypeId, CustomerId, Owned, account, job, wallet};
use sea_orm::{ColumnTrait, DatabaseTransaction, DbErr, QueryFilter, QueryOrder, QuerySelect};

use crate::ground::clock::Instant;
use crate::ground::error::{Error, Result};
use crate::identity::app::App;
use crate::queue::jobs::{self, After};
use crate::storage::tx::Tx;

/// Wallets that are looked at in one transaction.
const PAGE: u64 = 500;

/// Begins with the first wallet.
pub(crate) async fn begin(
    txn: &DatabaseTransaction,
    account: &account::Model,
    credit_type: CreditTypeId,
    now: Instant,
) -> Result<(), DbErr> {
    let first = key(credit_type, CustomerId(uuid::Uuid::nil()));
    jobs::schedule(txn, account, job::Kind::Revisit, vec![(first, now)], now).await
}

fn key(credit_type: CreditTypeId, after: CustomerId) -> String {
    format!("{credit_type} {after}")
}

/// Has a page of wallets settled now, which finds out what they cross next; the job of the next page follows.
pub(crate) async fn step(app: &App, job: &job::Model) -> Result<After> {
    let read = || {
        let (credit_type, after) = job.key.split_once(' ')?;
        Some((credit_type.parse::<CreditTypeId>().ok()?, after.parse::<CustomerId>().ok()?))
    };
    let (credit_type, after) = read().ok_or_else(|| Error::Internal(format!("the key of {} is none", job.id)))?;
    let tx = Tx::open(app.store(), job.account_id).await?;
    let page = wallet::Entity::of(tx.account.id)
        .filter(wallet::Column::CreditTypeId.eq(credit_type))
        .filter(wallet::Column::CustomerId.gt(after))
        .order_by_asc(wallet::Column::CustomerId)
        .limit(PAGE)
        .all(tx.db())
        .await?;
    let filled = page.iter().filter(|wallet| !wallet.balance.is_zero());
    let due = filled.map(|wallet| (jobs::wallet_key((wallet.customer_id, credit_type)), tx.now)).collect();
    jobs::schedule(tx.db(), &tx.account, job::Kind::Settle, due, tx.now).await?;
    if let Some(last) = page.last().filter(|_| page.len() as u64 == PAGE) {
        let next = vec![(key(credit_type, last.customer_id), tx.now)];
        jobs::schedule(tx.db(), &tx.account, job::Kind::Revisit, next, tx.now).await?;
    }
    jobs::reschedule(tx.db(), &tx.account, job::Kind::Revisit, vec![(job.key.clone(), None)]).await?;
    tx.commit().await?;
    Ok(After::Said)
}
