//! `/hooks/{provider}/{account}`: where payment providers say what became of payments.

use std::time::Duration;

use poem::http::{Method, StatusCode};
use poem::{Endpoint, IntoResponse, Request, Response};

use super::shell::RequestId;
use crate::domain::sales::collect;
use crate::domain::storage::ports::payments::Message;
use crate::domain::{App, Error};

/// Bytes of a message.
const BODY: usize = 256 * 1024;
/// How long one may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(10);

/// The door.
pub struct Hooks {
    pub app: App,
}

impl Endpoint for Hooks {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        if request.method() != Method::POST {
            return Ok(StatusCode::METHOD_NOT_ALLOWED.into_response());
        }
        let id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
        let path = |name: &str| request.raw_path_param(name).unwrap_or_default().to_owned();
        let (provider, account) = (path("provider"), path("account"));
        let headers = request.headers().clone();
        let body = match tokio::time::timeout(ARRIVAL, request.take_body().into_bytes_limit(BODY)).await {
            Ok(Ok(body)) => body,
            Ok(Err(poem::error::ReadBodyError::PayloadTooLarge)) => {
                return Ok(StatusCode::PAYLOAD_TOO_LARGE.into_response());
            }
            Ok(Err(_)) => return Ok(StatusCode::BAD_REQUEST.into_response()),
            Err(_) => return Ok(StatusCode::REQUEST_TIMEOUT.into_response()),
        };
        let app = self.app.clone();
        // In a task of its own: who hangs up cancels nothing.
        let heard = tokio::spawn(async move {
            let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
            let message = Message { header: &header, body: &body };
            collect::receive(&app, &provider, &account, &message).await
        });
        Ok(match heard.await {
            Ok(Ok(true)) => StatusCode::NO_CONTENT,
            Ok(Ok(false)) => StatusCode::NOT_FOUND,
            Ok(Err(Error::Unauthenticated)) => StatusCode::UNAUTHORIZED,
            Ok(Err(error)) if error.passes() => {
                tracing::warn!(request_id = id.as_str(), %error, "a payment provider's message is to be sent again");
                StatusCode::SERVICE_UNAVAILABLE
            }
            Ok(Err(error)) => {
                tracing::error!(request_id = id.as_str(), %error, "a payment provider's message could not be taken");
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Err(error) => {
                tracing::error!(request_id = id.as_str(), %error, "a payment provider's message ended in a panic");
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
        .into_response())
    }
}
