//! What an API key without `READ` gets of a mutation's answer: ids, and what became of what it did itself. Asked before
//! anything is done, so that nothing is done that is not answered.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use async_graphql::Name;
use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    BaseType, ExecutableDocument, OperationDefinition, Selection, SelectionSet, TypeKind, TypeSystemDefinition,
};

/// Who was there before: of a person only the id is told. Of what else a change makes, or ends, its own fields are.
const PERSON: &str = "Customer";

/// The types of the fields of objects, and which objects have an id of their own.
struct Types {
    fields: HashMap<Name, HashMap<Name, Name>>,
    nodes: HashSet<Name>,
}

static TYPES: LazyLock<Types> = LazyLock::new(|| {
    let mut types = Types { fields: HashMap::new(), nodes: HashSet::new() };
    for definition in parse_schema(super::sdl()).expect("our own schema").definitions {
        let TypeSystemDefinition::Type(definition) = definition else { continue };
        let (name, kind) = (definition.node.name.node, definition.node.kind);
        let (fields, implements) = match kind {
            TypeKind::Object(object) => (object.fields, object.implements),
            TypeKind::Interface(interface) => (interface.fields, interface.implements),
            _ => continue,
        };
        if name == "Node" || implements.iter().any(|interface| interface.node == "Node") {
            types.nodes.insert(name.clone());
        }
        let fields = fields.into_iter().map(|field| (field.node.name.node, named(&field.node.ty.node.base).clone()));
        types.fields.insert(name, fields.collect());
    }
    types
});

fn named(base: &BaseType) -> &Name {
    match base {
        BaseType::Named(name) => name,
        BaseType::List(of) => named(&of.base),
    }
}

/// The first field of a mutation's selection that says more than ids and outcomes; none if there is no such. The document
/// is valid.
#[must_use]
pub fn beyond(document: &ExecutableDocument, operation: &OperationDefinition) -> Option<String> {
    let walk = Walk { document };
    walk.beyond(&operation.selection_set.node, &Name::new("Mutation"), Depth::Root).map(|path| path.join("."))
}

/// Where a selection stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Root,
    Payload,
    /// Within what the payload has, and its parts that have no id.
    Outcome,
    /// Within what that leads to.
    Linked,
}

struct Walk<'a> {
    document: &'a ExecutableDocument,
}

impl Walk<'_> {
    fn beyond(&self, set: &SelectionSet, on: &Name, depth: Depth) -> Option<Vec<String>> {
        set.items.iter().find_map(|item| match &item.node {
            Selection::Field(field) => {
                let (name, inside) = (&field.node.name.node, &field.node.selection_set.node);
                let here = || vec![name.to_string()];
                if name == "id" || name == "__typename" {
                    return None;
                }
                if depth == Depth::Linked {
                    return Some(here());
                }
                let Some(to) = TYPES.fields.get(on).and_then(|fields| fields.get(name)) else { return Some(here()) };
                if inside.items.is_empty() {
                    return None;
                }
                let below = match depth {
                    Depth::Root => Depth::Payload,
                    _ if to.ends_with("Connection") => return Some(here()),
                    Depth::Payload if to != PERSON => Depth::Outcome,
                    _ if TYPES.nodes.contains(to) => Depth::Linked,
                    same => same,
                };
                let path = self.beyond(inside, to, below)?;
                Some(here().into_iter().chain(path).collect())
            }
            Selection::InlineFragment(inline) => {
                let on = inline.node.type_condition.as_ref().map_or(on, |condition| &condition.node.on.node);
                self.beyond(&inline.node.selection_set.node, on, depth)
            }
            Selection::FragmentSpread(spread) => {
                let fragment = self.document.fragments.get(&spread.node.fragment_name.node)?;
                let on = &fragment.node.type_condition.node.on.node;
                self.beyond(&fragment.node.selection_set.node, on, depth)
            }
        })
    }
}
