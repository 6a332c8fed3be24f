//! The door that dials a broker and stays connected.
//!
//! # Invariants
//! - No error of the network ends it; only the queue's end or the word to stop does.
//! - Each connection has its own session and its own receipts: nothing is acknowledged across a reconnect; the broker
//!   sends again what was not acknowledged.

#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info, warn};

use super::budget::Budget;
use super::connection::{Connection, Event};
use super::meters::Meters;
use super::session::{Close, Epoch, Opened, Session, Subscribe};
use super::{Error, MqttConfig};
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::metrics::Ingest;
use crate::queue::{Appender, Door};
use crate::shutdown::Stop;

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
    clock: Clock,
    metrics: Ingest,
    mut stop: Stop,
) -> Result<(), Error> {
    let meters = Meters::new(metrics, Door::Mqtt);
    let seed = RandomState::new().hash_one(&config.name);
    let mut backoff = Backoff::new(PAUSE_FIRST_MAX, config.reconnect_max, seed);
    let mut door = Dial { config, appender, clock, meters, subscribe: Subscribe::Always, epoch: Epoch(0) };
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
    subscribe: Subscribe,
    epoch: Epoch,
}

impl Dial {
    /// Dials and serves one connection to its end; for how long it held.
    async fn one_connection(&mut self, stop: &mut Stop) -> Result<Duration, Error> {
        let dialled = tokio::select! {
            dialled = timeout(DIAL_TIMEOUT, self.dial()) => dialled,
            () = stop.requested() => return Ok(Duration::ZERO),
        };
        let connection = match dialled {
            Ok(Ok(connection)) => connection,
            Ok(Err(e)) => {
                self.not_reached(&e);
                return Ok(Duration::ZERO);
            }
            Err(_elapsed) => {
                self.not_reached(&io::Error::from(io::ErrorKind::TimedOut));
                return Ok(Duration::ZERO);
            }
        };
        self.serve(connection, stop).await
    }

    async fn dial(&mut self) -> io::Result<Connection> {
        let stream = TcpStream::connect((self.config.host.as_str(), self.config.port)).await?;
        self.epoch = Epoch(self.epoch.0 + 1);
        let session = Session::dial(&self.config, self.subscribe, self.epoch, Instant::now().into_std())
            .map_err(io::Error::other)?;
        Connection::new(
            stream,
            session,
            self.appender.clone(),
            Budget::default().share(),
            self.clock,
            self.meters.clone(),
        )
    }

    async fn serve(&mut self, mut connection: Connection, stop: &mut Stop) -> Result<Duration, Error> {
        let mut opened: Option<(Instant, super::meters::Connected)> = None;
        let mut stopping = false;
        let why = loop {
            let event = tokio::select! {
                event = connection.next() => event?,
                () = stop.requested(), if !stopping => {
                    stopping = true;
                    connection.end(Close::Stopping);
                    continue;
                }
            };
            match event {
                Event::Opened(with) => {
                    opened = Some((Instant::now(), self.meters.connected()));
                    self.on_opened(&with);
                }
                Event::Subscribed { refused } => self.on_subscribed(&refused),
                Event::Closed(why) => break why,
            }
        };
        connection.close().await;
        let held_for = opened.as_ref().map_or(Duration::ZERO, |(at, _)| at.elapsed());
        self.meters.closed(&why);
        match why {
            Close::Stopping => info!(broker = %self.config.name, ?held_for, "disconnected from the broker"),
            Close::PeerClosed | Close::PeerDisconnected(_) | Close::Io(_) | Close::Silent(_) => {
                warn!(broker = %self.config.name, ?held_for, %why, "connection to the broker was lost");
            }
            Close::Refused(_)
            | Close::NothingGranted
            | Close::IdMissing
            | Close::TakenOver
            | Close::NotOpened
            | Close::Stalled
            | Close::Qos2
            | Close::TopicAlias
            | Close::TopicInvalid
            | Close::Unexpected(_)
            | Close::Malformed(_) => {
                error!(broker = %self.config.name, ?held_for, %why, "connection to the broker was given up");
            }
        }
        Ok(held_for)
    }

    fn on_opened(&self, opened: &Opened) {
        let config = &self.config;
        info!(
            broker = %config.name, host = %config.host, port = config.port, version = ?opened.version,
            client_id = %opened.client_id, session_present = opened.session_present, "connected to the broker"
        );
    }

    fn on_subscribed(&mut self, refused: &[(String, u8)]) {
        if refused.is_empty() {
            // The filters are in the broker's session now, for as long as it keeps it.
            self.subscribe = Subscribe::IfSessionLost;
        }
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
