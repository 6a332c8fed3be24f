//! Configuration: TOML to proven values. A wrong file gives line, column and the known keys.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use firmware_protocol::decode::{Decoder, Route};
use serde::Deserialize;

use crate::setup::config::{Grafana, GrafanaFile, Setup};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "{path}: cannot be read: {source}\n  hint: name an existing file with --config; `cloud-sink.example.toml` is one to start from"
    )]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}: {}\n  hint: `cloud-sink.example.toml` shows every option", fault.to_string().trim_end())]
    Syntax { path: PathBuf, fault: Box<toml::de::Error> },
    #[error("{path}: {fault}")]
    Value { path: PathBuf, fault: Fault },
}

/// A value that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {fault}")]
pub struct Fault {
    key: &'static str,
    fault: String,
}

impl Fault {
    pub(crate) fn new(key: &'static str, fault: impl Into<String>) -> Self {
        Self { key, fault: fault.into() }
    }
}

/// The whole of cloud-sink, resolved. `Debug` shows no secret.
#[derive(Debug)]
pub struct Config {
    pub kafka: Kafka,
    pub influx: Influx,
    pub http: Option<SocketAddr>,
    pub decoder: Decoder,
    /// A reading further ahead of the received time gets the received time.
    pub future_max: Duration,
    pub batch: Batch,
    pub setup: Setup,
    pub grafana: Option<Grafana>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kafka {
    /// host:port, several separated by commas.
    pub bootstrap: String,
    /// Topics are `{prefix}.raw`, `.windows`, `.anomalies`, `.gaps`, `.dead-letters`.
    #[serde(default = "default_prefix")]
    pub topic_prefix: String,
    /// Processes of one group share the work.
    #[serde(default = "default_group")]
    pub group: String,
}

#[derive(Clone)]
pub struct Influx {
    pub url: String,
    pub org: String,
    pub bucket: String,
    token: String,
}

impl Influx {
    pub fn token(&self) -> &str {
        &self.token
    }
}

impl std::fmt::Debug for Influx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { url, org, bucket, token: _ } = self;
        f.debug_struct("Influx")
            .field("url", url)
            .field("org", org)
            .field("bucket", bucket)
            .field("token", &"***")
            .finish()
    }
}

/// When a batch is full.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Batch {
    pub records_max: usize,
    /// Bytes of line protocol before compression.
    pub max_bytes: usize,
    /// A batch that is not full goes out after this many milliseconds.
    pub max_age_ms: u64,
}

impl Default for Batch {
    fn default() -> Self {
        Self { records_max: 5_000, max_bytes: 1 << 20, max_age_ms: 500 }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    kafka: Kafka,
    influx: InfluxFile,
    #[serde(default)]
    http: Option<HttpFile>,
    #[serde(default)]
    decode: Vec<Route>,
    #[serde(default = "default_future_max_s")]
    future_max_s: u64,
    #[serde(default)]
    batch: Batch,
    #[serde(default)]
    setup: Setup,
    #[serde(default)]
    grafana: Option<GrafanaFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InfluxFile {
    url: String,
    org: String,
    bucket: String,
    token_file: Option<PathBuf>,
    token_env: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpFile {
    bind: SocketAddr,
}

fn default_prefix() -> String {
    "sensors".into()
}

fn default_future_max_s() -> u64 {
    3_600
}

fn default_group() -> String {
    "cloud-sink-influx".into()
}

impl Config {
    /// # Errors
    /// The file cannot be read, or what is wrong in it and where.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.into(), source })?;
        let file: File = toml::from_str(&text).map_err(|e| Error::Syntax { path: path.into(), fault: Box::new(e) })?;
        Self::resolve(file).map_err(|fault| Error::Value { path: path.into(), fault })
    }

    fn resolve(file: File) -> Result<Self, Fault> {
        let InfluxFile { url, org, bucket, token_file, token_env } = file.influx;
        let parsed =
            reqwest::Url::parse(&url).map_err(|e| Fault { key: "influx.url", fault: format!("{url}: {e}") })?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.host().is_none() {
            return Err(Fault {
                key: "influx.url",
                fault: format!("{url}: wanted http://host:port or https://host:port"),
            });
        }
        let token = read_token(token_file, token_env)?;
        let batch = file.batch;
        if batch.records_max == 0 || batch.max_bytes == 0 || batch.max_age_ms == 0 {
            return Err(Fault { key: "batch", fault: "records_max, max_bytes and max_age_ms must be above 0".into() });
        }
        if file.future_max_s == 0 {
            return Err(Fault { key: "future_max_s", fault: "must be above 0: clocks are never quite equal".into() });
        }
        let future_max = Duration::from_secs(file.future_max_s);
        let routes = if file.decode.is_empty() { Route::defaults() } else { file.decode };
        let decoder = Decoder::new(routes).map_err(|fault| Fault { key: "decode", fault: fault.to_string() })?;
        let influx = Influx { url, org, bucket, token };
        file.setup.check()?;
        let (setup, grafana) = (file.setup, file.grafana.map(GrafanaFile::resolve).transpose()?);
        let http = file.http.map(|h| h.bind);
        Ok(Self { kafka: file.kafka, influx, http, decoder, future_max, batch, setup, grafana })
    }
}

fn read_token(file: Option<PathBuf>, env: Option<String>) -> Result<String, Fault> {
    match (file, env) {
        (Some(path), None) => std::fs::read_to_string(&path)
            .map(|t| t.trim().to_owned())
            .map_err(|e| Fault { key: "influx.token_file", fault: format!("{}: {e}", path.display()) }),
        (None, Some(name)) => std::env::var(&name)
            .map_err(|_| Fault { key: "influx.token_env", fault: format!("the environment has no {name}") }),
        (None, None) | (Some(_), Some(_)) => {
            Err(Fault { key: "influx", fault: "wanted one of token_file and token_env".into() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, String> {
        let file: File = toml::from_str(text).map_err(|e| e.to_string())?;
        Config::resolve(file).map_err(|e| e.to_string())
    }

    const KAFKA: &str = "[kafka]\nbootstrap = \"127.0.0.1:9092\"\n";

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let fault = load("[kafka]\nbootstrap = \"h:1\"\ngruop = \"x\"\n").unwrap_err();
        assert!(fault.contains("line 3") && fault.contains("gruop"), "{fault}");
    }

    #[test]
    fn a_url_that_is_none_is_refused_before_the_client_sees_it() {
        let text = format!("{KAFKA}[influx]\nurl = \"influx\"\norg = \"o\"\nbucket = \"b\"\ntoken_env = \"PATH\"\n");
        assert!(load(&text).unwrap_err().starts_with("influx.url"));
    }

    #[test]
    fn the_token_never_shows_in_debug_output() {
        let text =
            format!("{KAFKA}[influx]\nurl = \"http://h:1\"\norg = \"o\"\nbucket = \"b\"\ntoken_env = \"PATH\"\n");
        let shown = format!("{:?}", load(&text).unwrap());
        assert!(!shown.contains(&std::env::var("PATH").unwrap()));
        assert!(shown.contains("***"));
    }

    #[test]
    fn the_example_file_is_valid() {
        let text = include_str!("../cloud-sink.example.toml")
            .replace("token_file = \"/etc/cloud-sink/influx.token\"", "token_env = \"PATH\"");
        let config = load(&text).unwrap();
        assert_eq!(config.kafka.topic_prefix, default_prefix());
        assert_eq!(config.kafka.group, default_group());
        assert_eq!(config.future_max, Duration::from_secs(default_future_max_s()));
    }
}
