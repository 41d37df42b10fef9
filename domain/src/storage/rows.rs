//! Many rows in one statement: added, added where they are new, or changed. SeaORM has no multi-row UPDATE.
//!
//! SQLite takes a parameter for each value. PostgreSQL takes an array for each column, so that the text of the statement
//! does not depend on how many rows there are, and is read and planned once.
//!
//! Statements are made one by one, as they are [run]: the next one while the database works on the one before.

use std::iter;

use entity::{Owned, array, is_null};
use futures_util::future::join;
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, EntityTrait,
    IdenStatic, IntoActiveModel, Iterable, PrimaryKeyToColumn, Statement, Value,
};

/// Rows of one statement on SQLite: the widest table has 36 columns, and it binds at most 32,766 values.
const ROWS: usize = 900;

/// A statement that writes rows of one table.
pub struct Prepared {
    statement: Statement,
    table: &'static str,
    rows: u64,
    /// Whether some of the rows may be there already, and stay as they are.
    may_be_there: bool,
}

impl Prepared {
    /// Answers whether it wrote all of its rows.
    async fn run(self, txn: &DatabaseTransaction) -> Result<bool, DbErr> {
        let written = txn.execute_raw(self.statement).await?.rows_affected();
        if written != self.rows && !self.may_be_there {
            return Err(DbErr::Custom(format!(
                "{} rows of {} were to be written, not {written}",
                self.rows, self.table
            )));
        }
        Ok(written == self.rows)
    }
}

/// Runs statements in order; each is made while the one before it runs. Answers whether all rows were written, and stops
/// at the first statement that found some there.
pub async fn run(
    txn: &DatabaseTransaction,
    mut statements: impl Iterator<Item = Result<Prepared, DbErr>>,
) -> Result<bool, DbErr> {
    let mut next = statements.next();
    while let Some(statement) = next {
        let (ran, following) = join(statement?.run(txn), async { statements.next() }).await;
        if !ran? {
            return Ok(false);
        }
        next = following;
    }
    Ok(true)
}

/// Adds rows.
pub fn add<E>(
    backend: DbBackend,
    rows: impl IntoIterator<Item = E::Model>,
) -> impl Iterator<Item = Result<Prepared, DbErr>>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
    E::ActiveModel: ActiveModelTrait<Entity = E>,
{
    parts::<E>(backend, rows).map(move |rows| insert::<E>(backend, rows, false))
}

/// Adds those rows whose keys are new.
pub fn add_new<E>(
    backend: DbBackend,
    rows: impl IntoIterator<Item = E::Model>,
) -> impl Iterator<Item = Result<Prepared, DbErr>>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
    E::ActiveModel: ActiveModelTrait<Entity = E>,
{
    parts::<E>(backend, rows).map(move |rows| insert::<E>(backend, rows, true))
}

/// Changes rows that are there: every column but those of the key and those that are [fixed](Owned::FIXED).
pub fn change<E>(
    backend: DbBackend,
    rows: impl IntoIterator<Item = E::Model>,
) -> impl Iterator<Item = Result<Prepared, DbErr>>
where
    E: Owned,
    E::Model: IntoActiveModel<E::ActiveModel>,
    E::ActiveModel: ActiveModelTrait<Entity = E>,
{
    parts::<E>(backend, rows).map(move |rows| update::<E>(backend, rows))
}

/// Rows, as many at a time as one statement takes.
fn parts<E>(backend: DbBackend, rows: impl IntoIterator<Item = E::Model>) -> impl Iterator<Item = Vec<E::ActiveModel>>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
{
    let most = if backend == DbBackend::Postgres { usize::MAX } else { ROWS };
    let mut rows = rows.into_iter().map(IntoActiveModel::into_active_model).peekable();
    iter::from_fn(move || rows.peek().is_some().then(|| rows.by_ref().take(most).collect()))
}

fn insert<E>(backend: DbBackend, rows: Vec<E::ActiveModel>, may_be_there: bool) -> Result<Prepared, DbErr>
where
    E: EntityTrait,
    E::ActiveModel: ActiveModelTrait<Entity = E>,
{
    let count = rows.len() as u64;
    let columns = E::Column::iter().collect::<Vec<_>>();
    let rows = Rows::of(rows, &columns)?;
    let taken = (0..columns.len()).map(|place| rows.taken(backend, place)).collect::<Vec<_>>().join(", ");
    let (table, names) = (E::default().table_name(), rows.names.join(", "));
    let (source, values) = rows.source(backend, 0)?;
    // Without a WHERE, SQLite takes ON for that of a join.
    let conflict = if may_be_there { " WHERE true ON CONFLICT DO NOTHING" } else { "" };
    let sql = format!("INSERT INTO \"{table}\" ({names}) SELECT {taken} FROM {source}{conflict}");
    Ok(Prepared { statement: Statement::from_sql_and_values(backend, sql, values), table, rows: count, may_be_there })
}

