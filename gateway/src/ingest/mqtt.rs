//! The door that dials a broker and stays connected.
//!
//! # Invariants
//! - No error of the network ends it; only the queue's end or the word to stop does.
//! - Each connection has its own receipts: nothing is acknowledged across a reconnect; the broker sends again what was
//!   not acknowledged. What a session keeps goes from one connection to the next, and is durable.
//! - A source that has fallen silent is subscribed anew once, and told of, until it sends again.

mod silence;
#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, error, info, warn};

use super::budget::Budget;
use super::connection::{Connection, Event};
use super::intake::Intake;
use super::meters::{Connected, Meters};
use super::session::{Close, Epoch, Kept, Kind, Opened, Refused, Session, Subscribe};
use super::stream::Stream;
use super::{Error, MqttConfig};
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::frames::{Asking, Request};
use crate::metrics::Ingest;
use crate::queue::{Appender, Door, Monitor};
use crate::shutdown::Stop;

use silence::Silence;

/// An attempt to reach the broker by TCP takes no longer.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Bound of the pause after the first failure.
const PAUSE_FIRST_MAX: Duration = Duration::from_millis(500);

/// Runs until the stop.
///
/// # Errors
/// The queue is closed or has failed.
pub async fn run(
    config: MqttConfig,
    appender: Appender,
    monitor: Monitor,
    clock: Clock,
    metrics: Ingest,
    asking: Asking,
    mut stop: Stop,
) -> Result<(), Error> {
    let state_name = format!("mqtt/{}", config.name);
    let kept = monitor.state(&state_name).map_err(|error| Error::Queue(Arc::new(error)))?;
    let kept = kept.and_then(|bytes| Kept::from_bytes(&bytes)).unwrap_or_default();
    let meters = Meters::new(metrics, Door::Mqtt);
    let seed = RandomState::new().hash_one(&config.name);
    let mut backoff = Backoff::new(PAUSE_FIRST_MAX, config.reconnect_max, seed);
    let silence = Silence::new(config.no_data_after, Instant::now());
    let mut door = Dial { config, appender, clock, meters, state_name, kept, silence, epoch: Epoch(0), asking };
    while !stop.is_requested() {
        let held_for = door.one_connection(&mut stop).await?;
        if stop.is_requested() {
            break;
        }
        let pause = backoff.next_after(held_for);
        info!(broker = %door.config.name, next_try_in = ?pause, "broker is not connected");
        tokio::select! {
            () = sleep(pause) => {}
            () = stop.requested() => {}
        }
    }
    Ok(())
}

struct Dial {
    config: MqttConfig,
    appender: Appender,
    clock: Clock,
    meters: Meters,
    /// Under which `kept` is durable.
    state_name: String,
    kept: Kept,
    silence: Silence,
    epoch: Epoch,
    asking: Asking,
}

impl Dial {
    /// Dials and serves one connection to its end; for how long it held.
    async fn one_connection(&mut self, stop: &mut Stop) -> Result<Duration, Error> {
        let dialled = tokio::select! {
            dialled = timeout(DIAL_TIMEOUT, self.dial()) => dialled,
            () = stop.requested() => return Ok(Duration::ZERO),
        };
        let stream = match dialled {
            Ok(Ok(stream)) => stream,
            Ok(Err(e)) => {
                self.not_reached(&e);
                return Ok(Duration::ZERO);
            }
            Err(_elapsed) => {
                self.not_reached(&io::Error::from(io::ErrorKind::TimedOut));
                return Ok(Duration::ZERO);
            }
        };
        match self.connection(stream) {
            Ok(connection) => self.serve(connection, stop).await,
            Err(e) => {
                self.not_reached(&e);
                Ok(Duration::ZERO)
            }
        }
    }

    async fn dial(&self) -> io::Result<Stream> {
        let tcp = TcpStream::connect((self.config.host.as_str(), self.config.port)).await?;
        match &self.config.tls {
            None => Ok(Stream::Plain(tcp)),
            Some(client) => Ok(Stream::Tls(Box::new(client.connect(&self.config.host, tcp).await?.into()))),
        }
    }

