//! What a set of commands looks at and changes, read a set at a time.

use std::collections::{BTreeSet, HashMap};

use entity::{
    AccountId, ActivityId, CreditTypeId, Credits, CustomerId, GrantId, HoldId, Owned, account, activity, allocation,
    credit_grant, credit_type, customer, hold, wallet,
};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ColumnTrait, Condition, DatabaseTransaction, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, Select,
};

use super::books::Books;
use super::chain;
use super::command::Command;
use super::decide::Used;
use super::state::{Draw, Held, Wallet, WalletKey, uses};
use crate::domain::clock::Instant;

/// Values of one statement: SQLite binds 32,766 at most.
pub const VALUES: usize = 20_000;

/// Whether what is read is to be changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Wallets are locked, and made where they receive.
    Change,
    /// Nothing is locked and nothing is made.
    Look,
}

/// Locks the wallets in key order, making those that receive, and in the next statements reads what they hold.
pub async fn books(
    txn: &DatabaseTransaction,
    account: &account::Model,
    commands: &[&Command],
    purpose: Purpose,
) -> Result<Books, DbErr> {
    let id = account.id;
    let mut keys = commands.iter().map(|command| command.wallet()).collect::<BTreeSet<_>>();
    let receive = commands.iter().filter_map(|command| command.receives()).collect::<BTreeSet<_>>();
    keys.extend(&receive);
    let mut rows = wallets(txn, id, &keys, purpose).await?;
    let types = self::types(txn, id, &keys).await?;
    let found = rows.iter().map(|row| (row.customer_id, row.credit_type_id)).collect::<BTreeSet<_>>();
    let missing = keys.difference(&found).copied().collect::<BTreeSet<_>>();
    let mut customers = rows.iter().map(|row| (row.customer_id, None)).collect::<HashMap<_, _>>();
    let asked = missing.union(&receive).map(|(customer, _)| *customer).collect::<BTreeSet<_>>();
    if !asked.is_empty() {
        customers.extend(self::customers(txn, id, asked).await?);
    }
    let new = missing.intersection(&receive);
    let new = new.filter(|(customer, credit_type)| customers.contains_key(customer) && types.contains_key(credit_type));
    let new = new.copied().collect::<BTreeSet<_>>();
    match purpose {
        Purpose::Change if !new.is_empty() => {
            let empty = new.iter().map(|key| empty(id, *key).into_active_model());
            wallet::Entity::insert_many(empty).on_conflict_do_nothing().exec_without_returning(txn).await?;
            rows.extend(wallets(txn, id, &new, purpose).await?);
        }
        _ => rows.extend(new.iter().map(|key| empty(id, *key))),
    }
    let (wallets, used) = contents(txn, id, rows, commands).await?;
    Ok(Books { account: account.clone(), wallets, types, customers, used, noticed: Vec::new() })
}

/// What is in wallets, and whatever else the commands are about.
async fn contents(
    txn: &DatabaseTransaction,
    account: AccountId,
    rows: Vec<wallet::Model>,
    commands: &[&Command],
) -> Result<(HashMap<WalletKey, Wallet>, HashMap<ActivityId, Used>), DbErr> {
    let key_of = |row: &wallet::Model| (row.customer_id, row.credit_type_id);
    let keys = rows.iter().map(key_of).collect::<BTreeSet<_>>();
    let holding = rows.iter().filter(|row| !row.held.is_zero()).map(key_of).collect::<BTreeSet<_>>();
    let about = About::of(commands);
    let holds = holds(txn, account, &holding, &about.holds).await?;
    let used = used(txn, account, &about.activities).await?;
    let mut named = about.grants;
    named.extend(holds.iter().flat_map(|held| &held.draws).map(|draw| draw.grant));
    named.extend(used.values().flat_map(|used| &used.left).map(|draw| draw.grant));
    let mut found = grants(txn, account, &keys).await?;
    for grant in &found {
        named.remove(&grant.id);
    }
    found.extend(grants_by_id(txn, account, named).await?);
    let mut grants: HashMap<WalletKey, Vec<_>> = HashMap::new();
    for grant in found {
        grants.entry((grant.customer_id, grant.credit_type_id)).or_default().push(grant);
    }
    let mut of_wallet: HashMap<WalletKey, Vec<_>> = HashMap::new();
    for held in holds {
        of_wallet.entry((held.row.customer_id, held.row.credit_type_id)).or_default().push(held);
    }
    let mut content = |row: wallet::Model| {
        let key = key_of(&row);
        let (grants, holds) = (grants.remove(&key).unwrap_or_default(), of_wallet.remove(&key).unwrap_or_default());
        (key, Wallet::new(row, grants, holds))
    };
    Ok((rows.into_iter().map(&mut content).collect(), used))
}

