//! Who asks, what they may do, and the only two doors to an account's data: [`Caller::begin`] and [`Caller::view`].

use std::net::IpAddr;
use std::sync::Arc;

use entity::{AccountId, ApiKeyId, CustomerId, activity::ActorKind};
use tokio_util::sync::CancellationToken;

use super::access::Noted;
use super::accounts;
use super::accounts::api_keys::KeyScopes;
use super::app::App;
use super::error::{Error, Result};
use super::readers::Reader;
use super::tx::{Sight, TRIES, Tx, View};

/// What a caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Nobody we know: at most somebody who looks at an account's order forms.
    Anyone,
    /// Runs the server: creates accounts, belongs to none.
    Operator,
    /// Runs the business.
    Owner,
    /// Works in the business.
    Staff,
    /// A program of the business, with what its key was given.
    Key(ApiKeyId, KeyScopes),
    /// Buys and uses credits; sees itself only.
    Customer(CustomerId),
}

/// An account, and how much of it is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seen(AccountId, Sight);

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Create accounts.
    AccountsCreate,
    /// Change the account's settings.
    AccountWrite,
    /// Read the account, its catalogue and every customer.
    StaffRead,
    /// Create and change customers.
    CustomersWrite,
    /// Create and change what is offered.
    CatalogWrite,
    /// Issue and consume credits.
    CreditsWrite,
    /// Read what belongs to oneself; for staff, to any customer.
    OwnRead,
    /// Take payments, cancel, refund.
    OrdersWrite,
    /// Order for oneself, and end what one has ordered; for staff, for any customer.
    Buy,
    /// Tell of events of the business's own.
    EventsWrite,
    /// Create and change triggers and automations, and begin or stop walks.
    AutomationsWrite,
    /// Create and change webhook endpoints.
    WebhooksWrite,
    /// Create and revoke API keys.
    KeysWrite,
    /// Let customers in, for a while.
    SessionsWrite,
    /// Blank who a customer was.
    CustomersErase,
    /// Look at what is on sale, and order it without being known.
    OrderForm,
}

impl Scope {
    /// Who has it, in words: the least that a token must be.
    #[must_use]
    pub fn who(self) -> &'static str {
        match self {
            Self::AccountsCreate => "It takes an operator's token, or for a sandbox an owner's",
            Self::AccountWrite | Self::KeysWrite => "It takes an owner's token",
            Self::WebhooksWrite => "It takes an owner's token, or an API key with WEBHOOKS_WRITE",
            Self::CustomersErase => "It takes an owner's token, or an API key with CUSTOMERS_ERASE",
            Self::StaffRead => "It takes a token of staff, or an API key with READ",
            Self::EventsWrite => "It takes a token of staff, or an API key with EVENTS_WRITE",
            Self::AutomationsWrite => "It takes a token of staff, or an API key with AUTOMATIONS_WRITE",
            Self::CustomersWrite => "It takes a token of staff, or an API key with CUSTOMERS_WRITE",
            Self::CatalogWrite => "It takes a token of staff, or an API key with CATALOG_WRITE",
            Self::CreditsWrite => "It takes a token of staff, or an API key with CREDITS_WRITE",
            Self::SessionsWrite => "It takes a token of staff, or an API key with SESSIONS_WRITE",
            Self::OrdersWrite => "It takes a token of staff, or an API key with ORDERS_WRITE",
            Self::OwnRead | Self::OrderForm => "It takes a token of the customer or of staff, or an API key with READ",
            Self::Buy => "It takes a token of the customer or of staff, or an API key with ORDERS_WRITE",
        }
    }
}

impl Role {
    /// Whether the role has a scope.
    #[must_use]
    pub fn may(self, scope: Scope) -> bool {
        match self {
            Self::Anyone => scope == Scope::OrderForm,
            Self::Operator => scope == Scope::AccountsCreate,
            Self::Owner => scope != Scope::AccountsCreate,
            Self::Staff => !matches!(
                scope,
                Scope::AccountsCreate
                    | Scope::AccountWrite
                    | Scope::WebhooksWrite
                    | Scope::KeysWrite
                    | Scope::CustomersErase
            ),
            Self::Key(_, scopes) => scopes.may(scope),
            Self::Customer(_) => matches!(scope, Scope::OwnRead | Scope::Buy | Scope::OrderForm),
        }
    }
}

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
        let Some(account) = accounts::of_slug(&txn, slug).await? else { return Ok(None) };
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
    pub(super) fn reader(&self) -> Option<&Reader> {
        self.reader.as_ref()
    }

    /// The address that the request came from, if it came over the network.
    pub(super) fn from(&self) -> Option<IpAddr> {
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

    pub(super) fn app(&self) -> &App {
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
    pub(super) fn authorise_operator(&self) -> Result<()> {
        match self.role {
            Role::Operator => Ok(()),
            Role::Anyone => Err(Error::Unauthenticated),
            _ => Err(Error::Forbidden(Scope::AccountsCreate)),
        }
    }

    /// The way to write: a transaction in the caller's account.
    ///
    /// Must run in a task of its own: a write that is cancelled half-way leaves its transaction open in the pool.
    pub(super) async fn begin(&self, scope: Scope) -> Result<Tx> {
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

    /// In a sandbox, to which no worker comes, lets what follows from a change happen at once, at the instant that its
    /// test clock shows. Elsewhere the worker sees to it.
    pub async fn follow_up(&self) {
        let Some(account) = self.account else { return };
        let followed = match self.app.is_sandbox(account).await {
            Ok(true) => accounts::test_clock::catch_up(&self.app, account).await,
            other => other.map(drop),
        };
        if let Err(error) = followed {
            tracing::warn!(%account, %error, "what follows from a change in a sandbox waits for the next one");
        }
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
    pub(super) fn actor(&self) -> (ActorKind, String) {
        let kind = match self.role {
            Role::Customer(_) | Role::Anyone => ActorKind::Customer,
            Role::Operator => ActorKind::System,
            Role::Owner | Role::Staff => ActorKind::Staff,
            Role::Key(..) => ActorKind::ApiKey,
        };
        (kind, self.subject.clone())
    }

    /// Whose idempotency keys these are.
    pub(super) fn key_space(&self) -> String {
        match self.role {
            Role::Customer(customer) => format!("customer:{customer}"),
            Role::Anyone => "public".to_owned(),
            Role::Key(id, _) => format!("{OF_KEYS}{id}"),
            _ => STAFF.to_owned(),
        }
    }
}

/// Whose idempotency keys staff's are.
pub(super) const STAFF: &str = "staff";
/// Whose those of API keys are, each its own.
pub(super) const OF_KEYS: &str = "key:";

/// How often a transaction was run that met another one.
#[derive(Default)]
pub(super) struct Tries(u32);

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
        let mut tries = $crate::caller::Tries::default();
        loop {
            let begun = $caller.begin($scope).await?;
            let $tx = &begun;
            let done: $crate::error::Result<_> = async { $work }.await;
            if let Some(done) = tries.end(begun, done).await {
                break done;
            }
        }
    }};
}
pub(super) use transact;
