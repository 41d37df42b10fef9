//! What a set of commands looks at and changes, read a set at a time.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use entity::{
    AccountId, ActivityId, CreditTypeId, CustomerId, GrantId, HoldId, Owned, account, among, converted, credit_grant,
    hold, wallet,
};
use ledger::{CreditType, Grant, Totals};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, TryInsertResult, Value,
};

use super::books::{Books, said_in};
use super::command::Command;
use super::decide::Used;
use super::state::{Held, Wallet, WalletKey};
use super::{drawn, named, part, watch};
use crate::ground::clock::Instant;
use crate::storage::store::WholeUpTo;
use crate::storage::tx::Known;

/// Values of one statement: SQLite binds 32,766 at most.
pub const VALUES: usize = 20_000;

/// Whether what is read is to be changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Wallets are locked, and made where they receive.
    Change(WholeUpTo),
    /// Nothing is locked and nothing is made: all statements see the same.
    Look(WholeUpTo),
    /// The same where each statement may see more than the one before: wallets are read whole.
    Glance,
}

/// What several accounts' commands look at and change, each account's by itself.
pub type Library = BTreeMap<AccountId, Books>;
/// A wallet's key, with its account.
pub type Place = (AccountId, WalletKey);

/// Locks the wallets in key order, making those that receive, and in the next statements reads what they hold.
pub async fn books(
    txn: &DatabaseTransaction,
    account: &account::Model,
    commands: &[&Command],
    purpose: Purpose,
    clock: impl FnOnce() -> Instant,
) -> Result<Books, DbErr> {
    let commands = commands.iter().map(|command| (account.id, *command)).collect::<Vec<_>>();
    let (mut library, _) =
        library(txn, (std::slice::from_ref(account), Known::default()), &commands, purpose, clock).await?;
    Ok(library.remove(&account.id).expect("each account that was named has its books"))
}

/// The same for several accounts: each statement reads for all of them, and what it finds goes to its own account's
/// books and to no other. The clock is read after the locks, and the answer says what it showed: whoever waited for a lock
/// decides by the time at which it got it, and by the one by which its wallets were read. Credit types that are known are
/// not read again.
pub async fn library(
    txn: &DatabaseTransaction,
    (accounts, known): (&[account::Model], Known),
    commands: &[(AccountId, &Command)],
    purpose: Purpose,
    clock: impl FnOnce() -> Instant,
) -> Result<(Library, Instant), DbErr> {
    let mut places = commands.iter().map(|(account, command)| (*account, command.wallet())).collect::<BTreeSet<_>>();
    let receive = commands.iter().filter_map(|(account, command)| Some((*account, command.receives()?)));
    let receive = receive.collect::<BTreeSet<Place>>();
    places.extend(&receive);
    // Whoever gets new grants, and about whom something is said, is not erased before this ends: locked before wallets, as
    // orders do.
    let said = commands.iter().filter(|(_, command)| said_in(command).is_some());
    let said = said.flat_map(|(account, command)| command.customers().map(|customer| (*account, customer)));
    let asked = receive.iter().map(|(account, (customer, _))| (*account, *customer)).chain(said);
    let asked = asked.filter(|(_, customer)| !known.customers.contains(customer)).collect::<BTreeSet<_>>();
    let mut looked_up = named::customers(txn, asked, purpose).await?;
    let mut rows = wallets(txn, &places, purpose).await?;
    let types = named::types(txn, &places, known.types).await?;
    let found = rows.iter().map(place).collect::<BTreeSet<_>>();
    let missing = places.difference(&found).copied().collect::<BTreeSet<_>>();
    let unknown = missing.iter().map(|(account, (customer, _))| (*account, *customer));
    let unknown = unknown.filter(|key| !looked_up.contains_key(key) && !known.customers.contains(&key.1)).collect();
    looked_up.extend(named::customers(txn, unknown, Purpose::Glance).await?);
    let mut customers = rows.iter().map(|row| ((row.account_id, row.customer_id), None)).collect::<BTreeMap<_, _>>();
    let missing_known = missing.iter().filter(|(_, (customer, _))| known.customers.contains(customer));
    customers.extend(missing_known.map(|(account, (customer, _))| ((*account, *customer), None)));
    let erased = looked_up.iter().filter(|(_, row)| row.erased_at.is_some()).map(|(key, _)| *key).collect::<Vec<_>>();
    customers.extend(looked_up.into_iter().map(|(key, row)| (key, row.archived_at)));
    let is_known = |(account, (customer, credit_type)): &&Place| {
        customers.contains_key(&(*account, *customer)) && types.contains_key(&(*account, *credit_type))
    };
    let new = missing.intersection(&receive).filter(is_known).copied().collect::<BTreeSet<_>>();
    if matches!(purpose, Purpose::Change(_)) && !make(txn, &new).await? {
        rows.extend(wallets(txn, &new, purpose).await?);
    } else {
        rows.extend(new.iter().map(|(account, key)| Totals::empty(*account, *key)));
    }
    let clock = clock();
    // No command of an account is decided later than at the newest instant of all its wallets.
    let mut nows = accounts.iter().map(|a| (a.id, a.clock_at.unwrap_or(clock))).collect::<BTreeMap<_, _>>();
    for row in &rows {
        nows.entry(row.account_id).and_modify(|now| *now = row.newest_at.max(*now));
    }
    let whole = match purpose {
        Purpose::Change(whole) | Purpose::Look(whole) => Some(whole),
        Purpose::Glance => None,
    };
    let (wallets, used) = contents(txn, rows, &types, commands, (whole, &nows)).await?;
    let mut library = accounts.iter().map(|account| (account.id, Books::of(account.into()))).collect::<Library>();
    for ((account, key), wallet) in wallets {
        library.entry(account).and_modify(|books| books.wallets.extend([(key, wallet)]));
    }
    for ((account, id), credit_type) in types {
        library.entry(account).and_modify(|books| books.types.extend([(id, credit_type)]));
    }
    for ((account, id), archived) in customers {
        library.entry(account).and_modify(|books| books.customers.extend([(id, archived)]));
    }
    for (account, id) in erased {
        library.entry(account).and_modify(|books| books.erased.extend([id]));
    }
    for ((account, id), used) in used {
        library.entry(account).and_modify(|books| books.used.extend([(id, used)]));
    }
    Ok((library, clock))
}

