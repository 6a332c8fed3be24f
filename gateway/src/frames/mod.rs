//! Firmware frames at the door: each is stored once, and what is missing of them is told.
//!
//! A frame says who it is: `(device, boot, seq)`. It may come through two doors, from two brokers, or again after a lost
//! acknowledgement; the queue's writer, where all doors meet in order, asks here whether it is new.
//!
//! # Invariants
//! - Nothing is dropped on suspicion: a repeat is a frame with a right CRC whose identity is known to be stored. A broken
//!   frame, one too far back to tell, and one with other bytes than the frame it claims to be are stored and counted.
//! - All that is known follows from the stored records (see [`Admission`]), so a crash makes nothing come twice.
//! - A record that is no frame costs a look at its first two bytes.
//!
//! # Flow
//! ```text
//! record ─▶ Frames (CRC, identity) ─▶ Devices (bounded, by device) ─▶ Window (one boot: what is missing)
//!              └▶ Repeat or Store          └▶ Missing ─▶ gap records, reason `missing`
//! ```
//!
//! # Not here
//! Messages without an identity of their own: two of them may well be equal and mean two things.

mod devices;
#[cfg(test)]
mod tests;
mod window;

use std::time::Duration;

use firmware_protocol::derived::{Derived, Gap};
use firmware_protocol::frame::{Header, is_frame};

use crate::clock::{SharedClockMap, Stamp};
use crate::detect;
use crate::metrics::{self, DoorLabel};
use crate::queue::{Admission, Admit, Record};

use devices::{Arrival, Devices, Missing, Seen};

/// `reason` of the gap records.
const MISSING: &str = "missing";

/// Settings of `[frames]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Frames that have not come are told this long after one with a later sequence came.
    pub gap_after: Duration,
    /// Devices remembered; those heard longest ago are forgotten for new ones.
    pub devices_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        // A broker delivers again after a reconnect, whose pauses are up to 30 s each; a device itself may wait longer.
        Self { gap_after: Duration::from_secs(300), devices_max: 10_000 }
    }
}

/// The queue's [`Admission`].
pub struct Frames {
    devices: Devices,
    clock_map: SharedClockMap,
    metrics: metrics::Frames,
    /// Since the last `take`.
    missing: Vec<Missing>,
    /// Frames since the last `take` whose identity another one had, and the device of one of them.
    reused: Option<(u64, String)>,
    /// The latest record's.
    received: Stamp,
}

impl Frames {
    /// `clock_map` gives the times of gap records.
    pub fn new(config: &Config, clock_map: SharedClockMap, metrics: metrics::Frames) -> Self {
        let (missing, reused, received) = (Vec::new(), None, Stamp::default());
        Self { devices: Devices::new(config), clock_map, metrics, missing, reused, received }
    }

    /// `None`: it is no frame.
    fn look(&mut self, record: &Record) -> Option<Seen> {
        self.received = record.received;
        let verified = if is_frame(&record.payload) { Header::verify(&record.payload).ok() } else { None };
        let Some((header, crc)) = verified else {
            self.devices.pass(record.received, &mut self.missing);
            return None;
        };
        Some(self.devices.take(&Arrival { header, crc, received: record.received }, &mut self.missing))
    }

    fn count_reused(&mut self, record: &Record) {
        let device = Header::peek(&record.payload).map(|header| header.device).unwrap_or_default();
        self.reused.get_or_insert_with(|| (0, device.to_owned())).0 += 1;
    }
}

impl Admission for Frames {
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        self.devices.restore(snapshot).map_err(|error| error.to_string())
    }

    fn learn(&mut self, record: &Record) {
        self.look(record);
        // They were told in that run.
        self.missing.clear();
    }

    fn admit(&mut self, record: &Record) -> Admit {
        match self.look(record) {
            Some(Seen::Repeat) => {
                self.metrics.repeats.get_or_create(&DoorLabel { door: record.door.name() }).inc();
                return Admit::Repeat;
            }
            Some(Seen::New) | None => {}
            Some(Seen::AfterAll) => {
                self.metrics.after_all.inc();
            }
            Some(Seen::Unknown) => drop(self.metrics.unknown.inc()),
            Some(Seen::Reused) => {
                self.metrics.reused.inc();
                self.count_reused(record);
            }
        }
        Admit::Store
    }

    fn take(&mut self) -> Vec<Record> {
        self.metrics.devices.set(self.devices.len() as i64);
        if let Some((frames, device)) = self.reused.take() {
            tracing::warn!(
                frames,
                device,
                "Frames have the identity of others before: a device must not have one boot id twice. They are stored."
            );
        }
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
        self.missing.drain(..).map(gap).collect()
    }

    fn snapshot(&self) -> Vec<u8> {
        self.devices.snapshot()
    }
}

/// A stamp as two numbers, for snapshots.
mod stamp {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::clock::{ClockBoot, Stamp};

    pub(super) fn serialize<S: Serializer>(stamp: &Stamp, serializer: S) -> Result<S::Ok, S::Error> {
        (stamp.boot.0, stamp.since_boot_ns).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Stamp, D::Error> {
        let (boot, since_boot_ns) = Deserialize::deserialize(deserializer)?;
        Ok(Stamp { boot: ClockBoot(boot), since_boot_ns })
    }
}
