//! Faults of known kind, place and time, laid over a healthy channel.
//!
//! Kinds and sizes follow what a person would call a fault: several times the channel's own noise and spread.

use std::f64::consts::TAU;

use serde::Serialize;

use super::random::Random;
use super::signal::Channel;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Most messages come without the channel.
    Dropout,
    /// The last value is repeated.
    Stuck,
    /// A few samples jump far away.
    Spike,
    /// All values are shifted by the same amount.
    Level,
    /// Strong additional noise.
    Noise,
    /// Values move away slowly.
    Drift,
    /// A foreign oscillation.
    Frequency,
    /// The sensor shows its rail.
    Range,
}

impl Kind {
    pub const ALL: [Self; 8] =
        [Self::Dropout, Self::Stuck, Self::Spike, Self::Level, Self::Noise, Self::Drift, Self::Frequency, Self::Range];

    pub fn name(self) -> &'static str {
        match self {
            Self::Dropout => "dropout",
            Self::Stuck => "stuck",
            Self::Spike => "spike",
            Self::Level => "level",
            Self::Noise => "noise",
            Self::Drift => "drift",
            Self::Frequency => "frequency",
            Self::Range => "range",
        }
    }

    /// Length in windows: long enough that at least one whole window shows it.
    pub fn windows(self) -> i64 {
        match self {
            Self::Spike => 1,
            Self::Dropout | Self::Range => 2,
            Self::Stuck | Self::Level | Self::Noise | Self::Frequency => 3,
            Self::Drift => 8,
        }
    }

    /// Whether it means anything on this channel.
    pub fn suits(self, channel: &Channel) -> bool {
        match self {
            Self::Frequency => channel.hum.is_some(),
            Self::Dropout | Self::Stuck | Self::Spike | Self::Level | Self::Noise | Self::Drift | Self::Range => true,
        }
    }
}

/// One injected fault: the truth that findings are held against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    pub kind: Kind,
    pub device: String,
    pub channel: &'static str,
    pub start_at_ms: i64,
    /// Exclusive.
    pub end_at_ms: i64,
}

impl Fault {
    pub fn is_active(&self, at_ms: i64) -> bool {
        (self.start_at_ms..self.end_at_ms).contains(&at_ms)
    }
}

/// A fault at work on its channel.
#[derive(Clone, Debug)]
pub struct Injection {
    pub fault: Fault,
    profile: Channel,
    random: Random,
    sign: f64,
    /// Chance that a message lacks the channel (dropout).
    loss: f64,
    held: Option<f64>,
    /// Spikes still to come: event times, latest first.
    spikes_at_ms: Vec<i64>,
}

impl Injection {
    /// Spikes of one fault; each hits one sample.
    const SPIKES: usize = 3;
    /// Period of a foreign oscillation, seconds: no multiple of any sampling step.
    const HUM_PERIOD_S: f64 = 23.0;

    pub fn new(fault: Fault, profile: Channel, seed: u64) -> Self {
        let mut random = Random::new(seed, fault.start_at_ms as u64);
        let sign = random.sign();
        let loss = random.between(0.75, 0.95);
        let length_ms = (fault.end_at_ms - fault.start_at_ms) as f64;
        let mut spikes_at_ms: Vec<i64> =
            (0..Self::SPIKES).map(|_| fault.start_at_ms + (length_ms * random.between(0.05, 0.8)) as i64).collect();
        spikes_at_ms.sort_unstable_by(|a, b| b.cmp(a));
        Self { fault, profile, random, sign, loss, held: None, spikes_at_ms }
    }

    /// Whether a message made at this time comes without the channel. Ask once per message.
    pub fn drops_message(&mut self, at_ms: i64) -> bool {
        self.fault.kind == Kind::Dropout && self.fault.is_active(at_ms) && self.random.unit() < self.loss
    }

