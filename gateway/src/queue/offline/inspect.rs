//! What can be told of a queue without reading its older generations.

use std::path::PathBuf;

use super::{Error, Listed, Offline, Standing, damage_apart};
use crate::clock::Stamp;
use crate::queue::annex;
use crate::queue::cursor::LedgerRow;
use crate::queue::files;
use crate::queue::generations::quarantine;
use crate::queue::record::{Log, QueueSeq};
use crate::queue::runs::Run;

/// Arrays are indexed by `Log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    pub dir: PathBuf,
    /// All files of the directory, measured on disk.
    pub disk_bytes: u64,
    pub watermark: WatermarkView,
    pub logs: [LogView; 2],
    /// Oldest first.
    pub generations: Vec<GenerationView>,
    /// As a gateway that is started now would keep it: what is missing is booked as lost.
    pub ledger: Vec<LedgerRow>,
    pub states: Vec<StateView>,
    /// What stages keep beside the generations.
    pub annexes: Vec<AnnexView>,
    /// What was set aside longest ago comes first.
    pub quarantine: Vec<QuarantinedView>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatermarkView {
    Missing,
    Unreadable,
    Found { ends: [QueueSeq; 2], oldest: [QueueSeq; 2], newest_generation: u32 },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogView {
    /// From the oldest record that is held to the end of the log.
    pub run: Run,
    pub records: u64,
    /// Lost, found to be, and booked.
    pub lost_before: Vec<Run>,
    /// Should be there, and no generation holds it.
    pub missing: Vec<Run>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerationView {
    pub name: String,
    /// Who wrote it, as far as its marker says.
    pub engine: String,
    pub standing: Standing,
    /// Measured.
    pub disk_bytes: u64,
    pub held: [HeldView; 2],
}

/// What counts in a generation, of one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldView {
    pub records: u64,
    /// From its first record to its last; there may be holes between.
    pub run: Option<Run>,
    /// Of its blocks as stored.
    pub bytes: u64,
    /// When its newest record was received.
    pub newest: Option<Stamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateView {
    pub name: String,
    /// `None`: it is not as it was written.
    pub bytes: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnexView {
    pub name: String,
    pub disk_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantinedView {
    pub path: PathBuf,
    pub disk_bytes: u64,
}

impl Offline {
    /// Reads the newest generation's own entries.
    ///
    /// # Errors
    /// The machine refuses to read.
    pub fn inspect(&self) -> Result<Inspection, Error> {
        let mut states = Vec::new();
        for name in self.state_names()? {
            let value = damage_apart(self.state(&name))?.ok().flatten();
            states.push(StateView { name, bytes: value.map(|v| v.len() as u64) });
        }
        let mut quarantine = Vec::new();
        for path in quarantine::list(&self.dir)? {
            quarantine.push(QuarantinedView { disk_bytes: files::disk_bytes(&path)?, path });
        }
        let mut annexes = Vec::new();
        for path in annex::list(&self.dir)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let name = name.trim_start_matches(annex::PREFIX).to_owned();
            annexes.push(AnnexView { name, disk_bytes: files::disk_bytes(&path)? });
        }
        Ok(Inspection {
            dir: self.dir.clone(),
            disk_bytes: files::disk_bytes(&self.dir)?,
            watermark: self.watermark(),
            logs: self.log_views(),
            generations: self.listed.iter().map(generation_view).collect::<Result<_, _>>()?,
            ledger: self.books().ledger(),
            states,
            annexes,
            quarantine,
        })
    }

    fn log_views(&self) -> [LogView; 2] {
        let (books, missing, lost_before) = (self.books(), self.missing(), self.lost_before(&self.contents));
        Log::ALL.map(|log| LogView {
            run: Run::new(books.oldest(log), books.end(log)),
            records: books.held(log).count_from(QueueSeq(0)),
            lost_before: lost_before[log as usize].clone(),
            missing: missing[log as usize].iter().collect(),
        })
    }
}

fn generation_view(listed: &Listed) -> Result<GenerationView, Error> {
    let held = |log: Log| {
        let held = &listed.held[log as usize];
        let run = held.runs.first().zip(held.runs.end()).map(|(first, end)| Run::new(first, end));
        HeldView {
            records: held.runs.count_from(QueueSeq(0)),
            run,
            bytes: held.bytes,
            newest: run.map(|_| held.newest),
        }
    };
    Ok(GenerationView {
        name: listed.dir.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        engine: crate::queue::store::engines::maker_name(&listed.dir),
        standing: listed.standing.clone(),
        disk_bytes: files::disk_bytes(&listed.dir)?,
        held: Log::ALL.map(held),
    })
}
