//! The doors: how messages come in. Each turns what it hears into records and acknowledges after the receipt.
//!
//! # Invariants
//! - PUBACK goes out only after the record's receipt, in the order of receipt of the PUBLISHes.
//! - What a door cannot take (too large, malformed) is answered or counted with a reason; the process goes on.
//!
//! # Flow
//! ```text
//! broker ◀─TCP─▶ mqtt   ─┐
//!                        ├─ session (pure: packets in, records and packets out) ─▶ queue::Appender
//! sensor ◀─TCP─▶ listen ─┘                  ▲── receipt: the acks that are due
//! sensor ◀─tty─▶ serial ─── line (pure: bytes in, records out) ─▶ queue::Appender
//! ```
//!
//! # Not here
//! Decoding of payloads: raw is stored as it came.

#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod listen;
pub mod mqtt;
pub mod serial;

mod budget;
mod connection;
mod intake;
mod meters;
mod session;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::queue;
use crate::secret::Secret;

pub use serial::SerialConfig;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MqttVersion {
    V311,
    V5,
}

/// One `[[mqtt]]` table: a broker to dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttConfig {
    /// For logs and metrics; unique among the brokers.
    pub name: String,
    pub host: String,
    pub port: u16,
    pub version: MqttVersion,
    /// The broker keeps our session under it: unique per gateway.
    pub client_id: String,
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// Topic filters.
    pub subscribe: Vec<String>,
    /// 0 or 1.
    pub qos: u8,
    pub keep_alive: Duration,
    /// Longest packet taken, bytes. A larger one cannot be skipped in MQTT: the connection is closed with an error.
    pub packet_max_bytes: usize,
    /// v5: how long the broker shall keep the session, seconds; 3.1.1 keeps it for ever.
    pub session_expiry: Duration,
    /// Longest pause between two attempts to connect (full jitter).
    pub reconnect_max: Duration,
}

impl Default for MqttConfig {
    fn default() -> Self {
        Self {
            name: "mqtt".into(),
            host: "127.0.0.1".into(),
            port: 1883,
            version: MqttVersion::V311,
            client_id: "gateway".into(),
            username: None,
            password: None,
            subscribe: vec!["sensors/#".into()],
            qos: 1,
            keep_alive: Duration::from_secs(30),
            packet_max_bytes: 256 * 1024,
            session_expiry: Duration::from_secs(7 * 24 * 3600),
            reconnect_max: Duration::from_secs(30),
        }
    }
}

/// The `[listen]` table: sensors connect to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenConfig {
    pub bind: SocketAddr,
    pub connections_max: usize,
    pub packet_max_bytes: usize,
    /// A client must send CONNECT within this.
    pub connect_timeout: Duration,
}

impl Default for ListenConfig {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 1883)),
            connections_max: 1_000,
            packet_max_bytes: 256 * 1024,
            connect_timeout: Duration::from_secs(10),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("cannot listen on {addr}: {source}; set `listen.bind` to a free address of this machine")]
    Bind { addr: SocketAddr, source: io::Error },
    #[error("records cannot be stored: {0}")]
    Queue(Arc<queue::Error>),
}
