//! Customers: the people who buy and use credits.

mod erase;
pub mod export;
mod find;
pub mod sessions;
mod terms;

pub use erase::{NOBODY, erase};
pub use find::{Search, by_email, by_external_id, by_ids, search, tags};

use entity::customer::{ActiveModel, Column, Entity, Model};
use entity::{CustomerId, CustomerOwned, customer_tag};
use sea_orm::sea_query::{LockType, OnConflict};
use sea_orm::{ActiveModelTrait, ColumnTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect, Set};
use serde_json::Value;

use crate::ground::clock::fresh_id;
use crate::ground::error::{Error, Refusal, Result, is_taken};
use crate::ground::input;
use crate::ground::scope::Scope;
use crate::identity::caller::{Caller, transact};
use crate::queue::events::Fact;
use crate::storage::tx::Tx;

/// Someone who is about to become a customer.
#[derive(Clone, Debug, Default)]
pub struct NewCustomer {
    pub name: String,
    pub email: Option<String>,
    pub external_id: Option<String>,
    pub locale: Option<String>,
    pub tags: Vec<String>,
    pub metadata: Option<Value>,
}

/// What staff changes; what is left out stays, and `Some(None)` clears.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    pub name: Option<String>,
    pub email: Option<Option<String>>,
    pub external_id: Option<Option<String>>,
    pub locale: Option<Option<String>>,
    pub tags: Option<Vec<String>>,
    pub metadata: Option<Value>,
}

/// Creates a customer.
pub async fn create(caller: &Caller, new: NewCustomer) -> Result<Model> {
    caller.authorise(Scope::CustomersWrite)?;
    let name = input::text("name", &new.name, input::NAME)?;
    let email = email(new.email)?;
    let external_id = input::optional_text("externalId", new.external_id.as_deref(), input::NAME)?;
    let locale = locale(new.locale)?;
    let tags = input::tags("tags", &new.tags)?;
    let metadata = new.metadata.map(|json| input::metadata("metadata", json)).transpose()?;
    transact!(caller, Scope::CustomersWrite, |tx| {
        let customer = Model {
            account_id: tx.account.id,
            id: CustomerId(fresh_id()),
            name: name.clone(),
            email: email.clone(),
            external_id: external_id.clone(),
            locale: locale.clone(),
            metadata: metadata.clone().unwrap_or_else(|| serde_json::json!({})),
            archived_at: None,
            erased_at: None,
            created_at: tx.now,
            updated_at: tx.now,
        };
        let customer = customer.into_active_model().insert(tx.db()).await.map_err(refuse_taken)?;
        terms::write(tx, &customer).await?;
        tell(tx, "customer.created", customer.id, &tags);
        set_tags(tx, customer.id, tags.clone()).await?;
        Ok(customer)
    })
}

/// The customer with a buyer's address, made if there is none; one that is there stays as it is. Locked.
pub(super) async fn of_buyer(tx: &Tx, name: &str, email: &str) -> Result<Model> {
    let find = || {
        let found = tx.rows::<Entity>().filter(Column::Email.eq(email));
        found.lock(LockType::NoKeyUpdate).one(tx.db())
    };
    if let Some(found) = find().await? {
        return Ok(found);
    }
    let new = Model {
        account_id: tx.account.id,
        id: CustomerId(fresh_id()),
        name: name.to_owned(),
        email: Some(email.to_owned()),
        external_id: None,
        locale: None,
        metadata: serde_json::json!({}),
        archived_at: None,
        erased_at: None,
        created_at: tx.now,
        updated_at: tx.now,
    };
    // Somebody else may be making the same one.
    let known = OnConflict::columns([Column::AccountId, Column::Email]).do_nothing().to_owned();
    Entity::insert_many([new.clone().into_active_model()]).on_conflict(known).exec_without_returning(tx.db()).await?;
    let found = find().await?.ok_or_else(|| Error::Internal("a customer that was just made is gone".to_owned()))?;
    if found.id == new.id {
        terms::write(tx, &found).await?;
        tell(tx, "customer.created", found.id, &[]);
    }
    Ok(found)
}

