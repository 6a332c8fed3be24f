//! The gateway: its queue is filled while its sinks are away; then a copy of it meets a sink that is there.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tests::config::{GatewayConfig, TOKEN_ENV};
use tests::eventually::eventually;
use tests::gateway::{Gateway, Home};
use tests::http::Server;
use tests::message::Device;
use tests::publisher::{Connection, Target};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const DEVICES: u64 = 100;
const CONNECTIONS: u64 = 10;
const INFLIGHT_MAX: usize = 500;
/// Filling and draining, far above what it takes.
const DEADLINE: Duration = Duration::from_secs(600);
/// With sinks that are away, this long: what they read ahead is in memory then.
const AWAY: Duration = Duration::from_secs(5);
const QUEUE: &str = "max_size = \"16GiB\"";

/// A drain, or the same by a raw client.
pub(crate) struct Drained {
    pub(crate) records: u64,
    pub(crate) took: Duration,
    pub(crate) cpu_s: f64,
    /// Of the gateway.
    pub(crate) rss_max_bytes: Option<u64>,
}

/// Memory with and without a backlog, sinks away.
pub(crate) struct Queued {
    pub(crate) idle_bytes: u64,
    pub(crate) queued_bytes: u64,
    pub(crate) restarted_bytes: u64,
}

/// The devices whose messages are queued: the raw clients send the same.
pub(crate) fn devices() -> Vec<Device> {
    (0..DEVICES).map(|n| Device::new(format!("bench-{n}"), n)).collect()
}

/// Message `n` of all, in the order in which they are sent.
pub(crate) fn message(devices: &[Device], n: u64) -> (&Device, u64) {
    (&devices[(n % DEVICES) as usize], n / DEVICES)
}

pub(crate) fn config(home: &Home) -> GatewayConfig {
    home.config().without_detection().queue(QUEUE)
}

/// Queues the records for two sinks that are away, and looks at the memory.
pub(crate) async fn fill(home: &Home, records: u64) -> Result<Queued> {
    let nowhere = nowhere().await?;
    let sinks = influx_table(&format!("http://{nowhere}"), "org", "bucket");
    let config = config(home).listen().with("[[kafka]]").with(&format!("bootstrap = \"{nowhere}\"")).with(&sinks);
    let gateway = Gateway::start(home, &config, "token").await?;
    let idle_bytes = gateway.rss_bytes()?;
    publish(home.listen(), records).await?;
    gateway.accepted(records).await?;
    tokio::time::sleep(AWAY).await;
    let queued_bytes = gateway.rss_bytes()?;
    ensure!(gateway.terminate().await?.status.success(), "the gateway ended well");
    let gateway = Gateway::start(home, &config, "token").await?;
    tokio::time::sleep(AWAY).await;
    let restarted_bytes = gateway.rss_bytes()?;
    ensure!(gateway.terminate().await?.status.success(), "the gateway ended well");
    Ok(Queued { idle_bytes, queued_bytes, restarted_bytes })
}

/// A home with a copy of another's data, and its configuration, without any sink.
pub(crate) fn copy(filled: &Home) -> Result<(Home, GatewayConfig)> {
    let home = Home::new()?;
    copy_dir(&filled.data_dir(), &home.data_dir())?;
    let config = config(&home);
    Ok((home, config))
}

fn copy_dir(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

pub(crate) fn influx_table(url: &str, org: &str, bucket: &str) -> String {
    format!("\n[[influx]]\nurl = \"{url}\"\norg = \"{org}\"\nbucket = \"{bucket}\"\ntoken_env = \"{TOKEN_ENV}\"\n")
}

/// From the start of the process to the last confirmation.
pub(crate) async fn drain(home: &Home, config: GatewayConfig, token: &str, records: u64) -> Result<Drained> {
    let began = Instant::now();
    let gateway = Gateway::start(home, &config, token).await?;
    let mut rss_max_bytes = 0;
    eventually("a backlog that is drained", DEADLINE, async || {
        rss_max_bytes = rss_max_bytes.max(gateway.rss_bytes()?);
        let metrics = gateway.metrics().await?;
        let delivered = metrics.count("gateway_ledger_records", &["log=\"raw\"", "fate=\"delivered\""])?;
        ensure!(delivered >= records, "{delivered} of {records} delivered");
        Ok(())
    })
    .await?;
    let (took, cpu_s) = (began.elapsed(), gateway.cpu_seconds()?);
    ensure!(gateway.terminate().await?.status.success(), "the gateway ended well");
    Ok(Drained { records, took, cpu_s, rss_max_bytes: Some(rss_max_bytes) })
}

async fn publish(target: Target, records: u64) -> Result<()> {
    let mut connections = JoinSet::new();
    for i in 0..CONNECTIONS {
        let target = target.clone();
        connections.spawn(async move {
            let devices = devices();
            let mut connection = Connection::open(&target, &format!("bench-{i}")).await?;
            // Devices are a multiple of connections: each has its own.
            for n in (i..records).step_by(CONNECTIONS as usize) {
                let (device, n) = message(&devices, n);
                connection.push(device.topic(), device.payload(n), false)?;
                if connection.inflight() >= INFLIGHT_MAX {
                    connection.flush().await?;
                    while connection.inflight() > INFLIGHT_MAX / 2 {
                        connection.next_ack().await?;
                    }
                }
            }
            connection.flush().await?;
            while connection.inflight() > 0 {
                connection.next_ack().await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(connection) = connections.join_next().await {
        connection??;
    }
    Ok(())
}

/// An address where nobody listens.
async fn nowhere() -> Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0").await?.local_addr().context("a free port")
}

/// An HTTP server that answers each request with 204: what a sink costs without the server behind it.
pub(crate) async fn counter() -> Result<Server> {
    Server::start("counter", |_| Ok("HTTP/1.1 204 No Content\r\n\r\n".to_owned())).await
}
