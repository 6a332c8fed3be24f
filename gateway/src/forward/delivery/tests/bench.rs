//! Drives a [`Delivery`] as the task does, with a clock, a log and a sink of its own.

use super::*;

pub(super) struct Bench {
    pub(super) core: Delivery,
    pub(super) config: DeliveryConfig,
    pub(super) now: Instant,
    pub(super) ends: PerLog<QueueSeq>,
    /// What the books were told.
    pub(super) places: PerLog<Place>,
    /// Sequences that cannot be encoded, that the sink is not to get, and those that a policy took out of the queue.
    pub(super) undeliverable: PerLog<BTreeSet<u64>>,
    pub(super) filtered: PerLog<BTreeSet<u64>>,
    pub(super) gone: PerLog<BTreeSet<u64>>,
    /// Of the raw log; all before it are gone.
    pub(super) first_record: u64,
    pub(super) unreadable: Vec<Log>,
    pub(super) reads: usize,
    /// Raw records are of this many devices in turn.
    pub(super) devices: u64,
    /// Or, if there are any, of these.
    pub(super) device_of: Vec<u64>,
    encoded: BTreeMap<BatchId, Sent>,
    pub(super) under_way: Vec<UnderWay>,
    pub(super) quarantined: Vec<(Log, u64)>,
    pub(super) confirmed: Vec<Sent>,
    /// The last record that the sink took of a device in a lane, since the last start.
    latest: BTreeMap<(Lane, u64), u64>,
    pub(super) out_of_order: Vec<String>,
    pub(super) has_been_split: bool,
    pub(super) is_finished: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sent {
    pub(super) lane: Lane,
    pub(super) log: Log,
    pub(super) seqs: Vec<u64>,
}

#[derive(Clone, Debug)]
pub(super) struct UnderWay {
    id: BatchId,
    pub(super) sent: Sent,
}

/// Records of one block of the log.
const BLOCK: u64 = 8;
/// Encoded.
pub(super) const RECORD_BYTES: u64 = 10;

/// Whether only the encoder sees that the record is not for the sink.
fn is_found_late(seq: u64) -> bool {
    seq % 2 == 1
}

impl Bench {
    pub(super) fn config() -> DeliveryConfig {
        DeliveryConfig { batch_records_max: 8, ..DeliveryConfig::default() }
    }

    pub(super) fn new(raw: u64, derived: u64) -> Self {
        Self::with(Self::config(), raw, derived)
    }

    pub(super) fn with(config: DeliveryConfig, raw: u64, derived: u64) -> Self {
        Self {
            core: Delivery::new(&config, PerLog::default(), 1),
            config,
            now: Instant::now(),
            ends: PerLog { raw: QueueSeq(raw), derived: QueueSeq(derived) },
            places: PerLog::default(),
            undeliverable: PerLog::default(),
            filtered: PerLog::default(),
            gone: PerLog::default(),
            first_record: 0,
            unreadable: Vec::new(),
            reads: 0,
            devices: 1,
            device_of: Vec::new(),
            encoded: BTreeMap::new(),
            under_way: Vec::new(),
            quarantined: Vec::new(),
            confirmed: Vec::new(),
            latest: BTreeMap::new(),
            out_of_order: Vec::new(),
            has_been_split: false,
            is_finished: false,
        }
    }

    /// The process dies, and what it had in memory with it.
    pub(super) fn restart(&mut self) {
        self.core = Delivery::new(&self.config, self.places.clone(), 2);
        self.encoded.clear();
        self.under_way.clear();
        self.latest.clear();
    }

    /// Does all that needs no outcome and no time; returns until when it waits, if for a time at all.
    pub(super) fn run(&mut self) -> Option<Instant> {
        self.run_with(&mut || true)
    }

    pub(super) fn run_with(&mut self, disk_works: &mut impl FnMut() -> bool) -> Option<Instant> {
        for _ in 0..100_000 {
            let action = self.core.poll(self.now, self.ends);
            self.has_been_split |= self.core.tracks.raw.is_split();
            match action {
                Action::Read { log, from } => self.read(log, from),
                Action::Encode { batch, items, bytes_max, .. } => self.encode(batch, &items, bytes_max),
                Action::Send { batch } => {
                    let sent = self.encoded[&batch].clone();
                    self.under_way.push(UnderWay { id: batch, sent });
                }
                Action::Quarantine { .. } | Action::Tell { .. } if !disk_works() => self.core.on_disk_failed(self.now),
                Action::Quarantine { batch, item, .. } => {
                    let log = self.encoded[&batch].log;
                    self.quarantined.push((log, item.seq.0));
                    self.core.on_quarantined(batch);
                }
                Action::Tell { log, place } => {
                    assert_grows(self.places.of(log), &place);
                    *self.places.of_mut(log) = place.clone();
                    self.core.on_told(log, place);
                }
                Action::Wait { until } => return until,
                Action::Finish => {
                    self.is_finished = true;
                    return None;
                }
            }
        }
        panic!("the core never waits: {:?}", self.core);
    }

    fn device(&self, log: Log, seq: u64) -> u64 {
        match (log, self.device_of.get(seq as usize)) {
            (Log::Derived, _) => 0,
            (Log::Raw, Some(device)) => *device,
            // Neighbours are mostly of one device, and not always.
            (Log::Raw, None) => (seq / 3 + seq % 2) % self.devices,
        }
    }

