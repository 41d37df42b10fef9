//! What activities took, less what was given back since.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use entity::{AccountId, ActivityId, Owned, activity, allocation, hold};
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, QueryFilter, QueryOrder, Select};

use super::decide::Used;
use super::load;
use super::state::{Draw, Held};

/// Holds with what they hold: what their placing activity took.
pub async fn held(txn: &DatabaseTransaction, holds: Select<hold::Entity>) -> Result<Vec<Held>, DbErr> {
    with_draws(txn, holds.all(txn).await?).await
}

pub(super) async fn with_draws(txn: &DatabaseTransaction, rows: Vec<hold::Model>) -> Result<Vec<Held>, DbErr> {
    let mut taken = draws(txn, rows.iter().map(|row| (row.account_id, row.activity_id))).await?;
    let held = |row: hold::Model| {
        let draws = taken.remove(&(row.account_id, row.activity_id)).unwrap_or_default();
        Held { row, draws }
    };
    Ok(rows.into_iter().map(held).collect())
}

/// What activities took, first taken first.
async fn draws(
    txn: &DatabaseTransaction,
    activities: impl Iterator<Item = (AccountId, ActivityId)>,
) -> Result<HashMap<(AccountId, ActivityId), Vec<Draw>>, DbErr> {
    use allocation::{Column, Entity};
    let mut draws: HashMap<_, Vec<_>> = HashMap::new();
    for activities in activities.collect::<Vec<_>>().chunks(load::VALUES / 2) {
        let rows =
            Entity::keyed(txn.get_database_backend(), [Column::ActivityId], load::ids(activities.iter().copied()))?
                .order_by_asc(Column::AccountId)
                .order_by_asc(Column::ActivityId)
                .order_by_asc(Column::Position)
                .all(txn)
                .await?;
        for row in rows {
            draws.entry((row.account_id, row.activity_id)).or_default().push(Draw::read(&row));
        }
    }
    Ok(draws)
}

/// What activities took, less what was given back since.
pub(crate) async fn used(
    txn: &DatabaseTransaction,
    named: &BTreeSet<(AccountId, ActivityId)>,
) -> Result<BTreeMap<(AccountId, ActivityId), Used>, DbErr> {
    use activity::{Column, Entity};
    if named.is_empty() {
        return Ok(BTreeMap::new());
    }
    let keys = || load::ids(named.iter().copied());
    let rows = Entity::keyed(txn.get_database_backend(), [Column::Id], keys())?.all(txn).await?;
    // As the index of those has it: SQLite does not see that what equals a key is not null.
    let undoing = Entity::keyed(txn.get_database_backend(), [Column::ReversesId], keys())?;
    let mut undoing = undoing.filter(Column::ReversesId.is_not_null()).all(txn).await?;
    let all = rows.iter().chain(&undoing).map(|row| (row.account_id, row.id));
    let mut taken = draws(txn, all).await?;
    let mut used = BTreeMap::new();
    for row in &rows {
        let left = taken.remove(&(row.account_id, row.id)).unwrap_or_default();
        used.insert((row.account_id, row.id), Used { drawn: row.sequence, ..Used::of(row.kind, row.source, left) });
    }
    // In the order in which they happened: what is marked comes back last.
    undoing.sort_by_key(|row| row.sequence);
    for row in &undoing {
        if let Some(used) = row.reverses_id.and_then(|id| used.get_mut(&(row.account_id, id))) {
            used.follow(row.kind, &taken.remove(&(row.account_id, row.id)).unwrap_or_default());
        }
    }
    Ok(used)
}
