//! Many rows in one statement: added, added where they are new, or written over those with the same key. SeaORM has no
//! multi-row UPDATE.
//!
//! SQLite takes a parameter for each value. PostgreSQL takes an array for each column, so that the text of the statement
//! does not depend on how many rows there are, and is read and planned once.

use entity::{array, is_null};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelBehavior, ActiveModelTrait, ActiveValue, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr,
    EntityTrait, IdenStatic, IntoActiveModel, Iterable, PrimaryKeyToColumn, Statement, TryInsertResult, Value,
};

/// Rows of one statement on SQLite: the widest table has 36 columns, and it binds at most 32,766 values.
const ROWS: usize = 900;

/// What becomes of a row whose key is there already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum There {
    Fails,
    Stays,
    IsOverwritten,
}

/// Adds rows.
pub async fn add<E>(txn: &DatabaseTransaction, rows: Vec<E::Model>) -> Result<(), DbErr>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
    E::ActiveModel: ActiveModelTrait<Entity = E> + ActiveModelBehavior + Send,
{
    insert::<E>(txn, rows, There::Fails).await.map(drop)
}

/// Adds those rows whose keys are new; answers how many were.
pub async fn add_new<E>(txn: &DatabaseTransaction, rows: Vec<E::Model>) -> Result<u64, DbErr>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
    E::ActiveModel: ActiveModelTrait<Entity = E> + ActiveModelBehavior + Send,
{
    insert::<E>(txn, rows, There::Stays).await
}

/// Adds rows, and writes those whose keys are there over them.
pub async fn overwrite<E>(txn: &DatabaseTransaction, rows: Vec<E::Model>) -> Result<(), DbErr>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
    E::ActiveModel: ActiveModelTrait<Entity = E> + ActiveModelBehavior + Send,
{
    insert::<E>(txn, rows, There::IsOverwritten).await.map(drop)
}

async fn insert<E>(txn: &DatabaseTransaction, rows: Vec<E::Model>, there: There) -> Result<u64, DbErr>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
    E::ActiveModel: ActiveModelTrait<Entity = E> + ActiveModelBehavior + Send,
{
    if rows.is_empty() {
        return Ok(0);
    }
    let mut rows = rows.into_iter().map(IntoActiveModel::into_active_model).peekable();
    if txn.get_database_backend() == DbBackend::Postgres {
        let statement = with_arrays::<E>(rows.collect(), there)?;
        return Ok(txn.execute_raw(statement).await?.rows_affected());
    }
    let mut written = 0;
    while rows.peek().is_some() {
        let some = E::insert_many(rows.by_ref().take(ROWS));
        written += match there {
            There::Fails => some.exec_without_returning(txn).await?,
            There::IsOverwritten => some.on_conflict(over::<E>()).exec_without_returning(txn).await?,
            There::Stays => match some.on_conflict_do_nothing().exec_without_returning(txn).await? {
                TryInsertResult::Inserted(count) => count,
                TryInsertResult::Empty | TryInsertResult::Conflicted => 0,
            },
        };
    }
    Ok(written)
}

fn key<E: EntityTrait>() -> Vec<E::Column> {
    E::PrimaryKey::iter().map(PrimaryKeyToColumn::into_column).collect()
}

/// The columns that are not of the key.
fn rest<E: EntityTrait>() -> impl Iterator<Item = E::Column> {
    let key = key::<E>();
    E::Column::iter().filter(move |column| !key.iter().any(|key| key.as_str() == column.as_str()))
}

fn over<E: EntityTrait>() -> OnConflict {
    OnConflict::columns(key::<E>()).update_columns(rest::<E>()).to_owned()
}

/// Columns of which one number can say, a bit for each, that they are null.
const BITS: usize = 63;

/// One array for each column, and one that says of each row which of its columns are null.
fn with_arrays<E>(rows: Vec<E::ActiveModel>, there: There) -> Result<Statement, DbErr>
where
    E: EntityTrait,
    E::ActiveModel: ActiveModelTrait<Entity = E>,
{
    let columns = E::Column::iter().collect::<Vec<_>>();
    if columns.len() > BITS {
        return Err(DbErr::Custom(format!("{} has too many columns", E::default().table_name())));
    }
    let mut values = columns.iter().map(|_| Vec::with_capacity(rows.len())).collect::<Vec<_>>();
    let mut nulls = Vec::with_capacity(rows.len());
    let mut may_be_null = 0_i64;
    for mut row in rows {
        let mut null = 0_i64;
        for (place, column) in columns.iter().enumerate() {
            let (ActiveValue::Set(value) | ActiveValue::Unchanged(value)) = row.take(*column) else {
                return Err(DbErr::AttrNotSet(column.as_str().to_owned()));
            };
            null |= i64::from(is_null(&value)) << place;
            values[place].push(value);
        }
        may_be_null |= null;
        nulls.push(Value::from(null));
    }
    let quoted = |names: Vec<String>| names.join(", ");
    let names = columns.iter().map(|column| format!("\"{}\"", column.as_str())).collect::<Vec<_>>();
    let nullable = columns.iter().map(|column| sea_orm::ColumnTrait::def(column).is_null()).collect::<Vec<_>>();
    if let Some(place) = (0..columns.len()).find(|place| may_be_null & (1 << place) != 0 && !nullable[*place]) {
        return Err(DbErr::Custom(format!("{} is never null", names[place])));
    }
    let taken = |place: usize| {
        let bit = 1_i64 << place;
        if nullable[place] { format!("CASE WHEN nulls & {bit} = 0 THEN c{place} END") } else { format!("c{place}") }
    };
    let conflict = match there {
        There::Fails => String::new(),
        There::Stays => " ON CONFLICT DO NOTHING".to_owned(),
        There::IsOverwritten => {
            let name = |column: E::Column| format!("\"{}\"", column.as_str());
            let key = quoted(key::<E>().into_iter().map(name).collect());
            let set = rest::<E>().map(|column| format!("{0} = EXCLUDED.{0}", name(column))).collect();
            format!(" ON CONFLICT ({key}) DO UPDATE SET {}", quoted(set))
        }
    };
    let sql = format!(
        "INSERT INTO \"{}\" ({}) SELECT {} FROM unnest({}) AS rows ({}, nulls){conflict}",
        E::default().table_name(),
        quoted(names.clone()),
        quoted((0..columns.len()).map(taken).collect()),
        quoted((1..=columns.len() + 1).map(|place| format!("${place}")).collect()),
        quoted((0..columns.len()).map(|place| format!("c{place}")).collect()),
    );
    let mut arrays = values.into_iter().map(array).collect::<Result<Vec<_>, _>>()?;
    arrays.push(array(nulls)?);
    Ok(Statement::from_sql_and_values(DbBackend::Postgres, sql, arrays))
}
