//! What happened: pages of activity, newest first.

use std::collections::HashMap;

use entity::activity::{Column, Entity, Kind, Model};
use entity::{ActivityId, CreditTypeId, CustomerId, allocation};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, Order, QueryFilter, QueryOrder, QuerySelect, Select};

use crate::ground::clock::Instant;
use crate::ground::error::Result;
use crate::ground::page::{self, Page, Slice};
use crate::storage::tx::View;

/// Where an activity stands in a customer's list: its instant, its number in its wallet, its id.
pub type Place = (Instant, i64, ActivityId);

/// A part of one customer's activity.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    pub customer: CustomerId,
    pub part: Part,
}

/// Which activity of a customer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Part {
    pub credit_type: Option<CreditTypeId>,
    pub kinds: Vec<Kind>,
    /// From this instant on.
    pub from: Option<Instant>,
    /// Until before this instant.
    pub to: Option<Instant>,
    /// Sorted by instant, then number in the wallet, then id: servers' ids do not sort by age among each other.
    pub page: Page<Place>,
}

/// Pages of the activity of many customers, in one statement.
pub async fn pages(view: &View, wanted: &[Wanted]) -> Result<Vec<Slice<Model>>> {
    let parts = wanted.iter().map(|wanted| (wanted.customer.into(), &wanted.part));
    let rows = page::of_each(view.db(), Column::CustomerId, parts, |part| select(view, part)).await?;
    Ok(wanted.iter().zip(rows).map(|(wanted, rows)| wanted.part.page.slice(rows)).collect())
}

fn select(view: &View, part: &Part) -> Select<Entity> {
    let page = &part.page;
    let order = if page.backwards { Order::Asc } else { Order::Desc };
    let mut select = view.customer_rows::<Entity>();
    if let Some(credit_type) = part.credit_type {
        select = select.filter(Column::CreditTypeId.eq(credit_type));
    }
    if !part.kinds.is_empty() {
        select = select.filter(Column::Kind.is_in(part.kinds.iter().copied()));
    }
    if let Some(from) = part.from {
        select = select.filter(Column::At.gte(from));
    }
    if let Some(to) = part.to {
        select = select.filter(Column::At.lt(to));
    }
    let key = || Expr::tuple([Expr::col(Column::At), Expr::col(Column::Sequence), Expr::col(Column::Id)]);
    let tuple = |(at, number, id): Place| Expr::tuple([Expr::val(at), Expr::val(number), Expr::val(id.0)]);
    if let Some(after) = page.after {
        select = select.filter(key().lt(tuple(after)));
    }
    if let Some(before) = page.before {
        select = select.filter(key().gt(tuple(before)));
    }
    let select = select.order_by(Column::At, order.clone()).order_by(Column::Sequence, order.clone());
    select.order_by(Column::Id, order).limit(page.limit())
}

/// Activities by id, as far as the caller may see them.
pub async fn by_ids(view: &View, ids: &[ActivityId]) -> Result<HashMap<ActivityId, Model>> {
    let rows =
        view.customer_rows::<Entity>().filter(view.among(Column::Id, ids.iter().copied())?).all(view.db()).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// The allocations of activities that the caller has in hand, in the order in which the grants were taken.
pub async fn allocations(
    view: &View,
    activities: &[ActivityId],
) -> Result<HashMap<ActivityId, Vec<allocation::Model>>> {
    let rows = view
        .rows::<allocation::Entity>()
        .filter(view.among(allocation::Column::ActivityId, activities.iter().copied())?)
        .order_by_asc(allocation::Column::ActivityId)
        .order_by_asc(allocation::Column::Position)
        .all(view.db())
        .await?;
    let mut found: HashMap<_, Vec<_>> = HashMap::new();
    for row in rows {
        found.entry(row.activity_id).or_default().push(row);
    }
    Ok(found)
}

/// What gave back activities, or parts of them, as far as the caller may see it, oldest first.
pub async fn reversals(view: &View, ids: &[ActivityId]) -> Result<HashMap<ActivityId, Vec<Model>>> {
    let rows = view
        .customer_rows::<Entity>()
        .filter(view.among(Column::ReversesId, ids.iter().copied())?)
        .order_by_asc(Column::Sequence)
        .all(view.db())
        .await?;
    let mut found: HashMap<_, Vec<_>> = HashMap::new();
    for row in rows {
        if let Some(id) = row.reverses_id {
            found.entry(id).or_default().push(row);
        }
    }
    Ok(found)
}
