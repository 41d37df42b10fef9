//! Pages: GraphiQL and order forms from files inside the binary, under a strict Content-Security-Policy.

use poem::http::{StatusCode, header};
use poem::{Endpoint, IntoResponse, Request, Response, endpoint::make_sync};
use rust_embed::RustEmbed;
use serde::Serialize;

use crate::domain::sales::forms;
use crate::domain::{App, Caller, Error};

/// What the page may do: nothing that does not come from this server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                      font-src 'self' data:; img-src 'self' data:; worker-src 'self' blob:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What an order form may do: likewise, but for pictures of the business's own.
const FORM_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src https: data:; \
                           connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[derive(RustEmbed)]
#[folder = "src/http/assets"]
struct Assets;

/// What GraphiQL starts with.
#[derive(Clone, Default, Serialize)]
pub struct Start {
    /// A token for the header, in development only.
    pub token: Option<String>,
    /// Operations, one tab each.
    pub examples: Vec<Example>,
    /// Whether the demo's people are there.
    #[serde(skip)]
    pub has_ada: bool,
}

/// An operation in a tab.
#[derive(Clone, Serialize)]
pub struct Example {
    pub query: String,
    /// A JSON object as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variables: Option<String>,
}

/// Says where things are.
pub fn index() -> impl Endpoint<Output = Response> {
    make_sync(|_| {
        "Scrip: prepaid service credits.\n\n  /graphql        the API (POST, or GET for queries)\n  \
         /graphiql       its explorer and manual\n  /o/…            order forms\n  /health/live    answers while the server runs\n  \
         /health/ready   answers while it can serve\n"
            .into_response()
    })
}

/// Says where the API is to whoever posts where it is not.
pub fn nowhere() -> impl Endpoint<Output = Response> {
    make_sync(|_| {
        let text =
            "There is nothing to post to here. The API is at /graphql: POST {\"query\": \"…\"} as application/json.\n";
        text.with_status(StatusCode::NOT_FOUND).into_response()
    })
}

/// The page, with what it starts with inside.
pub fn graphiql(start: &Start) -> impl Endpoint<Output = Response> + use<> {
    // Inside a script element only "</" could end it early.
    let start = serde_json::to_string(start).unwrap_or_else(|_| "{}".to_owned()).replace("</", "<\\/");
    let page = file("graphiql.html").map(|page| String::from_utf8_lossy(&page).replace("{{START}}", &start));
    make_sync(move |_| match &page {
        Some(page) => Response::builder()
            .content_type("text/html; charset=utf-8")
            .header(header::CONTENT_SECURITY_POLICY, POLICY)
            .header(header::CACHE_CONTROL, "no-store")
            .body(page.clone()),
        None => StatusCode::NOT_FOUND.into_response(),
    })
}

/// `/o/{account}/{slug}`: an order form, if something is on sale there.
pub struct OrderForm {
    pub app: App,
}

impl Endpoint for OrderForm {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let path = |name: &str| request.raw_path_param(name).unwrap_or_default();
        let found = async {
            match forms::counter(&Caller::anyone(self.app.clone()), path("account")).await? {
                Some(view) => forms::form(&view, path("slug")).await,
                None => Ok::<_, Error>(None),
            }
        };
        let (status, title) = match found.await {
            Ok(Some(form)) => (StatusCode::OK, format!("{} · {}", form.product.name, form.account.name)),
            Ok(None) => (StatusCode::NOT_FOUND, "Nothing is on sale here".to_owned()),
            // The page asks again, and says so.
            Err(error) => {
                tracing::warn!(%error, "an order form could not be read");
                (StatusCode::SERVICE_UNAVAILABLE, "Try again".to_owned())
            }
        };
        let page = file("order.html").unwrap_or_default();
        let page = String::from_utf8_lossy(&page).replace("{{TITLE}}", &escaped(&title));
        Ok(Response::builder()
            .status(status)
            .content_type("text/html; charset=utf-8")
            .header(header::CONTENT_SECURITY_POLICY, FORM_POLICY)
            .header(header::CACHE_CONTROL, "no-store")
            .body(page))
    }
}

/// A text within HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The page's files.
pub fn asset() -> impl Endpoint<Output = Response> {
    make_sync(|request: Request| {
        let name = request.raw_path_param("file").unwrap_or_default();
        let content_type = match name.rsplit_once('.') {
            Some((_, "js")) => "text/javascript; charset=utf-8",
            Some((_, "css")) => "text/css; charset=utf-8",
            _ => return StatusCode::NOT_FOUND.into_response(),
        };
        match file(name).or_else(|| file(&format!("vendor/{name}"))) {
            Some(bytes) => {
                Response::builder().content_type(content_type).header(header::CACHE_CONTROL, "max-age=3600").body(bytes)
            }
            None => StatusCode::NOT_FOUND.into_response(),
        }
    })
}

fn file(name: &str) -> Option<Vec<u8>> {
    Assets::get(name).map(|file| file.data.into_owned())
}
