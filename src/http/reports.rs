//! `/reports/{liability,breakage,consumption}.csv`: reports as files, with a token of staff.

use chrono::DateTime;
use poem::http::{Method, StatusCode, header};
use poem::{Endpoint, IntoResponse, Request, Response};
use serde::Deserialize;

use super::files::{Files, refused};
use super::shell::RequestId;
use crate::domain::ground::clock::Instant;
use crate::domain::reports::csv::{Report, report};
use crate::domain::reports::{Grouping, Stretch};
use crate::domain::{Caller, Refusal, Result, Scope};

/// The files.
pub struct Reports(pub Files);

/// What an address may say.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    as_of: Option<String>,
    from: Option<String>,
    to: Option<String>,
    group_by: Option<String>,
}

impl Endpoint for Reports {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        if request.method() != Method::GET {
            return Ok(StatusCode::METHOD_NOT_ALLOWED.into_response());
        }
        let name = request.raw_path_param("file").unwrap_or_default().to_owned();
        let id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
        let answered = self.answer(&request, &name).await;
        Ok(match answered {
            Ok(Some(text)) => Response::builder()
                .header(header::CONTENT_TYPE, "text/csv; charset=utf-8")
                .header(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\""))
                .header(header::CACHE_CONTROL, "no-store")
                .body(text),
            Ok(None) => "There is no such report. There are liability.csv, breakage.csv and consumption.csv.\n"
                .with_status(StatusCode::NOT_FOUND)
                .into_response(),
            Err(error) => refused(&error, &id),
        })
    }
}

impl Reports {
    /// The file of that name; none if there is no such report. What is wrong with an address is said before anything waits.
    async fn answer(&self, request: &Request, name: &str) -> Result<Option<String>> {
        let (caller, _waits) = self.0.caller(request).await?;
        caller.authorise(Scope::StaffRead)?;
        let unreadable = |_| Refusal::invalid("parameters", "Those of the address cannot be read.");
        let Some(wanted) = wanted(name, &request.params::<Asked>().map_err(unreadable)?)? else { return Ok(None) };
        let file = move |caller: Caller| async move {
            let view = caller.view(Scope::StaffRead).await?;
            report(&view, wanted).await
        };
        self.0.write(caller, file).await.map(Some)
    }
}

/// The report of that name; none if there is none.
fn wanted(name: &str, asked: &Asked) -> Result<Option<Report>, Refusal> {
    Ok(Some(match name {
        "liability.csv" => {
            Report::Liability { as_of: asked.as_of.as_deref().map(|at| instant("asOf", at)).transpose()? }
        }
        "breakage.csv" => Report::Breakage(stretch(asked)?),
        "consumption.csv" => Report::Consumption(stretch(asked)?, grouping(asked.group_by.as_deref())?),
        _ => return Ok(None),
    }))
}

fn stretch(asked: &Asked) -> Result<Stretch, Refusal> {
    let at = |field: &str, at: &Option<String>| {
        let missing = || Refusal::invalid(field, "Is missing: give an instant such as 2026-03-01T00:00:00Z.");
        instant(field, at.as_deref().ok_or_else(missing)?)
    };
    Ok(Stretch { from: at("from", &asked.from)?, to: at("to", &asked.to)? })
}

fn instant(field: &str, text: &str) -> Result<Instant, Refusal> {
    let at = DateTime::parse_from_rfc3339(text).map(|at| at.to_utc());
    at.map_err(|_| Refusal::invalid(field, "Must be an instant with its offset, such as 2026-03-31T16:30:00Z."))
}

fn grouping(name: Option<&str>) -> Result<Grouping, Refusal> {
    match name {
        None | Some("CREDIT_TYPE") => Ok(Grouping::CreditType),
        Some("CUSTOMER") => Ok(Grouping::Customer),
        Some("DAY") => Ok(Grouping::Day),
        Some("MONTH") => Ok(Grouping::Month),
        Some(_) => Err(Refusal::invalid("groupBy", "Must be CREDIT_TYPE, CUSTOMER, DAY or MONTH.")),
    }
}