/// Changes a customer.
pub async fn update(caller: &Caller, id: CustomerId, changes: Changes) -> Result<Model> {
    transact!(caller, Scope::CustomersWrite, |tx| {
        let changes = changes.clone();
        let before = living(tx, id).await?;
        let mut customer: ActiveModel = before.into_active_model();
        if let Some(name) = changes.name {
            customer.name = Set(input::text("name", &name, input::NAME)?);
        }
        if let Some(address) = changes.email {
            customer.email = Set(email(address)?);
        }
        if let Some(external_id) = changes.external_id {
            customer.external_id = Set(input::optional_text("externalId", external_id.as_deref(), input::NAME)?);
        }
        if let Some(tag) = changes.locale {
            customer.locale = Set(locale(tag)?);
        }
        if let Some(metadata) = changes.metadata {
            customer.metadata = Set(input::metadata("metadata", metadata)?);
        }
        customer.updated_at = Set(tx.now);
        let customer = customer.update(tx.db()).await.map_err(refuse_taken)?;
        terms::write(tx, &customer).await?;
        if let Some(tags) = changes.tags {
            set_tags(tx, id, input::tags("tags", &tags)?).await?;
        }
        Ok(customer)
    })
}

/// Archives a customer, who then gets no more credits, or brings one back. Doing it twice changes nothing.
pub async fn archive(caller: &Caller, id: CustomerId, archived: bool) -> Result<Model> {
    transact!(caller, Scope::CustomersWrite, |tx| {
        let customer = living(tx, id).await?;
        if customer.archived_at.is_some() == archived {
            return Ok(customer);
        }
        let mut changed: ActiveModel = customer.into_active_model();
        changed.archived_at = Set(archived.then_some(tx.now));
        changed.updated_at = Set(tx.now);
        let changed = changed.update(tx.db()).await?;
        Ok(changed)
    })
}

/// Puts tags on a customer, beside those that it has.
pub async fn tag(caller: &Caller, id: CustomerId, tags: &[String]) -> Result<Model> {
    let tags = input::tags("tags", tags)?;
    transact!(caller, Scope::CustomersWrite, |tx| {
        let customer = tag_in(tx, id, &tags).await?;
        Ok(customer)
    })
}

/// Takes tags off a customer.
pub async fn untag(caller: &Caller, id: CustomerId, tags: &[String]) -> Result<Model> {
    let tags = input::tags("tags", tags)?;
    transact!(caller, Scope::CustomersWrite, |tx| {
        let customer = untag_in(tx, id, &tags).await?;
        Ok(customer)
    })
}

/// Puts tags on a customer, within an open transaction.
pub(super) async fn tag_in(tx: &Tx, id: CustomerId, tags: &[String]) -> Result<Model> {
    let customer = living(tx, id).await?;
    let mut wanted = tags_of(tx, id).await?;
    wanted.extend(tags.iter().cloned());
    set_tags(tx, id, input::tags("tags", &wanted)?).await?;
    Ok(customer)
}

/// Takes tags off a customer, within an open transaction.
pub(super) async fn untag_in(tx: &Tx, id: CustomerId, tags: &[String]) -> Result<Model> {
    let customer = load(tx, id, "id").await?;
    let left = tags_of(tx, id).await?.into_iter().filter(|tag| !tags.contains(tag)).collect();
    set_tags(tx, id, left).await?;
    Ok(customer)
}

async fn tags_of(tx: &Tx, id: CustomerId) -> Result<Vec<String>> {
    let rows = customer_tag::Entity::of_customer(tx.account.id, id).all(tx.db()).await?;
    Ok(rows.into_iter().map(|row| row.tag).collect())
}

/// A customer of the account that an input names, locked: two changes of one customer come after one another.
/// The lock leaves its key free, so that the ledger's foreign keys do not wait for it.
async fn load(tx: &Tx, id: CustomerId, field: &str) -> Result<Model> {
    let found = Entity::of_customer(tx.account.id, id).lock(LockType::NoKeyUpdate).one(tx.db()).await?;
    found.ok_or_else(|| Refusal::not_found(field, "customer").into())
}

