//! What is given up, by policy or because it cannot be read: booked, named, and what is sound of it brought to safety.
//!
//! # Invariants
//! - What a policy takes is booked, and named by gap records, in one commit; its generation goes after that.
//! - Derived records that somebody has yet to read outlive their generation: they are carried to the newest one. They
//!   are given up only once they alone take more than half of the budget.

use super::Writer;
use crate::queue::block;
use crate::queue::cursor::Fate;
use crate::queue::generations::contents::{Batch, Carried, Contents, Stored};
use crate::queue::generations::{Sealed, quarantine, recovery};
use crate::queue::record::{Log, QueueSeq};
use crate::queue::runs::{Run, Runs};
use crate::queue::store::StoreError;
use crate::queue::{Error, Gaps};

impl Writer {
    /// Records that outlived their time to live.
    pub(super) fn expire(&mut self) -> Result<(), Error> {
        if self.config.ttl == [None; 2] {
            return Ok(());
        }
        let expired = self.shared.retention().expired;
        let is_over = |sealed: &Sealed| {
            sealed.held[Log::Raw as usize].runs.end().is_none_or(|end| end <= expired[Log::Raw as usize])
        };
        let sealed = self.shared.view.sealed();
        let count = sealed.iter().take_while(|s| is_over(s)).count();
        let has_raw = sealed.iter().take(count).any(|s| s.held[Log::Raw as usize].runs.end().is_some());
        let derived_end = expired[Log::Derived as usize];
        let unread = self.shared.books().keep_from(true);
        let derived_due = unread.is_some_and(|unread| unread[Log::Derived as usize] < derived_end);
        if !has_raw && !derived_due {
            return Ok(());
        }
        self.give_up_oldest(count, Fate::Expired, derived_end)
    }

    /// Gives up the raw records of the oldest generations, and the derived ones before `derived_end`.
    pub(super) fn give_up_oldest(&mut self, count: usize, fate: Fate, derived_end: QueueSeq) -> Result<(), Error> {
        let sealed: Vec<_> = self.shared.view.sealed().into_iter().take(count).collect();
        let unread = self.shared.books().needed_from(true).unwrap_or_default();
        let raw_end = sealed.iter().filter_map(|s| s.held[Log::Raw as usize].runs.end()).max().unwrap_or_default();
        let derived_from = unread[Log::Derived as usize].max(derived_end);
        let mut batch = Batch::default();
        for generation in &sealed {
            let (number, raw) = (generation.number, &generation.held[Log::Raw as usize].runs);
            if raw.end().is_some_and(|end| end > unread[Log::Raw as usize]) {
                let shared = self.shared.clone();
                self.each_block(number, Log::Raw, unread[Log::Raw as usize], &mut |gaps, stored| {
                    // Every consumer has had the rest, perhaps ahead of its cursor.
                    let needed = shared.books().needed_within(Log::Raw, stored.run);
                    match block::decode(&stored.bytes) {
                        Ok(block) => {
                            let is_needed = |seq: QueueSeq| needed.count_within(Run::new(seq, seq.plus(1))) > 0;
                            let records = block.records_from(stored.run.first).filter(|(seq, _)| is_needed(*seq));
                            gaps.note(fate, &mut records.map(|(_, record)| record));
                        }
                        Err(_damage) => gaps.note_unread(fate, Log::Raw, needed.count_from(stored.run.first)),
                    }
                })?;
            }
            self.each_block(number, Log::Derived, derived_from, &mut |_, block| {
                batch.carried.push(Carried { log: Log::Derived, block });
            })?;
        }
        self.shared.books().give_up_before(Log::Raw, raw_end, fate);
        self.shared.books().give_up_before(Log::Derived, derived_end, fate);
        self.commit_with_gaps(batch)?;
        for generation in sealed {
            self.store.disown(generation.number, Log::Derived);
        }
        Ok(())
    }

    /// Of a generation that cannot be read nothing can be named or carried: it is set aside, and its loss counted.
    pub(super) fn each_block(
        &mut self,
        number: u32,
        log: Log,
        from: QueueSeq,
        f: &mut dyn FnMut(&mut dyn Gaps, Stored),
    ) -> Result<(), Error> {
        let mut at = from;
        loop {
            match self.store.read_sealed(number, log, at) {
                Ok(Some(stored)) => {
                    at = stored.run.end;
                    f(self.gaps.as_mut(), stored);
                }
                Ok(None) => return Ok(()),
                Err(error) if error.is_damage() => {
                    self.shared.suspect(number, error);
                    return Ok(());
                }
                // What is read already is noted already: the rest of it is only counted.
                Err(error) => return self.mend(error, &Batch::default()),
            }
        }
    }

    /// Commits the batch together with gap records about what is lost by it.
    pub(super) fn commit_with_gaps(&mut self, mut batch: Batch) -> Result<(), Error> {
        let gaps = self.gaps.take();
        block::encode_all(Log::Derived, self.next[Log::Derived as usize], &gaps, &mut batch.blocks);
        self.shared.books().take_dirty(&mut batch);
        self.add_snapshot_if_due(&mut batch, false);
        self.persist(&batch)?;
        self.publish(batch, Vec::new());
        Ok(())
    }

    /// Names what damage took.
    pub(super) fn report_losses(&mut self) -> Result<(), Error> {
        let losses = self.shared.take_losses();
        if losses.is_empty() {
            return Ok(());
        }
        for (log, run) in losses {
            self.gaps.note_unread(Fate::Lost, log, run.count());
        }
        self.commit_with_gaps(Batch::default())
    }

    /// Generations that a reader could not read.
    pub(super) fn set_suspects_aside(&mut self) -> Result<(), Error> {
        for (number, error) in self.shared.take_suspects() {
            if self.store.is_newest(number) {
                // The fresh look decides whether it can be read, and the next commit goes into a new one.
                self.mend(error, &Batch::default())?;
                continue;
            }
            self.shared.unsettle();
            let result = self.set_aside(number, &error);
            self.shared.settle();
            self.mended(result)?;
        }
        Ok(())
    }

    pub(super) fn set_aside(&mut self, number: u32, error: &StoreError) -> Result<(), StoreError> {
        let Some(quarantined) = self.store.quarantine(number)? else { return Ok(()) };
        tracing::error!(%error, kept_in = %quarantined.dir.display(), "Queue set a generation aside that cannot be read.");
        let mut missing = <[Runs; 2]>::default();
        for (log, run) in quarantined.gone {
            self.shared.books().held_within(log, run).iter().for_each(|run| missing[log as usize].add(run));
        }
        let mut contents = Contents::default();
        recovery::salvage(&mut self.store, &mut contents, &mut missing)?;
        for (log, runs) in Log::ALL.into_iter().zip(missing) {
            runs.iter().for_each(|run| self.shared.lose(log, run, &"its generation cannot be read"));
        }
        self.usage.measured_at = None;
        quarantine::trim(&self.config.dir, self.config.quarantine_max_bytes)
    }
}
