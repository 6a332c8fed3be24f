//! `gateway model …`: shows what detection has learned, takes it to another gateway, or makes it learn anew.
//!
//! Reading works on a copy, as all looks into a stopped queue do. Writing opens the queue as a gateway would, with its lock,
//! and commits one transaction for each channel.

mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use firmware_protocol::measurement::EventTime;

use super::queue::{Place, hush_engines};
use super::unless_closed;
use crate::cli::{ChannelArgs, ModelExportArgs, ModelImportArgs, ModelResetArgs, ModelShowArgs, ModelVerb};
use crate::config;
use crate::detect::{
    self, ChannelKind, ChunkName, ChunkRange, ModelView, Past, Rate, StateChanges, StateSource, Stored, StoredChanges,
    StoredFault,
};
use crate::metrics;
use crate::queue::offline::{Offline, OfflineAnnex};
use crate::queue::{Queue, Transaction};
use crate::text::{columns, counted, grouped, size};

/// # Errors
/// No queue, one that is in use, no such device or channel, a file that cannot be used, or what cannot be written.
pub async fn run(verb: ModelVerb) -> anyhow::Result<()> {
    hush_engines();
    match verb {
        ModelVerb::Show(args) => show(&args),
        ModelVerb::Export(args) => export(&args),
        ModelVerb::Import(args) => import(&args).await,
        ModelVerb::Reset(args) => reset(&args).await,
    }
}

/// The state of a stopped gateway's detection.
struct State {
    /// `None`: there is none, or it cannot be read.
    past: Option<OfflineAnnex>,
    queue: Offline,
    /// Below `detect/`.
    names: Vec<String>,
}

impl State {
    fn of(place: &Place) -> anyhow::Result<Self> {
        let queue = place.open()?;
        let names = queue.state_names()?.into_iter().filter(|name| name.starts_with(Stored::PREFIX)).collect();
        let past = queue.annex(detect::PAST).unwrap_or_else(|error| {
            tracing::warn!(%error, "Windows remembered to learn from cannot be read.");
            None
        });
        Ok(Self { past, queue, names })
    }
}

impl Past for State {
    fn chunk(&self, name: ChunkName) -> Option<Vec<u8>> {
        self.past.as_ref()?.get(&detect::chunk_key(name)).unwrap_or_else(|error| {
            tracing::warn!(?name, %error, "Remembered windows cannot be read.");
            None
        })
    }
}

impl StateSource for State {
    fn state(&self, key: &str) -> Option<Vec<u8>> {
        self.queue.state(key).unwrap_or_else(|error| {
            tracing::warn!(key, %error, "Stored state cannot be read.");
            None
        })
    }
}

fn wanted(stored: &Stored<'_>, of: &ChannelArgs) -> anyhow::Result<Vec<(String, String)>> {
    let mut channels = stored.channels();
    channels.retain(|(device, channel)| {
        of.device.as_ref().is_none_or(|d| d == device) && of.channel.as_ref().is_none_or(|c| c == channel)
    });
    let named = [&of.device, &of.channel].into_iter().flatten().cloned().collect::<Vec<_>>().join(" ");
    if channels.is_empty() && !named.is_empty() {
        return Err(StoredFault::Unknown(named).into());
    }
    Ok(channels)
}

fn show(args: &ModelShowArgs) -> anyhow::Result<()> {
    let state = State::of(&Place::of(&args.queue)?)?;
    let stored = Stored::new(&state, &state.names)?;
    let channels = wanted(&stored, &args.of)?;
    let knob = match &args.queue.config {
        Some(path) => config::detection(path)?.1.false_alarms_per_month,
        None => detect::Config::default().false_alarms_per_month,
    };
    let views: Vec<ModelView> = channels.iter().map(|(d, c)| stored.view(d, c, knob)).collect::<Result<_, _>>()?;
    let text = if args.json { format!("{}\n", serde_json::to_string_pretty(&views)?) } else { table(&views) };
    unless_closed(write!(std::io::stdout().lock(), "{text}"))
}

fn table(views: &[ModelView]) -> String {
    let heading = [
        "device",
        "channel",
        "state",
        "windows",
        "from",
        "to",
        "nature",
        "rate",
        "threshold",
        "model",
        "relation",
        "stored",
    ]
    .map(str::to_owned);
    let day = |ms: Option<i64>| {
        ms.map_or_else(String::new, |ms| crate::text::utc(EventTime::from_millis(ms)).chars().take(16).collect())
    };
    let row = |view: &ModelView| {
        let state = match (&view.model, view.windows_to_learn) {
            (Some(_), _) => "learned".to_owned(),
            (None, 0) => "nothing learned".to_owned(),
            (None, left) => format!("learning, {} to go", counted(left.into(), "window")),
        };
        let model = view.model.as_ref().map_or_else(String::new, |id| format!("{id}, {}", size(view.model_bytes)));
        [
            view.device.clone(),
            view.channel.clone(),
            state,
            grouped(view.windows),
            day(view.from_ms),
            day(view.to_ms),
            match view.nature {
                ChannelKind::Undecided => "undecided",
                ChannelKind::Level => "level",
                ChannelKind::Counter => "counter",
            }
            .to_owned(),
            match view.rate {
                Rate::Sparse => "sparse",
                Rate::Dense => "dense",
            }
            .to_owned(),
            format!("{:.1} decades", view.threshold),
            model,
            view.relation.clone().unwrap_or_default(),
            size(view.bytes),
        ]
    };
    columns(std::iter::once(heading).chain(views.iter().map(row)))
}

