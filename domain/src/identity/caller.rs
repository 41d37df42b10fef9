//! Who asks, what they may do, and the only two doors to an account's data: [`Caller::begin`] and [`Caller::view`].

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use entity::{AccountId, activity::ActorKind};
use tokio_util::sync::CancellationToken;

use super::access::Noted;
use super::app::App;
use crate::ground::error::{Error, Result};
use crate::ground::scope::{Role, Scope};
use crate::queue::requests::{OF_KEYS, STAFF};
use crate::storage::readers::Reader;
use crate::storage::tx::{Sight, TRIES, Tx, View, account_of_slug};

/// An account, and how much of it is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seen(AccountId, Sight);

/// Someone who asks for something.
#[derive(Clone)]
pub struct Caller {
    app: App,
    account: Option<AccountId>,
    role: Role,
    subject: String,
    /// The address that the request came from, if it came over the network.
    from: Option<IpAddr>,
    /// As whom it takes turns to read, and until when somebody waits; none where it takes none.
    reader: Option<Reader>,
}

impl Caller {
    /// Nobody we know.
    #[must_use]
    pub fn anyone(app: App) -> Self {
        Self { app, account: None, role: Role::Anyone, subject: String::new(), from: None, reader: None }
    }

    /// Whoever stands before the order forms of an account: this caller if it belongs to the account, and anyone if not.
    /// None if there is no such account.
    pub async fn at_counter(&self, slug: &str) -> Result<Option<Self>> {
        let txn = self.app.store().snapshot_for(self.reader()).await?;
        let Some(account) = account_of_slug(&txn, slug).await? else { return Ok(None) };
        if self.account == Some(account) && self.role != Role::Anyone {
            return Ok(Some(self.clone()));
        }
        Ok(Some(Self {
            app: self.app.clone(),
            account: Some(account),
            role: Role::Anyone,
            subject: String::new(),
            from: self.from,
            reader: self.reader.clone(),
        }))
    }

    /// Who runs the server.
    #[must_use]
    pub fn operator(app: App, subject: &str) -> Self {
        Self { app, account: None, role: Role::Operator, subject: subject.to_owned(), from: None, reader: None }
    }

    /// Someone of an account.
    #[must_use]
    pub fn of(app: App, account: AccountId, role: Role, subject: &str) -> Self {
        Self { app, account: Some(account), role, subject: subject.to_owned(), from: None, reader: None }
    }

    /// The same, at another server.
    #[must_use]
    pub fn on(&self, app: App) -> Self {
        Self { app, ..self.clone() }
    }

    /// The same, from an address.
    #[must_use]
    pub fn seen_at(self, from: IpAddr) -> Self {
        Self { from: Some(from), ..self }
    }

    /// The same, which takes turns to read with others, for somebody who waits until `gone`. What nobody waits for any more
    /// is ended.
    #[must_use]
    pub fn waited_for(self, gone: CancellationToken) -> Self {
        let role = match self.role {
            Role::Customer(customer) => Some(customer.0),
            Role::Key(key, _) => Some(key.0),
            _ => None,
        };
        let reader =
            Reader::new(&(self.account, role, &self.subject, self.from.filter(|_| self.account.is_none())), gone);
        Self { reader: Some(reader), ..self }
    }

    /// The same, which comes again [`at_length`](Self::at_length) before it reads much.
    #[must_use]
    pub fn comes_again(self) -> Self {
        Self { reader: self.reader.map(Reader::comes_again), ..self }
    }

    /// The same, with a turn to read much, once it has come.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where it takes too long.
    pub async fn at_length(self) -> Result<Self> {
        let Some(reader) = self.reader.clone() else { return Ok(self) };
        let turn = Arc::new(self.app.store().turn(&reader).await?);
        Ok(Self { reader: Some(reader.with(turn)), ..self })
    }

    /// As whom it takes turns to read.
    pub(crate) fn reader(&self) -> Option<&Reader> {
        self.reader.as_ref()
    }

    /// The address that the request came from, if it came over the network.
    pub(crate) fn from(&self) -> Option<IpAddr> {
        self.from
    }

    /// What the caller is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The token's subject.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    /// The account, for a caller that may do this.
    pub fn authorise(&self, scope: Scope) -> Result<AccountId> {
        if !self.role.may(scope) {
            return Err(if self.role == Role::Anyone { Error::Unauthenticated } else { Error::Forbidden(scope) });
        }
        self.account.ok_or(Error::Forbidden(scope))
    }