fn place(row: &Totals) -> Place {
    (row.account_id, (row.customer_id, row.credit_type_id))
}

/// Wallets with what is in them.
type Contents = (BTreeMap<Place, Wallet>, BTreeMap<(AccountId, ActivityId), Used>);

/// What is in wallets, and whatever else the commands are about.
async fn contents(
    txn: &DatabaseTransaction,
    rows: Vec<Totals>,
    types: &BTreeMap<(AccountId, CreditTypeId), CreditType>,
    commands: &[(AccountId, &Command)],
    (whole, nows): (Option<WholeUpTo>, &BTreeMap<AccountId, Instant>),
) -> Result<Contents, DbErr> {
    // There is nothing in one that has just been made.
    let mut places = rows.iter().filter(|row| row.sequence > 0).map(place).collect::<BTreeSet<_>>();
    let holding = rows.iter().filter(|row| !row.held.is_zero()).map(place).collect::<BTreeSet<_>>();
    let about = About::of(commands);
    let holds = holds(txn, &holding, &about.holds).await?;
    let used = drawn::used(txn, &about.activities).await?;
    let mut named = about.grants;
    named.extend(holds.iter().flat_map(|held| held.draws.iter().map(|draw| (held.row.account_id, draw.grant))));
    named.extend(used.iter().flat_map(|((account, _), used)| used.left.iter().map(|draw| (*account, draw.grant))));
    let (mut found, mut parts) = (Vec::new(), HashMap::new());
    for row in &rows {
        let (Some(whole), Some(now), Some(credit_type)) =
            (whole, nows.get(&row.account_id), types.get(&(row.account_id, row.credit_type_id)))
        else {
            continue;
        };
        if !part::will_do(whole, row, part::looked_at_from(row, credit_type)) {
            continue;
        }
        let of_account = commands.iter().filter(|(account, _)| *account == row.account_id).map(|(_, command)| *command);
        let Some(demand) = part::demand(row, of_account) else { continue };
        let part = part::read(txn, whole, row, demand, (*now, watch::horizon(credit_type))).await?;
        found.extend(part.grants);
        parts.insert(place(row), (part.ends_from, credit_type.low_balance_at));
        places.remove(&place(row));
    }
    found.extend(grants(txn, &places).await?);
    found.extend(bearers(txn, &rows).await?);
    let mut once = BTreeSet::new();
    found.retain(|grant| once.insert((grant.account_id, grant.id)));
    for grant in &found {
        named.remove(&(grant.account_id, grant.id));
    }
    found.extend(grants_by_id(txn, named).await?);
    let mut grants: HashMap<Place, Vec<_>> = HashMap::new();
    for grant in found {
        let place = (grant.account_id, (grant.customer_id, grant.credit_type_id));
        grants.entry(place).or_default().push(grant);
    }
    let mut of_wallet: HashMap<Place, Vec<_>> = HashMap::new();
    for held in holds {
        let place = (held.row.account_id, (held.row.customer_id, held.row.credit_type_id));
        of_wallet.entry(place).or_default().push(held);
    }
    let given_up = drawn::given_up(txn, commands, grants.values().flatten(), of_wallet.values().flatten()).await?;
    let mut wallets = BTreeMap::new();
    for row in rows {
        let place = place(&row);
        let (grants, holds) = (grants.remove(&place).unwrap_or_default(), of_wallet.remove(&place).unwrap_or_default());
        let mut wallet = Wallet::new(row, grants, holds);
        let of_it = given_up.iter().filter(|(account, grant)| *account == place.0 && wallet.grant(*grant).is_some());
        wallet.given_up = of_it.map(|(_, grant)| *grant).collect();
        if let Some((ends_from, low)) = parts.remove(&place) {
            part::leave_out(txn, &mut wallet, ends_from, low).await?;
        }
        wallets.insert(place, wallet);
    }
    Ok((wallets, used))
}