    /// What the sensor shows instead of `healthy`. Times must not go backwards.
    pub fn distort(&mut self, at_ms: i64, healthy: f64) -> f64 {
        if !self.fault.is_active(at_ms) {
            return healthy;
        }
        let Channel { noise, spread, rail, hum, .. } = self.profile;
        let since_start_s = (at_ms - self.fault.start_at_ms) as f64 / 1_000.0;
        match self.fault.kind {
            Kind::Dropout => healthy,
            Kind::Stuck => *self.held.get_or_insert(healthy),
            Kind::Spike => match self.spikes_at_ms.pop_if(|spike_at_ms| *spike_at_ms <= at_ms) {
                Some(_) => healthy + self.random.sign() * (20.0 * noise + 3.0 * spread),
                None => healthy,
            },
            Kind::Level => healthy + self.sign * (8.0 * noise + 2.5 * spread),
            Kind::Noise => healthy + 6.0 * noise * self.random.normal(),
            Kind::Drift => {
                let part =
                    (at_ms - self.fault.start_at_ms) as f64 / (self.fault.end_at_ms - self.fault.start_at_ms) as f64;
                healthy + self.sign * part * (10.0 * noise + 4.0 * spread)
            }
            Kind::Frequency => healthy + hum.unwrap_or_default() * libm::sin(TAU * since_start_s / Self::HUM_PERIOD_S),
            Kind::Range => rail,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::signal::{self, Signal};

    const STEP_MS: i64 = 5_000;
    const START_MS: i64 = 3_600_000;

    /// Healthy and faulty values of one channel over three hours, one each five seconds.
    fn run(kind: Kind, device: signal::Kind, channel: usize) -> Vec<(i64, f64, f64)> {
        let profile = device.channels()[channel];
        let fault = Fault {
            kind,
            device: "d".into(),
            channel: profile.name,
            start_at_ms: START_MS,
            end_at_ms: START_MS + kind.windows() * 600_000,
        };
        let mut injection = Injection::new(fault, profile, 1);
        let mut signal = Signal::new(device, 1, 0);
        (0..3 * 720)
            .map(|i| {
                let at_ms = i * STEP_MS;
                let healthy = signal.sample(at_ms as f64 / 1_000.0)[channel];
                (at_ms, healthy, injection.distort(at_ms, healthy))
            })
            .collect()
    }

    fn suitable() -> impl Iterator<Item = (Kind, signal::Kind, usize)> {
        Kind::ALL.into_iter().flat_map(|kind| {
            signal::Kind::ALL.into_iter().flat_map(move |device| {
                let channels = device.channels().iter().enumerate();
                channels.filter(move |(_, c)| kind.suits(c)).map(move |(i, _)| (kind, device, i))
            })
        })
    }

    #[test]
    fn a_fault_changes_nothing_outside_its_interval() {
        for (kind, device, channel) in suitable() {
            let interval = START_MS..START_MS + kind.windows() * 600_000;
            for (at_ms, healthy, shown) in run(kind, device, channel) {
                assert!(
                    interval.contains(&at_ms) || healthy.to_bits() == shown.to_bits(),
                    "{kind:?} {device:?} {at_ms}"
                );
            }
        }
    }

    #[test]
    fn each_fault_stands_out_of_the_noise_inside_its_interval() {
        for (kind, device, channel) in suitable().filter(|(kind, ..)| *kind != Kind::Dropout) {
            let noise = device.channels()[channel].noise;
            let largest = run(kind, device, channel).iter().map(|(_, h, s)| (h - s).abs()).fold(0.0, f64::max);
            assert!(largest > 3.0 * noise, "{kind:?} {device:?} {channel}: {largest} against {noise}");
        }
    }

    #[test]
    fn a_spike_hits_a_few_samples_and_a_stuck_channel_shows_one_value() {
        let spiked = run(Kind::Spike, signal::Kind::Motor, 0).iter().filter(|(_, h, s)| h != s).count();
        assert_eq!(spiked, Injection::SPIKES);
        let stuck = run(Kind::Stuck, signal::Kind::Motor, 0);
        let shown: Vec<f64> =
            stuck.iter().filter(|r| (START_MS..START_MS + 1_800_000).contains(&r.0)).map(|r| r.2).collect();
        assert!(shown.windows(2).all(|w| w[0] == w[1]));
    }

    #[test]
    fn a_dropout_takes_most_messages_of_its_interval_and_no_other() {
        let profile = signal::Kind::Pressure.channels()[0];
        let fault = Fault {
            kind: Kind::Dropout,
            device: "d".into(),
            channel: "pressure",
            start_at_ms: 0,
            end_at_ms: 1_200_000,
        };
        let mut injection = Injection::new(fault, profile, 1);
        let lost = (0..240).filter(|i| injection.drops_message(i * STEP_MS)).count();
        assert!((160..240).contains(&lost), "{lost} of 240");
        assert!((240..500).all(|i| !injection.drops_message(i * STEP_MS)));
    }

    #[test]
    fn a_change_of_frequency_is_injected_only_where_it_means_something() {
        let [rms, crest, _] = signal::Kind::Vibration.channels() else { panic!("three channels") };
        assert!(!Kind::Frequency.suits(rms));
        assert!(Kind::Frequency.suits(crest));
    }
}
