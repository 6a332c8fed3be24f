//! Reads every block there is, and compares what can be read with what should be there.

use super::{Error, Flaw, Offline, OnProgress, Progress, Standing, Walked, WatermarkView};
use crate::queue::record::Log;
use crate::queue::runs::Run;
use crate::queue::watermark::Found;

/// What is said of one generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    pub number: u32,
    pub standing: Standing,
    /// That count.
    pub blocks: u64,
    /// Of these blocks as stored.
    pub bytes: u64,
    /// That can be read, indexed by `Log`.
    pub records: [u64; 2],
    pub flaws: Vec<(Log, Run, Flaw)>,
    /// Why it could not be read to its end.
    pub broken: Option<String>,
    /// Should be in it and cannot be read, indexed by `Log`.
    pub missing: [Vec<Run>; 2],
}

/// What is said of the whole queue. Arrays are indexed by `Log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub watermark: WatermarkView,
    pub generations: Vec<Checked>,
    /// Should be in the queue and cannot be read, wherever it was; not booked as lost yet.
    pub missing: [Vec<Run>; 2],
    /// More may be missing than can be told: there is no watermark to compare with.
    pub is_at_least: bool,
    /// Cannot be read either; the ledger has them as lost since it was found.
    pub lost_before: [Vec<Run>; 2],
    /// Named state that is not as it was written.
    pub flawed_states: Vec<String>,
}

impl Checked {
    pub fn is_sound(&self) -> bool {
        let is_readable = !matches!(self.standing, Standing::Unopenable(_)) && self.broken.is_none();
        is_readable && self.flaws.is_empty() && self.missing.iter().all(Vec::is_empty)
    }
}

impl Verdict {
    pub fn is_sound(&self) -> bool {
        self.watermark != WatermarkView::Missing
            && self.watermark != WatermarkView::Unreadable
            && self.generations.iter().all(Checked::is_sound)
            && self.missing.iter().all(Vec::is_empty)
            && self.flawed_states.is_empty()
    }

    /// Records of both logs that should be there and cannot be read.
    pub fn records_missing(&self) -> u64 {
        self.missing.iter().flatten().map(|run| run.count()).sum()
    }
}

impl Offline {
    /// Reads all that counts.
    ///
    /// # Errors
    /// The machine refuses to read, or `progress` broke it off.
    pub fn verify(&self, progress: OnProgress<'_>) -> Result<Verdict, Error> {
        let mut missing = self.missing();
        let mut generations = Vec::new();
        let mut told = Progress { generations_done: 0, generations: self.listed.len(), records: 0 };
        for listed in &self.listed {
            let mut checked = Checked {
                number: listed.number,
                standing: listed.standing.clone(),
                blocks: 0,
                bytes: 0,
                records: [0; 2],
                flaws: Vec::new(),
                broken: None,
                missing: Default::default(),
            };
            let mut unread = Log::ALL.map(|log| listed.held[log as usize].runs.clone());
            if matches!(listed.standing, Standing::Newest | Standing::Older) {
                let walked = self.walk(listed, &Log::ALL, &mut |piece| {
                    let log = piece.log as usize;
                    checked.blocks += 1;
                    checked.bytes += piece.bytes.len() as u64;
                    if piece.block.is_some() {
                        let read = unread[log].count_within(piece.run);
                        checked.records[log] += read;
                        told.records += read;
                        unread[log].remove(piece.run);
                    }
                    checked.flaws.extend(piece.flaw.map(|flaw| (piece.log, piece.run, flaw)));
                    progress(told)
                })?;
                match walked {
                    Walked::Whole => {}
                    Walked::Broken(reason) => checked.broken = Some(reason),
                    Walked::Stopped => return Err(Error::Stopped),
                }
            }
            for log in Log::ALL.map(|log| log as usize) {
                checked.missing[log] = unread[log].iter().collect();
                unread[log].iter().for_each(|run| missing[log].add(run));
                // It is booked already.
                self.contents.lost_before[log].iter().for_each(|run| missing[log].remove(run));
            }
            generations.push(checked);
            told.generations_done += 1;
            if progress(told).is_break() {
                return Err(Error::Stopped);
            }
        }
        Ok(Verdict {
            watermark: self.watermark(),
            generations,
            missing: missing.map(|runs| runs.iter().collect()),
            is_at_least: self.is_at_least(),
            lost_before: self.lost_before(&self.contents),
            flawed_states: self.flawed_states()?,
        })
    }

    pub(super) fn watermark(&self) -> WatermarkView {
        match &self.found {
            Found::Missing => WatermarkView::Missing,
            Found::Unreadable => WatermarkView::Unreadable,
            Found::Mark(mark) => {
                WatermarkView::Found { ends: mark.ends, oldest: mark.oldest, newest_generation: mark.newest_generation }
            }
        }
    }

    fn flawed_states(&self) -> Result<Vec<String>, Error> {
        let mut flawed = Vec::new();
        for name in self.state_names()? {
            if super::damage_apart(self.state(&name))?.is_err() {
                flawed.push(name);
            }
        }
        Ok(flawed)
    }
}
