//! `/healthz`: the process answers. `/readyz`: sensors may send.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use super::App;

/// Whether messages sent now would be taken in and acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// The queue is being opened, or the doors are not open yet.
    Starting,
    /// Doors are open and the queue writes.
    Ready,
    /// The doors are closed for good; what is under way is being finished.
    Stopping,
    /// The queue cannot write, for this reason: nothing is acknowledged any more.
    Failed(String),
}

impl Readiness {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
            Self::Failed(_) => "failed",
        }
    }
}

pub(super) async fn alive() -> &'static str {
    "alive\n"
}

pub(super) async fn ready(State(app): State<Arc<App>>) -> (StatusCode, String) {
    match &*app.sources.readiness.borrow() {
        Readiness::Ready => (StatusCode::OK, "ready\n".into()),
        Readiness::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting: the doors are not open yet\n".into()),
        Readiness::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping: the doors are closed\n".into()),
        Readiness::Failed(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("failed: {reason}\n")),
    }
}
