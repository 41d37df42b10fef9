//! The scalars: what a value looks like on the wire.

use std::borrow::Cow;

use async_graphql::registry::Registry;
use async_graphql::{InputValueError, InputValueResult, Number, Scalar, ScalarType, SimpleObject, Value};
use chrono::{NaiveDate, SecondsFormat};

use domain::ground::clock::{Instant, truncate};
use domain::ground::input;

/// A whole number of credits, as a JSON integer. Operations take 1 to 1,000,000,000.
pub struct Credits(pub entity::Credits);

#[Scalar(name = "Credits")]
/// A whole number of credits, as a JSON integer. Operations take 1 to 1,000,000,000.
impl ScalarType for Credits {
    fn parse(value: Value) -> InputValueResult<Self> {
        // What is no whole number becomes one that no operation accepts: the domain answers with field and limit.
        Ok(Self(entity::Credits(match &value {
            Value::Number(number) => number.as_i64().unwrap_or(i64::MIN),
            _ => i64::MIN,
        })))
    }

    fn to_value(&self) -> Value {
        Value::Number(Number::from(self.0.0))
    }
}

/// An amount of money in the minor unit of its currency (cents for USD, yen for JPY), as a JSON integer.
pub struct MinorUnits(pub entity::Minor);

#[Scalar(name = "MinorUnits")]
/// An amount of money in the minor unit of its currency (cents for USD, yen for JPY), as a JSON integer.
impl ScalarType for MinorUnits {
    fn parse(value: Value) -> InputValueResult<Self> {
        Ok(Self(entity::Minor(match &value {
            Value::Number(number) => number.as_i64().unwrap_or(i64::MIN),
            _ => i64::MIN,
        })))
    }

    fn to_value(&self) -> Value {
        Value::Number(Number::from(self.0.0))
    }
}

/// A whole number of an input, an `Int` in the schema. One that an `Int` cannot hold is taken as the nearest that it can:
/// the library would find out about it in the middle of a mutation; the domain answers with field and limit.
#[derive(Clone, Copy)]
pub struct Whole(pub i32);

impl async_graphql::InputType for Whole {
    type RawValueType = i32;

    fn type_name() -> Cow<'static, str> {
        <i32 as async_graphql::InputType>::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        <i32 as async_graphql::InputType>::create_type_info(registry)
    }

    fn parse(value: Option<Value>) -> InputValueResult<Self> {
        let Some(Value::Number(number)) = &value else {
            return Err(InputValueError::expected_type(value.unwrap_or_default()));
        };
        let number = number.as_i64().ok_or_else(|| InputValueError::custom("Must be a whole number"))?;
        let nearest = number.clamp(i64::from(i32::MIN), i64::from(i32::MAX));
        Ok(Self(i32::try_from(nearest).expect("it was brought near enough")))
    }

    fn to_value(&self) -> Value {
        Value::Number(Number::from(self.0))
    }

    fn as_raw_value(&self) -> Option<&i32> {
        Some(&self.0)
    }
}

/// An instant in UTC to the microsecond, such as `2026-03-31T16:30:00Z`.
pub struct DateTime(pub Instant);

#[Scalar(name = "DateTime", specified_by_url = "https://datatracker.ietf.org/doc/html/rfc3339")]
/// An instant in UTC to the microsecond (RFC 3339), such as `2026-03-31T16:30:00Z`. Other offsets are accepted.
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else { return Err(InputValueError::expected_type(value)) };
        let at = chrono::DateTime::parse_from_rfc3339(text)
            .map_err(|_| InputValueError::custom("write an instant with its offset, such as 2026-03-31T16:30:00Z"))?;
        Ok(Self(truncate(at.to_utc())))
    }

    // Checked before anything runs: an argument that fails in the middle would null what was written before it.
    fn is_valid(value: &Value) -> bool {
        Self::parse(value.clone()).is_ok()
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

/// A calendar date, such as `2026-03-31`.
pub struct Date(pub NaiveDate);

#[Scalar(name = "Date", specified_by_url = "https://datatracker.ietf.org/doc/html/rfc3339#section-5.6")]
/// A calendar date (RFC 3339 full-date), such as `2026-03-31`, in the account's time zone.
impl ScalarType for Date {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else { return Err(InputValueError::expected_type(value)) };
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d");
        date.map(Self).map_err(|_| InputValueError::custom("write a date such as 2026-03-31"))
    }

    fn is_valid(value: &Value) -> bool {
        Self::parse(value.clone()).is_ok()
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

macro_rules! texts {
    ($($name:ident = $in_schema:literal, $text:literal, $link:literal;)+) => {$(
        #[doc = $text]
        pub struct $name(pub String);

        #[Scalar(name = $in_schema, specified_by_url = $link)]
        #[doc = $text]
        impl ScalarType for $name {
            fn parse(value: Value) -> InputValueResult<Self> {
                match value {
                    Value::String(text) => Ok(Self(text)),
                    other => Err(InputValueError::expected_type(other)),
                }
            }

            fn is_valid(value: &Value) -> bool {
                matches!(value, Value::String(_))
            }

            fn to_value(&self) -> Value {
                Value::String(self.0.clone())
            }
        }
    )+};
}

texts! {
    CurrencyCode = "CurrencyCode", "An ISO 4217 currency code, such as `CHF`.", "https://www.iso.org/iso-4217-currency-codes.html";
    TimeZone = "TimeZone", "An IANA time zone, such as `Europe/Zurich`.", "https://www.iana.org/time-zones";
    Url = "URL", "A web address that begins with `https://` or `http://`.", "https://url.spec.whatwg.org/";
}

/// A JSON object of the business's own.
pub struct Json(pub serde_json::Value);

#[Scalar(name = "JSON", specified_by_url = "https://datatracker.ietf.org/doc/html/rfc8259")]
/// Any JSON value. As metadata or properties it is an object of at most 16 KiB.
impl ScalarType for Json {
    fn parse(value: Value) -> InputValueResult<Self> {
        Ok(Self(value.into_json()?))
    }

    fn to_value(&self) -> Value {
        Value::from_json(self.0.clone()).unwrap_or_default()
    }
}

/// An amount of money.
#[derive(SimpleObject)]
pub struct Money {
    /// The amount in the currency's minor unit: 1250 is 12.50 for CHF and 1250 for JPY.
    minor: MinorUnits,
    /// The currency.
    currency: CurrencyCode,
    /// The amount as people write it, with the currency's number of decimals: `"12.50"`.
    decimal: String,
}

impl Money {
    /// An amount in a currency's minor unit.
    #[must_use]
    pub fn new(minor: entity::Minor, currency: &str) -> Self {
        Self {
            minor: MinorUnits(minor),
            currency: CurrencyCode(currency.to_owned()),
            decimal: input::decimal(minor, currency),
        }
    }
}
