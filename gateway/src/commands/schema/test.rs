//! `gateway schema test`: decodes a captured payload, and shows what comes out, or why nothing does.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, bail};
use firmware_protocol::decode::{DecodeError, Incoming, TimeUnit};
use firmware_protocol::frame::HelloView;
use firmware_protocol::measurement::{EventTime, Measurement};
use firmware_protocol::sparkplug::Birth;
use firmware_protocol::table::{self, Entry};
use firmware_protocol::time;
use serde_json::json;

use super::super::unless_closed;
use super::hint::hint;
use super::shown::Shown;
use crate::cli::SchemaTestArgs;
use crate::queue::Record;
use crate::text::Style;

/// # Errors
/// The payload cannot be decoded: the reason's word, what is wrong and what to do; or it cannot be read.
pub(super) fn run(args: &SchemaTestArgs) -> anyhow::Result<()> {
    let decoder = super::decoder(args.config.as_deref())?;
    let payload = read(&args.file)?;
    let table = channel_table(args)?;
    let message = Incoming {
        topic: &args.topic,
        payload: &payload,
        content_type: &args.content_type,
        received_at: received_at(args)?,
        is_replay: args.retained,
        table: &table,
    };
    let mut measurement = Measurement::default();
    let decoded = decoder.decode(message, &mut measurement);
    let name = decoder.name_for(&args.topic);
    match (decoded, name) {
        (Ok(route), Some(name)) => {
            let shown = Shown { decoder: &decoder, name, route, message, measurement: &measurement };
            let text = if args.json { format!("{:#}\n", shown.json()) } else { shown.tables(Style::of_stdout()) };
            unless_closed(write!(std::io::stdout().lock(), "{text}"))
        }
        (Ok(_), None) => bail!("no decoder takes the topic `{}`", args.topic),
        (Err(error), name) => {
            let name = name.map(|name| name.as_str());
            if args.json {
                let hint = hint(error.reason());
                let told = json!({ "reason": error.reason(), "detail": error.to_string(), "hint": hint });
                let told = json!({ "decoder": name, "error": told });
                unless_closed(writeln!(std::io::stdout().lock(), "{told:#}"))?;
            }
            bail!(failure(&error, name))
        }
    }
}

fn failure(error: &DecodeError, decoder: Option<&str>) -> String {
    let by = decoder.map(|name| format!(" by decoder {name}")).unwrap_or_default();
    let hint = hint(error.reason()).map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    format!("cannot be decoded{by}: {error} (counted as `{}`){hint}", error.reason())
}

/// At most what a door would take.
fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let limit = Record::PAYLOAD_MAX as u64;
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().lock().take(limit + 1).read_to_end(&mut bytes).context("standard input cannot be read")?;
    } else {
        let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
        file.take(limit + 1).read_to_end(&mut bytes).with_context(|| format!("{} cannot be read", path.display()))?;
    }
    if bytes.len() as u64 > limit {
        bail!("{} is larger than the largest payload, {limit} bytes", path.display());
    }
    Ok(bytes)
}

/// What hello or birth say about the numbers of channels.
fn channel_table(args: &SchemaTestArgs) -> anyhow::Result<String> {
    let mut text = String::new();
    if let Some(path) = &args.hello {
        let bytes = read(path)?;
        let hello = HelloView::parse(&bytes).map_err(|e| anyhow::anyhow!("{} is no hello: {e}", path.display()))?;
        for (number, channel) in (0..).zip(hello.channels()) {
            table::push(&mut text, &Entry { number, name: channel.name, unit: channel.unit, kind: 0 });
        }
    }
    if let Some(path) = &args.birth {
        let bytes = read(path)?;
        let birth = Birth::parse(&bytes).map_err(|e| anyhow::anyhow!("{} is no birth: {e}", path.display()))?;
        birth.entries().iter().for_each(|entry| table::push(&mut text, entry));
    }
    Ok(text)
}

fn received_at(args: &SchemaTestArgs) -> anyhow::Result<EventTime> {
    let Some(text) = &args.received_at else { return Ok(EventTime::from_millis(super::super::now_ms())) };
    let Ok(at) = time::from_text(text, TimeUnit::Rfc3339) else {
        bail!("--received-at {text:?} is no time\nhint: write it as RFC 3339 does: 2026-11-21T14:49:46Z");
    };
    Ok(at)
}
