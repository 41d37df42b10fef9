//! What a check of a document came to, for the next request that differs in nothing that a check looks at.

use std::sync::Mutex;

use async_graphql::parser::types::{BaseType, ExecutableDocument, OperationDefinition};
use async_graphql::{Name, Value, Variables};

/// A document that was asked lately, and its last check.
pub struct Kept {
    pub document: ExecutableDocument,
    last: Mutex<Option<(Told, usize)>>,
}

/// What a check of a document depends on: which operation, and its variables' values. Of an id it matters only that it is
/// one, since every text may be: `None`.
#[derive(Clone, PartialEq)]
pub struct Told {
    operation: Option<String>,
    values: Vec<(Name, Option<Value>)>,
}

impl Told {
    /// What a check is told; none where it is not worth remembering: a text, a list or an object, or a variable that the
    /// operation does not have, whose name would be as long as a request may be.
    #[must_use]
    pub fn of(name: Option<&str>, operation: &OperationDefinition, variables: &Variables) -> Option<Self> {
        let told = |(name, value): (&Name, &Value)| {
            let defined = operation.variable_definitions.iter().find(|defined| defined.node.name.node == *name)?;
            let is_id = matches!(&defined.node.var_type.node.base, BaseType::Named(of) if of == "ID");
            match value {
                Value::String(_) if is_id => Some((name.clone(), None)),
                Value::Null | Value::Number(_) | Value::Boolean(_) => Some((name.clone(), Some(value.clone()))),
                _ => None,
            }
        };
        let values = variables.iter().map(told).collect::<Option<_>>()?;
        Some(Self { operation: name.map(str::to_owned), values })
    }
}

impl Kept {
    /// A document that was not checked yet.
    #[must_use]
    pub fn new(document: ExecutableDocument) -> Self {
        Self { document, last: Mutex::default() }
    }

    /// What the operation could answer, in fields, if the last check was told the same and found nothing wrong.
    #[must_use]
    pub fn cost(&self, told: &Told) -> Option<usize> {
        let last = self.last.lock().expect("nobody panics while looking");
        last.as_ref().filter(|(last, _)| last == told).map(|(_, cost)| *cost)
    }

    /// Remembers a check that found nothing wrong.
    pub fn passed(&self, told: Told, cost: usize) {
        *self.last.lock().expect("nobody panics while remembering") = Some((told, cost));
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use async_graphql::parser::types::DocumentOperations;
    use serde_json::{Value as Json, json};

    use super::*;

    fn told(variables: Json) -> Option<Told> {
        let document =
            parse_query("query($id: ID!, $first: Int, $name: String) { x(id: $id, first: $first, name: $name) }");
        let DocumentOperations::Single(operation) = document.expect("a document").operations else { panic!("one") };
        Told::of(None, &operation.node, &Variables::from_json(variables))
    }

    #[test]
    fn only_the_text_of_an_id_does_not_matter() {
        let one = told(json!({ "id": "cus_1", "first": 5 }));
        assert!(one.is_some() && one == told(json!({ "first": 5, "id": "cus_2" })));
        for other in [
            json!({ "id": "cus_1", "first": 6 }),
            json!({ "id": "cus_1" }),
            json!({ "id": 1, "first": 5 }),
            json!({ "id": null, "first": 5 }),
        ] {
            assert!(told(other.clone()).is_some_and(|other| one != Some(other)), "{other}");
        }
        for unknown in [
            json!({ "name": "Ada" }),
            json!({ "id": ["cus_1"] }),
            json!({ "first": { "a": 1 } }),
            json!({ "more": true }),
        ] {
            assert!(told(unknown.clone()).is_none(), "{unknown}");
        }
    }

    #[test]
    fn the_last_check_is_remembered() {
        let kept = Kept::new(parse_query("{ x }").expect("a document"));
        let (one, other) = (told(json!({ "first": 1 })).expect("told"), told(json!({ "first": 2 })).expect("told"));
        assert_eq!(kept.cost(&one), None);
        kept.passed(one.clone(), 7);
        assert_eq!((kept.cost(&one), kept.cost(&other)), (Some(7), None));
    }
}
