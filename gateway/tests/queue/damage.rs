//! Files are cut, zeroed, deleted and their bits flipped, at random. The queue opens all the same, gives what it still
//! has byte for byte, and counts what is gone to the record: in the ledger of each consumer and in the metric.
//!
//! The measure is an undamaged copy of the same directory. `auditor` stands before the oldest record, so that it misses
//! all that is lost. Only where the watermark is hit together with other files nobody can know how much there was: there
//! the count is "at least", and what is checked is that it fits what the queue itself says.

use std::path::Path;

use gateway::metrics;
use gateway::queue::{EngineKind, Log, Queue, QueueSeq, Reader, Transaction};

use crate::oracle::{self, ensure};
use crate::setting::{self, Chance};
use crate::template::Template;
use crate::workload::{self, AUDITOR, DETECT, SINK, STATE};
use crate::wound::{self, Wound};

#[test]
fn what_damage_takes_is_counted_to_the_record_and_the_queue_opens_every_time_on_sled() {
    damage_is_counted(EngineKind::Sled);
}

#[test]
fn what_damage_takes_is_counted_to_the_record_and_the_queue_opens_every_time_on_redb() {
    damage_is_counted(EngineKind::Redb);
}

fn damage_is_counted(engine: EngineKind) {
    let mut chance = Chance::new();
    let templates = [Template::closed(engine), Template::killed(engine, &mut chance)];
    let (mut runs_with_loss, mut lost, mut faults) = (0, 0, Vec::new());
    for round in 0..setting::rounds(40, 1_000) {
        let template = chance.pick(&templates);
        let dir = template.copy();
        let count = if chance.below(5) == 0 { 2 + chance.below(2) } else { 1 };
        let wounds: Vec<_> = (0..count).map(|_| wound::inflict(dir.path(), &mut chance)).collect();
        match judge(template, dir.path(), &wounds) {
            Ok(missing) => {
                runs_with_loss += u32::from(missing > 0);
                lost += missing;
            }
            Err(fault) => faults.push(format!("round {round}: {wounds:?}: {fault}")),
        }
    }
    println!("{runs_with_loss} runs lost {lost} records in all");
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(runs_with_loss > 0, "damage that never costs anything is none");
}

/// How many records of both logs are missing, or the promise that was broken.
fn judge(template: &Template, dir: &Path, wounds: &[Wound]) -> Result<u64, String> {
    // Alone it costs nothing: the store knows the rest.
    let knows_its_end = wounds.len() == 1 || wounds.iter().all(|w| w.file != Path::new("watermark"));
    let mut opened = Opened::open(template.engine, dir)?;
    let ends = Log::ALL.map(|log| opened.auditor.end(log).0);
    let (mut read, mut missing) = ([Vec::new(), Vec::new()], [0; 2]);
    for log in Log::ALL {
        let n = log as usize;
        (read[n], missing[n]) = opened.read(AUDITOR, log, template.oldest[n])?;
        opened.read(SINK, log, template.truth.sink[n])?;
        let counted = oracle::lost(&opened.metrics, log);
        ensure!(counted == missing[n], "{log:?}: {} records are missing, the metric says {counted}", missing[n]);
        if knows_its_end {
            let (least, most) = (template.acked.ends[n], template.truth.ends[n]);
            ensure!((least..=most).contains(&ends[n]), "{log:?} ends at {}, not in {least}..={most}", ends[n]);
            for (reader, was) in [(&opened.auditor, template.oldest[n]), (&opened.sink, template.truth.sink[n])] {
                let at = reader.cursor(log).next.0;
                ensure!(at >= was, "`{}` is at {at} of {log:?}, was at {was}", reader.name());
            }
        }
    }
    opened.read(DETECT, Log::Raw, template.truth.detect)?;
    // The state may be of an earlier moment, then with the cursor of that moment; or it is known to be damaged.
    if let Ok(Some(state)) = opened.sink.state(STATE) {
        let (_, of_state) = workload::parse_state(&state).ok_or("state that was never written")?;
        let cursor = opened.detect.cursor(Log::Raw).next.0;
        ensure!(cursor >= of_state, "`{DETECT}` is at {cursor}, its state is of {of_state}");
    }
    opened.append(ends)?;
    oracle::balances(&opened.queue)?;
    let lost = opened.rows_lost();
    opened.close()?;

    // All of that was kept, and is not counted again.
    let mut again = Opened::open(template.engine, dir)?;
    ensure!(again.rows_lost() == lost, "lost {:?} after reopening, {lost:?} before", again.rows_lost());
    for log in Log::ALL {
        let n = log as usize;
        read[n].push(ends[n]);
        let (reread, _) = again.read(AUDITOR, log, template.oldest[n])?;
        ensure!(reread == read[n], "{log:?}: {} read after reopening, {} before", reread.len(), read[n].len());
        ensure!(oracle::lost(&again.metrics, log) == 0, "{log:?}: counted as lost again after reopening");
    }
    oracle::balances(&again.queue)?;
    again.close()?;
    Ok(missing.iter().sum())
}

struct Opened {
    queue: Queue,
    metrics: metrics::Queue,
    auditor: Reader,
    sink: Reader,
    detect: Reader,
}

impl Opened {
    fn open(engine: EngineKind, dir: &Path) -> Result<Self, String> {
        let metrics = metrics::Queue::default();
        let config = setting::config(engine, dir);
        let queue = Queue::open(&config, metrics.clone()).map_err(|e| format!("does not open: {e}"))?;
        let (auditor, sink) = (queue.reader(AUDITOR), queue.reader(SINK));
        let detect = queue.reader_of(DETECT, &[Log::Raw]);
        Ok(Self { queue, metrics, auditor, sink, detect })
    }

    /// Reads all that this consumer has not passed. Gives that, and how much is missing since it was at `was`: as much
    /// as its books say is lost.
    fn read(&mut self, name: &str, log: Log, was: u64) -> Result<(Vec<u64>, u64), String> {
        let reader = match name {
            AUDITOR => &mut self.auditor,
            SINK => &mut self.sink,
            _ => &mut self.detect,
        };
        // A cursor may have gone back, with the state that it belongs to.
        let from = reader.cursor(log).next.0.min(was);
        let read = oracle::read_all(&self.queue.monitor(), reader, log)?;
        let (missing, row) =
            (reader.end(log).0 - from - read.len() as u64, oracle::row(&self.queue.monitor(), name, log)?);
        ensure!(missing == row.lost, "`{name}` misses {missing} from {from} on, read {}: {row:?}", read.len());
        ensure!(row.dropped == 0 && row.expired == 0, "nothing was given up: {row:?}");
        Ok((read, missing))
    }

    /// The logs go on where they ended: no sequence is given twice.
    fn append(&self, ends: [u64; 2]) -> Result<(), String> {
        let [raw, derived] = Log::ALL.map(|log| workload::records(log, ends[log as usize], 1));
        let committed = oracle::commit(&self.queue, Transaction { raw, derived, ..Transaction::default() })?;
        let firsts = [committed.raw_first, committed.derived_first];
        ensure!(firsts == ends.map(QueueSeq), "appended at {firsts:?}, the ends were {ends:?}");
        Ok(())
    }

    fn rows_lost(&self) -> Vec<(String, Log, u64)> {
        self.queue.monitor().ledger().into_iter().map(|row| (row.consumer, row.log, row.lost)).collect()
    }

    fn close(self) -> Result<(), String> {
        self.queue.close().map_err(|e| format!("does not close: {e}"))
    }
}
