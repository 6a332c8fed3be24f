//! The programs under test with what a scenario needs of them: their files, their addresses, their metrics.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::StatusCode;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio_rustls::rustls::ClientConfig;

use crate::config::{GatewayConfig, TOKEN_ENV};
use crate::eventually::eventually;
use crate::metrics::Metrics;
use crate::process::{Ended, Process};
use crate::publisher::{Target, publish_all};
use crate::stack::run_dir;

/// Opening the queue, and reading it again after a crash, included.
const READY_DEADLINE: Duration = Duration::from_secs(30);
/// Longer than the gateway's own grace, so that a test fails by what the gateway says, not by this.
const END_DEADLINE: Duration = Duration::from_secs(45);

/// A client for loopback, never through a proxy of the environment; each test has its own, bound to its runtime.
///
/// # Errors
/// The system has no random numbers or the like.
pub fn http_client() -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build()?)
}

/// A scenario's directory: configuration and data of one gateway.
pub struct Home {
    dir: TempDir,
}

impl Home {
    /// # Errors
    /// It cannot be made.
    pub fn new() -> Result<Self> {
        Ok(Self { dir: TempDir::new_in(run_dir())? })
    }

    pub fn queue_dir(&self) -> PathBuf {
        self.data_dir().join("queue")
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// What the file sink has written, where there is one with default settings: line protocol.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn file_sink(&self) -> Result<String> {
        written(&self.data_dir().join("files"))
    }

    /// Where sensors reach the gateway without a broker.
    pub fn listen(&self) -> Target {
        Target::Listen(self.data_dir().join("listen.addr"))
    }

    /// The same, over TLS.
    pub fn listen_tls(&self, config: Arc<ClientConfig>) -> Target {
        Target::ListenTls(self.data_dir().join("listen.addr"), config)
    }

    pub fn config(&self) -> GatewayConfig {
        GatewayConfig::new(&self.data_dir())
    }

    /// Writes a file and returns its path.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<String> {
        let file = self.dir.path().join(name);
        std::fs::write(&file, text)?;
        Ok(file.display().to_string())
    }
}

/// All files of a directory, in the order of their names.
///
/// # Errors
/// One cannot be read.
pub fn written(dir: &Path) -> Result<String> {
    let files = std::fs::read_dir(dir)?;
    let paths = files.map(|file| Ok(file?.path())).collect::<std::io::Result<BTreeSet<_>>>()?;
    Ok(paths.iter().map(std::fs::read_to_string).collect::<std::io::Result<Vec<_>>>()?.concat())
}

/// A running gateway.
pub struct Gateway {
    process: Process,
    address: String,
}

impl Gateway {
    /// Starts it and waits until it says that it is ready.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(home: &Home, config: &GatewayConfig, token: &str) -> Result<Self> {
        let file = home.write("gateway.toml", config.as_str())?;
        let address_file = home.data_dir().join("http.addr");
        forget(&address_file)?;
        forget(&home.data_dir().join("listen.addr"))?;
        let mut process = Process::start("gateway", &["run", "--config", &file], &[(TOKEN_ENV, token)])?;
        let client = http_client()?;
        let address = eventually("readiness of the gateway", READY_DEADLINE, async || {
            process.still_running()?;
            let address = std::fs::read_to_string(&address_file).context("no http.addr yet")?;
            let address = address.trim().to_owned();
            let status = client.get(format!("http://{address}/readyz")).send().await?.status();
            ensure!(status == StatusCode::OK, "/readyz says {status}");
            Ok(address)
        })
        .await?;
        Ok(Self { process, address })
    }

    /// Waits until the gateway receives what is published to the broker: until it has subscribed, the broker
    /// acknowledges messages and throws them away.
    ///
    /// # Errors
    /// Nothing arrives.
    pub async fn subscribed(&self, broker: &Target) -> Result<()> {
        eventually("subscription", READY_DEADLINE, async || {
            publish_all(broker, "probe", &[("sensors/probe/telemetry", b"{\"n\":0}")]).await?;
            let received = self.metrics().await?.sum("gateway_ingest_messages_total", &["door=\"mqtt\""]);
            ensure!(received > Some(0.0), "the gateway has received nothing from the broker");
            Ok(())
        })
        .await
    }

    /// # Errors
    /// It does not answer.
    pub async fn metrics(&self) -> Result<Metrics> {
        let answer = http_client()?.get(format!("http://{}/metrics", self.address)).send().await?;
        Ok(Metrics::new(answer.error_for_status()?.text().await?))
    }

    /// What a path answers: status and text.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn get(&self, path: &str) -> Result<(StatusCode, String)> {
        let answer = http_client()?.get(format!("http://{}{path}", self.address)).send().await?;
        Ok((answer.status(), answer.text().await?))
    }

    /// What `POST` of a body is answered.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn post(&self, path: &str, content_type: &str, body: Vec<u8>) -> Result<reqwest::Response> {
        let request = http_client()?.post(format!("http://{}{path}", self.address)).body(body);
        Ok(request.header("Content-Type", content_type).send().await?)
    }

    /// Waits until so many records are durable.
    ///
    /// # Errors
    /// They are not in time.
    pub async fn accepted(&self, records: u64) -> Result<()> {
        eventually("records in the queue", READY_DEADLINE, async || {
            let accepted = self.metrics().await?.count("gateway_queue_records_total", &["log=\"raw\""])?;
            ensure!(accepted >= records, "{accepted} of {records}");
            Ok(())
        })
        .await
    }

    /// Its log so far: JSON lines.
    pub fn log(&self) -> String {
        self.process.stderr()
    }

    /// Memory that it holds now.
    ///
    /// # Errors
    /// It is gone.
    pub fn rss_bytes(&self) -> Result<u64> {
        self.process.rss_bytes()
    }

    /// Time on a processor since it was started.
    ///
    /// # Errors
    /// It is gone.
    pub fn cpu_seconds(&self) -> Result<f64> {
        self.process.cpu_seconds()
    }

    /// kill -9.
    ///
    /// # Errors
    /// It was gone already.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill()
    }

    /// SIGTERM, and what it said and did until it ended.
    ///
    /// # Errors
    /// It runs on.
    pub async fn terminate(mut self) -> Result<Ended> {
        self.process.signal(Signal::TERM)?;
        self.process.ended(END_DEADLINE).await
    }
}

/// The addresses of an earlier run must not be taken for the ones of the next.
fn forget(file: &Path) -> Result<()> {
    match std::fs::remove_file(file) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e).with_context(|| format!("remove {}", file.display())),
    }
}
