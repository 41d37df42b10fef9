//! Who asks: the bearer token of a request.

use poem::Request;
use poem::http::header;

use crate::domain::accounts::tokens::Tokens;
use crate::domain::clock::Instant;
use crate::domain::{App, Caller, Error, Result};

/// The caller of a request, and until when its token is good: anyone, for good, if it brings no token.
pub fn caller_until(app: &App, tokens: &Tokens, request: &Request) -> Result<(Caller, Option<Instant>)> {
    let Some(value) = request.headers().get(header::AUTHORIZATION) else {
        return Ok((Caller::anyone(app.clone()), None));
    };
    let value = value.to_str().map_err(|_| Error::Unauthenticated)?;
    read(app, tokens, value).map(|(caller, until)| (caller, Some(until)))
}

/// Who the value of an `Authorization` speaks for, and until when.
pub fn read(app: &App, tokens: &Tokens, value: &str) -> Result<(Caller, Instant)> {
    let (scheme, token) = value.split_once(' ').ok_or(Error::Unauthenticated)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Error::Unauthenticated);
    }
    tokens.read_until(app, token.trim())
}

/// The caller of a request: anyone, if it brings no token.
pub fn caller(app: &App, tokens: &Tokens, request: &Request) -> Result<Caller> {
    caller_until(app, tokens, request).map(|(caller, _)| caller)
}
