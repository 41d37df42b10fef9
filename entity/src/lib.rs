//! Tables as types: one file per table, typed ids, and the door to an account's rows.
//!
//! This crate knows the shape of what is stored and nothing of what it means.
#![expect(
    clippy::disallowed_methods,
    reason = "SeaORM's macro writes `find` and `begin` into every entity; nothing here calls them"
)]

pub mod access_entry;
pub mod account;
pub mod activity;
pub mod allocation;
pub mod api_key;
mod arrays;
pub mod automation;
pub mod automation_version;
pub mod bulk_operation;
pub mod bulk_refusal;
pub mod credit_grant;
pub mod credit_type;
pub mod customer;
pub mod customer_session;
pub mod customer_tag;
pub mod customer_term;
pub mod enrolment;
pub mod event;
pub mod event_trigger;
mod expiration;
pub mod fulfilment;
pub mod hold;
mod ids;
pub mod job;
pub mod order_counter;
pub mod order_line;
mod owned;
pub mod payment;
pub mod price;
pub mod product;
pub mod product_order;
pub mod refund;
pub mod renewal;
pub mod request;
pub mod run;
pub mod subscription;
mod units;
pub mod wallet;
pub mod webhook_delivery;
pub mod webhook_endpoint;

pub use arrays::{array, is_null};
pub use expiration::{Anchor, Expiration, ExpirationKind, PeriodUnit};
pub use ids::{
    AccessEntryId, AccountId, ActivityId, ApiKeyId, AutomationId, BulkOperationId, CreditTypeId, CustomerId,
    CustomerSessionId, EnrolmentId, EventId, GrantId, HoldId, JobId, MalformedId, OrderId, PaymentId, PriceId,
    ProductId, RefundId, RunId, SubscriptionId, TriggerId, WebhookDeliveryId, WebhookEndpointId, is_id,
};
pub use owned::{CustomerOwned, Owned, among};
pub use units::{Credits, Minor};
