//! Lists as Relay connections, with opaque cursors over keys.

use async_graphql::OutputType;
use async_graphql::connection::{Connection, Edge};
use data_encoding::BASE64URL_NOPAD;
use entity::{
    AccessEntryId, ApiKeyId, AutomationId, BulkOperationId, CreditTypeId, CustomerId, CustomerSessionId, EnrolmentId,
    EventId, GrantId, HoldId, JobId, OrderId, ProductId, RunId, SubscriptionId, TriggerId, WebhookDeliveryId,
    WebhookEndpointId,
};
use uuid::Uuid;

use domain::Refusal;
use domain::ground::clock::Instant;
use domain::ground::page::{MOST, Page, Slice, USUAL};
use domain::ledger::activity::Place;

/// A key that a list is sorted by, as text.
pub trait Cursor: Sized {
    /// The key as text.
    fn write(&self) -> String;
    /// The key of a text, if it is one.
    fn read(text: &str) -> Option<Self>;
}

macro_rules! id_cursors {
    ($($id:ty),+) => {$(
        impl Cursor for $id {
            fn write(&self) -> String {
                self.to_string()
            }

            fn read(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        }
    )+};
}

id_cursors!(CustomerId, CreditTypeId, GrantId, HoldId, EventId, JobId, BulkOperationId, Uuid, u32, i64);
id_cursors!(ProductId, OrderId, SubscriptionId, TriggerId, AutomationId, EnrolmentId, RunId);
id_cursors!(WebhookEndpointId, WebhookDeliveryId, ApiKeyId, CustomerSessionId, AccessEntryId);

impl Cursor for Place {
    fn write(&self) -> String {
        format!("{} {} {}", self.0.timestamp_micros(), self.1, self.2)
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ' ');
        let at = Instant::from_timestamp_micros(parts.next()?.parse().ok()?)?;
        Some((at, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }
}

/// The page that Relay's four arguments ask for.
pub fn page<C: Cursor>(
    first: Option<i32>,
    after: Option<&str>,
    last: Option<i32>,
    before: Option<&str>,
) -> Result<Page<C>, Refusal> {
    let read = |field: &str, cursor: Option<&str>| {
        let unreadable = || Refusal::invalid(field, "Is no cursor of this list. Use one that its edges answered.");
        cursor
            .map(|cursor| {
                let bytes = BASE64URL_NOPAD.decode(cursor.as_bytes()).map_err(|_| unreadable())?;
                let text = String::from_utf8(bytes).map_err(|_| unreadable())?;
                C::read(&text).ok_or_else(unreadable)
            })
            .transpose()
    };
    Page::new(first, read("after", after)?, last, read("before", before)?)
}

/// A page as a connection.
pub fn connection<T, C, N>(slice: Slice<T>, key: impl Fn(&T) -> C, node: impl Fn(T) -> N) -> Connection<String, N>
where
    C: Cursor,
    N: OutputType,
{
    let mut connection = Connection::new(slice.has_previous, slice.has_next);
    connection.edges.extend(slice.items.into_iter().map(|item| {
        let cursor = BASE64URL_NOPAD.encode(key(&item).write().as_bytes());
        Edge::new(cursor, node(item))
    }));
    connection
}

/// What a connection costs: its page size times what is in it.
#[must_use]
pub fn cost(first: Option<i32>, last: Option<i32>, inside: usize) -> usize {
    let size = first.or(last).and_then(|size| usize::try_from(size).ok());
    let size = size.unwrap_or(usize::try_from(USUAL).unwrap_or(usize::MAX));
    size.clamp(1, usize::try_from(MOST).unwrap_or(usize::MAX)).saturating_mul(inside.max(1)).saturating_add(1)
}
