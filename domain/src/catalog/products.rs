//! Products: what an order form offers. A draft until it has what it is sold with.

use std::collections::HashMap;

use entity::product::{ActiveModel, Column, Entity, Kind, Model, Status};
use entity::{CreditTypeId, Credits, Expiration, Owned, ProductId, credit_type, price};
use sea_orm::{ActiveModelTrait, ColumnTrait, DbErr, IntoActiveModel, QueryFilter, QuerySelect, Set};
use serde_json::Value;

use super::credit_types::{check_future, check_policy};
use crate::ground::clock::fresh_id;
use crate::ground::error::{Error, Refusal, Result, is_taken};
use crate::ground::input;
use crate::ground::page::{Page, Slice};
use crate::ground::refusal::sale::Sale;
use crate::ground::scope::Scope;
use crate::identity::caller::{Caller, transact};
use crate::storage::tx::{Tx, View};

/// A product that is about to be.
#[derive(Clone, Debug)]
pub struct NewProduct {
    pub kind: Kind,
    pub slug: String,
    pub name: String,
    pub description: Option<String>,
    pub image_url: Option<String>,
    pub thank_you: Option<String>,
    pub redirect_url: Option<String>,
    /// Of a credit product: what it issues, and how many per unit.
    pub credit_type: Option<CreditTypeId>,
    pub credits_per_unit: Option<Credits>,
    /// Instead of the credit type's own policy.
    pub expiration: Option<Expiration>,
    pub metadata: Option<Value>,
}

/// What staff changes; what is left out stays, and `Some(None)` clears. What is ordered already keeps its terms.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    pub slug: Option<String>,
    pub name: Option<String>,
    pub description: Option<Option<String>>,
    pub image_url: Option<Option<String>>,
    pub thank_you: Option<Option<String>>,
    pub redirect_url: Option<Option<String>>,
    pub credit_type: Option<Option<CreditTypeId>>,
    pub credits_per_unit: Option<Option<Credits>>,
    pub expiration: Option<Option<Expiration>>,
    pub metadata: Option<Value>,
}

/// Creates a product, as a draft.
pub async fn create(caller: &Caller, new: NewProduct) -> Result<Model> {
    transact!(caller, Scope::CatalogWrite, |tx| {
        let new = new.clone();
        let empty = Model {
            account_id: tx.account.id,
            id: ProductId(fresh_id()),
            kind: new.kind,
            status: Status::Draft,
            slug: String::new(),
            name: String::new(),
            description: None,
            image_url: None,
            thank_you: None,
            redirect_url: None,
            credit_type_id: None,
            credits_per_unit: None,
            expiration: None,
            period_count: None,
            period_unit: None,
            period_from: None,
            expires_on: None,
            metadata: serde_json::json!({}),
            created_at: tx.now,
            updated_at: tx.now,
        };
        let changes = Changes {
            slug: Some(new.slug),
            name: Some(new.name),
            description: Some(new.description),
            image_url: Some(new.image_url),
            thank_you: Some(new.thank_you),
            redirect_url: Some(new.redirect_url),
            credit_type: Some(new.credit_type),
            credits_per_unit: Some(new.credits_per_unit),
            expiration: Some(new.expiration),
            metadata: new.metadata,
        };
        let product = changed(tx, empty, changes).await?;
        let product = product.into_active_model().insert(tx.db()).await.map_err(refuse_taken)?;
        Ok(product)
    })
}

/// Changes a product.
pub async fn update(caller: &Caller, id: ProductId, changes: Changes) -> Result<Model> {
    transact!(caller, Scope::CatalogWrite, |tx| {
        let changes = changes.clone();
        let before = lock(tx, id, "id").await?;
        let product = changed(tx, before, changes).await?;
        let product = written(product).update(tx.db()).await.map_err(refuse_taken)?;
        Ok(product)
    })
}

