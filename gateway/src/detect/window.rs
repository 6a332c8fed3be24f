//! The window operator: readings in, closed windows out, in event time.
//!
//! # What
//! Tumbling windows per device and channel, aligned to 1970. A device's windows close together when its watermark (newest
//! event time less `out_of_order`) passes their end, or when its time has not moved on for `idle_timeout`. A channel that gave
//! nothing yields empty windows, so that a dropout is seen; after [`EMPTY_WINDOWS_MAX`] in a row it sleeps until its next
//! reading.
//!
//! # Invariants
//! - The same readings in any order within `out_of_order` give the same windows: samples are sorted by time and bits, a
//!   full window keeps the samples with the least hashes, and windows close by start, then by the channel's name.
//! - Each reading is taken or counted with one reason.
//! - Memory: at most `channels_max` channels; per open window 2 × [`SAMPLES_MAX`] samples of 16 bytes.
//!
//! # Not here
//! Features, persistence (see `engine`), clocks: all times are arguments.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use firmware_protocol::decode::latest_believable;
use firmware_protocol::measurement::{ChannelIndex, EventTime, Measurement, Received};

use super::Config;
use super::calendar::{Calendar, WindowIndex};
use super::features::Sample;
use super::watermark::{SeenFrames, Watermark};
use crate::queue::Cursor;

/// Samples kept of one window (13 Hz for ten minutes); of more, this many are drawn by hash.
pub(super) const SAMPLES_MAX: usize = 8_192;
/// Two days of ten-minute windows: a dropout longer than that has been told often enough.
pub(super) const EMPTY_WINDOWS_MAX: u32 = 288;
/// Longest name of a device or channel, bytes.
pub(super) const NAME_BYTES_MAX: usize = 256;
/// Beyond this the squares of differences leave the range of the features; no sensor does.
const VALUE_MAX: f64 = 1e18;

/// Place of a device or channel in the order of appearance; channels count per device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct DeviceIndex(pub(super) u32);
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ChannelPlace(pub(super) u32);

/// Readings by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub used: u64,
    pub late: u64,
    pub future: u64,
    pub duplicate: u64,
    pub not_finite: u64,
    pub channels_max: u64,
    pub name_too_long: u64,
}

impl Counts {
    pub fn add(&mut self, other: Self) {
        self.used += other.used;
        self.late += other.late;
        self.future += other.future;
        self.duplicate += other.duplicate;
        self.not_finite += other.not_finite;
        self.channels_max += other.channels_max;
        self.name_too_long += other.name_too_long;
    }

    /// Readings not used, with the reason's label.
    pub fn refused(&self) -> [(&'static str, u64); 6] {
        [
            ("late", self.late),
            ("future", self.future),
            ("duplicate", self.duplicate),
            ("not_finite", self.not_finite),
            ("channels_max", self.channels_max),
            ("name_too_long", self.name_too_long),
        ]
    }
}

/// Whether a measurement comes for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// It moves the watermark, is counted, closes windows.
    First,
    /// It was processed before a restart: it only fills the windows that are still open.
    Rebuild,
}

/// A window that will not change any more. Samples are in order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Closed {
    pub(super) device: DeviceIndex,
    pub(super) channel: ChannelPlace,
    pub(super) window: WindowIndex,
    /// Readings; more than `samples` if the window was thinned out.
    pub(super) count: u32,
    pub(super) samples: Vec<Sample>,
}

#[derive(Debug)]
pub(super) struct Operator {
    config: Config,
    calendar: Calendar,
    devices: Vec<Device>,
    by_name: HashMap<String, DeviceIndex>,
    channels: usize,
}

#[derive(Debug)]
pub(super) struct Device {
    pub(super) name: String,
    pub(super) watermark: Watermark,
    pub(super) seen: SeenFrames,
    /// Its name is in the store.
    pub(super) is_saved: bool,
    /// Frames met again while windows are rebuilt.
    rebuilt: SeenFrames,
    pub(super) channels: Vec<Channel>,
    by_name: HashMap<String, ChannelPlace>,
    /// Places in order of names: windows of one start close in this order.
    in_order: Vec<ChannelPlace>,
}

