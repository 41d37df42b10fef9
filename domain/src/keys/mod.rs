//! The ledger's key, and the secrets that are derived from it: kept outside the database, as it is.

pub(crate) mod credential;
pub(crate) mod signature;

use entity::{AccountId, OrderId, WebhookEndpointId};
use hmac::{Hmac, KeyInit, Mac};
use ledger::chain::ChainKey;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// The secret that signs the ledger.
pub struct LedgerKey {
    secret: SecretString,
    /// The part of it that signs activities.
    pub chain: ChainKey,
}

impl LedgerKey {
    /// A key; the settings see to its length.
    #[must_use]
    pub fn new(secret: SecretString) -> Self {
        let chain = ChainKey::new(secret.expose_secret().as_bytes());
        Self { secret, chain }
    }

    pub(crate) fn mac(&self) -> Hmac<Sha256> {
        Hmac::new_from_slice(self.secret.expose_secret().as_bytes()).expect("HMAC takes keys of any length")
    }

    /// What an account keeps, so that a wrong key is noticed before it signs anything.
    #[must_use]
    pub fn check(&self, account: AccountId) -> Vec<u8> {
        let mut mac = self.mac();
        mac.update(b"scrip ledger key check");
        mac.update(account.0.as_bytes());
        mac.finalize().into_bytes().to_vec()
    }

    /// The secret that lets a stranger read the order it placed: made of the order's id, and kept nowhere.
    #[must_use]
    pub fn order_secret(&self, account: AccountId, order: OrderId) -> Vec<u8> {
        let mut mac = self.mac();
        mac.update(b"scrip order token");
        mac.update(account.0.as_bytes());
        mac.update(order.0.as_bytes());
        mac.finalize().into_bytes()[..16].to_vec()
    }

    /// What signs what is posted to a webhook endpoint, after so many rotations: 32 bytes, which are stored nowhere.
    #[must_use]
    pub fn webhook_secret(&self, account: AccountId, endpoint: WebhookEndpointId, generation: i32) -> Vec<u8> {
        let mut mac = self.mac();
        mac.update(b"scrip webhook secret");
        mac.update(account.0.as_bytes());
        mac.update(endpoint.0.as_bytes());
        mac.update(&generation.to_be_bytes());
        mac.finalize().into_bytes().to_vec()
    }

    /// What is stored of a credential's secret: without this key, nobody who writes into the database makes one.
    #[must_use]
    pub fn credential(&self, account: AccountId, id: uuid::Uuid, secret: &[u8]) -> Vec<u8> {
        let mut mac = self.mac();
        mac.update(b"scrip credential");
        mac.update(account.0.as_bytes());
        mac.update(id.as_bytes());
        mac.update(secret);
        mac.finalize().into_bytes().to_vec()
    }

    /// What is kept of the address that a stranger ordered from: the same for the same one, and no way back to it.
    #[must_use]
    pub fn stranger(&self, account: AccountId, address: &str) -> Vec<u8> {
        let mut mac = self.mac();
        mac.update(b"scrip stranger");
        mac.update(account.0.as_bytes());
        mac.update(address.as_bytes());
        mac.finalize().into_bytes()[..16].to_vec()
    }

    /// The signature of a text that is kept outside the database.
    #[must_use]
    pub fn sign_text(&self, text: &str) -> Vec<u8> {
        let mut mac = self.mac();
        mac.update(b"scrip anchor");
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    }
}
