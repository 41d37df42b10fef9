//! Forgetting a person: what says who a customer was becomes blank, what was counted stays.

use entity::customer::{ActiveModel, Model};
use entity::{
    CustomerId, CustomerOwned, customer_tag, enrolment, event, job, payment, product_order, refund, subscription,
};
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect, Set};

use super::{Entity, sessions, tell, terms};
use crate::ground::error::{Refusal, Result};
use crate::ground::scope::Scope;
use crate::identity::caller::{Caller, transact};
use crate::ledger;
use crate::queue::jobs;
use crate::storage::tx::Tx;

/// Ids of one statement.
const IDS: usize = 900;
/// What stands where the name was.
pub const NOBODY: &str = "(erased)";

/// Blanks a customer for good: name, addresses, tags, metadata, notes, what events said, what order forms were told; ends
/// its sessions and walks, and archives it. Its credits, activities and orders stay as numbers, and the ledger still
/// verifies. Doing it again blanks what was said since.
pub async fn erase(caller: &Caller, id: CustomerId) -> Result<Model> {
    let erased = transact!(caller, Scope::CustomersErase, |tx| {
        // Whoever is writing about it ends first; whoever comes now waits, and finds it erased.
        let found = Entity::of_customer(tx.account.id, id).lock_exclusive().one(tx.db()).await?;
        let customer = found.ok_or_else(|| Refusal::not_found("id", "customer"))?;
        let again = customer.erased_at;
        if let Some(running) = running_subscription(tx, id).await? {
            let message = format!("Its subscription {running} still runs and would be charged. Cancel it first.");
            return Err(Refusal::invalid("id", message).into());
        }
        let mut erased: ActiveModel = customer.into_active_model();
        erased.name = Set(NOBODY.to_owned());
        (erased.email, erased.external_id, erased.locale) = (Set(None), Set(None), Set(None));
        erased.metadata = Set(serde_json::json!({}));
        if again.is_none() {
            (erased.archived_at, erased.erased_at, erased.updated_at) =
                (Set(Some(tx.now)), Set(Some(tx.now)), Set(tx.now));
        }
        let erased = erased.update(tx.db()).await?;
        terms::write(tx, &erased).await?;
        let tags = customer_tag::Entity::delete_many().filter(customer_tag::Column::AccountId.eq(tx.account.id));
        tags.filter(customer_tag::Column::CustomerId.eq(id)).exec(tx.db()).await?;
        sessions::forget(tx, id).await?;
        end_walks(tx, id).await?;
        blank_purchases(tx, id).await?;
        ledger::erase::notes(tx, id).await?;
        blank_events(tx, id).await?;
        if again.is_none() {
            tell(tx, "customer.erased", id, &[]);
        }
        Ok(erased)
    })?;
    if let Err(error) = caller.app().store().forget_overwritten().await {
        tracing::warn!(%error, "what was erased stays in the log of changes until its next checkpoint");
    }
    Ok(erased)
}

/// A subscription that has not ended.
async fn running_subscription(tx: &Tx, id: CustomerId) -> Result<Option<entity::SubscriptionId>> {
    use subscription::{Column, Entity};
    let found = tx.rows::<Entity>().filter(Column::CustomerId.eq(id)).filter(Column::EndedAt.is_null());
    Ok(found.one(tx.db()).await?.map(|running| running.id))
}

/// What walks automations walks no further, and forgets what it began with.
async fn end_walks(tx: &Tx, id: CustomerId) -> Result<()> {
    use enrolment::{Column, Entity, Status};
    let walking = tx.rows::<Entity>().filter(Column::CustomerId.eq(id)).filter(Column::Active.eq(true));
    let walking = walking.all(tx.db()).await?;
    Entity::update_many()
        .col_expr(Column::Status, Expr::value(Status::Done))
        .col_expr(Column::Active, Expr::value(false))
        .col_expr(Column::WakeAt, Expr::value(Option::<crate::ground::clock::Instant>::None))
        .col_expr(Column::EndedAt, Expr::value(tx.now))
        .filter(Column::AccountId.eq(tx.account.id))
        .filter(Column::CustomerId.eq(id))
        .filter(Column::Active.eq(true))
        .exec(tx.db())
        .await?;
    Entity::update_many()
        .col_expr(Column::Facts, Expr::value(serde_json::json!({})))
        .col_expr(Column::Reason, Expr::value(Option::<String>::None))
        .filter(Column::AccountId.eq(tx.account.id))
        .filter(Column::CustomerId.eq(id))
        .exec(tx.db())
        .await?;
    let over = walking.iter().map(|walk| (walk.id.to_string(), None)).collect();
    Ok(jobs::reschedule(tx.db(), &tx.account, job::Kind::Walk, over).await?)
}

/// What orders and subscriptions know beside what was bought.
async fn blank_purchases(tx: &Tx, id: CustomerId) -> Result<()> {
    use product_order::{Column, Entity};
    Entity::update_many()
        .col_expr(Column::BuyerName, Expr::value(Option::<String>::None))
        .col_expr(Column::BuyerEmail, Expr::value(Option::<String>::None))
        .col_expr(Column::Stranger, Expr::value(Option::<Vec<u8>>::None))
        .col_expr(Column::Note, Expr::value(Option::<String>::None))
        .col_expr(Column::Reason, Expr::value(Option::<String>::None))
        .col_expr(Column::Metadata, Expr::value(serde_json::json!({})))
        .filter(Column::AccountId.eq(tx.account.id))
        .filter(Column::CustomerId.eq(id))
        .exec(tx.db())
        .await?;
    let orders = tx.rows::<Entity>().filter(Column::CustomerId.eq(id)).all(tx.db()).await?;
    for orders in orders.chunks(IDS) {
        let orders = || orders.iter().map(|order| order.id);
        payment::Entity::update_many()
            .col_expr(payment::Column::Method, Expr::value(Option::<String>::None))
            .col_expr(payment::Column::ActionUrl, Expr::value(Option::<String>::None))
            .col_expr(payment::Column::Failure, Expr::value(Option::<String>::None))
            .filter(payment::Column::AccountId.eq(tx.account.id))
            .filter(payment::Column::OrderId.is_in(orders()))
            .exec(tx.db())
            .await?;
        refund::Entity::update_many()
            .col_expr(refund::Column::Reason, Expr::value(NOBODY))
            .col_expr(refund::Column::Failure, Expr::value(Option::<String>::None))
            .filter(refund::Column::AccountId.eq(tx.account.id))
            .filter(refund::Column::OrderId.is_in(orders()))
            .exec(tx.db())
            .await?;
    }
    subscription::Entity::update_many()
        .col_expr(subscription::Column::PaymentMethod, Expr::value(Option::<String>::None))
        .col_expr(subscription::Column::Reason, Expr::value(Option::<String>::None))
        .filter(subscription::Column::AccountId.eq(tx.account.id))
        .filter(subscription::Column::CustomerId.eq(id))
        .exec(tx.db())
        .await?;
    Ok(())
}

/// What was said of it.
async fn blank_events(tx: &Tx, id: CustomerId) -> Result<()> {
    use event::{Column, Entity};
    Entity::update_many()
        .col_expr(Column::Payload, Expr::value(serde_json::json!({})))
        .filter(Column::AccountId.eq(tx.account.id))
        .filter(Column::CustomerId.eq(id))
        .exec(tx.db())
        .await?;
    Ok(())
}
