//! Many rows in one statement: added, added where they are new, or changed. SeaORM has no multi-row UPDATE.
//!
//! SQLite takes a parameter for each value. PostgreSQL takes an array for each column, so that the text of the statement
//! does not depend on how many rows there are, and is read and planned once.

use entity::{Owned, array, is_null};
use sea_orm::{
    ActiveModelBehavior, ActiveModelTrait, ActiveValue, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend,
    DbErr, EntityTrait, IdenStatic, IntoActiveModel, Iterable, PrimaryKeyToColumn, Statement, TryInsertResult, Value,
};

/// Rows of one statement on SQLite: the widest table has 36 columns, and it binds at most 32,766 values.
const ROWS: usize = 900;

/// Adds rows.
pub async fn add<E>(txn: &DatabaseTransaction, rows: Vec<E::Model>) -> Result<(), DbErr>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
    E::ActiveModel: ActiveModelTrait<Entity = E> + ActiveModelBehavior + Send,
{
    let mut rows = rows.into_iter().map(IntoActiveModel::into_active_model).peekable();
    if txn.get_database_backend() == DbBackend::Postgres {
        return insert_arrays::<E>(txn, rows.collect(), "").await.map(drop);
    }
    while rows.peek().is_some() {
        E::insert_many(rows.by_ref().take(ROWS)).exec_without_returning(txn).await?;
    }
    Ok(())
}

/// Adds those rows whose keys are new; answers how many were.
pub async fn add_new<E>(txn: &DatabaseTransaction, rows: Vec<E::Model>) -> Result<u64, DbErr>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
    E::ActiveModel: ActiveModelTrait<Entity = E> + ActiveModelBehavior + Send,
{
    let mut rows = rows.into_iter().map(IntoActiveModel::into_active_model).peekable();
    if txn.get_database_backend() == DbBackend::Postgres {
        return insert_arrays::<E>(txn, rows.collect(), " ON CONFLICT DO NOTHING").await;
    }
    let mut added = 0;
    while rows.peek().is_some() {
        let some = E::insert_many(rows.by_ref().take(ROWS)).on_conflict_do_nothing();
        added += match some.exec_without_returning(txn).await? {
            TryInsertResult::Inserted(count) => count,
            TryInsertResult::Empty | TryInsertResult::Conflicted => 0,
        };
    }
    Ok(added)
}

/// Changes rows that are there: every column but those of the key and those that are [fixed](Owned::FIXED).
pub async fn change<E>(txn: &DatabaseTransaction, rows: Vec<E::Model>) -> Result<(), DbErr>
where
    E: Owned,
    E::Model: IntoActiveModel<E::ActiveModel>,
    E::ActiveModel: ActiveModelTrait<Entity = E>,
{
    let key = E::PrimaryKey::iter().map(PrimaryKeyToColumn::into_column).collect::<Vec<E::Column>>();
    let is_one = |column: &E::Column, of: &[E::Column]| of.iter().any(|one| one.as_str() == column.as_str());
    let changed = E::Column::iter().filter(|column| !is_one(column, &key) && !is_one(column, E::FIXED));
    let columns = key.iter().copied().chain(changed).collect::<Vec<_>>();
    let rows = rows.into_iter().map(IntoActiveModel::into_active_model).collect::<Vec<_>>();
    let backend = txn.get_database_backend();
    for some in rows.chunks(if backend == DbBackend::Postgres { usize::MAX } else { ROWS }) {
        let rows = Rows::of(some.to_vec(), &columns)?;
        let table = E::default().table_name().to_owned();
        let is = |place: usize| format!("\"{table}\".{} = rows.c{place}", rows.names[place]);
        let keys = (0..key.len()).map(is).collect::<Vec<_>>().join(" AND ");
        let set = |place: usize| format!("{} = {}", rows.names[place], rows.taken(backend, place));
        let set = (key.len()..columns.len()).map(set).collect::<Vec<_>>().join(", ");
        let count = some.len() as u64;
        let (source, values) = rows.source(backend, key.len())?;
        let sql = format!("UPDATE \"{table}\" SET {set} FROM {source} WHERE {keys}");
        let written = txn.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?.rows_affected();
        if written != count {
            return Err(DbErr::Custom(format!("{count} rows of {table} were to be changed, {written} are there")));
        }
    }
    Ok(())
}

/// Adds rows by arrays; answers how many were.
async fn insert_arrays<E>(txn: &DatabaseTransaction, rows: Vec<E::ActiveModel>, conflict: &str) -> Result<u64, DbErr>
where
    E: EntityTrait,
    E::ActiveModel: ActiveModelTrait<Entity = E>,
{
    if rows.is_empty() {
        return Ok(0);
    }
    let columns = E::Column::iter().collect::<Vec<_>>();
    let rows = Rows::of(rows, &columns)?;
    let taken = (0..columns.len()).map(|place| rows.taken(DbBackend::Postgres, place)).collect::<Vec<_>>().join(", ");
    let (table, names) = (E::default().table_name().to_owned(), rows.names.join(", "));
    let (source, values) = rows.source(DbBackend::Postgres, 0)?;
    let sql = format!("INSERT INTO \"{table}\" ({names}) SELECT {taken} FROM {source}{conflict}");
    Ok(txn.execute_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, values)).await?.rows_affected())
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
