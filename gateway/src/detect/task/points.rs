//! Thins readings out for the charts: a page needs the shape of the last windows, not every reading.

use std::collections::HashMap;
use std::time::Duration;

use firmware_protocol::measurement::{ChannelIndex, EventTime, Measurement};

use crate::detect::windows::NAME_BYTES_MAX;
use crate::view::{Point, View};

/// Points in a window: the view's 600 then show two and a half windows.
const POINTS_PER_WINDOW: u32 = 240;
/// Series followed; more are not charted. The view has a bound of its own, below this.
const SERIES_MAX: usize = 1_024;
/// Points that wait at most, 16 bytes each, some more while a block is read.
const WAITING_MAX: usize = 8_192;

/// Points that wait to be shown.
#[derive(Debug)]
pub(super) struct Points {
    interval_ns: i64,
    devices: HashMap<String, Device>,
    series: usize,
    waiting: usize,
}

#[derive(Debug, Default)]
struct Device {
    series: Vec<Series>,
    by_name: HashMap<String, usize>,
}

#[derive(Debug)]
struct Series {
    name: String,
    next_at: EventTime,
    waiting: Vec<Point>,
}

impl Points {
    pub(super) fn new(window: Duration) -> Self {
        let interval = window / POINTS_PER_WINDOW;
        Self { interval_ns: interval.as_nanos() as i64, devices: HashMap::new(), series: 0, waiting: 0 }
    }

    /// Readings later than `latest` would drag the charts into the future.
    pub(super) fn add(&mut self, measurement: &Measurement, latest: EventTime) {
        // The number of devices has a bound of its own: readings that are no numbers make no series.
        let full = self.series >= SERIES_MAX || self.devices.len() >= SERIES_MAX;
        let device = match self.devices.get_mut(measurement.device()) {
            Some(device) => device,
            None if full => return,
            None if measurement.device().len() > NAME_BYTES_MAX => return,
            None => self.devices.entry(measurement.device().to_owned()).or_default(),
        };
        for reading in measurement.readings.iter().filter(|r| r.value.is_finite() && r.at <= latest) {
            let name = measurement.channel(reading.channel);
            let point = Point { at: reading.at, value: reading.value };
            let next_at = EventTime(reading.at.0.saturating_add(self.interval_ns));
            match device.series(reading.channel, name) {
                Some(series) if series.is_too_early(reading.at, self.interval_ns) => {}
                Some(series) => {
                    series.waiting.push(point);
                    series.next_at = next_at;
                    self.waiting += 1;
                }
                None if self.series < SERIES_MAX && name.len() <= NAME_BYTES_MAX => {
                    self.series += 1;
                    self.waiting += 1;
                    device.by_name.insert(name.to_owned(), device.series.len());
                    device.series.push(Series { name: name.to_owned(), next_at, waiting: vec![point] });
                }
                None => {}
            }
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting >= WAITING_MAX
    }

    pub(super) fn flush(&mut self, view: &View) {
        if self.waiting == 0 {
            return;
        }
        self.waiting = 0;
        for (device, channels) in &mut self.devices {
            for series in channels.series.iter_mut().filter(|s| !s.waiting.is_empty()) {
                view.add_points(device, &series.name, &series.waiting);
                series.waiting.clear();
            }
        }
    }
}

impl Device {
    /// Mostly found where the message has it: comparing one name costs less than hashing it.
    fn series(&mut self, in_message: ChannelIndex, name: &str) -> Option<&mut Series> {
        let likely = usize::from(in_message.0);
        let place = match self.series.get(likely) {
            Some(series) if series.name == name => likely,
            Some(_) | None => *self.by_name.get(name)?,
        };
        self.series.get_mut(place)
    }
}

impl Series {
    /// Soon after the last point; a reading long before it means that the device's clock was set back.
    fn is_too_early(&self, at: EventTime, interval_ns: i64) -> bool {
        let early_ns = self.next_at.0.saturating_sub(at.0);
        early_ns > 0 && early_ns < interval_ns.saturating_mul(i64::from(POINTS_PER_WINDOW))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Limits;

    #[test]
    fn a_fast_channel_shows_240_points_a_window() {
        let mut points = Points::new(Duration::from_secs(600));
        let mut measurement = Measurement::default();
        measurement.set_device("d");
        let channel = measurement.push_channel("c");
        let view = View::new(Limits::default());
        for i in 0..6_000 {
            measurement.readings.clear();
            let at = EventTime::from_millis(i * 100);
            measurement.readings.push(firmware_protocol::measurement::Reading { channel, at, value: i as f64 });
            points.add(&measurement, EventTime(i64::MAX));
        }
        points.flush(&view);
        view.with(|s| assert_eq!(s.series[&("d".to_owned(), "c".to_owned())].len(), 240));
    }

    #[test]
    fn series_are_found_whatever_the_order_of_the_channels_in_a_message() {
        let mut points = Points::new(Duration::from_secs(600));
        let view = View::new(Limits::default());
        for (second, order) in [(0, ["a", "b"]), (100, ["b", "a"]), (200, ["a", "b"])] {
            let mut measurement = Measurement::default();
            measurement.set_device("d");
            for name in order {
                let channel = measurement.push_channel(name);
                let (at, value) = (EventTime::from_millis(second * 1_000), f64::from(name.as_bytes()[0]));
                measurement.readings.push(firmware_protocol::measurement::Reading { channel, at, value });
            }
            points.add(&measurement, EventTime(i64::MAX));
        }
        points.flush(&view);
        for name in ["a", "b"] {
            let value = f64::from(name.as_bytes()[0]);
            view.with(|s| {
                let series = &s.series[&("d".to_owned(), name.to_owned())];
                assert_eq!(series.iter().map(|p| p.value).collect::<Vec<_>>(), [value; 3], "{name}");
            });
        }
    }
}
