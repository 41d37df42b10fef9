//! The keyed hash chain (pure): each activity signs the one before it in its wallet, so that nothing can be altered,
//! removed or put in between without the key, which is kept outside the database.

use entity::activity::Kind;
use entity::{AccountId, Anchor, ExpirationKind, GrantId, activity, allocation, credit_grant};
use hmac::{Hmac, KeyInit, Mac};
use sea_orm::ActiveEnum;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::domain::clock::Instant;

/// The hash before a wallet's first activity.
pub const GENESIS: [u8; 32] = [0; 32];
/// What the bytes that are signed look like. Goes up when they change.
const VERSION: u8 = 1;

/// The secret that signs the ledger.
pub struct LedgerKey(SecretString);

impl LedgerKey {
    /// A key; the settings see to its length.
    #[must_use]
    pub fn new(secret: SecretString) -> Self {
        Self(secret)
    }

    fn mac(&self) -> Hmac<Sha256> {
        Hmac::new_from_slice(self.0.expose_secret().as_bytes()).expect("HMAC takes keys of any length")
    }

    /// What an account keeps, so that a wrong key is noticed before it signs anything.
    #[must_use]
    pub fn check(&self, account: AccountId) -> Vec<u8> {
        let mut mac = self.mac();
        mac.update(b"scrip ledger key check");
        mac.update(account.0.as_bytes());
        mac.finalize().into_bytes().to_vec()
    }

    /// The hash of an activity over the one before it, its allocations, the terms of the grant it issued,
    /// and the ends that it set, being the first use of a grant.
    #[must_use]
    pub fn sign(
        &self,
        before: &[u8],
        activity: &activity::Model,
        allocations: &[allocation::Model],
        issued: Option<&credit_grant::Model>,
        ends: &[(GrantId, Instant)],
    ) -> Vec<u8> {
        let mut signed = Signed { mac: self.mac() };
        signed.bytes(&[VERSION]);
        signed.bytes(before);
        signed.activity(activity);
        signed.number(i64::try_from(allocations.len()).unwrap_or(i64::MAX));
        for allocation in allocations {
            signed.bytes(allocation.grant_id.0.as_bytes());
            signed.number(allocation.amount.0);
            signed.number(allocation.cost.0);
        }
        if let Some(grant) = issued {
            signed.terms(grant);
        }
        for (grant, end) in ends {
            signed.bytes(grant.0.as_bytes());
            signed.instant(*end);
        }
        signed.mac.finalize().into_bytes().to_vec()
    }
}

/// SHA-256 over the salt and the notes: the chain signs this, so that erasing the notes leaves the chain whole.
#[must_use]
pub fn note_digest(salt: &[u8], note: Option<&str>, internal_note: Option<&str>) -> Vec<u8> {
    let mut digest = Sha256::new();
    digest.update(salt);
    for note in [note, internal_note] {
        let note = note.unwrap_or_default().as_bytes();
        digest.update((note.len() as u64).to_be_bytes());
        digest.update(note);
    }
    digest.finalize().to_vec()
}

/// Fields one after the other, each with its length, so that no two records give the same bytes.
struct Signed {
    mac: Hmac<Sha256>,
}

impl Signed {
    fn bytes(&mut self, bytes: &[u8]) {
        self.mac.update(&(bytes.len() as u64).to_be_bytes());
        self.mac.update(bytes);
    }

    fn number(&mut self, number: i64) {
        self.bytes(&number.to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Absent and empty differ: the one has no length at all.
    fn optional(&mut self, bytes: Option<&[u8]>) {
        self.mac.update(&[u8::from(bytes.is_some())]);
        self.bytes(bytes.unwrap_or_default());
    }

    fn instant(&mut self, at: Instant) {
        self.number(at.timestamp_micros());
    }

    fn activity(&mut self, activity: &activity::Model) {
        for id in [activity.account_id.0, activity.customer_id.0, activity.credit_type_id.0, activity.id.0] {
            self.bytes(id.as_bytes());
        }
        self.number(activity.sequence);
        self.text(&activity.kind.to_value());
        for amount in [activity.amount, activity.held_amount, activity.balance_before, activity.balance_after] {
            self.number(amount.0);
        }
        self.text(&activity.actor_kind.to_value());
        self.text(&activity.actor);
        self.text(&activity.source.to_value());
        self.optional(activity.reference.as_deref().map(str::as_bytes));
        self.optional(activity.reason.as_deref().map(str::as_bytes));
        self.optional(activity.note_digest.as_deref());
        self.instant(activity.at);
    }

    /// What a grant was issued with; what becomes of it is in the activities.
    fn terms(&mut self, grant: &credit_grant::Model) {
        self.bytes(grant.id.0.as_bytes());
        self.number(grant.amount.0);
        self.number(i64::from(grant.priority));
        self.number(i64::from(grant.promotional));
        self.instant(grant.effective_at);
        self.text(&grant.expiration.to_value());
        self.number(i64::from(grant.period_count.unwrap_or_default()));
        self.text(&grant.period_unit.map(|unit| unit.to_value()).unwrap_or_default());
        self.text(&grant.period_from.map(|from| from.to_value()).unwrap_or_default());
        self.text(&grant.expires_on.map(|date| date.to_string()).unwrap_or_default());
        // The end that a first use sets is signed by the activity that used it.
        self.number(grant.expires_at.filter(|_| !ends_from_first_use(grant)).map_or(0, |at| at.timestamp_micros()));
        self.text(&grant.time_zone);
        self.number(grant.cost.0);
        self.text(&grant.currency);
        self.text(&grant.source.to_value());
        self.instant(grant.created_at);
    }
}

/// Whether a grant has no end before its first use.
#[must_use]
pub fn ends_from_first_use(grant: &credit_grant::Model) -> bool {
    grant.expiration == ExpirationKind::After && grant.period_from == Some(Anchor::FirstUse)
}

/// Whether an activity of this kind makes a grant, whose terms it then signs.
#[must_use]
pub fn makes_grant(kind: Kind) -> bool {
    match kind {
        Kind::Issue => true,
        Kind::Consume | Kind::Expire | Kind::Void => false,
    }
}
