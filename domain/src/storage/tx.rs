//! The two ways to the database: a [`Tx`] writes, a [`View`] reads. Both belong to one account and one instant.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use entity::{AccountId, CustomerId, CustomerOwned, Owned, account, among, credit_type, event};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, Select, Value};

use super::live::Hub;
use super::readers::{Reader, Snapshot};
use super::rows;
use super::store::{Store, WholeUpTo};
use crate::ground::cause::Cause;
use crate::ground::clock::Instant;
use crate::ground::error::{Error, Result};
use crate::ground::scope::Scope;

/// How often a transaction that met another (40001, 40P01, busy), or a twin with its key, is run: one bound for all.
pub(crate) const TRIES: u32 = 8;

/// What was read in a transaction.
#[derive(Clone, Default)]
pub struct Known {
    pub types: Vec<credit_type::Model>,
    /// Those of locked orders: what was promised to them is kept, archived or not.
    pub customers: BTreeSet<CustomerId>,
}

/// An open transaction that writes in one account.
pub struct Tx {
    txn: DatabaseTransaction,
    pub(crate) account: account::Model,
    /// The account's time, read once.
    pub(crate) now: Instant,
    /// What led to what is done in it.
    pub(crate) cause: Cause,
    hub: Arc<Hub>,
    touched: Mutex<BTreeSet<CustomerId>>,
    /// What happened in it, in that order: written all at once, at the end.
    facts: Mutex<Vec<event::Model>>,
    /// What was read in it, so that nobody reads it again.
    known: Mutex<Known>,
}

impl Tx {
    /// Opens one in an account that exists.
    pub(crate) async fn open(store: &Store, account: AccountId) -> Result<Self> {
        let txn = store.begin().await?;
        let account = find_account(&txn, account).await?.ok_or(Error::Unauthenticated)?;
        let now = account_now(&account, store);
        let hub = store.hub.clone();
        let (touched, facts, known) = Default::default();
        Ok(Self { txn, account, now, cause: Cause::default(), hub, touched, facts, known })
    }

    /// The same, for what this led to.
    pub(crate) fn because(self, cause: Cause) -> Self {
        Self { cause, ..self }
    }

    /// The connection, for statements.
    pub(crate) fn db(&self) -> &DatabaseTransaction {
        &self.txn
    }

    /// Remembers whose credits it moves, for who watches them.
    pub(crate) fn touch(&self, customers: impl IntoIterator<Item = CustomerId>) {
        self.touched.lock().expect("nobody panics while remembering").extend(customers);
    }

    /// Keeps what happened until it is written with the rest.
    pub(crate) fn keep(&self, facts: impl IntoIterator<Item = event::Model>) {
        self.facts.lock().expect("nobody panics while keeping").extend(facts);
    }

    /// Writes what happened until now, for rows that name it; else the end does.
    pub(crate) async fn write_facts(&self) -> Result<()> {
        let facts = std::mem::take(&mut *self.facts.lock().expect("nobody panics while taking"));
        let written = rows::run(&self.txn, rows::add::<event::Entity>(self.txn.get_database_backend(), facts));
        Ok(written.await.map(drop)?)
    }

    /// Remembers what was read in it: a credit type, and that a customer is there, to whom something was promised before.
    pub(crate) fn know(&self, credit_type: Option<credit_type::Model>, customer: CustomerId) {
        let mut known = self.known.lock().expect("nobody panics while remembering");
        known.types.extend(credit_type);
        known.customers.insert(customer);
    }

    /// What was read in it.
    pub(crate) fn known(&self) -> Known {
        self.known.lock().expect("nobody panics while remembering").clone()
    }

    /// The rows of this account in a table.
    pub(crate) fn rows<E: Owned>(&self) -> Select<E> {
        E::of(self.account.id)
    }

    /// Makes it last.
    pub(crate) async fn commit(self) -> Result<()> {
        self.write_facts().await?;
        self.txn.commit().await?;
        let touched = self.touched.into_inner().unwrap_or_default();
        self.hub.changed(self.account.id, touched);
        if self.account.followed.as_array().is_some_and(|followed| !followed.is_empty()) {
            self.hub.wake();
        }
        Ok(())
    }
}

