//! `/exports/{customer}.json`: all that is kept about one customer, with a token of staff.

use poem::http::{Method, StatusCode, header};
use poem::{Endpoint, IntoResponse, Request, Response};
use serde::Serialize;

use super::files::{Files, refused};
use super::shell::RequestId;
use crate::domain::customers::export;
use crate::domain::identity::access::{DONE, Noted};
use crate::domain::{Caller, Error, Result, Scope};

/// The files.
pub struct Exports(pub Files);

impl Endpoint for Exports {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        if request.method() != Method::GET {
            return Ok(StatusCode::METHOD_NOT_ALLOWED.into_response());
        }
        let id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
        let name = request.raw_path_param("file").unwrap_or_default().to_owned();
        let answered = match self.0.caller(&request).await {
            Ok((caller, _waits)) => {
                // What is no id is nobody's, and waits for nothing.
                let answered = match name.strip_suffix(".json").and_then(|id| id.parse().ok()) {
                    None => caller.authorise(Scope::StaffRead).map(|_| None),
                    Some(customer) => {
                        let file = move |caller: Caller| async move {
                            let view = caller.view(Scope::StaffRead).await?;
                            export::export(&view, customer).await?.as_ref().map(text).transpose()
                        };
                        self.0.write(caller.clone(), file).await
                    }
                };
                let outcome = match &answered {
                    Ok(Some(_)) => DONE,
                    Ok(None) => "NOT_FOUND",
                    Err(error) => error.name(),
                };
                let about = name.strip_suffix(".json");
                caller.note(&Noted { operation: export::OPERATION, about, outcome, request_id: &id });
                answered
            }
            Err(error) => Err(error),
        };
        Ok(match answered {
            Ok(Some(text)) => Response::builder()
                .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
                .header(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\""))
                .header(header::CACHE_CONTROL, "no-store")
                .body(text),
            Ok(None) => "There is no such customer. The address is /exports/cus_….json.\n"
                .with_status(StatusCode::NOT_FOUND)
                .into_response(),
            Err(error) => refused(&error, &id),
        })
    }
}

/// An export as the text of its file.
fn text(export: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(export).map_err(|error| Error::Internal(error.to_string()))
}
