//! What is signed, and how (pure): HMAC-SHA256 over `id.timestamp.body`, as Standard Webhooks v1 has it.
//!
//! A secret is derived from the ledger key, the endpoint and the number of its rotations, and stored nowhere.

use data_encoding::BASE64;
use entity::{AccountId, WebhookEndpointId, webhook_endpoint};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::LedgerKey;
use crate::ground::clock::Instant;

/// What a secret's text begins with.
const PREFIX: &str = "whsec_";

/// The secret of an endpoint, as its owner is shown it.
#[must_use]
pub fn secret(key: &LedgerKey, account: AccountId, endpoint: WebhookEndpointId, generation: i32) -> String {
    format!("{PREFIX}{}", BASE64.encode(&key.webhook_secret(account, endpoint, generation)))
}

/// The signatures of a message by the secrets that are valid at an instant: the newest, and for a while the one before.
#[must_use]
pub fn signatures(key: &LedgerKey, endpoint: &webhook_endpoint::Model, now: Instant, message: &str) -> String {
    let (newest, previous) = (endpoint.generation, endpoint.previous_until.is_some_and(|until| now < until));
    let generations = std::iter::once(newest).chain(previous.then(|| newest - 1));
    let signed = generations.map(|generation| {
        let secret = key.webhook_secret(endpoint.account_id, endpoint.id, generation);
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret).expect("HMAC takes keys of any length");
        mac.update(message.as_bytes());
        format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
    });
    signed.collect::<Vec<_>>().join(" ")
}
