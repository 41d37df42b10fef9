//! Whether what happened is what somebody waits for (pure): conditions on the properties of an event.
//!
//! A property that is missing counts as null. Numbers are compared by value, texts character by character, so that
//! instants and dates compare as they should; what is not comparable does not hold.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ground::error::{Refusal, Result};
use crate::queue::events::catalogue::{EventType, Kind};

/// Conditions of one trigger or branch.
const MOST: usize = 20;
/// Values in a list.
const VALUES: usize = 100;
/// Characters in the path to a property.
const PATH: usize = 255;
/// Bytes of JSON in one value.
const VALUE: usize = 2_000;

/// What is asked of one property.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// The path to it: names, and numbers of list items from 0, with dots between them.
    pub property: String,
    pub test: Test,
}

/// A question about one value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    Equals(Value),
    Not(Value),
    In(Vec<Value>),
    /// Whether it is there and not null.
    Exists(bool),
    Less(Value),
    Greater(Value),
    /// A text within a text, or an item of a list.
    Contains(Value),
}

/// Whether all conditions must hold, or one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Match {
    #[default]
    All,
    Any,
}

/// The conditions of a trigger. None at all hold always.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Conditions {
    #[serde(rename = "match")]
    pub matching: Match,
    pub conditions: Vec<Condition>,
}

impl Conditions {
    /// Whether they hold.
    #[must_use]
    pub fn hold(&self, properties: &Value) -> bool {
        let mut each = self.conditions.iter().map(|condition| condition.holds(properties));
        match self.matching {
            Match::All => each.all(|held| held),
            Match::Any => self.conditions.is_empty() || each.any(|held| held),
        }
    }

    /// Refuses what is outside the limits, what a built-in event does not say, and what can never hold.
    pub fn check(self, field: &str, built_in: Option<&EventType>) -> Result<Self, Refusal> {
        if self.conditions.len() > MOST {
            return Err(Refusal::invalid(field, format!("At most {MOST} conditions.")));
        }
        for (number, condition) in self.conditions.iter().enumerate() {
            condition.check(&format!("{field}.{number}"), built_in)?;
        }
        self.check_possible(field)?;
        Ok(self)
    }

    /// Refuses what can never hold, each by itself or all together.
    pub fn check_possible(&self, field: &str) -> Result<(), Refusal> {
        let alone = self.conditions.iter().map(std::slice::from_ref);
        let together = if self.matching == Match::All { vec![self.conditions.as_slice()] } else { Vec::new() };
        match alone.chain(together).find_map(contradiction) {
            None => Ok(()),
            Some(property) => {
                let message = format!("This can never hold: what is asked of {property} excludes itself.");
                Err(Refusal::invalid(field, message))
            }
        }
    }
}

impl Condition {
    /// Whether it holds.
    #[must_use]
    pub fn holds(&self, properties: &Value) -> bool {
        self.test.holds(self.found(properties))
    }

