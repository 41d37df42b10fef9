//! Health: alive is answering at all, ready is having a database and staying.

use std::time::Duration;

use poem::http::StatusCode;
use poem::{Endpoint, IntoResponse, Response, endpoint::make};
use tokio_util::sync::CancellationToken;

use crate::domain::App;

/// How long readiness waits for the database.
const PATIENCE: Duration = Duration::from_secs(2);

pub fn live() -> impl Endpoint<Output = Response> {
    make(|_| async { "alive\n".into_response() })
}

pub fn ready(app: App, going: CancellationToken) -> impl Endpoint<Output = Response> {
    make(move |_| {
        let (app, going) = (app.clone(), going.clone());
        async move {
            if going.is_cancelled() {
                return "the server is going away\n".with_status(StatusCode::SERVICE_UNAVAILABLE).into_response();
            }
            match tokio::time::timeout(PATIENCE, app.store().ping()).await {
                Ok(Ok(())) => "ready\n".into_response(),
                Ok(Err(_)) | Err(_) => {
                    "the database does not answer\n".with_status(StatusCode::SERVICE_UNAVAILABLE).into_response()
                }
            }
        }
    })
}
