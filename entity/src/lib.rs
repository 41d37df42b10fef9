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
pub mod fulfilment;
mod heart;
pub mod hold;
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
pub mod wallet;
pub mod webhook_delivery;
pub mod webhook_endpoint;

pub use arrays::{array, is_null};
pub use heart::converted;
pub use ledger::{
    AccessEntryId, AccountId, ActivityId, Anchor, ApiKeyId, AutomationId, BulkOperationId, CreditTypeId, Credits,
    CustomerId, CustomerSessionId, EnrolmentId, EventId, Expiration, ExpirationKind, GrantId, HoldId, JobId,
    MalformedId, Minor, OrderId, PaymentId, PeriodUnit, PriceId, ProductId, RefundId, RunId, SubscriptionId, TriggerId,
    WebhookDeliveryId, WebhookEndpointId, is_id,
};
pub use owned::{CustomerOwned, Owned, among};
