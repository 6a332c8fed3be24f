//! The window into a running gateway: page, JSON for the page, metrics, health; and the one HTTP server, which also serves
//! the doors' routes.
//!
//! # Invariants
//! - Nothing here changes anything: every handler works on snapshots. Doors bring their own.
//! - The page loads nothing from elsewhere, and its policy forbids the browser to try.
//! - A slow or hanging reader delays no stage and no shutdown.
//!
//! # Flow
//! ```text
//! connections ─▶ serve ─▶ router ─┬▶ login ─▶ / (dashboard) · /api/v1 (api) · /metrics · /readyz
//!                                 ├▶ /healthz
//! pipeline ─Sources, doors' routes┴▶ /v1/ingest and its like
//! ```

mod api;
mod dashboard;
mod health;
mod incidents;
mod login;
mod metrics;
mod serve;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;

pub use health::Readiness;
pub use login::{Login, for_files};
pub use serve::Limits;

use crate::clock;
use crate::ingest::tls;
use crate::metrics::Metrics;
use crate::queue::{LedgerRow, Pressure};
use crate::shutdown::Stop;
use crate::view::View;

/// Scripts, styles and data from here alone; no frames, no forms, no plug-ins.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                                       img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the pipeline lets us look at.
#[derive(Clone)]
pub struct Sources {
    /// The gateway's name.
    pub gateway: String,
    pub view: Arc<View>,
    pub metrics: Metrics,
    /// Asked at each look: it counts in the store.
    pub ledger: Arc<dyn Fn() -> Vec<LedgerRow> + Send + Sync>,
    pub readiness: watch::Receiver<Readiness>,
    pub pressure: watch::Receiver<Pressure>,
    pub clock: watch::Receiver<clock::Status>,
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("http cannot listen on {addr}: {source}\nhint: name another address with `http.bind` or --http")]
    Bind { addr: SocketAddr, source: std::io::Error },
}

/// Bound, so that a taken port is known before anything else starts, but not yet answering.
pub struct Server {
    listener: TcpListener,
    addr: SocketAddr,
}

impl Server {
    /// # Errors
    /// The address is taken or not ours.
    pub async fn bind(addr: SocketAddr) -> Result<Self, Error> {
        let bind = async {
            let listener = TcpListener::bind(addr).await?;
            let addr = listener.local_addr()?;
            Ok(Self { listener, addr })
        };
        bind.await.map_err(|source| Error::Bind { addr, source })
    }

    /// Where it really listens: port 0 was asked for, perhaps.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Answers until the stop. What goes wrong goes wrong with one connection.
    pub async fn run(self, site: Site, stop: Stop) -> Result<(), Infallible> {
        let metrics = site.sources.metrics.ingest.clone();
        let (limits, tls) = (site.limits.clone(), site.tls.clone());
        serve::serve(self.listener, router(site), tls, limits, metrics, stop).await;
        Ok(())
    }
}

/// All that is served, and to whom.
pub struct Site {
    pub sources: Sources,
    /// Of the doors, which ask for tokens themselves.
    pub doors: Router,
    pub login: Login,
    /// `None`: connections are plain TCP.
    pub tls: Option<Arc<tls::Server>>,
    pub limits: Limits,
}

/// What each handler gets.
struct App {
    sources: Sources,
    started_at: Instant,
}

fn router(site: Site) -> Router {
    let Site { sources, doors, login, tls: _, limits: _ } = site;
    let app = Arc::new(App { sources, started_at: Instant::now() });
    Router::new()
        .merge(dashboard::routes())
        .route("/api/v1/state", get(api::state))
        .route("/api/v1/series", get(api::series))
        .route("/api/v1/incidents", get(incidents::incidents))
        .route("/metrics", get(metrics::metrics))
        .route("/readyz", get(health::ready))
        .route_layer(from_fn_with_state(login, login::check))
        // Says nothing but that the process answers, to supervisors that have no token.
        .route("/healthz", get(health::alive))
        .with_state(app)
        .merge(doors)
        .layer(map_response(harden))
}

/// Headers of every answer. Nothing may be cached: all of it is about now, and files change with the program.
async fn harden(mut response: Response) -> Response {
    const HEADERS: [(HeaderName, &str); 4] = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests;
