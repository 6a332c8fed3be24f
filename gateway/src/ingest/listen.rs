//! The door that sensors connect to: a small MQTT server that takes messages in, and gives out results of the gateway.
//!
//! # Invariants
//! - One client id, one connection: a new one closes the old.
//! - Memory is bounded by what `budget` allows to be in flight plus one unfinished packet per connection; a quiet
//!   connection holds no buffers.
//!
//! # Not here
//! What is kept between connections: `sessions`. Who may come in: `access`.

mod sessions;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Semaphore, broadcast};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use super::access::{self, Denied, Grant, Password};
use super::budget::Budget;
use super::connection::{Connection, Event};
use super::intake::Intake;
use super::meters::Meters;
use super::results::{Message, Results};
use super::session::{Admission, Claim, Close, Epoch, Kept, Refused, Session};
use super::stream::Stream;
use super::{Error, Guard, ListenConfig, tls};
use crate::clock::Clock;
use crate::metrics::Ingest;
use crate::queue::{Appender, Door, Monitor, Record};
use crate::shutdown::Stop;

use sessions::{STATE_PREFIX, Seat, Sessions, state_name};

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
            tasks.spawn(Client { peer, epoch, hall: hall.clone(), certificate: None, seat: None }.serve(stream));
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

/// One accepted connection.
struct Client {
    peer: SocketAddr,
    epoch: Epoch,
    hall: Arc<Hall>,
    /// The name in its certificate.
    certificate: Option<String>,
    seat: Option<Seat>,
}

impl Client {
    async fn serve(mut self, tcp: TcpStream) -> Result<(), Error> {
        let hall = self.hall.clone();
        let mut stop = hall.stop.clone();
        let opened = tokio::select! {
            opened = self.open(tcp) => opened,
            () = stop.requested() => return Ok(()),
        };
        let mut connection = match opened {
            Ok(connection) => connection,
            Err(error) => {
                hall.meters.disconnected("handshake");
                warn!(peer = %self.peer, %error, "connection ended before it began");
                return Ok(());
            }
        };
        let mut results: Option<broadcast::Receiver<Arc<Message>>> = None;
        let mut stopping = false;
        let why = loop {
            let event = tokio::select! {
                event = connection.next() => event?,
                () = stop.requested(), if !stopping => {
                    stopping = true;
                    connection.end(Close::Stopping);
                    continue;
                }
                () = wanted(&mut self.seat) => {
                    connection.end(Close::TakenOver);
                    continue;
                }
                told = heard(&mut results) => {
                    self.tell(&mut connection, told);
                    continue;
                }
            };
            match event {
                Event::Admit(claim) => self.admit(&mut connection, *claim).await,
                Event::Opened(opened) => {
                    debug!(peer = %self.peer, client_id = %opened.client_id, version = ?opened.version,
                        session_present = opened.session_present, "client connected");
                    // Of a kept session there may be subscriptions.
                    results = Some(hall.doorway.results.listen()).filter(|_| opened.session_present);
                }
                Event::Listens => {
                    results.get_or_insert_with(|| hall.doorway.results.listen());
                    let status = hall.doorway.results.status();
                    connection.tell(&status.topic, status.payload.as_bytes(), true);
                }
                Event::Refused(refused) => self.note(&refused),
                // Only a dialer subscribes.
                Event::Subscribed { .. } => {}
                Event::Closed(why) => break why,
            }
        };
        self.gone(&why);
        let rest = connection.close().await;
        if let Some(seat) = self.seat {
            seat.leave(rest, now());
        }
        Ok(())
    }

    async fn open(&mut self, tcp: TcpStream) -> io::Result<Connection> {
        let hall = self.hall.clone();
        let stream = match &hall.doorway.guard.tls {
            None => Stream::Plain(tcp),
            Some(server) => {
                let shaken = timeout(hall.config.connect_timeout, self.shake_hands(server, tcp)).await;
                shaken.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??
            }
        };
        let doorway = &hall.doorway;
        let assigned_id = format!("client-{:x}-{}", hall.boot, self.epoch.0);
        let session = Session::accept(&hall.config, assigned_id, self.epoch, now());
        let intake = Intake::new(doorway.appender.clone());
        Connection::new(stream, session, intake, hall.budget.share(), doorway.clock, hall.meters.clone())
    }

