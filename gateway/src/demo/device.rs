//! A simulated device: its process sampled in steps, packed into messages in order of time.
//!
//! # Invariants
//! - Messages of a device come in order of their due time, each reading in exactly one message.
//! - A message is due when its last sample has been taken: never before the event time of what it says.

use std::collections::VecDeque;
use std::fmt::Write;

use bytes::Bytes;
use firmware_protocol::frame::{self, BaseTime, Channel, FRAME_MAX_BYTES, Frame, Samples};
use firmware_protocol::{BootId, DeviceSeq};

use super::fault::{Fault, Injection};
use super::signal::{CHANNELS_MAX, Kind, Signal};

/// How a device packs what it measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Firmware frames of [`Encoding::FRAME_SAMPLES`] samples of each channel.
    Frame,
    /// One JSON object per sample of all channels: `{"ts":…,"temperature":…}`.
    Json,
}

impl Encoding {
    pub const FRAME_SAMPLES: usize = 30;

    /// Machines send frames, rooms and lines JSON.
    pub fn of(kind: Kind) -> Self {
        match kind {
            Kind::Vibration | Kind::Motor => Self::Frame,
            Kind::Temperature | Kind::Pressure => Self::Json,
        }
    }

    pub fn samples_per_message(self) -> usize {
        match self {
            Self::Frame => Self::FRAME_SAMPLES,
            Self::Json => 1,
        }
    }

    /// Time between two samples unless a rate was asked for, microseconds.
    pub fn natural_step_us(self) -> i64 {
        match self {
            Self::Frame => 1_000_000,
            Self::Json => 5_000_000,
        }
    }

    /// The densest sampling that gives each sample a time of its own: JSON counts milliseconds, frames microseconds.
    pub fn step_min_us(self) -> i64 {
        match self {
            Self::Frame => 1,
            Self::Json => 1_000,
        }
    }
}

/// What a device publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub payload: Bytes,
    /// Event time of the last sample in it: when a real device would send it.
    pub due_at_ms: i64,
    pub readings: u32,
}

/// Where and how a device begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    pub seed: u64,
    /// Event time of the first sample.
    pub at_ms: i64,
    /// A Monday 0 h for the device: its shifts and daily cycles count from here.
    pub monday_at_ms: i64,
}

#[derive(Clone, Debug)]
pub struct Device {
    name: String,
    topic: String,
    kind: Kind,
    encoding: Encoding,
    signal: Signal,
    start: Start,
    step_us: i64,
    /// Samples taken so far.
    samples: u64,
    boot: BootId,
    frames: u32,
    injections: VecDeque<Injection>,
    taken: [Vec<(i64, f64)>; CHANNELS_MAX],
}

