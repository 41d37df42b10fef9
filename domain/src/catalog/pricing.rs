//! What a quantity costs (pure): tiers, and what they add up to. Money is whole minor units throughout.
//!
//! * *Volume*: the tier that the quantity falls in prices every unit.
//! * *Graduated*: each tier prices the units that fall in it.
//!
//! A tier's flat fee comes on top: of the one tier (volume), of each tier that the quantity reaches (graduated).

use entity::Minor;
use entity::price::TierMode;
use serde::{Deserialize, Serialize};

use crate::ground::error::Refusal;
use crate::ground::input;

/// Tiers of one price.
const MOST_TIERS: usize = 50;

/// What units from one number to another cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tier {
    /// The first unit that it prices.
    pub from: i64,
    /// The last one; none if it has no end.
    pub up_to: Option<i64>,
    /// What each unit costs.
    pub unit: Minor,
    /// What comes on top, once.
    pub flat: Minor,
}

/// A quantity that costs less than one unit fewer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inversion {
    pub quantity: i64,
    pub total: Minor,
    /// What one unit fewer costs.
    pub fewer_total: Minor,
}

/// Refuses tiers that do not begin at 1, leave a gap or overlap, end where more can be bought, or cost less than nothing.
pub fn check(field: &str, tiers: &[Tier], maximum: Option<i64>) -> Result<(), Refusal> {
    let refuse = |number: usize, part: &str, message: String| {
        Err(Refusal::invalid(&format!("{field}.{number}.{part}"), message))
    };
    if tiers.is_empty() || tiers.len() > MOST_TIERS {
        return Err(Refusal::invalid(field, format!("Must have 1 to {MOST_TIERS} tiers.")));
    }
    let mut next = 1;
    for (number, tier) in tiers.iter().enumerate() {
        if tier.from != next {
            let message = match (number, tier.from < next) {
                (0, _) => "The first tier must begin at 1.".to_owned(),
                (_, true) => format!("This tier overlaps the one before it: it must begin at {next}."),
                (_, false) => format!("Between this tier and the one before it is a gap: it must begin at {next}."),
            };
            return refuse(number, "from", message);
        }
        input::cost(&format!("{field}.{number}.unitAmount"), tier.unit)?;
        input::cost(&format!("{field}.{number}.flatAmount"), tier.flat)?;
        match tier.up_to {
            Some(last) if last < tier.from => return refuse(number, "upTo", format!("Must be {} or more.", tier.from)),
            Some(last) => next = last.saturating_add(1),
            None if number + 1 < tiers.len() => {
                return refuse(number, "upTo", "Only the last tier may have no end.".to_owned());
            }
            None => return Ok(()),
        }
    }
    match maximum {
        Some(maximum) if maximum < next => Ok(()),
        _ => refuse(
            tiers.len() - 1,
            "upTo",
            "The last tier must have no end, or maximumQuantity must lie within it.".to_owned(),
        ),
    }
}

/// The tier that a quantity falls in.
#[must_use]
pub fn tier_of(tiers: &[Tier], quantity: i64) -> Option<&Tier> {
    tiers.iter().find(|tier| tier.from <= quantity && tier.up_to.is_none_or(|last| quantity <= last))
}

/// What a quantity costs; none for one that no tier prices, or whose price is beyond what one order may cost.
#[must_use]
pub fn total(mode: TierMode, tiers: &[Tier], quantity: i64) -> Option<Minor> {
    let at = tier_of(tiers, quantity)?;
    let cost = |tier: &Tier, units: i64| i128::from(tier.unit.0) * i128::from(units) + i128::from(tier.flat.0);
    let sum = match mode {
        TierMode::Volume => cost(at, quantity),
        TierMode::Graduated => tiers
            .iter()
            .take_while(|tier| tier.from <= quantity)
            .map(|tier| cost(tier, tier.up_to.map_or(quantity, |last| last.min(quantity)) - tier.from + 1))
            .sum(),
    };
    i64::try_from(sum).ok().map(Minor).filter(|sum| *sum <= Minor::MOST)
}

/// Where more units cost less in total: only a border between tiers can be such a place, since no unit costs less than
/// nothing.
#[must_use]
pub fn inversions(mode: TierMode, tiers: &[Tier], (least, most): (i64, Option<i64>)) -> Vec<Inversion> {
    let borders = tiers.iter().skip(1).map(|tier| tier.from);
    let sold = borders.filter(|from| *from > least && most.is_none_or(|most| *from <= most));
    let inverted = sold.filter_map(|quantity| {
        let (total, fewer_total) = (total(mode, tiers, quantity)?, total(mode, tiers, quantity - 1)?);
        (total < fewer_total).then_some(Inversion { quantity, total, fewer_total })
    });
    inverted.collect()
}