/// What commands name beside their wallets.
#[derive(Default)]
struct About {
    holds: BTreeSet<HoldId>,
    grants: BTreeSet<GrantId>,
    activities: BTreeSet<ActivityId>,
}

impl About {
    fn of(commands: &[&Command]) -> Self {
        let mut about = Self::default();
        for command in commands {
            match command {
                Command::Capture(capture) => drop(about.holds.insert(capture.hold)),
                Command::Release(release) => drop(about.holds.insert(release.hold)),
                Command::Extend(extend) => drop(about.grants.insert(extend.grant)),
                Command::Reverse(reverse) => drop(about.activities.insert(reverse.activity)),
                _ => {}
            }
        }
        about
    }
}

/// Rows of these wallets and of no other. The pairs say exactly which; the columns each by itself say the same once
/// more, because SQLite looks nothing up in an index by pairs, and would walk through the whole account.
fn within<C: ColumnTrait>(customer: C, credit_type: C, keys: &BTreeSet<WalletKey>) -> Condition {
    let pair = Expr::tuple([Expr::col(customer), Expr::col(credit_type)]);
    Condition::all()
        .add(customer.is_in(keys.iter().map(|(customer, _)| *customer).collect::<BTreeSet<_>>()))
        .add(credit_type.is_in(keys.iter().map(|(_, credit_type)| *credit_type).collect::<BTreeSet<_>>()))
        .add(pair.in_tuples(keys.iter().map(|(customer, credit_type)| (customer.0, credit_type.0))))
}

async fn wallets(
    txn: &DatabaseTransaction,
    account: AccountId,
    keys: &BTreeSet<WalletKey>,
    purpose: Purpose,
) -> Result<Vec<wallet::Model>, DbErr> {
    let select = wallet::Entity::of(account)
        .filter(within(wallet::Column::CustomerId, wallet::Column::CreditTypeId, keys))
        .order_by_asc(wallet::Column::CustomerId)
        .order_by_asc(wallet::Column::CreditTypeId);
    match purpose {
        Purpose::Change => select.lock_exclusive().all(txn).await,
        Purpose::Look => select.all(txn).await,
    }
}

/// The open grants of wallets.
async fn grants(
    txn: &DatabaseTransaction,
    account: AccountId,
    keys: &BTreeSet<WalletKey>,
) -> Result<Vec<credit_grant::Model>, DbErr> {
    credit_grant::Entity::of(account)
        .filter(within(credit_grant::Column::CustomerId, credit_grant::Column::CreditTypeId, keys))
        .filter(credit_grant::Column::Open.eq(true))
        .all(txn)
        .await
}

async fn grants_by_id(
    txn: &DatabaseTransaction,
    account: AccountId,
    ids: BTreeSet<GrantId>,
) -> Result<Vec<credit_grant::Model>, DbErr> {
    let mut found = Vec::new();
    for ids in ids.into_iter().collect::<Vec<_>>().chunks(VALUES) {
        let select = credit_grant::Entity::of(account).filter(credit_grant::Column::Id.is_in(ids.iter().copied()));
        found.extend(select.all(txn).await?);
    }
    Ok(found)
}

