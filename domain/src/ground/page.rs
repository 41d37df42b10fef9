//! Pages of long lists: by key, so that the thousandth costs what the first does.

use entity::{Owned, array};
use sea_orm::sea_query::{Alias, Asterisk, Expr, Query, SelectStatement, UnionType};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, EntityTrait, FromQueryResult, IdenStatic,
    ModelTrait, Order, QueryFilter, QueryOrder, QueryResult, QuerySelect, QueryTrait, Select, Statement, Value, Values,
};

use super::error::Refusal;

/// The most items on a page.
pub const MOST: u64 = 100;
/// The items on a page where nobody says how many.
pub const USUAL: u64 = 20;

/// Which part of a list is wanted; `C` is the key that the list is sorted by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Page<C> {
    pub after: Option<C>,
    pub before: Option<C>,
    pub size: u64,
    /// The last of the range rather than the first.
    pub backwards: bool,
}

impl<C> Page<C> {
    /// A page by Relay's four arguments, of which `first` and `last` exclude each other.
    pub fn new(first: Option<i32>, after: Option<C>, last: Option<i32>, before: Option<C>) -> Result<Self, Refusal> {
        let size = |field: &str, wanted: i32| match u64::try_from(wanted) {
            Ok(size) if (1..=MOST).contains(&size) => Ok(size),
            _ => Err(Refusal::invalid(field, format!("Must be 1 to {MOST}."))),
        };
        let (size, backwards) = match (first, last) {
            (Some(_), Some(_)) => return Err(Refusal::invalid("last", "Give either first or last, not both.")),
            (None, Some(last)) => (size("last", last)?, true),
            (Some(first), None) => (size("first", first)?, false),
            (None, None) => (USUAL, false),
        };
        Ok(Self { after, before, size, backwards })
    }

    /// The rows of this page of a list that is sorted by the column that its cursors are values of.
    pub(crate) fn of<E: EntityTrait>(&self, select: Select<E>, column: E::Column, newest_first: bool) -> Select<E>
    where
        C: Copy + Into<Value>,
    {
        let (mut select, descending) = (select, newest_first != self.backwards);
        if let Some(after) = self.after {
            select = select.filter(if newest_first { column.lt(after) } else { column.gt(after) });
        }
        if let Some(before) = self.before {
            select = select.filter(if newest_first { column.gt(before) } else { column.lt(before) });
        }
        select.order_by(column, if descending { Order::Desc } else { Order::Asc }).limit(self.limit())
    }

    /// How many rows to ask for: one more than is shown tells whether there are more.
    pub(crate) fn limit(&self) -> u64 {
        self.size + 1
    }

    /// Cuts what was read, in the order in which it was read, to the page.
    pub(crate) fn slice<T>(&self, mut items: Vec<T>) -> Slice<T> {
        let more = items.len() as u64 > self.size;
        items.truncate(usize::try_from(self.size).unwrap_or(usize::MAX));
        if self.backwards {
            items.reverse();
            Slice { items, has_previous: more, has_next: self.before.is_some() }
        } else {
            Slice { items, has_previous: self.after.is_some(), has_next: more }
        }
    }
}

/// A page of items.
#[derive(Clone, Debug)]
pub struct Slice<T> {
    pub items: Vec<T>,
    pub has_next: bool,
    pub has_previous: bool,
}

impl<T> Default for Slice<T> {
    fn default() -> Self {
        Self { items: Vec::new(), has_next: false, has_previous: false }
    }
}

/// Selects in one statement: SQLite takes 500.
const TERMS: usize = 400;
/// The column that says which select a row is of.
const ORDINAL: &str = "ordinal";

