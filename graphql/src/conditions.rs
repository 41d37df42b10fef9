//! Conditions on what an event says, as inputs and as answers.

use async_graphql::{Enum, InputObject, OneofObject, SimpleObject};
use serde_json::Value;

use super::scalars::Json;
use domain::automations::conditions::{Condition, Conditions, Match, Test};

/// Whether all conditions must hold, or one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Match", name = "ConditionMatch")]
pub enum ConditionMatch {
    /// All of them. None at all hold always.
    All,
    /// One of them, or more.
    Any,
}

/// A question about one value. Exactly one of the fields. Numbers are compared by value and texts character by
/// character, so that instants and dates compare as they should.
#[derive(OneofObject)]
pub enum ConditionTestInput {
    /// It is this value.
    Equals(Json),
    /// It is not this value, or missing.
    Not(Json),
    /// It is one of these values, of which there are at most 100.
    In(Vec<Json>),
    /// Whether it is there and not null.
    Exists(bool),
    /// It is a number, or a text, that is less than this one.
    Less(Json),
    /// It is a number, or a text, that is greater than this one.
    Greater(Json),
    /// It is a text with this within, or a list with this item.
    Contains(Json),
}

/// What is asked of one property of an event.
#[derive(InputObject)]
pub struct ConditionInput {
    /// The path to it: names, and numbers of list items from 0, with dots between them, such as `lines.0.sku`.
    property: String,
    /// The question.
    test: ConditionTestInput,
}

impl From<ConditionInput> for Condition {
    fn from(input: ConditionInput) -> Self {
        let test = match input.test {
            ConditionTestInput::Equals(value) => Test::Equals(value.0),
            ConditionTestInput::Not(value) => Test::Not(value.0),
            ConditionTestInput::In(values) => Test::In(values.into_iter().map(|value| value.0).collect()),
            ConditionTestInput::Exists(exists) => Test::Exists(exists),
            ConditionTestInput::Less(value) => Test::Less(value.0),
            ConditionTestInput::Greater(value) => Test::Greater(value.0),
            ConditionTestInput::Contains(value) => Test::Contains(value.0),
        };
        Self { property: input.property, test }
    }
}

/// Conditions that an input names.
pub fn conditions(matching: ConditionMatch, inputs: Vec<ConditionInput>) -> Conditions {
    Conditions { matching: matching.into(), conditions: inputs.into_iter().map(Into::into).collect() }
}

/// How a value is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum ConditionOperator {
    /// It is this value.
    Equals,
    /// It is not this value, or missing.
    Not,
    /// It is one of these values.
    In,
    /// It is there and not null, or (false) it is not.
    Exists,
    /// It is less than this one.
    Less,
    /// It is greater than this one.
    Greater,
    /// It is a text with this within, or a list with this item.
    Contains,
}

/// What is asked of one property of an event.
#[derive(SimpleObject)]
#[graphql(name = "Condition")]
pub struct ConditionAnswer {
    /// The path to it.
    property: String,
    /// How it is looked at.
    operator: ConditionOperator,
    /// What it is compared with.
    value: Json,
}

impl From<Condition> for ConditionAnswer {
    fn from(condition: Condition) -> Self {
        let (operator, value) = match condition.test {
            Test::Equals(value) => (ConditionOperator::Equals, value),
            Test::Not(value) => (ConditionOperator::Not, value),
            Test::In(values) => (ConditionOperator::In, Value::Array(values)),
            Test::Exists(exists) => (ConditionOperator::Exists, Value::Bool(exists)),
            Test::Less(value) => (ConditionOperator::Less, value),
            Test::Greater(value) => (ConditionOperator::Greater, value),
            Test::Contains(value) => (ConditionOperator::Contains, value),
        };
        Self { property: condition.property, operator, value: Json(value) }
    }
}
