//! One made-up device, its messages, and the engine that judges them.

use std::collections::BTreeMap;
use std::time::Duration;

use firmware_protocol::derived::{AnomalyState, Derived, IncidentState};
use firmware_protocol::ids::{BootId, DeviceSeq};
use firmware_protocol::measurement::{EventTime, FrameIdentity, Measurement, Reading, Received};

use crate::detect::synthetic::{Stream, Tick, WINDOW_S};
use crate::detect::{Changes, Config, Engine, InMemory};
use crate::queue::{Cursor, QueueSeq};

/// Monday, 2023-11-13 00:00 UTC.
const START_MS: i64 = 1_699_833_600_000;
const WINDOW_MS: i64 = WINDOW_S as i64 * 1_000;
/// Readings of a message: a minute of a device that reads once a second.
const MESSAGE_TICKS: usize = 60;
/// Derived records before a transaction is made.
const COMMIT_AT: usize = 256;
/// Messages that an engine may need again after a restore: those of its open windows, and one more window's.
const KEPT_WINDOWS: usize = 3;

/// An alarmed window of one channel.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Alarm {
    /// Since the device's first.
    pub(super) window: usize,
    /// The one named first.
    pub(super) channel: String,
    pub(super) score: f64,
}

/// What a person was told of.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told {
    /// In which it opened, since the device's first.
    pub(super) window: usize,
    /// The first kind of deviation.
    pub(super) kind: String,
    was_taken_back: bool,
}

/// What happens to messages on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// Each once and in order.
    Plain,
    /// Every fifth comes after the next one, every seventh twice.
    Disordered,
    /// From this window on the device's clock is an hour ahead.
    ClockJump { from: usize },
}

#[derive(Debug)]
pub(super) struct Device {
    config: Config,
    engine: Engine,
    store: InMemory,
    cursor: Cursor,
    stream: Stream,
    delivery: Delivery,
    /// The newest messages as they were sent, by the window they were made in.
    sent: Vec<(usize, QueueSeq, Measurement, EventTime)>,
    next_seq: u64,
    frames: u64,
    pub(super) alarms: Vec<Alarm>,
    incidents: BTreeMap<String, Told>,
    /// Ids, revisions and scores of all windows, for comparison.
    pub(super) windows: Vec<(String, u32, Option<f64>)>,
    ticks: Vec<Tick>,
}

impl Device {
    pub(super) fn new(stream: Stream, learn: Duration, knob: f64, delivery: Delivery) -> Self {
        let config = Config { learn, false_alarms_per_month: knob, ..Config::default() };
        let store = InMemory::default();
        let engine = Engine::restore(&config, &store, Cursor::default());
        Self {
            config,
            engine,
            store,
            cursor: Cursor::default(),
            stream,
            delivery,
            sent: Vec::new(),
            next_seq: 0,
            frames: 0,
            alarms: Vec::new(),
            incidents: BTreeMap::new(),
            windows: Vec::new(),
            ticks: Vec::new(),
        }
    }

    pub(super) fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// Another device that goes on from here, with no alarms yet.
    pub(super) fn copy(&mut self) -> Self {
        self.commit();
        let mut copy = Self {
            config: self.config.clone(),
            engine: Engine::restore(&self.config, &self.store, self.cursor),
            store: self.store.clone(),
            cursor: self.cursor,
            stream: self.stream.clone(),
            delivery: self.delivery,
            sent: self.sent.clone(),
            next_seq: self.next_seq,
            frames: self.frames,
            alarms: Vec::new(),
            incidents: BTreeMap::new(),
            windows: Vec::new(),
            ticks: Vec::new(),
        };
        // The engine asks again for what fed its open windows.
        let from = copy.engine.next();
        for (_, seq, measurement, received_at) in copy.sent.iter().filter(|(_, seq, ..)| *seq >= from) {
            copy.engine.on_measurement(*seq, measurement, Received::known(*received_at), &copy.store);
        }
        copy
    }

    /// Incidents that were not taken back, in order of time.
    pub(super) fn told(&self) -> Vec<&Told> {
        let mut told: Vec<&Told> = self.incidents.values().filter(|t| !t.was_taken_back).collect();
        told.sort_by_key(|t| t.window);
        told
    }

