//! When credits end: a policy as it is stored, on a credit type and on each grant.

use chrono::{DateTime, NaiveDate, Utc};
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

/// Which kind of policy a row holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum, Serialize)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum ExpirationKind {
    Never,
    After,
    On,
    At,
}

/// The unit of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum PeriodUnit {
    Day,
    Week,
    Month,
    Year,
}

/// What a period is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Anchor {
    /// The instant from which the grant counts.
    Issue,
    /// The first consume or capture; until then the grant does not expire.
    FirstUse,
}

/// When credits end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expiration {
    /// They never do.
    Never,
    /// A period after the anchor; its last local day can be used whole.
    After { count: i32, unit: PeriodUnit, from: Anchor },
    /// At the end of a local date.
    On(NaiveDate),
    /// At an exact instant.
    At(DateTime<Utc>),
}

impl Expiration {
    /// Which kind it is.
    #[must_use]
    pub fn kind(&self) -> ExpirationKind {
        match self {
            Self::Never => ExpirationKind::Never,
            Self::After { .. } => ExpirationKind::After,
            Self::On(_) => ExpirationKind::On,
            Self::At(_) => ExpirationKind::At,
        }
    }

    /// The period, if it is one: count, unit, anchor.
    #[must_use]
    pub fn period(&self) -> Option<(i32, PeriodUnit, Anchor)> {
        match *self {
            Self::After { count, unit, from } => Some((count, unit, from)),
            _ => None,
        }
    }

    /// The local date, if it is one.
    #[must_use]
    pub fn date(&self) -> Option<NaiveDate> {
        match *self {
            Self::On(date) => Some(date),
            _ => None,
        }
    }

    /// From the columns of a row; `None` where they do not fit together, which the tables' CHECKs rule out.
    #[must_use]
    pub fn from_columns(
        kind: ExpirationKind,
        (count, unit, from): (Option<i32>, Option<PeriodUnit>, Option<Anchor>),
        date: Option<NaiveDate>,
        at: Option<DateTime<Utc>>,
    ) -> Option<Self> {
        match kind {
            ExpirationKind::Never => Some(Self::Never),
            ExpirationKind::After => Some(Self::After { count: count?, unit: unit?, from: from? }),
            ExpirationKind::On => date.map(Self::On),
            ExpirationKind::At => at.map(Self::At),
        }
    }
}
