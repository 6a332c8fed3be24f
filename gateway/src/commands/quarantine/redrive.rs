//! `gateway quarantine redrive`: decodes records once more and sends them to the sink that did not get them.

use std::fmt::Write as _;
use std::io::Write;
use std::sync::Arc;

use anyhow::bail;
use firmware_protocol::decode::Decoder;

use super::super::interrupt::stop_on_signal;
use super::super::unless_closed;
use crate::cli::RedriveArgs;
use crate::clock::SharedClockMap;
use crate::config::{Config, Overrides};
use crate::forward::{Outcome, Shelf, SinkConfig, redrive};
use crate::text::counted;

/// # Errors
/// Records stay, a sink cannot be reached, or there is no such sink.
pub(super) async fn run(args: &RedriveArgs) -> anyhow::Result<()> {
    let config = Config::load(&args.config.config, &Overrides::from_args(&args.config))?;
    let sinks = chosen(&config, args.sink.as_deref())?;
    let decoder = Arc::new(Decoder::new(config.decode.clone()).map_err(anyhow::Error::msg)?);
    let stop = stop_on_signal(None)?;
    let mut stay = 0;
    for sink in sinks {
        let encoding = config.encoding(decoder.clone(), SharedClockMap::default());
        let shelf = Shelf::new(&config.quarantine_dir(), sink.name());
        let mut outcome = Outcome::default();
        let ended = redrive(sink, &encoding, &shelf, args.reason.as_deref(), stop.clone(), &mut outcome).await;
        unless_closed(write!(std::io::stdout().lock(), "{}", report(sink.name(), &outcome)))?;
        ended?;
        stay += outcome.failed.values().sum::<u64>() + outcome.unreadable;
    }
    if stay > 0 {
        let hint = "`gateway quarantine show SINK` tells why; `gateway schema test` tries a payload";
        let verb = if stay == 1 { "stays" } else { "stay" };
        bail!("{} {verb} in quarantine\nhint: {hint}", counted(stay, "record"));
    }
    Ok(())
}

fn chosen<'a>(config: &'a Config, name: Option<&str>) -> anyhow::Result<Vec<&'a SinkConfig>> {
    let chosen: Vec<_> = config.sinks.iter().filter(|sink| name.is_none_or(|name| name == sink.name())).collect();
    if let (true, Some(name)) = (chosen.is_empty(), name) {
        let names: Vec<_> = config.sinks.iter().map(SinkConfig::name).collect();
        bail!("no sink is called \"{name}\"\nhint: the configuration has {}", names.join(", "));
    }
    Ok(chosen)
}

fn report(sink: &str, outcome: &Outcome) -> String {
    let Outcome { sent, repeated, failed, passed_over, unreadable } = outcome;
    let mut text = format!("{sink}: {} sent", counted(*sent, "record"));
    if *repeated > 0 {
        // Writing to a `String` does not fail.
        write!(text, ", {repeated} more had been in twice").unwrap_or_default();
    }
    if *passed_over > 0 {
        write!(text, ", {passed_over} of other reasons passed over").unwrap_or_default();
    }
    text.push('\n');
    for (reason, records) in failed {
        writeln!(text, "{sink}: {} cannot go: {reason}", counted(*records, "record")).unwrap_or_default();
    }
    if *unreadable > 0 {
        let what = "that holds no record, or not the time of its receipt";
        writeln!(text, "{sink}: {} {what}", counted(*unreadable, "line")).unwrap_or_default();
    }
    text
}
