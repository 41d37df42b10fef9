//! Lists as Relay connections, with opaque cursors over keys.

use std::borrow::Cow;

use async_graphql::connection::PageInfo;
use async_graphql::{Object, OutputType, TypeName};
use data_encoding::BASE64URL_NOPAD;
use entity::{
    AccessEntryId, ApiKeyId, AutomationId, BulkOperationId, CreditTypeId, CustomerId, CustomerSessionId, EnrolmentId,
    EventId, GrantId, HoldId, JobId, OrderId, ProductId, RunId, SubscriptionId, TriggerId, WebhookDeliveryId,
    WebhookEndpointId,
};
use uuid::Uuid;

use super::list::List;
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

/// A page of a list.
pub struct Connection<N> {
    edges: Vec<Edge<N>>,
    has_previous: bool,
    has_next: bool,
}

impl<N> Default for Connection<N> {
    /// One with nothing on it, before or after it.
    fn default() -> Self {
        Self { edges: Vec::new(), has_previous: false, has_next: false }
    }
}

/// An item of a page, and where it is.
pub struct Edge<N> {
    node: N,
    cursor: String,
}

impl<N: OutputType> TypeName for Connection<N> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Connection", N::type_name()).into()
    }
}

impl<N: OutputType> TypeName for Edge<N> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Edge", N::type_name()).into()
    }
}

#[Object(name_type, shareable)]
impl<N: OutputType> Connection<N> {
    /// Information to aid in pagination.
    fn page_info(&self) -> PageInfo {
        PageInfo {
            has_previous_page: self.has_previous,
            has_next_page: self.has_next,
            start_cursor: self.edges.first().map(|edge| edge.cursor.clone()),
            end_cursor: self.edges.last().map(|edge| edge.cursor.clone()),
        }
    }

    /// A list of edges.
    fn edges(&self) -> List<&Edge<N>> {
        self.edges.iter().collect()
    }

    /// A list of nodes.
    fn nodes(&self) -> List<&N> {
        self.edges.iter().map(|edge| &edge.node).collect()
    }
}

/// An edge in a connection.
#[Object(name_type, shareable)]
impl<N: OutputType> Edge<N> {
    /// The item at the end of the edge
    fn node(&self) -> &N {
        &self.node
    }

    /// A cursor for use in pagination
    fn cursor(&self) -> &str {
        &self.cursor
    }
}

/// A page as a connection.
pub fn connection<T, C: Cursor, N>(slice: Slice<T>, key: impl Fn(&T) -> C, node: impl Fn(T) -> N) -> Connection<N> {
    let edge = |item| {
        let cursor = BASE64URL_NOPAD.encode(key(&item).write().as_bytes());
        Edge { node: node(item), cursor }
    };
    let edges = slice.items.into_iter().map(edge).collect();
    Connection { edges, has_previous: slice.has_previous, has_next: slice.has_next }
}

/// What a connection costs: its page size times what is in it.
#[must_use]
pub fn cost(first: Option<i32>, last: Option<i32>, inside: usize) -> usize {
    let size = first.or(last).and_then(|size| usize::try_from(size).ok());
    let size = size.unwrap_or(usize::try_from(USUAL).unwrap_or(usize::MAX));
    size.clamp(1, usize::try_from(MOST).unwrap_or(usize::MAX)).saturating_mul(inside.max(1)).saturating_add(1)
}
