//! Configuration: raw text in, proven values out; the rest of the code never asks whether something is set.
//!
//! # What
//! A TOML file, the environment and flags become a [`Config`], with nothing optional that has a default.
//!
//! # Invariants
//! - All faults are reported at once, each with its place, the line and what to do; a syntax error is the one fault then.
//! - Flags win over `GATEWAY_*`, these over the file, that over the default; [`Effective`] tells which one it was.
//! - Secrets come from files or variables alone, and no message, listing or `Debug` shows one.
//!
//! # Flow
//! ```text
//! text ─▶ source (lines, places) ─▶ reader (one key at a time, notes faults and origins) ─▶ file (which keys there are) ─▶ Config
//! ```
//!
//! # Not here
//! Connecting anywhere, making directories.

mod durations;
mod effective;
mod faults;
mod file;
mod filters;
mod nearest;
mod overrides;
mod reader;
mod secrets;
mod sizes;
mod source;
#[cfg(test)]
mod tests;
mod urls;
mod values;
mod warnings;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use firmware_protocol::decode::{Decoder, Route};
use toml::de::DeTable;

use crate::{alert, clock, detect, forward, frames, http, ingest, queue};

pub use effective::Effective;
pub use faults::{Fault, Faults, Place};
pub use overrides::{Environment, Overrides};

use reader::Reader;
use source::Source;

/// Longest configuration file, bytes: a larger one is not a configuration file.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// The whole gateway, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub gateway: Gateway,
    /// `None`: no page, no metrics.
    pub http: Option<Http>,
    pub queue: queue::Config,
    pub mqtt: Vec<ingest::MqttConfig>,
    pub listen: Option<ingest::ListenConfig>,
    pub serial: Vec<ingest::SerialConfig>,
    /// Watched folders.
    pub csv: Vec<ingest::csv::FolderConfig>,
    pub upload: Option<ingest::csv::UploadConfig>,
    pub decode: Vec<Route>,
    pub frames: frames::Config,
    pub clock: clock::Config,
    /// `None`: detection is off; records are forwarded all the same.
    pub detect: Option<detect::Config>,
    pub sinks: Vec<forward::SinkConfig>,
    /// Who is told of incidents.
    pub alerts: Vec<alert::Config>,
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
    /// Who may send messages; none: whoever reaches the address.
    pub tokens: Vec<ingest::access::tokens::TokenConfig>,
    /// `None`: connections are plain TCP.
    pub tls: Option<ingest::tls::ServerConfig>,
    /// Whether page and metrics need no token, though `bind` is no loopback address.
    pub open_reading: bool,
    pub limits: http::Limits,
    /// `None`: nothing is taken in by HTTP.
    pub ingest: Option<ingest::http::Config>,
}

impl Http {
    /// Page and metrics alone, all else by default.
    pub fn on(bind: SocketAddr) -> Self {
        Self { bind, tokens: Vec::new(), tls: None, open_reading: false, limits: http::Limits::default(), ingest: None }
    }
}

impl Config {
    /// Reads and proves the file at `path`, with what overrides it.
    ///
    /// # Errors
    /// All faults that were found.
    pub fn load(path: &Path, overrides: &Overrides) -> Result<Self, Faults> {
        Loaded::read(path, overrides).map(|loaded| loaded.config)
    }

    /// What the sinks encode with; the points of all who use the same are the same.
    pub fn encoding(&self, decoder: Arc<Decoder>, clock: clock::SharedClockMap) -> forward::Encoding {
        let labels = forward::Labels { gateway: self.gateway.name.clone(), site: self.gateway.site.clone() };
        forward::Encoding { labels, decoder, clock, future_max: self.clock.future_max }
    }

    /// As alerts name this gateway.
    pub fn alert_sender(&self) -> alert::Sender {
        alert::Sender { gateway: self.gateway.name.clone(), site: self.gateway.site.clone() }
    }

    /// Each sink has a directory of its name in it.
    pub fn quarantine_dir(&self) -> PathBuf {
        Self::quarantine_in(&self.gateway.data_dir)
    }

    pub fn quarantine_in(data_dir: &Path) -> PathBuf {
        data_dir.join("quarantine")
    }
}

/// The decoders of the file at `path`, or those of a configuration that names none. All else in it is passed over, so
/// that they can be tried without the rest, and without its secrets.
///
/// # Errors
/// The file cannot be read, or the faults of its `[[decode]]` tables.
pub fn decoders(path: Option<&Path>) -> Result<Vec<Route>, Faults> {
    path.map_or_else(|| Ok(Route::defaults()), |path| part_of(path, file::decode::read))
}

/// The decoders and the `[detect]` table of the file at `path`; all else is passed over. Detection that is switched off
/// has its defaults.
///
/// # Errors
/// The file cannot be read, or the faults of these tables.
pub fn detection(path: &Path) -> Result<(Vec<Route>, detect::Config), Faults> {
    part_of(path, file::detection).map(|(routes, detect)| (routes, detect.unwrap_or_default()))
}