    /// Goes on to window number `until`.
    pub(super) fn run_to(&mut self, until: usize) {
        while self.stream.windows() < until {
            let window = self.stream.windows();
            let mut ticks = std::mem::take(&mut self.ticks);
            ticks.clear();
            self.stream.next_window(&mut ticks);
            self.sent.retain(|(made, ..)| made + KEPT_WINDOWS > window);
            let mut messages: Vec<(Measurement, EventTime)> =
                ticks.chunks(MESSAGE_TICKS).map(|ticks| self.message(window, ticks)).collect();
            self.ticks = ticks;
            if self.delivery == Delivery::Disordered {
                messages = disordered(messages);
            }
            for (measurement, received_at) in messages {
                self.send(window, measurement, received_at);
            }
        }
        self.commit();
    }

    fn message(&mut self, window: usize, ticks: &[Tick]) -> (Measurement, EventTime) {
        let mut measurement = Measurement::default();
        measurement.set_device("device");
        measurement.identity = Some(FrameIdentity { boot: BootId(1), seq: DeviceSeq(self.frames as u32) });
        self.frames += 1;
        let ahead_ms = match self.delivery {
            Delivery::ClockJump { from } if window >= from => 3_600_000,
            Delivery::Plain | Delivery::Disordered | Delivery::ClockJump { .. } => 0,
        };
        for (place, name) in self.stream.kind().channels().iter().enumerate() {
            let channel = measurement.push_channel(name);
            for tick in ticks {
                let at = EventTime::from_millis(START_MS + ahead_ms + tick.at_ms as i64);
                measurement.readings.extend(tick.values[place].map(|value| Reading { channel, at, value }));
            }
        }
        let last_ms = ticks.last().map_or(0, |t| t.at_ms as i64);
        (measurement, EventTime::from_millis(START_MS + last_ms + 1_000))
    }

    fn send(&mut self, window: usize, measurement: Measurement, received_at: EventTime) {
        let seq = QueueSeq(self.next_seq);
        self.next_seq += 1;
        self.engine.on_measurement(seq, &measurement, Received::known(received_at), &self.store);
        self.engine.on_idle(received_at, &self.store);
        self.sent.push((window, seq, measurement, received_at));
        if self.engine.derived_waiting() >= COMMIT_AT {
            self.commit();
        }
    }

    fn commit(&mut self) {
        let Some(Changes { derived, cursor, state, past }) = self.engine.changes() else { return };
        self.cursor = cursor;
        self.store.commit(state, past);
        for record in derived {
            match record {
                Derived::Anomaly(a) if a.state == AnomalyState::Confirmed => {
                    let first = a.channels.first().map(|c| c.channel.clone());
                    self.alarms.push(Alarm {
                        window: ((a.start_at_ms - START_MS) / WINDOW_MS) as usize,
                        channel: first.unwrap_or(a.channel),
                        score: a.score,
                    });
                }
                Derived::Window(w) => self.windows.push((w.id, w.revision, w.score)),
                Derived::Incident(i) => {
                    let told = Told {
                        window: ((i.opened_at_ms - START_MS) / WINDOW_MS) as usize,
                        kind: i.kinds.first().cloned().unwrap_or_default(),
                        was_taken_back: i.state == IncidentState::Withdrawn,
                    };
                    self.incidents.insert(i.id, told);
                }
                Derived::Anomaly(_) | Derived::Gap(_) => {}
            }
        }
    }
}

fn disordered(messages: Vec<(Measurement, EventTime)>) -> Vec<(Measurement, EventTime)> {
    let mut out: Vec<(Measurement, EventTime)> = Vec::with_capacity(messages.len() * 2);
    for (i, message) in messages.into_iter().enumerate() {
        let again = (i % 7 == 3).then(|| message.clone());
        match out.pop() {
            Some(before) if i % 5 == 4 => out.extend([message, before]),
            Some(before) => out.extend([before, message]),
            None => out.push(message),
        }
        out.extend(again);
    }
    out
}
