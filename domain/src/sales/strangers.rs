//! What strangers ordered and nobody has paid: so many from one address, so many of one product, and none for ever. Without
//! these bounds an order form is a way to fill the database.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use chrono::TimeDelta;
use entity::product_order::{Column, Entity, Model};
use entity::{
    CustomerId, ProductId, customer, customer_session as session, customer_tag, customer_term, enrolment, order_line,
    payment, renewal, subscription, wallet,
};
use sea_orm::sea_query::{Expr, ExprTrait, Query, SelectStatement};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, Iden, QueryFilter, QueryOrder, QuerySelect};

use super::basket::Basket;
use crate::ground::error::Result;
use crate::ground::refusal::sale::Sale;
use crate::identity::caller::Caller;
use crate::storage::tx::Tx;

/// Orders of one account that may await payment, from one address.
pub const FROM_ADDRESS: usize = 20;
/// Those of one product.
pub const OF_PRODUCT: usize = 1_000;
/// Orders that are forgotten in one transaction.
const PAGE: u64 = 500;
/// That an order awaits payment, in words that the index of such orders is made with.
const OPEN: &str = "product_order.status = 'awaiting_payment'";

/// Counts what an address has open, and what a product has; answers what an order remembers of the address.
pub(super) async fn take(tx: &Tx, caller: &Caller, basket: &Basket) -> Result<Vec<u8>> {
    let address = caller.from().map_or_else(String::new, |from| network(from).to_string());
    let stranger = caller.app().store().key.stranger(tx.account.id, &address);
    let from_address = open(tx).and_where(of(Column::Stranger).eq(stranger.clone())).to_owned();
    if reaches(tx, from_address, FROM_ADDRESS).await? {
        return Err(Sale::TooManyUnpaid { field: "lines".to_owned() }.into());
    }
    let products = basket.lines.iter().map(|line| line.product.id).collect::<BTreeSet<_>>();
    for product in products {
        if reaches(tx, open(tx).and_where(has_line(tx, product)).to_owned(), OF_PRODUCT).await? {
            return Err(Sale::TooManyUnpaid { field: "lines".to_owned() }.into());
        }
    }
    Ok(stranger)
}

/// The part of an address that one party has: a whole one, and of IPv6 the first 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() & !u128::from(u64::MAX))),
    }
}

fn of(column: Column) -> Expr {
    Expr::col((Entity, column))
}

/// Strangers' orders that await payment.
fn open(tx: &Tx) -> SelectStatement {
    Query::select()
        .expr(Expr::val(1))
        .from(Entity)
        .and_where(of(Column::AccountId).eq(tx.account.id))
        .and_where(of(Column::Stranger).is_not_null())
        .and_where(Expr::cust(OPEN))
        .to_owned()
}

fn has_line(tx: &Tx, product: ProductId) -> Expr {
    let line = |column| Expr::col((order_line::Entity, column));
    let lines = Query::select()
        .expr(Expr::val(1))
        .from(order_line::Entity)
        .and_where(line(order_line::Column::AccountId).eq(tx.account.id))
        .and_where(line(order_line::Column::OrderId).equals((Entity, Column::Id)))
        .and_where(line(order_line::Column::ProductId).eq(product))
        .to_owned();
    Expr::exists(lines)
}

/// Whether there are so many.
async fn reaches(tx: &Tx, mut orders: SelectStatement, most: usize) -> Result<bool> {
    let found = tx.db().query_all(orders.limit(most as u64)).await?;
    Ok(found.len() >= most)
}