#[derive(Debug)]
pub(super) struct Channel {
    pub(super) name: String,
    pub(super) progress: Progress,
    /// The progress that is in the store; `None` for a new channel.
    pub(super) saved: Option<Progress>,
    open: Vec<Open>,
    /// Samples of the last window that closed: the next one will hardly have more.
    samples_expected: usize,
}

/// Where a channel is in its windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) enum Progress {
    /// The window that closes next, and how many before it were empty.
    Awake { next: WindowIndex, empty: u32 },
    /// No windows until a reading comes.
    Asleep,
}

#[derive(Debug)]
struct Open {
    window: WindowIndex,
    /// The reader's position before the record that opened it.
    mark: Cursor,
    count: u32,
    samples: Vec<Sample>,
}

impl Operator {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            config: config.clone(),
            calendar: Calendar::new(config.window),
            devices: Vec::new(),
            by_name: HashMap::new(),
            channels: 0,
        }
    }

    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    pub(super) fn device(&self, index: DeviceIndex) -> &Device {
        &self.devices[index.0 as usize]
    }

    /// Adds the next device as it was saved; without its name the place stays vacant.
    pub(super) fn restore_device(&mut self, name: Option<&str>, watermark: Watermark, seen: SeenFrames) -> DeviceIndex {
        let index = self.add_device(name);
        let device = &mut self.devices[index.0 as usize];
        device.watermark = watermark;
        device.seen = seen;
        device.is_saved = true;
        index
    }

    /// Adds the device's next channel as it was saved; without its name the place stays vacant.
    pub(super) fn restore_channel(
        &mut self,
        device: DeviceIndex,
        name: Option<&str>,
        progress: Progress,
    ) -> ChannelPlace {
        self.channels += 1;
        let device = &mut self.devices[device.0 as usize];
        let place = device.add_channel(name, progress);
        device.channels[place.0 as usize].saved = Some(progress);
        place
    }

    /// Notes that the device and the progress of its channels are on their way into the store.
    pub(super) fn set_saved(&mut self, index: DeviceIndex) {
        let device = &mut self.devices[index.0 as usize];
        device.is_saved = true;
        device.channels.iter_mut().for_each(|c| c.saved = Some(c.progress));
    }

    /// Takes one message's readings; windows that they complete are added to `closed`.
    /// `None` if nothing of it was taken and its device is unknown.
    pub(super) fn accept(
        &mut self,
        measurement: &Measurement,
        received: Received,
        mark: Cursor,
        pass: Pass,
        closed: &mut Vec<Closed>,
    ) -> (Option<DeviceIndex>, Counts) {
        let readings = measurement.readings.len() as u64;
        let Some(index) = self.device_of(measurement, pass) else {
            let too_long = measurement.device().len() > NAME_BYTES_MAX;
            let counts = if too_long {
                Counts { name_too_long: readings, ..Counts::default() }
            } else {
                Counts { channels_max: readings, ..Counts::default() }
            };
            return (None, counts);
        };
        if pass == Pass::First {
            self.close_if_idle(index, received.at, closed);
        }
        let device = &mut self.devices[index.0 as usize];
        let seen = match pass {
            Pass::First => &mut device.seen,
            Pass::Rebuild => &mut device.rebuilt,
        };
        if measurement.identity.is_some_and(|identity| seen.is_repeat(identity)) {
            return (Some(index), Counts { duplicate: readings, ..Counts::default() });
        }

        let counts = self.take_readings(index, measurement, received, mark, pass);
        if pass == Pass::First {
            let device = &mut self.devices[index.0 as usize];
            if let Some(until) = device.watermark.complete_until(&self.calendar, self.config.out_of_order) {
                device.close_until(index, until, closed);
            }
        }
        (Some(index), counts)
    }

    /// Closes the windows of devices that were silent for too long by the gateway's clock.
    pub(super) fn on_idle(&mut self, now: EventTime, closed: &mut Vec<Closed>) {
        for index in 0..self.devices.len() {
            self.close_if_idle(DeviceIndex(index as u32), now, closed);
        }
    }

    /// The oldest position from which the open windows can be filled again; `None` if none is open.
    pub(super) fn oldest_mark(&self) -> Option<Cursor> {
        let open = self.devices.iter().flat_map(|d| &d.channels).flat_map(|c| &c.open);
        open.map(|o| o.mark).min_by_key(|mark| mark.next)
    }

    fn close_if_idle(&mut self, index: DeviceIndex, now: EventTime, closed: &mut Vec<Closed>) {
        let Config { out_of_order, idle_timeout, .. } = self.config;
        let device = &mut self.devices[index.0 as usize];
        if let Some(until) = device.watermark.complete_if_idle(now, &self.calendar, out_of_order, idle_timeout) {
            device.close_until(index, until, closed);
        }
    }

    fn device_of(&mut self, measurement: &Measurement, pass: Pass) -> Option<DeviceIndex> {
        let name = measurement.device();
        if let Some(index) = self.by_name.get(name) {
            return Some(*index);
        }
        // A device counts as a channel too, so that devices without channels are bounded as well.
        let fits = self.devices.len() < self.config.channels_max && self.channels < self.config.channels_max;
        (pass == Pass::First && fits && name.len() <= NAME_BYTES_MAX).then(|| self.add_device(Some(name)))
    }

    fn add_device(&mut self, name: Option<&str>) -> DeviceIndex {
        let index = DeviceIndex(self.devices.len() as u32);
        self.devices.push(Device {
            name: name.unwrap_or_default().to_owned(),
            watermark: Watermark::new(),
            seen: SeenFrames::default(),
            is_saved: false,
            rebuilt: SeenFrames::default(),
            channels: Vec::new(),
            by_name: HashMap::new(),
            in_order: Vec::new(),
        });
        if let Some(name) = name {
            self.by_name.insert(name.to_owned(), index);
        }
        index
    }

    fn take_readings(
        &mut self,
        index: DeviceIndex,
        measurement: &Measurement,
        received: Received,
        mark: Cursor,
        pass: Pass,
    ) -> Counts {
        let device = &mut self.devices[index.0 as usize];
        let latest = latest_believable(received, self.config.future_max);
        let mut counts = Counts::default();
        // Readings of a message mostly come channel by channel: the last place found is nearly always right.
        let mut last_found = None;
        for reading in &measurement.readings {
            if !reading.value.is_finite() || reading.value.abs() > VALUE_MAX {
                counts.not_finite += 1;
                continue;
            }
            if reading.at > latest {
                counts.future += 1;
                continue;
            }
            let window = self.calendar.index_of(reading.at);
            if device.watermark.is_late(window) {
                counts.late += 1;
                continue;
            }
            let place = match last_found {
                Some((channel, place)) if channel == reading.channel => place,
                Some(_) | None => {
                    let name = measurement.channel(reading.channel);
                    let place = match device.place_of(reading.channel, name) {
                        Some(place) => place,
                        None if name.len() > NAME_BYTES_MAX => {
                            counts.name_too_long += 1;
                            continue;
                        }
                        None if pass == Pass::Rebuild || self.channels >= self.config.channels_max => {
                            counts.channels_max += 1;
                            continue;
                        }
                        None => {
                            self.channels += 1;
                            device.add_channel(Some(name), Progress::Asleep)
                        }
                    };
                    last_found = Some((reading.channel, place));
                    place
                }
            };
            let sample = Sample { at: reading.at, value: reading.value };
            device.channels[place.0 as usize].take(window, sample, mark);
            device.watermark.reached(reading.at, received.at);
            counts.used += 1;
        }
        counts
    }
}

