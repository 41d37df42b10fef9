//! What a caller is, and what it may do.

use entity::api_key::Model;
use entity::{ApiKeyId, CustomerId};

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

/// What a key may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyScope {
    Read,
    CustomersWrite,
    CatalogWrite,
    CreditsWrite,
    OrdersWrite,
    EventsWrite,
    AutomationsWrite,
    WebhooksWrite,
    SessionsWrite,
    CustomersErase,
}

impl KeyScope {
    const ALL: [(Self, &'static str); 10] = [
        (Self::Read, "read"),
        (Self::CustomersWrite, "customers_write"),
        (Self::CatalogWrite, "catalog_write"),
        (Self::CreditsWrite, "credits_write"),
        (Self::OrdersWrite, "orders_write"),
        (Self::EventsWrite, "events_write"),
        (Self::AutomationsWrite, "automations_write"),
        (Self::WebhooksWrite, "webhooks_write"),
        (Self::SessionsWrite, "sessions_write"),
        (Self::CustomersErase, "customers_erase"),
    ];

    /// Of what a caller may do, what belongs to it; nothing for what no key may.
    fn of(scope: Scope) -> Option<Self> {
        match scope {
            Scope::StaffRead | Scope::OwnRead => Some(Self::Read),
            Scope::CustomersWrite => Some(Self::CustomersWrite),
            Scope::CatalogWrite => Some(Self::CatalogWrite),
            Scope::CreditsWrite => Some(Self::CreditsWrite),
            Scope::OrdersWrite | Scope::Buy => Some(Self::OrdersWrite),
            Scope::EventsWrite => Some(Self::EventsWrite),
            Scope::AutomationsWrite => Some(Self::AutomationsWrite),
            Scope::WebhooksWrite => Some(Self::WebhooksWrite),
            Scope::SessionsWrite => Some(Self::SessionsWrite),
            Scope::CustomersErase => Some(Self::CustomersErase),
            Scope::AccountsCreate | Scope::AccountWrite | Scope::KeysWrite | Scope::OrderForm => None,
        }
    }
}

/// The scopes of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyScopes(u16);

impl KeyScopes {
    /// Whether a key with these may do something. Order forms are for everybody.
    #[must_use]
    pub fn may(self, scope: Scope) -> bool {
        scope == Scope::OrderForm || KeyScope::of(scope).is_some_and(|scope| self.has(scope))
    }

    fn has(self, scope: KeyScope) -> bool {
        self.0 & (1 << scope as u16) != 0
    }

    /// Each of them.
    pub fn each(self) -> impl Iterator<Item = KeyScope> {
        KeyScope::ALL.into_iter().map(|(scope, _)| scope).filter(move |scope| self.has(*scope))
    }

    pub(crate) fn stored(self) -> serde_json::Value {
        KeyScope::ALL.iter().filter(|(scope, _)| self.has(*scope)).map(|(_, name)| *name).collect()
    }

    /// Those of a key as it is stored; a name that means nothing any more gives nothing.
    #[must_use]
    pub fn of(key: &Model) -> Self {
        let names = key.scopes.as_array().into_iter().flatten().filter_map(serde_json::Value::as_str);
        names
            .filter_map(|name| KeyScope::ALL.iter().find(|(_, known)| *known == name).map(|(scope, _)| *scope))
            .collect()
    }
}

impl FromIterator<KeyScope> for KeyScopes {
    fn from_iter<T: IntoIterator<Item = KeyScope>>(scopes: T) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | (1 << scope as u16)))
    }
}