/// The wallets of customers, whole, in which a rollover cap and a hold are: what a lapse gives back there depends on all
/// of the wallet. As they are stored.
pub async fn under_caps(
    txn: &DatabaseTransaction,
    account: AccountId,
    customers: BTreeSet<CustomerId>,
) -> Result<Vec<Wallet>, DbErr> {
    use wallet::Column;
    let mut rows = Vec::new();
    for customers in customers.into_iter().collect::<Vec<_>>().chunks(VALUES) {
        let of = among(txn.get_database_backend(), Column::CustomerId, customers.iter().copied())?;
        let of = wallet::Entity::of(account).filter(of).filter(Column::Caps.gt(0)).filter(Column::Held.gt(0_i64));
        rows.extend(of.all(txn).await?.into_iter().map(Totals::from));
    }
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let (wallets, _) = contents(txn, rows, &BTreeMap::new(), &[], (None, &BTreeMap::new())).await?;
    Ok(wallets.into_values().collect())
}

/// What commands name beside their wallets.
#[derive(Default)]
struct About {
    holds: BTreeSet<(AccountId, HoldId)>,
    grants: BTreeSet<(AccountId, GrantId)>,
    activities: BTreeSet<(AccountId, ActivityId)>,
}

impl About {
    fn of(commands: &[(AccountId, &Command)]) -> Self {
        let mut about = Self::default();
        for (account, command) in commands {
            match command {
                Command::Capture(capture) => drop(about.holds.insert((*account, capture.hold))),
                Command::Release(release) => drop(about.holds.insert((*account, release.hold))),
                Command::Extend(extend) => drop(about.grants.insert((*account, extend.grant))),
                Command::Void(void) => drop(about.grants.insert((*account, void.grant))),
                Command::Reprice(reprice) => drop(about.grants.insert((*account, reprice.grant))),
                Command::Freeze(freeze) => about.grants.extend(freeze.grants.iter().map(|id| (*account, *id))),
                Command::Reverse(reverse) => drop(about.activities.insert((*account, reverse.activity))),
                _ => {}
            }
        }
        about
    }
}

/// Places as keys of a table that names customer and credit type.
fn keys(places: &BTreeSet<Place>) -> impl Iterator<Item = (AccountId, [Value; 2])> {
    places.iter().map(|(account, (customer, credit_type))| (*account, [(*customer).into(), (*credit_type).into()]))
}