/// A customer about whom something is written: it is not erased before the transaction ends. None that was erased.
pub(super) async fn about(tx: &Tx, id: CustomerId, field: &str) -> Result<Model> {
    let found = Entity::of_customer(tx.account.id, id).lock(LockType::KeyShare).one(tx.db()).await?;
    not_erased(found.ok_or_else(|| Refusal::not_found(field, "customer"))?, field)
}

/// Refuses to write about who was erased.
pub(super) fn not_erased(customer: Model, field: &str) -> Result<Model> {
    if customer.erased_at.is_some() {
        return Err(Refusal::invalid(field, "This customer was erased: nothing more is written about it.").into());
    }
    Ok(customer)
}

/// What is said about what a customer bought; nothing where it was erased, or is before the transaction ends.
pub(super) async fn said_of(tx: &Tx, id: CustomerId, words: Option<String>) -> Result<Option<String>> {
    if words.is_none() {
        return Ok(None);
    }
    let found = Entity::of_customer(tx.account.id, id).lock(LockType::KeyShare).one(tx.db()).await?;
    Ok(words.filter(|_| found.is_some_and(|customer| customer.erased_at.is_none())))
}

/// A customer that an input names and that was not erased, locked likewise.
async fn living(tx: &Tx, id: CustomerId) -> Result<Model> {
    let customer = load(tx, id, "id").await?;
    if customer.erased_at.is_some() {
        return Err(Refusal::invalid("id", "This customer was erased, for good. Create a new one.").into());
    }
    Ok(customer)
}

/// Gives a customer these tags and no others, and tells of the difference.
async fn set_tags(tx: &Tx, customer: CustomerId, tags: Vec<String>) -> Result<()> {
    let account = tx.account.id;
    let had = tags_of(tx, customer).await?;
    let added = tags.iter().filter(|tag| !had.contains(tag)).cloned().collect::<Vec<_>>();
    let gone = had.into_iter().filter(|tag| !tags.contains(tag)).collect::<Vec<_>>();
    if !gone.is_empty() {
        customer_tag::Entity::delete_many()
            .filter(customer_tag::Column::AccountId.eq(account))
            .filter(customer_tag::Column::CustomerId.eq(customer))
            .filter(customer_tag::Column::Tag.is_in(&gone))
            .exec(tx.db())
            .await?;
        tell(tx, "customer.untagged", customer, &gone);
    }
    if !added.is_empty() {
        let row = |tag: &String| customer_tag::Model { account_id: account, customer_id: customer, tag: tag.clone() };
        let rows = added.iter().map(|tag| row(tag).into_active_model());
        customer_tag::Entity::insert_many(rows).exec_without_returning(tx.db()).await?;
        tell(tx, "customer.tagged", customer, &added);
    }
    Ok(())
}

/// Says what happened to a customer.
fn tell(tx: &Tx, name: &'static str, customer: CustomerId, tags: &[String]) {
    let payload = serde_json::json!({ "customerId": customer, "tags": tags });
    tx.emit(Fact { name, customer: Some(customer), subject: customer.0, payload });
}

fn email(value: Option<String>) -> Result<Option<String>, Refusal> {
    value.filter(|value| !value.trim().is_empty()).map(|value| input::email("email", &value)).transpose()
}

fn locale(value: Option<String>) -> Result<Option<String>, Refusal> {
    value.filter(|value| !value.trim().is_empty()).map(|value| input::locale("locale", &value)).transpose()
}

/// The database's own word on what is unique, race or no race.
fn refuse_taken(error: DbErr) -> Error {
    for (column, field, what) in [("email", "email", "e-mail address"), ("external_id", "externalId", "external id")] {
        if is_taken(&error, "customer", column) {
            return Refusal::Taken { field: field.to_owned(), what: what.to_owned() }.into();
        }
    }
    error.into()
}
