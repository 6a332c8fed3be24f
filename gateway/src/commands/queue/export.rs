//! `gateway queue export`: records as JSON lines.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use firmware_protocol::decode::Decoder;
use serde::Serialize;

use super::super::interrupt::stop_on_signal;
use super::{Place, clock_map, span_counted, unless_closed};
use crate::cli::ExportArgs;
use crate::clock::ClockMap;
use crate::queue::offline::{Item, Selection};
use crate::queue::{Log, QueueSeq, Record, Run};
use crate::text::{counted, utc};

/// What goes to the file or pipe at a time.
const BUFFER_BYTES: usize = 64 * 1024;

/// # Errors
/// Records that should be there cannot be read, the file exists, or the queue cannot be read.
pub(super) fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let place = Place::of(&args.queue)?;
    let queue = place.open()?;
    let stop = stop_on_signal(None)?;
    let clock = clock_map(&queue);
    let selection = Selection {
        logs: args.log.map_or(Log::ALL.to_vec(), |log| vec![log.into()]),
        run: Run::new(QueueSeq(args.from), QueueSeq(args.to.map_or(u64::MAX, |to| to.saturating_add(1)))),
        consumer: args.consumer.clone(),
    };
    let mut out = Output::new(args)?;
    let mut written = Ok(());
    let exported = queue.export(&selection, &mut |item| {
        written = match item {
            Item::Record { log, seq, record } => out.line(&Line::new(log, seq, record, &clock, place.decoder.as_ref())),
            Item::Unreadable { log, run, reason } => {
                writeln!(io::stderr(), "unreadable: {} {}: {reason}", log.name(), span_counted(run))
            }
        };
        if written.is_err() || stop.is_requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    let written = written.and_then(|()| out.finish());
    match &args.output {
        Some(path) => written.with_context(|| format!("{} cannot be written", path.display()))?,
        None => unless_closed(written)?,
    }
    if stop.is_requested() {
        bail!("stopped by a signal after {}", counted(exported.records, "record"));
    }
    if exported.unreadable > 0 {
        let (read, lost) = (counted(exported.records, "record"), counted(exported.unreadable, "record"));
        bail!("{read} exported, {lost} cannot be read\nhint: `gateway queue repair OUT_DIR` salvages what it can");
    }
    Ok(())
}

enum Output {
    Standard(BufWriter<io::StdoutLock<'static>>),
    File(BufWriter<File>),
}

impl Output {
    fn new(args: &ExportArgs) -> anyhow::Result<Self> {
        let Some(path) = &args.output else {
            return Ok(Self::Standard(BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock())));
        };
        let file = File::create_new(path).with_context(|| {
            let hint = "name a file that does not exist yet: none is overwritten";
            format!("{} cannot be made\nhint: {hint}", path.display())
        })?;
        Ok(Self::File(BufWriter::with_capacity(BUFFER_BYTES, file)))
    }

    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        let out: &mut dyn Write = match self {
            Self::Standard(out) => out,
            Self::File(out) => out,
        };
        serde_json::to_writer(&mut *out, line)?;
        out.write_all(b"\n")
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::Standard(mut out) => out.flush(),
            Self::File(mut out) => out.flush().and_then(|()| out.get_ref().sync_all()),
        }
    }
}

/// A record for others; what is not known or not said is left out.
#[derive(Serialize)]
struct Line<'a> {
    log: &'static str,
    seq: u64,
    door: &'static str,
    #[serde(flatten)]
    topic: Topic<'a>,
    #[serde(flatten)]
    payload: Payload<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<&'a str>,
    /// `ID/VERSION` of the decoder that the configuration has for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    decoder: Option<&'a str>,
    qos: u8,
    retained: bool,
    redelivered: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    received_at: Option<String>,
    /// In hexadecimal: not every reader of JSON keeps 64 bits.
    boot: String,
    since_boot_ns: u64,
}

/// Text where it is some, base64 otherwise.
#[derive(Serialize)]
enum Topic<'a> {
    #[serde(rename = "topic")]
    Text(&'a str),
    #[serde(rename = "topic_base64")]
    Bytes(String),
}

#[derive(Serialize)]
enum Payload<'a> {
    #[serde(rename = "payload")]
    Text(&'a str),
    #[serde(rename = "payload_base64")]
    Bytes(String),
}

impl<'a> Line<'a> {
    fn new(log: Log, seq: QueueSeq, record: &'a Record, clock: &ClockMap, decoder: Option<&'a Decoder>) -> Self {
        let encoded = |bytes: &[u8]| STANDARD.encode(bytes);
        let topic = std::str::from_utf8(&record.topic);
        let payload = std::str::from_utf8(&record.payload);
        let content_type = String::from_utf8_lossy(&record.content_type);
        Self {
            log: log.name(),
            seq: seq.0,
            door: record.door.name(),
            topic: topic.map_or_else(|_| Topic::Bytes(encoded(&record.topic)), Topic::Text),
            payload: payload.map_or_else(|_| Payload::Bytes(encoded(&record.payload)), Payload::Text),
            content_type: (!content_type.is_empty()).then(|| content_type.into_owned()),
            table: Some(record.table()).filter(|table| !table.is_empty()),
            decoder: decoder
                .filter(|_| log == Log::Raw)
                .and_then(|d| d.name_for(topic.ok()?))
                .map(|name| name.as_str()),
            qos: record.flags.qos,
            retained: record.flags.retained,
            redelivered: record.flags.redelivered,
            received_at: clock.resolve_known(record.received).map(utc),
            boot: format!("{:016x}", record.received.boot.0),
            since_boot_ns: record.received.since_boot_ns,
        }
    }
}
