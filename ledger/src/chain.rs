//! The keyed hash chain (pure): each activity signs the one before it in its wallet, so that nothing can be altered,
//! removed or put in between without the key, which is kept outside the database.

use crate::{Activity, Allocation, Anchor, Grant, Hold, PeriodUnit};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::time::Instant;

/// The hash before a wallet's first activity.
pub const GENESIS: [u8; 32] = [0; 32];
/// What the bytes that are signed look like. Goes up when they change.
const VERSION: u8 = 1;

/// The key that signs a chain. Whoever has it can write records that verify; it is kept outside of what it signs.
#[derive(Clone)]
pub struct ChainKey(Hmac<Sha256>);

impl ChainKey {
    /// A key of a secret, of any length; 32 random bytes are a good one.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes keys of any length"))
    }

    /// The hash of a record over the one before it in its wallet.
    #[must_use]
    pub fn sign(&self, before: &[u8], record: &Record<'_>) -> Vec<u8> {
        let mut signed = Signed { mac: self.0.clone() };
        signed.bytes(&[VERSION]);
        signed.bytes(before);
        signed.activity(record.activity);
        signed.number(i64::try_from(record.allocations.len()).unwrap_or(i64::MAX));
        for allocation in record.allocations {
            signed.allocation(allocation);
        }
        for grant in record.issued {
            signed.terms(grant);
        }
        if let Some(hold) = record.opened {
            signed.bytes(hold.id.0.as_bytes());
            signed.number(hold.amount.0);
            signed.instant(hold.placed_at);
            signed.instant(hold.expires_at);
        }
        signed.mac.finalize().into_bytes().to_vec()
    }
}

/// What an activity says: itself, its allocations with their cost and the ends they set, the terms of the grants that
/// it made, and of the hold that it opened.
pub struct Record<'a> {
    pub activity: &'a Activity,
    pub allocations: &'a [Allocation],
    pub issued: &'a [Grant],
    pub opened: Option<&'a Hold>,
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

    fn activity(&mut self, activity: &Activity) {
        for id in [activity.account_id.0, activity.customer_id.0, activity.credit_type_id.0, activity.id.0] {
            self.bytes(id.as_bytes());
        }
        self.number(activity.sequence);
        self.text(activity.kind.as_str());
        for amount in [activity.amount, activity.held_amount, activity.balance_before, activity.balance_after] {
            self.number(amount.0);
        }
        self.text(activity.actor_kind.as_str());
        self.text(&activity.actor);
        self.text(activity.source.as_str());
        self.optional(activity.reference.as_deref().map(str::as_bytes));
        self.optional(activity.reason.as_deref().map(str::as_bytes));
        self.optional(activity.note_digest.as_deref());
        self.optional(activity.hold_id.as_ref().map(|id| id.0.as_bytes().as_slice()));
        self.optional(activity.reverses_id.as_ref().map(|id| id.0.as_bytes().as_slice()));
        self.instant(activity.at);
    }

    fn allocation(&mut self, allocation: &Allocation) {
        self.bytes(allocation.grant_id.0.as_bytes());
        self.number(allocation.amount.0);
        self.number(allocation.cost.0);
        for end in [allocation.ends_before, allocation.ends_after] {
            self.optional(end.map(|end| end.timestamp_micros().to_be_bytes()).as_ref().map(<[u8; 8]>::as_slice));
        }
        // One byte, where an id or nothing follows otherwise: what was signed before there was such a thing stays as it is.
        if allocation.leaves_open {
            self.bytes(&[1]);
        }
        if let Some((from, to)) = allocation.cost_from.zip(allocation.cost_to) {
            self.bytes(&[2]);
            self.text(from.as_str());
            self.text(to.as_str());
        }
        if allocation.refunded {
            self.bytes(&[3]);
        }
        if let Some(allowance) = allocation.allowance {
            self.bytes(&[4]);
            self.number(allowance.0);
        }
    }

    /// What a grant was made with; its end, and what becomes of it, is in the allocations.
    fn terms(&mut self, grant: &Grant) {
        self.bytes(grant.id.0.as_bytes());
        self.number(grant.amount.0);
        self.number(i64::from(grant.priority));
        self.number(i64::from(grant.promotional));
        self.instant(grant.effective_at);
        self.text(grant.expiration.as_str());
        self.number(i64::from(grant.period_count.unwrap_or_default()));
        self.text(grant.period_unit.map(PeriodUnit::as_str).unwrap_or_default());
        self.text(grant.period_from.map(Anchor::as_str).unwrap_or_default());
        self.text(&grant.expires_on.map(|date| date.to_string()).unwrap_or_default());
        self.text(&grant.time_zone);
        self.number(grant.cost.0);
        self.text(&grant.currency);
        self.text(grant.source.as_str());
        self.optional(grant.origin_id.as_ref().map(|id| id.0.as_bytes().as_slice()));
        self.instant(grant.created_at);
        if let Some((subscription, period)) = grant.subscription_id.zip(grant.period) {
            self.bytes(subscription.0.as_bytes());
            self.number(period);
            self.number(grant.rollover_limit.map_or(-1, |limit| limit.0));
        }
    }
}
