//! What the server itself tells of (pure): the names of its events, and what each says. The payloads are typed by this
//! list, and a test holds every event that is written against it.

/// Which values a property takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A prefixed id.
    Id,
    /// Characters.
    Text,
    /// A whole number.
    Whole,
    /// An instant in UTC (RFC 3339).
    Instant,
    /// Several values.
    List,
    /// Several values with names.
    Object,
}

impl Kind {
    /// As a sentence says it.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Id => "an id",
            Self::Text => "a text",
            Self::Whole => "a whole number",
            Self::Instant => "an instant",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }
}

/// One thing that an event says.
#[derive(Clone, Copy, Debug)]
pub struct Property {
    pub name: &'static str,
    pub kind: Kind,
    /// Whether it may be null.
    pub optional: bool,
}

const fn is(name: &'static str, kind: Kind) -> Property {
    Property { name, kind, optional: false }
}

const fn may_be(name: &'static str, kind: Kind) -> Property {
    Property { name, kind, optional: true }
}

/// An event that the server tells of by itself.
#[derive(Clone, Copy, Debug)]
pub struct EventType {
    pub name: &'static str,
    /// When it happens.
    pub about: &'static str,
    /// The version of its payload.
    pub version: i16,
    pub properties: &'static [Property],
    /// Whether it is about a customer, and can lead to something for that customer.
    pub of_customer: bool,
}

const fn event(name: &'static str, about: &'static str, properties: &'static [Property]) -> EventType {
    EventType { name, about, version: 1, properties, of_customer: true }
}

const ACTIVITY: &[Property] = &[
    is("activityId", Kind::Id),
    is("creditTypeId", Kind::Id),
    is("amount", Kind::Whole),
    is("heldAmount", Kind::Whole),
    is("balanceAfter", Kind::Whole),
    may_be("holdId", Kind::Id),
    may_be("reversesId", Kind::Id),
];
const EXPIRING: &[Property] = &[
    is("creditTypeId", Kind::Id),
    is("days", Kind::Whole),
    is("amount", Kind::Whole),
    is("expiresAt", Kind::Instant),
    is("grants", Kind::List),
];
const BALANCE: &[Property] = &[
    is("creditTypeId", Kind::Id),
    is("threshold", Kind::Whole),
    is("before", Kind::Whole),
    is("available", Kind::Whole),
    is("grants", Kind::List),
];
const ORDER: &[Property] = &[
    is("orderId", Kind::Id),
    is("number", Kind::Whole),
    is("status", Kind::Text),
    may_be("currency", Kind::Text),
    is("total", Kind::Whole),
    is("refunded", Kind::Whole),
    may_be("subscriptionId", Kind::Id),
    may_be("renewalNumber", Kind::Whole),
];
const SUBSCRIPTION: &[Property] = &[
    is("subscriptionId", Kind::Id),
    is("status", Kind::Text),
    is("priceId", Kind::Id),
    is("nextNumber", Kind::Whole),
    may_be("nextAt", Kind::Instant),
    may_be("reason", Kind::Text),
];
const CUSTOMER: &[Property] = &[is("customerId", Kind::Id), is("tags", Kind::List)];
const ENDPOINT: &[Property] = &[is("webhookEndpointId", Kind::Id), may_be("reason", Kind::Text)];
const STEP: &[Property] = &[
    is("automationId", Kind::Id),
    is("enrolmentId", Kind::Id),
    is("step", Kind::Whole),
    may_be("facts", Kind::Object),
];

const LIMITED: &[Property] =
    &[is("triggerId", Kind::Id), is("eventId", Kind::Id), is("originEventId", Kind::Id), is("runs", Kind::Whole)];

