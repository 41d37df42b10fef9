//! When credits end: a policy, of a credit type and of each grant.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::time::Instant;
use crate::words::words;

words! {
    /// Which kind of policy a row holds.
    ExpirationKind {
        Never = "never",
        After = "after",
        On = "on",
        At = "at",
    }

    /// The unit of a period.
    PeriodUnit {
        Day = "day",
        Week = "week",
        Month = "month",
        Year = "year",
    }

    /// What a period is counted from.
    Anchor {
        /// The instant from which the grant counts.
        Issue = "issue",
        /// The first consume or capture; until then the grant does not expire.
        FirstUse = "first_use",
    }
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
    At(Instant),
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
        at: Option<Instant>,
    ) -> Option<Self> {
        match kind {
            ExpirationKind::Never => Some(Self::Never),
            ExpirationKind::After => Some(Self::After { count: count?, unit: unit?, from: from? }),
            ExpirationKind::On => date.map(Self::On),
            ExpirationKind::At => at.map(Self::At),
        }
    }
}
