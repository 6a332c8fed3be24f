//! The door for senders that speak HTTP: `POST /v1/ingest`.
//!
//! # Invariants
//! - 204, or 200 with a wish, goes out only after the receipts of all records of the request.
//! - A record is stored as it came: a slice of the body, one for each object, line or frame, with a content type that
//!   tells the decoders what it is.
//! - What cannot be decoded by its looks is refused at once with its line and the reason; the rest of the body is stored.
//! - Memory is bounded by `memory_max_bytes` for bodies, from their first byte to their last receipt, and by
//!   `requests_max` for all else.
//!
//! # Flow
//! ```text
//! request ─▶ gate (token, topic, type, pressure, rate) ─▶ body (gunzip, bounds) ─▶ split (records, faults) ─▶ store ─▶ queue
//!    ▲                                                                                                         │
//!    └──────────────────────── answer: 204, or what was wrong ◀───────────────────────────── receipts ─────────┘
//! ```
//!
//! # Not here
//! Connections and their time-outs: `crate::http`, which serves this door's routes.

mod answer;
mod body;
mod gate;
mod meters;
mod rate;
mod split;
mod store;
mod topic;

#[cfg(any(test, fuzzing))]
pub mod fuzzing;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};
use tracing::{debug, info};

use super::Error;
use super::access::tokens::Tokens;
use crate::clock::Clock;
use crate::frames::Requests;
use crate::metrics;
use crate::queue::{Appender, Pressure};
use crate::shutdown::Stop;

pub use gate::{is_from_another_site, presented_token};

use answer::Refusal;
use body::Room;
use gate::Gate;
use meters::Meters;
use store::{Batches, Stored};

/// The keys of `[http]` that are about this door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Longest body, unpacked.
    pub body_max_bytes: usize,
    /// Bodies of all requests under way together.
    pub memory_max_bytes: usize,
    /// Requests under way at the same time.
    pub requests_max: usize,
    /// A body must bring [`body::PROGRESS_BYTES`] within this, or its end.
    pub body_timeout: Duration,
    /// The queue must have taken and synced a request's records within this.
    pub commit_timeout: Duration,
    /// Requests and bytes of one client (a token's holder, else an address) per second; 0: any number.
    pub client_requests_per_second: u64,
    pub client_bytes_per_second: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            body_max_bytes: 4 << 20,
            memory_max_bytes: 16 << 20,
            requests_max: 64,
            body_timeout: Duration::from_secs(10),
            commit_timeout: Duration::from_secs(10),
            client_requests_per_second: 200,
            client_bytes_per_second: 16 << 20,
        }
    }
}

/// What the door works with.
pub struct Parts {
    pub config: Config,
    /// Empty: whoever reaches the address may send.
    pub tokens: Arc<Tokens>,
    pub appender: Appender,
    pub clock: Clock,
    pub pressure: watch::Receiver<Pressure>,
    pub requests: Requests,
    pub metrics: metrics::Ingest,
}

/// The door; its routes answer from the start, and with 503 from the stop on.
pub struct Door {
    shared: Arc<Shared>,
    stop: Stop,
}

/// What each request works with.
struct Shared {
    config: Config,
    appender: Appender,
    clock: Clock,
    gate: Gate,
    /// A permit for each request under way.
    requests: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    meters: Meters,
    /// What the queue's writer asks of senders.
    wishes: Requests,
    /// The queue's failure, should it come to that: no door can go on then.
    failure: watch::Sender<Option<Arc<crate::queue::Error>>>,
}

impl Door {
    pub fn new(parts: Parts, stop: Stop) -> Self {
        let Parts { config, tokens, appender, clock, pressure, requests: wishes, metrics } = parts;
        let shared = Shared {
            appender,
            clock,
            gate: Gate::new(&config, tokens, pressure, stop.clone()),
            requests: Arc::new(Semaphore::new(config.requests_max)),
            memory: Arc::new(Room::semaphore(config.memory_max_bytes)),
            meters: Meters::new(metrics),
            wishes,
            failure: watch::Sender::new(None),
            config,
        };
        Self { shared: Arc::new(shared), stop }
    }

    /// For the HTTP server.
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/v1/ingest", post(ingest))
            .route("/v1/ingest/{*topic}", post(ingest))
            .with_state(self.shared.clone())
    }

    /// Until the stop, and then until the requests under way are answered.
    ///
    /// # Errors
    /// The queue is closed or has failed.
    pub async fn run(mut self) -> Result<(), Error> {
        let mut failure = self.shared.failure.subscribe();
        let failed = async {
            let error = failure.wait_for(Option::is_some).await.ok().and_then(|error| error.clone());
            match error {
                Some(error) => error,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            error = failed => return Err(Error::Queue(error)),
            () = self.stop.requested() => {}
        }
        // The gate lets nobody in any more: with all permits here, nobody is inside.
        let all = u32::try_from(self.shared.config.requests_max).unwrap_or(u32::MAX);
        drop(self.shared.requests.acquire_many(all).await);
        info!("no longer taking messages by HTTP");
        Ok(())
    }
}

async fn ingest(
    State(shared): State<Arc<Shared>>,
    topic: Option<Path<String>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    match take(&shared, topic.map(|Path(topic)| topic), peer, request).await {
        Ok(stored) => {
            let answer = stored.into_response();
            if answer.status().is_success() {
                shared.meters.acknowledged();
            }
            answer
        }
        Err(refusal) => {
            shared.meters.refused(refusal.reason(), 1);
            refusal.into_response()
        }
    }
}

async fn take(
    shared: &Arc<Shared>,
    topic_in_path: Option<String>,
    peer: SocketAddr,
    request: Request,
) -> Result<Stored, Refusal> {
    let (head, body) = request.into_parts();
    let admitted = shared.gate.admit(&head, topic_in_path, peer, now())?;
    let visit = Visit { shared: shared.clone(), client: admitted.client };
    let permit = shared.requests.clone().try_acquire_owned().map_err(|_| Refusal::TooManyRequests)?;
    let mut room = Room::new(shared.memory.clone());
    let bytes = body::read(body, admitted.encoding, &shared.config, &mut room).await?;
    shared.gate.charge(&visit.client, bytes.len(), now());

    let deadline = Instant::now() + shared.config.commit_timeout;
    let batches = Batches {
        shared: shared.clone(),
        topic: admitted.topic.into(),
        items: admitted.format.split(bytes),
        received: shared.clock.stamp(),
        deadline,
    };
    // A task of its own, which keeps the room: records hold the whole body until they are durable, though the client has
    // gone or was told that it takes too long.
    let (told, outcome) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let outcome = batches.store().await;
        // Before the answer: who sends again at once must find room.
        drop((room, visit, permit));
        if told.send(outcome).is_err() {
            debug!("an HTTP client has gone, or was told that the queue takes too long");
        }
    });
    match timeout_at(deadline, outcome).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_gone)) => Err(Refusal::Failed),
        Err(_late) => Err(Refusal::Late(shared.config.commit_timeout)),
    }
}

/// A request that the gate has let in, until it is over.
struct Visit {
    shared: Arc<Shared>,
    client: String,
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.shared.gate.leave(&self.client);
    }
}

/// Tokio's clock, so that tests can stop it.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}
