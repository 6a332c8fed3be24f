//! What a device's alarm remembers from window to window, and how the relation's levels follow slow drift.

use serde::{Deserialize, Serialize};

use super::model::{DeviceModel, DeviceScore};

/// A place nearer than this to its limit is followed; further off it may be the beginning of a fault.
const FOLLOWED_MAX: f64 = 0.75;
/// Levels follow within half of the learning time: slowly enough that a fault is not followed, as fast as was learned.
const PACE: f64 = 2.0;
/// However far off a place is, its level moves as if it were this many units.
const FOLLOWED_UNITS_MAX: f64 = 50.0;
/// An alarm ends below this share of the limit,
const ENDS_BELOW: f64 = 0.5;
/// or of its peak: what is left is the end of the window in which the fault ended, or a scar of it.
const ENDS_BELOW_PEAK: f64 = 0.4;
/// For as long as the alarm lasted, only this share of its peak is a new one.
const RETURNS_ABOVE_PEAK: f64 = 0.8;

/// Where a device stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::detect) enum Standing {
    /// Nothing is wrong.
    #[default]
    Calm,
    /// The relation is broken.
    Alarmed { peak: f32, windows: u32 },
    /// A fault ended; what it left behind is followed and is no new fault.
    Settling { peak: f32, windows_left: u32 },
}

/// What is kept between windows: 4 bytes a place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::detect) struct DeviceMemory {
    standing: Standing,
    /// How far each place's level has moved since it was learned, in its unit.
    moved: Vec<f32>,
}

impl DeviceMemory {
    pub(in crate::detect) fn is_alarmed(&self) -> bool {
        matches!(self.standing, Standing::Alarmed { .. })
    }

    pub(super) fn moved(&self, place: usize) -> f64 {
        self.moved.get(place).copied().map_or(0.0, f64::from)
    }

    /// After learning anew: levels are the model's own.
    pub(in crate::detect) fn relearned(&mut self) {
        self.moved.clear();
    }

    /// Takes a judged window into account. Returns whether the device is alarmed.
    pub(in crate::detect) fn follow(&mut self, model: &DeviceModel, score: &DeviceScore) -> bool {
        self.standing = self.standing.after(score.ratio);
        self.moved.resize(model.places(), 0.0);
        let pace = PACE / f64::from(model.rows()).max(PACE);
        let is_settling = matches!(self.standing, Standing::Settling { .. });
        for place in &score.contributions {
            if is_settling || place.ratio < FOLLOWED_MAX {
                let moved = &mut self.moved[place.place];
                *moved = (f64::from(*moved) + pace * place.units.clamp(-FOLLOWED_UNITS_MAX, FOLLOWED_UNITS_MAX)) as f32;
            }
        }
        self.is_alarmed()
    }

    /// Whether a window that was judged before, and has changed, is alarmed. Nothing begins or ends with it.
    pub(in crate::detect) fn is_alarm_still(score: &DeviceScore, was_alarmed: bool) -> bool {
        score.ratio >= if was_alarmed { ENDS_BELOW } else { 1.0 }
    }
}

/// Decades as they are told: 0 at least exactly if the window is alarmed, which may be a little below the limit.
pub(in crate::detect) fn told_decades(decades: f64, is_alarmed: bool) -> f64 {
    if is_alarmed { decades.max(0.0) } else { decades.min(-f64::from(f32::EPSILON)) }
}

impl Standing {
    fn after(self, ratio: f64) -> Self {
        let alarmed = Self::Alarmed { peak: ratio as f32, windows: 1 };
        match self {
            Self::Calm if ratio >= 1.0 => alarmed,
            Self::Calm => Self::Calm,
            Self::Alarmed { peak, windows } => {
                let peak = f64::from(peak).max(ratio);
                if ratio < ENDS_BELOW.max(ENDS_BELOW_PEAK * peak) {
                    Self::Settling { peak: peak as f32, windows_left: windows }
                } else {
                    Self::Alarmed { peak: peak as f32, windows: windows.saturating_add(1) }
                }
            }
            Self::Settling { peak, .. } if ratio >= (RETURNS_ABOVE_PEAK * f64::from(peak)).max(1.0) => alarmed,
            Self::Settling { windows_left: 0 | 1, .. } if ratio >= 1.0 => alarmed,
            Self::Settling { windows_left: 0 | 1, .. } => Self::Calm,
            Self::Settling { peak, windows_left } => Self::Settling { peak, windows_left: windows_left - 1 },
        }
    }
}
