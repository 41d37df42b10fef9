//! Traces by OTLP over HTTP: the one module that knows of OpenTelemetry, behind the cargo feature `otlp`.

use std::sync::OnceLock;

use anyhow::{Context, Result};
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing_opentelemetry::OpenTelemetryLayer;

use crate::config::Settings;

/// Where OTLP over HTTP takes traces.
const PATH: &str = "/v1/traces";

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// What sends spans on, if the settings say where.
pub fn layer<S>(settings: &Settings) -> Result<Option<OpenTelemetryLayer<S, SdkTracer>>>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let Some(endpoint) = settings.get("otlp_endpoint") else { return Ok(None) };
    let endpoint = endpoint.trim_end_matches('/');
    let url = if endpoint.ends_with(PATH) { endpoint.to_owned() } else { format!("{endpoint}{PATH}") };
    let exporter = SpanExporter::builder().with_http().with_endpoint(url).build();
    let exporter = exporter.with_context(|| format!("traces cannot be sent to otlp_endpoint {endpoint}"))?;
    let resource = Resource::builder().with_service_name("scrip").build();
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
    let tracer = provider.tracer("scrip");
    drop(PROVIDER.set(provider));
    Ok(Some(tracing_opentelemetry::layer().with_tracer(tracer)))
}

/// Sends what was not sent yet.
pub async fn flush() {
    let Some(provider) = PROVIDER.get() else { return };
    let sent = tokio::task::spawn_blocking(|| provider.shutdown()).await;
    if !matches!(sent, Ok(Ok(()))) {
        tracing::warn!("the last traces could not be sent");
    }
}
