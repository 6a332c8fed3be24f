//! One device: its channels, and the windows that they close together.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use firmware_protocol::measurement::{ChannelIndex, EventTime};

use super::super::calendar::WindowIndex;
use super::super::watermark::{SavedWatermark, SeenFrames, Watermark};
use super::archive::{Archive, Archived, Place};
use super::channel::{Channel, SavedChannel};
use super::late::{LatePane, SavedLate};
use super::repeats::Repeats;
use super::timing::Timing;
use super::{ChannelPlace, Closed, DeviceIndex, Event, Output};
use crate::queue::Cursor;

#[derive(Debug)]
pub(in crate::detect) struct Device {
    pub(in crate::detect) name: String,
    pub(in crate::detect) channels: Vec<Channel>,
    pub(super) index: DeviceIndex,
    pub(super) watermark: Watermark,
    pub(super) seen: SeenFrames,
    /// Its name is in the store.
    pub(super) is_named: bool,
    pub(super) repeats: Repeats,
    by_name: HashMap<String, ChannelPlace>,
    /// Places in order of names: windows of one start close in this order.
    pub(super) in_order: Vec<ChannelPlace>,
    /// Panes with readings that came late; at most as many as the allowed lateness has hops.
    pub(super) late: BTreeMap<WindowIndex, LatePane>,
    /// All slices that end up to here have been given.
    pub(super) sliced_until: EventTime,
    /// End of the next slice: looked at with each message.
    pub(super) slice_due_at: EventTime,
}

/// What of a device is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::detect) struct SavedDevice {
    watermark: SavedWatermark,
    seen: SeenFrames,
    repeats: Vec<u64>,
    late: Vec<SavedLate>,
    sliced_until: i64,
}

impl Device {
    pub(super) fn new(index: DeviceIndex, name: Option<&str>) -> Self {
        Self {
            name: name.unwrap_or_default().to_owned(),
            channels: Vec::new(),
            index,
            watermark: Watermark::new(),
            seen: SeenFrames::default(),
            is_named: false,
            repeats: Repeats::default(),
            by_name: HashMap::new(),
            in_order: Vec::new(),
            late: BTreeMap::new(),
            sliced_until: EventTime(i64::MIN),
            slice_due_at: EventTime(i64::MIN),
        }
    }

    pub(in crate::detect) fn index(&self) -> DeviceIndex {
        self.index
    }

    /// Places of named channels, in the order of their names.
    pub(in crate::detect) fn in_order(&self) -> &[ChannelPlace] {
        &self.in_order
    }

    pub(super) fn restore(&mut self, saved: SavedDevice) {
        self.watermark = Watermark::from_saved(saved.watermark);
        self.seen = saved.seen;
        self.repeats = Repeats::from_saved(&saved.repeats);
        self.late = saved.late.into_iter().map(LatePane::restore).collect();
        self.sliced_until = EventTime(saved.sliced_until);
    }

    pub(super) fn save(&mut self) -> SavedDevice {
        let oldest = self.marks().map(|mark| mark.next).min();
        self.repeats.forget_before(oldest);
        SavedDevice {
            watermark: self.watermark.to_saved(),
            seen: self.seen.clone(),
            repeats: self.repeats.to_saved(),
            late: self.late.iter().map(|(pane, late)| late.to_saved(*pane)).collect(),
            sliced_until: self.sliced_until.0,
        }
    }

    pub(super) fn channel_mut(&mut self, place: ChannelPlace) -> &mut Channel {
        &mut self.channels[place.0 as usize]
    }

    pub(super) fn place(&self, channel: ChannelPlace, window: WindowIndex) -> Place {
        Place { device: self.index, channel, window }
    }

    pub(super) fn add_channel(&mut self, name: Option<&str>, saved: SavedChannel) -> ChannelPlace {
        let place = ChannelPlace(self.channels.len() as u32);
        self.channels.push(Channel::new(name.unwrap_or_default(), saved));
        let Some(name) = name else { return place };
        self.by_name.insert(name.to_owned(), place);
        let before = self.in_order.partition_point(|p| self.channels[p.0 as usize].name.as_str() < name);
        self.in_order.insert(before, place);
        place
    }