/// Ids as keys of their table.
pub(super) fn ids<I: Into<Value>>(
    ids: impl IntoIterator<Item = (AccountId, I)>,
) -> impl Iterator<Item = (AccountId, [Value; 1])> {
    ids.into_iter().map(|(account, id)| (account, [id.into()]))
}

async fn wallets(txn: &DatabaseTransaction, places: &BTreeSet<Place>, purpose: Purpose) -> Result<Vec<Totals>, DbErr> {
    use wallet::{Column, Entity};
    let select = Entity::keyed(txn.get_database_backend(), [Column::CustomerId, Column::CreditTypeId], keys(places))?
        .order_by_asc(Column::AccountId)
        .order_by_asc(Column::CustomerId)
        .order_by_asc(Column::CreditTypeId);
    let select = if matches!(purpose, Purpose::Change(_)) { select.lock_exclusive() } else { select };
    Ok(converted(select.all(txn).await?))
}

/// The open grants of wallets.
pub(super) async fn grants(txn: &DatabaseTransaction, places: &BTreeSet<Place>) -> Result<Vec<Grant>, DbErr> {
    use credit_grant::{Column, Entity};
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let select = Entity::keyed(txn.get_database_backend(), [Column::CustomerId, Column::CreditTypeId], keys(places))?;
    Ok(converted(select.filter(part::is_open()).all(txn).await?))
}

/// The grants that bear rollover caps, open or not.
pub(super) async fn bearers(txn: &DatabaseTransaction, rows: &[Totals]) -> Result<Vec<Grant>, DbErr> {
    use credit_grant::{Column, Entity};
    let places = rows.iter().filter(|row| row.caps > 0).map(place).collect::<BTreeSet<_>>();
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let select = Entity::keyed(txn.get_database_backend(), [Column::CustomerId, Column::CreditTypeId], keys(&places))?;
    Ok(converted(select.filter(Column::CappedAt.is_not_null()).all(txn).await?))
}

async fn grants_by_id(txn: &DatabaseTransaction, named: BTreeSet<(AccountId, GrantId)>) -> Result<Vec<Grant>, DbErr> {
    let mut found = Vec::new();
    for named in named.into_iter().collect::<Vec<_>>().chunks(VALUES / 2) {
        let select = credit_grant::Entity::keyed(
            txn.get_database_backend(),
            [credit_grant::Column::Id],
            ids(named.iter().copied()),
        )?;
        found.extend(select.all(txn).await?.into_iter().map(Grant::from));
    }
    Ok(found)
}

/// The open holds of wallets that hold something, and those that are named, open or not.
async fn holds(
    txn: &DatabaseTransaction,
    wallets: &BTreeSet<Place>,
    named: &BTreeSet<(AccountId, HoldId)>,
) -> Result<Vec<Held>, DbErr> {
    use hold::{Column, Entity};
    let mut rows = Vec::new();
    if !wallets.is_empty() {
        let select =
            Entity::keyed(txn.get_database_backend(), [Column::CustomerId, Column::CreditTypeId], keys(wallets))?;
        rows = select.filter(Column::Open.eq(true)).all(txn).await?;
    }
    let mut named = named.clone();
    for row in &rows {
        named.remove(&(row.account_id, row.id));
    }
    if !named.is_empty() {
        rows.extend(Entity::keyed(txn.get_database_backend(), [Column::Id], ids(named))?.all(txn).await?);
    }
    drawn::with_draws(txn, rows).await
}

/// Makes wallets, which are locked with that; answers whether all of them are new. Another transaction may have made some
/// meanwhile.
async fn make(txn: &DatabaseTransaction, new: &BTreeSet<Place>) -> Result<bool, DbErr> {
    if new.is_empty() {
        return Ok(true);
    }
    let rows = new.iter().map(|(account, key)| wallet::Model::from(Totals::empty(*account, *key)).into_active_model());
    let made = wallet::Entity::insert_many(rows).on_conflict_do_nothing().exec_without_returning(txn).await?;
    Ok(matches!(made, TryInsertResult::Inserted(made) if usize::try_from(made) == Ok(new.len())))
}