fn export(args: &ModelExportArgs) -> anyhow::Result<()> {
    let state = State::of(&Place::of(&args.queue)?)?;
    let stored = Stored::new(&state, &state.names)?;
    let channels = wanted(&stored, &args.of)?;
    let mut out = file::Writer::new(&args.file, stored.head())?;
    for (device, channel) in &channels {
        out.put(&stored.channel(device, channel)?).with_context(|| args.file.display().to_string())?;
    }
    let devices: BTreeSet<&String> = channels.iter().map(|(device, _)| device).collect();
    for device in devices {
        // A relation is of all its channels together.
        let relation = stored.relation(device)?.filter(|_| args.of.channel.is_none());
        if let Some(relation) = relation {
            out.put_relation(&relation).with_context(|| args.file.display().to_string())?;
        }
    }
    out.finish().with_context(|| args.file.display().to_string())?;
    say(&format!("{}: {}\n", args.file.display(), counted(channels.len() as u64, "channel")))
}

async fn import(args: &ModelImportArgs) -> anyhow::Result<()> {
    let place = Place::of(&args.queue)?;
    // All of the file is looked at before anything is changed.
    let head = file::each(&args.file, &mut |head, part| {
        match part {
            file::Part::Channel(channel) => detect::check(head, &channel)?,
            file::Part::Relation(relation) => detect::check_relation(head, &relation)?,
        }
        Ok(())
    })?;
    drop(place.open()?);
    let queue = open(&place)?;
    let (mut channels, mut relations) = (0, 0);
    let mut states = Live::of(&queue)?;
    let mut changed = Vec::new();
    file::each(&args.file, &mut |_, part| {
        let changes = match part {
            file::Part::Channel(channel) => {
                channels += 1;
                detect::import(head, &channel, &states, &states.names)?
            }
            file::Part::Relation(relation) => {
                relations += 1;
                detect::import_relation(head, &relation, &states)?
            }
        };
        states.apply(&changes);
        changed.push(changes);
        Ok(())
    })?;
    let mut dropped = Vec::new();
    for changes in changed {
        commit(&queue, changes.state).await?;
        dropped.extend(changes.dropped);
    }
    drop_past(&queue, dropped)?;
    queue.close()?;
    say(&format!("{} and {} taken over\n", counted(channels, "channel"), counted(relations, "relation")))
}

async fn reset(args: &ModelResetArgs) -> anyhow::Result<()> {
    let place = Place::of(&args.queue)?;
    let changes = {
        let state = State::of(&place)?;
        Stored::new(&state, &state.names)?.reset(&args.device, args.channel.as_deref())?
    };
    let queue = open(&place)?;
    commit(&queue, changes.state).await?;
    drop_past(&queue, changes.dropped)?;
    queue.close()?;
    let what = args.channel.as_ref().map_or_else(|| "all channels".to_owned(), |channel| format!("channel {channel}"));
    say(&format!("{}: {what} learn anew when the gateway starts\n", args.device))
}

/// As a gateway does.
fn open(place: &Place) -> anyhow::Result<Queue> {
    Ok(Queue::open(&place.settings, metrics::Queue::default())?)
}

/// The state of an open queue.
struct Live {
    states: BTreeMap<String, Vec<u8>>,
    names: Vec<String>,
}

impl Live {
    fn of(queue: &Queue) -> anyhow::Result<Self> {
        let states: BTreeMap<_, _> = queue.monitor().states(Stored::PREFIX)?.into_iter().collect();
        let names = states.keys().cloned().collect();
        Ok(Self { states, names })
    }
}

impl Live {
    fn apply(&mut self, changes: &StoredChanges) {
        for (key, value) in &changes.state {
            match value {
                Some(value) => drop(self.states.insert(key.clone(), value.clone())),
                None => drop(self.states.remove(key)),
            }
        }
        self.names = self.states.keys().cloned().collect();
    }
}

impl Past for Live {
    /// Nothing that is changed depends on it.
    fn chunk(&self, _name: ChunkName) -> Option<Vec<u8>> {
        None
    }
}

impl StateSource for Live {
    fn state(&self, key: &str) -> Option<Vec<u8>> {
        self.states.get(key).cloned()
    }
}

async fn commit(queue: &Queue, state: StateChanges) -> anyhow::Result<()> {
    let receipt = queue.appender().commit(Transaction { state, ..Transaction::default() }).await?;
    match receipt.await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(anyhow::anyhow!("models cannot be written: {error}")),
        Err(_) => anyhow::bail!("models cannot be written: the queue was closed"),
    }
}

fn drop_past(queue: &Queue, dropped: Vec<ChunkRange>) -> anyhow::Result<()> {
    let names = dropped.into_iter().flat_map(ChunkRange::names);
    let gone = names.map(|name| (detect::chunk_key(name), None)).collect();
    queue.annex(detect::PAST).commit(gone).context("remembered windows cannot be deleted")
}

fn say(text: &str) -> anyhow::Result<()> {
    unless_closed(write!(std::io::stdout().lock(), "{text}"))
}

/// For messages about a file of models.
fn in_file(path: &Path, line: u64) -> String {
    format!("{}: line {line}", path.display())
}
