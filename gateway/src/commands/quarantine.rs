//! `gateway quarantine …`: what sinks could not take, and a second chance for it. The gateway may run meanwhile.

mod redrive;
mod show;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use firmware_protocol::measurement::EventTime;
use serde_json::json;

use super::unless_closed;
use crate::cli::{DataDirArgs, QuarantineListArgs, QuarantineVerb};
use crate::config::{Config, Environment, Overrides};
use crate::forward::{Line, Shelf, look};
use crate::text::{Colour, Style, columns, grouped, utc};

/// # Errors
/// Faults of the configuration, a sink that is not there, files that cannot be read, or records that stay.
pub async fn run(verb: QuarantineVerb) -> anyhow::Result<()> {
    match verb {
        QuarantineVerb::List(args) => list(&args),
        QuarantineVerb::Show(args) => show::run(&args),
        QuarantineVerb::Redrive(args) => redrive::run(&args).await,
    }
}

/// The directory of all quarantines.
fn directory(args: &DataDirArgs) -> anyhow::Result<PathBuf> {
    match (&args.config, &args.data_dir) {
        (Some(file), data_dir) => {
            let overrides = Overrides {
                data_dir: data_dir.clone(),
                environment: Environment::of_process(),
                ..Overrides::default()
            };
            Ok(Config::load(file, &overrides)?.quarantine_dir())
        }
        (None, Some(data_dir)) => Ok(Config::quarantine_in(data_dir)),
        (None, None) => anyhow::bail!("no gateway named\nhint: give --config or --data-dir"),
    }
}

/// What is in quarantine for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Group {
    records: u64,
    /// When the first and the last of them were received, as far as that is known.
    received: Option<(EventTime, EventTime)>,
}

/// Sink, reason and decoder; the last two are empty for lines that cannot be read.
type Key = (String, String, String);

fn list(args: &QuarantineListArgs) -> anyhow::Result<()> {
    let groups = groups(&directory(&args.place)?)?;
    let text = if args.json {
        let group = |((sink, reason, decoder), group): (&Key, &Group)| {
            let [first, last] = times(group);
            json!({ "sink": sink, "reason": reason, "decoder": decoder, "records": group.records,
                    "first_received_at": first, "last_received_at": last })
        };
        format!("{:#}\n", groups.iter().map(group).collect::<serde_json::Value>())
    } else if groups.is_empty() {
        "nothing is in quarantine\n".to_owned()
    } else {
        table(&groups, Style::of_stdout())
    };
    unless_closed(write!(std::io::stdout().lock(), "{text}"))
}

fn groups(dir: &std::path::Path) -> anyhow::Result<BTreeMap<Key, Group>> {
    let mut groups: BTreeMap<Key, Group> = BTreeMap::new();
    for sink in Shelf::names(dir).with_context(|| format!("{} cannot be read", dir.display()))? {
        each_line(&Shelf::new(dir, &sink), &mut |_, line| {
            let (reason, decoder) = match line {
                Some(line) => (line.reason.clone(), line.decoder.clone().unwrap_or_default()),
                None => Default::default(),
            };
            let group = groups.entry((sink.clone(), reason, decoder)).or_default();
            group.records += 1;
            if let Some(at) = line.and_then(Line::received_at) {
                let (first, last) = group.received.unwrap_or((at, at));
                group.received = Some((first.min(at), last.max(at)));
            }
            Ok(true)
        })?;
    }
    Ok(groups)
}

fn table(groups: &BTreeMap<Key, Group>, style: Style) -> String {
    let heading = ["sink", "reason", "decoder", "records", "received from", "to"].map(str::to_owned);
    let row = |((sink, reason, decoder), group): (&Key, &Group)| {
        let [first, last] = times(group).map(Option::unwrap_or_default);
        let reason = if reason.is_empty() { "(cannot be read)" } else { reason };
        [sink.clone(), reason.to_owned(), decoder.clone(), grouped(group.records), first, last]
    };
    let lines = columns(std::iter::once(heading).chain(groups.iter().map(row)));
    let (heading, rest) = lines.split_once('\n').unwrap_or((&lines, ""));
    format!("{}\n{rest}", style.paint(Colour::Dim, heading))
}

fn times(group: &Group) -> [Option<String>; 2] {
    [group.received.map(|(first, _)| utc(first)), group.received.map(|(_, last)| utc(last))]
}

/// Is given a line, as text and parsed if it is one; says whether it wants more.
type Look<'a> = dyn FnMut(&[u8], Option<&Line>) -> anyhow::Result<bool> + 'a;

/// Gives each line, oldest file first.
fn each_line(shelf: &Shelf, f: &mut Look<'_>) -> anyhow::Result<()> {
    let context = || format!("{} cannot be read", shelf.dir().display());
    for path in shelf.files().with_context(context)? {
        let bytes = look(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        for text in bytes.split(|b| *b == b'\n').filter(|text| !text.is_empty()) {
            if !f(text, Line::parse(text).ok().as_ref())? {
                return Ok(());
            }
        }
    }
    Ok(())
}
