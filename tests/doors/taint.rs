//! Every edge of every node: a customer walks from its own things along all fields of the schema and finds nobody else's,
//! and nothing that only staff reads.

use std::collections::HashMap;

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{BaseType, Type, TypeKind, TypeSystemDefinition};
use serde_json::json;

use crate::doors::shop::{STAFF_ONLY, Shop};
use crate::harness::{Backend, House};
use crate::on_both;

/// How far it walks from each thing.
const STEPS: usize = 3;

/// A field: its name, the name of its type, and whether it needs arguments.
struct Field {
    name: String,
    of: String,
    needs_arguments: bool,
}

/// The fields of each object and interface, and the members of each union.
#[derive(Default)]
struct Types {
    fields: HashMap<String, Vec<Field>>,
    members: HashMap<String, Vec<String>>,
}

fn named(of: &Type) -> String {
    match &of.base {
        BaseType::Named(name) => name.to_string(),
        BaseType::List(inner) => named(inner),
    }
}

fn types() -> Types {
    let document = parse_schema(include_str!("../../schema.graphql")).expect("the schema");
    let mut types = Types::default();
    for definition in document.definitions {
        let TypeSystemDefinition::Type(definition) = definition else { continue };
        let name = definition.node.name.node.to_string();
        let fields = match definition.node.kind {
            TypeKind::Object(object) => object.fields,
            TypeKind::Interface(interface) => interface.fields,
            TypeKind::Union(union) => {
                types.members.insert(name, union.members.iter().map(|member| member.node.to_string()).collect());
                continue;
            }
            _ => continue,
        };
        let fields = fields.into_iter().map(|field| {
            let field = field.node;
            let needed = |argument: &async_graphql::parser::types::InputValueDefinition| {
                !argument.ty.node.nullable && argument.default_value.is_none()
            };
            Field {
                name: field.name.node.to_string(),
                of: named(&field.ty.node),
                needs_arguments: field.arguments.iter().any(|argument| needed(&argument.node)),
            }
        });
        types.fields.insert(name, fields.collect());
    }
    types
}

impl Types {
    /// All that can be asked of a type without arguments, so many steps far; lists are cut to three.
    fn selection(&self, of: &str, steps: usize) -> String {
        if let Some(members) = self.members.get(of) {
            let parts = members.iter().map(|member| format!("... on {member} {{ {} }}", self.selection(member, steps)));
            return format!("__typename {}", parts.collect::<Vec<_>>().join(" "));
        }
        let mut parts = vec!["__typename".to_owned()];
        for field in self.fields.get(of).into_iter().flatten().filter(|field| !field.needs_arguments) {
            // A page is one step, not three.
            let connection = of.ends_with("Connection");
            if connection && !["nodes", "pageInfo"].contains(&field.name.as_str()) {
                continue;
            }
            let is_object = self.fields.contains_key(&field.of) || self.members.contains_key(&field.of);
            if !is_object {
                // Fields of two members of a union may differ in kind.
                parts.push(format!("{}_{}: {}", of.to_lowercase(), field.name.to_lowercase(), field.name));
            } else if steps > 0 {
                let left = if connection { steps } else { steps - 1 };
                let page = if field.of.ends_with("Connection") { "(first: 3)" } else { "" };
                let inside = self.selection(&field.of, left);
                parts.push(format!(
                    "{}_{}: {}{page} {{ {inside} }}",
                    of.to_lowercase(),
                    field.name.to_lowercase(),
                    field.name
                ));
            }
        }
        parts.join(" ")
    }
}

on_both! {
    async fn a_customer_finds_nobody_else_along_any_edge(house: House) {
        let shop = Shop::open(&house).await;
        let types = types();
        let token = shop.bobs_token(&house);
        let own = [("Customer", shop.bob.as_str()), ("Grant", shop.id("bobsGrant")), ("Activity", shop.id("bobsActivity")),
            ("Hold", shop.id("bobsHold")), ("Order", shop.id("bobsOrder")), ("Subscription", shop.id("subscription")),
            ("CreditType", shop.id("creditType")), ("Account", shop.id("account")), ("CustomerSession", shop.id("bobsSession"))];
        let theirs = shop.ids.iter().filter(|(name, _)| {
            let shared = ["bob", "creditType", "product", "price", "monthly", "account", "subscription"];
            !shared.contains(name) && !name.starts_with("bobs")
        });
        let hidden = theirs.map(|(_, id)| id.as_str()).chain(STAFF_ONLY).chain(["Ada", "ada@example.com", "crm-7"]).collect::<Vec<_>>();
        let (mut edges, mut refused) = (0, 0);
        for (kind, id) in own {
            for field in types.fields[kind].iter().filter(|field| !field.needs_arguments) {
                let is_object = types.fields.contains_key(&field.of) || types.members.contains_key(&field.of);
                let page = if field.of.ends_with("Connection") { "(first: 3)" } else { "" };
                // As far as the limits let it.
                for steps in (0..STEPS).rev() {
                    let inside = if is_object { format!("{page} {{ {} }}", types.selection(&field.of, steps)) } else { String::new() };
                    let query = format!("query($id: ID!) {{ node(id: $id) {{ ... on {kind} {{ {}{inside} }} }} }}", field.name);
                    let (_, response) = house.ask_with(Some(&token), &query, json!({ "id": id })).await;
                    if response["errors"][0]["extensions"]["code"] == "QUERY_TOO_LARGE" {
                        assert!(steps > 0, "{kind}.{} is never small enough", field.name);
                        continue;
                    }
                    let text = response.to_string();
                    let found = hidden.iter().find(|word| text.contains(**word));
                    assert!(found.is_none(), "{kind}.{} tells of {found:?}: {response:#}", field.name);
                    for error in response["errors"].as_array().into_iter().flatten() {
                        let code = &error["extensions"]["code"];
                        assert!(code == "FORBIDDEN", "{kind}.{}: {error}\n{query}", field.name);
                        refused += 1;
                    }
                    edges += 1;
                    break;
                }
            }
        }
        assert!(edges > 100 && refused > 0, "{edges} edges, {refused} of them refused");
        // The words are there for who may read them: the walk can find.
        let staff = house.data("query($id: ID!) { customer(by: { id: $id }) { metadata activity { nodes { internalNote } } } }",
            json!({ "id": shop.ada })).await.to_string();
        assert!(STAFF_ONLY.iter().all(|word| staff.contains(word)), "{staff}");
    }
}
