//! Where closed windows wait for late readings.

use serde::{Deserialize, Serialize};

use super::super::calendar::WindowIndex;
use super::content::Content;
use super::{ChannelPlace, DeviceIndex};

/// A closed window and its first hop.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::detect) struct Archived {
    /// Of the window's newest result.
    pub(super) revision: u32,
    /// Of all readings in that result.
    pub(super) digest: u64,
    /// The readings of the window's first hop; those of the others are archived with their own windows.
    pub(super) pane: Content,
}

/// One window of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::detect) struct Place {
    pub(in crate::detect) device: DeviceIndex,
    pub(in crate::detect) channel: ChannelPlace,
    pub(in crate::detect) window: WindowIndex,
}

/// Keeps closed windows for the allowed lateness. The operator sees no keys or disks.
pub(in crate::detect) trait Archive {
    /// `None` as well for a window that was empty in its first result.
    fn load(&self, place: Place) -> Option<Archived>;

    fn store(&mut self, place: Place, archived: &Archived);

    fn remove(&mut self, place: Place);
}
