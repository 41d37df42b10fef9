//! Refuses a query before anything walks it whose walk could be long (pure).
//!
//! The library's own checks visit a fragment once per spread: 790 bytes of fragments that spread each other twice cost
//! it ten seconds. Here each fragment is measured once. A repeated field of a mutation, which the specification merges
//! and the library runs twice, is refused too; and a missing variable before, not amid, execution.

use std::collections::{HashMap, HashSet};

use async_graphql::parser::types::{
    BaseType, Directive, ExecutableDocument, OperationDefinition, OperationType, Selection, SelectionSet,
};
use async_graphql::{Name, Value, Variables};

/// Fields in a query, fragments spread out.
const SELECTIONS: u64 = 2_000;
/// Levels of a query, fragments spread out. GraphiQL's introspection has 15.
const DEPTH: u64 = 16;
/// Aliases in a query, fragments spread out.
const ALIASES: u64 = 100;
/// Characters of an alias.
const ALIAS: usize = 255;
/// Directives in a query, fragments spread out.
const DIRECTIVES: u64 = 100;
/// Arguments in a query, fragments spread out.
const ARGUMENTS: u64 = 2_000;
/// Variables that a document declares.
const VARIABLES: usize = 200;
/// Root fields of one operation, fragments spread out.
const ROOTS: u64 = 50;
/// Operations in a document, of which one is run and all are checked.
const OPERATIONS: usize = 20;
/// Levels of selections and spreads that are walked at all: deeper is endless, and the stack is not.
const WALKED: u32 = 64;

/// Why a query is not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is larger than what is served.
    TooLarge(String),
    /// It is not a valid request.
    Invalid(String),
}

/// Looks at the operation that would be run, and at what comes along with it.
pub fn inspect(
    document: &ExecutableDocument,
    operation: Option<&OperationDefinition>,
    variables: &Variables,
) -> Result<(), Refused> {
    let mut walk = Walk {
        document,
        measured: HashMap::new(),
        unknown: None,
        conditions: HashSet::new(),
        unconditional: false,
        longest_alias: 0,
    };
    let mut total = Size::default();
    for name in document.fragments.keys() {
        total = total.and(walk.fragment(name, 0));
    }
    for (_, operation) in document.operations.iter() {
        total = total.and(walk.measure(&operation.node.selection_set.node, 0)).and(of_head(&operation.node));
    }
    if let Some(name) = walk.unknown {
        return Err(Refused::Invalid(format!("There is no fragment {name}.")));
    }
    total.check()?;
    if walk.longest_alias > ALIAS {
        return Err(Refused::TooLarge(format!("An alias of the query is longer than {ALIAS} characters.")));
    }
    if document.operations.iter().map(|(_, operation)| operation.node.variable_definitions.len()).sum::<usize>()
        > VARIABLES
    {
        return Err(Refused::TooLarge(format!("The document declares more than {VARIABLES} variables.")));
    }
    if document.operations.iter().count() > OPERATIONS {
        return Err(Refused::TooLarge(format!("The document has more than {OPERATIONS} operations.")));
    }
    for (_, operation) in document.operations.iter() {
        let roots = roots(document, &operation.node.selection_set.node);
        if roots.len() as u64 > ROOTS {
            return Err(Refused::TooLarge(format!("The operation has more than {ROOTS} root fields.")));
        }
        let mut seen = HashSet::new();
        if operation.node.ty == OperationType::Mutation && !roots.into_iter().all(|key| seen.insert(key)) {
            let message = "A field of the mutation appears twice under one name. Give each an alias of its own.";
            return Err(Refused::Invalid(message.to_owned()));
        }
    }
    check_conditions(document, &walk)?;
    operation.map_or(Ok(()), |operation| check_variables(operation, variables))
}

/// What the `if` of a directive is, if the directive is a condition.
enum Condition {
    Constant,
    /// A variable, whose name this is.
    Variable(String),
    /// Neither true nor false: the library would take it for false.
    None,
}

