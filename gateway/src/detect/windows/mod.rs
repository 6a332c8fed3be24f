//! The window operator: readings in, closed windows out, in event time.
//!
//! # What
//! Windows per device and channel, side by side or hopping, aligned to 1970. A device's windows close together when its
//! watermark (newest event time less `out_of_order`) passes their end, or when its time has not moved on for `idle_timeout`.
//! A channel that gave nothing yields empty windows, so that a dropout is seen; after `EMPTY_WINDOWS_MAX` in a row it
//! sleeps until its next reading. A reading within the allowed lateness makes a closed window close again, with the next
//! revision.
//!
//! # Invariants
//! - The same readings in any order within `out_of_order` give the same windows: samples are sorted by time and bits, a
//!   windows close by start, then by the channel's name.
//! - In any order within the allowed lateness the newest revisions are the same. Not quite those of a channel that gives
//!   more than `SAMPLES_MAX` readings a window, whose seconds are folded: what comes later for one is merged with it, so
//!   that a repeat without a frame's identity counts twice, and movement within it is that of its larger part.
//! - A channel is one of samples, or, from the first window with too many on, one of seconds.
//! - What happens when depends on the records and on when they were received, not on when anybody looked.
//! - Each reading is counted once, with one reason.
//! - Memory: at most `channels_max` channels; of each open hop a plain tail and packed samples, `SAMPLES_MAX` at most, or
//!   48 bytes a second and the samples of the seconds that may still get some.
//!
//! # Flow
//! ```text
//! reading ─▶ operator ─▶ device (watermark) ─▶ channel: pane ─▶ close ─▶ Event::Closed, revision 0
//!                            │                   ▲   │             └▶ archive ◀─┐
//!                            ├─▶ late ───────────┘   └─▶ slice ─▶ Event::Slice  │
//!                            └─▶ (a minute later) revise ───────────────────────┴▶ Event::Closed, next revision
//! ```
//! A pane is the first hop of a window; windows side by side are one pane each.
//!
//! # Not here
//! Features, persistence (see `engine`), clocks: all times are arguments.

mod archive;
mod channel;
mod chunk;
mod content;
mod counts;
mod device;
#[cfg(test)]
mod golden;
mod late;
mod operator;
mod repeats;
mod room;
mod runs;
mod samples;
mod seconds;
mod slices;
mod timing;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::calendar::WindowIndex;
use super::features::{Sample, Series};
use content::Content;

pub(super) use archive::{Archive, Archived, Place};
pub(super) use channel::SavedChannel;
pub use counts::Counts;
pub(super) use device::Device;
pub(crate) use late::REVISE_AFTER;
pub(super) use operator::{NAME_BYTES_MAX, Operator, Pass, Taken, Unsaved};
pub(super) use room::SAMPLES_MAX;
pub(super) use slices::Slice;
#[cfg(test)]
pub(super) use {
    content::thin_out,
    room::{Beyond, Room},
};

/// Place of a device or channel in the order of appearance; channels count per device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct DeviceIndex(pub(super) u32);
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct ChannelPlace(pub(super) u32);

/// What the operator has to tell, in order.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    /// Windows of one device and start, all that closed together, in order of the channels' names. Not empty.
    Closed(Vec<Closed>),
    Slice(Slice),
}

/// A window that will change only by a revision.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Closed {
    pub(super) device: DeviceIndex,
    pub(super) channel: ChannelPlace,
    pub(super) window: WindowIndex,
    /// 0 for the first result.
    pub(super) revision: u32,
    content: Content,
}

impl Closed {
    /// Readings; more than there are samples if the window was thinned out.
    pub(super) fn count(&self) -> u32 {
        self.content.count
    }

    /// Its readings in order of time, or the seconds of a channel that gives too many; readings are put into `work`.
    pub(super) fn series<'a>(&'a self, work: &'a mut Vec<Sample>) -> Series<'a> {
        self.content.series(work)
    }
}

/// What came of some calls.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) events: Vec<Event>,
    pub(super) counts: Counts,
}
