//! Counters: channels whose readings only rise, such as energy or pieces made. What matters in them is how fast they rise.

use serde::{Deserialize, Serialize};

/// What the readings of a channel are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::detect) enum Nature {
    /// A quantity as it is at the time of each reading.
    #[default]
    Level,
    /// A sum since some beginning: it is judged by its increments from reading to reading.
    Counter,
}

/// Which way the readings of a window went: by this a channel's [`Nature`] is decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::detect) struct Movement {
    /// Readings above the one before.
    pub(in crate::detect) rises: u32,
    /// Readings below the one before,
    pub(in crate::detect) falls: u32,
    /// and of these the ones that start over: back to less than half, not below 0.
    pub(in crate::detect) resets: u32,
    /// Readings that have one before them.
    pub(in crate::detect) of: u32,
}

impl Movement {
    pub(super) fn of(readings: &[f64]) -> Self {
        let mut movement = Self { of: readings.len().saturating_sub(1) as u32, ..Self::default() };
        for pair in readings.windows(2) {
            movement.rises += u32::from(pair[1] > pair[0]);
            movement.falls += u32::from(pair[1] < pair[0]);
            movement.resets += u32::from(pair[1] >= 0.0 && pair[1] < 0.5 * pair[0]);
        }
        movement
    }
}

/// Puts the differences of neighbours in the place of readings. A fall is a reset, of which nobody knows how much was
/// counted across it: it is left out.
pub(super) fn increments(readings: &mut Vec<f64>) {
    let mut kept = 0;
    for i in 1..readings.len() {
        let increment = readings[i] - readings[i - 1];
        if increment >= 0.0 {
            // `kept < i`, so that no reading is overwritten that is still needed.
            readings[kept] = increment;
            kept += 1;
        }
    }
    readings.truncate(kept);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn increments_are_one_fewer_than_readings_and_a_reset_leaves_one_out() {
        let mut readings = vec![5.0, 7.0, 7.0, 1.0, 4.0];
        increments(&mut readings);
        assert_eq!(readings, [2.0, 0.0, 3.0]);
        let mut one = vec![5.0];
        increments(&mut one);
        assert!(one.is_empty());
        increments(&mut one);
        assert!(one.is_empty());
    }

    #[test]
    fn a_fall_to_almost_the_same_is_no_reset() {
        let movement = Movement::of(&[5.0, 7.0, 7.0, 1.0, 4.0, 3.9]);
        assert_eq!(movement, Movement { rises: 2, falls: 2, resets: 1, of: 5 });
        assert_eq!(Movement::of(&[]), Movement::default());
    }
}
