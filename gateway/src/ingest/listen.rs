//! The door that sensors connect to: a small MQTT server that takes messages in, and gives out results of the gateway.
//!
//! # Invariants
//! - One client id, one connection: a new one closes the old.
//! - Memory is bounded by what `budget` allows to be in flight plus one unfinished packet per connection; a quiet
//!   connection holds no buffers.
//!
//! # Not here
//! What is kept between connections: `sessions`. Who may come in: `access`.

mod client;
mod sessions;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::budget::Budget;
use super::meters::Meters;
use super::results::Results;
use super::session::{Epoch, Kept};
use super::{Error, Guard, ListenConfig};
use crate::clock::Clock;
use crate::metrics::Ingest;
use crate::queue::{Appender, Door, Monitor, Record};
use crate::shutdown::Stop;

use client::Client;
use sessions::{STATE_PREFIX, Sessions};

/// Connections that the kernel holds until we take them.
const BACKLOG: u32 = 1024;
/// After a failed accept (mostly: no file descriptors left) connections under way get time to end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// TLS handshakes under way together: more would only take longer each.
const HANDSHAKES_MAX: usize = 32;
/// How often expired sessions and delayed wills are looked for: MQTT counts both in seconds.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// A bound address; `run` opens the door.
pub struct Listener {
    config: ListenConfig,
    socket: TcpListener,
    addr: SocketAddr,
}

impl Listener {
    /// # Errors
    /// The address cannot be bound.
    pub fn bind(config: ListenConfig) -> Result<Self, Error> {
        let bound = || {
            let socket = if config.bind.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            socket.set_reuseaddr(true)?;
            // A half-open connection of a client without keep-alive is found by the kernel.
            socket.set_keepalive(true)?;
            socket.bind(config.bind)?;
            let socket = socket.listen(BACKLOG)?;
            Ok((socket.local_addr()?, socket))
        };
        match bound() {
            Ok((addr, socket)) => Ok(Self { config, socket, addr }),
            Err(source) => Err(Error::Bind { addr: config.bind, source }),
        }
    }

    /// Where it really listens: the configuration may say port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Takes connections until the stop, then lets those under way finish.
    ///
    /// # Errors
    /// The queue is closed or has failed.
    pub async fn run(self, doorway: Doorway, mut stop: Stop) -> Result<(), Error> {
        info!(addr = %self.addr, "listening for MQTT clients");
        let meters = Meters::new(doorway.metrics.clone(), Door::Listen);
        let sessions = Sessions::new(self.config.sessions_max, kept_sessions(&doorway.monitor)?, now());
        let hall = Arc::new(Hall {
            sessions: Arc::new(sessions),
            boot: doorway.clock.boot().0,
            config: self.config,
            doorway,
            meters,
            budget: Budget::default(),
            handshakes: Semaphore::new(HANDSHAKES_MAX),
            stop: stop.clone(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(hall.clone().sweep());
        let (mut epoch, mut full) = (Epoch(0), false);
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                Some(ended) = tasks.join_next() => {
                    ended_well(ended)?;
                    continue;
                }
                () = stop.requested() => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let connections_max = hall.config.connections_max;
            // One task sweeps.
            if tasks.len() > connections_max {
                hall.meters.disconnected("connections_max");
                if !full {
                    warn!(%peer, connections_max,
                        "connection refused, all are taken; raise `connections_max` if so many sensors are wanted");
                }
                full = true;
                continue;
            }
            full = false;
            epoch = Epoch(epoch.0 + 1);
            tasks.spawn(Client::new(peer, epoch, hall.clone()).serve(stream));
        }
        drop(self.socket);
        while let Some(ended) = tasks.join_next().await {
            ended_well(ended)?;
        }
        info!(addr = %self.addr, "no longer listening for MQTT clients");
        Ok(())
    }
}

/// What the door works with, all made by the pipeline.
pub struct Doorway {
    pub appender: Appender,
    pub monitor: Monitor,
    pub clock: Clock,
    pub metrics: Ingest,
    pub results: Results,
    pub guard: Guard,
}

/// What all connections of the door share.
struct Hall {
    config: ListenConfig,
    doorway: Doorway,
    boot: u64,
    sessions: Arc<Sessions>,
    meters: Meters,
    budget: Budget,
    /// Handshakes cost far more than anything else that a stranger can ask for.
    handshakes: Semaphore,
    stop: Stop,
}

impl Hall {
    /// Forgets sessions whose time has come and says wills that were delayed.
    async fn sweep(self: Arc<Self>) -> Result<(), Error> {
        let mut stop = self.stop.clone();
        loop {
            tokio::select! {
                () = sleep(SWEEP_EVERY) => {}
                () = stop.requested() => return Ok(()),
            }
            let received = self.doorway.clock.stamp();
            let due = self.sessions.sweep(|will| Record { received, ..will }, now());
            self.meters.sessions_kept(self.sessions.kept());
            if due.raw.is_empty() && due.state.is_empty() {
                continue;
            }
            let failed = |error| Error::Queue(Arc::new(error));
            tokio::select! {
                // Nobody waits for the receipt: what is lost in a crash is found again, or was a will.
                taken = self.doorway.appender.commit(due) => drop(taken.map_err(failed)?),
                () = stop.requested() => return Ok(()),
            }
        }
    }
}

/// What earlier runs have kept; what cannot be read is told of and forgotten.
fn kept_sessions(monitor: &Monitor) -> Result<Vec<(String, Kept)>, Error> {
    let states = monitor.states(STATE_PREFIX).map_err(|error| Error::Queue(Arc::new(error)))?;
    let read = |(name, bytes): (String, Vec<u8>)| {
        let id = name.strip_prefix(STATE_PREFIX).unwrap_or_default().to_owned();
        let kept = Kept::from_bytes(&bytes);
        if kept.is_none() {
            warn!(client_id = %id, "what was kept of a client cannot be read; it begins anew");
        }
        kept.map(|kept| (id, kept))
    };
    Ok(states.into_iter().filter_map(read).collect())
}

/// A panic in a task is one of the door.
fn ended_well(ended: Result<Result<(), Error>, tokio::task::JoinError>) -> Result<(), Error> {
    match ended {
        Ok(result) => result,
        Err(e) => match e.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Nobody cancels tasks while the door runs.
            Err(_cancelled) => Ok(()),
        },
    }
}

/// Tokio's clock, so that tests can stop it.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}
