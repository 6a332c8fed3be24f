//! Configuration: TOML to proven values. A wrong file gives line, column and the known keys.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use firmware_protocol::decode::{Decoder, Route};
use serde::Deserialize;

mod archive;
mod grafana;
mod influx;
mod kafka;
mod secret;
mod security;
mod setup;

pub use archive::{Archive, Keys, Place, S3};
pub use grafana::Grafana;
pub use influx::{Batch, Influx};
pub use kafka::Kafka;
pub use secret::Secret;
pub use security::{Login, Mechanism, Security, Tls};
pub use setup::{Setup, retention};

use archive::ArchiveFile;
use grafana::GrafanaFile;
use influx::InfluxFile;
use kafka::KafkaFile;

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
    key: String,
    fault: String,
}

impl Fault {
    fn new(key: impl Into<String>, fault: impl Into<String>) -> Self {
        Self { key: key.into(), fault: fault.into() }
    }
}

/// The whole of cloud-sink, resolved. `Debug` shows no secret.
#[derive(Debug)]
pub struct Config {
    pub kafka: Kafka,
    /// `None`: there is no role influx.
    pub influx: Option<Influx>,
    /// `None`: there is no role archive.
    pub archive: Option<Archive>,
    pub http: Option<SocketAddr>,
    pub decoder: Decoder,
    /// A reading further ahead of the received time gets the received time.
    pub future_max: Duration,
    pub batch: Batch,
    pub setup: Setup,
    pub grafana: Option<Grafana>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    kafka: KafkaFile,
    influx: Option<InfluxFile>,
    archive: Option<ArchiveFile>,
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
struct HttpFile {
    bind: SocketAddr,
}

fn default_future_max_s() -> u64 {
    3_600
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
        let kafka = file.kafka.resolve()?;
        let influx = file.influx.map(InfluxFile::resolve).transpose()?;
        let archive = file.archive.map(ArchiveFile::resolve).transpose()?;
        let batch = file.batch.check()?;
        if file.future_max_s == 0 {
            return Err(Fault::new("future_max_s", "must be above 0: clocks are never quite equal"));
        }
        let future_max = Duration::from_secs(file.future_max_s);
        let routes = if file.decode.is_empty() { Route::defaults() } else { file.decode };
        let decoder = Decoder::new(routes).map_err(|fault| Fault::new("decode", fault))?;
        file.setup.check()?;
        let (setup, grafana) = (file.setup, file.grafana.map(GrafanaFile::resolve).transpose()?);
        let http = file.http.map(|h| h.bind);
        Ok(Self { kafka, influx, archive, http, decoder, future_max, batch, setup, grafana })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roles::Role;

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
    fn offsets_stay_where_they_were_before_there_were_roles() {
        let groups = |text: &str| Role::ALL.map(|role| load(text).unwrap().kafka.group_of(role));
        assert_eq!(groups(KAFKA), ["cloud-sink-influx", "cloud-sink-archive"]);
        assert_eq!(groups(&format!("{KAFKA}group = \"plant\"\n")), ["plant", "plant-archive"]);
    }

    #[test]
    fn an_archive_lies_in_a_folder_or_in_a_bucket_and_nowhere_else() {
        let place = |keys: &str| load(&format!("{KAFKA}[archive]\n{keys}")).map(|c| c.archive.unwrap().place);
        let Ok(Place::Folder(folder)) = place("url = \"file:///srv/archive\"") else { panic!("a folder") };
        assert_eq!(folder, Path::new("/srv/archive"));
        let keys = "url = \"s3://lake/plant/a/\"\nendpoint = \"http://127.0.0.1:9000\"\naccess_key_env = \"PATH\"\n";
        let Ok(Place::S3(s3)) = place(&format!("{keys}secret_key_env = \"PATH\"")) else { panic!("a bucket") };
        assert_eq!((s3.bucket.as_str(), s3.prefix.as_str(), s3.path_style), ("lake", "plant/a", true));
        assert!(!format!("{s3:?}").contains(&std::env::var("PATH").unwrap()));
        assert!(place(keys).unwrap_err().contains("both, or neither"));
        for wrong in ["/srv", "file://relative", "http://h/b", "s3://"] {
            assert!(place(&format!("url = \"{wrong}\"")).unwrap_err().starts_with("archive.url"), "{wrong}");
        }
        assert!(place("url = \"file:///a\"\nmax_bytes = 1000").unwrap_err().contains("1000 is not from"));
    }

    #[test]
    fn a_connection_to_kafka_is_plain_or_protected_as_a_whole() {
        let kafka = |keys: &str| load(&format!("{KAFKA}{keys}"));
        let whole =
            "tls = true\ntls_ca_file = \"/ca\"\nsasl = \"scram-sha-512\"\nusername = \"u\"\npassword_env = \"PATH\"\n";
        let shown = format!("{:?}", kafka(whole).unwrap());
        assert!(!shown.contains(&std::env::var("PATH").unwrap()));
        for (half, fault) in [
            ("tls_ca_file = \"/ca\"", "kafka.tls: is false"),
            ("tls = true\ntls_key_file = \"/k\"", "kafka.tls_cert_file"),
            ("username = \"u\"", "kafka.sasl: is \"none\""),
            ("sasl = \"plain\"\nusername = \"u\"", "kafka.sasl: wants"),
            ("sasl = \"gssapi\"", "gssapi"),
        ] {
            let told = kafka(half).unwrap_err();
            assert!(told.contains(fault), "{half}: {told}");
        }
    }

    #[test]
    fn the_example_file_shows_the_defaults() {
        let text = include_str!("../../cloud-sink.example.toml")
            .replace("token_file = \"/etc/cloud-sink/influx.token\"", "token_env = \"PATH\"");
        let config = load(&text).unwrap();
        assert_eq!(config.kafka.topic_prefix, kafka::default_prefix());
        assert_eq!(config.kafka.group, kafka::default_group());
        assert_eq!(config.future_max, Duration::from_secs(default_future_max_s()));
        let least = format!("{KAFKA}[archive]\nurl = \"file:///var/lib/cloud-sink/archive\"\n");
        let wanted = load(&least).unwrap();
        assert_eq!(format!("{:?}", config.archive), format!("{:?}", wanted.archive));
        assert_eq!(config.kafka.session_timeout(), wanted.kafka.session_timeout());
    }
}
