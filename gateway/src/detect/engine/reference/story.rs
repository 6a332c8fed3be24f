//! What happens: records of three devices with disorder, lateness, repeats and silences; looks at the clock; kills.

use std::time::Duration;

use proptest::prelude::*;

use firmware_protocol::measurement::{EventTime, FrameIdentity, Measurement, Reading, Received};
use firmware_protocol::{BootId, DeviceSeq};

use super::super::super::Config;

/// On a boundary of windows and hops.
const START_S: i64 = 1_700_000_040;

#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Gateway's clock.
    at_ms: i64,
    what: What,
    /// The gateway looks at its clock behind the record.
    is_looked: bool,
    pub(super) kill: Kill,
}

#[derive(Clone, Debug)]
enum What {
    Frame {
        device: usize,
        behind_ms: i64,
        channels: Vec<(usize, i64, i8)>,
    },
    /// An earlier step's frame once more, with or without an identity that tells.
    Repeat {
        of: usize,
        is_known: bool,
    },
    Poison,
}

/// What befalls the process behind a step.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kill {
    Never,
    NoCommit,
    LostCommit,
    /// The past has what belongs to the transaction, which is lost.
    BetweenStores,
    AfterCommit,
}

pub(super) fn config(hop_s: u64) -> Config {
    let secs = Duration::from_secs;
    Config {
        window: secs(60),
        hop: secs(hop_s),
        out_of_order: secs(10),
        allowed_lateness: secs(240),
        early_every: secs(15),
        idle_timeout: secs(90),
        future_max: secs(120),
        ..Config::default()
    }
}

/// Up to 120 steps within some twenty minutes.
pub(super) fn story() -> impl Strategy<Value = Vec<Step>> {
    let behind_s = prop_oneof![6 => 0..10_i64, 3 => 10..90_i64, 2 => 90..400_i64, 1 => -300..0_i64];
    let reading = (0..3_usize, 0..20_000_i64, 0..4_i8);
    let frame = (0..3_usize, behind_s, 0..1_000_i64, proptest::collection::vec(reading, 1..6))
        .prop_map(|(device, s, ms, channels)| What::Frame { device, behind_ms: s * 1_000 + ms, channels });
    let repeat = (any::<usize>(), any::<bool>()).prop_map(|(of, is_known)| What::Repeat { of, is_known });
    let what = prop_oneof![12 => frame, 3 => repeat, 1 => Just(What::Poison)];
    let gap_ms = prop_oneof![12 => 0..15_000_i64, 1 => 60_000..250_000_i64];
    let kill = prop_oneof![8 => Just(Kill::Never), 1 => Just(Kill::NoCommit), 1 => Just(Kill::LostCommit),
        1 => Just(Kill::BetweenStores), 3 => Just(Kill::AfterCommit)];
    let step = (gap_ms, what, proptest::bool::weighted(0.2), kill);
    proptest::collection::vec(step, 20..120).prop_map(|steps| {
        let mut at_ms = START_S * 1_000;
        let step = |(gap_ms, what, is_looked, kill)| {
            at_ms += gap_ms;
            Step { at_ms, what, is_looked, kill }
        };
        steps.into_iter().map(step).collect()
    })
}

impl Step {
    pub(super) fn tick(&self) -> Option<EventTime> {
        self.is_looked.then_some(EventTime::from_millis(self.at_ms))
    }
}

/// The record of a step; `None`: nobody can read it.
pub(super) fn record_of(steps: &[Step], i: usize) -> Option<(Measurement, Received)> {
    let (of, is_known) = match &steps[i].what {
        What::Frame { .. } => (i, true),
        What::Repeat { of, is_known } => (of % (i + 1), *is_known),
        What::Poison => return None,
    };
    let What::Frame { device, behind_ms, channels } = &steps[of].what else { return None };
    let mut m = Measurement::default();
    m.set_device(["fan", "mill", "pump"][*device]);
    // A frame from the future has no identity: if it comes again, it is one for the first time.
    m.identity = (is_known && *behind_ms >= 0).then_some(FrameIdentity { boot: BootId(1), seq: DeviceSeq(of as u32) });
    let names = ["heat", "flow", "amps"];
    let indexes = names.map(|name| m.push_channel(name));
    for (channel, after_ms, value) in channels {
        let at = EventTime::from_millis((steps[of].at_ms - behind_ms - after_ms) / 500 * 500);
        m.readings.push(Reading { channel: indexes[*channel], at, value: f64::from(*value) / 10.0 });
    }
    Some((m, Received::known(EventTime::from_millis(steps[i].at_ms))))
}

/// When all windows have closed.
pub(super) fn end_of(steps: &[Step]) -> EventTime {
    EventTime::from_millis(steps.last().map_or(START_S * 1_000, |s| s.at_ms) + 900_000)
}
