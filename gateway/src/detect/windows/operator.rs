//! All devices: who a message is from, and which of its readings are taken.

use std::collections::HashMap;

use firmware_protocol::decode::latest_believable;
use firmware_protocol::measurement::{EventTime, Measurement, Received};

use super::super::Config;
use super::super::features::Sample;
use super::archive::Archive;
use super::channel::SavedChannel;
use super::device::{Device, SavedDevice};
use super::late::LateReading;
use super::timing::Timing;
use super::{ChannelPlace, DeviceIndex, Output};
use crate::queue::Cursor;

/// Longest name of a device or channel, bytes.
pub(in crate::detect) const NAME_BYTES_MAX: usize = 256;
/// Beyond this the squares of differences leave the range of the features; no sensor does.
const VALUE_MAX: f64 = 1e18;

/// Whether a measurement comes for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::detect) enum Pass {
    /// It moves the watermark, is counted, closes windows.
    First,
    /// It was processed before a restart: it only fills what is still open.
    Rebuild,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::detect) enum Taken {
    /// It is from a device that there is no room for, or whose name is too long.
    Unknown,
    /// Its frame was seen before.
    Repeat(DeviceIndex),
    New(DeviceIndex),
}

/// What of a device is to be stored.
pub(in crate::detect) enum Unsaved<'a> {
    DeviceName(&'a str),
    Device(SavedDevice),
    ChannelName(ChannelPlace, &'a str),
    Channel(ChannelPlace, &'a SavedChannel),
}

#[derive(Debug)]
pub(in crate::detect) struct Operator {
    timing: Timing,
    channels_max: usize,
    devices: Vec<Device>,
    by_name: HashMap<String, DeviceIndex>,
    channels: usize,
}

impl Operator {
    pub(in crate::detect) fn new(config: &Config) -> Self {
        Self {
            timing: Timing::new(config),
            channels_max: config.channels_max,
            devices: Vec::new(),
            by_name: HashMap::new(),
            channels: 0,
        }
    }

    pub(in crate::detect) fn channels(&self) -> usize {
        self.channels
    }

    pub(in crate::detect) fn device(&self, index: DeviceIndex) -> &Device {
        &self.devices[index.0 as usize]
    }

    pub(in crate::detect) fn devices(&self) -> impl Iterator<Item = DeviceIndex> + use<> {
        (0..self.devices.len() as u32).map(DeviceIndex)
    }

    /// Adds the next device as it was saved; without its name the place stays vacant.
    pub(in crate::detect) fn restore_device(&mut self, name: Option<&str>, saved: Option<SavedDevice>) -> DeviceIndex {
        let index = self.add_device(name);
        let device = &mut self.devices[index.0 as usize];
        device.is_named = true;
        if let Some(saved) = saved {
            device.restore(saved);
        }
        index
    }

    /// Adds the device's next channel as it was saved; without its name the place stays vacant.
    pub(in crate::detect) fn restore_channel(
        &mut self,
        device: DeviceIndex,
        name: Option<&str>,
        saved: SavedChannel,
    ) -> ChannelPlace {
        self.channels += 1;
        let device = &mut self.devices[device.0 as usize];
        let place = device.add_channel(name, saved);
        let channel = device.channel_mut(place);
        channel.is_named = true;
        channel.is_changed = false;
        place
    }

    /// Gives what of a device has changed, or is not in the store at all; it counts as stored from then on.
    pub(in crate::detect) fn save(&mut self, index: DeviceIndex, mut store: impl FnMut(Unsaved<'_>)) {
        let device = &mut self.devices[index.0 as usize];
        store(Unsaved::Device(device.save()));
        if !std::mem::replace(&mut device.is_named, true) {
            store(Unsaved::DeviceName(&device.name));
        }
        for (place, channel) in (0..).map(ChannelPlace).zip(&mut device.channels) {
            if !std::mem::replace(&mut channel.is_named, true) {
                store(Unsaved::ChannelName(place, &channel.name));
            }
            if std::mem::replace(&mut channel.is_changed, false) {
                store(Unsaved::Channel(place, &channel.saved));
            }
        }
    }

    /// Takes one message's readings; what they complete is added to `out`.
    pub(in crate::detect) fn accept(
        &mut self,
        measurement: &Measurement,
        received: Received,
        mark: Cursor,
        pass: Pass,
        archive: &mut dyn Archive,
        out: &mut Output,
    ) -> Taken {
        let readings = measurement.readings.len() as u64;
        let Some(index) = self.device_of(measurement, pass) else {
            if measurement.device().len() > NAME_BYTES_MAX {
                out.counts.name_too_long += readings;
            } else {
                out.counts.channels_max += readings;
            }
            return Taken::Unknown;
        };
        let device = &mut self.devices[index.0 as usize];
        if pass == Pass::First {
            device.advance(received.at, &self.timing, archive, out);
        }
        let is_repeat = match pass {
            Pass::First => measurement.identity.is_some_and(|identity| device.seen.is_repeat(identity)),
            Pass::Rebuild => device.repeats.contains(mark.next, measurement.identity),
        };
        if is_repeat {
            if pass == Pass::First {
                device.repeats.add(mark.next);
            }
            out.counts.duplicate += readings;
            return Taken::Repeat(index);
        }

        self.take_readings(index, measurement, received, mark, pass, out);
        if pass == Pass::First {
            let device = &mut self.devices[index.0 as usize];
            device.close_complete(&self.timing, archive, out);
            device.slice(&self.timing, out);
        }
        Taken::New(index)
    }

    /// Does what is due for a device by the gateway's clock: closes the windows of one that was silent for too long, makes
    /// revisions. True if there was something to do.
    pub(in crate::detect) fn advance(
        &mut self,
        index: DeviceIndex,
        now: EventTime,
        archive: &mut dyn Archive,
        out: &mut Output,
    ) -> bool {
        let device = &mut self.devices[index.0 as usize];
        let (late, events) = (device.late.len(), out.events.len());
        device.advance(now, &self.timing, archive, out);
        device.late.len() != late || out.events.len() != events
    }

    /// The oldest position from which the open windows can be filled again; `None` if none is open.
    pub(in crate::detect) fn oldest_mark(&self) -> Option<Cursor> {
        self.devices.iter().flat_map(Device::marks).min_by_key(|mark| mark.next)
    }

    /// The device of that name, if it is known.
    pub(in crate::detect) fn find(&self, name: &str) -> Option<DeviceIndex> {
        self.by_name.get(name).copied()
    }

    fn device_of(&mut self, measurement: &Measurement, pass: Pass) -> Option<DeviceIndex> {
        let name = measurement.device();
        if let Some(index) = self.by_name.get(name) {
            return Some(*index);
        }
        // A device counts as a channel too, so that devices without channels are bounded as well.
        let fits = self.devices.len() < self.channels_max && self.channels < self.channels_max;
        (pass == Pass::First && fits && name.len() <= NAME_BYTES_MAX).then(|| self.add_device(Some(name)))
    }

    fn add_device(&mut self, name: Option<&str>) -> DeviceIndex {
        let index = DeviceIndex(self.devices.len() as u32);
        self.devices.push(Device::new(index, name));
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
        out: &mut Output,
    ) {
        let device = &mut self.devices[index.0 as usize];
        let timing = &self.timing;
        let latest = latest_believable(received, timing.future_max);
        let open_from = device.watermark.closed_until();
        let late_from = timing.expired_before(open_from);
        let counts = &mut out.counts;
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
            let pane = timing.calendar.index_of(reading.at);
            if pane < late_from {
                counts.late += 1;
                continue;
            }
            let channel = match last_found {
                Some((channel, place)) if channel == reading.channel => place,
                Some(_) | None => {
                    let name = measurement.channel(reading.channel);
                    let place = match device.place_of(reading.channel, name) {
                        Some(place) => place,
                        None if name.len() > NAME_BYTES_MAX => {
                            counts.name_too_long += 1;
                            continue;
                        }
                        None if pass == Pass::Rebuild || self.channels >= self.channels_max => {
                            counts.channels_max += 1;
                            continue;
                        }
                        None => {
                            self.channels += 1;
                            device.add_channel(Some(name), SavedChannel::NEW)
                        }
                    };
                    last_found = Some((reading.channel, place));
                    place
                }
            };
            let sample = Sample { at: reading.at, value: reading.value };
            let oldest = timing.oldest_with(pane);
            let first = oldest.max(open_from);
            device.watermark.reached(reading.at, received.at);
            let is_used = if oldest.max(late_from) >= open_from {
                device.channel_mut(channel).take(pane, first, sample, mark, &timing.room);
                true
            } else {
                let late = LateReading { pane, first, channel, sample, received_at: received.at, mark };
                match pass {
                    Pass::First => device.take_late(late, &timing.room),
                    Pass::Rebuild => device.retake_late(late, &timing.room),
                }
            };
            counts.used += u64::from(is_used);
        }
    }
}
