//! `/healthz`: the process answers. `/readyz`: sensors may send.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use super::{App, Sources};
use crate::queue::Pressure;

/// Whether messages sent now would be taken in and acknowledged. While the queue is `Ready` it may still hold them up:
/// see [`held_up`].
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

/// Why sensors wait for their acknowledgements although the doors are open, and what to do about it.
pub(super) fn held_up(pressure: Pressure) -> Option<&'static str> {
    match pressure {
        Pressure::None => None,
        Pressure::OverBudget => Some(
            "held up: the queue has used up its disk budget, nothing is acknowledged until sinks have made room; \
             mend the slowest sink, or raise queue.max_size",
        ),
        Pressure::DiskFull => Some(
            "held up: the disk is full, nothing is acknowledged until there is space; \
             delete files, or mend the slowest sink",
        ),
    }
}

/// One word for the page.
pub(super) fn name(sources: &Sources) -> &'static str {
    match &*sources.readiness.borrow() {
        Readiness::Starting => "starting",
        Readiness::Ready if held_up(*sources.pressure.borrow()).is_some() => "held up",
        Readiness::Ready => "ready",
        Readiness::Stopping => "stopping",
        Readiness::Failed(_) => "failed",
    }
}

pub(super) async fn alive() -> &'static str {
    "alive\n"
}

/// Held up is not ready: whoever can send elsewhere should. It is alive all the same, so that no supervisor restarts it:
/// that makes no room, and connections that wait would be lost.
pub(super) async fn ready(State(app): State<Arc<App>>) -> (StatusCode, String) {
    match &*app.sources.readiness.borrow() {
        Readiness::Ready => match held_up(*app.sources.pressure.borrow()) {
            None => (StatusCode::OK, "ready\n".into()),
            Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        },
        Readiness::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting: the doors are not open yet\n".into()),
        Readiness::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping: the doors are closed\n".into()),
        Readiness::Failed(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("failed: {reason}\n")),
    }
}
