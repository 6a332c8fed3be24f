//! Publishes devices' messages over real MQTT: the shell around [`Inflight`].
//!
//! # Invariants
//! - At QoS 1 a message leaves memory only after its PUBACK; a lost connection costs repeats, never messages.
//! - Unacknowledged messages of one connection are bounded by [`INFLIGHT_MAX`], so a slow broker slows us.
//!
//! # Flow
//! ```text
//! connect ─▶ repeat unacknowledged ─▶ publish what is due, read PUBACKs ─▶ wait for the last PUBACK ─▶ DISCONNECT
//!    ▲──────────── back-off ◀── connection lost ──┘
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::BytesMut;
use rumqttc::mqttbytes;
use rumqttc::mqttbytes::v4::{Connect, ConnectReturnCode, Packet, Publish};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::device::Device;
use super::inflight::Inflight;
use crate::backoff::Backoff;
use crate::shutdown::Stop;

/// Unacknowledged messages of one connection: enough to keep a group commit full, little to repeat.
const INFLIGHT_MAX: u16 = 500;
/// Bytes collected before one write call.
const WRITE_MAX_BYTES: usize = 64 * 1024;
/// Longest packet taken from the broker; it has nothing long to say to a publisher.
const PACKET_MAX_BYTES: usize = 4_096;
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// A connection and its CONNACK must come within this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// After a stop: how long the last acknowledgements are waited for.
const LAST_ACKS_TIMEOUT: Duration = Duration::from_secs(5);
const BACKOFF_FIRST_MAX: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// More devices than this share connections: file descriptors are a limit on both sides.
const CONNECTIONS_MAX: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qos {
    /// Sent and forgotten.
    AtMostOnce,
    AtLeastOnce,
}

/// When messages go out.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    FlatOut,
    /// Event time `origin_at_ms` is now `origin`, and passes `speed` times as fast.
    Clock {
        origin_at_ms: i64,
        origin: Instant,
        speed: f64,
    },
}

impl Pace {
    /// `None`: at once.
    fn due(self, at_ms: i64) -> Option<Instant> {
        match self {
            Self::FlatOut => None,
            Self::Clock { origin_at_ms, origin, speed } => {
                let wait_s = (at_ms - origin_at_ms).max(0) as f64 / 1_000.0 / speed;
                Some(origin + Duration::from_secs_f64(wait_s))
            }
        }
    }
}

/// What a fleet is to do.
#[derive(Clone, Debug)]
pub struct Job {
    /// `host:port`.
    pub broker: String,
    /// Client ids are this and a number.
    pub client_prefix: String,
    pub qos: Qos,
    pub pace: Pace,
    /// Only messages due before this are sent; `None`: until stopped.
    pub until_ms: Option<i64>,
}