impl Device {
    fn add_channel(&mut self, name: Option<&str>, progress: Progress) -> ChannelPlace {
        let place = ChannelPlace(self.channels.len() as u32);
        let named = name.unwrap_or_default().to_owned();
        self.channels.push(Channel { name: named, progress, saved: None, open: Vec::new(), samples_expected: 0 });
        let Some(name) = name else { return place };
        self.by_name.insert(name.to_owned(), place);
        let before = self.in_order.partition_point(|p| self.channels[p.0 as usize].name.as_str() < name);
        self.in_order.insert(before, place);
        place
    }

    /// Messages of a device mostly name its channels in the same order: a channel's place in the message is nearly always
    /// its place here, and comparing one name costs less than hashing it.
    fn place_of(&self, in_message: ChannelIndex, name: &str) -> Option<ChannelPlace> {
        let likely = ChannelPlace(in_message.0.into());
        match self.channels.get(likely.0 as usize) {
            // A vacant place has no name.
            Some(channel) if !name.is_empty() && channel.name == name => Some(likely),
            Some(_) | None => self.by_name.get(name).copied(),
        }
    }

    /// The oldest window that a named channel has still to close.
    fn next_window(&self) -> Option<WindowIndex> {
        self.in_order.iter().filter_map(|place| self.channels[place.0 as usize].next()).min()
    }

