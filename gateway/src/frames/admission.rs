//! [`Frames`] as the queue's [`Admission`]: what it knows, over restarts, and what goes into each commit.

use std::time::Duration;

use firmware_protocol::derived::{Derived, Gap};
use firmware_protocol::frame::is_frame;
use serde::{Deserialize, Serialize};

use super::devices::Missing;
use super::edges::{self, Edges};
use super::front::{Front, Meaning};
use super::tables::{self, Tables};
use super::waiting::{Held, Sender, Wanted};
use super::{Frames, MISSING};
use crate::detect;
use crate::queue::{Admission, Aside, Record};

/// What a snapshot holds, after a byte for its version.
#[derive(Serialize, Deserialize)]
struct Saved {
    devices: Vec<u8>,
    tables: Vec<tables::Saved>,
    edges: Vec<tables::Saved>,
}

/// Version 1 was that of [`Devices`] alone.
const SNAPSHOT_VERSION: u8 = 2;

impl Admission for Frames {
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        let Some((&SNAPSHOT_VERSION, body)) = snapshot.split_first() else {
            return self.devices.restore(snapshot).map_err(|error| error.to_string());
        };
        let saved: Saved = postcard::from_bytes(body).map_err(|error| error.to_string())?;
        self.devices.restore(&saved.devices).map_err(|error| error.to_string())?;
        self.tables = Tables::restored(saved.tables);
        self.edges = Edges::restored(saved.edges);
        Ok(())
    }

    fn learn(&mut self, record: &Record) {
        self.note(record, &Front::of(&record.payload, &record.topic));
        // They were told in that run.
        self.missing.clear();
    }

    fn recall(&mut self, number: u64, record: Record) {
        let (payload, topic) = (record.payload.clone(), record.topic.clone());
        let front = Front::of(&payload, &topic);
        let identity = match &front {
            Front::Frame(header, crc) => Some((header.boot.0, header.seq.0, *crc)),
            Front::Edge(_) | Front::Other => None,
        };
        let (wanted, is_known) = match self.meaning(&front, &payload) {
            Meaning::Unknown(wanted) => (wanted, false),
            // What it waited for is in the log, but the end of its waiting was lost with damage.
            Meaning::Known(_) | Meaning::None => (Wanted { sender: Sender::Edge(String::new()), table: 0 }, true),
        };
        let since = self.waits_since(&record);
        let held = Held { record, wanted, identity, since };
        if is_known {
            self.waiting.forget(number);
            self.ready.push(held);
        } else {
            self.ready.extend(self.waiting.recall(number, held));
        }
    }

    fn admit(&mut self, record: Record, log: &mut Vec<Record>) {
        if !is_frame(&record.payload) && !edges::is_edge(&record.topic) {
            return self.store(record, &Front::Other, log);
        }
        let (payload, topic) = (record.payload.clone(), record.topic.clone());
        match Front::of(&payload, &topic) {
            Front::Frame(header, crc) => self.admit_frame(record, &header, crc, log),
            Front::Edge(edge) => self.admit_edge(record, &edge, log),
            Front::Other => self.store(record, &Front::Other, log),
        }
    }

    fn release(&mut self, log: &mut Vec<Record>) {
        let ready = std::mem::take(&mut self.ready);
        self.store_released(ready, "released", log);
        let due = self.waiting.due(self.clock.stamp());
        self.store_released(due, "timed_out", log);
    }

    fn release_in(&self) -> Option<Duration> {
        if self.ready.is_empty() { self.waiting.due_in(self.clock.stamp()) } else { Some(Duration::ZERO) }
    }

    fn take(&mut self) -> Aside {
        self.metrics.devices.set(self.devices.len() as i64);
        self.metrics.tables.set((self.tables.len() + self.edges.len()) as i64);
        self.metrics.waiting.set(self.waiting.len() as i64);
        self.odd.tell();
        let gap = |Missing { device, count, from, to }| {
            self.metrics.missing.inc_by(count);
            let at_ms = |stamp| self.clock_map.resolve(stamp).at.as_millis();
            let gap = Gap {
                device,
                from_at_ms: at_ms(from),
                to_at_ms: at_ms(to),
                count,
                at_least: false,
                reason: MISSING.to_owned(),
            };
            detect::derived_record(&Derived::Gap(gap), self.received)
        };
        let derived = self.missing.drain(..).map(gap).collect();
        Aside { derived, waiting: self.waiting.take_changes() }
    }

    fn snapshot(&self) -> Vec<u8> {
        let saved = Saved { devices: self.devices.snapshot(), tables: self.tables.save(), edges: self.edges.save() };
        postcard::to_extend(&saved, vec![SNAPSHOT_VERSION]).expect("plain data, into memory")
    }
}
