//! A file of models: a line that says what it is, and a JSON object for each channel, then for each device's relation of
//! its channels; values in base64.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::in_file;
use crate::detect::{StoredChannel, StoredHead, StoredRelation};

const FORMAT: &str = "gateway-models";
/// 1 had no relations.
const VERSION: u32 = 2;
/// Longest line: a channel is some 300 KB, in base64 a third more.
const LINE_BYTES_MAX: u64 = 64 << 20;

#[derive(Serialize, Deserialize)]
struct Head {
    format: String,
    version: u32,
    #[serde(flatten)]
    stored: StoredHead,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Channel {
        device: String,
        channel: String,
        /// In base64.
        states: BTreeMap<String, String>,
    },
    Relation {
        device: String,
        channels: Vec<String>,
        /// In base64.
        model: String,
        memory: String,
    },
}

/// What a line after the first holds.
pub(super) enum Part {
    Channel(StoredChannel),
    Relation(StoredRelation),
}

pub(super) struct Writer(BufWriter<File>);

impl Writer {
    /// # Errors
    /// The file exists, or cannot be made.
    pub(super) fn new(path: &Path, stored: StoredHead) -> anyhow::Result<Self> {
        let file = File::create_new(path).with_context(|| {
            format!("{} cannot be made\nhint: name a file that does not exist yet: none is overwritten", path.display())
        })?;
        let mut writer = Self(BufWriter::new(file));
        writer.line(&Head { format: FORMAT.to_owned(), version: VERSION, stored })?;
        Ok(writer)
    }

    pub(super) fn put(&mut self, channel: &StoredChannel) -> std::io::Result<()> {
        let states = channel.states.iter().map(|(key, bytes)| (key.clone(), STANDARD.encode(bytes))).collect();
        self.line(&Line::Channel { device: channel.device.clone(), channel: channel.channel.clone(), states })
    }

    pub(super) fn put_relation(&mut self, relation: &StoredRelation) -> std::io::Result<()> {
        let StoredRelation { device, channels, model, memory } = relation;
        let (model, memory) = (STANDARD.encode(model), STANDARD.encode(memory));
        self.line(&Line::Relation { device: device.clone(), channels: channels.clone(), model, memory })
    }

    pub(super) fn finish(mut self) -> std::io::Result<()> {
        self.0.flush()?;
        self.0.get_ref().sync_all()
    }

    fn line<T: Serialize>(&mut self, value: &T) -> std::io::Result<()> {
        serde_json::to_writer(&mut self.0, value)?;
        self.0.write_all(b"\n")
    }
}

/// Gives each part of a file, and returns its head.
///
/// # Errors
/// The file cannot be read, is of another format or version, or `take` refuses a part.
pub(super) fn each(
    path: &Path,
    take: &mut dyn FnMut(StoredHead, Part) -> anyhow::Result<()>,
) -> anyhow::Result<StoredHead> {
    let mut from = BufReader::new(File::open(path).with_context(|| path.display().to_string())?);
    let (mut line, mut number, mut head) = (Vec::new(), 0_u64, None);
    loop {
        line.clear();
        let read = from.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line)?;
        number += 1;
        let place = || in_file(path, number);
        match (read as u64, head) {
            (0, Some(head)) => return Ok(head),
            (0, None) => bail!("{} is empty\nhint: name a file that `gateway model export` wrote", path.display()),
            (length, _) if length > LINE_BYTES_MAX => bail!("{} is longer than {LINE_BYTES_MAX} bytes", place()),
            (_, None) => head = Some(self::head(&line).with_context(place)?),
            (_, Some(head)) => {
                let line: Line = serde_json::from_slice(&line).with_context(place)?;
                take(head, decoded(line).with_context(place)?).with_context(place)?;
            }
        }
    }
}

fn decoded(line: Line) -> Result<Part, base64::DecodeError> {
    match line {
        Line::Channel { device, channel, states } => {
            let decoded = |(key, text): (String, String)| Ok((key, STANDARD.decode(text)?));
            let states = states.into_iter().map(decoded).collect::<Result<_, base64::DecodeError>>()?;
            Ok(Part::Channel(StoredChannel { device, channel, states }))
        }
        Line::Relation { device, channels, model, memory } => {
            let (model, memory) = (STANDARD.decode(model)?, STANDARD.decode(memory)?);
            Ok(Part::Relation(StoredRelation { device, channels, model, memory }))
        }
    }
}

fn head(line: &[u8]) -> anyhow::Result<StoredHead> {
    let what = "no file of models\nhint: name a file that `gateway model export` wrote";
    let Head { format, version, stored } = serde_json::from_slice(line).ok().context(what)?;
    if format != FORMAT {
        bail!("{what}");
    }
    if !(1..=VERSION).contains(&version) {
        bail!("format of version {version}, this gateway reads up to {VERSION}\nhint: use the gateway that wrote it");
    }
    Ok(stored)
}
