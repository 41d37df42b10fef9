//! What time has done and nobody has written down yet: free credits that have ended, and what lapsed holds give back.
//!
//! Whatever touches a wallet writes these first, so what a grant has left now is what it had at its end.

use std::collections::HashMap;

use chrono::TimeDelta;
use entity::activity::Kind;
use entity::{Minor, allocation, credit_grant, hold, wallet};
use sea_orm::sea_query::{CaseStatement, Expr, ExprTrait, Query, SelectStatement};
use sea_orm::{ColumnTrait, ConnectionTrait, QueryResult};

use super::movements::{Key, Moved, read_sum, sum};
use super::{Stretch, Sum};
use crate::ground::clock::Instant;
use crate::ground::error::Result;
use crate::ledger::load;
use crate::storage::tx::View;

/// Everything before an instant, which is not in the future.
pub(super) async fn until(view: &View, before: Instant) -> Result<Vec<Moved>> {
    let mut moved = ended(view, Instant::UNIX_EPOCH, before).await?;
    for row in view.db().query_all(&lapsed(view, lapse(), (Instant::UNIX_EPOCH, before))).await? {
        let (over, voided): (bool, bool) = (truth(&row, 4)?, truth(&row, 5)?);
        moved.push(Moved { kind: Kind::Lapse, ..read(&row, Kind::Lapse)? });
        // What comes back to a grant that was closed or has ended goes on.
        if voided {
            moved.push(read(&row, Kind::Void)?);
        } else if over {
            moved.push(read(&row, Kind::Expire)?);
        }
    }
    moved.extend(under_caps(view, (Instant::UNIX_EPOCH, before)).await?);
    Ok(moved)
}

/// What ended in a stretch of time, as far as that has passed.
pub(super) async fn within(view: &View, stretch: Stretch) -> Result<Vec<Moved>> {
    let to = Ord::min(stretch.to, view.now() + TimeDelta::microseconds(1));
    if to <= stretch.from {
        return Ok(Vec::new());
    }
    let mut moved = ended(view, stretch.from, to).await?;
    for row in view.db().query_all(&lapsed(view, later(), (stretch.from, to))).await? {
        if truth(&row, 4)? && !truth(&row, 5)? {
            moved.push(read(&row, Kind::Expire)?);
        }
    }
    moved.extend(under_caps(view, (stretch.from, to)).await?.into_iter().filter(|moved| moved.kind == Kind::Expire));
    Ok(moved)
}

/// What time did in a stretch to wallets under rollover caps in which a hold has lapsed by its end, beside the ends of
/// what is free there: the statements do not know what of it stays.
async fn under_caps(view: &View, (from, to): (Instant, Instant)) -> Result<Vec<Moved>> {
    let account = view.account().id;
    let mut lapsed = Query::select();
    lapsed.column((hold::Entity, hold::Column::CustomerId)).distinct().from(hold::Entity);
    lapsed.and_where(Expr::col((hold::Entity, hold::Column::AccountId)).eq(account));
    lapsed.and_where(Expr::cust("hold.open")).and_where(lapse().lt(to));
    let rows = view.db().query_all(&lapsed).await?;
    let holders = rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>()?;
    let mut moved = Vec::new();
    for mut wallet in load::under_caps(view.db(), account, holders).await? {
        let credit_type = wallet.row.credit_type_id;
        let mut add = |kind, currency: &String, sum| {
            let key = Key { credit_type, currency: currency.clone(), customer: None };
            moved.push(Moved { key, kind, sum, reprices: None, returned: Minor::ZERO });
        };
        let stored = wallet.grants.iter().map(|grant| (grant.id, grant.clone())).collect::<HashMap<_, _>>();
        // What is free of those that end is counted already.
        let ends = |grant: &&ledger::Grant| grant.expires_at.is_some_and(|end| (from..to).contains(&end));
        for grant in stored.values().filter(|grant| grant.open).filter(ends) {
            add(Kind::Expire, &grant.currency, Sum { credits: -grant.remaining, cost: -grant.cost_left });
        }
        for entry in wallet.settle(to - TimeDelta::microseconds(1)).iter().filter(|entry| entry.at >= from) {
            for draw in &entry.draws {
                add(entry.kind, &stored[&draw.grant].currency, Sum { credits: draw.amount, cost: draw.cost });
            }
        }
    }
    Ok(moved)
}

