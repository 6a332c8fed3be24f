//! The servers that scenarios run against, started by the scripts in `services/`.
//!
//! # Invariants
//! - InfluxDB, HiveMQ and one Kafka are started once per test process, when first asked for; scenarios keep apart by bucket and
//!   topic prefix. mosquitto, S3 stores, and a Kafka that is to be killed, belong to one scenario.
//! - Servers and processes of the tests write their PID under [`run_dir`]. A guard holds the read end of a pipe and
//!   ends them all when this process is gone, even by kill -9: a test binary has no teardown of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::{Context, Result, ensure};
use tokio::task::spawn_blocking;

use crate::influx::Influx;
use crate::kafka;
use crate::link::Link;
use crate::publisher::Target;

/// One server under way. Dropping it stops it and deletes its data.
pub struct Service {
    script: &'static str,
    instance: String,
    settings: BTreeMap<String, String>,
}

impl Service {
    fn start(script: &'static str) -> Result<Self> {
        Self::start_with(script, &[])
    }

    /// With these variables, which count when it is set up.
    fn start_with(script: &'static str, variables: &[(&str, &str)]) -> Result<Self> {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let instance = STARTED.fetch_add(1, Ordering::Relaxed).to_string();
        let mut service = Self { script, instance, settings: BTreeMap::new() };
        let printed = run_script(script, "start", &service.instance, variables)?;
        let settings = printed.lines().filter_map(|line| line.split_once('='));
        service.settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        Ok(service)
    }

    fn setting(&self, key: &str) -> Result<&str> {
        self.settings.get(key).map(String::as_str).with_context(|| format!("{} prints no {key}", self.script))
    }

    fn run(&self, verb: &str) -> Result<String> {
        run_script(self.script, verb, &self.instance, &[])
    }
}

fn run_script(script: &str, verb: &str, instance: &str, variables: &[(&str, &str)]) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("services").join(script);
    let output = Command::new(&path)
        .arg(verb)
        .env("RUN", run_dir())
        .env("INSTANCE", instance)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("run {}", path.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{script} {verb}: {}\n{said}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// The Python interpreter that knows paho.
///
/// # Errors
/// It cannot be fetched.
pub(crate) fn paho() -> Result<String> {
    Ok(run_script("paho.sh", "python", "", &[])?.trim().to_owned())
}

/// Directory with the Node modules of Grafana's schema.
///
/// # Errors
/// They cannot be fetched.
pub(crate) fn grafana_modules() -> Result<String> {
    Ok(run_script("grafana.sh", "modules", "", &[])?.trim().to_owned())
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Err(e) = self.run("wipe") {
            eprintln!("{e:#}");
        }
    }
}

/// A broker of its own.
pub struct Mosquitto {
    service: Arc<Service>,
    address: SocketAddr,
}

impl Mosquitto {
    /// # Errors
    /// It does not start.
    pub async fn start() -> Result<Self> {
        let service = spawn_blocking(|| Service::start("mosquitto.sh")).await??;
        let address = SocketAddr::from(([127, 0, 0, 1], service.setting("MQTT_PORT")?.parse()?));
        Ok(Self { service: Arc::new(service), address })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where sensors publish.
    pub fn target(&self) -> Target {
        Target::Broker(self.address)
    }

    /// Returns once all that it holds now is in its file; unasked it writes it only at its end.
    ///
    /// # Errors
    /// It does not run.
    pub async fn save(&self) -> Result<()> {
        self.run("save").await
    }

    /// kill -9.
    ///
    /// # Errors
    /// It does not run.
    pub async fn kill(&self) -> Result<()> {
        self.run("kill").await
    }

    /// SIGTERM.
    ///
    /// # Errors
    /// It does not run.
    pub async fn stop(&self) -> Result<()> {
        self.run("stop").await
    }

    /// Starts it again, on its file and its port.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_again(&self) -> Result<()> {
        self.run("start").await
    }

    async fn run(&self, verb: &'static str) -> Result<()> {
        let service = self.service.clone();
        spawn_blocking(move || service.run(verb)).await??;
        Ok(())
    }
}

/// Where the HiveMQ listens that all scenarios share: they keep apart by topics and client ids.
///
/// # Errors
/// It does not start.
pub async fn hivemq() -> Result<SocketAddr> {
    static HIVEMQ: Shared<Service> = Shared::new();
    let service = spawn_blocking(|| HIVEMQ.get(|| Service::start("hivemq.sh"))).await??;
    Ok(SocketAddr::from(([127, 0, 0, 1], service.setting("HIVEMQ_PORT")?.parse()?)))
}

/// A Kafka node, shared or of its own.
pub struct Kafka {
    service: Service,
    bootstrap: String,
}

