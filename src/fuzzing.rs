//! What fuzzing throws bytes at: everything that reads a text of a stranger's, with what must hold of it. Only there when
//! `cargo fuzz` builds it (docs/security.md).

use async_graphql::Variables;
use async_graphql::parser::parse_query;
use chrono::DateTime;
use entity::{AccountId, CustomerId, WebhookEndpointId, webhook_endpoint};
use secrecy::SecretString;
use uuid::Uuid;

use crate::domain::LedgerKey;
use crate::domain::keys::signature;
use crate::domain::ledger::activity::Place;
use crate::graphql::page::{Cursor, page};
use crate::http::accept::negotiate;
use crate::http::guard::inspect;

/// A cursor that can be read is written as it was, or is refused with its field.
pub fn cursor(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let read = [
        page::<Place>(Some(20), Some(text), None, None).map(drop),
        page::<CustomerId>(Some(20), Some(text), None, None).map(drop),
        page::<i64>(None, None, Some(20), Some(text)).map(drop),
    ];
    for refused in read.into_iter().filter_map(Result::err) {
        assert!(refused.field().is_some_and(|field| field == ["after"] || field == ["before"]));
    }
    if let Some(place) = Place::read(text) {
        assert_eq!(Place::read(&place.write()), Some(place));
    }
}

/// An id that can be read has one text, and is of one kind.
pub fn id(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(id) = text.parse::<CustomerId>() {
        assert_eq!(id.to_string(), text);
        assert!(text.parse::<AccountId>().is_err());
    }
}

/// What is accepted was asked for.
pub fn accept(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let lower = text.to_ascii_lowercase();
    if !negotiate(Some(text)).is_empty() {
        assert!(["json", "application/*", "*/*", "text/event-stream"].iter().any(|media| lower.contains(media)));
    }
}

/// What is signed verifies, by another's implementation of Standard Webhooks, and nothing else does.
pub fn webhook_signature(data: &[u8]) {
    let Ok(body) = std::str::from_utf8(data) else { return };
    let key = LedgerKey::new(SecretString::from("a ledger key for fuzzing of 32 bytes"));
    let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap_or_default();
    let endpoint = webhook_endpoint::Model {
        account_id: AccountId(Uuid::from_u128(1)),
        id: WebhookEndpointId(Uuid::from_u128(data.len() as u128)),
        url: String::new(),
        description: None,
        events: serde_json::json!([]),
        enabled: true,
        generation: i32::from(data.first().copied().unwrap_or(1)).max(2),
        previous_until: (data.len() % 2 == 0).then(|| at + chrono::TimeDelta::hours(1)),
        failing_since: None,
        disabled_reason: None,
        created_at: at,
        updated_at: at,
        deleted_at: None,
    };
    let message = format!("msg.{}.{body}", at.timestamp());
    let signatures = signature::signatures(&key, &endpoint, at, &message);
    assert_eq!(signatures.split(' ').count(), 1 + usize::from(endpoint.previous_until.is_some()));
    let secret = signature::secret(&key, endpoint.account_id, endpoint.id, endpoint.generation);
    let verifier = standardwebhooks::Webhook::new(&secret).expect("a secret as Standard Webhooks has it");
    let signed = verifier.sign("msg", at.timestamp(), body.as_bytes()).expect("a signature");
    assert_eq!(signatures.split(' ').next(), Some(signed.as_str()));
}

/// Whatever parses is looked at within a moment, however it is nested.
pub fn guard(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(document) = parse_query(text) else { return };
    for (_, operation) in document.operations.iter() {
        drop(inspect(&document, Some(&operation.node), &Variables::default()));
    }
}
