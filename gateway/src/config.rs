//! Configuration: raw text in, proven values out; the rest of the code never asks whether something is set.
//!
//! `File` (a serde mirror of the TOML, all optional) becomes [`Config`] (nothing optional that has a default).
//! All faults are reported at once, each with line, column and the nearest known key.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use firmware_protocol::decode::Route;

use crate::{detect, forward, ingest, queue};

/// The whole gateway, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub gateway: Gateway,
    /// `None`: no page, no metrics.
    pub http: Option<Http>,
    pub queue: queue::Config,
    pub mqtt: Vec<ingest::MqttConfig>,
    pub listen: Option<ingest::ListenConfig>,
    pub decode: Vec<Route>,
    /// `None`: detection is off; records are forwarded all the same.
    pub detect: Option<detect::Config>,
    pub sinks: Vec<forward::SinkConfig>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Tag `gateway` of all points; default: the host's name.
    pub name: String,
    /// Tag `site` of all points; left out if empty.
    pub site: String,
    pub data_dir: PathBuf,
    /// Shutdown waits this long for batches under way; leaving them is safe, they are sent again.
    pub shutdown_grace: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    pub bind: SocketAddr,
}