    fn close_until(&mut self, device: DeviceIndex, until: WindowIndex, closed: &mut Vec<Closed>) {
        if !self.watermark.close_until(until) {
            return;
        }
        while let Some(window) = self.next_window().filter(|w| *w < until) {
            for place in &self.in_order {
                let channel = &mut self.channels[place.0 as usize];
                if channel.next() == Some(window) {
                    closed.extend(channel.close(window).map(|(count, samples)| Closed {
                        device,
                        channel: *place,
                        window,
                        count,
                        samples,
                    }));
                }
            }
        }
    }
}

impl Channel {
    fn next(&self) -> Option<WindowIndex> {
        match self.progress {
            Progress::Awake { next, .. } => Some(next),
            Progress::Asleep => None,
        }
    }

    fn take(&mut self, window: WindowIndex, sample: Sample, mark: Cursor) {
        self.progress = match self.progress {
            Progress::Awake { next, empty } if next <= window => Progress::Awake { next, empty },
            Progress::Awake { .. } | Progress::Asleep => Progress::Awake { next: window, empty: 0 },
        };
        let open = match self.open.iter().position(|o| o.window == window) {
            Some(i) => &mut self.open[i],
            None => {
                let samples = Vec::with_capacity(self.samples_expected);
                self.open.push(Open { window, mark, count: 0, samples });
                self.open.last_mut().expect("just pushed")
            }
        };
        open.count = open.count.saturating_add(1);
        open.samples.push(sample);
        if open.samples.len() == 2 * SAMPLES_MAX {
            thin_out(&mut open.samples);
        }
    }

    /// Closes the window and moves on; `None` if the channel falls asleep instead.
    fn close(&mut self, window: WindowIndex) -> Option<(u32, Vec<Sample>)> {
        let following = WindowIndex(window.0 + 1);
        let Some(i) = self.open.iter().position(|o| o.window == window) else {
            let empty = match self.progress {
                Progress::Awake { empty, .. } => empty,
                Progress::Asleep => 0,
            };
            if empty >= EMPTY_WINDOWS_MAX {
                self.progress = match self.open.iter().map(|o| o.window).min() {
                    Some(next) => Progress::Awake { next, empty: 0 },
                    None => Progress::Asleep,
                };
                return None;
            }
            self.progress = Progress::Awake { next: following, empty: empty + 1 };
            return Some((0, Vec::new()));
        };
        self.progress = Progress::Awake { next: following, empty: 0 };
        let mut open = self.open.swap_remove(i);
        if open.samples.len() > SAMPLES_MAX {
            thin_out(&mut open.samples);
        }
        self.samples_expected = open.samples.len();
        open.samples.sort_unstable_by_key(|s| (s.at, s.value.to_bits()));
        Some((open.count, open.samples))
    }
}

/// Keeps the samples with the least hashes: the same ones in whatever order they came.
fn thin_out(samples: &mut Vec<Sample>) {
    let hash = |s: &Sample| {
        // The finaliser of splitmix64: every bit of time and value moves every bit of the place.
        let mut x = (s.at.0 as u64) ^ s.value.to_bits().rotate_left(32);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    samples.select_nth_unstable_by_key(SAMPLES_MAX - 1, |s| (hash(s), s.at, s.value.to_bits()));
    samples.truncate(SAMPLES_MAX);
}
