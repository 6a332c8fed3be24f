//! Slices: what has come lately of windows that are still open, for those who cannot wait for their end.
//!
//! # Invariants
//! - Each slice is given once, restarted or not, when the watermark passes its end.
//! - A reading within the allowed disorder is in its slice; what comes later is only in its window.

use firmware_protocol::measurement::EventTime;

use super::super::calendar::WindowIndex;
use super::super::features::Sample;
use super::super::features::slice::CONTEXT_SAMPLES;
use super::content::Content;
use super::device::Device;
use super::timing::Timing;
use super::{ChannelPlace, DeviceIndex};
use super::{Event, Output};

/// Part of an open window of one channel, not empty.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::detect) struct Slice {
    pub(in crate::detect) device: DeviceIndex,
    pub(in crate::detect) channel: ChannelPlace,
    /// The window with it that closes first.
    pub(in crate::detect) window: WindowIndex,
    pub(in crate::detect) from: EventTime,
    pub(in crate::detect) to: EventTime,
    /// In order of time. The first `context` ones lie before `from`, in the same hop; at most [`CONTEXT_SAMPLES`].
    pub(in crate::detect) samples: Vec<Sample>,
    pub(in crate::detect) context: usize,
}

impl Device {
    /// Gives all slices of open windows that the watermark has passed.
    pub(super) fn slice(&mut self, timing: &Timing, out: &mut Output) {
        let (Some(early_ns), Some(at)) = (timing.early_ns, self.watermark.at(timing.out_of_order)) else { return };
        if at < self.slice_due_at {
            return;
        }
        let open_from = timing.calendar.start_of(self.watermark.closed_until());
        let mut from = self.sliced_until.max(open_from);
        let mut to = timing.slice_end(from, early_ns);
        while to <= at {
            self.slice_channels(from, to, early_ns, timing, out);
            from = to;
            to = timing.slice_end(from, early_ns);
        }
        self.sliced_until = from;
        self.slice_due_at = to;
    }

    fn slice_channels(&self, from: EventTime, to: EventTime, early_ns: i64, timing: &Timing, out: &mut Output) {
        let pane = timing.calendar.index_of(from);
        let window = timing.oldest_with(pane).max(self.watermark.closed_until());
        let start = timing.calendar.start_of(pane);
        let since = EventTime(from.0.saturating_sub(early_ns)).max(start);
        let mut read = Vec::new();
        let before_in = |content: &Content, since: EventTime, read: &mut Vec<Sample>| {
            read.clear();
            content.samples().read_since(since, read);
            read.retain(|s| (since..to).contains(&s.at));
            read.sort_unstable_by_key(|s| (s.at, s.value.to_bits()));
            read.partition_point(|s| s.at < from)
        };
        for channel in &self.in_order {
            let Some(content) = self.channels[channel.0 as usize].pane(pane) else { continue };
            let mut before = before_in(content, since, &mut read);
            if before < CONTEXT_SAMPLES && since > start && before < read.len() {
                // A slow channel: there are not many to read.
                before = before_in(content, start, &mut read);
            }
            if before == read.len() {
                continue;
            }
            let context = before.min(CONTEXT_SAMPLES);
            let samples = read[before - context..].to_vec();
            let slice = Slice { device: self.index, channel: *channel, window, from, to, samples, context };
            out.events.push(Event::Slice(slice));
        }
    }
}
