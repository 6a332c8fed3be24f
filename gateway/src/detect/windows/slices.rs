//! Slices: what has come lately of windows that are still open, for those who cannot wait for their end.
//!
//! # Invariants
//! - Each slice is given once, restarted or not, when the watermark passes its end.
//! - A reading within the allowed disorder is in its slice; what comes later is only in its window.

use firmware_protocol::measurement::EventTime;

use super::super::calendar::WindowIndex;
use super::super::features::Series;
use super::super::features::slice::CONTEXT_SAMPLES;
use super::content::{Content, Part};
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
    /// The first `context` samples, or seconds, lie before `from`, in the same hop; at most [`CONTEXT_SAMPLES`].
    pub(super) part: Part,
    pub(super) context: usize,
}

impl Slice {
    /// What lies before the slice, and its own, in order of time.
    pub(in crate::detect) fn series(&self) -> (Series<'_>, Series<'_>) {
        match &self.part {
            Part::Samples(samples) => {
                let (context, own) = samples.split_at(self.context);
                (Series::Samples(context), Series::Samples(own))
            }
            Part::Seconds(seconds) => {
                let (context, own) = seconds.split_at(self.context);
                (Series::Seconds(context), Series::Seconds(own))
            }
        }
    }
}

impl Part {
    fn len(&self) -> usize {
        match self {
            Self::Samples(samples) => samples.len(),
            Self::Seconds(seconds) => seconds.len(),
        }
    }

    /// How many lie before `from`; a second that does not end by then is of what follows.
    fn before(&self, from: EventTime) -> usize {
        match self {
            Self::Samples(samples) => samples.partition_point(|s| s.at < from),
            Self::Seconds(seconds) => seconds.partition_point(|s| s.at.end() <= from),
        }
    }

    fn leave_out(&mut self, first: usize) {
        match self {
            Self::Samples(samples) => drop(samples.drain(..first)),
            Self::Seconds(seconds) => drop(seconds.drain(..first)),
        }
    }
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
        let part_from = |content: &Content, since: EventTime| {
            let part = content.part(since, to, &timing.room);
            let before = part.before(from);
            (part, before)
        };
        for channel in &self.in_order {
            let Some(content) = self.channels[channel.0 as usize].pane(pane) else { continue };
            let (mut part, mut before) = part_from(content, since);
            if before < CONTEXT_SAMPLES && since > start && before < part.len() {
                // A slow channel: there are not many to read.
                (part, before) = part_from(content, start);
            }
            if before == part.len() {
                continue;
            }
            let context = before.min(CONTEXT_SAMPLES);
            part.leave_out(before - context);
            let slice = Slice { device: self.index, channel: *channel, window, from, to, part, context };
            out.events.push(Event::Slice(slice));
        }
    }
}