/// The open holds of wallets that hold something, and those that are named, open or not.
async fn holds(
    txn: &DatabaseTransaction,
    account: AccountId,
    wallets: &BTreeSet<WalletKey>,
    named: &BTreeSet<HoldId>,
) -> Result<Vec<Held>, DbErr> {
    let mut wanted = Condition::any();
    if !wallets.is_empty() {
        let of_wallets = within(hold::Column::CustomerId, hold::Column::CreditTypeId, wallets);
        wanted = wanted.add(of_wallets.add(hold::Column::Open.eq(true)));
    }
    if !named.is_empty() {
        wanted = wanted.add(hold::Column::Id.is_in(named.iter().copied()));
    }
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    held(txn, account, hold::Entity::of(account).filter(wanted)).await
}

/// Holds with what they hold: what their placing activity took.
pub async fn held(
    txn: &DatabaseTransaction,
    account: AccountId,
    holds: Select<hold::Entity>,
) -> Result<Vec<Held>, DbErr> {
    let rows = holds.all(txn).await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mut taken = draws(txn, account, rows.iter().map(|row| row.activity_id)).await?;
    Ok(rows.into_iter().map(|row| Held { draws: taken.remove(&row.activity_id).unwrap_or_default(), row }).collect())
}

/// What activities took, first taken first.
async fn draws(
    txn: &DatabaseTransaction,
    account: AccountId,
    activities: impl Iterator<Item = ActivityId>,
) -> Result<HashMap<ActivityId, Vec<Draw>>, DbErr> {
    let mut draws: HashMap<_, Vec<_>> = HashMap::new();
    for activities in activities.collect::<Vec<_>>().chunks(VALUES) {
        let rows = allocation::Entity::of(account)
            .filter(allocation::Column::ActivityId.is_in(activities.iter().copied()))
            .order_by_asc(allocation::Column::ActivityId)
            .order_by_asc(allocation::Column::Position)
            .all(txn)
            .await?;
        for row in rows {
            draws.entry(row.activity_id).or_default().push(Draw::of(row.grant_id, row.amount, row.cost));
        }
    }
    Ok(draws)
}

/// What activities took, less what was given back since.
async fn used(
    txn: &DatabaseTransaction,
    account: AccountId,
    ids: &BTreeSet<ActivityId>,
) -> Result<HashMap<ActivityId, Used>, DbErr> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let named = activity::Column::Id.is_in(ids.iter().copied());
    let undoing = activity::Column::ReversesId.is_in(ids.iter().copied());
    let rows = activity::Entity::of(account).filter(Condition::any().add(named).add(undoing)).all(txn).await?;
    let mut taken = draws(txn, account, rows.iter().map(|row| row.id)).await?;
    let mut used = HashMap::new();
    for row in rows.iter().filter(|row| ids.contains(&row.id)) {
        let left = taken.remove(&row.id).unwrap_or_default();
        used.insert(row.id, Used { reversible: uses(row.kind), left });
    }
    for row in &rows {
        if let Some(used) = row.reverses_id.and_then(|id| used.get_mut(&id)) {
            let returned = taken.remove(&row.id).unwrap_or_default();
            used.give_back(returned.iter().map(|draw| (draw.grant, draw.amount, draw.cost)));
        }
    }
    Ok(used)
}

async fn types(
    txn: &DatabaseTransaction,
    account: AccountId,
    keys: &BTreeSet<WalletKey>,
) -> Result<HashMap<CreditTypeId, credit_type::Model>, DbErr> {
    let ids = keys.iter().map(|(_, credit_type)| *credit_type).collect::<BTreeSet<_>>();
    let rows = credit_type::Entity::of(account).filter(credit_type::Column::Id.is_in(ids)).all(txn).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

async fn customers(
    txn: &DatabaseTransaction,
    account: AccountId,
    ids: BTreeSet<CustomerId>,
) -> Result<Vec<(CustomerId, Option<Instant>)>, DbErr> {
    let rows = customer::Entity::of(account).filter(customer::Column::Id.is_in(ids)).all(txn).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.archived_at)).collect())
}

/// A wallet before its first activity.
#[must_use]
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
        noticed_at: None,
    }
}