    /// Messages of a device mostly name its channels in the same order: a channel's place in the message is nearly always
    /// its place here, and comparing one name costs less than hashing it.
    pub(super) fn place_of(&self, in_message: ChannelIndex, name: &str) -> Option<ChannelPlace> {
        let likely = ChannelPlace(in_message.0.into());
        match self.channels.get(likely.0 as usize) {
            // A vacant place has no name.
            Some(channel) if !name.is_empty() && channel.name == name => Some(likely),
            Some(_) | None => self.by_name.get(name).copied(),
        }
    }

    pub(super) fn marks(&self) -> impl Iterator<Item = Cursor> {
        self.channels.iter().flat_map(Channel::marks).chain(self.late.values().filter_map(|l| l.mark))
    }

    /// Does what is due by the gateway's clock, in the order in which it fell due, whenever anybody looks.
    pub(super) fn advance(&mut self, now: EventTime, timing: &Timing, archive: &mut dyn Archive, out: &mut Output) {
        while let Some((due_at, pane)) = self.next_due(now) {
            self.close_if_idle(due_at, timing, archive, out);
            self.revise(pane, timing, archive, out);
        }
        self.close_if_idle(now, timing, archive, out);
    }

    fn close_if_idle(&mut self, now: EventTime, timing: &Timing, archive: &mut dyn Archive, out: &mut Output) {
        let Timing { calendar, out_of_order, idle_timeout, .. } = timing;
        let Some(until) = self.watermark.complete_if_idle(now, calendar, *out_of_order, *idle_timeout) else { return };
        self.close_until(until, timing, archive, out);
    }

    /// Closes the windows that the device's own readings have completed.
    pub(super) fn close_complete(&mut self, timing: &Timing, archive: &mut dyn Archive, out: &mut Output) {
        if let Some(until) = self.watermark.complete_until(&timing.calendar, timing.out_of_order) {
            self.close_until(until, timing, archive, out);
        }
    }

    fn close_until(&mut self, until: WindowIndex, timing: &Timing, archive: &mut dyn Archive, out: &mut Output) {
        if until <= self.watermark.closed_until() {
            return;
        }
        let expired = timing.expired_before(until);
        // What came late for windows that are about to go is used before.
        while let Some(pane) = self.late.keys().next().copied().filter(|pane| *pane < expired) {
            self.revise(pane, timing, archive, out);
        }
        self.watermark.close_until(until);
        while let Some(window) = self.next_window().filter(|w| *w < until) {
            self.close(window, expired, timing, archive, out);
        }
        for place in &self.in_order {
            let channel = &mut self.channels[place.0 as usize];
            for window in channel.saved.kept.take_before(expired) {
                channel.is_changed = true;
                archive.remove(Place { device: self.index, channel: *place, window });
            }
        }
    }

    /// The oldest window that a named channel has still to close.
    fn next_window(&self) -> Option<WindowIndex> {
        self.in_order.iter().filter_map(|place| self.channels[place.0 as usize].next()).min()
    }

    fn close(
        &mut self,
        window: WindowIndex,
        expired: WindowIndex,
        timing: &Timing,
        archive: &mut dyn Archive,
        out: &mut Output,
    ) {
        let mut group = Vec::new();
        for place in &self.in_order {
            let channel = &mut self.channels[place.0 as usize];
            if channel.next() != Some(window) {
                continue;
            }
            let Some(finished) = channel.close(window, timing.calendar.hops, &timing.room) else { continue };
            if window >= expired {
                channel.saved.kept.insert(window);
                if !finished.content.is_empty() {
                    let archived = Archived { revision: 0, digest: finished.content.digest, pane: finished.pane };
                    archive.store(Place { device: self.index, channel: *place, window }, &archived);
                }
            }
            let content = finished.content;
            group.push(Closed { device: self.index, channel: *place, window, revision: 0, content });
        }
        if !group.is_empty() {
            out.events.push(Event::Closed(group));
        }
    }
}
