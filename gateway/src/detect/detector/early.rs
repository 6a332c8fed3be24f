//! A verdict on part of an open window, for faults too gross to wait for its end.
//!
//! # Invariants
//! - Impulses and steps alarm at the threshold of closed windows: a window's are never less than those of its parts, so
//!   that it confirms them.
//! - A level, or the strongest second of a fast channel, must be further off: the window that holds it may be less so as a
//!   whole, and takes back what it does not show.

use super::WindowDetector;
use crate::detect::calendar::WindowIndex;
use crate::detect::explain::Finding;
use crate::detect::features::slice::Extremes;
use crate::detect::groups::Group;

/// Added to the threshold for what not all of the window has, decades.
const PART_MARGIN: f64 = 2.0;

impl WindowDetector {
    /// Decades above the threshold, and what was found; `None` for what can wait.
    pub(in crate::detect) fn early(&self, window: WindowIndex, extremes: &Extremes) -> Option<(f64, Finding)> {
        let learned = self.learned.as_ref()?;
        let mut gravest: Option<(f64, Group)> = None;
        for (group, score) in learned.model.early_scores(extremes) {
            let margin = if matches!(group, Group::Range | Group::Vibration) { PART_MARGIN } else { 0.0 };
            let above = learned.tail.decades(group, score) - self.threshold(window) - margin;
            if above >= 0.0 && gravest.is_none_or(|(known, _)| above > known) {
                gravest = Some((above, group));
            }
        }
        let (score, group) = gravest?;
        Some((score, Finding::early(group, &learned.model, window, extremes, &self.horizon.calendar)))
    }
}
