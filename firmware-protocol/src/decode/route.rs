//! One `[[decode]]` table of the configuration: its keys, their defaults, and what can be wrong with it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use super::channel::Channel;
use super::paths::Path;
use super::tags::{self, Tags};
use super::{CHANNEL_NAME_MAX_BYTES, CHANNELS_MAX};
use crate::time;
use crate::topic::Pattern;

/// One `[[decode]]` table of the configuration. Texts that are left out are empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// Names the decoder wherever its records go; empty: the topic pattern does.
    pub id: String,
    /// Of the decoder's meaning: a reader that knows an earlier one alone keeps the record aside.
    pub version: u32,
    /// Topic pattern: MQTT wildcards `+` and `#`, and `{device}` or `{channel}` for a level that names one; any other
    /// `{name}` makes a tag of that name.
    pub topic: String,
    pub format: Format,
    /// Path of the field that names the device, where the topic does not.
    #[serde(deserialize_with = "none_if_empty")]
    pub device_field: Option<String>,
    /// Path of the field with the event time; absent or missing: the received time.
    #[serde(deserialize_with = "none_if_empty")]
    pub time_field: Option<String>,
    pub time_unit: TimeUnit,
    /// How times are written that are text of another form than RFC 3339: see [`time::Pattern`].
    pub time_format: String,
    /// How far the clock that wrote such texts is ahead of UTC, if they do not say: `+01:00`.
    pub utc_offset: String,
    /// Path of an array whose elements are messages of their own; paths then begin in the element.
    pub each: String,
    pub fields: Fields,
    /// Paths that are passed over with all below them.
    pub ignore: Vec<String>,
    /// Tags of all points; values may have `{name}` for levels that the topic names.
    pub tags: BTreeMap<String, String>,
    /// Names of the cells of a CSV line, empty for one to pass over; none: the payload's first line has them.
    pub columns: Vec<String>,
    /// One character, or `tab`.
    pub delimiter: String,
    /// Channel name of a bare scalar, where the topic has no `{channel}`.
    /// Where it has one, JSON fields become `{channel}.field`, and a field of this name just `{channel}`.
    pub channel: String,
    /// InfluxDB measurement that the readings go to.
    pub measurement: String,
    pub channels: Vec<Channel>,
}

