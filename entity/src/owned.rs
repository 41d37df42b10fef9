//! The door to an account's rows: a query that starts here cannot meet another account's.

use sea_orm::sea_query::{Asterisk, Expr, ExprTrait, Query, ValueTuple};
use sea_orm::{
    ColumnTrait, DbBackend, DbErr, EntityTrait, FromQueryResult, IdenStatic, QueryFilter, QueryResult, Select, Value,
};

use crate::{AccountId, CustomerId, array};

/// A table whose every row belongs to one account.
pub trait Owned: EntityTrait {
    /// The column that holds the account.
    const ACCOUNT: Self::Column;
    /// Columns beside the key that no write changes once the row is there.
    const FIXED: &'static [Self::Column] = &[];

    /// The rows of one account: the only way to begin a query.
    #[must_use]
    fn of(account: AccountId) -> Select<Self> {
        Self::find().filter(Self::ACCOUNT.eq(account))
    }

    /// A row that has all columns, in their order.
    fn read(row: &QueryResult) -> Result<Self::Model, DbErr> {
        Self::Model::from_query_result(row, "")
    }

    /// The rows with certain keys, of several accounts: each key begins with its account, `columns` name what stands
    /// behind it. Both databases look the keys up one by one in an index that begins with these columns; given as a list
    /// of pairs SQLite would read them all, and PostgreSQL plan for each of them.
    fn keyed<const N: usize>(
        backend: DbBackend,
        columns: [Self::Column; N],
        keys: impl IntoIterator<Item = (AccountId, [Value; N])>,
    ) -> Result<Select<Self>, DbErr> {
        let columns = std::iter::once(Self::ACCOUNT).chain(columns).collect::<Vec<_>>();
        let keys = keys.into_iter().map(|(account, rest)| std::iter::once(account.into()).chain(rest).collect());
        let keys = keys.collect::<Vec<Vec<Value>>>();
        if keys.is_empty() {
            return Ok(Self::find().filter(Expr::cust("1 = 0")));
        }
        if backend != DbBackend::Postgres {
            let tuple = Expr::tuple(columns.iter().map(|column| Expr::col((Self::default(), *column))));
            let keys = keys.into_iter().map(ValueTuple::Many).collect::<Vec<_>>();
            let keys = Query::select().column(Asterisk).from_values(keys, "keys").to_owned();
            return Ok(Self::find().filter(tuple.in_subquery(keys)));
        }
        let of = |place: usize| array(keys.iter().map(|key| key[place].clone()).collect());
        let arrays = (0..columns.len()).map(of).collect::<Result<Vec<_>, _>>()?;
        let table = Self::default().table_name().to_owned();
        let names = columns.iter().map(|column| format!(r#""{table}"."{}""#, column.as_str())).collect::<Vec<_>>();
        let places = (1..=columns.len()).map(|place| format!("${place}")).collect::<Vec<_>>();
        let sql = format!("({}) IN (SELECT * FROM unnest({}))", names.join(", "), places.join(", "));
        Ok(Self::find().filter(Expr::cust_with_values(sql, arrays)))
    }
}

/// An owned table whose every row also belongs to one customer.
pub trait CustomerOwned: Owned {
    /// The column that holds the customer.
    const CUSTOMER: Self::Column;

    /// The rows of one customer.
    #[must_use]
    fn of_customer(account: AccountId, customer: CustomerId) -> Select<Self> {
        Self::of(account).filter(Self::CUSTOMER.eq(customer))
    }
}

/// Whether a column has one of these values. On `PostgreSQL` they are an array, so that the text is the same for any number
/// of them, and is parsed and planned once.
pub fn among<C: ColumnTrait>(
    backend: DbBackend,
    column: C,
    values: impl IntoIterator<Item = impl Into<Value>>,
) -> Result<Expr, DbErr> {
    let values = values.into_iter().map(Into::into).collect::<Vec<Value>>();
    if backend != DbBackend::Postgres || values.is_empty() {
        return Ok(column.is_in(values));
    }
    let sql = format!(r#""{}"."{}" = ANY($1)"#, column.entity_name(), column.as_str());
    Ok(Expr::cust_with_values(sql, [array(values)?]))
}
