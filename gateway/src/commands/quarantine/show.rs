//! `gateway quarantine show`: records of one sink's quarantine, with their payloads.

use std::io::Write;

use anyhow::{Context, bail};

use super::super::unless_closed;
use super::{directory, each_line};
use crate::cli::QuarantineShowArgs;
use crate::forward::{Line, Shelf};
use crate::text::{Colour, Style, utc};

/// A payload is quoted up to here, bytes; `--payload` gives all of it.
const QUOTE_MAX_BYTES: usize = 400;

/// # Errors
/// There is no quarantine of this name, or no such record, or files cannot be read.
pub(super) fn run(args: &QuarantineShowArgs) -> anyhow::Result<()> {
    let dir = directory(&args.place)?;
    let names = Shelf::names(&dir).with_context(|| format!("{} cannot be read", dir.display()))?;
    if !names.contains(&args.sink) {
        let there =
            if names.is_empty() { "there is none".to_owned() } else { format!("there are {}", names.join(", ")) };
        bail!("no quarantine of a sink \"{}\"\nhint: {there}", args.sink);
    }
    let (mut out, mut shown) = (std::io::stdout().lock(), 0);
    let style = Style::of_stdout();
    let mut written = Ok(());
    each_line(&Shelf::new(&dir, &args.sink), &mut |text, line| {
        if shown == args.limit || !is_wanted(args, line) {
            return Ok(shown < args.limit);
        }
        shown += 1;
        written = match line {
            Some(line) if args.payload => {
                let payload = line.payload().context("payload is no base64")?;
                // In twice after a crash is once for who looks.
                shown = args.limit;
                out.write_all(&payload)
            }
            Some(line) if !args.json => write!(out, "{}", described(line, style)),
            None if !args.json => writeln!(out, "(cannot be read) {}", String::from_utf8_lossy(head(text))),
            Some(_) | None => out.write_all(text).and_then(|()| out.write_all(b"\n")),
        };
        Ok(written.is_ok())
    })?;
    if let (0, Some(record)) = (shown, &args.record) {
        bail!("no record {record} is in the quarantine of \"{}\"", args.sink);
    }
    unless_closed(written.and_then(|()| out.flush()))
}

fn is_wanted(args: &QuarantineShowArgs, line: Option<&Line>) -> bool {
    let Some(line) = line else { return args.reason.is_none() && args.record.is_none() };
    args.reason.as_ref().is_none_or(|reason| *reason == line.reason)
        && args.record.as_ref().is_none_or(|record| *record == line.place())
}

fn described(line: &Line, style: Style) -> String {
    let received = line.received_at().map_or_else(|| "at a time that is not known".to_owned(), utc);
    let mut text = format!("{}  received {received}\n", style.paint(Colour::Bold, &line.place()));
    let mut row = |key: &str, value: &str| {
        if !value.is_empty() {
            text += &format!("  {} {value}\n", style.paint(Colour::Dim, key));
        }
    };
    row("topic       ", &line.topic);
    row("content type", &line.content_type);
    row("decoder     ", line.decoder.as_deref().unwrap_or_default());
    row("table       ", &line.table.trim_end().escape_debug().to_string());
    row("reason      ", &format!("{}: {}", line.reason, line.detail));
    let payload = line.payload().unwrap_or_default();
    let more = if payload.len() > QUOTE_MAX_BYTES { format!(" … ({} bytes)", payload.len()) } else { String::new() };
    row("payload     ", &format!("{}{more}", head(&payload).escape_ascii()));
    text
}

fn head(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(QUOTE_MAX_BYTES)]
}
