//! The README's tour, run as written on a fresh `scrip dev`: every answer is what the README says it is.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::harness::server::{Server, run};
use serde_json::{Value, json};

/// The fenced blocks of a language and their texts, in order.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(language), None) => open = Some((language.to_owned(), String::new())),
            (Some(_), Some(_)) => found.extend(open.take()),
            (None, Some((_, text))) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    found
}

fn is_id(text: &str) -> bool {
    text.split_once('_').is_some_and(|(prefix, rest)| prefix.len() == 3 && rest.len() == 26)
}

fn is_instant(text: &str) -> bool {
    text.len() >= 20 && text.ends_with('Z') && text.as_bytes()[10] == b'T'
}

/// A query with its instants a week from now: those in the README are behind us one day.
fn ahead(query: &str) -> String {
    let week = chrono::TimeDelta::days(7);
    let then = (chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()) + week)
        .to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    query.split('"').map(|part| if is_instant(part) { then.as_str() } else { part }).collect::<Vec<_>>().join("\"")
}

/// Compares an answer with the README's, where ids and instants are others: each id stands for one other id throughout.
fn compare(written: &Value, found: &Value, ids: &mut HashMap<String, String>) {
    match (written, found) {
        (Value::Object(written), Value::Object(found)) => {
            let keys = |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(written), keys(found));
            written.iter().for_each(|(key, value)| compare(value, &found[key], ids));
        }
        (Value::Array(written), Value::Array(found)) => {
            assert_eq!(written.len(), found.len(), "{written:?} {found:?}");
            written.iter().zip(found).for_each(|(written, found)| compare(written, found, ids));
        }
        (Value::String(written), Value::String(found)) if is_id(written) => {
            let known = ids.entry(written.clone()).or_insert_with(|| found.clone());
            assert_eq!(known, found, "{written} stands for two ids");
            assert_eq!(written[..4], found[..4]);
        }
        (Value::String(written), Value::String(found)) if is_instant(written) => assert!(is_instant(found), "{found}"),
        _ => assert_eq!(written, found),
    }
}

/// Asks, and compares. What follows from an event takes a moment: a query is asked again until its answer is the README's.
fn wait_for(written: &Value, query: &str, ids: &mut HashMap<String, String>, ask: impl Fn() -> Value) {
    let began = Instant::now();
    loop {
        let response = ask();
        let mut known = ids.clone();
        let late = query.starts_with("mutation") || began.elapsed() > Duration::from_secs(10);
        if late {
            println!("{query}\n{response:#}");
            return compare(written, &response, ids);
        }
        if catch_unwind(AssertUnwindSafe(|| compare(written, &response, &mut known))).is_ok() {
            *ids = known;
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_tour_answers_what_the_readme_says() {
    let readme = std::fs::read_to_string("README.md").expect("README.md");
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &["dev"], &[]);
    let token = run(folder.path(), &["token", "--staff"], &[]).stdout;
    let token = String::from_utf8(token).expect("text").trim().to_owned();
    let mut ids = HashMap::new();
    let mut query: Option<String> = None;
    let mut compared = 0;
    for (language, text) in blocks(&readme) {
        match (language.as_str(), query.take()) {
            ("graphql", _) => query = Some(text),
            ("json", Some(query)) => {
                let query =
                    ids.iter().fold(query, |query, (written, found): (&String, &String)| query.replace(written, found));
                let written: Value = serde_json::from_str(&text).expect("the README's JSON");
                wait_for(&written, &query, &mut ids, || server.ask(Some(&token), &ahead(&query), &json!({})).1);
                compared += 1;
            }
            _ => {}
        }
    }
    assert_eq!(compared, 21, "the tour has twenty-one stops");
    assert!(server.stop());
}

#[test]
fn the_banner_is_the_readme_s() {
    let readme = std::fs::read_to_string("README.md").expect("README.md");
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &["dev"], &[]);
    let as_in_readme = server
        .banner
        .replace(&server.address, "127.0.0.1:8080")
        .replace(env!("CARGO_BIN_EXE_scrip"), "cargo run -q --");
    for line in as_in_readme.lines().filter(|line| !line.contains("Ready in") && !line.starts_with("Making")) {
        let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
        let written = readme.lines().any(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") == words);
        assert!(written, "the README does not say: {line}");
    }
    assert!(server.stop());
}