    /// The value that it asks about.
    #[must_use]
    pub fn found<'a>(&self, properties: &'a Value) -> &'a Value {
        self.property.split('.').fold(properties, |value, name| match value {
            Value::Object(members) => members.get(name).unwrap_or(&Value::Null),
            Value::Array(items) => name.parse().ok().and_then(|at: usize| items.get(at)).unwrap_or(&Value::Null),
            _ => &Value::Null,
        })
    }

    /// Refuses what is outside the limits, and what a built-in event does not say.
    pub fn check(&self, field: &str, built_in: Option<&EventType>) -> Result<(), Refusal> {
        let path = &self.property;
        if path.is_empty() || path.len() > PATH || path.split('.').any(|name| name.trim().is_empty()) {
            let message =
                format!("Must be the path to a property, such as plan or lines.0.sku, in at most {PATH} bytes.");
            return Err(Refusal::invalid(&format!("{field}.property"), message));
        }
        let nul = |text: String| text.contains("\\u0000") || text.contains('\0');
        if nul(path.clone()) || serde_json::to_string(&self.test).is_ok_and(nul) {
            return Err(Refusal::invalid(field, "Must not contain the character U+0000."));
        }
        let values: Vec<&Value> = match &self.test {
            Test::Equals(value)
            | Test::Not(value)
            | Test::Less(value)
            | Test::Greater(value)
            | Test::Contains(value) => {
                vec![value]
            }
            Test::In(values) => values.iter().collect(),
            Test::Exists(_) => Vec::new(),
        };
        if values.len() > VALUES || values.iter().any(|value| value.to_string().len() > VALUE) {
            let message = format!("Must be at most {VALUES} values of {VALUE} bytes each.");
            return Err(Refusal::invalid(field, message));
        }
        if let Test::Less(value) | Test::Greater(value) = &self.test
            && !(value.is_number() || value.is_string())
        {
            return Err(Refusal::invalid(field, "Only numbers and texts are less or greater. Give one of them."));
        }
        let Some(event) = built_in else { return Ok(()) };
        let (first, deeper) = self.property.split_once('.').map_or((path.as_str(), false), |(first, _)| (first, true));
        let known = event
            .properties
            .iter()
            .find(|property| property.name == first && (!deeper || matches!(property.kind, Kind::List | Kind::Object)));
        let Some(property) = known else {
            let names = event.properties.iter().map(|property| property.name).collect::<Vec<_>>().join(", ");
            let message = format!("{} has no property {path}; it has {names}.", event.name);
            return Err(Refusal::invalid(&format!("{field}.property"), message));
        };
        if deeper {
            return Ok(());
        }
        let fits = |value: &Value| match (property.kind, value) {
            (_, Value::Null) => property.optional,
            (Kind::Text | Kind::Id | Kind::Instant, Value::String(_)) | (Kind::List | Kind::Object, _) => true,
            (Kind::Whole, Value::Number(number)) => {
                number.is_i64() || matches!(self.test, Test::Less(_) | Test::Greater(_))
            }
            _ => false,
        };
        let suits = match &self.test {
            Test::Contains(_) => matches!(property.kind, Kind::Text | Kind::List),
            Test::Less(_) | Test::Greater(_) => matches!(property.kind, Kind::Whole | Kind::Text | Kind::Instant),
            _ => true,
        };
        if suits && values.into_iter().all(fits) {
            return Ok(());
        }
        let message =
            format!("{} of {} is {}: this cannot be asked of it.", path, event.name, property.kind.in_words());
        Err(Refusal::invalid(field, message))
    }
}

impl Test {
    /// Whether it holds of a value.
    #[must_use]
    pub fn holds(&self, value: &Value) -> bool {
        match self {
            Self::Equals(wanted) => equal(value, wanted),
            Self::Not(wanted) => !equal(value, wanted),
            Self::In(wanted) => wanted.iter().any(|wanted| equal(value, wanted)),
            Self::Exists(wanted) => value.is_null() != *wanted,
            Self::Less(than) => order(value, than) == Some(Ordering::Less),
            Self::Greater(than) => order(value, than) == Some(Ordering::Greater),
            Self::Contains(part) => match (value, part) {
                (Value::String(text), Value::String(part)) => text.contains(part.as_str()),
                (Value::Array(items), part) => items.iter().any(|item| equal(item, part)),
                _ => false,
            },
        }
    }
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(_), Value::Number(_)) => order(a, b) == Some(Ordering::Equal),
        _ => a == b,
    }
}

/// How two values of one kind stand to each other.
fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            // Numbers of the business's own, which may have decimals; credits never come here.
            _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
        },
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// The first property of which all that is asked together can hold of no value.
fn contradiction(conditions: &[Condition]) -> Option<&str> {
    let mut by_property: BTreeMap<&str, Vec<&Test>> = BTreeMap::new();
    for condition in conditions {
        by_property.entry(&condition.property).or_default().push(&condition.test);
    }
    by_property.into_iter().find(|(_, tests)| exclude(tests)).map(|(property, _)| property)
}

