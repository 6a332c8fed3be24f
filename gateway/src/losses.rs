//! Puts what the queue has lost into words: which devices, from when to when, how many, why.
//!
//! # Invariants
//! - Counts are exact: every record of a loss is in one gap. Devices beyond [`DEVICES_MAX`], and records that name none,
//!   share one under [`UNNAMED`].
//! - It runs on the queue's writer while that makes room, so a record costs a look at its topic, no decoding of readings.
//!
//! # Not here
//! What is lost, and when: `queue`. Where gaps go: they are records of the derived log.

use std::collections::HashMap;

use firmware_protocol::content_type::ContentType;
use firmware_protocol::decode::{DEVICE_MAX_BYTES, Decoder};
use firmware_protocol::derived::{Derived, Gap};
use firmware_protocol::frame::is_frame;
use firmware_protocol::measurement::EventTime;

use crate::clock::{Clock, SharedClockMap};
use crate::detect;
use crate::queue::{Fate, Gaps, Log, Monitor, Record};

/// Stands for the devices that are not named.
const UNNAMED: &str = "*";
/// Devices named one by one in one loss: some 150 KB of gaps.
const DEVICES_MAX: usize = 1_000;
/// Topics whose device is remembered in one loss; above it each record is looked at.
const TOPICS_MAX: usize = 16_384;

/// The queue's [`Gaps`], told by topics and received times.
pub(crate) struct Losses {
    decoder: Decoder,
    clock: Clock,
    clock_map: SharedClockMap,
    /// Name of the state that holds the clock map.
    clock_state: &'static str,
    /// What was noted since the last `take`, for each fate.
    noted: Vec<(Fate, Noted)>,
}

/// A device's part of a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tally {
    count: u64,
    /// First and last received time.
    from: EventTime,
    to: EventTime,
    at_least: bool,
}

#[derive(Debug, Default)]
struct Noted {
    /// In the order in which they were first met.
    devices: Vec<(String, Tally)>,
    /// Of `devices`, by name.
    places: HashMap<String, usize>,
    /// Of `devices`, by the topics that alone tell them.
    topics: HashMap<String, usize>,
    unnamed: Option<Tally>,
}

impl Losses {
    /// `clock_map` is filled with what the state `clock_state` holds as soon as the queue is open.
    pub(crate) fn new(decoder: Decoder, clock: Clock, clock_map: SharedClockMap, clock_state: &'static str) -> Self {
        Self { decoder, clock, clock_map, clock_state, noted: Vec::new() }
    }
}

impl Gaps for Losses {
    fn opened(&mut self, monitor: &Monitor) {
        match monitor.state(self.clock_state) {
            Ok(state) => self.clock_map.restore(&state.unwrap_or_default()),
            Err(error) => {
                tracing::error!(%error, "The clock map cannot be read: when records of earlier boots came is not known.");
            }
        }
    }

    fn note(&mut self, fate: Fate, records: &mut dyn Iterator<Item = &Record>) {
        let noted = noted(&mut self.noted, fate);
        for record in records {
            let at = self.clock_map.resolve(record.received).at;
            noted.add(&self.decoder, record, Tally { count: 1, from: at, to: at, at_least: false });
        }
    }

    fn note_unread(&mut self, fate: Fate, _: Log, records: u64) {
        // When they were received nobody can tell any more; that they are gone is known from now on.
        let now = self.clock_map.resolve(self.clock.stamp()).at;
        let tally = Tally { count: records, from: now, to: now, at_least: records == 0 };
        noted(&mut self.noted, fate).add_unnamed(tally);
    }

    fn take(&mut self) -> Vec<Record> {
        let received = self.clock.stamp();
        let mut records = Vec::new();
        for (fate, noted) in self.noted.drain(..) {
            let unnamed = noted.unnamed.map(|tally| (UNNAMED.to_owned(), tally));
            let gaps = noted.devices.into_iter().chain(unnamed).map(|(device, tally)| tally.gap(device, fate));
            records.extend(gaps.map(|gap| detect::derived_record(&Derived::Gap(gap), received)));
        }
        records
    }
}

fn noted(all: &mut Vec<(Fate, Noted)>, fate: Fate) -> &mut Noted {
    let place = all.iter().position(|(f, _)| *f == fate).unwrap_or_else(|| {
        all.push((fate, Noted::default()));
        all.len() - 1
    });
    &mut all[place].1
}

impl Noted {
    fn add(&mut self, decoder: &Decoder, record: &Record, tally: Tally) {
        let topic = str::from_utf8(&record.topic).unwrap_or_default();
        // Frames and lines name their devices themselves, whatever the topic.
        let names_itself =
            is_frame(&record.payload) || matches!(ContentType::of(record.content_type()), ContentType::LineProtocol(_));
        if let Some(place) = self.topics.get(topic).filter(|_| !names_itself) {
            return self.devices[*place].1.add(tally);
        }
        let device = decoder.device_of(topic, &record.payload, record.content_type());
        if device.is_empty() || device.len() > DEVICE_MAX_BYTES {
            return self.add_unnamed(tally);
        }
        let place = match self.places.get(&*device) {
            Some(place) => {
                self.devices[*place].1.add(tally);
                *place
            }
            None if self.devices.len() == DEVICES_MAX => return self.add_unnamed(tally),
            None => {
                self.places.insert(device.to_string(), self.devices.len());
                self.devices.push((device.into_owned(), tally));
                self.devices.len() - 1
            }
        };
        if !names_itself && self.topics.len() < TOPICS_MAX && decoder.device_is_in_topic(topic) {
            self.topics.insert(topic.to_owned(), place);
        }
    }

    fn add_unnamed(&mut self, tally: Tally) {
        match &mut self.unnamed {
            Some(unnamed) => unnamed.add(tally),
            None => self.unnamed = Some(tally),
        }
    }
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.from = self.from.min(other.from);
        self.to = self.to.max(other.to);
        self.at_least |= other.at_least;
    }

    fn gap(self, device: String, fate: Fate) -> Gap {
        let Self { count, from, to, at_least } = self;
        let (from_at_ms, to_at_ms) = (from.as_millis(), to.as_millis());
        Gap { device, from_at_ms, to_at_ms, count, at_least, reason: fate.name().to_owned() }
    }
}

#[cfg(test)]
mod tests;