fn read(row: &QueryResult, kind: Kind) -> Result<Moved> {
    let key = Key { credit_type: row.try_get_by_index(0)?, currency: row.try_get_by_index(1)?, customer: None };
    Ok(Moved { key, kind, sum: read_sum(row, 2)?, reprices: None, returned: Minor::ZERO })
}

fn truth(row: &QueryResult, at: usize) -> Result<bool> {
    let number: i32 = row.try_get_by_index(at)?;
    Ok(number != 0)
}

/// What is free of grants that end in a stretch of time.
async fn ended(view: &View, from: Instant, to: Instant) -> Result<Vec<Moved>> {
    use credit_grant::Column;
    let select = Query::select()
        .column(Column::CreditTypeId)
        .column(Column::Currency)
        .expr(sum("remaining"))
        .expr(sum("cost_left"))
        .from(credit_grant::Entity)
        .and_where(Column::AccountId.eq(view.account().id))
        // As the index has it: SQLite does not see that a bound value is the same.
        .and_where(Expr::cust("open"))
        .and_where(Column::ExpiresAt.gte(from))
        .and_where(Column::ExpiresAt.lt(to))
        .group_by_columns([Column::CreditTypeId, Column::Currency])
        .to_owned();
    let rows = view.db().query_all(&select).await?;
    rows.iter().map(|row| read(row, Kind::Expire)).collect()
}

fn end() -> Expr {
    Expr::col((credit_grant::Entity, credit_grant::Column::ExpiresAt))
}

fn lapse() -> Expr {
    Expr::col((hold::Entity, hold::Column::ExpiresAt))
}

/// The later of the grant's end and the hold's.
fn later() -> Expr {
    CaseStatement::new().case(lapse().gt(end()), lapse()).finally(end()).into()
}

/// What open holds give back whose instant lies in a stretch of time: and whether its grant has ended by its end, and
/// whether it was closed. Not of wallets under rollover caps.
fn lapsed(view: &View, at: Expr, (from, to): (Instant, Instant)) -> SelectStatement {
    let account = view.account().id;
    let flag = |condition: Expr| -> Expr { CaseStatement::new().case(condition, 1_i32).finally(0_i32).into() };
    let (over, voided) =
        (flag(end().lt(to)), flag(Expr::col((credit_grant::Entity, credit_grant::Column::Closed)).eq(true)));
    let mut select = Query::select();
    select
        .column((credit_grant::Entity, credit_grant::Column::CreditTypeId))
        .column((credit_grant::Entity, credit_grant::Column::Currency))
        .expr(sum("allocation.amount"))
        .expr(sum("allocation.cost"))
        .expr(over)
        .expr(voided)
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
                .equals((allocation::Entity, allocation::Column::AccountId))
                .and(
                    Expr::col((credit_grant::Entity, credit_grant::Column::Id))
                        .equals((allocation::Entity, allocation::Column::GrantId)),
                ),
        )
        .and_where(Expr::col((hold::Entity, hold::Column::AccountId)).eq(account))
        .and_where(Expr::cust("hold.open"))
        .and_where(lapse().lt(to))
        .and_where(at.clone().gte(from))
        .and_where(at.lt(to))
        .group_by_columns([(credit_grant::Entity, credit_grant::Column::CreditTypeId)])
        .group_by_columns([(credit_grant::Entity, credit_grant::Column::Currency)])
        // The fifth and the sixth, by their places: PostgreSQL does not see that two bound values are the same.
        .add_group_by([Expr::cust("5"), Expr::cust("6")]);
    // Of the others it does not tell what stays.
    let same = |of: hold::Column, its: wallet::Column| Expr::col((wallet::Entity, its)).equals((hold::Entity, of));
    let its = same(hold::Column::AccountId, wallet::Column::AccountId)
        .and(same(hold::Column::CustomerId, wallet::Column::CustomerId))
        .and(same(hold::Column::CreditTypeId, wallet::Column::CreditTypeId));
    select.inner_join(wallet::Entity, its);
    select.and_where(Expr::col((wallet::Entity, wallet::Column::Caps)).eq(0));
    select
}
