//! Windows as one would write them down if memory, restarts and the cost of a second look did not matter.

use std::collections::{BTreeMap, BTreeSet};

use firmware_protocol::derived::{Derived, Status, Window};
use firmware_protocol::measurement::{EventTime, Measurement, Received};

use super::super::super::calendar::{Calendar, WindowIndex};
use super::super::super::features::{Nature, Scratch, Second, Series, summarise};
use super::super::super::watermark::Watermark;
use super::super::super::windows::{Counts, Room};
use super::super::super::{Config, REVISE_AFTER, WindowId};
use super::pane::{Pane, Readings, add, plus, samples};

pub(super) struct Plain {
    config: Config,
    calendar: Calendar,
    room: Room,
    /// In order of appearance.
    devices: Vec<Device>,
    pub(super) derived: Vec<Derived>,
    pub(super) counts: Counts,
}

struct Device {
    name: String,
    watermark: Watermark,
    seen: BTreeSet<(u32, u32)>,
    channels: BTreeMap<String, Channel>,
    /// When the panes with late readings are looked at again.
    due: BTreeMap<i64, EventTime>,
}

#[derive(Default)]
struct Channel {
    /// The window to close next, if it is awake.
    next: Option<i64>,
    panes: BTreeMap<i64, Pane>,
    late: BTreeMap<i64, Pane>,
    /// From this pane on they are of seconds from the first reading on.
    seconds_from: Option<i64>,
    results: BTreeMap<i64, (u32, Readings)>,
}

impl Plain {
    pub(super) fn new(config: &Config) -> Self {
        let calendar = Calendar::hopping(config.window, config.hop);
        Self {
            config: config.clone(),
            calendar,
            room: Room::new(config.samples_max, calendar.window_ns(), calendar.hops, config.out_of_order),
            devices: Vec::new(),
            derived: Vec::new(),
            counts: Counts::default(),
        }
    }

    pub(super) fn on_measurement(&mut self, m: &Measurement, received: Received) {
        let place = self.devices.iter().position(|d| d.name == m.device()).unwrap_or_else(|| {
            self.devices.push(Device {
                name: m.device().to_owned(),
                watermark: Watermark::new(),
                seen: BTreeSet::new(),
                channels: BTreeMap::new(),
                due: BTreeMap::new(),
            });
            self.devices.len() - 1
        });
        self.advance(place, received.at);
        let device = &mut self.devices[place];
        if m.identity.is_some_and(|id| !device.seen.insert((id.boot.0, id.seq.0))) {
            self.counts.duplicate += m.readings.len() as u64;
            return;
        }
        let open_from = device.watermark.closed_until();
        let late_from = expired(&self.config, &self.calendar, open_from);
        for reading in &m.readings {
            let pane = self.calendar.index_of(reading.at).0;
            if reading.at.0 > received.at.0 + self.config.future_max.as_nanos() as i64 {
                self.counts.future += 1;
                continue;
            }
            if pane < late_from {
                self.counts.late += 1;
                continue;
            }
            device.watermark.reached(reading.at, received.at);
            let channel = device.channels.entry(m.channel(reading.channel).to_owned()).or_default();
            let oldest = pane - (self.calendar.hops - 1);
            if oldest.max(late_from) < open_from.0 {
                let due_at = EventTime(received.at.0 + REVISE_AFTER.as_nanos() as i64);
                device.due.entry(pane).or_insert(due_at);
            }
            let bits = (reading.at.0, reading.value.to_bits());
            if pane < open_from.0 {
                channel.late.entry(pane).or_default().take(bits, &self.room);
            } else {
                self.counts.used += 1;
                let first = oldest.max(open_from.0);
                channel.next = Some(channel.next.map_or(first, |next| next.min(first)));
                channel.take(pane, bits, &self.room);
            }
        }
        if let Some(until) = device.watermark.complete_until(&self.calendar, self.config.out_of_order) {
            self.close_until(place, until);
        }
    }

    pub(super) fn on_idle(&mut self, now: EventTime) {
        for place in 0..self.devices.len() {
            self.advance(place, now);
        }
    }

    fn advance(&mut self, place: usize, now: EventTime) {
        loop {
            let due = self.devices[place].due.iter().map(|(pane, at)| (*at, *pane)).min();
            match due.filter(|(at, _)| *at <= now) {
                Some((at, pane)) => {
                    self.close_if_idle(place, at);
                    self.revise(place, pane);
                }
                None => return self.close_if_idle(place, now),
            }
        }
    }

    fn close_if_idle(&mut self, place: usize, now: EventTime) {
        let Config { out_of_order, idle_timeout, .. } = self.config;
        let watermark = &mut self.devices[place].watermark;
        if let Some(until) = watermark.complete_if_idle(now, &self.calendar, out_of_order, idle_timeout) {
            self.close_until(place, until);
        }
    }