    fn connection(&mut self, stream: Stream) -> io::Result<Connection> {
        self.epoch = Epoch(self.epoch.0 + 1);
        let subscribe = if self.silence.is_told() { Subscribe::Always } else { Subscribe::IfNeeded };
        // Written back when the connection ends: only it changes what is kept.
        let kept = self.kept.clone();
        let session = Session::dial(&self.config, subscribe, kept, self.epoch, Instant::now().into_std())
            .map_err(io::Error::other)?;
        let mut intake = Intake::new(self.appender.clone());
        intake.keep_state_as(self.state_name.clone());
        Connection::new(stream, session, intake, Budget::default().share(), self.clock, self.meters.clone())
    }

    async fn serve(&mut self, mut connection: Connection, stop: &mut Stop) -> Result<Duration, Error> {
        let mut opened: Option<(Instant, Connected)> = None;
        let mut stopping = false;
        let why = loop {
            let event = tokio::select! {
                event = connection.next() => event?,
                () = stop.requested(), if !stopping => {
                    stopping = true;
                    connection.end(Close::Stopping);
                    continue;
                }
                request = self.asking.next(), if opened.is_some() => {
                    self.ask(&mut connection, &request);
                    continue;
                }
                () = sleep_until_some(self.silence.look_at()), if opened.is_some() => {
                    self.look_for_silence(&mut connection);
                    continue;
                }
            };
            match event {
                Event::Opened(with) => {
                    opened = Some((Instant::now(), self.meters.connected()));
                    self.silence.begin(Instant::now());
                    self.on_opened(&with);
                }
                Event::Subscribed { refused } => self.on_subscribed(&refused),
                Event::Refused(refused) => self.on_refused(&refused),
                // A dialer lets nobody in, and nobody subscribes at it.
                Event::Admit(_) | Event::Listens => {}
                Event::Closed(why) => break why,
            }
        };
        if let Some(kept) = connection.close().await.kept {
            self.kept = kept;
        }
        let held_for = opened.as_ref().map_or(Duration::ZERO, |(at, _)| at.elapsed());
        self.meters.closed(&why);
        let broker = &self.config.name;
        match why.kind() {
            Kind::Stop => info!(%broker, ?held_for, "disconnected from the broker"),
            Kind::Departure | Kind::Loss => warn!(%broker, ?held_for, %why, "connection to the broker was lost"),
            Kind::Fault => error!(%broker, ?held_for, %why, "connection to the broker was given up"),
        }
        Ok(held_for)
    }

    /// Which broker the sender is at is not known: each asks. One that is not connected does not ask; the sender is asked
    /// again for what comes next.
    fn ask(&self, connection: &mut Connection, request: &Request) {
        if request.door == Door::Mqtt {
            let (topic, payload) = request.message(self.clock.shows());
            let is_sent = connection.tell(&topic, &payload, false);
            debug!(broker = %self.config.name, %topic, is_sent, "a sender is asked for what its channel numbers mean");
        }
    }

    fn look_for_silence(&mut self, connection: &mut Connection) {
        if let Some(silent_for) = self.silence.look(connection.messages(), Instant::now()) {
            connection.end(Close::NoData(silent_for));
        }
        self.meters.silent(&self.config.name, self.silence.is_told());
    }

    fn on_opened(&self, opened: &Opened) {
        let config = &self.config;
        info!(
            broker = %config.name, host = %config.host, port = config.port, version = ?opened.version,
            client_id = %opened.client_id, session_present = opened.session_present, "connected to the broker"
        );
    }

    fn on_refused(&self, refused: &Refused) {
        self.meters.refused(refused);
        match refused {
            Refused::TooLarge { topic, bytes, max } => error!(
                broker = %self.config.name, %topic, bytes, max,
                "message is too large and was thrown away; raise `packet_max` if such messages are wanted"
            ),
            // Of a broker everything is taken.
            Refused::NotAllowed { topic } => error!(broker = %self.config.name, %topic, "message was refused"),
        }
    }

    fn on_subscribed(&self, refused: &[(String, u8)]) {
        for (filter, code) in refused {
            if *code >= 0x80 {
                error!(
                    broker = %self.config.name, %filter, code = format!("{code:#04x}"),
                    "broker refused a topic filter; check its access rules and `subscribe`"
                );
            } else {
                warn!(broker = %self.config.name, %filter, asked = self.config.qos, granted = code,
                    "broker granted another QoS");
            }
        }
    }

    fn not_reached(&self, error: &io::Error) {
        self.meters.disconnected("not_reached");
        let config = &self.config;
        warn!(broker = %config.name, host = %config.host, port = config.port, %error, "broker cannot be reached");
    }
}

/// Never, if there is no such time.
async fn sleep_until_some(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
