//! `/exports/{customer}.json`: all that is kept about one customer, with a token of staff.

use std::sync::Arc;

use poem::http::{Method, StatusCode, header};
use poem::{Endpoint, IntoResponse, Request, Response};

use super::bearer;
use super::reports::refused;
use super::shell::RequestId;
use crate::domain::accounts::tokens::Tokens;
use crate::domain::customers::export;
use crate::domain::{App, Caller, Error, Result, Scope};

/// The files.
pub struct Exports {
    pub app: App,
    pub tokens: Arc<Tokens>,
}

impl Endpoint for Exports {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        if request.method() != Method::GET {
            return Ok(StatusCode::METHOD_NOT_ALLOWED.into_response());
        }
        let id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
        let name = request.raw_path_param("file").unwrap_or_default().to_owned();
        let answered = match bearer::known(&self.app, &self.tokens, &request).await {
            Ok(known) => {
                let answered = file(&known.caller, &name).await;
                let outcome = match &answered {
                    Ok(Some(_)) => "done",
                    Ok(None) => "NOT_FOUND",
                    Err(error) => error.name(),
                };
                known.caller.note(export::OPERATION, outcome, &id);
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
            Ok(None) => StatusCode::NOT_FOUND.into_response(),
            Err(error) => refused(&error, &id),
        })
    }
}

/// The file of that name; none if there is no such customer. In a task of its own: who hangs up cuts off no read.
async fn file(caller: &Caller, name: &str) -> Result<Option<Vec<u8>>> {
    let (caller, name) = (caller.clone(), name.to_owned());
    tokio::spawn(async move { write(&caller, &name).await }).await?
}

async fn write(caller: &Caller, name: &str) -> Result<Option<Vec<u8>>> {
    let view = caller.view(Scope::StaffRead).await?;
    let Some(Ok(customer)) = name.strip_suffix(".json").map(str::parse) else { return Ok(None) };
    let Some(export) = export::export(&view, customer).await? else { return Ok(None) };
    serde_json::to_vec_pretty(&export).map(Some).map_err(|error| Error::Internal(error.to_string()))
}
