//! Who asks: the bearer token of a request.

use poem::Request;
use poem::http::header;

use crate::domain::accounts::tokens::Tokens;
use crate::domain::{App, Caller, Error, Result};

/// The caller of a request: anyone, if it brings no token.
pub fn caller(app: &App, tokens: &Tokens, request: &Request) -> Result<Caller> {
    let Some(value) = request.headers().get(header::AUTHORIZATION) else {
        return Ok(Caller::anyone(app.clone()));
    };
    let token = value.to_str().ok().and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    token.ok_or(Error::Unauthenticated).and_then(|token| tokens.read(app, token))
}
