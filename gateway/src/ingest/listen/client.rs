//! One accepted connection: its handshake, who it is, and what is told to it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::sessions::{Seat, state_name};
use super::{Hall, now};
use crate::ingest::access::{self, Denied, Grant, Password};
use crate::ingest::connection::{Connection, Event};
use crate::ingest::intake::Intake;
use crate::ingest::results::Message;
use crate::ingest::session::{Admission, Claim, Close, Epoch, Kind, Refused, Session};
use crate::ingest::stream::Stream;
use crate::ingest::{Error, tls};

/// A kept session's name holds it; the standard asks for 23 bytes at least.
const CLIENT_ID_MAX_BYTES: usize = 256;

/// One accepted connection.
pub(super) struct Client {
    peer: SocketAddr,
    epoch: Epoch,
    hall: Arc<Hall>,
    /// The name in its certificate.
    certificate: Option<String>,
    /// What it calls itself; for the log.
    claimed_id: String,
    seat: Option<Seat>,
}

impl Client {
    pub(super) fn new(peer: SocketAddr, epoch: Epoch, hall: Arc<Hall>) -> Self {
        Self { peer, epoch, hall, certificate: None, claimed_id: String::new(), seat: None }
    }

    pub(super) async fn serve(mut self, tcp: TcpStream) -> Result<(), Error> {
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
                    connection.tell(&status.topic, &status.payload, true);
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
        self.claimed_id.clone_from(&client_id);
        if client_id.len() > CLIENT_ID_MAX_BYTES || client_id.contains(char::is_control) {
            return connection.turn_away(Denied::IdRejected);
        }
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
            Ok(message) => u64::from(!connection.tell(&message.topic, &message.payload, false)),
            Err(lagged) => lagged,
        };
        self.hall.meters.results_dropped(missed);
    }

    fn client_id(&self) -> &str {
        &self.claimed_id
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
        match why.kind() {
            Kind::Stop | Kind::Departure => debug!(%peer, %client_id, %why, "client disconnected"),
            Kind::Loss | Kind::Fault => warn!(%peer, %client_id, %why, "client was disconnected"),
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
