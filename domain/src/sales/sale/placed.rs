//! An order as it was placed, with its lines and what they name: one statement.

use entity::{AccountId, CustomerId, OrderId, credit_type, order_line, price, product, product_order, subscription};
use sea_orm::sea_query::{Alias, Condition, Expr, ExprTrait, LockType, Order, Query, SelectStatement};
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, FromQueryResult, Iterable, QueryResult};

use crate::ground::error::Result;
use crate::sales::basket::Line;
use crate::storage::tx::Tx;

/// An order that is locked, with its lines, and its subscription, which is locked too.
pub struct Placed {
    pub order: product_order::Model,
    pub lines: Vec<Line>,
    pub subscription: Option<subscription::Model>,
}

/// What the columns of each table are called in the statement's rows.
const ORDER: &str = "o_";
const LINE: &str = "l_";
const PRICE: &str = "p_";
const PRODUCT: &str = "s_";
const TYPE: &str = "t_";

/// Reads every column of a table, under a prefix.
fn columns<E: EntityTrait>(select: &mut SelectStatement, prefix: &str) {
    for column in E::Column::iter() {
        let name = Alias::new(format!("{prefix}{}", sea_orm::IdenStatic::as_str(&column)));
        select.expr_as(column.select_as(Expr::col((E::default(), column))), name);
    }
}

/// Rows of the same account whose key is named.
fn on<A: ColumnTrait, B: ColumnTrait>(accounts: (A, B), ids: (A, B)) -> Condition {
    let same = |(a, b): (A, B)| Expr::col(a.as_column_ref()).equals(b.as_column_ref());
    Condition::all().add(same(accounts)).add(same(ids))
}

/// The lines of an order with what they name, in their order.
fn select(account: AccountId, id: OrderId) -> SelectStatement {
    use order_line::Column as Line;
    let mut select = Query::select();
    columns::<order_line::Entity>(&mut select, LINE);
    columns::<price::Entity>(&mut select, PRICE);
    columns::<product::Entity>(&mut select, PRODUCT);
    columns::<credit_type::Entity>(&mut select, TYPE);
    select
        .from(order_line::Entity)
        .inner_join(price::Entity, on((Line::AccountId, price::Column::AccountId), (Line::PriceId, price::Column::Id)))
        .inner_join(
            product::Entity,
            on((Line::AccountId, product::Column::AccountId), (Line::ProductId, product::Column::Id)),
        )
        .left_join(
            credit_type::Entity,
            on((Line::AccountId, credit_type::Column::AccountId), (Line::CreditTypeId, credit_type::Column::Id)),
        )
        .and_where(Line::AccountId.eq(account))
        .and_where(Line::OrderId.eq(id))
        .order_by(Line::Position.as_column_ref(), Order::Asc);
    select
}

fn line(row: &QueryResult) -> Result<Line> {
    let line = order_line::Model::from_query_result(row, LINE)?;
    Ok(Line {
        product: product::Model::from_query_result(row, PRODUCT)?,
        price: price::Model::from_query_result(row, PRICE)?,
        quantity: line.quantity,
        amount: line.amount,
        credit_type: line.credit_type_id,
        credits: line.credits,
        policy: line.expiration.and_then(|policy| serde_json::from_value(policy).ok()),
    })
}

/// The lines of an order as they were placed: never priced again.
pub async fn lines(txn: &DatabaseTransaction, order: &product_order::Model) -> Result<Vec<Line>> {
    let rows = txn.query_all(&select(order.account_id, order.id)).await?;
    rows.iter().map(line).collect()
}

/// An order with its lines, locked: of one customer, if only that one's are to be found; one that a subscription has, or
/// one that none has.
pub async fn locked(
    tx: &Tx,
    id: OrderId,
    (only, renews): (Option<CustomerId>, bool),
) -> Result<Option<(product_order::Model, Vec<Line>)>> {
    use product_order::Column as Order;
    let mut select = select(tx.account.id, id);
    columns::<product_order::Entity>(&mut select, ORDER);
    select.inner_join(
        product_order::Entity,
        on((order_line::Column::AccountId, Order::AccountId), (order_line::Column::OrderId, Order::Id)),
    );
    let of_one = Order::SubscriptionId;
    select.and_where(if renews { of_one.is_not_null() } else { of_one.is_null() });
    if let Some(customer) = only {
        select.and_where(Order::CustomerId.eq(customer));
    }
    select.lock_with_tables(LockType::Update, [product_order::Entity]);
    let rows = tx.db().query_all(&select).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let order = product_order::Model::from_query_result(first, ORDER)?;
    for row in &rows {
        // Who ordered, and what a line issues or costs, is known from here on.
        tx.know(credit_type::Model::from_query_result_optional(row, TYPE)?, order.customer_id);
    }
    Ok(Some((order, rows.iter().map(line).collect::<Result<_>>()?)))
}
