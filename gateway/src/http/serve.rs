//! Connections: how many, how long each may be quiet, and how they end.
//!
//! # Invariants
//! - At most `connections_max` connections are open; one more is told so and closed.
//! - A connection that sends no whole head within `head_timeout` is closed: idle ones and those that send a byte now and
//!   then. So is one that takes nothing of an answer for [`stall::WRITE_TIMEOUT`]. Bodies have bounds of their own where
//!   they are read.
//!
//! # Not here
//! What is answered: the router's.

mod stall;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::ingest::tls;
use crate::metrics::{DoorReason, Ingest};
use crate::queue::Door;
use crate::shutdown::Stop;

use stall::Stalling;

/// After a stop, answers under way get this long.
const GRACE: Duration = Duration::from_secs(1);
/// After a failed accept (mostly: no file descriptors left) connections under way get time to end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A head, and what is read ahead of a body, of one connection.
const BUFFER_MAX_BYTES: usize = 64 * 1024;
/// To a connection beyond the limit; sent only if it goes out at once.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n\
                      Content-Type: text/plain\r\nContent-Length: 54\r\n\r\n\
                      all connections are taken; see `http.connections_max`\n";

/// Bounds of the server itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub connections_max: usize,
    /// From the end of an answer, or the start, to the end of the next request's head.
    pub head_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections_max: 256, head_timeout: Duration::from_secs(30) }
    }
}

/// Answers by `router` until the stop.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<Arc<tls::Server>>,
    limits: Limits,
    metrics: Ingest,
    mut stop: Stop,
) {
    let slots = Arc::new(Semaphore::new(limits.connections_max));
    let mut connections = JoinSet::new();
    let mut is_full = false;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(ended) = connections.join_next() => {
                note_panic(ended);
                continue;
            }
            () = stop.requested() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "An HTTP connection could not be accepted.");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(slot) = slots.clone().try_acquire_owned() else {
            metrics.disconnects.get_or_create(&DoorReason { door: Door::Http.name(), reason: "connections_max" }).inc();
            if !is_full {
                warn!(%peer, connections_max = limits.connections_max,
                    "HTTP connection refused, all are taken; raise `http.connections_max` if so many are wanted.");
            }
            is_full = true;
            if tls.is_none() {
                refuse(&stream);
            }
            continue;
        };
        is_full = false;
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%peer, %error, "An HTTP connection was gone before it began.");
            continue;
        }
        let connection = Connection {
            peer,
            head_timeout: limits.head_timeout,
            router: router.clone(),
            stop: stop.clone(),
            _slot: slot,
        };
        connections.spawn(connection.open(stream, tls.clone()));
    }
    drop(listener);
    let all = async {
        while let Some(ended) = connections.join_next().await {
            note_panic(ended);
        }
    };
    if timeout(GRACE, all).await.is_err() {
        debug!(connections = connections.len(), "HTTP connections were cut off.");
    }
}

/// A handler that panics takes its connection down and nothing else.
fn note_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        warn!(%error, "An HTTP connection's task ended badly.");
    }
}

fn refuse(stream: &TcpStream) {
    // One that does not take it at once learns by the end of the connection.
    if let Err(error) = stream.try_write(FULL) {
        debug!(%error, "A refused HTTP connection was not told why.");
    }
}

struct Connection {
    peer: SocketAddr,
    head_timeout: Duration,
    router: Router,
    stop: Stop,
    _slot: OwnedSemaphorePermit,
}

impl Connection {
    async fn open(self, stream: TcpStream, tls: Option<Arc<tls::Server>>) {
        let Some(tls) = tls else { return self.serve(stream).await };
        match timeout(self.head_timeout, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.serve(stream).await,
            Ok(Err(error)) => debug!(peer = %self.peer, %error, "A TLS handshake for HTTP failed."),
            Err(_) => debug!(peer = %self.peer, "A TLS handshake for HTTP took too long."),
        }
    }

    /// Over any stream: plain, or with TLS on it.
    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(self, stream: S) {
        let Self { peer, head_timeout, router, mut stop, _slot } = self;
        let router = TowerToHyperService::new(router);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            router.call(request)
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(head_timeout).max_buf_size(BUFFER_MAX_BYTES);
        let mut connection = pin!(http.serve_connection(TokioIo::new(Stalling::new(stream)), service));
        let served = tokio::select! {
            served = connection.as_mut() => served,
            () = stop.requested() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = served {
            // Clients go as they like, and idle ones are sent away.
            debug!(%peer, %error, "An HTTP connection ended.");
        }
    }
}
