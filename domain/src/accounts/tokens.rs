//! Bearer tokens: JSON Web Tokens (RFC 7519), HS256 by the server's signing secret; those of an identity provider, by its
//! keys; API keys and customers' sessions.
//!
//! Claims of our own: `iss`, `aud`, `sub`, `exp`, `role`, `account` (not for operators), `customer` (for customers), and `nbf`,
//! checked where it is there. The algorithm belongs to the key: what a token says about it is only compared.

use std::sync::Arc;
use std::time::Duration;

use entity::{AccountId, CustomerId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use moka::sync::Cache;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::api_keys;
use super::identity::Identity;
use crate::customers::sessions;
use crate::ground::clock::{Clock, Instant, SystemClock};
use crate::ground::error::{Error, Result};
use crate::ground::input;
use crate::ground::scope::Role;
use crate::identity::app::App;
use crate::identity::caller::{Caller, Known};
use crate::keys::credential::{Credential, Kind};

/// Seconds by which two machines' clocks may differ.
pub(super) const LEEWAY: u64 = 30;
/// Tokens whose claims are kept.
const LATELY: u64 = 10_000;
/// Bytes in a token that is looked at.
const LONGEST: usize = 4_096;

/// Makes and reads tokens.
pub struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    issuer: String,
    audience: String,
    identity: Option<Identity>,
    /// What tokens said that were good lately, by their digests: until one ends it is as good as it was.
    lately: Cache<[u8; 32], Arc<Claims>>,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    exp: i64,
    role: RoleClaim,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<AccountId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<CustomerId>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RoleClaim {
    Operator,
    Owner,
    Staff,
    Customer,
}

impl Tokens {
    /// For a signing secret, and for what stands in `iss` and `aud`.
    #[must_use]
    pub fn new(secret: &SecretString, issuer: &str, audience: &str) -> Self {
        // Without a provider the library panics at the first token. A second install is refused, and is the same one.
        let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        let bytes = secret.expose_secret().as_bytes();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        // Without this a token that lacks the claim passes.
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY;
        Self {
            encoding: EncodingKey::from_secret(bytes),
            decoding: DecodingKey::from_secret(bytes),
            validation,
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            identity: None,
            lately: Cache::new(LATELY),
        }
    }

    /// The same, with an identity provider whose tokens are good as well.
    #[must_use]
    pub fn trusting(self, identity: Identity) -> Self {
        Self { identity: Some(identity), ..self }
    }

    /// A token for a role, good for some time of the real clock. `account` is none for an operator.
    pub fn make(&self, account: Option<AccountId>, role: Role, subject: &str, lifetime: Duration) -> Result<String> {
        let (role, customer) = match role {
            Role::Operator => (RoleClaim::Operator, None),
            Role::Owner => (RoleClaim::Owner, None),
            Role::Staff => (RoleClaim::Staff, None),
            Role::Customer(customer) => (RoleClaim::Customer, Some(customer)),
            Role::Anyone | Role::Key(..) => return Err(Error::Unauthenticated),
        };
        let lifetime = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: subject.to_owned(),
            exp: SystemClock.now().timestamp().saturating_add(lifetime),
            role,
            account,
            customer,
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
            .map_err(|error| Error::Internal(format!("a token could not be signed: {error}")))
    }

    /// Who comes in with a token of our own, for which nothing has to be looked up.
    #[must_use]
    pub fn know_at_once(&self, app: &App, token: &str) -> Option<Known> {
        if Credential::is_meant(token) { None } else { self.own(app, token).ok() }
    }

    /// Who comes in with any other token. What is wrong with one is nobody's business: it is invalid or expired.
    pub async fn look_up(&self, app: &App, token: &str) -> Result<Known> {
        if token.len() > LONGEST {
            return Err(Error::Unauthenticated);
        }
        if Credential::is_meant(token) {
            let credential: Credential = token.parse()?;
            return match credential.kind {
                Kind::Live | Kind::Test => api_keys::know(app, &credential).await,
                Kind::Session => sessions::know(app, &credential).await,
            };
        }
        match &self.identity {
            Some(identity) => identity.know(app, token).await,
            None => Err(Error::Unauthenticated),
        }
    }

    /// Who comes in with a token of our own.
    fn own(&self, app: &App, token: &str) -> Result<Known> {
        if token.len() > LONGEST {
            return Err(Error::Unauthenticated);
        }
        let digest = <[u8; 32]>::from(Sha256::digest(token));
        let leeway = i64::try_from(LEEWAY).unwrap_or_default();
        let still_good = |claims: &Arc<Claims>| claims.exp.saturating_add(leeway) >= SystemClock.now().timestamp();
        let claims = if let Some(claims) = self.lately.get(&digest).filter(still_good) {
            claims
        } else {
            let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation);
            let read = claims.map_err(|_| Error::Unauthenticated)?;
            let claims = Arc::new(read.claims);
            if !is_subject(&claims.sub) || asks_for_more(&read.header) {
                return Err(Error::Unauthenticated);
            }
            self.lately.insert(digest, claims.clone());
            claims
        };
        let end = Instant::from_timestamp(claims.exp, 0).unwrap_or(Instant::MAX_UTC);
        let left = Some((end - SystemClock.now()).to_std().unwrap_or_default());
        let known = |caller| Ok(Known { caller, left, revocable: false });
        let role = match (claims.role, claims.customer) {
            (RoleClaim::Operator, None) if claims.account.is_none() => {
                return known(Caller::operator(app.clone(), &claims.sub));
            }
            (RoleClaim::Owner, None) => Role::Owner,
            (RoleClaim::Staff, None) => Role::Staff,
            (RoleClaim::Customer, Some(customer)) => Role::Customer(customer),
            _ => return Err(Error::Unauthenticated),
        };
        let account = claims.account.ok_or(Error::Unauthenticated)?;
        known(Caller::of(app.clone(), account, role, &claims.sub))
    }
}

/// Whether a text can be a subject: short, and in one line.
pub(super) fn is_subject(text: &str) -> bool {
    text.chars().count() <= input::NAME && !text.chars().any(char::is_control)
}

/// Whether a token says that some of its header must be understood: nothing of it is here (RFC 7515, 4.1.11).
pub(super) const fn asks_for_more(header: &Header) -> bool {
    header.crit.is_some()
}