impl Device {
    /// The device number `index` of a fleet: kinds rotate. `topic` may hold `{device}`.
    pub fn new(index: u32, topic: &str, step_us: i64, start: Start) -> Self {
        let kind = Kind::of(index);
        let name = format!("{}-{}", kind.name(), index as usize / Kind::ALL.len() + 1);
        Self {
            topic: topic.replace("{device}", &name),
            name,
            kind,
            encoding: Encoding::of(kind),
            signal: Signal::new(kind, start.seed, u64::from(index)),
            start,
            step_us,
            samples: 0,
            // The start time counts boots: a device that is simulated again must not repeat an identity.
            boot: BootId((start.at_ms / 1_000) as u32),
            frames: 0,
            injections: VecDeque::new(),
            taken: Default::default(),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Adds a fault of this device; faults must be added in order of time and not overlap.
    pub fn inject(&mut self, fault: Fault) {
        let profile = self.kind.channels().iter().find(|c| c.name == fault.channel);
        let profile = *profile.expect("the plan takes channels from the device's kind");
        self.injections.push_back(Injection::new(fault, profile, self.start.seed));
    }

    /// When the next message is due.
    pub fn due_at_ms(&self) -> i64 {
        self.sample_at_us(self.samples + self.encoding.samples_per_message() as u64 - 1).div_euclid(1_000)
    }

    pub fn next_message(&mut self) -> Message {
        let due_at_ms = self.due_at_ms();
        let first_at_us = self.sample_at_us(self.samples);
        self.take_samples();
        self.drop_channel(due_at_ms);
        let readings = self.taken.iter().map(|t| t.len() as u32).sum();
        let payload = match self.encoding {
            Encoding::Frame => self.encode_frame(first_at_us),
            Encoding::Json => self.encode_json(first_at_us),
        };
        while self.injections.front().is_some_and(|i| i.fault.end_at_ms <= due_at_ms) {
            self.injections.pop_front();
        }
        Message { payload, due_at_ms, readings }
    }

    fn sample_at_us(&self, sample: u64) -> i64 {
        self.start.at_ms * 1_000 + self.step_us * sample as i64
    }

    /// Fills `taken` with (offset from the message's first sample in µs, value).
    fn take_samples(&mut self) {
        self.taken.iter_mut().for_each(Vec::clear);
        for i in 0..self.encoding.samples_per_message() {
            let at_us = self.sample_at_us(self.samples);
            let values = self.signal.sample((at_us - self.start.monday_at_ms * 1_000) as f64 / 1_000_000.0);
            for ((channel, value), taken) in self.kind.channels().iter().zip(values).zip(&mut self.taken) {
                let mut shown = value;
                for injection in self.injections.iter_mut().filter(|i| i.fault.channel == channel.name) {
                    shown = injection.distort(at_us.div_euclid(1_000), shown);
                }
                taken.push((i as i64 * self.step_us, shown));
            }
            self.samples += 1;
        }
    }

    fn drop_channel(&mut self, due_at_ms: i64) {
        for injection in &mut self.injections {
            if !injection.drops_message(due_at_ms) {
                continue;
            }
            for (channel, taken) in self.kind.channels().iter().zip(&mut self.taken) {
                if channel.name == injection.fault.channel {
                    taken.clear();
                }
            }
        }
    }

    fn encode_frame(&mut self, first_at_us: i64) -> Bytes {
        let none = Channel { name: "", samples: Samples::F64(&[]) };
        let mut channels = [none; CHANNELS_MAX];
        let mut count = 0;
        for (channel, taken) in self.kind.channels().iter().zip(&self.taken).filter(|(_, taken)| !taken.is_empty()) {
            channels[count] = Channel { name: channel.name, samples: Samples::F64(taken) };
            count += 1;
        }
        let frame = Frame {
            device: &self.name,
            boot: self.boot,
            seq: DeviceSeq(self.frames),
            base: BaseTime::UnixMicros(first_at_us),
            channels: &channels[..count],
        };
        let mut bytes = [0; FRAME_MAX_BYTES];
        let len = frame::encode(&frame, &mut bytes).expect("three channels of 30 samples fit, names are constants");
        self.frames = self.frames.wrapping_add(1);
        Bytes::copy_from_slice(&bytes[..len])
    }

    fn encode_json(&self, at_us: i64) -> Bytes {
        let mut text = format!("{{\"ts\":{}", at_us.div_euclid(1_000));
        for (channel, taken) in self.kind.channels().iter().zip(&self.taken) {
            for (_, value) in taken {
                write!(text, ",\"{}\":{value:.3}", channel.name).expect("writing to a string does not fail");
            }
        }
        text.push('}');
        Bytes::from(text)
    }
}

#[cfg(test)]
mod tests {
    use firmware_protocol::frame::{FrameView, Label};

    use super::*;
    use crate::demo::fault;

    const START: Start = Start { seed: 1, at_ms: 1_700_000_000_000, monday_at_ms: 1_700_000_000_000 };

    fn device(index: u32) -> Device {
        let kind = Kind::of(index);
        Device::new(index, "sensors/{device}/telemetry", Encoding::of(kind).natural_step_us(), START)
    }

    #[test]
    fn kinds_rotate_and_names_count() {
        let names: Vec<String> = (0..6).map(|i| device(i).name().to_owned()).collect();
        assert_eq!(names, ["vibration-1", "temperature-1", "motor-1", "pressure-1", "vibration-2", "temperature-2"]);
        assert_eq!(device(4).topic(), "sensors/vibration-2/telemetry");
    }

    #[test]
    fn frames_decode_back_to_the_sampled_values() {
        let (mut sent, mut signal) = (device(0), Signal::new(Kind::Vibration, 1, 0));
        for seq in 0..3_u32 {
            let message = sent.next_message();
            let view = FrameView::parse(&message.payload).unwrap();
            assert_eq!((view.header.device, view.header.seq), ("vibration-1", DeviceSeq(seq)));
            assert_eq!(message.readings, 90);
            let expected: Vec<_> = (0..30).map(|i| signal.sample(f64::from(seq * 30 + i))).collect();
            for (c, channel) in view.channels().enumerate() {
                assert_eq!(channel.label, Label::Name(Kind::Vibration.channels()[c].name));
                for ((i, (offset_us, value)), at) in channel.samples().enumerate().zip(&expected) {
                    assert_eq!(offset_us, i as i64 * 1_000_000);
                    assert_eq!(value.number().map(f64::to_bits), Some(at[c].to_bits()));
                }
            }
        }
    }

    #[test]
    fn json_says_the_sampled_values_and_when() {
        let (mut sent, mut signal) = (device(1), Signal::new(Kind::Temperature, 1, 1));
        for i in 0..10_i32 {
            let message = sent.next_message();
            let json: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
            let [temperature, humidity, _] = signal.sample(f64::from(i) * 5.0);
            assert_eq!(json["ts"], START.at_ms + i64::from(i) * 5_000);
            assert!((json["temperature"].as_f64().unwrap() - temperature).abs() < 0.001);
            assert!((json["humidity"].as_f64().unwrap() - humidity).abs() < 0.001);
        }
    }

    #[test]
    fn a_day_is_17_280_json_messages_or_2_880_frames() {
        for (index, messages) in [(1, 17_280), (0, 2_880)] {
            let mut device = device(index);
            let end_at_ms = START.at_ms + 86_400_000;
            let sent = std::iter::from_fn(|| (device.due_at_ms() < end_at_ms).then(|| device.next_message())).count();
            assert_eq!(sent, messages);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        for index in 0..4 {
            let (mut a, mut b) = (device(index), device(index));
            assert!((0..100).all(|_| a.next_message() == b.next_message()));
            let mut other = Device::new(index, "t", 1_000_000, Start { seed: 2, ..START });
            assert_ne!(device(index).next_message().payload, other.next_message().payload);
        }
    }

    #[test]
    fn a_dropped_channel_is_missing_in_most_messages_and_the_others_are_untouched() {
        for index in [0, 3] {
            let (mut healthy, mut faulty) = (device(index), device(index));
            let channel = faulty.kind().channels()[0].name;
            faulty.inject(Fault {
                kind: fault::Kind::Dropout,
                device: faulty.name().to_owned(),
                channel,
                start_at_ms: START.at_ms,
                end_at_ms: START.at_ms + 1_200_000,
            });
            let (mut shorter, mut messages) = (0, 0);
            while faulty.due_at_ms() < START.at_ms + 1_200_000 {
                let (full, kept) = (healthy.next_message(), faulty.next_message());
                messages += 1;
                if kept.readings < full.readings {
                    shorter += 1;
                    assert_eq!(
                        kept.readings as usize,
                        full.readings as usize / faulty.kind().channels().len() * (faulty.kind().channels().len() - 1)
                    );
                } else {
                    assert_eq!(kept, full);
                }
            }
            assert!(shorter * 2 > messages, "{shorter} of {messages}");
            assert_eq!(faulty.next_message(), healthy.next_message());
        }
    }
}
