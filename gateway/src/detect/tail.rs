//! From scores to false-alarm rates: a Pareto tail per group makes one threshold mean the same for all.
//!
//! Above `u` (a quantile of the learning scores, or the group's floor) a score `r` is exceeded with probability
//! `(1 - q) (r/u)^(-1/m)`, where `m` is the mean log excess seen while learning, pulled to what fleets of channels showed
//! (30 windows' worth). The tail begins at three quantiles, and the likelier probability counts: a few windows that differ
//! from the rest, as when a shift begins, make the tail begin anew where theirs lie.

use serde::{Deserialize, Serialize};

use super::groups::{Group, Scores};
use super::order::quantile;

/// Quantiles at which the tail begins.
const ANCHORS: [f64; 3] = [0.97, 0.996, 0.999];
/// Mean log excess over many kinds of channels, and for how many windows it counts.
const PRIOR_EXCESS: f64 = 0.10;
const PRIOR_WINDOWS: f64 = 30.0;
/// A thinner tail than this is luck.
const EXCESS_MIN: f64 = 0.05;
const DAYS_PER_MONTH: f64 = 30.0;

/// Tails of all groups, by `Group as usize`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Tail {
    begins: [[f64; Group::COUNT]; ANCHORS.len()],
    excess: [[f64; Group::COUNT]; ANCHORS.len()],
}

impl Tail {
    /// Learns from scores that the model gave to windows it had not learned from.
    pub(super) fn fit<'a>(scores: impl Iterator<Item = &'a Scores> + Clone) -> Self {
        let mut tail = Self { begins: Default::default(), excess: Default::default() };
        for group in Group::ALL {
            tail.fit_group(group, scores.clone());
        }
        tail
    }

    /// The same for one group.
    pub(super) fn fit_group<'a>(&mut self, group: Group, scores: impl Iterator<Item = &'a Scores>) {
        let of_group: Vec<f64> = scores.map(|s| f64::from(s[group as usize])).collect();
        for (anchor, share) in ANCHORS.into_iter().enumerate() {
            let begins = quantile(&of_group, share).max(group.floor());
            let (mut windows, mut sum) = (PRIOR_WINDOWS, PRIOR_WINDOWS * PRIOR_EXCESS);
            for score in of_group.iter().filter(|s| **s > begins) {
                windows += 1.0;
                sum += libm::log(score / begins);
            }
            self.begins[anchor][group as usize] = begins;
            self.excess[anchor][group as usize] = (sum / windows).max(EXCESS_MIN);
        }
    }

    /// How far into the tail a window is, over the groups that watch the shape; 1 where the tail begins.
    pub(super) fn unease(&self, scores: &Scores) -> f64 {
        [Group::Noise, Group::Spectrum, Group::Joint, Group::Vibration]
            .into_iter()
            .map(|g| f64::from(scores[g as usize]) / self.begins[0][g as usize])
            .fold(0.0, f64::max)
    }

    /// Of each group: −log10 of the probability that a normal window scores as high.
    pub(super) fn all_decades(&self, scores: &Scores) -> [f64; Group::COUNT] {
        Group::ALL.map(|g| self.decades(g, f64::from(scores[g as usize])))
    }

    /// The group that tells a person most, of those that reach the threshold; without any, the rarest. A stuck value changes
    /// the spectrum as well, and noise makes impulses: the plain cause is told, not its farthest effect.
    pub(super) fn plainest(&self, decades: &[f64; Group::COUNT], threshold: f64) -> Group {
        let reaches = |g: &Group| decades[*g as usize] >= threshold;
        let rarest =
            || Group::ALL.into_iter().reduce(|a, b| if decades[b as usize] > decades[a as usize] { b } else { a });
        Group::PLAINEST_FIRST.into_iter().find(reaches).or_else(rarest).unwrap_or(Group::Dropout)
    }

    /// What a group has of the decades of all.
    pub(super) fn share(&self, group: Group, scores: &Scores) -> f64 {
        let all: f64 = self.all_decades(scores).into_iter().sum();
        self.decades(group, f64::from(scores[group as usize])) / all.max(f64::MIN_POSITIVE)
    }

    pub(super) fn decades(&self, group: Group, score: f64) -> f64 {
        let by_anchor = |anchor: usize| {
            let at_begin = -libm::log10(1.0 - ANCHORS[anchor]);
            let ratio = score.max(1e-12) / self.begins[anchor][group as usize];
            if ratio > 1.0 {
                at_begin + libm::log(ratio) / self.excess[anchor][group as usize] / std::f64::consts::LN_10
            } else {
                at_begin * ratio
            }
        };
        (0..ANCHORS.len()).map(by_anchor).fold(f64::INFINITY, f64::min)
    }
}

/// Incidents on a made-up fleet are fewer than alarms would be by chance: groups rise together, and tails are guarded.
const CHANCE_PER_INCIDENT: f64 = 4.0;
/// A lower threshold makes incidents longer before it makes them more: on that fleet their number grew with the 0.8th power
/// of the chance.
const CHANCE_GROWTH: f64 = 1.2;

/// Decades above which a window alarms, so that a device has `per_month` incidents by chance, over all groups.
pub(super) fn threshold(per_month: f64, windows_per_day: i64) -> f64 {
    let per_month = CHANCE_PER_INCIDENT * libm::pow(per_month, CHANCE_GROWTH);
    let chances = DAYS_PER_MONTH * windows_per_day as f64 * Group::COUNT as f64;
    -libm::log10((per_month / chances).clamp(1e-12, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores_of(values: impl Iterator<Item = f64>) -> Vec<Scores> {
        values.map(|v| [v as f32; Group::COUNT]).collect()
    }

    #[test]
    fn one_false_alarm_a_month_is_more_than_four_decades_of_ten_minute_windows() {
        assert!((threshold(1.0, 144) - 4.112_61).abs() < 1e-4);
        assert!((threshold(1.0, 144) - threshold(10.0, 144) - 1.2).abs() < 1e-9);
    }

    #[test]
    fn the_rarity_of_a_score_grows_with_it_and_is_one_and_a_half_decades_where_the_tail_begins() {
        let seen = scores_of((0..1000).map(|i| f64::from(i) / 100.0));
        let tail = Tail::fit(seen.iter());
        let decades = |score: f64| tail.decades(Group::Step, score);
        assert!((decades(9.7) - 1.52).abs() < 0.02);
        assert!(decades(1.0) < decades(5.0) && decades(5.0) < decades(12.0));
        assert!(decades(30.0) > 4.6);
    }

    #[test]
    fn a_calm_learning_time_does_not_make_trifles_rare() {
        let seen = scores_of((0..1000).map(|_| 0.0));
        let tail = Tail::fit(seen.iter());
        assert!(tail.decades(Group::Spike, 0.3) < 1.6);
    }

    #[test]
    fn a_wild_learning_time_makes_the_tail_heavy() {
        let wild = scores_of((0..1000).map(|i| if i % 25 == 0 { 1.0 + f64::from(i) } else { 0.5 }));
        let calm = scores_of((0..1000).map(|i| f64::from(i) / 1000.0));
        let (wild, calm) = (Tail::fit(wild.iter()), Tail::fit(calm.iter()));
        assert!(wild.decades(Group::Joint, 20.0) < calm.decades(Group::Joint, 20.0));
    }
}
