//! Values of one column as one array, for PostgreSQL: a statement with arrays has the same text for any number of rows,
//! so that it is read and planned once, where one with a parameter for each value is so each time.

use sea_orm::sea_query::ArrayType;
use sea_orm::{DbErr, Value};

/// One array of values of one type. What is null becomes the type's own nothing (0, an empty text): an array that is
/// bound has no nulls, so whoever has some says beside it which they are.
pub fn array(values: Vec<Value>) -> Result<Value, DbErr> {
    let kind = match values.first() {
        Some(Value::Bool(_)) => ArrayType::Bool,
        Some(Value::SmallInt(_)) => ArrayType::SmallInt,
        Some(Value::Int(_)) => ArrayType::Int,
        Some(Value::BigInt(_)) | None => ArrayType::BigInt,
        Some(Value::String(_)) => ArrayType::String,
        Some(Value::Bytes(_)) => ArrayType::Bytes,
        Some(Value::Json(_)) => ArrayType::Json,
        Some(Value::ChronoDate(_)) => ArrayType::ChronoDate,
        Some(Value::ChronoDateTimeUtc(_)) => ArrayType::ChronoDateTimeUtc,
        Some(Value::Uuid(_)) => ArrayType::Uuid,
        Some(other) => return Err(DbErr::Type(format!("{other:?} is in no array yet"))),
    };
    let whole = |value: Value| if is_null(&value) { value.dummy_value() } else { value };
    Ok(Value::Array(kind, Some(Box::new(values.into_iter().map(whole).collect()))))
}

/// Whether a value is null.
#[must_use]
pub fn is_null(value: &Value) -> bool {
    *value == value.as_null()
}