fn condition(directive: &Directive) -> Option<Condition> {
    if !matches!(directive.name.node.as_str(), "include" | "skip") {
        return None;
    }
    let Some(value) = directive.get_argument("if") else { return Some(Condition::None) };
    let text = value.node.to_string();
    Some(match (value.node.clone().into_const(), text.strip_prefix('$')) {
        (Some(Value::Boolean(_)), _) => Condition::Constant,
        (None, Some(name)) => Condition::Variable(name.to_owned()),
        _ => Condition::None,
    })
}

/// Whether every condition is true, false, or a variable that is one.
fn check_conditions(document: &ExecutableDocument, walk: &Walk<'_>) -> Result<(), Refused> {
    let variables = document.operations.iter().flat_map(|(_, operation)| &operation.node.variable_definitions);
    let is_other = |name: &str, of: &BaseType| {
        walk.conditions.contains(name) && !matches!(of, BaseType::Named(name) if name == "Boolean")
    };
    let mut other = variables.filter(|it| is_other(&it.node.name.node, &it.node.var_type.node.base));
    if walk.unconditional || other.next().is_some() {
        let message = "`if` of @include and @skip must be true, false, or a variable of the type Boolean!.";
        return Err(Refused::Invalid(message.to_owned()));
    }
    Ok(())
}

/// What an operation carries before its selections.
fn of_head(operation: &OperationDefinition) -> Size {
    let variables = operation.variable_definitions.iter().flat_map(|variable| &variable.node.directives);
    of_directives(operation.directives.iter().chain(variables).map(|directive| &directive.node))
}

fn of_directives<'a>(directives: impl Iterator<Item = &'a Directive>) -> Size {
    directives.fold(Size::default(), |size, directive| {
        size.and(Size { directives: 1, arguments: directive.arguments.len() as u64, ..Size::default() })
    })
}

fn check_variables(operation: &OperationDefinition, variables: &Variables) -> Result<(), Refused> {
    for definition in &operation.variable_definitions {
        let definition = &definition.node;
        if definition.var_type.node.nullable || definition.default_value.is_some() {
            continue;
        }
        let name: &Name = &definition.name.node;
        if matches!(variables.get(name), None | Some(Value::Null)) {
            return Err(Refused::Invalid(format!("The variable ${name} is required.")));
        }
    }
    Ok(())
}

/// How large a part of a query is, fragments spread out.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    selections: u64,
    depth: u64,
    aliases: u64,
    directives: u64,
    arguments: u64,
}

impl Size {
    /// More than any limit: a fragment within itself.
    const ENDLESS: Self =
        Self { selections: u64::MAX, depth: u64::MAX, aliases: u64::MAX, directives: u64::MAX, arguments: u64::MAX };

    /// Side by side.
    fn and(self, other: Self) -> Self {
        Self {
            selections: self.selections.saturating_add(other.selections),
            depth: self.depth.max(other.depth),
            aliases: self.aliases.saturating_add(other.aliases),
            directives: self.directives.saturating_add(other.directives),
            arguments: self.arguments.saturating_add(other.arguments),
        }
    }

    fn check(self) -> Result<(), Refused> {
        let limits = [
            (self.selections, SELECTIONS, "fields"),
            (self.depth, DEPTH, "levels"),
            (self.aliases, ALIASES, "aliases"),
            (self.directives, DIRECTIVES, "directives"),
            (self.arguments, ARGUMENTS, "arguments"),
        ];
        match limits.into_iter().find(|(size, limit, _)| size > limit) {
            Some((_, limit, things)) => {
                Err(Refused::TooLarge(format!("The query, its fragments spread out, has more than {limit} {things}.")))
            }
            None => Ok(()),
        }
    }
}

/// A document that is being measured.
struct Walk<'a> {
    document: &'a ExecutableDocument,
    /// The size of each fragment that was met; none while it is being measured.
    measured: HashMap<&'a str, Option<Size>>,
    /// A fragment that is spread and not there.
    unknown: Option<&'a str>,
    /// The variables that are conditions.
    conditions: HashSet<String>,
    /// Whether there is a condition that is none.
    unconditional: bool,
    /// Characters of the longest alias: it comes back with every answer.
    longest_alias: usize,
}