/// How much of an account is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Sight {
    /// Everything.
    All,
    /// One customer's own rows, and no others.
    Own(CustomerId),
    /// What is on sale: no customer's rows.
    OnSale,
}

/// One snapshot of one account, as one caller may see it.
pub struct View {
    txn: Snapshot,
    account: account::Model,
    now: Instant,
    sight: Sight,
    pub(crate) whole_wallets: WholeUpTo,
}

impl View {
    /// Opens one, in which so much is there, for whoever takes turns with others, or for this server itself.
    pub(crate) async fn open(store: &Store, account: AccountId, sight: Sight, reader: Option<&Reader>) -> Result<Self> {
        let txn = store.snapshot_for(reader).await?;
        let account = find_account(&txn, account).await?.ok_or(Error::Unauthenticated)?;
        let now = account_now(&account, store);
        Ok(Self { txn, account, now, sight, whole_wallets: store.whole_wallets })
    }

    /// The connection, for statements.
    pub(crate) fn db(&self) -> &DatabaseTransaction {
        &self.txn
    }

    /// Waits for a turn to read much, where turns are taken.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where too many wait already, or it takes too long.
    pub async fn lengthen(&self) -> Result<()> {
        self.txn.lengthen().await
    }

    /// The account.
    #[must_use]
    pub fn account(&self) -> &account::Model {
        &self.account
    }

    /// The account's time when the snapshot was taken.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Whether staff looks, before whom nothing is hidden.
    pub(crate) fn is_staff(&self) -> bool {
        self.sight == Sight::All
    }

    /// The customer whose own rows alone are seen, if the caller is one.
    pub(crate) fn customer(&self) -> Option<CustomerId> {
        if let Sight::Own(customer) = self.sight { Some(customer) } else { None }
    }

    /// Refuses whoever is not staff.
    pub(crate) fn staff_only(&self) -> Result<()> {
        if self.is_staff() { Ok(()) } else { Err(Error::Forbidden(Scope::StaffRead)) }
    }

    /// The rows of this account in a table whose rows belong to no customer.
    pub(crate) fn rows<E: Owned>(&self) -> Select<E> {
        E::of(self.account.id)
    }

    /// Whether a column has one of these values.
    pub(crate) fn among<C: ColumnTrait>(
        &self,
        column: C,
        values: impl IntoIterator<Item = impl Into<Value>>,
    ) -> Result<Expr, DbErr> {
        among(self.txn.get_database_backend(), column, values)
    }

    /// The rows that the caller may see in a table whose rows belong to customers.
    pub(crate) fn customer_rows<E: CustomerOwned>(&self) -> Select<E> {
        match self.sight {
            Sight::All => E::of(self.account.id),
            Sight::Own(customer) => E::of_customer(self.account.id, customer),
            Sight::OnSale => E::of_customer(self.account.id, CustomerId(uuid::Uuid::nil())),
        }
    }
}

/// The account's own row.
pub(crate) async fn find_account(txn: &DatabaseTransaction, id: AccountId) -> Result<Option<account::Model>, DbErr> {
    account::Entity::of(id).one(txn).await
}

/// The accounts' own rows; those that are not there are left out.
pub(crate) async fn find_accounts(
    txn: &DatabaseTransaction,
    ids: BTreeSet<AccountId>,
) -> Result<Vec<account::Model>, DbErr> {
    account::Entity::keyed(txn.get_database_backend(), [], ids.into_iter().map(|id| (id, [])))?.all(txn).await
}

/// Which account a link names.
pub(crate) async fn account_of_slug(txn: &DatabaseTransaction, slug: &str) -> Result<Option<AccountId>> {
    if slug.contains('\0') {
        return Ok(None);
    }
    #[expect(clippy::disallowed_methods, reason = "a link names an account by what is unique among all")]
    let found = account::Entity::find().filter(account::Column::Slug.eq(slug)).one(txn).await?;
    Ok(found.map(|account| account.id))
}

/// The account's clock: a sandbox's stands still, everyone else's is the server's.
pub(crate) fn account_now(account: &account::Model, store: &Store) -> Instant {
    account.clock_at.unwrap_or_else(|| store.clock.now())
}
