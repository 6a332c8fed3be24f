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

use crate::roles::Healths;

/// Serves until the process ends.
///
/// # Errors
/// The address cannot be bound.
pub async fn serve(bind: SocketAddr, registry: Registry, health: Healths) -> anyhow::Result<SocketAddr> {
    let listener =
        TcpListener::bind(bind).await.with_context(|| format!("cannot listen on {bind}: is another process there?"))?;
    let address = listener.local_addr()?;
    let registry = Arc::new(registry);
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route(
            "/readyz",
            get(move || async move {
                let faults = health.iter().filter_map(|(role, health)| Some((role, health.borrow().fault()?)));
                let faults: String = faults.map(|(role, fault)| format!("not ready: {role}: {fault}\n")).collect();
                match faults.is_empty() {
                    true => (StatusCode::OK, "ready\n".to_owned()),
                    false => (StatusCode::SERVICE_UNAVAILABLE, faults),
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