/// Puts a product on sale, if it has what it is sold with. Doing it twice changes nothing.
pub async fn activate(caller: &Caller, id: ProductId) -> Result<Model> {
    transact!(caller, Scope::CatalogWrite, |tx| {
        let product = lock(tx, id, "id").await?;
        if product.status == Status::Active {
            return Ok(product);
        }
        if product.kind == Kind::Credit {
            let credit_type = product.credit_type_id.ok_or_else(|| incomplete("id", "credit type"))?;
            let credit_type = credit_type::Entity::of(tx.account.id).filter(credit_type::Column::Id.eq(credit_type));
            if credit_type.one(tx.db()).await?.is_some_and(|found| found.archived_at.is_some()) {
                return Err(Sale::CreditTypeArchived { field: "id".to_owned() }.into());
            }
        }
        let prices = price::Entity::of(tx.account.id).filter(price::Column::ProductId.eq(id));
        let on_sale = prices.filter(price::Column::ArchivedAt.is_null()).limit(1).one(tx.db()).await?;
        on_sale.ok_or_else(|| incomplete("id", "price"))?;
        set_status(tx, product, Status::Active).await
    })
}

/// Archives a product: it is sold no more, and what was ordered goes on. Doing it twice changes nothing.
pub async fn archive(caller: &Caller, id: ProductId) -> Result<Model> {
    transact!(caller, Scope::CatalogWrite, |tx| {
        let product = lock(tx, id, "id").await?;
        if product.status == Status::Archived {
            return Ok(product);
        }
        set_status(tx, product, Status::Archived).await
    })
}

async fn set_status(tx: &Tx, product: Model, status: Status) -> Result<Model> {
    let mut product = product.into_active_model();
    product.status = Set(status);
    product.updated_at = Set(tx.now);
    Ok(product.update(tx.db()).await?)
}

fn incomplete(field: &str, missing: &str) -> Refusal {
    Sale::ProductIncomplete { field: field.to_owned(), missing: missing.to_owned() }.into()
}

/// A product of the account that an input names, locked: two changes come after one another.
pub(super) async fn lock(tx: &Tx, id: ProductId, field: &str) -> Result<Model> {
    let found = tx.rows::<Entity>().filter(Column::Id.eq(id)).lock_exclusive().one(tx.db()).await?;
    found.ok_or_else(|| Refusal::not_found(field, "product").into())
}

/// Every column, so that an update writes what changed.
fn written(product: Model) -> ActiveModel {
    use sea_orm::Iterable;
    let mut product = product.into_active_model();
    for column in Column::iter().filter(|column| !matches!(column, Column::AccountId | Column::Id)) {
        product.reset(column);
    }
    product
}

/// The product with the changes, each within its limits.
async fn changed(tx: &Tx, mut product: Model, changes: Changes) -> Result<Model> {
    let text = |field: &str, value: Option<String>, most: usize| input::optional_text(field, value.as_deref(), most);
    let url = |field: &str, value: Option<String>| {
        value.filter(|url| !url.trim().is_empty()).map(|url| input::url(field, &url)).transpose()
    };
    if let Some(slug) = changes.slug {
        product.slug = input::slug("slug", &slug)?;
    }
    if let Some(name) = changes.name {
        product.name = input::text("name", &name, input::NAME)?;
    }
    if let Some(description) = changes.description {
        product.description = text("description", description, input::NOTE)?;
    }
    if let Some(image) = changes.image_url {
        product.image_url = url("imageUrl", image)?;
    }
    if let Some(thanks) = changes.thank_you {
        product.thank_you = text("thankYou", thanks, input::NOTE)?;
    }
    if let Some(redirect) = changes.redirect_url {
        product.redirect_url = url("redirectUrl", redirect)?;
    }
    if let Some(metadata) = changes.metadata {
        product.metadata = input::metadata("metadata", metadata)?;
    }
    if let Some(policy) = changes.expiration {
        let policy = policy.map(check_policy).transpose()?;
        if let Some(policy) = policy {
            check_future(tx, policy)?;
        }
        let period = policy.and_then(|policy| policy.period());
        product.expiration = policy.map(|policy| policy.kind());
        product.period_count = period.map(|(count, _, _)| count);
        product.period_unit = period.map(|(_, unit, _)| unit);
        product.period_from = period.map(|(_, _, from)| from);
        product.expires_on = policy.and_then(|policy| policy.date());
    }
    let before = product.credit_type_id;
    if let Some(credit_type) = changes.credit_type {
        if product.status != Status::Draft && credit_type.is_some() && credit_type != before {
            let message = "What was on sale keeps its credit type: subscriptions go on with it. Make another product.";
            return Err(Refusal::invalid("creditTypeId", message).into());
        }
        product.credit_type_id = credit_type;
    }
    if let Some(credits) = changes.credits_per_unit {
        product.credits_per_unit = credits;
    }
    check_credits(tx, &mut product, before).await?;
    product.updated_at = tx.now;
    Ok(product)
}

