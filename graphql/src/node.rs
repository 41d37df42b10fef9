//! Everything with an id, by its id alone.

use async_graphql::{Context, ID, Interface, Object, Result};

use super::accounts::Account;
use super::activity::Activity;
use super::api_keys::ApiKey;
use super::automations::Automation;
use super::bulk::BulkOperation;
use super::context::Ask;
use super::credit_types::CreditType;
use super::customers::Customer;
use super::enrolments::Enrolment;
use super::events::Event;
use super::grants::Grant;
use super::holds::Hold;
use super::jobs::Job;
use super::list::List;
use super::orders::Order;
use super::prices::Price;
use super::products::Product;
use super::runs::Run;
use super::sessions::CustomerSession;
use super::subscriptions::Subscription;
use super::triggers::Trigger;
use super::webhooks::{WebhookDelivery, WebhookEndpoint};
use domain::accounts::api_keys;
use domain::customers::sessions;
use domain::ground::page::MOST;
use domain::work::dead;
use domain::{Refusal, Role, Scope, automations, bulk, webhooks};

/// Something with an id that is unique over the whole server.
#[derive(Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "Opaque, and unique over the whole server."))]
pub enum Node {
    Account(Account),
    Customer(Customer),
    CreditType(CreditType),
    Grant(Grant),
    Activity(Activity),
    Hold(Hold),
    BulkOperation(BulkOperation),
    Job(Job),
    Event(Event),
    Product(Product),
    Price(Price),
    Order(Order),
    Subscription(Subscription),
    Trigger(Trigger),
    Automation(Automation),
    Enrolment(Enrolment),
    Run(Run),
    WebhookEndpoint(WebhookEndpoint),
    WebhookDelivery(WebhookDelivery),
    ApiKey(ApiKey),
    CustomerSession(CustomerSession),
}

#[derive(Default)]
pub struct NodeQuery;

#[Object]
impl NodeQuery {
    /// Anything by its id; null if there is no such thing for this caller.
    async fn node(&self, ctx: &Context<'_>, #[graphql(desc = "The id of anything.")] id: ID) -> Option<Result<Node>> {
        find(ctx, &id).await.transpose()
    }

    /// Many things by their ids, in the order of the ids, with null where there is none. At most 100.
    #[graphql(complexity = "ids.len().clamp(1, 100).saturating_mul(child_complexity.max(1))")]
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Ids of anything, at most 100.")] ids: Vec<ID>,
    ) -> Option<Result<List<Option<Node>>>> {
        let found = async {
            ctx.caller()?.authorise(Scope::OwnRead)?;
            if ids.len() as u64 > MOST {
                return Err(domain::Error::from(Refusal::invalid("ids", format!("At most {MOST} ids."))).into());
            }
            futures_util::future::try_join_all(ids.iter().map(|id| find(ctx, id))).await.map(List::from)
        };
        Some(found.await)
    }
}

async fn find(ctx: &Context<'_>, id: &ID) -> Result<Option<Node>> {
    let reads = ctx.reads(Scope::OwnRead).await?;
    if let Ok(id) = id.parse() {
        return Ok(reads.customers.get(id).await?.map(|row| Node::Customer(Customer(row))));
    }
    if let Ok(id) = id.parse() {
        // A customer learns of a credit type from its own credits only.
        if let Role::Customer(customer) = ctx.caller()?.role() {
            let own = reads.balances(customer).await?;
            if !own.iter().any(|balance| balance.credit_type == id) {
                return Ok(None);
            }
        }
        return Ok(reads.credit_types.get(id).await?.map(|row| Node::CreditType(CreditType(row))));
    }
    if let Ok(id) = id.parse() {
        return Ok(reads.grants.get(id).await?.map(|row| Node::Grant(Grant(row))));
    }
    if let Ok(id) = id.parse() {
        return Ok(reads.activities.get(id).await?.map(|row| Node::Activity(Activity::of(row))));
    }
    if let Ok(id) = id.parse() {
        return Ok(reads.holds.get(id).await?.map(|row| Node::Hold(Hold(row))));
    }
    if let Ok(id) = id.parse() {
        return Ok(reads.orders.get(id).await?.map(|row| Node::Order(Order(row))));
    }
    if let Ok(id) = id.parse() {
        return Ok(reads.subscriptions.get(id).await?.map(|row| Node::Subscription(Subscription(row))));
    }
    if let Ok(id) = id.parse() {
        let found = sessions::by_ids(reads.alone()?, &[id]).await?.remove(&id);
        return Ok(found.map(|row| Node::CustomerSession(CustomerSession(row))));
    }
    // What only staff works with is not there for a customer.
    if ctx.is_staff() {
        if let Ok(id) = id.parse() {
            return Ok(reads.products.get(id).await?.map(|row| Node::Product(Product(row))));
        }
        if let Ok(id) = id.parse() {
            return Ok(reads.prices.get(id).await?.map(|row| Node::Price(Price(row))));
        }
        if let Ok(id) = id.parse() {
            let found = bulk::by_ids(reads.alone()?, &[id]).await?.remove(&id);
            return Ok(found.map(|row| Node::BulkOperation(BulkOperation(row))));
        }
        if let Ok(id) = id.parse() {
            return Ok(dead::by_ids(reads.alone()?, &[id]).await?.remove(&id).map(|row| Node::Job(Job(row))));
        }
        if let Ok(id) = id.parse() {
            return Ok(reads.events.get(id).await?.map(|row| Node::Event(Event(row))));
        }
        if let Ok(id) = id.parse() {
            return Ok(reads.triggers.get(id).await?.map(|row| Node::Trigger(Trigger(row))));
        }
        if let Ok(id) = id.parse() {
            return Ok(reads.automations.get(id).await?.map(|row| Node::Automation(Automation(row))));
        }
        if let Ok(id) = id.parse() {
            let found = automations::enrolments::by_ids(reads.alone()?, &[id]).await?.remove(&id);
            return Ok(found.map(|row| Node::Enrolment(Enrolment(row))));
        }
        if let Ok(id) = id.parse() {
            let found = automations::runs::by_ids(reads.alone()?, &[id]).await?.remove(&id);
            return Ok(found.map(|row| Node::Run(Run(row))));
        }
    }
    // What only the owner works with is not there for staff.
    if ctx.caller()?.role().may(Scope::WebhooksWrite) {
        if let Ok(id) = id.parse() {
            let found = webhooks::endpoints::by_ids(reads.alone()?, &[id]).await?.remove(&id);
            return Ok(found.map(|row| Node::WebhookEndpoint(WebhookEndpoint(row))));
        }
        if let Ok(id) = id.parse() {
            let found = webhooks::deliveries::by_ids(reads.alone()?, &[id]).await?.remove(&id);
            return Ok(found.map(|row| Node::WebhookDelivery(WebhookDelivery(row))));
        }
    }
    if ctx.caller()?.role().may(Scope::KeysWrite)
        && let Ok(id) = id.parse()
    {
        return Ok(api_keys::by_ids(reads.alone()?, &[id]).await?.remove(&id).map(|row| Node::ApiKey(ApiKey(row))));
    }
    let account = reads.account();
    Ok(id.parse().is_ok_and(|id: entity::AccountId| id == account.id).then(|| Node::Account(Account(account.clone()))))
}