/// All of them, by name.
pub const BUILT_IN: &[EventType] = &[
    event("automation.webhook", "A step of an automation calls a webhook.", STEP),
    event("balance.low", "The available credits of a type fell to its `lowBalanceAt` or below.", BALANCE),
    event("balance.recovered", "The available credits of a type rose above its `lowBalanceAt` again.", BALANCE),
    event("credits.captured", "Held credits were used.", ACTIVITY),
    event("credits.consumed", "Credits were used.", ACTIVITY),
    event("credits.expired", "Credits ended unused.", ACTIVITY),
    event("credits.expiring_soon", "Credits end in one of the type's `expiryNoticeDays`.", EXPIRING),
    event("credits.extended", "Credits got a later end.", ACTIVITY),
    event("credits.frozen", "Free credits cannot be used: their payment is disputed.", ACTIVITY),
    event("credits.held", "Credits were set aside.", ACTIVITY),
    event("credits.issued", "Credits were issued.", ACTIVITY),
    event("credits.lapsed", "A hold ended by itself, and its credits went back.", ACTIVITY),
    event("credits.reinstated", "Credits that had been taken away were given back.", ACTIVITY),
    event("credits.released", "Held credits went back.", ACTIVITY),
    event("credits.repriced", "Cost was taken off credits that stay where they are, or put back.", ACTIVITY),
    event("credits.reversed", "Used credits were given back.", ACTIVITY),
    event("credits.revived", "Ended credits came back with a later end.", ACTIVITY),
    event("credits.thawed", "Credits whose payment was disputed can be used again.", ACTIVITY),
    event("credits.transferred_in", "Credits came from another customer, or to a new grant.", ACTIVITY),
    event("credits.transferred_out", "Credits went to another customer, or to a new grant.", ACTIVITY),
    event("credits.voided", "Credits were taken away.", ACTIVITY),
    event("customer.created", "A customer was created.", CUSTOMER),
    event("customer.erased", "All that said who a customer was is blank now.", CUSTOMER),
    event("customer.tagged", "Tags were put on a customer; `tags` are the new ones.", CUSTOMER),
    event("customer.untagged", "Tags were taken off a customer; `tags` are those.", CUSTOMER),
    event("order.cancelled", "An order was cancelled.", ORDER),
    event("order.charged_back", "A payment is gone: its dispute was lost.", ORDER),
    event("order.dispute_ended", "A payment that was disputed stands after all.", ORDER),
    event("order.disputed", "A payment was disputed.", ORDER),
    event("order.fulfilled", "What an order could not give when it was paid was given later.", ORDER),
    event("order.paid", "An order was paid, and gave what it gives.", ORDER),
    event("order.paid_again", "An order that was paid was paid once more.", ORDER),
    event("order.partly_paid", "A part of an order was paid.", ORDER),
    event("order.payment_failed", "A payment failed.", ORDER),
    event("order.placed", "An order was placed.", ORDER),
    event("order.refund_failed", "A provider refused a refund.", ORDER),
    event("order.refunded", "An order was refunded, all of it or a part.", ORDER),
    event("order.unfulfilled", "An order was paid that could not give all that it is to give.", ORDER),
    event("price.over", "A subscription ended: what its price gives would end before it begins.", SUBSCRIPTION),
    event("subscription.cancelled", "A subscription ended.", SUBSCRIPTION),
    event("subscription.paused", "A subscription was paused.", SUBSCRIPTION),
    event("subscription.renewal_failed", "A period was not paid in time.", SUBSCRIPTION),
    event("subscription.renewed", "A further period was paid.", SUBSCRIPTION),
    event("subscription.resumed", "A paused subscription goes on.", SUBSCRIPTION),
    event("subscription.started", "A subscription's first period was paid.", SUBSCRIPTION),
    event(
        "trigger.limited",
        "More would have come of one event than may: a trigger did nothing more about it.",
        LIMITED,
    ),
    EventType {
        of_customer: false,
        ..event("webhook.disabled", "A webhook endpoint failed for too long, or said that it is gone.", ENDPOINT)
    },
    EventType { of_customer: false, ..event("webhook.tested", "Somebody asked for a test delivery.", ENDPOINT) },
];

/// What the names of the server's own events begin with.
const PREFIXES: &[&str] =
    &["automation.", "balance.", "credits.", "customer.", "order.", "price.", "subscription.", "trigger.", "webhook."];

/// The built-in event of a name.
#[must_use]
pub fn built_in(name: &str) -> Option<&'static EventType> {
    BUILT_IN.binary_search_by(|event| event.name.cmp(name)).ok().map(|at| &BUILT_IN[at])
}

/// Whether a name belongs to the server.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a name is one that the business may use: `[a-z][a-z0-9_.]{0,63}`, outside the server's own.
#[must_use]
pub fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'.')
}

/// Whether a filter is a name, `begin.*`, or `*`.
#[must_use]
pub fn is_filter(filter: &str) -> bool {
    filter == "*" || is_name(filter.strip_suffix(".*").unwrap_or(filter))
}

/// Whether a filter lets a name through.
#[must_use]
pub fn lets_through(filter: &str, name: &str) -> bool {
    match filter.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => filter == name,
    }
}

/// Whether any of the filters lets a name through.
#[must_use]
pub fn passes(filters: &[String], name: &str) -> bool {
    filters.iter().any(|filter| lets_through(filter, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_its_names_are_reserved() {
        assert!(BUILT_IN.windows(2).all(|two| two[0].name < two[1].name));
        assert!(
            BUILT_IN
                .iter()
                .all(|event| is_reserved(event.name) && is_name(event.name) && built_in(event.name).is_some())
        );
    }

    #[test]
    fn filters_let_through_what_they_name() {
        let filters = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert!(passes(&filters(&["*"]), "form.submitted"));
        assert!(passes(&filters(&["credits.*"]), "credits.issued"));
        assert!(!passes(&filters(&["credits.*"]), "credits_issued"));
        assert!(!passes(&filters(&["credits.issued"]), "credits.issued_twice"));
        assert!(!passes(&[], "credits.issued"));
        assert!(is_filter("credits.*") && is_filter("*") && !is_filter("*.paid") && !is_filter("Credits"));
    }
}
