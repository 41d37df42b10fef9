//! The public keys of an identity provider: fetched when first needed, kept, fetched again now and then and when a token
//! names a key that is not there. The last that were good are kept for as long as the provider cannot be reached.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::sync::Mutex;
use tokio::time::Instant as Moment;

use crate::ground::error::{Error, Result};

/// How long keys are used without a look at whether they are still the ones.
const FRESH: Duration = Duration::from_hours(1);
/// How long nobody asks again after having asked: whoever makes up names of keys does not make us ask.
const COOLDOWN: Duration = Duration::from_secs(30);
/// Keys of one provider that are looked at.
const MOST: usize = 64;

/// Where keys come from: the world outside.
#[async_trait]
pub trait KeySource: Send + Sync {
    /// The document with the keys (RFC 7517, 5), or what kept it away, in words.
    async fn fetch(&self) -> Result<String, String>;
}

/// A key, and the one algorithm that it is for.
pub struct Key {
    pub algorithm: Algorithm,
    pub decoding: DecodingKey,
}

type Keys = HashMap<String, Arc<Key>>;

/// The keys of a provider.
pub struct KeySet {
    source: Arc<dyn KeySource>,
    keys: RwLock<Arc<Keys>>,
    /// When it was last asked, and when it last answered. Held while it is being asked, so that one request asks for all.
    asked: Arc<Mutex<Asked>>,
}

#[derive(Default)]
struct Asked {
    at: Option<Moment>,
    answered: Option<Moment>,
}

impl KeySet {
    /// The keys that a source has.
    #[must_use]
    pub fn new(source: Arc<dyn KeySource>) -> Self {
        Self { source, keys: RwLock::default(), asked: Arc::default() }
    }

    /// The key of a name; without a name the only one there is. None if there is no such key; unavailable if the
    /// provider was never reached.
    pub async fn key(&self, name: Option<&str>) -> Result<Option<Arc<Key>>> {
        let known = self.known(name);
        let mut asked = match (&known, self.asked.try_lock()) {
            // Somebody is asking already: what is known is good meanwhile.
            (Some(_), Err(_)) => return Ok(known),
            (_, Ok(asked)) => asked,
            (None, Err(_)) => self.asked.lock().await,
        };
        if asked.answered.is_some()
            && let Some(known) = self.known(name)
            && asked.answered.is_some_and(|at| at.elapsed() < FRESH)
        {
            return Ok(Some(known));
        }
        if asked.at.is_none_or(|at| at.elapsed() >= COOLDOWN) {
            asked.at = Some(Moment::now());
            match self.source.fetch().await.and_then(|text| read(&text)) {
                Ok(keys) => {
                    tracing::info!(keys = keys.len(), "the identity provider's keys were read");
                    *self.keys.write().expect("nobody panics while putting keys") = Arc::new(keys);
                    asked.answered = Some(Moment::now());
                }
                Err(why) => tracing::warn!(why, "the identity provider's keys could not be read: those known stay"),
            }
        }
        match self.known(name) {
            None if asked.answered.is_none() => Err(Error::Unavailable("no key of the identity provider".into())),
            known => Ok(known),
        }
    }

    fn known(&self, name: Option<&str>) -> Option<Arc<Key>> {
        let keys = self.keys.read().expect("nobody panics while looking at keys").clone();
        match name {
            Some(name) => keys.get(name).cloned(),
            None if keys.len() == 1 => keys.values().next().cloned(),
            None => None,
        }
    }
}

/// The keys of a document that are for signatures, of kinds that are known; others are passed over.
fn read(text: &str) -> Result<Keys, String> {
    let set: JwkSet = serde_json::from_str(text).map_err(|_| "it is no JSON Web Key Set (RFC 7517)".to_owned())?;
    let keys: Keys = set.keys.iter().take(MOST).enumerate().filter_map(|(at, jwk)| named(at, jwk)).collect();
    if keys.is_empty() {
        return Err("it has no key for RS256, ES256 or EdDSA".to_owned());
    }
    Ok(keys)
}

fn named(at: usize, jwk: &Jwk) -> Option<(String, Arc<Key>)> {
    // What a token says of its algorithm is only compared: it belongs to the key.
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        _ => return None,
    };
    let signs = !matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption));
    let says = jwk.common.key_algorithm.is_none_or(|said| said.to_string() == format!("{algorithm:?}"));
    let decoding = DecodingKey::from_jwk(jwk).ok().filter(|_| signs && says)?;
    let name = jwk.common.key_id.clone().unwrap_or_else(|| format!(" {at}"));
    Some((name, Arc::new(Key { algorithm, decoding })))
}