    /// Makes sure that this is an operator.
    pub(crate) fn authorise_operator(&self) -> Result<()> {
        match self.role {
            Role::Operator => Ok(()),
            Role::Anyone => Err(Error::Unauthenticated),
            _ => Err(Error::Forbidden(Scope::AccountsCreate)),
        }
    }

    /// The way to write: a transaction in the caller's account.
    ///
    /// Must run in a task of its own: a write that is cancelled half-way leaves its transaction open in the pool.
    pub(crate) async fn begin(&self, scope: Scope) -> Result<Tx> {
        let account = self.authorise(scope)?;
        Tx::open(self.app.store(), account).await
    }

    /// The way to read: a snapshot of what the caller may see.
    pub async fn view(&self, scope: Scope) -> Result<View> {
        let account = self.authorise(scope)?;
        View::open(self.app.store(), account, self.sight(), self.reader()).await
    }

    /// What the caller sees, if it may read: who sees the same may be shown the same snapshot.
    #[must_use]
    pub fn sees(&self) -> Option<Seen> {
        self.account()?;
        Some(Seen(self.authorise(Scope::OwnRead).ok()?, self.sight()))
    }

    fn sight(&self) -> Sight {
        match self.role {
            Role::Customer(customer) => Sight::Own(customer),
            Role::Anyone => Sight::OnSale,
            Role::Operator | Role::Owner | Role::Staff | Role::Key(..) => Sight::All,
        }
    }

    /// A snapshot for the answer to what this caller has just changed: an API key that may write and not read hears what
    /// became of it.
    pub async fn view_of_answer(&self) -> Result<View> {
        match (self.role, self.account) {
            (Role::Key(..), Some(account)) => View::open(self.app.store(), account, Sight::All, self.reader()).await,
            _ => self.view(Scope::OwnRead).await,
        }
    }

    /// The account, whether the caller belongs to it or stands before its order forms.
    pub(crate) fn stands_in(&self) -> Option<AccountId> {
        self.account
    }

    /// The account, if the caller belongs to one.
    #[must_use]
    pub fn account(&self) -> Option<AccountId> {
        self.account.filter(|_| self.role != Role::Anyone)
    }

    /// Takes down, for the account's staff, that this caller did something or tried to.
    pub fn note(&self, what: &Noted<'_>) {
        self.app.access().note(self, what);
    }

    /// How an activity names this caller.
    pub(crate) fn actor(&self) -> (ActorKind, String) {
        let kind = match self.role {
            Role::Customer(_) | Role::Anyone => ActorKind::Customer,
            Role::Operator => ActorKind::System,
            Role::Owner | Role::Staff => ActorKind::Staff,
            Role::Key(..) => ActorKind::ApiKey,
        };
        (kind, self.subject.clone())
    }

    /// Whose idempotency keys these are.
    pub(crate) fn key_space(&self) -> String {
        match self.role {
            Role::Customer(customer) => format!("customer:{customer}"),
            Role::Anyone => "public".to_owned(),
            Role::Key(id, _) => format!("{OF_KEYS}{id}"),
            _ => STAFF.to_owned(),
        }
    }
}

/// Someone who was let in.
pub struct Known {
    pub caller: Caller,
    /// How long what it came in with is still good; for good if nothing says otherwise.
    pub left: Option<Duration>,
    /// Whether what it came in with may be taken back before that.
    pub revocable: bool,
}

/// How often a transaction was run that met another one.
#[derive(Default)]
pub(crate) struct Tries(u32);

impl Tries {
    /// Ends one try: commits what went through. None where it met another transaction (40001, 40P01, busy) and is to be run
    /// again.
    pub async fn end<T>(&mut self, tx: Tx, done: Result<T>) -> Option<Result<T>> {
        let done = match done {
            Ok(made) => tx.commit().await.map(|()| made),
            Err(error) => Err(error),
        };
        self.0 += 1;
        match done {
            Err(Error::Conflict(_)) if self.0 < TRIES => None,
            done => Some(done),
        }
    }
}

/// Writes in a transaction of the caller's account: `transact!(caller, scope, |tx| { … })`. It is committed if the block
/// goes through, and run again from its beginning where it met another one. A macro, because the compiler does not see
/// that the future of an asynchronous closure can be sent to another thread.
macro_rules! transact {
    ($caller:expr, $scope:expr, |$tx:ident| $work:block) => {{
        let mut tries = $crate::identity::caller::Tries::default();
        loop {
            let begun = $caller.begin($scope).await?;
            let $tx = &begun;
            let done: $crate::ground::error::Result<_> = async { $work }.await;
            if let Some(done) = tries.end(begun, done).await {
                break done;
            }
        }
    }};
}
pub(crate) use transact;
