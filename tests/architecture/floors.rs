//! The floors of `domain`, and the one file that changes balances.

use super::sources;

/// Folders of `domain`, lowest first: each uses those before it, and none after.
const FLOORS: &[&str] = &[
    "ground",
    "keys",
    "storage",
    "queue",
    "ledger",
    "identity",
    "customers",
    "accounts",
    "catalog",
    "credits",
    "events",
    "sales",
    "webhooks",
    "automations",
    "dispatch",
    "bulk",
    "reports",
    "work",
];

/// The floors that code of a floor names and may not: `crate::` and what stands above it or nowhere.
fn named_above<'a>(floor: &str, code: &'a str) -> (usize, Vec<&'a str>) {
    let own = FLOORS.iter().position(|known| *known == floor);
    let ends = |text: &'a str| text.find(|c: char| !c.is_alphanumeric() && c != '_').map_or(text, |end| &text[..end]);
    let named = code.split("crate::").skip(1).map(ends).collect::<Vec<_>>();
    let is_above = |name: &&&str| FLOORS.iter().position(|known| known == *name).is_none_or(|at| Some(at) > own);
    (named.len(), named.iter().filter(is_above).copied().collect())
}

#[test]
fn floors_of_the_domain_point_down() {
    let (mut wrong, mut arrows) = (Vec::new(), 0);
    for file in sources("domain/src") {
        let place = file.strip_prefix("domain/src").expect("within");
        let mut folders = place.components();
        let floor = folders.next().and_then(|floor| floor.as_os_str().to_str()).expect("a plain name").to_owned();
        let (text, deep) = (std::fs::read_to_string(&file).expect("a file"), folders.count());
        if floor == "lib.rs" {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let code = code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
        let (named, above) = named_above(&floor, &code);
        arrows += named;
        wrong.extend(above.iter().map(|name| format!("{} uses crate::{name}", file.display())));
        // What is not named by `crate::` stays within the folder.
        if deep < 2 && code.contains("super::super::") {
            wrong.push(format!("{} names another floor by super::super", file.display()));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(arrows > 500, "{arrows} arrows were found");
    assert_eq!(
        named_above("ledger", "use crate::ground::clock; crate::sales::x(); crate::nowhere::y"),
        (3, vec!["sales", "nowhere"])
    );
}

/// Tables that only `ledger/post` writes.
const LEDGER: &[&str] = &["wallet", "credit_grant", "activity", "allocation", "hold"];

/// The tables of the ledger that code writes, and how: by `storage/rows`, or by SeaORM's verbs, under whichever name.
fn writes(code: &str) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for table in LEDGER {
        for way in ["add", "add_new", "change"] {
            if code.contains(&format!("{way}::<{table}::Entity>")) {
                found.push((*table, way.to_owned()));
            }
        }
        for verb in ["insert", "insert_many", "update", "update_many", "delete", "delete_many", "delete_by_id"] {
            let imported = code.lines().any(|line| line.contains(&format!("{table}::{{")) && line.contains("Entity}"));
            let bare = imported
                && code.split(&format!("Entity::{verb}(")).count() > 1
                && !code.contains(&format!("::Entity::{verb}("));
            if bare || code.contains(&format!("{table}::Entity::{verb}(")) {
                found.push((*table, verb.to_owned()));
            }
        }
        if code.contains(&format!("{table}::ActiveModel")) {
            found.push((*table, "ActiveModel".to_owned()));
        }
    }
    found
}

#[test]
fn only_the_ledger_s_post_writes_balances() {
    for file in ["domain/src", "graphql/src", "src"].into_iter().flat_map(sources) {
        let text = std::fs::read_to_string(&file).expect("a file");
        let found = writes(&text);
        let found = found.iter().map(|(table, way)| (*table, way.as_str())).collect::<Vec<_>>();
        let expected: &[_] = if file.ends_with("domain/src/ledger/post.rs") {
            &[
                ("wallet", "change"),
                ("credit_grant", "add"),
                ("credit_grant", "change"),
                ("activity", "add"),
                ("allocation", "add"),
                ("hold", "add"),
                ("hold", "change"),
            ]
        } else if file.ends_with("domain/src/ledger/load.rs") {
            // The empty wallet that an issue locks.
            &[("wallet", "insert_many")]
        } else if file.ends_with("domain/src/ledger/erase.rs") {
            // What goes with the person it is about: the notes of activities, and what the business kept with grants.
            &[("credit_grant", "update_many"), ("activity", "update_many")]
        } else {
            &[]
        };
        assert_eq!(found, expected, "{}", file.display());
    }
    let planted = "use entity::wallet::{Column, Entity};\nEntity::update_many(); rows::add::<wallet::Entity>(backend, rows); hold::Entity::delete_many()";
    let ways = [("wallet", "add"), ("wallet", "update_many"), ("hold", "delete_many")];
    assert_eq!(writes(planted), ways.map(|(table, way)| (table, way.to_owned())));
}