    async fn shake_hands(&mut self, server: &tls::Server, tcp: TcpStream) -> io::Result<Stream> {
        let _permit = self.hall.handshakes.acquire().await.map_err(io::Error::other)?;
        let stream = server.accept(tcp).await?;
        self.certificate = tls::peer_identity(&stream);
        Ok(Stream::Tls(Box::new(stream.into())))
    }

    /// Lets the client in, or turns it away.
    async fn admit(&mut self, connection: &mut Connection, claim: Claim) {
        let client_id = claim.client_id.clone();
        let grant = match timeout(self.hall.config.connect_timeout, self.judge(claim)).await {
            Ok(Ok(grant)) => grant,
            Ok(Err(why)) => return connection.turn_away(why),
            Err(_elapsed) => return connection.turn_away(Denied::Unavailable),
        };
        let seat = self.hall.sessions.seat(client_id.clone(), self.epoch, &self.hall.meters).await;
        let kept = seat.take_kept();
        self.seat = Some(seat);
        connection.admit(Admission { grant, kept }, state_name(&client_id));
    }

    async fn judge(&self, claim: Claim) -> Result<Grant, Denied> {
        let claim = access::Claim {
            client_id: claim.client_id,
            username: claim.username,
            password: claim.password.map(|password| Password::new(password.expose())),
            certificate: self.certificate.clone(),
            peer: self.peer,
        };
        self.hall.doorway.guard.access.clone().admit(claim).await
    }

    fn tell(&self, connection: &mut Connection, told: Result<Arc<Message>, u64>) {
        let missed = match told {
            Ok(message) => u64::from(!connection.tell(&message.topic, message.payload.as_bytes(), false)),
            Err(lagged) => lagged,
        };
        self.hall.meters.results_dropped(missed);
    }

    fn client_id(&self) -> &str {
        self.seat.as_ref().map_or("", |seat| seat.client_id.as_str())
    }

    fn note(&self, refused: &Refused) {
        self.hall.meters.refused(refused);
        match refused {
            Refused::NotAllowed { topic } => {
                warn!(peer = %self.peer, client_id = %self.client_id(), %topic, "client may not publish to this topic");
            }
            // Of a client the connection ends with it.
            Refused::TooLarge { topic, bytes, max } => {
                warn!(peer = %self.peer, client_id = %self.client_id(), %topic, bytes, max, "message is too large");
            }
        }
    }

    fn gone(&self, why: &Close) {
        let (peer, client_id) = (self.peer, self.client_id());
        self.hall.meters.closed(why);
        match why {
            Close::Stopping | Close::PeerClosed | Close::PeerDisconnected(_) => {
                debug!(%peer, %client_id, %why, "client disconnected");
            }
            Close::Io(_)
            | Close::Refused(_)
            | Close::NothingGranted
            | Close::IdMissing
            | Close::TakenOver
            | Close::NotOpened
            | Close::Silent(_)
            | Close::NoData(_)
            | Close::TurnedAway(_)
            | Close::NotAllowed(_)
            | Close::Revoked
            | Close::ReceiveMaximum
            | Close::Stalled
            | Close::TopicAlias
            | Close::TopicInvalid
            | Close::Unexpected(_)
            | Close::Malformed(_) => {
                warn!(%peer, %client_id, %why, "client was disconnected");
            }
        }
    }
}

/// Resolves once, when another connection wants the seat.
async fn wanted(seat: &mut Option<Seat>) {
    match seat {
        Some(seat) => seat.wanted().await,
        None => std::future::pending().await,
    }
}

/// The next result, or how many were missed.
async fn heard(results: &mut Option<broadcast::Receiver<Arc<Message>>>) -> Result<Arc<Message>, u64> {
    if let Some(receiver) = results {
        match receiver.recv().await {
            Ok(message) => return Ok(message),
            Err(RecvError::Lagged(missed)) => return Err(missed),
            Err(RecvError::Closed) => {}
        }
    }
    std::future::pending().await
}

/// Tokio's clock, so that tests can stop it.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}
