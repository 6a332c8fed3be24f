//! Gives records in the order of their sequences, and says where there should be some and are none.

use std::ops::ControlFlow;

use super::{Error, Listed, Offline, Walked};
use crate::queue::record::{Log, QueueSeq, Record};
use crate::queue::runs::{Run, Runs};

/// Which records are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    pub logs: Vec<Log>,
    /// In each of the logs.
    pub run: Run,
    /// Only what this one has not passed yet, of the logs that it reads.
    pub consumer: Option<String>,
}

/// What is given.
#[derive(Debug)]
pub enum Item<'a> {
    Record { log: Log, seq: QueueSeq, record: &'a Record },
    Unreadable { log: Log, run: Run, reason: String },
}

/// What was given in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    pub records: u64,
    pub unreadable: u64,
}

impl Offline {
    /// Gives one log after the other, until `f` breaks it off.
    ///
    /// # Errors
    /// The machine refuses to read, or there is no such consumer.
    pub fn export(
        &self,
        selection: &Selection,
        f: &mut dyn FnMut(Item<'_>) -> ControlFlow<()>,
    ) -> Result<Exported, Error> {
        let mut exported = Exported::default();
        for (log, run) in self.selected(selection)? {
            if self.export_log(log, run, &mut exported, f)?.is_break() {
                break;
            }
        }
        Ok(exported)
    }

    fn selected(&self, selection: &Selection) -> Result<Vec<(Log, Run)>, Error> {
        let all = selection.logs.iter().map(|log| (*log, selection.run));
        let Some(name) = &selection.consumer else { return Ok(all.collect()) };
        let rows = self.books().ledger();
        if rows.iter().all(|row| row.consumer != *name) {
            let mut names: Vec<_> = rows.into_iter().map(|row| row.consumer).collect();
            names.dedup();
            return Err(Error::NoConsumer { name: name.clone(), names });
        }
        let next = |log: Log| rows.iter().find(|r| r.consumer == *name && r.log == log).map(|r| r.cursor.next);
        Ok(all.filter_map(|(log, run)| Some((log, Run::new(run.first.max(next(log)?), run.end)))).collect())
    }

    fn export_log(
        &self,
        log: Log,
        selected: Run,
        exported: &mut Exported,
        f: &mut dyn FnMut(Item<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Error> {
        let mut flow = ControlFlow::Continue(());
        for (listed, wanted) in self.stretches(log, selected) {
            let (mut rest, mut damaged) = (wanted, Vec::new());
            let walked = self.walk(listed, &[log], &mut |piece| {
                let wanted = rest.within(piece.run);
                match piece.block {
                    Some(block) => {
                        rest.remove(piece.run);
                        for run in wanted.iter() {
                            let count = run.count() as usize;
                            for (seq, record) in block.records_from(run.first).take(count) {
                                exported.records += 1;
                                f(Item::Record { log, seq, record })?;
                            }
                        }
                    }
                    None => damaged.extend(wanted.iter().map(|run| (run, piece.flaw.clone()))),
                }
                ControlFlow::Continue(())
            })?;
            let broken = match walked {
                Walked::Stopped => return Ok(ControlFlow::Break(())),
                Walked::Broken(reason) => Some(reason),
                Walked::Whole => None,
            };
            for (run, flaw) in damaged {
                rest.remove(run);
                let reason = flaw.map_or_else(String::new, |flaw| flaw.to_string());
                exported.unreadable += run.count();
                flow = flow_of(flow, || f(Item::Unreadable { log, run, reason }));
            }
            let reason = broken.unwrap_or_else(|| format!("{} does not hold them any more", listed.dir.display()));
            for run in rest.iter() {
                exported.unreadable += run.count();
                flow = flow_of(flow, || f(Item::Unreadable { log, run, reason: reason.clone() }));
            }
            if flow.is_break() {
                return Ok(flow);
            }
        }
        for run in self.missing()[log as usize].within(selected).iter() {
            exported.unreadable += run.count();
            let reason = "no generation that can be opened holds them".to_owned();
            flow = flow_of(flow, || f(Item::Unreadable { log, run, reason }));
        }
        Ok(flow)
    }

    /// Which generations to read one after the other, and what of each, so that the sequences rise: what was carried to
    /// a newer generation lies between what stayed.
    fn stretches(&self, log: Log, selected: Run) -> Vec<(&Listed, Runs)> {
        let mut runs: Vec<(Run, &Listed)> = Vec::new();
        for listed in self.counted() {
            runs.extend(listed.held[log as usize].runs.within(selected).iter().map(|run| (run, listed)));
        }
        runs.sort_by_key(|(run, _)| run.first);
        let mut stretches: Vec<(&Listed, Runs)> = Vec::new();
        for (run, listed) in runs {
            if stretches.last().is_none_or(|(last, _)| last.number != listed.number) {
                stretches.push((listed, Runs::default()));
            }
            if let Some((_, wanted)) = stretches.last_mut() {
                wanted.add(run);
            }
        }
        stretches
    }
}

fn flow_of(flow: ControlFlow<()>, next: impl FnOnce() -> ControlFlow<()>) -> ControlFlow<()> {
    if flow.is_break() { flow } else { next() }
}
