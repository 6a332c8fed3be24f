//! `/metrics`, `/healthz`, `/readyz`: read-only.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::consume::Readiness;

/// Serves until the process ends.
///
/// # Errors
/// The address cannot be bound.
pub async fn serve(
    bind: SocketAddr,
    registry: Registry,
    ready: watch::Receiver<Readiness>,
) -> anyhow::Result<SocketAddr> {
    let listener =
        TcpListener::bind(bind).await.with_context(|| format!("cannot listen on {bind}: is another process there?"))?;
    let address = listener.local_addr()?;
    let registry = Arc::new(registry);
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route(
            "/readyz",
            get(move || async move {
                match *ready.borrow() {
                    Readiness { partitions: 0, .. } => {
                        (StatusCode::SERVICE_UNAVAILABLE, "not ready: no partitions assigned\n")
                    }
                    Readiness { influx_away: true, .. } => {
                        (StatusCode::SERVICE_UNAVAILABLE, "not ready: InfluxDB does not take data\n")
                    }
                    Readiness { .. } => (StatusCode::OK, "ready\n"),
                }
            }),
        )
        .route("/metrics", get(move || async move { metrics(&registry) }));
    tokio::spawn(async move {
        if let Err(e) = axum::serve(listener, router).await {
            tracing::error!(reason = %e, "The HTTP server stopped.");
        }
    });
    Ok(address)
}

fn metrics(registry: &Registry) -> impl IntoResponse + use<> {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, registry) {
        Ok(()) => (
            StatusCode::OK,
            [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")],
            text,
        ),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/plain")], e.to_string()),
    }
}
