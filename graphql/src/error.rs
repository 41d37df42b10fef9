//! What a client is told of an error, and what only the log is.

use std::sync::Arc;

use async_graphql::{ErrorExtensionValues, PathSegment, Response, ServerError};

use super::{COMPLEXITY, DEPTH};
use domain::{Error, Refusal};

/// Errors of one answer that are told.
const ERRORS: usize = 50;
/// Characters of one message, and of all of one answer: some repeat what was asked.
const MESSAGE: usize = 400;
const MESSAGES: usize = 3_000;
/// Characters of a path's names.
const PATH: usize = 300;

/// How bad an answer is, for the status code of the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masked {
    /// Data, refusals, or errors beside data.
    Fine,
    /// Somebody has to sign in.
    Unauthenticated,
    /// The query is larger than what is served.
    TooLarge,
    /// Nothing could be answered for now.
    Unavailable,
    /// Too much was asked for; so many seconds are to be waited for.
    RateLimited(u64),
}

/// Gives every error a code and the request's id, and takes out of it what is not for clients.
pub fn mask(response: &mut Response, request_id: &str) -> Masked {
    let mut worst = Masked::Fine;
    response.errors.truncate(ERRORS);
    let mut left = MESSAGES;
    for error in &mut response.errors {
        let wait = wait(error);
        let code = code_of(error, request_id);
        error.message = cut_to(&error.message, MESSAGE.min(left));
        left = left.saturating_sub(error.message.len());
        if path_length(error) > PATH {
            error.path.clear();
        }
        metrics::counter!("scrip_errors_total", "code" => code).increment(1);
        worst = match (code, worst) {
            ("RATE_LIMITED", _) => Masked::RateLimited(wait.unwrap_or(1)),
            ("UNAUTHENTICATED", _) => Masked::Unauthenticated,
            ("UNAVAILABLE", Masked::Fine) => Masked::Unavailable,
            ("QUERY_TOO_LARGE", Masked::Fine) => Masked::TooLarge,
            _ => worst,
        };
        let extensions = error.extensions.get_or_insert_with(ErrorExtensionValues::default);
        extensions.set("code", code);
        extensions.set("requestId", request_id);
        if let Some(wait) = wait {
            extensions.set("retryAfter", wait);
        }
        error.source = None;
    }
    worst
}

/// A message that may repeat what was asked, as far as it is told.
#[must_use]
pub fn cut(message: &str) -> String {
    cut_to(message, MESSAGE)
}

fn cut_to(message: &str, most: usize) -> String {
    match message.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

fn path_length(error: &ServerError) -> usize {
    let length = |part: &PathSegment| if let PathSegment::Field(name) = part { name.len() } else { 1 };
    error.path.iter().map(length).sum()
}

/// Whether something in an answer went wrong that has nothing to do with what was asked.
pub fn broke(response: &Response) -> bool {
    response.errors.iter().any(|error| match domain(error) {
        Some(error) => matches!(error, Error::Internal(_)) || error.passes(),
        None => error.source.is_some(),
    })
}

/// What of the domain is behind an error.
fn domain(error: &ServerError) -> Option<&Error> {
    let source = error.source.as_deref()?;
    source.downcast_ref::<Error>().or_else(|| source.downcast_ref::<Arc<Error>>().map(Arc::as_ref))
}

/// The seconds after which somebody may ask again, if that is what is wrong.
fn wait(error: &ServerError) -> Option<u64> {
    match domain(error) {
        Some(Error::RateLimited { wait }) => Some(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)),
        _ => None,
    }
}

fn code_of(error: &mut ServerError, request_id: &str) -> &'static str {
    let (code, message) = match domain(error) {
        None if error.source.is_some() => {
            tracing::error!(request_id, error = error.message, "a request failed");
            ("INTERNAL", INTERNAL.to_owned())
        }
        // The library's own words on a query that is not valid; it tells its limits in these.
        None => match error.message.as_str() {
            "Query is too complex." => (
                "QUERY_TOO_LARGE",
                format!("The query could answer more than {COMPLEXITY} fields. Ask for smaller pages."),
            ),
            "Query is nested too deep." => {
                ("QUERY_TOO_LARGE", format!("The query is nested deeper than {DEPTH} levels."))
            }
            message => ("BAD_REQUEST", message.to_owned()),
        },
        Some(Error::Refused(refusal) | Error::RefusedBefore(refusal)) => ("BAD_REQUEST", with_field(refusal)),
        Some(Error::Unauthenticated) => {
            ("UNAUTHENTICATED", "The token is missing, invalid or expired. Send `Authorization: Bearer …`.".to_owned())
        }
        Some(Error::Forbidden(scope)) => ("FORBIDDEN", format!("This token may not do this. {}.", scope.who())),
        Some(error @ (Error::Unavailable(_) | Error::Conflict(_))) => {
            tracing::warn!(request_id, %error, "a request could not be answered");
            let message = "The server cannot answer now. Try again with the same idempotency key: \
                           what was written will be found.";
            ("UNAVAILABLE", message.to_owned())
        }
        Some(Error::RateLimited { .. }) => {
            ("RATE_LIMITED", "Too much was asked for in too little time. Wait for `retryAfter` seconds.".to_owned())
        }
        Some(Error::Internal(why)) => {
            tracing::error!(request_id, error = why, "a request failed");
            ("INTERNAL", INTERNAL.to_owned())
        }
    };
    error.message = message;
    code
}

/// A refusal outside a payload, where its field has no place of its own.
fn with_field(refusal: &Refusal) -> String {
    match refusal.field() {
        Some(field) => format!("{}: {}", field.join("."), refusal.message()),
        None => refusal.message(),
    }
}

const INTERNAL: &str = "Something went wrong on our side. Give the requestId to those who run this server.";
