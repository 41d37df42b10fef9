//! `/metrics`: what is counted, in the text format of Prometheus, at an address of its own.

use std::time::Duration;

use anyhow::{Context, Result};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Settings;
use crate::domain::App;
use crate::http;

/// Bounds of what takes time, in seconds, and of how much is committed at once.
const SECONDS: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];
const COMMANDS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
/// How often what stands still is looked at, and what was counted is gathered.
const LOOK: Duration = Duration::from_secs(5);

/// What is counted while it runs.
pub struct Metrics {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Metrics {
    /// Counts from now on, if the settings say where it is to be read.
    pub async fn start(settings: &Settings, app: &App) -> Result<Self> {
        let stop = CancellationToken::new();
        let Some(address) = settings.get("metrics_listen") else { return Ok(Self { stop, tasks: Vec::new() }) };
        let handle = recorder()?;
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("metrics cannot be served at {address}"))?;
        tracing::info!(%address, "serving /metrics");
        let render = handle.clone();
        let served = http::serve_metrics(listener, move || render.render(), stop.clone());
        let served = tokio::spawn(async move {
            if let Err(error) = served.await {
                tracing::error!(%error, "metrics are not served any more");
            }
        });
        let looked = tokio::spawn(look(app.clone(), handle, stop.clone()));
        Ok(Self { stop, tasks: vec![served, looked] })
    }

    /// Counts no more.
    pub async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            drop(task.await);
        }
    }
}

fn recorder() -> Result<PrometheusHandle> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_commands".to_owned()), COMMANDS)?
        .build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|error| anyhow::anyhow!("metrics cannot be counted: {error}"))?;
    describe();
    Ok(handle)
}

/// What each means: the text is served with it.
fn describe() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_counter!("scrip_requests_total", "Answers by path and class of status.");
    describe_histogram!("scrip_request_seconds", Unit::Seconds, "How long answers took.");
    describe_counter!("scrip_operations_total", "GraphQL operations over HTTP by kind, answered or with errors.");
    describe_counter!(
        "scrip_mutations_total",
        "Mutations by name and outcome: done, or the code of the refusal or error."
    );
    describe_counter!("scrip_errors_total", "Errors of answers by code.");
    describe_histogram!("scrip_ledger_batch_commands", "Commands in one ledger commit.");
    describe_histogram!("scrip_ledger_commit_seconds", Unit::Seconds, "How long ledger commits took.");
    describe_gauge!("scrip_ledger_waiting", "Commands that wait in the ledger's lanes.");
    describe_counter!(
        "scrip_statements_total",
        "Statements that the database was asked, transaction brackets left out."
    );
    describe_gauge!("scrip_pool_connections", "Database connections by pool: all of them, and those in use.");
    describe_gauge!(
        "scrip_longest_read_seconds",
        Unit::Seconds,
        "How long the oldest read has gone on; 0 if none does."
    );
    describe_counter!(
        "scrip_connections_lost_total",
        "Connections that read, did not come back, and were given up: the database or the network between is at fault."
    );
    describe_gauge!(
        "scrip_job_age_seconds",
        Unit::Seconds,
        "How long the oldest due job has waited; 0 if none is due."
    );
    describe_counter!("scrip_jobs_dead_total", "Jobs that failed too often, and wait for staff: jobs(dead: true).");
    describe_gauge!("scrip_streams", "Sockets and event streams that are open.");
    describe_counter!("scrip_connections_refused_total", "Connections for which there was no place.");
    describe_counter!("scrip_access_entries_lost_total", "Lines of the access log that could not be written.");
    describe_gauge!("scrip_build_info", "1, with the version that runs.");
    // What is watched for growing is there from the beginning: who comes from nowhere has not grown.
    for code in
        ["INTERNAL", "UNAVAILABLE", "RATE_LIMITED", "UNAUTHENTICATED", "FORBIDDEN", "BAD_REQUEST", "QUERY_TOO_LARGE"]
    {
        metrics::counter!("scrip_errors_total", "code" => code).increment(0);
    }
    for name in [
        "scrip_jobs_dead_total",
        "scrip_access_entries_lost_total",
        "scrip_connections_refused_total",
        "scrip_connections_lost_total",
    ] {
        metrics::counter!(name).increment(0);
    }
    metrics::gauge!("scrip_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

async fn look(app: App, handle: PrometheusHandle, stop: CancellationToken) {
    loop {
        if let Err(error) = app.observe().await {
            tracing::debug!(%error, "what stands still could not be looked at");
        }
        handle.run_upkeep();
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}