impl<'a> Walk<'a> {
    fn measure(&mut self, set: &'a SelectionSet, level: u32) -> Size {
        if level > WALKED {
            return Size::ENDLESS;
        }
        let mut total = Size::default();
        for item in &set.items {
            for found in item.node.directives().iter().filter_map(|directive| condition(&directive.node)) {
                match found {
                    Condition::Constant => {}
                    Condition::Variable(name) => drop(self.conditions.insert(name)),
                    Condition::None => self.unconditional = true,
                }
            }
            let directives = of_directives(item.node.directives().iter().map(|directive| &directive.node));
            // A spread counts too: what spreads nothing but spreads is visited all the same.
            let itself = Size { selections: 1, ..Size::default() }.and(directives);
            let size = match &item.node {
                Selection::Field(field) => {
                    let inside = self.measure(&field.node.selection_set.node, level + 1);
                    let aliases = u64::from(field.node.alias.is_some());
                    let length = field.node.alias.as_ref().map_or(0, |alias| alias.node.len());
                    self.longest_alias = self.longest_alias.max(length);
                    let arguments = field.node.arguments.len() as u64;
                    Size { depth: inside.depth.saturating_add(1), aliases, arguments, ..Size::default() }.and(inside)
                }
                Selection::InlineFragment(inline) => self.measure(&inline.node.selection_set.node, level + 1),
                Selection::FragmentSpread(spread) => self.fragment(&spread.node.fragment_name.node, level + 1),
            };
            total = total.and(itself).and(size);
        }
        total
    }

    /// The size of a fragment, measured once; what is within itself is endless.
    fn fragment(&mut self, name: &'a str, level: u32) -> Size {
        if let Some(known) = self.measured.get(name) {
            return known.unwrap_or(Size::ENDLESS);
        }
        let Some(fragment) = self.document.fragments.get(name) else {
            self.unknown = Some(name);
            return Size::default();
        };
        self.measured.insert(name, None);
        let head = of_directives(fragment.node.directives.iter().map(|directive| &directive.node));
        let size = self.measure(&fragment.node.selection_set.node, level).and(head);
        self.measured.insert(name, Some(size));
        size
    }
}

