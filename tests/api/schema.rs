//! The schema is a promise and a manual.

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{TypeKind, TypeSystemDefinition};

#[test]
fn schema_graphql_is_the_server_s_schema() {
    let written = std::fs::read_to_string("schema.graphql").expect("schema.graphql at the top");
    assert!(written == scrip::graphql::sdl(), "schema.graphql is out of date: cargo run -q -- schema > schema.graphql");
}

/// Every type, field, argument and enum value says what it means.
#[test]
fn everything_has_a_description() {
    let sdl = scrip::graphql::sdl();
    let document = parse_schema(&sdl).expect("a schema that parses");
    let mut bare = Vec::new();
    let mut seen = 0;
    for definition in &document.definitions {
        let TypeSystemDefinition::Type(definition) = definition else { continue };
        let definition = &definition.node;
        let name = definition.name.node.to_string();
        let mut check = |what: String, description: bool| {
            seen += 1;
            if !description {
                bare.push(what);
            }
        };
        check(name.clone(), definition.description.is_some() || name == "Query" || name == "Mutation");
        let fields = match &definition.kind {
            TypeKind::Object(object) => &object.fields,
            TypeKind::Interface(interface) => &interface.fields,
            TypeKind::Enum(values) => {
                for value in &values.values {
                    check(format!("{name}.{}", value.node.value.node), value.node.description.is_some());
                }
                continue;
            }
            TypeKind::InputObject(input) => {
                for field in &input.fields {
                    check(format!("{name}.{}", field.node.name.node), field.node.description.is_some());
                }
                continue;
            }
            TypeKind::Scalar | TypeKind::Union(_) => continue,
        };
        for field in fields {
            let path = format!("{name}.{}", field.node.name.node);
            for argument in &field.node.arguments {
                check(format!("{path}({})", argument.node.name.node), argument.node.description.is_some());
            }
            check(path, field.node.description.is_some());
        }
    }
    assert!(seen > 300, "only {seen} were looked at");
    assert_eq!(bare, Vec::<String>::new());
}

/// The conventions that can be read off: one input, one payload with userErrors, keys where credits move.
#[test]
fn mutations_follow_the_conventions() {
    let sdl = scrip::graphql::sdl();
    let document = parse_schema(&sdl).expect("a schema that parses");
    let object = |wanted: &str| {
        document.definitions.iter().find_map(|definition| match definition {
            TypeSystemDefinition::Type(definition) if definition.node.name.node == wanted => {
                match &definition.node.kind {
                    TypeKind::Object(object) => {
                        Some(object.fields.iter().map(|f| f.node.name.node.to_string()).collect::<Vec<_>>())
                    }
                    TypeKind::InputObject(input) => {
                        Some(input.fields.iter().map(|f| f.node.name.node.to_string()).collect::<Vec<_>>())
                    }
                    _ => None,
                }
            }
            _ => None,
        })
    };
    let mutation = document.definitions.iter().find_map(|definition| match definition {
        TypeSystemDefinition::Type(definition) if definition.node.name.node == "Mutation" => {
            Some(&definition.node.kind)
        }
        _ => None,
    });
    let Some(TypeKind::Object(mutation)) = mutation else { panic!("there is no Mutation") };
    for field in &mutation.fields {
        let field = &field.node;
        let name = field.name.node.as_str();
        assert!(field.ty.node.nullable, "{name} is not nullable: its failure would null its siblings");
        let [argument] = &field.arguments[..] else { panic!("{name} must take one input") };
        assert_eq!(argument.node.name.node, "input", "{name}");
        let payload = object(&field.ty.node.base.to_string()).unwrap_or_else(|| panic!("{name} answers no object"));
        assert!(payload.contains(&"userErrors".to_owned()), "{name} has no userErrors");
        if ["credits", "grant", "hold", "activity"].iter().any(|object| name.starts_with(object)) {
            let input = object(&argument.node.ty.node.base.to_string()).expect("an input");
            for wanted in ["idempotencyKey", "dryRun"] {
                assert!(input.contains(&wanted.to_owned()), "{name} takes no {wanted}");
            }
            for wanted in ["replayed", "preview"] {
                assert!(payload.contains(&wanted.to_owned()), "{name} answers no {wanted}");
            }
        }
    }
}
