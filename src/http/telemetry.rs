//! What is counted at the doors. The recorder that keeps it is put in place by the command that serves.

use std::time::Duration;

use async_graphql::parser::types::OperationType;

/// Counts an answer. The path is one of few: what else is asked for is one kind.
pub fn answered(path: &str, status: u16, took: Duration) {
    let path = match path {
        "/graphql" | "/graphiql" | "/health/live" | "/health/ready" => path.to_owned(),
        other => match other.split('/').nth(1) {
            Some(first @ ("o" | "hooks" | "reports" | "exports" | "graphiql")) => format!("/{first}/"),
            _ => "other".to_owned(),
        },
    };
    let status = format!("{}xx", status / 100);
    metrics::counter!("scrip_requests_total", "path" => path.clone(), "status" => status).increment(1);
    metrics::histogram!("scrip_request_seconds", "path" => path).record(took.as_secs_f64());
}

/// Counts an operation by what it was and how it ended.
pub fn operation(kind: Option<OperationType>, is_ok: bool) {
    let kind = match kind {
        Some(OperationType::Query) => "query",
        Some(OperationType::Mutation) => "mutation",
        Some(OperationType::Subscription) => "subscription",
        None => "unknown",
    };
    let outcome = if is_ok { "answered" } else { "errors" };
    metrics::counter!("scrip_operations_total", "kind" => kind, "outcome" => outcome).increment(1);
}

/// One of those that last, counted until it is dropped.
pub struct Counted(&'static str);

impl Counted {
    /// Counts one more of a kind.
    pub fn new(kind: &'static str) -> Self {
        metrics::gauge!("scrip_streams", "kind" => kind).increment(1.0);
        Self(kind)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::gauge!("scrip_streams", "kind" => self.0).decrement(1.0);
    }
}
