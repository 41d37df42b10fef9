//! What prices are made of: tiers, intervals, and what becomes of what a period leaves unused.

use async_graphql::{Enum, InputObject, OneofObject, Result, SimpleObject};
use entity::price::{Rollover, TierMode};

use super::expiration::PeriodUnitName;
use super::scalars::{Credits, CurrencyCode, MinorUnits, Money, Whole};
use domain::Refusal;
use domain::catalog::prices;
use domain::catalog::pricing::Tier;

/// Which tier prices a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "TierMode", name = "TierMode")]
pub enum TierModeName {
    /// The tier that the quantity falls in prices every unit: with 1-4 at 100 and 5 or more at 85, 5 cost 425.
    Volume,
    /// Each tier prices the units that fall in it: with 1-4 at 100 and 5 or more at 85, 5 cost 485.
    Graduated,
}

/// What becomes of what a period leaves unused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Rollover", name = "RolloverKind")]
pub enum RolloverKind {
    /// It stays, for as long as its own expiration says.
    All,
    /// It ends with the period.
    None,
    /// At most a number stays.
    UpTo,
}

/// What units from one number to another cost.
#[derive(SimpleObject)]
#[graphql(name = "Tier")]
pub struct PriceTier {
    /// The first unit that it prices.
    from: i32,
    /// The last one; null if it has no end.
    up_to: Option<i32>,
    /// What each unit costs.
    unit_amount: Money,
    /// What comes on top, once.
    flat_amount: Money,
}

impl PriceTier {
    /// A tier of a price in a currency.
    #[must_use]
    pub fn new(tier: &Tier, currency: &str) -> Self {
        Self {
            from: whole(tier.from),
            up_to: tier.up_to.map(whole),
            unit_amount: Money::new(tier.unit, currency),
            flat_amount: Money::new(tier.flat, currency),
        }
    }
}

/// A number that the domain keeps within what an `Int` holds.
pub(super) fn whole(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// A number of calendar periods.
#[derive(SimpleObject)]
pub struct Interval {
    /// How many units.
    pub count: i32,
    /// The unit.
    pub unit: PeriodUnitName,
}

/// What units from one number to another cost.
#[derive(InputObject)]
pub struct TierInput {
    /// The first unit that it prices: 1 for the first tier, and one more than the last of the tier before for the others.
    from: Whole,
    /// The last one; left out if it has no end.
    up_to: Option<Whole>,
    /// What each unit costs.
    unit_amount: MinorUnits,
    /// What comes on top, once; nothing, if left out.
    flat_amount: Option<MinorUnits>,
}

/// A number of calendar periods.
#[derive(InputObject)]
pub struct IntervalInput {
    /// How many units.
    pub count: Whole,
    /// The unit.
    pub unit: PeriodUnitName,
}

/// What becomes of what a period leaves unused. Exactly one of the fields.
#[derive(OneofObject)]
pub enum RolloverInput {
    /// It stays, for as long as its own expiration says; the value is `true`.
    All(bool),
    /// It ends with the period; the value is `true`.
    None(bool),
    /// At most this many stay when the next credits come, those that would be used last.
    UpTo(Credits),
}

pub(super) fn money(currency: CurrencyCode, mode: TierModeName, tiers: Vec<TierInput>) -> prices::Money {
    let tier = |tier: TierInput| Tier {
        from: i64::from(tier.from.0),
        up_to: tier.up_to.map(|last| i64::from(last.0)),
        unit: tier.unit_amount.0,
        flat: tier.flat_amount.map(|flat| flat.0).unwrap_or_default(),
    };
    prices::Money { currency: currency.0, mode: mode.into(), tiers: tiers.into_iter().map(tier).collect() }
}

pub(super) fn rollover(input: Option<RolloverInput>) -> Result<(Rollover, Option<entity::Credits>), Refusal> {
    match input {
        None | Some(RolloverInput::All(true)) => Ok((Rollover::All, None)),
        Some(RolloverInput::None(true)) => Ok((Rollover::None, None)),
        Some(RolloverInput::UpTo(most)) => Ok((Rollover::UpTo, Some(most.0))),
        Some(RolloverInput::All(false) | RolloverInput::None(false)) => {
            Err(Refusal::invalid("paid.subscription.rollover", "Must be true. Choose all, none or upTo."))
        }
    }
}