/// For each key a limited select of the rows that have it in a column, all in one statement; answers the rows of each.
/// What is selected depends on what else is asked of them.
///
/// On PostgreSQL, where the same is asked of all, it is one select beside an array of keys: its text is the same for any
/// number of them, and so is parsed and planned once.
pub(crate) async fn of_each<E, A>(
    txn: &DatabaseTransaction,
    column: E::Column,
    wanted: impl Iterator<Item = (Value, A)>,
    select: impl Fn(&A) -> Select<E>,
) -> Result<Vec<Vec<E::Model>>, DbErr>
where
    E: Owned,
    E::Model: ModelTrait + FromQueryResult,
    A: PartialEq,
{
    let (keys, asked): (Vec<_>, Vec<_>) = wanted.unzip();
    let Some(first) = asked.first() else { return Ok(Vec::new()) };
    if txn.get_database_backend() != DbBackend::Postgres || asked.iter().any(|other| other != first) {
        let selects = keys.into_iter().zip(&asked).map(|(key, asked)| select(asked).filter(column.eq(key)));
        return many(txn, selects.collect()).await;
    }
    numbered::<E>(keys.len(), txn.query_all_raw(beside(select(first), column, keys)?).await?)
}

/// A select of `PostgreSQL`'s beside an array of keys, each row with the number of its key.
fn beside<E: EntityTrait>(select: Select<E>, column: E::Column, keys: Vec<Value>) -> Result<Statement, DbErr> {
    let (table, name) = (E::default().table_name().to_owned(), column.as_str().to_owned());
    let select = select.filter(Expr::cust(format!(r#""{table}"."{name}" = keys.key"#))).into_query();
    let Statement { sql, values, .. } = DbBackend::Postgres.build(&select);
    let mut values = values.map(|values| values.0).unwrap_or_default();
    let ordinals = (0_i32..).take(keys.len()).map(Value::from).collect();
    values.extend([array(keys)?, array(ordinals)?]);
    let (keys, ordinals) = (values.len() - 1, values.len());
    let sql = format!(
        "SELECT page.*, keys.{ORDINAL} FROM unnest(${keys}, ${ordinals}) AS keys(key, {ORDINAL}) \
         CROSS JOIN LATERAL ({sql}) AS page"
    );
    Ok(Statement { sql, values: Some(Values(values)), db_backend: DbBackend::Postgres })
}

/// Many limited selects of one table in one statement; answers the rows of each.
///
/// `UNION ALL` of limited selects reads the newest n of each from its index;
/// a window over the table would read every row of every one.
pub(crate) async fn many<E>(txn: &DatabaseTransaction, selects: Vec<Select<E>>) -> Result<Vec<Vec<E::Model>>, DbErr>
where
    E: Owned,
    E::Model: ModelTrait + FromQueryResult,
{
    let mut answers = Vec::with_capacity(selects.len());
    for selects in selects.chunks(TERMS) {
        let Some(union) = union(selects) else { continue };
        answers.extend(numbered::<E>(selects.len(), txn.query_all(&union).await?)?);
    }
    Ok(answers)
}

/// The rows of each of so many selects, in the order in which they came.
fn numbered<E>(selects: usize, rows: Vec<QueryResult>) -> Result<Vec<Vec<E::Model>>, DbErr>
where
    E: Owned,
{
    let mut of_each = (0..selects).map(|_| Vec::new()).collect::<Vec<_>>();
    for row in rows {
        let number: i32 = row.try_get("", ORDINAL)?;
        if let Some(rows) = usize::try_from(number).ok().and_then(|number| of_each.get_mut(number)) {
            rows.push(E::read(&row)?);
        }
    }
    Ok(of_each)
}

/// The selects one below the other, each row with the number of its select.
fn union<E: EntityTrait>(selects: &[Select<E>]) -> Option<SelectStatement> {
    let numbered = selects.iter().cloned().zip(0_i32..).map(|(select, number)| {
        let mut inner = select.into_query();
        inner.expr_as(Expr::val(number), Alias::new(ORDINAL));
        let mut outer = Query::select();
        outer.column(Asterisk).from_subquery(inner, Alias::new(format!("page{number}")));
        outer
    });
    numbered.reduce(|mut union, outer| union.union(UnionType::All, outer).to_owned())
}
