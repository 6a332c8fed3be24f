//! What of a window takes part in the relation of channels: each channel's level.
//!
//! A second figure, the logarithm of the standard deviation, was measured and found nothing more (decision 0025).

use super::super::calendar::WindowIndex;
use super::super::features::{Feature, Features};

/// The feature that is compared across channels.
pub(in crate::detect) const LEVEL: Feature = Feature::Mean;

/// The levels of all channels of a device in one window, in the order of the channels' names; `None` where a channel
/// is missing.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::detect) struct DeviceRow {
    pub(super) window: WindowIndex,
    levels: Vec<Option<f32>>,
}

impl DeviceRow {
    /// `channels` in the order of their names.
    pub(in crate::detect) fn new<'a>(
        window: WindowIndex,
        channels: impl IntoIterator<Item = Option<&'a Features>>,
    ) -> Self {
        Self::of_levels(window, channels.into_iter().map(|channel| channel.map(|features| features.get(LEVEL))))
    }

    /// A level that is not finite is a missing one.
    pub(super) fn of_levels(window: WindowIndex, levels: impl IntoIterator<Item = Option<f64>>) -> Self {
        let levels = levels.into_iter().map(|level| level.map(|l| l as f32).filter(|l| l.is_finite())).collect();
        Self { window, levels }
    }

    pub(super) fn channels(&self) -> usize {
        self.levels.len()
    }

    pub(super) fn level(&self, channel: usize) -> Option<f64> {
        self.levels.get(channel).copied().flatten().map(f64::from)
    }
}