/// Forgets a page of orders that strangers placed and nobody paid within the account's `orderDays`, with the customers that
/// were made for them and for nothing else. Those that a payment provider knows of are left. Answers whether there are more.
pub(crate) async fn forget(tx: &Tx) -> Result<bool> {
    let before = tx.now - TimeDelta::days(i64::from(tx.account.order_days));
    let known = Query::select()
        .column(payment::Column::OrderId)
        .from(payment::Entity)
        .and_where(payment::Column::AccountId.eq(tx.account.id))
        .to_owned();
    let orders = tx
        .rows::<Entity>()
        .filter(Column::Stranger.is_not_null())
        .filter(Expr::cust(OPEN))
        .filter(Column::PlacedAt.lt(before))
        .filter(Column::Id.not_in_subquery(known))
        .order_by_asc(Column::Id)
        .limit(PAGE)
        .lock_exclusive()
        .all(tx.db())
        .await?;
    let ids = orders.iter().map(|order| order.id).collect::<Vec<_>>();
    if ids.is_empty() {
        return Ok(false);
    }
    let account = tx.account.id;
    let lines = order_line::Entity::delete_many().filter(order_line::Column::AccountId.eq(account));
    lines.filter(order_line::Column::OrderId.is_in(ids.iter().copied())).exec(tx.db()).await?;
    let renewals = renewal::Entity::delete_many().filter(renewal::Column::AccountId.eq(account));
    renewals.filter(renewal::Column::OrderId.is_in(ids.iter().copied())).exec(tx.db()).await?;
    let these = Entity::delete_many().filter(Column::AccountId.eq(account));
    these.filter(Column::Id.is_in(ids.iter().copied())).exec(tx.db()).await?;
    let begun = orders.iter().filter_map(|order| order.subscription_id);
    let subscriptions = subscription::Entity::delete_many().filter(subscription::Column::AccountId.eq(account));
    subscriptions.filter(subscription::Column::Id.is_in(begun)).exec(tx.db()).await?;
    forget_customers(tx, &orders).await?;
    Ok(ids.len() as u64 == PAGE)
}

/// Forgets those who were made for an order, were never changed, and have nothing.
async fn forget_customers(tx: &Tx, orders: &[Model]) -> Result<()> {
    let placed = orders.iter().map(|order| (order.customer_id, order.placed_at)).collect::<Vec<_>>();
    let found = tx
        .rows::<customer::Entity>()
        .filter(customer::Column::Id.is_in(placed.iter().map(|(id, _)| *id)))
        .filter(customer::Column::ExternalId.is_null())
        .filter(customer::Column::ErasedAt.is_null())
        .filter(without(tx, Entity, Column::AccountId, Column::CustomerId))
        .filter(without(tx, wallet::Entity, wallet::Column::AccountId, wallet::Column::CustomerId))
        .filter(without(tx, subscription::Entity, subscription::Column::AccountId, subscription::Column::CustomerId))
        .filter(without(tx, enrolment::Entity, enrolment::Column::AccountId, enrolment::Column::CustomerId))
        .filter(without(tx, customer_tag::Entity, customer_tag::Column::AccountId, customer_tag::Column::CustomerId))
        .filter(without(tx, session::Entity, session::Column::AccountId, session::Column::CustomerId))
        .lock_exclusive()
        .all(tx.db())
        .await?;
    let made_for_it = |found: &&customer::Model| {
        found.created_at == found.updated_at && placed.contains(&(found.id, found.created_at))
    };
    let ids = found.iter().filter(made_for_it).map(|found| found.id).collect::<Vec<CustomerId>>();
    let terms = customer_term::Entity::delete_many().filter(customer_term::Column::AccountId.eq(tx.account.id));
    terms.filter(customer_term::Column::CustomerId.is_in(ids.iter().copied())).exec(tx.db()).await?;
    let these = customer::Entity::delete_many().filter(customer::Column::AccountId.eq(tx.account.id));
    these.filter(customer::Column::Id.is_in(ids)).exec(tx.db()).await?;
    Ok(())
}

/// That a customer has nothing in a table.
fn without<E: EntityTrait, C: ColumnTrait + Iden>(tx: &Tx, table: E, account: C, customer: C) -> Expr {
    let rows = Query::select()
        .expr(Expr::val(1))
        .from(table)
        .and_where(Expr::col((table, account)).eq(tx.account.id))
        .and_where(Expr::col((table, customer)).equals((customer::Entity, customer::Column::Id)))
        .to_owned();
    Expr::exists(rows).not()
}
