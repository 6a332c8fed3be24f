//! What of a window takes part in the relation of channels.

use super::super::calendar::WindowIndex;
use super::super::features::{Feature, Features};

/// A figure of one channel's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(in crate::detect) enum Figure {
    /// The mean of the readings.
    Level = 0,
}

impl Figure {
    pub(super) const COUNT: usize = 1;
    pub(super) const ALL: [Self; Self::COUNT] = [Self::Level];

    /// The feature that a person is told.
    pub(in crate::detect) fn feature(self) -> Feature {
        match self {
            Self::Level => Feature::Mean,
        }
    }
}

/// The figures of all channels of a device in one window, by the channels' places; `None` where a channel is missing.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::detect) struct DeviceRow {
    pub(in crate::detect) window: WindowIndex,
    channels: Vec<Option<[f32; Figure::COUNT]>>,
}

impl DeviceRow {
    /// `channels` in the order of their names.
    pub(in crate::detect) fn new<'a>(
        window: WindowIndex,
        channels: impl IntoIterator<Item = Option<&'a Features>>,
    ) -> Self {
        let figures = |features: &Features| Figure::ALL.map(|figure| features.get(figure.feature()) as f32);
        let channels =
            channels.into_iter().map(|c| c.map(figures).filter(|all| all.iter().all(|f| f.is_finite()))).collect();
        Self { window, channels }
    }

    /// Of levels alone.
    #[cfg(test)]
    pub(super) fn of_levels(window: WindowIndex, levels: &[Option<f64>]) -> Self {
        Self { window, channels: levels.iter().map(|level| level.map(|l| [l as f32; Figure::COUNT])).collect() }
    }

    pub(super) fn channels(&self) -> usize {
        self.channels.len()
    }

    /// The figure at a place, which counts figures of the first channel, then of the second, and so on.
    pub(super) fn at(&self, place: usize) -> Option<f64> {
        let figures = self.channels.get(place / Figure::COUNT)?.as_ref()?;
        Some(f64::from(figures[place % Figure::COUNT]))
    }
}