impl Kafka {
    /// One for this scenario alone, to be killed.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start() -> Result<Self> {
        spawn_blocking(Self::start_blocking).await?
    }

    fn start_blocking() -> Result<Self> {
        Self::wait_for(Service::start("kafka.sh")?)
    }

    fn wait_for(service: Service) -> Result<Self> {
        let bootstrap = service.setting("KAFKA_BOOTSTRAP")?.to_owned();
        kafka::wait_for_broker(&bootstrap)?;
        Ok(Self { service, bootstrap })
    }

    /// One for this scenario alone that also listens with TLS: for clients with a certificate of the authority, and the
    /// login `gw` with this password, by PLAIN and SCRAM.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_secure(pem: String, ca_file: String, password: &'static str) -> Result<Self> {
        let start = move || {
            let variables = [("KAFKA_PEM", pem.as_str()), ("KAFKA_CA", ca_file.as_str()), ("KAFKA_PASSWORD", password)];
            Self::wait_for(Service::start_with("kafka.sh", &variables)?)
        };
        spawn_blocking(start).await?
    }

    /// One for this scenario alone, which is there directly and through the link: to whoever comes through it, it names the
    /// link's address.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_behind(link: &Link) -> Result<Self> {
        let address = link.address().to_string();
        let kafka = spawn_blocking(move || {
            Self::wait_for(Service::start_with("kafka.sh", &[("KAFKA_LINK", address.as_str())])?)
        });
        let kafka = kafka.await??;
        link.lead_to(kafka.service.setting("KAFKA_BEHIND_LINK")?.parse()?);
        Ok(kafka)
    }

    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Where those come in who have a certificate and a login.
    ///
    /// # Errors
    /// It was not started so.
    pub fn secure_bootstrap(&self) -> Result<&str> {
        self.service.setting("KAFKA_SECURE_BOOTSTRAP")
    }

    /// kill -9.
    ///
    /// # Errors
    /// It does not run.
    pub async fn kill(self: &Arc<Self>) -> Result<()> {
        self.run("kill").await
    }

    /// Starts it again, on its data and its port.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_again(self: &Arc<Self>) -> Result<()> {
        self.run("start").await?;
        let kafka = self.clone();
        spawn_blocking(move || kafka::wait_for_broker(&kafka.bootstrap)).await?
    }

    async fn run(self: &Arc<Self>, verb: &'static str) -> Result<()> {
        let kafka = self.clone();
        spawn_blocking(move || kafka.service.run(verb)).await??;
        Ok(())
    }
}

/// The Kafka that all scenarios share.
///
/// # Errors
/// It does not start.
pub async fn kafka() -> Result<Arc<Kafka>> {
    static KAFKA: Shared<Kafka> = Shared::new();
    spawn_blocking(|| KAFKA.get(Kafka::start_blocking)).await?
}

/// What the S3 store's script sets.
pub const S3_ACCESS_KEY: &str = "test-access";
pub const S3_SECRET_KEY: &str = "test-secret";

/// An S3-compatible object store of its own.
pub struct S3 {
    service: Arc<Service>,
    endpoint: String,
    root: PathBuf,
}

impl S3 {
    /// # Errors
    /// It does not start.
    pub async fn start() -> Result<Self> {
        let service = spawn_blocking(|| Service::start("s3s.sh")).await??;
        let (endpoint, root) = (service.setting("S3_ENDPOINT")?.to_owned(), service.setting("S3_ROOT")?.into());
        Ok(Self { service: Arc::new(service), endpoint, root })
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Makes a bucket; returns the folder where its objects lie as files.
    ///
    /// # Errors
    /// It exists.
    pub fn bucket(&self, name: &str) -> Result<PathBuf> {
        let folder = self.root.join(name);
        std::fs::create_dir(&folder).with_context(|| format!("bucket {name}"))?;
        Ok(folder)
    }

    /// kill -9.
    ///
    /// # Errors
    /// It does not run.
    pub async fn kill(&self) -> Result<()> {
        self.run("kill").await
    }

    /// Starts it again, on its data and its port.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_again(&self) -> Result<()> {
        self.run("start").await
    }

    async fn run(&self, verb: &'static str) -> Result<()> {
        let service = self.service.clone();
        spawn_blocking(move || service.run(verb)).await??;
        Ok(())
    }
}

/// A new bucket in the InfluxDB that all scenarios share.
///
/// # Errors
/// It does not start, or the bucket exists.
pub async fn bucket(name: &str) -> Result<Influx> {
    static INFLUXD: Shared<Service> = Shared::new();
    let service = spawn_blocking(|| INFLUXD.get(|| Service::start("influxd.sh"))).await??;
    let setting = |key| service.setting(key).map(str::to_owned);
    let influx = Influx::new(setting("INFLUX_URL")?, setting("INFLUX_ORG")?, setting("INFLUX_TOKEN")?, name)?;
    influx.create_bucket().await?;
    Ok(influx)
}

/// Started by who asks first; the others wait for it. A failed start is tried again by the next.
struct Shared<T>(Mutex<Option<Arc<T>>>);

impl<T> Shared<T> {
    const fn new() -> Self {
        Self(Mutex::new(None))
    }

    fn get(&self, start: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = &*slot {
            return Ok(running.clone());
        }
        Ok(slot.insert(Arc::new(start()?)).clone())
    }
}

/// Directory of this test process: PIDs, logs and data of all that it starts. The guard deletes it.
pub fn run_dir() -> &'static Path {
    static RUN: OnceLock<(PathBuf, Child)> = OnceLock::new();
    let (dir, _guard) = RUN.get_or_init(|| start_guard().expect("a temporary directory and bash are needed"));
    dir
}

/// The child's stdin stays open for as long as this process lives.
fn start_guard() -> Result<(PathBuf, Child)> {
    let dir = tempfile::Builder::new().prefix("gateway-tests-").tempdir()?.keep();
    let guard = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("services/guard.sh"))
        .arg(&dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    Ok((dir, guard))
}
