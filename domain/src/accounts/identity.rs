//! Tokens of an identity provider: whose keys sign them, and what their claims mean here.

use std::sync::Arc;

use entity::AccountId;
use jsonwebtoken::{Algorithm, Validation};
use serde_json::{Map, Value};

use super::key_set::{KeySet, KeySource};
use super::tokens::{LEEWAY, asks_for_more, is_subject};
use crate::customers;
use crate::ground::clock::{Clock, Instant, SystemClock};
use crate::ground::error::{Error, Result};
use crate::ground::scope::{Role, Scope};
use crate::identity::app::App;
use crate::identity::caller::Caller;
use crate::identity::caller::Known;

/// Where a customer's claim leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CustomerBy {
    /// To the customer with this id of ours.
    Id,
    /// To the customer with this id of the business's own.
    ExternalId,
    /// To the customer with this e-mail address, if the provider says that it was verified.
    Email,
}

/// What the claims of a provider's tokens mean.
#[derive(Clone, Debug)]
pub struct Claims {
    pub issuer: String,
    pub audience: String,
    /// Which claim holds roles: a text or a list of texts; dots lead into objects.
    pub role: String,
    /// The provider's word for each role of ours, the mightiest first; `*` is anyone else.
    pub roles: Vec<(IdentityRole, String)>,
    /// Which claim holds the account's id.
    pub account: String,
    /// The account of tokens that name none.
    pub only_account: Option<AccountId>,
    /// Which claim leads to the customer, and how.
    pub customer: String,
    pub customer_by: CustomerBy,
}

/// A role that a provider may give. Operators come from nowhere but this server's own secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IdentityRole {
    Owner,
    Staff,
    Customer,
}

/// A provider whose tokens are good here.
pub struct Identity {
    keys: KeySet,
    claims: Claims,
}

impl Identity {
    /// One whose keys a source has.
    #[must_use]
    pub fn new(source: Arc<dyn KeySource>, claims: Claims) -> Self {
        Self { keys: KeySet::new(source), claims }
    }

    /// Who comes in with a token.
    pub(super) async fn know(&self, app: &App, token: &str) -> Result<Known> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| Error::Unauthenticated)?;
        // Nobody is asked for a key that could not be.
        let is_ours = matches!(header.alg, Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA);
        if !is_ours || asks_for_more(&header) {
            return Err(Error::Unauthenticated);
        }
        let key = self.keys.key(header.kid.as_deref()).await?.ok_or(Error::Unauthenticated)?;
        let mut validation = Validation::new(key.algorithm);
        validation.set_issuer(&[&self.claims.issuer]);
        validation.set_audience(&[&self.claims.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY;
        let read = jsonwebtoken::decode::<Map<String, Value>>(token, &key.decoding, &validation);
        self.caller(app, &read.map_err(|_| Error::Unauthenticated)?.claims).await
    }

    async fn caller(&self, app: &App, claims: &Map<String, Value>) -> Result<Known> {
        let subject = claims.get("sub").and_then(Value::as_str).filter(|subject| is_subject(subject));
        let subject = subject.ok_or(Error::Unauthenticated)?;
        let end = claims.get("exp").and_then(Value::as_i64).ok_or(Error::Unauthenticated)?;
        let end = Instant::from_timestamp(end, 0).unwrap_or(Instant::MAX_UTC);
        let named = claim(claims, &self.claims.account).and_then(Value::as_str);
        let account = match (named, self.claims.only_account) {
            (Some(named), only) => {
                let named = named.parse().map_err(|_| Error::Unauthenticated)?;
                // Where tokens are for one account, none speaks for another.
                if only.is_some_and(|only| only != named) {
                    return Err(Error::Unauthenticated);
                }
                named
            }
            (None, Some(only)) => only,
            (None, None) => return Err(Error::Unauthenticated),
        };
        let role = match self.claims.role_of(claims).ok_or(Error::Unauthenticated)? {
            IdentityRole::Owner => Role::Owner,
            IdentityRole::Staff => Role::Staff,
            IdentityRole::Customer => self.customer(app, account, claims).await?,
        };
        let caller = Caller::of(app.clone(), account, role, subject);
        let left = (end - SystemClock.now()).to_std().unwrap_or_default();
        Ok(Known { caller, left: Some(left), revocable: false })
    }

    async fn customer(&self, app: &App, account: AccountId, claims: &Map<String, Value>) -> Result<Role> {
        let value = claim(claims, &self.claims.customer).and_then(Value::as_str).ok_or(Error::Unauthenticated)?;
        let reader = Caller::of(app.clone(), account, Role::Staff, "identity");
        let found = match self.claims.customer_by {
            CustomerBy::Id => return value.parse().map(Role::Customer).map_err(|_| Error::Unauthenticated),
            CustomerBy::ExternalId => customers::by_external_id(&reader.view(Scope::StaffRead).await?, value).await?,
            CustomerBy::Email if claims.get("email_verified") == Some(&Value::Bool(true)) => {
                customers::by_email(&reader.view(Scope::StaffRead).await?, value).await?
            }
            CustomerBy::Email => None,
        };
        found.map(|customer| Role::Customer(customer.id)).ok_or(Error::Unauthenticated)
    }
}

impl Claims {
    /// The mightiest role that a token was given.
    fn role_of(&self, claims: &Map<String, Value>) -> Option<IdentityRole> {
        let given: Vec<&str> = match claim(claims, &self.role) {
            Some(Value::String(role)) => vec![role],
            Some(Value::Array(roles)) => roles.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let named = self.roles.iter().filter(|(_, word)| given.contains(&word.as_str())).map(|(role, _)| *role).min();
        named.or_else(|| self.roles.iter().find(|(_, word)| word == "*").map(|(role, _)| *role))
    }
}

/// A claim by its whole name, which may hold dots (`https://example.com/role`), or else by its path (`realm_access.roles`).
fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    claims.get(name).or_else(|| {
        let mut parts = name.split('.');
        let first = claims.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(role: &str, roles: &[(IdentityRole, &str)]) -> Claims {
        Claims {
            issuer: String::new(),
            audience: String::new(),
            role: role.to_owned(),
            roles: roles.iter().map(|(role, word)| (*role, (*word).to_owned())).collect(),
            account: "account".to_owned(),
            only_account: None,
            customer: "customer".to_owned(),
            customer_by: CustomerBy::Id,
        }
    }

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().expect("an object")
    }

    #[test]
    fn roles_are_read_wherever_a_provider_keeps_them() {
        let roles = [(IdentityRole::Owner, "admin"), (IdentityRole::Staff, "coach")];
        let keycloak = claims("realm_access.roles", &roles);
        let token = object(&json!({ "realm_access": { "roles": ["coach", "admin", "offline_access"] } }));
        assert_eq!(keycloak.role_of(&token), Some(IdentityRole::Owner));
        let auth0 = claims("https://example.com/role", &roles);
        assert_eq!(auth0.role_of(&object(&json!({ "https://example.com/role": "coach" }))), Some(IdentityRole::Staff));
        assert_eq!(auth0.role_of(&object(&json!({ "https://example.com/role": "owner" }))), None);
        assert_eq!(auth0.role_of(&object(&json!({}))), None);
        let anyone = claims("role", &[(IdentityRole::Staff, "coach"), (IdentityRole::Customer, "*")]);
        assert_eq!(anyone.role_of(&object(&json!({ "role": 5 }))), Some(IdentityRole::Customer));
        assert_eq!(anyone.role_of(&object(&json!({ "role": ["coach"] }))), Some(IdentityRole::Staff));
    }
}