/// What a credit product issues fits together; a service product issues nothing.
async fn check_credits(tx: &Tx, product: &mut Model, before: Option<CreditTypeId>) -> Result<()> {
    if product.kind == Kind::Service {
        if product.credit_type_id.is_some() || product.credits_per_unit.is_some() || product.expiration.is_some() {
            let message = "A service product issues no credits. Make it a credit product, or leave this out.";
            let field = if product.credit_type_id.is_some() { "creditTypeId" } else { "creditsPerUnit" };
            let field = if product.expiration.is_some() { "expiration" } else { field };
            return Err(Refusal::invalid(field, message).into());
        }
        return Ok(());
    }
    let Some(credit_type) = product.credit_type_id else {
        if product.status != Status::Draft {
            return Err(incomplete("creditTypeId", "credit type").into());
        }
        if product.credits_per_unit.is_some() {
            return Err(Refusal::invalid("creditsPerUnit", "Say of which credit type: give creditTypeId.").into());
        }
        return Ok(());
    };
    product.credits_per_unit = Some(input::amount("creditsPerUnit", product.credits_per_unit.unwrap_or(Credits(1)))?);
    if before == Some(credit_type) {
        return Ok(());
    }
    let found = credit_type::Entity::of(tx.account.id).filter(credit_type::Column::Id.eq(credit_type));
    match found.one(tx.db()).await? {
        None => Err(Refusal::not_found("creditTypeId", "credit type").into()),
        Some(found) if found.archived_at.is_some() => Err(Refusal::CreditTypeArchived.into()),
        Some(_) => Ok(()),
    }
}

/// Products, oldest first, for staff.
pub async fn list(view: &View, status: Option<Status>, page: &Page<ProductId>) -> Result<Slice<Model>> {
    view.staff_only()?;
    let mut select = view.rows::<Entity>();
    if let Some(status) = status {
        select = select.filter(Column::Status.eq(status));
    }
    let rows = page.of(select, Column::Id, false).all(view.db()).await?;
    Ok(page.slice(rows))
}

/// Products by id, for whoever has something in hand that names them.
pub async fn of_rows_in_hand(view: &View, ids: &[ProductId]) -> Result<HashMap<ProductId, Model>> {
    let rows = view.rows::<Entity>().filter(view.among(Column::Id, ids.iter().copied())?).all(view.db()).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// The product on sale of a link.
pub async fn on_sale(view: &View, slug: &str) -> Result<Option<Model>> {
    if slug.contains('\0') {
        return Ok(None);
    }
    let found = view.rows::<Entity>().filter(Column::Slug.eq(slug)).filter(Column::Status.eq(Status::Active));
    Ok(found.one(view.db()).await?)
}

fn refuse_taken(error: DbErr) -> Error {
    if is_taken(&error, "product", "slug") {
        Refusal::Taken { field: "slug".to_owned(), what: "slug".to_owned() }.into()
    } else {
        error.into()
    }
}
