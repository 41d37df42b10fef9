//! The shape of the API: types, fields and their texts, which are the manual. Rules are in `domain`.

mod access;
mod accounts;
mod actions;
mod activity;
mod answered;
mod api_keys;
mod automations;
mod balances;
pub mod batches;
mod bulk;
mod conditions;
pub mod context;
mod credit_status;
mod credit_types;
mod customer_changes;
mod customers;
mod enrolments;
mod error;
mod events;
mod expiration;
mod forms;
mod grants;
mod holds;
mod jobs;
mod ledger;
mod list;
pub mod live;
mod loaders;
mod node;
mod ordering;
mod orders;
pub mod own_answers;
pub mod page;
mod payload;
mod payments;
mod price_terms;
mod prices;
mod products;
mod purchases;
mod receipts;
mod reports;
mod runs;
mod scalars;
mod sessions;
mod settling;
mod steps;
mod subscription_changes;
mod subscriptions;
mod test_clock;
mod triggers;
mod webhook_changes;
mod webhooks;
mod why;

use async_graphql::extensions::ExtensionFactory;
use async_graphql::{MergedObject, Request, Response, SDLExportOptions, Schema, SchemaBuilder, ValidationMode};
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use page::Connection;

pub use error::{Masked, broke, cut, mask};

/// Everything that can be read. A query sees one snapshot: all of its answers are true at the same instant.
#[derive(MergedObject, Default)]
pub struct Query(
    node::NodeQuery,
    accounts::AccountQuery,
    customers::CustomerQuery,
    credit_types::CreditTypeQuery,
    activity::ActivityQuery,
    grants::GrantQuery,
    holds::HoldQuery,
    why::WhyQuery,
    jobs::JobQuery,
    events::EventQuery,
    bulk::BulkQuery,
    products::ProductQuery,
    forms::FormQuery,
    orders::OrderQuery,
    receipts::ReceiptQuery,
    subscriptions::SubscriptionQuery,
    reports::ReportQuery,
    triggers::TriggerQuery,
    automations::AutomationQuery,
    enrolments::EnrolmentQuery,
    webhooks::WebhookQuery,
    runs::RunQuery,
    api_keys::ApiKeyQuery,
    access::AccessQuery,
);

/// Everything that can be changed. A field that a rule refuses answers with `userErrors` and changes nothing.
#[derive(MergedObject, Default)]
pub struct Mutation(
    accounts::AccountMutation,
    customer_changes::CustomerMutation,
    credit_types::CreditTypeMutation,
    ledger::LedgerMutation,
    holds::HoldMutation,
    grants::GrantMutation,
    bulk::BulkMutation,
    test_clock::TestClockMutation,
    jobs::JobMutation,
    products::ProductMutation,
    prices::PriceMutation,
    ordering::OrderMutation,
    settling::SettlingMutation,
    subscription_changes::SubscriptionMutation,
    events::EventMutation,
    triggers::TriggerMutation,
    automations::AutomationMutation,
    enrolments::EnrolmentMutation,
    webhook_changes::WebhookMutation,
    api_keys::ApiKeyMutation,
    sessions::SessionMutation,
);

/// The schema. What runs a request is compiled here, once: whoever runs one gets a box, and compiles none of it again.
#[derive(Clone)]
pub struct ScripSchema(Schema<Query, Mutation, live::Live>);

impl ScripSchema {
    /// One that validates what it is given; an extension looks on, and decides whether it runs.
    #[must_use]
    pub fn validating(extension: impl ExtensionFactory) -> Self {
        Self::of(builder().extension(extension))
    }

    /// One that runs what the other has validated.
    #[must_use]
    pub fn trusting() -> Self {
        Self::of(builder().validation_mode(ValidationMode::Fast))
    }

    fn of(builder: SchemaBuilder<Query, Mutation, live::Live>) -> Self {
        Self(builder.finish())
    }

    /// Runs a query or a mutation.
    #[must_use]
    pub fn execute(&self, request: Request) -> BoxFuture<'_, Response> {
        Box::pin(self.0.execute(request))
    }

    /// Runs a subscription.
    #[must_use]
    pub fn execute_stream(&self, request: Request) -> BoxStream<'static, Response> {
        self.0.execute_stream(request)
    }
}

/// What a query may cost: each field counts one, a list its page size times what is in it.
pub const COMPLEXITY: usize = 20_000;
/// How deep a query may nest.
pub const DEPTH: usize = 15;

fn builder() -> SchemaBuilder<Query, Mutation, live::Live> {
    Schema::build(Query::default(), Mutation::default(), live::Live)
        .register_output_type::<node::Node>()
        .register_output_type::<payload::UserErrorInterface>()
        .override_output_type_description::<Connection<customers::Customer>>("A page of customers.")
        .override_output_type_description::<Connection<credit_types::CreditType>>("A page of credit types.")
        .override_output_type_description::<Connection<grants::Grant>>("A page of grants.")
        .override_output_type_description::<Connection<activity::Activity>>("A page of activity.")
        .override_output_type_description::<Connection<holds::Hold>>("A page of holds.")
        .override_output_type_description::<Connection<jobs::Job>>("A page of jobs.")
        .override_output_type_description::<Connection<events::Event>>("A page of events.")
        .override_output_type_description::<Connection<bulk::BulkOperation>>("A page of bulk operations.")
        .override_output_type_description::<Connection<bulk::BulkRefusal>>("A page of refusals.")
        .override_output_type_description::<Connection<why::GrantExplanation>>("A page of grants, explained.")
        .override_output_type_description::<Connection<products::Product>>("A page of products.")
        .override_output_type_description::<Connection<orders::Order>>("A page of orders.")
        .override_output_type_description::<Connection<subscriptions::Subscription>>("A page of subscriptions.")
        .override_output_type_description::<Connection<subscriptions::Renewal>>("A page of renewals.")
        .override_output_type_description::<Connection<triggers::Trigger>>("A page of triggers.")
        .override_output_type_description::<Connection<automations::Automation>>("A page of automations.")
        .override_output_type_description::<Connection<enrolments::Enrolment>>("A page of enrolments.")
        .override_output_type_description::<Connection<runs::Run>>("A page of runs.")
        .override_output_type_description::<Connection<webhooks::WebhookEndpoint>>("A page of webhook endpoints.")
        .override_output_type_description::<Connection<webhooks::WebhookDelivery>>("A page of webhook deliveries.")
        .override_output_type_description::<Connection<api_keys::ApiKey>>("A page of API keys.")
        .override_output_type_description::<Connection<sessions::CustomerSession>>("A page of sessions.")
        .override_output_type_description::<Connection<access::AccessEntry>>("A page of the access log.")
        .limit_complexity(COMPLEXITY)
        .limit_depth(DEPTH)
        .disable_suggestions()
}

/// The schema as text, as `schema.graphql` holds it.
#[must_use]
pub fn sdl() -> String {
    builder().finish().sdl_with_options(SDLExportOptions::new().include_specified_by())
}
