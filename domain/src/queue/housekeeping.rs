//! When an account looks for what is kept no longer.

use chrono::TimeDelta;
use entity::account::{Mode, Model as Account};
use entity::job;
use sea_orm::{DatabaseTransaction, DbErr};

use crate::ground::clock::Instant;

/// When an account next looks for what is kept no longer: ten times within what is kept, and at most once a day.
#[must_use]
pub(crate) fn next(account: &Account, now: Instant) -> Instant {
    now + TimeDelta::days(i64::from(account.event_days.min(account.order_days) / 10).max(1))
}

/// Sees to it that an account looks, now or in its time. A sandbox does without a job: it looks whenever its clock arrives.
pub async fn schedule(txn: &DatabaseTransaction, account: &Account, now: Instant, at_once: bool) -> Result<(), DbErr> {
    if account.mode == Mode::Sandbox {
        return Ok(());
    }
    let at = if at_once { now } else { next(account, now) };
    super::jobs::schedule(txn, account, job::Kind::Purge, vec![(String::new(), at)], now).await
}
