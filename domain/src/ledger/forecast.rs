//! What ends in the days to come, if nothing more happens: for one customer by letting time go on in memory, for an
//! account by two sums in the database.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use entity::activity::Kind;
use entity::{CreditTypeId, Credits, allocation, credit_grant, hold};
use sea_orm::sea_query::{CaseStatement, Expr, ExprTrait, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, Order};

use super::state::Wallet;
use crate::ground::clock::Instant;
use crate::ground::error::{Refusal, Result};
use crate::storage::tx::View;

/// The most days that are looked ahead.
const DAYS: i32 = 366;

/// The most lines that are told of an account, soonest first.
pub const LINES: u64 = 1_000;

/// Credits of one type that end at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    pub credit_type: CreditTypeId,
    pub at: Instant,
    pub amount: Credits,
}

/// The instant until which is looked ahead.
pub fn horizon(now: Instant, days: i32) -> Result<Instant, Refusal> {
    if (1..=DAYS).contains(&days) {
        Ok(now + TimeDelta::days(i64::from(days)))
    } else {
        Err(Refusal::invalid("days", format!("Must be 1 to {DAYS}.")))
    }
}

/// What ends in wallets until an instant, soonest first (pure). What a lapse gives back to a grant that has ended, ends
/// with the lapse.
#[must_use]
pub fn of_wallets(wallets: Vec<Wallet>, now: Instant, until: Instant) -> Vec<Ending> {
    let mut ends = BTreeMap::new();
    for mut wallet in wallets {
        let (_, credit_type) = wallet.key();
        let past = wallet.instant(now);
        wallet.settle(past);
        for entry in wallet.settle(until).into_iter().filter(|entry| entry.kind == Kind::Expire) {
            *ends.entry((entry.at, credit_type)).or_insert(Credits::ZERO) += entry.total();
        }
    }
    ends.into_iter().map(|((at, credit_type), amount)| Ending { credit_type, at, amount }).collect()
}

/// What ends in the whole account until an instant, soonest first.
pub async fn of_account(view: &View, until: Instant) -> Result<Vec<Ending>> {
    view.staff_only()?;
    let mut ends = BTreeMap::new();
    for select in [free(view, until), held(view, until)] {
        for row in view.db().query_all(&select).await? {
            let credit_type: CreditTypeId = row.try_get_by_index(0)?;
            let (at, amount): (Instant, i64) = (row.try_get_by_index(1)?, row.try_get_by_index(2)?);
            *ends.entry((at, credit_type)).or_insert(Credits::ZERO) += Credits(amount);
        }
    }
    let ends = ends.into_iter().map(|((at, credit_type), amount)| Ending { credit_type, at, amount });
    Ok(ends.take(usize::try_from(LINES).unwrap_or(usize::MAX)).collect())
}

/// What is free, by its end.
fn free(view: &View, until: Instant) -> sea_orm::sea_query::SelectStatement {
    use credit_grant::Column;
    Query::select()
        .column(Column::CreditTypeId)
        .column(Column::ExpiresAt)
        .expr(Expr::cust("CAST(SUM(remaining) AS BIGINT)"))
        .from(credit_grant::Entity)
        .and_where(Column::AccountId.eq(view.account().id))
        // As the index has it: SQLite does not see that a bound value is the same.
        .and_where(Expr::cust("open"))
        .and_where(Column::ExpiresAt.gt(view.now()))
        .and_where(Column::ExpiresAt.lte(until))
        .group_by_columns([Column::CreditTypeId, Column::ExpiresAt])
        .order_by(Column::ExpiresAt, Order::Asc)
        .limit(LINES)
        .to_owned()
}

/// What is held, by the later of its grant's end and its hold's: it goes back when the hold lapses.
fn held(view: &View, until: Instant) -> sea_orm::sea_query::SelectStatement {
    let grant_end = || Expr::col((credit_grant::Entity, credit_grant::Column::ExpiresAt));
    let lapse = || Expr::col((hold::Entity, hold::Column::ExpiresAt));
    let later = || CaseStatement::new().case(lapse().gt(grant_end()), lapse()).finally(grant_end());
    let account = view.account().id;
    Query::select()
        .column((credit_grant::Entity, credit_grant::Column::CreditTypeId))
        .expr(later())
        .expr(Expr::cust("CAST(SUM(allocation.amount) AS BIGINT)"))
        .from(hold::Entity)
        .inner_join(
            allocation::Entity,
            Expr::col((allocation::Entity, allocation::Column::AccountId))
                .equals((hold::Entity, hold::Column::AccountId))
                .and(
                    Expr::col((allocation::Entity, allocation::Column::ActivityId))
                        .equals((hold::Entity, hold::Column::ActivityId)),
                ),
        )
        .inner_join(
            credit_grant::Entity,
            Expr::col((credit_grant::Entity, credit_grant::Column::AccountId))
                .equals((hold::Entity, hold::Column::AccountId))
                .and(
                    Expr::col((credit_grant::Entity, credit_grant::Column::Id))
                        .equals((allocation::Entity, allocation::Column::GrantId)),
                ),
        )
        .and_where(hold::Column::AccountId.eq(account))
        .and_where(Expr::cust("hold.open"))
        .and_where(lapse().lte(until))
        .and_where(credit_grant::Column::Closed.eq(false))
        .and_where(grant_end().lte(until))
        .and_where(Expr::expr(later()).gt(view.now()))
        .group_by_col((credit_grant::Entity, credit_grant::Column::CreditTypeId))
        .add_group_by([later().into()])
        .order_by_expr(later().into(), Order::Asc)
        .limit(LINES)
        .to_owned()
}