    fn record(&self, log: Log, seq: u64) -> Record {
        Record {
            door: Door::Mqtt,
            flags: Flags::default(),
            received: Stamp::default(),
            topic: Bytes::from(format!("d{}", self.device(log, seq))),
            payload: Bytes::from(seq.to_string()),
            content_type: Bytes::new(),
            table: Bytes::new(),
        }
    }

    fn read(&mut self, log: Log, from: QueueSeq) {
        self.reads += 1;
        if self.unreadable.contains(&log) {
            return self.core.on_read_failed(log, self.now);
        }
        let end = self.ends.of(log).0;
        let is_there =
            |seq: &u64| !self.gone.of(log).contains(seq) && (log == Log::Derived || *seq >= self.first_record);
        let first = (from.0.max(if log == Log::Raw { self.first_record } else { 0 })..end).find(is_there);
        let block = first.map(|found| {
            let begin = (found / BLOCK * BLOCK..=found).rev().take_while(is_there).last().unwrap_or(found);
            let seqs = (begin..end.min((found / BLOCK + 1) * BLOCK)).take_while(is_there);
            Block::new(log, QueueSeq(begin), seqs.map(|seq| self.record(log, seq)).collect())
        });
        let filtered = self.filtered.of(log);
        let takes = |record: &Record| {
            let seq = std::str::from_utf8(&record.payload).unwrap().parse().unwrap();
            !filtered.contains(&seq) || is_found_late(seq)
        };
        self.core.on_read(log, from, block.as_ref(), &takes);
    }

    fn encode(&mut self, id: BatchId, items: &[Item], bytes_max: usize) {
        let batch = self.core.batches[id].as_ref().unwrap();
        let (lane, log) = (batch.lane, batch.log);
        let (mut encoded, mut seqs, mut bytes) = (Vec::new(), Vec::new(), 0);
        for item in items {
            if bytes as usize >= bytes_max {
                break;
            }
            assert_eq!(item.record(), &self.record(log, item.seq.0));
            if self.undeliverable.of(log).contains(&item.seq.0) {
                self.quarantined.push((log, item.seq.0));
                encoded.push(Encoded::Aside);
            } else if self.filtered.of(log).contains(&item.seq.0) {
                encoded.push(Encoded::LeftOut);
            } else {
                seqs.push(item.seq.0);
                bytes += RECORD_BYTES;
                encoded.push(Encoded::In);
            }
        }
        self.encoded.insert(id, Sent { lane, log, seqs });
        self.core.on_encoded(id, &encoded, bytes, self.now);
    }

    pub(super) fn answer(&mut self, outcome: Result<(), SinkError>) -> Verdict {
        self.answer_at(0, outcome)
    }

    pub(super) fn answer_at(&mut self, at: usize, outcome: Result<(), SinkError>) -> Verdict {
        let UnderWay { id, sent, .. } = self.under_way.remove(at);
        if outcome.is_ok() {
            for seq in &sent.seqs {
                let key = (sent.lane, self.device(sent.log, *seq));
                let before = self.latest.insert(key, *seq);
                if before.is_some_and(|before| before >= *seq) {
                    self.out_of_order.push(format!("{seq} after {before:?} of {key:?}"));
                }
            }
            self.confirmed.push(sent);
        }
        self.core.on_outcome(id, outcome, self.now)
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// Passes the time up to what the core waits for.
    pub(super) fn pass_until_due(&mut self) {
        let until = self.run().expect("something is due");
        self.now = self.now.max(until);
    }

    /// The same, but no further than this.
    pub(super) fn pass_until_due_or(&mut self, most: Duration) {
        let until = self.run().unwrap_or(self.now + most);
        self.now = self.now.max(until.min(self.now + most));
    }

    /// Encoded, and never sent.
    pub(super) fn ready(&self) -> Vec<Sent> {
        let ready = self.core.batches().filter(|(_, batch)| batch.state == State::Ready && batch.is_fresh());
        ready.map(|(id, _)| self.encoded[&id].clone()).collect()
    }

    pub(super) fn sequence(&self, log: Log) -> Vec<u64> {
        self.confirmed.iter().filter(|sent| sent.log == log).flat_map(|sent| &sent.seqs).copied().collect()
    }
}

/// What the books were told once stays told, and the counts are of all that is settled.
fn assert_grows(before: &Place, after: &Place) {
    let settled = |place: &Place, seq: u64| {
        place.cursor.next.0 > seq || place.ahead.iter().any(|run| (run.first.0..run.end.0).contains(&seq))
    };
    for run in &before.ahead {
        assert!((run.first.0..run.end.0).all(|seq| settled(after, seq)), "{before:?} then {after:?}");
    }
    assert!(before.cursor.next <= after.cursor.next, "{before:?} then {after:?}");
    assert!(before.cursor.delivered <= after.cursor.delivered, "{before:?} then {after:?}");
    let mut at = after.cursor.next;
    for run in &after.ahead {
        assert!(at < run.first && run.first < run.end, "runs ascend and leave gaps: {after:?}");
        at = run.end;
    }
}

pub(super) fn retry() -> Result<(), SinkError> {
    Err(SinkError::Retry { reason: "away".into(), after: None })
}

pub(super) fn reject() -> Result<(), SinkError> {
    Err(SinkError::Reject { reason: "bad line".into() })
}

pub(super) fn misconfigured() -> Result<(), SinkError> {
    Err(SinkError::Misconfigured { reason: "no such bucket".into() })
}
