//! Who asks: the bearer token of a request.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use poem::Request;
use poem::http::header;

use crate::domain::accounts::tokens::Tokens;
use crate::domain::identity::caller::Known;
use crate::domain::{App, Caller, Error, Result};

/// How often it is looked whether what a stream came in with is still good.
const LOOK: Duration = Duration::from_secs(15);

/// Comes true when something is taken back.
pub type Revoked = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Who comes in with a request: anyone, for good, if it brings no token.
pub async fn known(app: &App, tokens: &Arc<Tokens>, request: &Request) -> Result<Known> {
    match value(request)? {
        Some(value) => read(app, tokens, &value).await,
        None => Ok(anyone(app)),
    }
}

/// Somebody without a token.
pub fn anyone(app: &App) -> Known {
    Known { caller: Caller::anyone(app.clone()), left: None, revocable: false }
}

/// The value of a request's `Authorization`, if it has one.
pub fn value(request: &Request) -> Result<Option<String>> {
    let value = request.headers().get(header::AUTHORIZATION);
    value.map(|value| value.to_str().map(str::to_owned).map_err(|_| Error::Unauthenticated)).transpose()
}

/// Who the value of an `Authorization` lets in.
pub async fn read(app: &App, tokens: &Arc<Tokens>, value: &str) -> Result<Known> {
    let (scheme, token) = value.split_once(' ').ok_or(Error::Unauthenticated)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Error::Unauthenticated);
    }
    if let Some(known) = tokens.know_at_once(app, token.trim()) {
        return Ok(known);
    }
    let (app, tokens, token) = (app.clone(), tokens.clone(), token.trim().to_owned());
    // In a task of its own: who hangs up cuts off no read, which would leave its snapshot open in the pool.
    tokio::spawn(async move { tokens.look_up(&app, &token).await }).await?
}

/// Comes true when what somebody came in with is no longer good. A look that fails is no reason to throw anybody out.
pub fn revoked(app: &App, tokens: &Arc<Tokens>, value: String) -> Revoked {
    let (app, tokens) = (app.clone(), tokens.clone());
    Box::pin(async move {
        loop {
            tokio::time::sleep(LOOK).await;
            if matches!(read(&app, &tokens, &value).await, Err(Error::Unauthenticated)) {
                return;
            }
        }
    })
}
