//! What a window keeps, without the rest of the operator.

#[path = "../../src/detect/windows/chunk.rs"]
mod chunk;
#[path = "../../src/detect/windows/content.rs"]
pub(in crate::detect) mod content;
#[path = "../../src/detect/windows/room.rs"]
pub(in crate::detect) mod room;
#[path = "../../src/detect/windows/samples.rs"]
mod samples;
#[path = "../../src/detect/windows/seconds.rs"]
mod seconds;

use std::time::Duration;

use super::features::{Nature, Sample, Scratch, summarise};
use content::Content;
use room::{Room, SAMPLES_MAX};

/// A window as the operator fills, closes and judges it.
pub(in crate::detect) struct Filled {
    room: Room,
    content: Content,
}

impl Filled {
    pub(in crate::detect) fn new(window_ns: i64) -> Self {
        let room = Room::new(SAMPLES_MAX, window_ns, 1, Duration::from_secs(30));
        Self { room, content: Content::of_seconds() }
    }

    pub(in crate::detect) fn push(&mut self, sample: Sample) {
        self.content.push(sample, &self.room);
    }

    /// Allocated while it is open.
    pub(in crate::detect) fn bytes(&self) -> usize {
        self.content.bytes()
    }

    /// Its number of readings, to keep the work from being left out.
    pub(in crate::detect) fn close(
        self,
        span: (firmware_protocol::measurement::EventTime, firmware_protocol::measurement::EventTime),
        scratch: &mut Scratch,
    ) -> u32 {
        let content = self.content.finished(&self.room);
        let mut work = Vec::new();
        summarise(content.series(&mut work), content.count, span, Nature::Level, scratch);
        content.count
    }
}
