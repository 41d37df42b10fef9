//! Finding customers: by what is unique, by words, by tag.

use std::collections::HashMap;

use entity::customer::{Column, Entity, Model};
use entity::{CustomerId, customer_tag, customer_term};
use sea_orm::sea_query::Query;
use sea_orm::{ColumnTrait, QueryFilter, QueryOrder};

use super::terms;
use crate::ground::error::Result;
use crate::ground::input;
use crate::ground::page::{Page, Slice};
use crate::storage::tx::View;

/// Words of one search that are looked at.
const WORDS: usize = 5;

/// Which customers are wanted.
#[derive(Clone, Debug)]
pub struct Search {
    /// Beginnings of words of the name, e-mail or external id; every one must match.
    pub text: Option<String>,
    pub tag: Option<String>,
    /// Archived ones are left out unless they are asked for.
    pub include_archived: bool,
    pub page: Page<CustomerId>,
}

/// Customers, newest first.
pub async fn search(view: &View, wanted: &Search) -> Result<Slice<Model>> {
    view.staff_only()?;
    let page = &wanted.page;
    let mut select = view.customer_rows::<Entity>();
    if !wanted.include_archived {
        select = select.filter(Column::ArchivedAt.is_null());
    }
    if let Some(text) = wanted.text.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
        let words = terms::words(text).collect::<Vec<_>>();
        if words.is_empty() {
            return Ok(Slice::default());
        }
        for word in words.into_iter().take(WORDS) {
            select = select.filter(Column::Id.in_subquery(with_word(view, &word)));
        }
    }
    if let Some(tag) = &wanted.tag {
        if !can_be_stored(tag) {
            return Ok(Slice::default());
        }
        let tagged = Query::select()
            .column(customer_tag::Column::CustomerId)
            .from(customer_tag::Entity)
            .and_where(customer_tag::Column::AccountId.eq(view.account().id))
            .and_where(customer_tag::Column::Tag.eq(tag.trim().to_lowercase()))
            .to_owned();
        select = select.filter(Column::Id.in_subquery(tagged));
    }
    let rows = page.of(select, Column::Id, true).all(view.db()).await?;
    Ok(page.slice(rows))
}

/// The customers with a word that begins so: a range of the index, whatever the collation (terms compare by byte).
fn with_word(view: &View, beginning: &str) -> sea_orm::sea_query::SelectStatement {
    Query::select()
        .column(customer_term::Column::CustomerId)
        .from(customer_term::Entity)
        .and_where(customer_term::Column::AccountId.eq(view.account().id))
        .and_where(customer_term::Column::Term.gte(beginning))
        .and_where(customer_term::Column::Term.lt(format!("{beginning}{}", char::MAX)))
        .to_owned()
}

/// Whether a text can stand in a row at all: PostgreSQL keeps no U+0000, and fails when asked for one.
fn can_be_stored(text: &str) -> bool {
    !text.contains('\0')
}

/// The customer with an e-mail address.
pub async fn by_email(view: &View, email: &str) -> Result<Option<Model>> {
    // What is no address is nobody's.
    let Ok(email) = input::email("email", email) else { return Ok(None) };
    Ok(view.customer_rows::<Entity>().filter(Column::Email.eq(email)).one(view.db()).await?)
}

/// The customer with an id of the business's own.
pub async fn by_external_id(view: &View, external_id: &str) -> Result<Option<Model>> {
    if !can_be_stored(external_id) {
        return Ok(None);
    }
    Ok(view.customer_rows::<Entity>().filter(Column::ExternalId.eq(external_id.trim())).one(view.db()).await?)
}

/// Customers by id, as far as the caller may see them.
pub async fn by_ids(view: &View, ids: &[CustomerId]) -> Result<HashMap<CustomerId, Model>> {
    let rows =
        view.customer_rows::<Entity>().filter(view.among(Column::Id, ids.iter().copied())?).all(view.db()).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// The tags of customers, sorted.
pub async fn tags(view: &View, customers: &[CustomerId]) -> Result<HashMap<CustomerId, Vec<String>>> {
    let rows = view
        .customer_rows::<customer_tag::Entity>()
        .filter(view.among(customer_tag::Column::CustomerId, customers.iter().copied())?)
        .order_by_asc(customer_tag::Column::Tag)
        .all(view.db())
        .await?;
    let mut tags: HashMap<_, Vec<_>> = HashMap::new();
    for row in rows {
        tags.entry(row.customer_id).or_default().push(row.tag);
    }
    Ok(tags)
}