/// The names under which root fields answer, repeated where they repeat. The size was checked before.
fn roots<'a>(document: &'a ExecutableDocument, set: &'a SelectionSet) -> Vec<&'a str> {
    set.items
        .iter()
        .flat_map(|item| match &item.node {
            Selection::Field(field) => vec![field.node.response_key().node.as_str()],
            Selection::InlineFragment(inline) => roots(document, &inline.node.selection_set.node),
            Selection::FragmentSpread(spread) => document
                .fragments
                .get(&spread.node.fragment_name.node)
                .map_or_else(Vec::new, |fragment| roots(document, &fragment.node.selection_set.node)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use async_graphql::parser::parse_query;

    use super::*;

    fn inspect_text(query: &str) -> Result<(), Refused> {
        let document = parse_query(query).expect("a query that parses");
        let operation = document.operations.iter().next().map(|(_, operation)| &operation.node);
        inspect(&document, operation, &Variables::default())
    }

    #[test]
    fn a_fragment_bomb_is_refused_at_once() {
        let mut bomb = String::from("{ ...f0 }");
        for level in 0..40 {
            write!(bomb, " fragment f{level} on Query {{ ...f{0} ...f{0} }}", level + 1).expect("a string grows");
        }
        bomb.push_str(" fragment f40 on Query { __typename }");
        // Walked spread by spread it would outlast whoever runs this.
        assert!(matches!(inspect_text(&bomb), Err(Refused::TooLarge(_))));
    }

    /// Spreads that lead to nothing, spreads that lead on for ever, and many operations that share one large fragment.
    #[test]
    fn bombs_of_other_makes_are_refused_at_once() {
        for last in ["{ ...nope }", "{ __typename }"] {
            let mut bomb = String::from("{ ...f0 }");
            for level in 0..40 {
                write!(bomb, " fragment f{level} on Query {{ ...f{0} ...f{0} }}", level + 1).expect("a string grows");
            }
            write!(bomb, " fragment f40 on Query {last}").expect("a string grows");
            assert!(inspect_text(&bomb).is_err());
        }
        let mut chain = String::from("{ ...f0 }");
        for level in 0..5_000 {
            write!(chain, " fragment f{level} on Query {{ ...f{} }}", level + 1).expect("a string grows");
        }
        chain.push_str(" fragment f5000 on Query { __typename }");
        assert!(matches!(inspect_text(&chain), Err(Refused::TooLarge(_))));
        let inline =
            format!("{}__typename{}", "{ ... on Query ".repeat(60), " }".repeat(60)).replacen("{ ...", "{ ...", 1);
        let mut nested = String::from("{ ...f0 }");
        for level in 0..200 {
            let inside = inline.replace("__typename", &format!("{{ ...f{} }}", level + 1));
            write!(nested, " fragment f{level} on Query {inside}").expect("a string grows");
        }
        nested.push_str(" fragment f200 on Query { __typename }");
        assert!(parse_query(&nested).is_err() || inspect_text(&nested).is_err());
        let fields = "__typename ".repeat(1_500);
        let operations = (0..2_000).fold(String::new(), |text, n| format!("{text} query a{n} {{ ...f }}"));
        let shared = format!("{operations} fragment f on Query {{ {fields} }}");
        assert!(matches!(inspect_text(&shared), Err(Refused::TooLarge(_))));
    }

    #[test]
    fn a_fragment_within_itself_is_refused() {
        let query = "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }";
        assert!(matches!(inspect_text(query), Err(Refused::TooLarge(_))));
    }

    #[test]
    fn a_mutation_runs_nothing_twice_under_one_name() {
        assert!(matches!(inspect_text("mutation { a: pay a: pay }"), Err(Refused::Invalid(_))));
        let hidden = "mutation { pay ...again } fragment again on Mutation { pay }";
        assert!(matches!(inspect_text(hidden), Err(Refused::Invalid(_))));
        assert_eq!(inspect_text("mutation { a: pay b: pay }"), Ok(()));
        assert_eq!(inspect_text("{ a a }"), Ok(()));
    }

    #[test]
    fn a_required_variable_is_asked_for_before_anything_runs() {
        assert!(matches!(inspect_text("query($a: ID!) { node(id: $a) { id } }"), Err(Refused::Invalid(_))));
        assert_eq!(inspect_text("query($a: ID) { x(id: $a) }"), Ok(()));
        assert_eq!(inspect_text("query($a: Int! = 1) { x(id: $a) }"), Ok(()));
    }

    #[test]
    fn depth_and_aliases_have_limits() {
        let deep = format!("{}a{}", "{ a ".repeat(20), " }".repeat(20));
        assert!(matches!(inspect_text(&deep), Err(Refused::TooLarge(_))));
        let aliases = (0..200).fold(String::new(), |mut text, n| {
            write!(text, " a{n}: __typename").expect("a string grows");
            text
        });
        assert!(matches!(inspect_text(&format!("{{ {aliases} }}")), Err(Refused::TooLarge(_))));
        // Each of what is not valid would have an error of its own, once for each spread.
        let arguments = |count: usize| (0..count).fold(String::new(), |text, n| format!("{text} a{n}: 1"));
        let variables = (0..300).fold(String::new(), |text, n| format!("{text} $v{n}: Int"));
        for many in [
            format!("{{ account({}) {{ id }} }}", arguments(3_000)),
            format!("{{ ...f ...f }} fragment f on Query {{ account({}) {{ id }} }}", arguments(1_500)),
            format!("query({variables}) {{ account {{ id }} }}"),
            format!("query {} {{ account {{ id }} }}", "@x ".repeat(300)),
        ] {
            assert!(matches!(inspect_text(&many), Err(Refused::TooLarge(_))), "{}", &many[..60]);
        }
    }
}
