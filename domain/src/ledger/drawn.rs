//! What activities took, less what was given back since.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use entity::activity::{Kind, Source};
use entity::{AccountId, ActivityId, GrantId, HoldId, Owned, activity, allocation, hold};
use ledger::Grant;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Select,
};

use super::command::Command;
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
        Held { row: row.into(), draws }
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
            draws.entry((row.account_id, row.activity_id)).or_default().push(Draw::read(&row.into()));
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
    let placed = placed(txn, &rows).await?;
    let mut used = BTreeMap::new();
    for row in &rows {
        let left = taken.remove(&(row.account_id, row.id)).unwrap_or_default();
        // What is captured was drawn when it was set aside.
        let drawn = row.hold_id.and_then(|hold| placed.get(&(row.account_id, hold)).copied()).unwrap_or(row.sequence);
        used.insert((row.account_id, row.id), Used { drawn, ..Used::of(row.kind, row.source, left) });
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

/// The numbers of the activities that placed the holds which these captured.
async fn placed(
    txn: &DatabaseTransaction,
    captures: &[activity::Model],
) -> Result<HashMap<(AccountId, HoldId), i64>, DbErr> {
    let named = captures.iter().filter_map(|row| Some((row.account_id, row.hold_id?))).collect::<BTreeSet<_>>();
    if named.is_empty() {
        return Ok(HashMap::new());
    }
    let holds = hold::Entity::keyed(txn.get_database_backend(), [hold::Column::Id], load::ids(named))?.all(txn).await?;
    Ok(holds.into_iter().map(|row| ((row.account_id, row.id), row.sequence)).collect())
}

/// Of the closed grants that commands capture credits of, those that selling gave up: what closed them last was not done
/// by hand.
pub(super) async fn given_up(
    txn: &DatabaseTransaction,
    commands: &[(AccountId, &Command)],
    grants: impl Iterator<Item = &Grant>,
    holds: impl Iterator<Item = &Held>,
) -> Result<BTreeSet<(AccountId, GrantId)>, DbErr> {
    let captured = commands.iter().filter_map(|(account, command)| match command {
        Command::Capture(capture) => Some((*account, capture.hold)),
        _ => None,
    });
    let captured = captured.collect::<BTreeSet<_>>();
    let held = holds.filter(|held| captured.contains(&(held.row.account_id, held.row.id)));
    let held = held.flat_map(|held| held.draws.iter().map(|draw| (held.row.account_id, draw.grant)));
    let held = held.collect::<BTreeSet<_>>();
    let closed = grants.filter(|grant| grant.closed).map(|grant| (grant.account_id, grant.id));
    let mut given_up = BTreeSet::new();
    for (account, grant) in closed.filter(|key| held.contains(key)) {
        let closing = allocation::Entity::of(account)
            .select_only()
            .column(allocation::Column::ActivityId)
            .filter(allocation::Column::GrantId.eq(grant))
            .filter(allocation::Column::LeavesOpen.eq(false))
            .into_query();
        let newest = activity::Entity::of(account)
            .filter(activity::Column::Id.in_subquery(closing))
            .filter(activity::Column::Kind.eq(Kind::Void))
            .order_by_desc(activity::Column::Sequence)
            .one(txn)
            .await?;
        if newest.is_some_and(|void| void.source == Source::Order) {
            given_up.insert((account, grant));
        }
    }
    Ok(given_up)
}
