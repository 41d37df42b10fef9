//! What files share: who asks pays for them, and they take a place like any operation.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use poem::http::{HeaderValue, StatusCode, header};
use poem::{IntoResponse, Request, Response};

use tokio_util::sync::{CancellationToken, DropGuard};

use super::budget::{Budgets, Purse, WRONG_TOKEN};
use super::gate::Gate;
use super::shell::{From, RequestId};
use super::{apart, bearer};
use crate::domain::accounts::tokens::Tokens;
use crate::domain::{App, Caller, Error, Result};

/// What a file costs: it is read from many rows.
const FILE: usize = 1_000;

/// What the doors to files open to.
pub struct Files {
    pub app: App,
    pub tokens: Arc<Tokens>,
    pub gate: Gate,
    pub budgets: Arc<Budgets>,
}

impl Files {
    /// Who asks for a file, and has paid for it. What it reads takes turns, and ends when the guard is dropped.
    pub async fn caller(&self, request: &Request) -> Result<(Caller, DropGuard)> {
        let from = request.extensions().get::<From>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |from| from.0);
        let known = bearer::known(&self.app, &self.tokens, request).await.inspect_err(|error| {
            if matches!(error, Error::Unauthenticated) {
                drop(self.budgets.charge(from, WRONG_TOKEN));
            }
        })?;
        Purse::new(self.budgets.clone(), from, &known.caller).spend(FILE)?;
        let gone = CancellationToken::new();
        Ok((known.caller.waited_for(gone.clone()), gone.drop_guard()))
    }

    /// Writes a file, once there is a place and its turn to read much has come: who hangs up ends what it reads, and cuts
    /// off nothing. Only what reads has a thread of its own; what waits for its turn holds none.
    pub async fn write<T, F>(&self, caller: Caller, work: impl FnOnce(Caller) -> F + Send + 'static) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let place = self.gate.enter().await.map_err(|_| Error::Unavailable("all places are taken".into()))?;
        let written = tokio::spawn(async move {
            let caller = caller.at_length().await?;
            let written = apart::run(work(caller)).await?;
            drop(place);
            written
        });
        written.await?
    }
}

/// A refusal or a fault as plain text.
pub fn refused(error: &Error, id: &RequestId) -> Response {
    let (status, text) = match error {
        Error::Refused(refusal) | Error::RefusedBefore(refusal) => {
            let field = refusal.field().map(|field| field.join(".")).unwrap_or_default();
            (StatusCode::BAD_REQUEST, format!("{field}: {}", refusal.message()))
        }
        Error::Unauthenticated => {
            (StatusCode::UNAUTHORIZED, "Send `Authorization: Bearer …` with a token of staff.".to_owned())
        }
        Error::Forbidden(scope) => (StatusCode::FORBIDDEN, format!("This token may not do this. {}.", scope.who())),
        Error::RateLimited { wait } => return later(StatusCode::TOO_MANY_REQUESTS, *wait),
        error if error.passes() => {
            tracing::warn!(request_id = id.as_str(), %error, "a file could not be written");
            return later(StatusCode::SERVICE_UNAVAILABLE, Duration::from_secs(1));
        }
        error => {
            tracing::error!(request_id = id.as_str(), %error, "a file could not be written");
            let text = format!("Something went wrong on our side. The request is {}.", id.as_str());
            (StatusCode::INTERNAL_SERVER_ERROR, text)
        }
    };
    let mut response = format!("{text}\n").with_status(status).into_response();
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// Says when to come again.
fn later(status: StatusCode, wait: Duration) -> Response {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let text = format!("The server cannot answer now. Try again after {seconds} s.\n");
    let mut response = text.with_status(status).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}
