//! The demo's gateway: a configuration made in code, the same type that a file gives.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use firmware_protocol::decode::Route;

use super::plan::{Timeline, WINDOW_MS};
use crate::config::{Config, Gateway, Http};
use crate::forward::{DeliveryConfig, FileConfig, FileFormat, SinkConfig};
use crate::ingest::ListenConfig;
use crate::{clock, detect, queue};

/// Topic of all simulated devices in the demo.
pub const TOPIC: &str = "sensors/{device}/telemetry";

const ROTATE_BYTES: u64 = 64 << 20;
/// The demo keeps all it wrote: more than a history can fill.
const FILES_MAX: usize = 1_000;
/// A pause of this many windows on the wall closes a device's windows; the floor is for slow machines.
const IDLE_WINDOWS: f64 = 4.0;
const IDLE_MIN: Duration = Duration::from_secs(20);

/// Where the line protocol files go.
pub fn lines_dir(data_dir: &Path) -> std::path::PathBuf {
    data_dir.join("lines")
}

/// Where the queue lives.
pub fn queue_dir(data_dir: &Path) -> std::path::PathBuf {
    data_dir.join("queue")
}

/// A gateway on loopback that needs nothing else: `listen` as its door, files as its sink.
pub fn config(data_dir: &Path, http: SocketAddr, line: &Timeline) -> Config {
    let idle = Duration::from_secs_f64(IDLE_WINDOWS * WINDOW_MS as f64 / 1_000.0 / line.speed);
    Config {
        gateway: Gateway {
            name: "demo".into(),
            site: String::new(),
            data_dir: data_dir.to_owned(),
            shutdown_grace: Duration::from_secs(10),
        },
        http: Some(Http::on(http)),
        queue: queue::Config::new(queue_dir(data_dir)),
        mqtt: Vec::new(),
        serial: Vec::new(),
        listen: Some(ListenConfig { bind: SocketAddr::from(([127, 0, 0, 1], 0)), ..ListenConfig::default() }),
        frames: crate::frames::Config::default(),
        csv: Vec::new(),
        upload: None,
        decode: vec![Route { topic: TOPIC.into(), ..Route::default() }],
        // A demonstration of five minutes waits for nobody.
        clock: clock::Config { hold_max: Duration::ZERO, wait_for_sync: Duration::ZERO, ..clock::Config::default() },
        detect: Some(detect::Config {
            window: Duration::from_millis(WINDOW_MS as u64),
            learn: Duration::from_secs(Timeline::LEARN_DAYS as u64 * 86_400),
            idle_timeout: idle.max(IDLE_MIN),
            ..detect::Config::default()
        }),
        sinks: vec![SinkConfig::File(FileConfig {
            name: "lines".into(),
            dir: lines_dir(data_dir),
            format: FileFormat::LineProtocol,
            rotate_bytes: ROTATE_BYTES,
            files_max: FILES_MAX,
            delivery: DeliveryConfig::default(),
        })],
        alerts: Vec::new(),
    }
}
