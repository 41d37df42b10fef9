//! `/exports/{customer}.json`: all that is kept about one customer, with a token of staff.

use poem::http::{Method, StatusCode, header};
use poem::{Endpoint, IntoResponse, Request, Response};

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
                let (asker, wanted) = (caller.clone(), name.clone());
                let answered = self.0.write(asker, move |asker| async move { file(&asker, &wanted).await }).await;
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

/// The file of that name; none if there is no such customer.
async fn file(caller: &Caller, name: &str) -> Result<Option<Vec<u8>>> {
    let view = caller.view(Scope::StaffRead).await?;
    let Some(Ok(customer)) = name.strip_suffix(".json").map(str::parse) else { return Ok(None) };
    let Some(export) = export::export(&view, customer).await? else { return Ok(None) };
    serde_json::to_vec_pretty(&export).map(Some).map_err(|error| Error::Internal(error.to_string()))
}
