//! A request that can be run: parsed, looked at, and not yet anything else.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::parser::parse_query;
use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, OperationDefinition, OperationType, Selection,
};
use async_graphql::{Request as Query, ServerError, Variables};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::budget::{Bill, Purse, STRANGERS_CHANGE, as_error};
use super::checked::{Kept, Told};
use super::documents::{Documents, NoDocument};
use super::guard::{Refused, inspect};
use crate::domain::{Caller, Role, Scope};
use crate::graphql::{ScripSchema, own_answers};

/// The parameters of a request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Params {
    pub query: Option<String>,
    /// The id of a trusted document, in place of a query.
    pub document_id: Option<String>,
    pub operation_name: Option<String>,
    pub variables: Option<Map<String, Value>>,
    /// Of these one is known: Apollo's `persistedQuery`, whose hash is a document's id.
    pub extensions: Option<Map<String, Value>>,
}

impl Params {
    /// The id of a trusted document, wherever the client puts it.
    fn document_id(&self) -> Option<String> {
        let hash = || self.extensions.as_ref()?.get("persistedQuery")?.get("sha256Hash")?.as_str();
        self.document_id.clone().or_else(|| hash().filter(|_| self.query.is_none()).map(str::to_owned))
    }
}

/// What can be run.
pub struct Operation {
    text: String,
    kept: Arc<Kept>,
    name: Option<String>,
    variables: Variables,
    purse: Purse,
    /// What a check depends on, where it is worth remembering what it came to.
    told: Option<Told>,
    /// What it could answer, in fields, once it was checked.
    pub cost: usize,
    /// What was paid for it.
    paid: usize,
    /// None where the request does not say which.
    pub kind: Option<OperationType>,
}

/// What cannot.
pub enum Unfit {
    /// There is no query that may be run, and why.
    Missing(String),
    /// It is larger than what is served.
    TooLarge(String),
    /// It is no GraphQL, or breaks a rule.
    Invalid(Vec<ServerError>),
}

impl Operation {
    /// Parses and looks at a request, for which somebody pays.
    pub fn of(params: Params, documents: &Documents, purse: Purse) -> Result<Self, Unfit> {
        let id = params.document_id();
        let text = documents.query(params.query, id.as_deref());
        let text = text.map_err(|NoDocument(message)| Unfit::Missing(message))?;
        let text = text.ok_or_else(|| Unfit::Missing("`query` is missing, and so is `documentId`.".to_owned()))?;
        let variables = Variables::from_json(Value::Object(params.variables.unwrap_or_default()));
        let found = documents.kept(&text);
        let is_new = found.is_none();
        let kept = match found {
            Some(kept) => kept,
            None => Arc::new(Kept::new(parse_query(&text).map_err(|error| Unfit::Invalid(vec![error.into()]))?)),
        };
        let operation = selected(&kept.document, params.operation_name.as_deref());
        let kind = operation.map(|operation| operation.ty);
        inspect(&kept.document, operation, &variables).map_err(|refused| match refused {
            Refused::TooLarge(message) => Unfit::TooLarge(message),
            Refused::Invalid(message) => Unfit::Invalid(vec![ServerError::new(message, None)]),
        })?;
        if kind == Some(OperationType::Subscription) && operation.is_some_and(|operation| !selects_one_field(operation))
        {
            let message = "A subscription must select exactly one top-level field, and not in a fragment.";
            return Err(Unfit::Invalid(vec![ServerError::new(message, None)]));
        }
        if is_new {
            documents.keep(&text, &kept);
        }
        let told = operation.and_then(|it| Told::of(params.operation_name.as_deref(), it, &variables));
        Ok(Self { text, kept, name: params.operation_name, variables, purse, told, cost: 0, paid: 0, kind })
    }

    /// Validates it, and charges for what it could answer: whatever is wrong then is no error of running it.
    pub async fn check(&mut self, checker: &ScripSchema) -> Result<(), Vec<ServerError>> {
        let writes_for_strangers = self.kind == Some(OperationType::Mutation) && self.purse.is_strangers();
        let (change, expected) =
            (if writes_for_strangers { STRANGERS_CHANGE } else { 0 }, self.purse.expected(&self.text));
        if let Some(cost) = self.told.as_ref().and_then(|told| self.kept.cost(told)) {
            self.cost = cost;
            self.paid = cost + change + expected;
            return self.purse.spend_with(cost + change, expected).map_err(|error| vec![as_error(error)]);
        }
        let bill = Bill::to(&self.purse, (change, expected));
        let mut errors = checker.execute(self.query().data(bill.clone())).await.errors;
        self.cost = bill.points();
        self.paid = self.cost + change + expected;
        if errors.is_empty() && self.kind.is_none() {
            let message = "Which operation of the document? `operationName` must be the name of one of them.";
            errors.push(ServerError::new(message, None));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        if let Some(told) = self.told.take() {
            self.kept.passed(told, self.cost);
        }
        Ok(())
    }

    /// Says how long the database worked for it: what that is beyond its price is owed.
    pub fn took(&self, spent: Duration) {
        self.purse.took(&self.text, self.paid, spent);
    }

    /// The field of a mutation's answer that says more than its caller, an API key that may not read, may hear.
    pub fn beyond_own_answers(&self, caller: &Caller) -> Option<String> {
        let reads = !matches!(caller.role(), Role::Key(..)) || caller.role().may(Scope::OwnRead);
        if reads || self.kind != Some(OperationType::Mutation) {
            return None;
        }
        let operation = selected(&self.kept.document, self.name.as_deref())?;
        own_answers::beyond(&self.kept.document, operation)
    }

    /// What the library runs.
    pub fn query(&self) -> Query {
        let mut query = Query::new(&self.text).variables(self.variables.clone());
        query.operation_name.clone_from(&self.name);
        query.set_parsed_query(self.kept.document.clone());
        query
    }

    /// What is asked, whatever the values of its variables.
    pub fn question(&self) -> (String, Option<String>) {
        (self.text.clone(), self.name.clone())
    }
}

/// Whether it selects one field, and that in plain sight: the library looks into no fragment here, and would say nothing.
fn selects_one_field(operation: &OperationDefinition) -> bool {
    let items = &operation.selection_set.node.items;
    items.len() == 1 && matches!(items[0].node, Selection::Field(_))
}

/// The operation that a request would run.
fn selected<'a>(document: &'a ExecutableDocument, name: Option<&str>) -> Option<&'a OperationDefinition> {
    match (&document.operations, name) {
        (DocumentOperations::Single(operation), None) => Some(&operation.node),
        (DocumentOperations::Multiple(operations), None) if operations.len() == 1 => {
            operations.values().next().map(|operation| &operation.node)
        }
        (DocumentOperations::Multiple(operations), Some(name)) => operations.get(name).map(|operation| &operation.node),
        _ => None,
    }
}
