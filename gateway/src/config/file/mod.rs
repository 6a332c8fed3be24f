//! Which tables and keys there are, their defaults and bounds, and what must hold between them.

mod alerts;
mod clock;
mod csv;
pub(super) mod decode;
pub(super) mod detect;
mod doors;
mod frames;
mod http;
mod kafka;
mod mqtt_sink;
mod publishing;
mod queue;
mod security;
mod serial;
mod servers;
mod sink_filter;
mod sinks;
mod webhook;

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use firmware_protocol::decode::Route;

use super::faults::Place;
use super::reader::{Reader, Section};
use super::values::Wrong;
use super::{Config, Credentials, CredentialsOf, Directory, Gateway, Http};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Names end up in tags, metrics and file names, which have to stay short.
const NAME_MAX: usize = 64;

/// What the configuration names in the file system, and the gateway will use.
#[derive(Default)]
pub(super) struct Named {
    pub(super) directories: Vec<Directory>,
    pub(super) credentials: Vec<Credentials>,
}

/// Reads all tables; what is returned is of use only if the reader noted no fault.
pub(super) fn read(reader: &mut Reader<'_>) -> (Config, Named) {
    let mut named = Named::default();
    let (gateway, data_place) = gateway(reader);
    let (http, http_place) = http(reader, &mut named);
    let mqtt = doors::mqtt(reader, &gateway.name, &mut named);
    let (listen, listen_place) = doors::listen(reader, &mut named);
    let serial = serial::read(reader);
    let (csv, csv_directories) = csv::folders(reader, &gateway.data_dir);
    let upload = csv::upload(reader, &gateway.data_dir);
    if upload.is_some() && http.is_none() {
        let hint = "take [upload] out, or let `http.enabled` be true";
        reader.fault(http_place.clone(), "[upload] is answered by [http], which is not enabled", hint);
    }
    let takes_http = http.as_ref().is_some_and(|http| http.ingest.is_some());
    let doors = ["mqtt", "listen", "serial", "csv", "upload"];
    if !takes_http && !doors.iter().any(|door| reader.has(door)) {
        let hint = "add [listen], so that sensors can connect, [[mqtt]] with a broker to dial, [[serial]] with a line or \
                    [[csv]] with a folder; or set `http.ingest`";
        reader.fault(Place::File, "has no door: nothing can come in", hint);
    }
    if let (Some(http), Some(listen)) = (&http, &listen)
        && http.bind == listen.bind
        && http.bind.port() != 0
    {
        let message = format!("`http.bind` and `listen.bind` are both {}", http.bind);
        reader.fault(http_place.max(listen_place), message, "give one of them another port");
    }
    let decode = decode::read(reader);
    let frames = frames::read(reader);
    let clock = clock::read(reader);
    let detect = detect::read(reader, &clock);
    let queue = queue::read(reader, &gateway.data_dir, detect.as_ref());
    let (sinks, directories) = sinks::read(reader, &gateway, &queue.dir, &mut named);
    let alerts = alerts::read(reader, &gateway, &mut named);
    if !alerts.is_empty() && detect.is_none() {
        let hint = "let `detect.enabled` be true, or take the [[alert]] tables out";
        reader.fault(Place::File, "[[alert]] tells of incidents, and detection is off", hint);
    }
    named.directories.push(Directory { path: gateway.data_dir.clone(), place: data_place });
    named.directories.extend(directories);
    named.directories.extend(csv_directories);
    (
        Config {
            gateway,
            http,
            queue,
            mqtt,
            listen,
            serial,
            csv,
            upload,
            decode,
            frames,
            clock,
            detect,
            sinks,
            alerts,
        },
        named,
    )
}

/// What a batch run of detection needs of a configuration.
pub(super) fn detection(reader: &mut Reader<'_>) -> (Vec<Route>, Option<crate::detect::Config>) {
    let routes = decode::read(reader);
    let clock = clock::read(reader);
    (routes, detect::read(reader, &clock))
}

fn gateway(reader: &mut Reader<'_>) -> (Gateway, Place) {
    let overrides = reader.overrides();
    let mut s = reader.table("gateway");
    let mut name = s.overridable("name", String::new(), ("--name", &overrides.name), "GATEWAY_NAME", |name| {
        if name.is_empty() { Ok(()) } else { tag(name) }
    });
    if name.is_empty() {
        overrides.environment.host_name().clone_into(&mut name);
        s.stands_for("name", &name);
    }
    let site = s.checked("site", String::new(), |site| if site.is_empty() { Ok(()) } else { tag(site) });
    let flag = ("--data-dir", &overrides.data_dir);
    let data_dir =
        s.overridable("data_dir", PathBuf::from("/var/lib/gateway"), flag, "GATEWAY_DATA_DIR", |dir| not_nowhere(dir));
    let shutdown_grace = s.within("shutdown_grace", 10 * SECOND, Duration::ZERO..=10 * MINUTE);
    let place = s.place("data_dir");
    s.finish();
    (Gateway { name, site, data_dir, shutdown_grace }, place)
}

fn http(reader: &mut Reader<'_>, named: &mut Named) -> (Option<Http>, Place) {
    let overrides = reader.overrides();
    let mut s = reader.table("http");
    let enabled = s.value("enabled", true);
    let default = ([127, 0, 0, 1], 8080).into();
    let bind = s.overridable("bind", default, ("--http", &overrides.http_bind), "GATEWAY_HTTP_BIND", |_| Ok(()));
    let tls = security::server(&mut s);
    if let Some(tls) = &tls {
        let of = CredentialsOf::Door { door: "http", tls: tls.clone() };
        named.credentials.push(Credentials { place: s.place("tls_cert_file"), of });
    }
    let open_reading = s.value("open_reading", false);
    let limits = http::limits(&mut s);
    let ingest = http::ingest(&mut s);
    let tokens = security::tokens(&mut s);
    security::http_is_guarded(&mut s, bind, &tokens);
    let place = s.place("bind");
    s.finish();
    (enabled.then_some(Http { bind, tls, tokens, open_reading, limits, ingest }), place)
}

/// A key `name` of a broker, line or sink: part of metrics, cursors and file names.
fn name(s: &mut Section<'_, '_>, default: &str) -> String {
    s.checked("name", default.to_owned(), |name| is_name(name))
}

fn is_name(name: &str) -> Result<(), Wrong> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(allowed) {
        let hint = format!("1 to {NAME_MAX} of a-z, 0-9, - and _");
        return Err(Wrong::new(format!("is {name:?}, which cannot be a name here"), hint));
    }
    Ok(())
}

/// A value that becomes a tag of each point.
fn tag(text: &str) -> Result<(), Wrong> {
    not_empty(text)?;
    if text.len() > NAME_MAX {
        return Err(Wrong::new(
            format!("is {} bytes long, the limit is {NAME_MAX}", text.len()),
            "choose a shorter one",
        ));
    }
    Ok(())
}

fn not_empty(text: &str) -> Result<(), Wrong> {
    if text.trim().is_empty() {
        return Err(Wrong::new("is empty", "write a text that is not empty"));
    }
    if text.chars().any(char::is_control) {
        return Err(Wrong::new("contains control characters", "write printable characters only"));
    }
    Ok(())
}

fn not_nowhere(path: &Path) -> Result<(), Wrong> {
    if path.as_os_str().is_empty() { Err(Wrong::new("is empty", "name a directory")) } else { Ok(()) }
}

/// The absolute path without `.` and `..`, as far as that can be told without the file system.
fn normal(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut out = PathBuf::new();
    for component in absolute.components() {
        match component {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => out.push(component),
        }
    }
    out
}