fn update<E>(backend: DbBackend, rows: Vec<E::ActiveModel>) -> Result<Prepared, DbErr>
where
    E: Owned,
    E::ActiveModel: ActiveModelTrait<Entity = E>,
{
    let count = rows.len() as u64;
    let key = E::PrimaryKey::iter().map(PrimaryKeyToColumn::into_column).collect::<Vec<E::Column>>();
    let is_one = |column: &E::Column, of: &[E::Column]| of.iter().any(|one| one.as_str() == column.as_str());
    let changed = E::Column::iter().filter(|column| !is_one(column, &key) && !is_one(column, E::FIXED));
    let columns = key.iter().copied().chain(changed).collect::<Vec<_>>();
    let rows = Rows::of(rows, &columns)?;
    let table = E::default().table_name();
    let is = |place: usize| format!("\"{table}\".{} = rows.c{place}", rows.names[place]);
    let keys = (0..key.len()).map(is).collect::<Vec<_>>().join(" AND ");
    let set = |place: usize| format!("{} = {}", rows.names[place], rows.taken(backend, place));
    let set = (key.len()..columns.len()).map(set).collect::<Vec<_>>().join(", ");
    let (source, values) = rows.source(backend, key.len())?;
    let sql = format!("UPDATE \"{table}\" SET {set} FROM {source} WHERE {keys}");
    Ok(Prepared {
        statement: Statement::from_sql_and_values(backend, sql, values),
        table,
        rows: count,
        may_be_there: false,
    })
}

/// The values of a column, one of them where all are the same.
fn once_if_alike(mut values: Vec<Value>) -> Vec<Value> {
    if values.iter().skip(1).all(|value| *value == values[0]) {
        values.truncate(1);
    }
    values
}

/// Columns of which one number can say, a bit for each, that they are null.
const BITS: usize = 63;

/// Some columns of rows, as a statement takes them.
struct Rows {
    /// Quoted.
    names: Vec<String>,
    nullable: Vec<bool>,
    /// A list for each column.
    values: Vec<Vec<Value>>,
    /// A bit for each column of a row that is null there.
    nulls: Vec<i64>,
}

impl Rows {
    fn of<M>(rows: Vec<M>, columns: &[<M::Entity as EntityTrait>::Column]) -> Result<Self, DbErr>
    where
        M: ActiveModelTrait,
    {
        if columns.len() > BITS {
            return Err(DbErr::Custom(format!("{} columns are too many", columns.len())));
        }
        let mut values = columns.iter().map(|_| Vec::with_capacity(rows.len())).collect::<Vec<_>>();
        let mut nulls = Vec::with_capacity(rows.len());
        let nullable = columns.iter().map(|column| column.def().is_null()).collect::<Vec<_>>();
        for mut row in rows {
            let mut null = 0_i64;
            for (place, column) in columns.iter().enumerate() {
                let (ActiveValue::Set(value) | ActiveValue::Unchanged(value)) = row.take(*column) else {
                    return Err(DbErr::AttrNotSet(column.as_str().to_owned()));
                };
                if is_null(&value) {
                    if !nullable[place] {
                        return Err(DbErr::Custom(format!("{} is never null", column.as_str())));
                    }
                    null |= 1 << place;
                }
                values[place].push(value);
            }
            nulls.push(null);
        }
        let names = columns.iter().map(|column| format!("\"{}\"", column.as_str())).collect();
        Ok(Self { names, nullable, values, nulls })
    }

    /// A column's value, out of the source. On PostgreSQL a column with one value for all rows comes as that one:
    /// `unnest` fills the shorter array up with nulls.
    fn taken(&self, backend: DbBackend, place: usize) -> String {
        if backend != DbBackend::Postgres {
            return format!("rows.c{place}");
        }
        let value = format!("coalesce(rows.c{place}, (${})[1])", place + 1);
        if self.nullable[place] {
            format!("CASE WHEN rows.nulls & {} = 0 THEN {value} END", 1_i64 << place)
        } else {
            value
        }
    }

    /// The rows as a table `rows` with the columns c0, c1 and so on, of which the first few are the key by which they are
    /// found; and its parameters.
    fn source(self, backend: DbBackend, key: usize) -> Result<(String, Vec<Value>), DbErr> {
        let list = |count: usize, of: &dyn Fn(usize) -> String| (0..count).map(of).collect::<Vec<_>>().join(", ");
        let (columns, count) = (self.values.len(), self.nulls.len());
        if backend == DbBackend::Postgres {
            let all = self.values.into_iter().enumerate();
            let arrays = all.map(|(n, values)| array(if n < key { values } else { once_if_alike(values) }));
            let mut arrays = arrays.collect::<Result<Vec<_>, _>>()?;
            arrays.push(array(self.nulls.into_iter().map(Value::from).collect())?);
            let (places, names) = (list(columns + 1, &|n| format!("${}", n + 1)), list(columns, &|n| format!("c{n}")));
            return Ok((format!("unnest({places}) AS rows ({names}, nulls)"), arrays));
        }
        let mut of_columns = self.values.into_iter().map(Vec::into_iter).collect::<Vec<_>>();
        let values = (0..count).flat_map(|_| of_columns.iter_mut().filter_map(Iterator::next).collect::<Vec<_>>());
        let values = values.collect();
        let row = format!("({})", list(columns, &|_| "?".to_owned()));
        let names = list(columns, &|n| format!("column{} AS c{n}", n + 1));
        Ok((format!("(SELECT {names} FROM (VALUES {})) AS rows", list(count, &|_| row.clone())), values))
    }
}
