//! Trusted documents: queries that were written down when a client was built, and are asked for by their ids.
//! <https://benjie.dev/graphql/trusted-documents>; the appendix "Persisted Documents" of GraphQL over HTTP.
//!
//! And those that were asked lately, trusted or not, so that a text which comes again is not parsed again.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use async_graphql::parser::parse_query;
use moka::sync::Cache;
use serde::Deserialize;

use super::checked::Kept;

/// Bytes of a file.
const LARGEST: u64 = 64 * 1024 * 1024;
/// Bytes of text whose documents are kept, each counted as if it had so many more. A document may be a hundred times as
/// large as its text, as far as any is run.
const KEPT: u64 = 512 * 1024;
const EACH: usize = 1024;

/// What this server's own order form asks for: always known, whatever else is.
const ORDER_FORM: (&str, &str) = ("scrip:order-form", include_str!("assets/order.graphql"));

/// Whether documents of a file are known, and whether others are run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Ids mean nothing.
    #[default]
    Off,
    /// Ids are known; other queries run as well.
    Allow,
    /// Only what is known runs.
    Require,
}

/// The documents that are trusted, by their ids, and those asked lately, by their texts.
pub struct Documents {
    trust: Trust,
    texts: HashMap<String, String>,
    lately: Cache<String, Arc<Kept>>,
}

impl Default for Documents {
    fn default() -> Self {
        Self::new(Trust::default(), HashMap::new())
    }
}

/// Why a request brings no query to run.
#[derive(Debug, PartialEq, Eq)]
pub struct NoDocument(pub String);

/// A manifest: what `relay-compiler` and graphql-codegen write, or what Apollo's tools do.
#[derive(Deserialize)]
#[serde(untagged)]
enum Manifest {
    Apollo { format: String, operations: Vec<Operation> },
    Plain(HashMap<String, String>),
}

#[derive(Deserialize)]
struct Operation {
    id: String,
    body: String,
}

impl Documents {
    fn new(trust: Trust, texts: HashMap<String, String>) -> Self {
        let bytes = |text: &String, _: &Arc<_>| u32::try_from(text.len() + EACH).unwrap_or(u32::MAX);
        Self { trust, texts, lately: Cache::builder().weigher(bytes).max_capacity(KEPT).build() }
    }

    /// The document of a text that was kept lately.
    #[must_use]
    pub fn kept(&self, text: &str) -> Option<Arc<Kept>> {
        self.lately.get(text)
    }

    /// Keeps a document that may be asked again.
    pub fn keep(&self, text: &str, document: &Arc<Kept>) {
        self.lately.insert(text.to_owned(), document.clone());
    }

    /// Reads a manifest: a JSON object of ids and texts, or an `apollo-persisted-query-manifest`.
    pub fn read(trust: Trust, file: Option<&Path>) -> Result<Self> {
        let Some(file) = file.filter(|_| trust != Trust::Off) else {
            if trust != Trust::Off {
                bail!("documents is set and documents_file is not: name the manifest of your client's build");
            }
            return Ok(Self::default());
        };
        let shown = file.display();
        let size = std::fs::metadata(file).with_context(|| format!("documents_file {shown} cannot be read"))?.len();
        if size > LARGEST {
            bail!("documents_file {shown} has {size} bytes, and may have {LARGEST}");
        }
        let text = std::fs::read_to_string(file).with_context(|| format!("documents_file {shown} cannot be read"))?;
        let manifest = serde_json::from_str(&text).map_err(|_| {
            anyhow::anyhow!("documents_file {shown} is neither a JSON object of ids and texts nor an Apollo manifest")
        })?;
        let texts = match manifest {
            Manifest::Plain(texts) => texts,
            Manifest::Apollo { format, operations } if format == "apollo-persisted-query-manifest" => {
                operations.into_iter().map(|operation| (operation.id, operation.body)).collect()
            }
            Manifest::Apollo { format, .. } => {
                bail!("documents_file {shown} has the format {format:?}, which is not known")
            }
        };
        for (id, text) in &texts {
            parse_query(text).with_context(|| format!("documents_file {shown}: the document {id} is no GraphQL"))?;
        }
        tracing::info!(documents = texts.len(), ?trust, "trusted documents were read");
        Ok(Self::new(trust, texts))
    }

    /// The query that a request is for.
    pub fn query(&self, query: Option<String>, id: Option<&str>) -> Result<Option<String>, NoDocument> {
        let say = |message: &str| Err(NoDocument(message.to_owned()));
        match (query, id, self.trust) {
            (None, Some(id), _) if id == ORDER_FORM.0 => Ok(Some(ORDER_FORM.1.to_owned())),
            (Some(_), Some(_), _) => say("Send either `query` or `documentId`, not both."),
            (Some(_), None, Trust::Require) => {
                say("This server runs trusted documents only. Send a `documentId` of its manifest.")
            }
            (query, None, _) => Ok(query),
            (None, Some(_), Trust::Off) => say("This server knows no documents by id. Send `query`."),
            (None, Some(id), _) => match self.texts.get(id) {
                Some(text) => Ok(Some(text.clone())),
                None => say("There is no trusted document with this `documentId`. Was the newest manifest deployed?"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(trust: Trust, text: &str) -> Result<Documents> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("manifest.json");
        std::fs::write(&file, text).expect("a file");
        Documents::read(trust, Some(&file))
    }

    #[test]
    fn manifests_of_either_kind_are_read() {
        let plain = read(Trust::Allow, r#"{ "a1": "{ __typename }" }"#).expect("a manifest");
        assert_eq!(plain.query(None, Some("a1")), Ok(Some("{ __typename }".to_owned())));
        assert_eq!(plain.query(Some("{ x }".to_owned()), None), Ok(Some("{ x }".to_owned())));
        let apollo = r#"{ "format": "apollo-persisted-query-manifest", "version": 1, "operations": [
            { "id": "b2", "name": "T", "type": "query", "body": "query T { __typename }" }] }"#;
        let required = read(Trust::Require, apollo).expect("a manifest");
        assert!(required.query(None, Some("b2")).is_ok());
        for (query, id) in [(Some("{ x }"), None), (None, Some("a1")), (Some("{ x }"), Some("b2"))] {
            assert!(required.query(query.map(str::to_owned), id).is_err(), "{query:?} {id:?}");
        }
        assert_eq!(required.query(None, None), Ok(None));
        assert!(required.query(None, Some(ORDER_FORM.0)).is_ok() && parse_query(ORDER_FORM.1).is_ok());
        assert!(Documents::default().query(None, Some("b2")).is_err());
    }

    #[test]
    fn what_is_no_manifest_is_said_at_the_start() {
        for text in ["", "[]", r#"{ "a": 5 }"#, r#"{ "a": "{" }"#, r#"{ "format": "x", "operations": [] }"#] {
            assert!(read(Trust::Require, text).is_err(), "{text}");
        }
        assert!(Documents::read(Trust::Require, None).is_err());
        assert!(Documents::read(Trust::Allow, Some(Path::new("/nowhere"))).is_err());
        assert!(Documents::read(Trust::Off, None).is_ok());
    }
}