/// What one credit costs, rounded half up to the minor unit.
#[must_use]
pub fn per_credit(total: Minor, credits: i64) -> Option<Minor> {
    (credits > 0).then(|| Minor((2 * total.0 + credits) / (2 * credits)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tier(from: i64, up_to: Option<i64>, unit: i64, flat: i64) -> Tier {
        Tier { from, up_to, unit: Minor(unit), flat: Minor(flat) }
    }

    #[test]
    fn five_cost_25_more_than_four() {
        let tiers = [tier(1, Some(4), 10_000, 0), tier(5, None, 8_500, 0)];
        let cost = |quantity| total(TierMode::Volume, &tiers, quantity).expect("a price").0;
        assert_eq!((cost(4), cost(5), cost(5) - cost(4)), (40_000, 42_500, 2_500));
        assert_eq!(inversions(TierMode::Volume, &tiers, (1, None)), []);
    }

    #[test]
    fn more_that_costs_less_is_found_where_it_is_sold() {
        let tiers = [tier(1, Some(9), 1_000, 0), tier(10, None, 800, 0)];
        let found = inversions(TierMode::Volume, &tiers, (1, None));
        assert_eq!(found, [Inversion { quantity: 10, total: Minor(8_000), fewer_total: Minor(9_000) }]);
        assert_eq!(inversions(TierMode::Volume, &tiers, (1, Some(9))), []);
        assert_eq!(inversions(TierMode::Graduated, &tiers, (1, None)), []);
    }

    #[test]
    fn tiers_that_do_not_fit_say_where() {
        let field =
            |tiers: &[Tier], most| check("tiers", tiers, most).expect_err("it is refused").field().map(|f| f.join("."));
        let of = |text: &str| Some(text.to_owned());
        assert_eq!(field(&[tier(2, None, 1, 0)], None), of("tiers.0.from"));
        assert_eq!(field(&[tier(1, Some(4), 1, 0), tier(6, None, 1, 0)], None), of("tiers.1.from"));
        assert_eq!(field(&[tier(1, Some(4), 1, 0), tier(4, None, 1, 0)], None), of("tiers.1.from"));
        assert_eq!(field(&[tier(1, Some(4), -1, 0), tier(5, None, 1, 0)], None), of("tiers.0.unitAmount"));
        assert_eq!(field(&[tier(1, Some(4), 1, 0)], None), of("tiers.0.upTo"));
        assert_eq!(field(&[tier(1, None, 1, 0), tier(5, None, 1, 0)], None), of("tiers.0.upTo"));
        assert_eq!(field(&[tier(1, Some(0), 1, 0)], None), of("tiers.0.upTo"));
        assert!(check("tiers", &[tier(1, Some(4), 1, 0)], Some(4)).is_ok());
    }

    #[test]
    fn a_price_beyond_every_order_is_none() {
        assert_eq!(total(TierMode::Volume, &[tier(1, None, Minor::MOST.0, 0)], 2), None);
        assert_eq!(per_credit(Minor(100), 3), Some(Minor(33)));
        assert_eq!(per_credit(Minor(200), 3), Some(Minor(67)));
        assert_eq!(per_credit(Minor(1), 0), None);
    }

    proptest::proptest! {
        /// Counted unit by unit, a graduated price is the sum of what each unit adds.
        #[test]
        fn a_graduated_price_is_the_sum_of_its_units(
            sizes in proptest::collection::vec((1_i64..6, 0_i64..500, 0_i64..500), 1..6), quantity in 1_i64..40,
        ) {
            let mut tiers = Vec::new();
            let mut from = 1;
            for (size, unit, flat) in sizes {
                tiers.push(tier(from, Some(from + size - 1), unit, flat));
                from += size;
            }
            tiers.last_mut().expect("one").up_to = None;
            let each = (1..=quantity).map(|unit| {
                let tier = tier_of(&tiers, unit).expect("a tier");
                tier.unit.0 + if tier.from == unit { tier.flat.0 } else { 0 }
            });
            proptest::prop_assert_eq!(total(TierMode::Graduated, &tiers, quantity), Some(Minor(each.sum())));
        }
    }
}
