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
//! file ─▶ csv (upload, folder) ─ rows with the file's progress ─▶ queue::Appender
//! ```
//!
//! # Not here
//! Decoding of payloads: raw is stored as it came.

pub mod access;
pub mod csv;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod http;
pub mod listen;
pub mod mqtt;
pub mod serial;
pub mod tls;

mod budget;
mod connection;
mod guard;
mod intake;
mod meters;
mod results;
mod session;
mod stream;
mod topics;
mod watched;
mod wire;

pub use results::Results;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::queue;
use crate::secret::Secret;

pub use guard::Guard;
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
    /// 0, 1 or 2.
    pub qos: u8,
    /// Where the gateway tells whether it is there, retained and by last will; empty: nowhere.
    pub status_topic: String,
    /// Without a message for this long the door connects and subscribes anew, and says so; zero: never.
    pub no_data_after: Duration,
    pub keep_alive: Duration,
    /// Longest packet taken, bytes. A larger one cannot be skipped in MQTT: the connection is closed with an error.
    pub packet_max_bytes: usize,
    /// v5: how long the broker shall keep the session, seconds; 3.1.1 keeps it for ever.
    pub session_expiry: Duration,
    /// Longest pause between two attempts to connect (full jitter).
    pub reconnect_max: Duration,
    /// `None`: plain TCP.
    pub tls: Option<tls::Client>,
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
            status_topic: String::new(),
            no_data_after: Duration::from_secs(600),
            keep_alive: Duration::from_secs(30),
            packet_max_bytes: 256 * 1024,
            session_expiry: Duration::from_secs(7 * 24 * 3600),
            reconnect_max: Duration::from_secs(30),
            tls: None,
        }
    }
}

/// The `[listen]` table: sensors connect to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenConfig {
    pub bind: SocketAddr,
    pub connections_max: usize,
    pub packet_max_bytes: usize,
    /// A client must send CONNECT, and be let in, within this.
    pub connect_timeout: Duration,
    /// v5: most QoS 1 and 2 messages of a client that wait for their acknowledgement.
    pub receive_max: u16,
    /// Sessions are kept for clients that are away for at most this long.
    pub session_expiry_max: Duration,
    /// Most sessions kept for clients that are away; beyond it the one away for longest goes.
    pub sessions_max: usize,
    /// Of each client; beyond it, it is read more slowly. 0: no limit.
    pub messages_per_second_max: u32,
    /// The same in bytes of PUBLISH packets.
    pub bytes_per_second_max: u64,
    /// `None`: plain TCP.
    pub tls: Option<tls::ServerConfig>,
    pub access: access::Config,
}

impl Default for ListenConfig {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 1883)),
            connections_max: 1_000,
            packet_max_bytes: 256 * 1024,
            connect_timeout: Duration::from_secs(10),
            receive_max: 1_024,
            session_expiry_max: Duration::from_secs(7 * 24 * 3600),
            sessions_max: 10_000,
            messages_per_second_max: 0,
            bytes_per_second_max: 0,
            tls: None,
            access: access::Config::default(),
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
    #[error(transparent)]
    Tls(#[from] tls::Error),
    #[error(transparent)]
    Access(#[from] access::Error),
}