fn exclude(tests: &[&Test]) -> bool {
    let all_hold = |value: &Value| tests.iter().all(|test| test.holds(value));
    // Where the value is one of a few, each of them can be tried.
    for test in tests {
        match test {
            Test::Equals(value) => return !all_hold(value),
            Test::In(values) => return !values.iter().any(all_hold),
            Test::Exists(false) => return !all_hold(&Value::Null),
            _ => {}
        }
    }
    let bound = |wanted: Ordering| {
        tests.iter().filter_map(move |test| match (test, wanted) {
            (Test::Less(value), Ordering::Less) | (Test::Greater(value), Ordering::Greater) => Some(value),
            _ => None,
        })
    };
    // Nothing is less than one value and greater than another, unless that one is the greater.
    let between = |less: &Value| bound(Ordering::Greater).any(|greater| order(greater, less) != Some(Ordering::Less));
    let mixed = |value: &&Value| {
        let other = |other: &Value| order(value, other).is_none();
        bound(Ordering::Less).chain(bound(Ordering::Greater)).any(other)
    };
    bound(Ordering::Less).any(between)
        || bound(Ordering::Less).any(|value| mixed(&value))
        || bound(Ordering::Greater).any(|value| mixed(&value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn on(property: &str, test: Test) -> Condition {
        Condition { property: property.to_owned(), test }
    }

    #[test]
    fn each_test_holds_of_what_it_says() {
        let said = json!({ "plan": "gold", "seats": 3, "price": 19.5, "tags": ["a", 2], "lines": [{ "sku": "x" }], "none": null });
        for (condition, expected) in [
            (on("plan", Test::Equals(json!("gold"))), true),
            (on("plan", Test::Equals(json!("Gold"))), false),
            (on("seats", Test::Equals(json!(3.0))), true),
            (on("missing", Test::Equals(Value::Null)), true),
            (on("plan", Test::Not(json!("gold"))), false),
            (on("missing", Test::Not(json!("gold"))), true),
            (on("plan", Test::In(vec![json!("silver"), json!("gold")])), true),
            (on("plan", Test::In(vec![])), false),
            (on("none", Test::Exists(true)), false),
            (on("none", Test::Exists(false)), true),
            (on("lines.0.sku", Test::Exists(true)), true),
            (on("lines.1.sku", Test::Exists(true)), false),
            (on("seats", Test::Less(json!(4))), true),
            (on("price", Test::Less(json!(19.6))), true),
            (on("seats", Test::Greater(json!(3))), false),
            (on("plan", Test::Greater(json!(3))), false),
            (on("tags", Test::Contains(json!(2))), true),
            (on("plan", Test::Contains(json!("ol"))), true),
            (on("seats", Test::Contains(json!("3"))), false),
        ] {
            assert_eq!(condition.holds(&said), expected, "{condition:?}");
        }
    }

    #[test]
    fn all_and_any_and_none() {
        let said = json!({ "a": 1, "b": 2 });
        let conditions = vec![on("a", Test::Equals(json!(1))), on("b", Test::Equals(json!(1)))];
        assert!(!Conditions { matching: Match::All, conditions: conditions.clone() }.hold(&said));
        assert!(Conditions { matching: Match::Any, conditions }.hold(&said));
        assert!(Conditions { matching: Match::Any, conditions: vec![] }.hold(&said));
    }

    #[test]
    fn what_can_never_hold_is_refused_and_nothing_else() {
        let all = |tests: Vec<Test>| {
            let conditions = tests.into_iter().map(|test| on("a", test)).collect();
            Conditions { matching: Match::All, conditions }.check("conditions", None).is_ok()
        };
        assert!(!all(vec![Test::In(vec![])]));
        assert!(!all(vec![Test::Equals(json!(1)), Test::Equals(json!(2))]));
        assert!(!all(vec![Test::Not(json!(1)), Test::Equals(json!(1))]));
        assert!(!all(vec![Test::In(vec![json!(1), json!(2)]), Test::Greater(json!(2))]));
        assert!(!all(vec![Test::Exists(false), Test::Contains(json!("x"))]));
        assert!(!all(vec![Test::Less(json!(1)), Test::Greater(json!(1))]));
        assert!(!all(vec![Test::Less(json!("x")), Test::Greater(json!(1))]));
        assert!(all(vec![Test::Less(json!(2)), Test::Greater(json!(1))]));
        assert!(all(vec![Test::Exists(false), Test::Not(json!("x"))]));
        assert!(all(vec![Test::In(vec![json!(1), json!(2)]), Test::Greater(json!(1))]));
        let any = Conditions {
            matching: Match::Any,
            conditions: vec![on("a", Test::Equals(json!(1))), on("a", Test::Equals(json!(2)))],
        };
        assert!(any.check("conditions", None).is_ok());
    }
}
