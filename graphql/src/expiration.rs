//! Expiration policies, as inputs and as answers.

use async_graphql::{Enum, InputObject, OneofObject, SimpleObject};
use entity::{Anchor, Expiration, PeriodUnit};

use super::scalars::{Date, DateTime, Whole};
use domain::Refusal;

/// The unit of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "PeriodUnit", name = "PeriodUnit")]
pub enum PeriodUnitName {
    /// Calendar days.
    Day,
    /// Seven days.
    Week,
    /// Calendar months: 31 January and one month is the last of February.
    Month,
    /// Calendar years.
    Year,
}

/// What a period is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Anchor", name = "ExpirationAnchor")]
pub enum ExpirationAnchor {
    /// The instant from which the credits count.
    Issue,
    /// The first time that any of them is used; until then they do not expire.
    FirstUse,
}

/// A period after which credits end.
#[derive(InputObject)]
pub struct PeriodInput {
    /// How many units: 1 up to a hundred years.
    count: Whole,
    /// The unit.
    unit: PeriodUnitName,
    /// What it is counted from.
    #[graphql(default_with = "ExpirationAnchor::Issue")]
    from: ExpirationAnchor,
}

/// When credits end. Exactly one of the fields.
#[derive(OneofObject)]
pub enum ExpirationInput {
    /// They never end; the value is `true`.
    Never(bool),
    /// After a period. Its last day, in the account's time zone, can be used whole.
    After(PeriodInput),
    /// At the end of a date in the account's time zone.
    On(Date),
    /// At an exact instant; for a single issue only.
    At(DateTime),
}

impl ExpirationInput {
    /// The policy it stands for.
    pub fn policy(self) -> Result<Expiration, Refusal> {
        Ok(match self {
            Self::Never(true) => Expiration::Never,
            Self::Never(false) => {
                return Err(Refusal::invalid(
                    "expiration.never",
                    "Must be true. To let credits end, use after, on or at.",
                ));
            }
            Self::After(period) => {
                Expiration::After { count: period.count.0, unit: period.unit.into(), from: period.from.into() }
            }
            Self::On(date) => Expiration::On(date.0),
            Self::At(at) => Expiration::At(at.0),
        })
    }
}

/// A period after which credits end.
#[derive(SimpleObject)]
pub struct Period {
    /// How many units.
    count: i32,
    /// The unit.
    unit: PeriodUnitName,
    /// What it is counted from.
    from: ExpirationAnchor,
}

/// When credits end. Exactly one of the fields is set.
#[derive(SimpleObject)]
#[graphql(name = "Expiration")]
pub struct ExpirationPolicy {
    /// `true` if they never end.
    never: Option<bool>,
    /// The period after which they end.
    after: Option<Period>,
    /// The last date on which they can be used, in the account's time zone.
    on: Option<Date>,
    /// The instant at which they end.
    at: Option<DateTime>,
}

impl From<Expiration> for ExpirationPolicy {
    fn from(policy: Expiration) -> Self {
        let mut answer = Self { never: None, after: None, on: None, at: None };
        match policy {
            Expiration::Never => answer.never = Some(true),
            Expiration::After { count, unit, from } => {
                answer.after = Some(Period { count, unit: unit.into(), from: from.into() });
            }
            Expiration::On(date) => answer.on = Some(Date(date)),
            Expiration::At(at) => answer.at = Some(DateTime(at)),
        }
        answer
    }
}
