//! Health: alive is answering at all, ready is having a database.

use std::time::Duration;

use poem::http::StatusCode;
use poem::{Endpoint, IntoResponse, Response, endpoint::make};

use crate::domain::App;

/// How long readiness waits for the database.
const PATIENCE: Duration = Duration::from_secs(2);

pub fn live() -> impl Endpoint<Output = Response> {
    make(|_| async { "alive\n".into_response() })
}

pub fn ready(app: App) -> impl Endpoint<Output = Response> {
    make(move |_| {
        let app = app.clone();
        async move {
            match tokio::time::timeout(PATIENCE, app.store().ping()).await {
                Ok(Ok(())) => "ready\n".into_response(),
                Ok(Err(_)) | Err(_) => {
                    "the database does not answer\n".with_status(StatusCode::SERVICE_UNAVAILABLE).into_response()
                }
            }
        }
    })
}