/// Counted over all connections of a fleet.
#[derive(Debug, Default)]
pub struct Counts {
    /// Messages written for the first time.
    pub sent: AtomicU64,
    pub acked: AtomicU64,
    /// Messages written again after a reconnect.
    pub repeated: AtomicU64,
    pub readings: AtomicU64,
    /// Connections lost or attempts failed.
    pub disconnects: AtomicU64,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("no answer within {} s", CONNECT_TIMEOUT.as_secs())]
    Timeout(#[from] tokio::time::error::Elapsed),
    #[error("broker refused the connection: {0:?}")]
    Refused(ConnectReturnCode),
    #[error("broker closed the connection")]
    Closed,
    #[error("broker sent what is not MQTT 3.1.1: {0}")]
    Protocol(#[from] mqttbytes::Error),
    #[error("broker sent an unexpected packet")]
    Unexpected,
}

/// Publishes all devices' messages until `job.until_ms` or the stop, and gives the devices back where they stand.
pub async fn run(devices: Vec<Device>, job: Job, counts: Arc<Counts>, stop: Stop) -> Vec<Device> {
    let connections = devices.len().min(CONNECTIONS_MAX);
    let mut groups: Vec<Vec<(usize, Device)>> = (0..connections).map(|_| Vec::new()).collect();
    for (i, device) in devices.into_iter().enumerate() {
        groups[i % connections].push((i, device));
    }
    let mut tasks = JoinSet::new();
    for (number, devices) in groups.into_iter().enumerate() {
        let connection = Connection {
            devices,
            client_id: format!("{}-{number}", job.client_prefix),
            job: job.clone(),
            counts: counts.clone(),
            inflight: Inflight::new(INFLIGHT_MAX),
            backoff: Backoff::new(BACKOFF_FIRST_MAX, BACKOFF_MAX, number as u64),
        };
        tasks.spawn(connection.run(stop.clone()));
    }
    let mut devices = tasks.join_all().await.concat();
    devices.sort_by_key(|(i, _)| *i);
    devices.into_iter().map(|(_, device)| device).collect()
}

struct Connection {
    devices: Vec<(usize, Device)>,
    client_id: String,
    job: Job,
    counts: Arc<Counts>,
    inflight: Inflight,
    backoff: Backoff,
}

impl Connection {
    async fn run(mut self, mut stop: Stop) -> Vec<(usize, Device)> {
        while !stop.is_requested() {
            let ended = match self.connect().await {
                Ok(stream) => {
                    self.backoff.reset();
                    self.drive(stream, &mut stop).await
                }
                Err(e) => Err(e),
            };
            let Err(error) = ended else { break };
            let disconnects = self.counts.disconnects.fetch_add(1, Relaxed) + 1;
            let pause = self.backoff.next();
            // Powers of two over the whole fleet: a broker that stays away is named, not shouted about.
            if disconnects.is_power_of_two() {
                tracing::warn!(
                    broker = %self.job.broker,
                    %error,
                    disconnects,
                    retry_in_ms = pause.as_millis() as u64,
                    "Not connected; it is tried again."
                );
            }
            tokio::select! {
                () = stop.requested() => {}
                () = sleep(pause) => {}
            }
        }
        self.devices
    }

    async fn connect(&self) -> Result<TcpStream, Error> {
        let mut stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(&self.job.broker)).await??;
        stream.set_nodelay(true)?;
        let mut connect = Connect::new(&self.client_id);
        connect.keep_alive = KEEP_ALIVE.as_secs() as u16;
        let mut bytes = BytesMut::new();
        connect.write(&mut bytes)?;
        stream.write_all(&bytes).await?;
        bytes.clear();
        let answer = timeout(CONNECT_TIMEOUT, read_packet(&mut stream, &mut bytes)).await??;
        let Packet::ConnAck(ack) = answer else { return Err(Error::Unexpected) };
        if ack.code != ConnectReturnCode::Success {
            return Err(Error::Refused(ack.code));
        }
        Ok(stream)
    }

    /// Ok: all is sent and acknowledged, or we were stopped.
    async fn drive(&mut self, mut stream: TcpStream, stop: &mut Stop) -> Result<(), Error> {
        let (mut input, mut out) = (BytesMut::new(), BytesMut::new());
        let repeated = self.inflight.repeat(&mut out);
        self.counts.repeated.fetch_add(repeated, Relaxed);
        while !stop.is_requested() {
            let next_due = self.publish_due(&mut out);
            if !out.is_empty() {
                stream.write_all(&out).await?;
                out.clear();
                if next_due == Next::Now {
                    continue;
                }
            }
            let wake = match next_due {
                Next::Now => Instant::now(),
                Next::At(due) => due.min(Instant::now() + KEEP_ALIVE / 2),
                Next::AfterAck => Instant::now() + KEEP_ALIVE / 2,
                Next::Never if self.inflight.is_empty() => break,
                Next::Never => Instant::now() + KEEP_ALIVE / 2,
            };
            tokio::select! {
                () = stop.requested() => break,
                packet = read_packet(&mut stream, &mut input) => self.take(packet?)?,
                () = sleep_until(wake) => {
                    if !matches!(next_due, Next::At(due) if due <= Instant::now()) {
                        Packet::PingReq.write(&mut out, PACKET_MAX_BYTES)?;
                    }
                }
            }
            while let Some(packet) = parse(&mut input)? {
                self.take(packet)?;
            }
        }
        self.finish(stream, input).await
    }

    /// Writes what is due and has room.
    fn publish_due(&mut self, out: &mut BytesMut) -> Next {
        let now = Instant::now();
        loop {
            let Some((_, device)) = self.devices.iter_mut().min_by_key(|(_, d)| d.due_at_ms()) else {
                return Next::Never;
            };
            let at_ms = device.due_at_ms();
            if self.job.until_ms.is_some_and(|until_ms| at_ms >= until_ms) {
                return Next::Never;
            }
            if let Some(due) = self.job.pace.due(at_ms).filter(|due| *due > now) {
                return Next::At(due);
            }
            if out.len() >= WRITE_MAX_BYTES {
                return Next::Now;
            }
            if self.job.qos == Qos::AtLeastOnce && !self.inflight.has_room() {
                return Next::AfterAck;
            }
            let message = device.next_message();
            let written = match self.job.qos {
                Qos::AtLeastOnce => self.inflight.publish(device.topic(), message.payload, out),
                Qos::AtMostOnce => {
                    Publish::from_bytes(device.topic(), rumqttc::QoS::AtMostOnce, message.payload).write(out).map(drop)
                }
            };
            written.expect("a message of some kilobytes with a packet id can be written");
            self.counts.sent.fetch_add(1, Relaxed);
            self.counts.readings.fetch_add(u64::from(message.readings), Relaxed);
        }
    }

    fn take(&mut self, packet: Packet) -> Result<(), Error> {
        if let Packet::PubAck(ack) = packet {
            if self.inflight.acknowledge(ack.pkid) {
                self.counts.acked.fetch_add(1, Relaxed);
            }
            return Ok(());
        }
        if packet == Packet::PingResp { Ok(()) } else { Err(Error::Unexpected) }
    }

    /// Waits a while for what is still unacknowledged, then says good-bye.
    async fn finish(&mut self, mut stream: TcpStream, mut input: BytesMut) -> Result<(), Error> {
        let last_acks = async {
            while !self.inflight.is_empty() {
                let packet = read_packet(&mut stream, &mut input).await?;
                self.take(packet)?;
            }
            Ok(())
        };
        // Running out of time is no error: what is missing shows in the counts.
        timeout(LAST_ACKS_TIMEOUT, last_acks).await.unwrap_or(Ok::<(), Error>(()))?;
        let mut bytes = BytesMut::new();
        Packet::Disconnect.write(&mut bytes, PACKET_MAX_BYTES)?;
        stream.write_all(&bytes).await?;
        stream.shutdown().await?;
        Ok(())
    }
}

/// When there is something to write again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Now,
    At(Instant),
    AfterAck,
    /// All messages of the job are out.
    Never,
}

/// The next packet; safe to cancel, what was read stays in `input`.
async fn read_packet(stream: &mut TcpStream, input: &mut BytesMut) -> Result<Packet, Error> {
    loop {
        if let Some(packet) = parse(input)? {
            return Ok(packet);
        }
        if stream.read_buf(input).await? == 0 {
            return Err(Error::Closed);
        }
    }
}

/// `None`: more bytes are needed.
fn parse(input: &mut BytesMut) -> Result<Option<Packet>, Error> {
    match Packet::read(input, PACKET_MAX_BYTES) {
        Ok(packet) => Ok(Some(packet)),
        Err(mqttbytes::Error::InsufficientBytes(_)) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests;