    fn close_until(&mut self, place: usize, until: WindowIndex) {
        if until <= self.devices[place].watermark.closed_until() {
            return;
        }
        let late_from = expired(&self.config, &self.calendar, until);
        let late: Vec<i64> = self.devices[place].due.keys().copied().filter(|pane| *pane < late_from).collect();
        for pane in late {
            self.revise(place, pane);
        }
        let device = &mut self.devices[place];
        device.watermark.close_until(until);
        while let Some(window) = device.channels.values().filter_map(|c| c.next).min().filter(|w| *w < until.0) {
            for (name, channel) in device.channels.iter_mut().filter(|(_, c)| c.next == Some(window)) {
                channel.next = Some(window + 1);
                self.derived.push(channel.record((&device.name, name), &self.calendar, &self.room, window, 0));
                channel.panes.entry(window).or_default().close(&self.room);
                channel.results.insert(window, (0, channel.readings(window, self.calendar.hops)));
            }
        }
    }

    fn revise(&mut self, place: usize, pane: i64) {
        let device = &mut self.devices[place];
        device.due.remove(&pane);
        let closed_until = device.watermark.closed_until();
        for channel in device.channels.values_mut() {
            let Some(late) = channel.late.remove(&pane) else { continue };
            let (added, repeated) = channel.panes.entry(pane).or_default().merge(late, &self.room);
            self.counts.revised += u64::from(added);
            self.counts.duplicate += u64::from(repeated);
        }
        let first = (pane - (self.calendar.hops - 1)).max(expired(&self.config, &self.calendar, closed_until));
        for window in first..closed_until.0.min(pane + 1) {
            for (name, channel) in &mut device.channels {
                let readings = channel.readings(window, self.calendar.hops);
                let revision = match channel.results.get(&window) {
                    Some((_, same)) if *same == readings => continue,
                    Some((revision, _)) => revision + 1,
                    None if readings.is_empty() => continue,
                    None => 0,
                };
                channel.note_seconds(window, self.calendar.hops);
                self.derived.push(channel.record((&device.name, name), &self.calendar, &self.room, window, revision));
                channel.results.insert(window, (revision, readings));
            }
        }
    }
}

impl Channel {
    fn readings(&self, window: i64, hops: i64) -> Readings {
        self.panes.range(window..window + hops).fold(Readings::new(), |all, (_, pane)| plus(all, &pane.readings))
    }

    fn take(&mut self, pane: i64, reading: (i64, u64), room: &Room) {
        let of = self.panes.entry(pane).or_default();
        if of.readings.is_empty() && self.seconds_from.is_some_and(|from| pane >= from) {
            of.seconds = Some(Default::default());
        }
        of.take(reading, room);
        self.note_seconds(pane, 1);
    }

    /// If one of the `n` panes from `first` on is of seconds, all that are still to come will be.
    fn note_seconds(&mut self, first: i64, n: i64) {
        let is_of_seconds = self.panes.range(first..first + n).any(|(_, pane)| pane.seconds.is_some());
        if is_of_seconds && self.seconds_from.is_none() {
            let newest = self.panes.keys().copied().fold(first + n - 1, i64::max);
            self.seconds_from = Some(newest + 1);
        }
    }

    fn record(
        &self,
        (device, channel): (&str, &str),
        calendar: &Calendar,
        room: &Room,
        window: i64,
        revision: u32,
    ) -> Derived {
        let readings = self.readings(window, calendar.hops);
        let (samples, mut seconds) = (samples(&readings), BTreeMap::new());
        for (_, pane) in self.panes.range(window..window + calendar.hops) {
            pane.all_folded(room).into_values().for_each(|second| add(&mut seconds, second));
        }
        let seconds: Vec<Second> = seconds.into_values().collect();
        let series = if self.seconds_from.is_some() { Series::Seconds(&seconds) } else { Series::Samples(&samples) };
        let (count, span) = (samples.len() as u32, calendar.span_of(WindowIndex(window)));
        let summary = summarise(series, count, span, Nature::Level, &mut Scratch::default());
        Derived::Window(Window {
            id: WindowId::new(device, channel, span.0, revision).to_string(),
            device: device.to_owned(),
            channel: channel.to_owned(),
            start_at_ms: span.0.as_millis(),
            end_at_ms: span.1.as_millis(),
            revision,
            count,
            gap_s: summary.gap_s,
            stats: summary.stats,
            status: Status::Learning,
            score: None,
        })
    }
}

/// Windows before this one take no readings any more.
fn expired(config: &Config, calendar: &Calendar, closed_until: WindowIndex) -> i64 {
    let lateness = config.allowed_lateness.as_nanos().div_ceil(calendar.hop_ns() as u128) as i64;
    closed_until.0.saturating_sub(lateness)
}