impl Default for Route {
    fn default() -> Self {
        Self {
            id: String::new(),
            version: 1,
            topic: "#".into(),
            format: Format::Auto,
            device_field: None,
            time_field: Some("ts".into()),
            time_unit: TimeUnit::Auto,
            time_format: String::new(),
            utc_offset: "+00:00".into(),
            each: String::new(),
            fields: Fields::All,
            ignore: Vec::new(),
            tags: BTreeMap::new(),
            columns: Vec::new(),
            delimiter: ",".into(),
            channel: "value".into(),
            measurement: "sensor".into(),
            channels: Vec::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Sparkplug if the topic is one of its namespace, else a frame if it starts with the frame magic, JSON if it starts with `{` or `[`, else a scalar.
    #[default]
    Auto,
    Frame,
    Json,
    /// A JSON object on each line.
    JsonLines,
    /// Cells with a delimiter between them, a reading of each column on each line (RFC 4180).
    Csv,
    /// InfluxDB line protocol.
    Line,
    /// A pack of RFC 8428, in JSON or CBOR.
    Senml,
    /// A CBOR map, or an array of them: the same as JSON.
    Cbor,
    /// Sparkplug B 3.0, on topics of its namespace.
    Sparkplug,
    Scalar,
}

impl Format {
    /// By the name in the configuration.
    pub const ALL: [(&'static str, Self); 10] = [
        ("auto", Self::Auto),
        ("frame", Self::Frame),
        ("json", Self::Json),
        ("json_lines", Self::JsonLines),
        ("csv", Self::Csv),
        ("line", Self::Line),
        ("senml", Self::Senml),
        ("cbor", Self::Cbor),
        ("sparkplug", Self::Sparkplug),
        ("scalar", Self::Scalar),
    ];

    /// Whether its payloads can tell the units of their readings.
    pub(super) fn tells_units(self) -> bool {
        match self {
            Self::Auto | Self::Frame | Self::Senml | Self::Sparkplug => true,
            Self::Json | Self::JsonLines | Self::Csv | Self::Line | Self::Cbor | Self::Scalar => false,
        }
    }
}

/// Which of a payload's values become readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fields {
    /// Every number, `true` and `false`; arrays only where a path names their elements.
    #[default]
    All,
    /// What a `[[decode.channels]]` table names, at whatever depth; all else is skipped.
    Listed,
}

impl Fields {
    pub const ALL: [(&'static str, Self); 2] = [("all", Self::All), ("listed", Self::Listed)];
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeUnit {
    /// RFC 3339 text, or a number whose size tells s, ms, µs or ns (true for 1973 to 5138).
    #[default]
    Auto,
    S,
    Ms,
    Us,
    Ns,
    Rfc3339,
}

impl TimeUnit {
    pub const ALL: [(&'static str, Self); 6] = [
        ("auto", Self::Auto),
        ("s", Self::S),
        ("ms", Self::Ms),
        ("us", Self::Us),
        ("ns", Self::Ns),
        ("rfc3339", Self::Rfc3339),
    ];
}

/// A key that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteFault {
    /// The key in the configuration.
    pub field: &'static str,
    pub message: String,
}

impl RouteFault {
    pub(super) fn new(field: &'static str, message: impl Into<String>) -> Self {
        Self { field, message: message.into() }
    }
}

impl fmt::Display for RouteFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl Route {
    /// Most `channels`, `ignore` and `columns`: as many as a message may have channels.
    pub const LIST_MAX: usize = CHANNELS_MAX;

    /// What a configuration without routes means: objects and frames on `sensors/{device}/telemetry`, one channel a
    /// topic on `sensors/{device}/{channel}`, and on any other topic a device of the topic's name.
    pub fn defaults() -> Vec<Self> {
        ["sensors/{device}/telemetry", "sensors/{device}/{channel}", "#"]
            .map(|topic| Self { topic: topic.to_owned(), ..Self::default() })
            .into()
    }

    /// What names the decoder: its id, or its topic pattern if it has none.
    pub fn decoder_id(&self) -> &str {
        if self.id.is_empty() { &self.topic } else { &self.id }
    }

    /// The first of these routes that calls itself as one before it does, which with the same topic would never be asked.
    pub fn repeated(routes: &[Self]) -> Option<(usize, RouteFault)> {
        let first_of = |id: &str| routes.iter().position(|route| route.decoder_id() == id);
        let mut firsts = routes.iter().map(|route| first_of(route.decoder_id()).unwrap_or_default()).enumerate();
        let (i, first) = firsts.find(|(i, first)| i != first)?;
        let (id, first) = (routes.get(i)?.decoder_id(), first + 1);
        Some((
            i,
            RouteFault::new("id", format!("`{id}` is what route {first} is called, too: give each an `id` of its own")),
        ))
    }

    /// What is wrong with the route's own keys; with those of its channels: [`Channel::faults`]. If there is neither, a
    /// [`super::Decoder`] takes it.
    pub fn faults(&self) -> Vec<RouteFault> {
        let mut faults = Vec::new();
        let mut note = |field: &'static str, result: Result<(), String>| {
            faults.extend(result.err().map(|message| RouteFault { field, message }));
        };
        note("topic", self.pattern().map(drop).map_err(|fault| fault.message));
        if let Ok(pattern) = self.pattern() {
            note("topic", tags::check_names(&pattern));
            note("tags", Tags::new(&self.tags, &pattern).map(drop));
        }
        let id = self.decoder_id();
        for (field, name) in [("id", id), ("channel", &self.channel), ("measurement", &self.measurement)] {
            note(field, check_name(name));
        }
        // InfluxDB keeps `_…` to itself, and takes a line that begins with `#` for a comment.
        if self.measurement.starts_with(['_', '#']) {
            note("measurement", Err(format!("`{}` may not begin with `_` or `#` in InfluxDB", self.measurement)));
        }
        if let Some(path) = &self.device_field {
            let path = check_name(path).and_then(|()| Path::new(path));
            note("device_field", path.and_then(|path| path.one("a single value")));
        }
        if let Some(path) = &self.time_field {
            note("time_field", check_name(path).and_then(|()| Path::new(path)).map(drop));
        }
        if !self.each.is_empty() {
            note("each", Path::new(&self.each).and_then(|path| path.one("an array by its own path, without [*]")));
        }
        for path in &self.ignore {
            note("ignore", Path::new(path).map(drop));
        }
        note("utc_offset", self.east_s().map(drop));
        note("time_format", self.time_pattern().map(drop));
        note("delimiter", self.delimiter_byte().map(drop));
        for name in self.columns.iter().filter(|name| !name.is_empty()) {
            note("columns", check_name(name));
        }
        if let Some(name) = repeated(&self.columns) {
            note("columns", Err(format!("`{name}` is there twice")));
        }
        if let Some(path) = repeated(&self.channels.iter().map(|c| c.path.clone()).collect::<Vec<_>>()) {
            note("channels", Err(format!("path `{path}` is there twice")));
        }
        for channel in &self.channels {
            note("channels", self.elements_have_times(channel));
            let is = |field: &Option<String>| field.as_ref() == Some(&channel.path);
            if is(&self.time_field) || is(&self.device_field) {
                note("channels", Err(format!("path `{}` is that of the time or the device already", channel.path)));
            }
        }
        if self.fields == Fields::Listed && self.channels.is_empty() {
            note("fields", Err("is \"listed\", and no [[decode.channels]] lists any".into()));
        }
        for (field, length) in
            [("channels", self.channels.len()), ("ignore", self.ignore.len()), ("columns", self.columns.len())]
        {
            if length > Self::LIST_MAX {
                note(field, Err(format!("{length} entries are beyond the limit of {}", Self::LIST_MAX)));
            }
        }
        faults
    }

    /// Objects in an array are samples of different times: each must have its own.
    fn elements_have_times(&self, channel: &Channel) -> Result<(), String> {
        let Ok(path) = Path::new(&channel.path) else { return Ok(()) };
        let Some(objects) = path.objects() else { return Ok(()) };
        let time = self.time_field.as_deref().and_then(|path| Path::new(path).ok());
        if time.is_some_and(|time| time.objects() == Some(objects)) {
            return Ok(());
        }
        Err(format!(
            "path `{}` is of objects in an array, so `time_field` has to be in them, too: see `each`",
            channel.path
        ))
    }

    pub(super) fn pattern(&self) -> Result<Pattern, RouteFault> {
        Pattern::new(&self.topic).map_err(|e| RouteFault::new("topic", e.to_string()))
    }

    pub(super) fn time_pattern(&self) -> Result<Option<time::Pattern>, String> {
        if self.time_format.is_empty() { Ok(None) } else { time::Pattern::new(&self.time_format).map(Some) }
    }

    /// Seconds that the clock is ahead of UTC.
    pub(super) fn east_s(&self) -> Result<i64, String> {
        time::parse_offset(&self.utc_offset)
            .ok_or_else(|| format!("`{}` is no offset from UTC such as +01:00", self.utc_offset))
    }

    pub(super) fn delimiter_byte(&self) -> Result<u8, String> {
        match self.delimiter.as_bytes() {
            b"tab" => Ok(b'\t'),
            [byte @ (b'\t' | b' '..=b'~')] if !byte.is_ascii_alphanumeric() && !b"\"+-.".contains(byte) => Ok(*byte),
            _ => Err(format!("`{}` is neither a single character such as , ; | nor \"tab\"", self.delimiter)),
        }
    }
}

/// An empty text is how a table says that there is no such field, though there is one by default.
fn none_if_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(deserializer).map(|text: Option<String>| text.filter(|text| !text.is_empty()))
}

fn repeated(names: &[String]) -> Option<&str> {
    let seen = |i: usize, name: &String| names.iter().take(i).any(|other| other == name);
    names.iter().enumerate().find(|(i, name)| !name.is_empty() && seen(*i, name)).map(|(_, name)| name.as_str())
}

/// A name of a field, channel or measurement.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("is empty: give a name or leave the key out".to_owned());
    }
    if name.len() > CHANNEL_NAME_MAX_BYTES {
        return Err(format!("{} bytes are beyond the limit of {CHANNEL_NAME_MAX_BYTES}", name.len()));
    }
    if name.chars().any(char::is_control) { Err(format!("{name:?} has control characters")) } else { Ok(()) }
}