fn part_of<T>(path: &Path, read: impl FnOnce(&mut Reader<'_>) -> T) -> Result<T, Faults> {
    let name = path.display().to_string();
    let text = read_text(path).map_err(|fault| Faults::new(&Source::new(&name, ""), vec![fault]))?;
    let source = Source::new(&name, &text);
    let root = parse(&source)?;
    let overrides = Overrides::default();
    let mut reader = Reader::new(&source, &root, &overrides);
    let part = read(&mut reader);
    reader.pass_over_the_rest();
    reader.finish().map(|_| part).map_err(|faults| Faults::new(&source, faults))
}

/// A duration as it is written in a configuration, for flags.
///
/// # Errors
/// How it is written.
pub fn duration(text: &str) -> Result<Duration, String> {
    durations::parse(text).ok_or_else(|| format!("is not a duration: write {}", durations::FORM))
}

/// A duration as a configuration has it.
pub fn shown(duration: Duration) -> String {
    durations::show(duration)
}

/// The length of windows, for flags: bounds as for `detect.window`.
///
/// # Errors
/// What is wrong with it, and what to write.
pub fn window(text: &str) -> Result<Duration, String> {
    let window = duration(text)?;
    file::detect::divides_a_day(&window).map_err(|wrong| format!("{}: {}", wrong.message, wrong.hint))?;
    Ok(window)
}

/// The distance of windows, for flags: bounds as for `detect.hop`, which depend on `window`.
///
/// # Errors
/// What is wrong with it, and what to write.
pub fn hop(hop: Duration, window: Duration) -> Result<(), String> {
    file::detect::divides_a_window(hop, window).map_err(|wrong| format!("{}\nhint: {}", wrong.message, wrong.hint))
}

fn parse(source: &Source) -> Result<DeTable<'_>, Faults> {
    DeTable::parse(source.text()).map(toml::Spanned::into_inner).map_err(|error| {
        let place = error.span().map_or(Place::File, |span| source.place(span));
        let hint = "mend the syntax first; other faults are looked for after that";
        let fault = Fault::new(place, format!("not TOML: {}", error.message()), hint);
        Faults::new(source, vec![fault])
    })
}

/// A configuration together with where its values came from: what `gateway check` works on.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub effective: Effective,
    /// Directories that the gateway will write to.
    pub directories: Vec<Directory>,
    /// Certificates and users that the gateway will read.
    pub credentials: Vec<Credentials>,
    source: Source,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    pub path: PathBuf,
    /// Where the configuration names it.
    pub place: Place,
}

/// Files that prove who someone is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Where the configuration names them.
    pub place: Place,
    pub of: CredentialsOf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialsOf {
    /// The gateway's own, at a door.
    Door {
        door: &'static str,
        tls: ingest::tls::ServerConfig,
    },
    /// Its own, and its CA's, for a broker.
    Broker {
        name: String,
        tls: ingest::tls::ClientConfig,
    },
    /// The server's CA, and the gateway's own for it.
    Sink {
        name: String,
        tls: ingest::tls::ClientConfig,
    },
    Users {
        path: PathBuf,
    },
}

impl Loaded {
    /// See [`Config::load`].
    ///
    /// # Errors
    /// All faults that were found.
    pub fn read(path: &Path, overrides: &Overrides) -> Result<Self, Faults> {
        let name = path.display().to_string();
        let text = read_text(path).map_err(|fault| Faults::new(&Source::new(&name, ""), vec![fault]))?;
        Self::parse(&name, &text, overrides)
    }

    /// The same for a text that was read from the file `name`.
    ///
    /// # Errors
    /// All faults that were found.
    pub fn parse(name: &str, text: &str, overrides: &Overrides) -> Result<Self, Faults> {
        let source = Source::new(name, text);
        let root = parse(&source)?;
        let mut reader = Reader::new(&source, &root, overrides);
        let (config, named) = file::read(&mut reader);
        match reader.finish() {
            Ok(effective) => {
                drop(root);
                let file::Named { directories, credentials } = named;
                Ok(Self { config, effective, directories, credentials, source })
            }
            Err(faults) => Err(Faults::new(&source, faults)),
        }
    }

    /// Puts faults that were found later, in the world, into the same form.
    pub fn faults(&self, faults: Vec<Fault>) -> Faults {
        Faults::new(&self.source, faults)
    }
}

fn read_text(path: &Path) -> Result<String, Fault> {
    let fault = |message: String, hint: &str| Fault::new(Place::File, message, hint);
    let start_from = "name an existing file with `--config`; `gateway.example.toml` is one to start from";
    let size = fs::metadata(path).map_err(|e| fault(format!("cannot be read: {e}"), start_from))?.len();
    if size > FILE_MAX_BYTES {
        let message = format!("is {size} bytes, the limit is {FILE_MAX_BYTES}");
        return Err(fault(message, start_from));
    }
    let bytes = fs::read(path).map_err(|e| fault(format!("cannot be read: {e}"), start_from))?;
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        fault(format!("is not UTF-8: the byte at offset {at} is wrong"), "save the file as UTF-8")
    })
}
