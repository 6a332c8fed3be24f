//! A load generator: many connections, each keeping a window of QoS 1 messages unacknowledged.
//!
//! Payloads are made as they are sent, about 100 bytes of JSON with four fields; nothing else is done per message,
//! so that on two cores the gateway gets most of the machine.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{Connect, Packet, Publish};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// A PUBACK of MQTT 3.1.1 is four bytes, always.
const PUBACK_BYTES: usize = 4;
const CONNACK_BYTES: usize = 4;
/// Largest packet that the encoder may write; ours have about 150 bytes.
const PACKET_MAX_BYTES: usize = 4_096;
/// Event time between two messages of a device: each device fills one window of 10 minutes with 600 messages.
const STEP_MS: i64 = 1_000;

/// Numbers in a payload, its time left out.
pub const READINGS_PER_MESSAGE: u64 = 4;

/// What to send.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub target: SocketAddr,
    pub messages: u64,
    pub connections: u32,
    /// Unacknowledged messages per connection.
    pub inflight: u16,
    /// Event time of the last message of each device.
    pub end_at_ms: i64,
}

/// What happened.
#[derive(Debug, Default)]
pub struct Outcome {
    pub acked: u64,
    pub payload_bytes: u64,
    /// Time from writing a window's first message to its acknowledgement, one sample per window.
    latencies: Vec<Duration>,
}

impl Outcome {
    /// The latency below which a share of the samples lies.
    pub fn latency(&mut self, share: f64) -> Duration {
        self.latencies.sort_unstable();
        let place = (self.latencies.len() as f64 * share) as usize;
        self.latencies.get(place.min(self.latencies.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

/// Sends everything and waits for the last acknowledgement.
///
/// # Errors
/// A connection failed: a benchmark does not go on with less.
pub async fn run(load: Load) -> io::Result<Outcome> {
    let mut connections = JoinSet::new();
    for number in 0..load.connections {
        let share = load.messages / u64::from(load.connections)
            + u64::from(u64::from(number) < load.messages % u64::from(load.connections));
        connections.spawn(connection(load, number, share));
    }
    let mut total = Outcome::default();
    while let Some(one) = connections.join_next().await {
        let one = one.map_err(io::Error::other)??;
        total.acked += one.acked;
        total.payload_bytes += one.payload_bytes;
        total.latencies.extend(one.latencies);
    }
    Ok(total)
}

async fn connection(load: Load, number: u32, messages: u64) -> io::Result<Outcome> {
    let mut socket = TcpStream::connect(load.target).await?;
    socket.set_nodelay(true)?;
    let mut buffer = BytesMut::new();
    encode(&Packet::Connect(Connect::new(format!("bench-{number}"))), &mut buffer)?;
    socket.write_all_buf(&mut buffer).await?;
    let mut connack = [0; CONNACK_BYTES];
    socket.read_exact(&mut connack).await?;
    if connack[3] != 0 {
        return Err(io::Error::other(format!("connection refused with code {}", connack[3])));
    }

    let topic = format!("sensors/bench-{number}/telemetry");
    let mut outcome = Outcome::default();
    let (mut sent, mut partial) = (0, 0);
    let mut acks = vec![0; 64 * 1024];
    let mut window = (0, Instant::now());
    while outcome.acked < messages {
        while sent < messages && sent - outcome.acked < u64::from(load.inflight) {
            let at_ms = load.end_at_ms - (messages - sent) as i64 * STEP_MS;
            let payload = payload(at_ms, sent, number);
            outcome.payload_bytes += payload.len() as u64;
            let mut publish = Publish::from_bytes(topic.clone(), QoS::AtLeastOnce, payload.into());
            publish.pkid = (sent % u64::from(u16::MAX)) as u16 + 1;
            encode(&Packet::Publish(publish), &mut buffer)?;
            sent += 1;
        }
        socket.write_all_buf(&mut buffer).await?;
        let read = socket.read(&mut acks).await?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the gateway closed the connection"));
        }
        partial += read;
        outcome.acked += (partial / PUBACK_BYTES) as u64;
        partial %= PUBACK_BYTES;
        if outcome.acked > window.0 {
            outcome.latencies.push(window.1.elapsed());
            window = (sent, Instant::now());
        }
    }
    encode(&Packet::Disconnect, &mut buffer)?;
    socket.write_all_buf(&mut buffer).await?;
    Ok(outcome)
}

/// About 100 bytes; the values wander, so that neither compression nor the detectors have it too easy.
fn payload(at_ms: i64, n: u64, device: u32) -> String {
    let phase = n as f64 * 0.01 + f64::from(device);
    let jitter = (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / 16_777_216.0 - 0.5;
    let temperature = 40.0 + 5.0 * phase.sin() + jitter;
    let vibration = 0.5 + 0.1 * (phase * 3.0).cos() + 0.05 * jitter;
    let pressure = 1013.0 + jitter;
    format!(
        r#"{{"ts":{at_ms},"seq":{n},"temperature":{temperature:.3},"vibration":{vibration:.4},"pressure":{pressure:.2}}}"#
    )
}

fn encode(packet: &Packet, buffer: &mut BytesMut) -> io::Result<()> {
    packet.write(buffer, PACKET_MAX_BYTES).map(drop).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_has_about_100_bytes() {
        let bytes = payload(1_763_730_000_000, 123_456, 7).len();
        assert!((90..=110).contains(&bytes), "{bytes}");
    }

    #[test]
    fn quantiles_are_taken_from_the_sorted_samples() {
        let latencies = [5, 1, 3, 2, 4].map(Duration::from_millis).into();
        let mut outcome = Outcome { latencies, ..Outcome::default() };
        assert_eq!(outcome.latency(0.5), Duration::from_millis(3));
        assert_eq!(outcome.latency(1.0), Duration::from_millis(5));
        assert_eq!(Outcome::default().latency(0.99), Duration::ZERO);
    }
}
