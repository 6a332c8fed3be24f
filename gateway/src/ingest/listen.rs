//! The door that sensors connect to: a small MQTT server that takes messages in and gives none out.
//!
//! # Invariants
//! - One client id, one connection: a new one closes the old.
//! - Memory is bounded by what `budget` allows to be in flight plus one unfinished packet per connection; a quiet
//!   connection holds no buffers.
//!
//! # Not here
//! Sessions kept between connections: CONNACK always says that there is none.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::budget::{Budget, Share};
use super::connection::{Connection, Event};
use super::meters::Meters;
use super::session::{Close, Epoch, Session};
use super::{Error, ListenConfig};
use crate::clock::Clock;
use crate::metrics::Ingest;
use crate::queue::{Appender, Door};
use crate::shutdown::Stop;

/// Connections that the kernel holds until we take them.
const BACKLOG: u32 = 1024;
/// After a failed accept (mostly: no file descriptors left) connections under way get time to end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
    pub async fn run(self, appender: Appender, clock: Clock, metrics: Ingest, mut stop: Stop) -> Result<(), Error> {
        info!(addr = %self.addr, "listening for MQTT clients");
        let meters = Meters::new(metrics, Door::Listen);
        let clients = Arc::new(Clients::default());
        let budget = Budget::default();
        let mut tasks = JoinSet::new();
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
            if tasks.len() >= self.config.connections_max {
                meters.disconnected("connections_max");
                if !full {
                    warn!(%peer, connections_max = self.config.connections_max,
                        "connection refused, all are taken; raise `connections_max` if so many sensors are wanted");
                }
                full = true;
                continue;
            }
            full = false;
            epoch = Epoch(epoch.0 + 1);
            let client = Client { peer, epoch, clients: clients.clone(), meters: meters.clone(), stop: stop.clone() };
            let session = Session::accept(
                self.config.packet_max_bytes,
                self.config.connect_timeout,
                format!("client-{:x}-{}", clock.boot().0, epoch.0),
                epoch,
                Instant::now().into_std(),
            );
            tasks.spawn(client.serve(stream, session, appender.clone(), budget.share(), clock));
        }
        drop(self.socket);
        while let Some(ended) = tasks.join_next().await {
            ended_well(ended)?;
        }
        info!(addr = %self.addr, "no longer listening for MQTT clients");
        Ok(())
    }
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
    clients: Arc<Clients>,
    meters: Meters,
    stop: Stop,
}

impl Client {
    async fn serve(
        mut self,
        stream: TcpStream,
        session: Session,
        appender: Appender,
        share: Share,
        clock: Clock,
    ) -> Result<(), Error> {
        let mut connection = match Connection::new(stream, session, appender, share, clock, self.meters.clone()) {
            Ok(connection) => connection,
            Err(error) => {
                debug!(peer = %self.peer, %error, "connection was gone before it began");
                return Ok(());
            }
        };
        let mut seat: Option<Seat> = None;
        let mut stopping = false;
        let why = loop {
            let event = tokio::select! {
                event = connection.next() => event?,
                () = self.stop.requested(), if !stopping => {
                    stopping = true;
                    connection.end(Close::Stopping);
                    continue;
                }
                () = taken_over(&mut seat) => {
                    connection.end(Close::TakenOver);
                    continue;
                }
            };
            match event {
                Event::Opened(opened) => {
                    debug!(peer = %self.peer, client_id = %opened.client_id, version = ?opened.version, "client connected");
                    seat = Some(self.clients.seat(opened.client_id, self.epoch, &self.meters));
                }
                // Only a dialer subscribes.
                Event::Subscribed { .. } => {}
                Event::Closed(why) => break why,
            }
        };
        let client_id = seat.as_ref().map_or("", |s| s.client_id.as_str());
        self.meters.closed(&why);
        match why {
            Close::Stopping | Close::PeerClosed | Close::PeerDisconnected(_) => {
                debug!(peer = %self.peer, %client_id, %why, "client disconnected");
            }
            Close::Io(_)
            | Close::Refused(_)
            | Close::NothingGranted
            | Close::IdMissing
            | Close::TakenOver
            | Close::NotOpened
            | Close::Silent(_)
            | Close::Stalled
            | Close::Qos2
            | Close::TopicAlias
            | Close::TopicInvalid
            | Close::Unexpected(_)
            | Close::Malformed(_) => {
                warn!(peer = %self.peer, %client_id, %why, "client was disconnected");
            }
        }
        drop(seat);
        connection.close().await;
        Ok(())
    }
}

/// Who is connected under which id.
#[derive(Default)]
struct Clients(Mutex<HashMap<String, (Epoch, oneshot::Sender<()>)>>);

impl Clients {
    /// Takes the place of `client_id`; whoever had it is told to go.
    fn seat(self: &Arc<Self>, client_id: String, epoch: Epoch, meters: &Meters) -> Seat {
        let (leave, left) = oneshot::channel();
        if let Some((_, former)) = self.lock().insert(client_id.clone(), (epoch, leave)) {
            // An error means that it has just gone by itself.
            former.send(()).unwrap_or_default();
        }
        Seat { client_id, epoch, left: Some(left), clients: self.clone(), _connected: meters.connected() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Epoch, oneshot::Sender<()>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client's place; given back when dropped.
struct Seat {
    client_id: String,
    epoch: Epoch,
    left: Option<oneshot::Receiver<()>>,
    clients: Arc<Clients>,
    _connected: super::meters::Connected,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut clients = self.clients.lock();
        // It may be another's by now.
        if clients.get(&self.client_id).is_some_and(|(epoch, _)| *epoch == self.epoch) {
            clients.remove(&self.client_id);
        }
    }
}

/// Resolves once, when another connection has taken the seat.
async fn taken_over(seat: &mut Option<Seat>) {
    match seat.as_mut().and_then(|s| s.left.as_mut()) {
        Some(left) => {
            let told = left.await.is_ok();
            if let Some(seat) = seat {
                seat.left = None;
            }
            if !told {
                std::future::pending::<()>().await;
            }
        }
        None => std::future::pending().await,
    }
}
