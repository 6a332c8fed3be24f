//! How far a device's event time has come, and which of its frames were seen.
//!
//! # Invariants
//! - `closed_until` never goes back: a window closes once.
//! - What closes depends on the readings and on when they were received, not on when anybody looked.
//! - A window with readings closes, whatever the device's clock or ours does: open windows hold raw records in the queue.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use firmware_protocol::measurement::{EventTime, FrameIdentity};

use super::calendar::{Calendar, WindowIndex};

/// Progress of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watermark {
    newest_at: Option<EventTime>,
    /// Gateway clock, of the record that brought `newest_at`: a device whose own clock stands still falls silent too.
    moved_at: EventTime,
    /// All windows before this one are closed.
    closed_until: WindowIndex,
}

impl Watermark {
    pub(super) fn new() -> Self {
        Self { newest_at: None, moved_at: EventTime(i64::MIN), closed_until: WindowIndex(i64::MIN) }
    }

    pub(super) fn closed_until(&self) -> WindowIndex {
        self.closed_until
    }

    /// The time that nothing older than is expected.
    pub(super) fn at(&self, out_of_order: Duration) -> Option<EventTime> {
        self.newest_at.map(|at| minus(at, out_of_order))
    }

    /// Notes the event time of a reading that was taken, and when it came.
    pub(super) fn reached(&mut self, at: EventTime, received_at: EventTime) {
        if self.newest_at.is_none_or(|newest| at > newest) {
            self.newest_at = Some(at);
            self.moved_at = received_at;
        }
    }

    /// The window that all before are complete, by the device's own readings.
    pub(super) fn complete_until(&self, calendar: &Calendar, out_of_order: Duration) -> Option<WindowIndex> {
        self.at(out_of_order).map(|at| calendar.open_at(at))
    }

    /// The same for a device that was silent until `now`: its clock is taken to run on with the gateway's, but not beyond
    /// it (ours may just have been set, from 1970 to today), and windows with readings close whatever it shows.
    /// `None` before the time-out.
    pub(super) fn complete_if_idle(
        &mut self,
        now: EventTime,
        calendar: &Calendar,
        out_of_order: Duration,
        idle_timeout: Duration,
    ) -> Option<WindowIndex> {
        let newest_at = self.newest_at?;
        if self.moved_at > plus(now, idle_timeout) {
            // Our clock was set back: the silence is counted anew.
            self.moved_at = now;
        }
        if now < plus(self.moved_at, idle_timeout) {
            return None;
        }
        let ran_on =
            EventTime(newest_at.0.saturating_add(now.0.saturating_sub(self.moved_at.0))).min(now.max(newest_at));
        let with_readings = WindowIndex(calendar.index_of(newest_at).0 + 1);
        Some(calendar.open_at(minus(ran_on, out_of_order)).max(with_readings))
    }

    /// Moves on to `until`, if that lies ahead.
    pub(super) fn close_until(&mut self, until: WindowIndex) {
        self.closed_until = self.closed_until.max(until);
    }

    pub(super) fn to_saved(self) -> SavedWatermark {
        SavedWatermark {
            newest_at: self.newest_at.map(|at| at.0),
            moved_at: self.moved_at.0,
            closed_until: self.closed_until,
        }
    }

    pub(super) fn from_saved(saved: SavedWatermark) -> Self {
        Self {
            newest_at: saved.newest_at.map(EventTime),
            moved_at: EventTime(saved.moved_at),
            closed_until: saved.closed_until,
        }
    }
}

/// A watermark as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedWatermark {
    newest_at: Option<i64>,
    moved_at: i64,
    closed_until: WindowIndex,
}

fn minus(at: EventTime, span: Duration) -> EventTime {
    EventTime(at.0.saturating_sub(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
}

fn plus(at: EventTime, span: Duration) -> EventTime {
    EventTime(at.0.saturating_add(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
}

/// The newest frames of a device's last two boots: enough for what a broker sends again after a lost connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SeenFrames {
    boots: Vec<SeenBoot>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SeenBoot {
    boot: u32,
    newest: u32,
    /// Bit `seq % FRAMES` of the frames up to `newest`.
    seen: [u64; SeenFrames::FRAMES as usize / 64],
}

impl SeenFrames {
    /// Frames further behind the newest than this are taken as new; if they are repeats, they are late as well.
    const FRAMES: u32 = 512;
    const BOOTS: usize = 2;

    /// Notes a frame; true if it was seen before.
    pub(super) fn is_repeat(&mut self, identity: FrameIdentity) -> bool {
        let (boot, seq) = (identity.boot.0, identity.seq.0);
        let Some(of_boot) = self.boots.iter_mut().find(|b| b.boot == boot) else {
            if self.boots.len() == Self::BOOTS {
                self.boots.remove(0);
            }
            let mut first = SeenBoot { boot, newest: seq, seen: [0; 8] };
            first.set(seq);
            self.boots.push(first);
            return false;
        };
        if seq > of_boot.newest {
            for passed in 0..(seq - of_boot.newest).min(Self::FRAMES) {
                of_boot.clear(seq - passed);
            }
            of_boot.newest = seq;
        } else if of_boot.newest - seq >= Self::FRAMES {
            return false;
        }
        let repeat = of_boot.get(seq);
        of_boot.set(seq);
        repeat
    }
}

impl SeenBoot {
    fn place(seq: u32) -> (usize, u64) {
        let place = seq % SeenFrames::FRAMES;
        (place as usize / 64, 1 << (place % 64))
    }

    fn get(&self, seq: u32) -> bool {
        let (word, bit) = Self::place(seq);
        self.seen[word] & bit != 0
    }

    fn set(&mut self, seq: u32) {
        let (word, bit) = Self::place(seq);
        self.seen[word] |= bit;
    }

    fn clear(&mut self, seq: u32) {
        let (word, bit) = Self::place(seq);
        self.seen[word] &= !bit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firmware_protocol::{BootId, DeviceSeq};

    fn frame(boot: u32, seq: u32) -> FrameIdentity {
        FrameIdentity { boot: BootId(boot), seq: DeviceSeq(seq) }
    }

    #[test]
    fn a_frame_is_a_repeat_the_second_time_in_any_order() {
        let mut seen = SeenFrames::default();
        for seq in [5, 3, 4, 600, 599] {
            assert!(!seen.is_repeat(frame(1, seq)), "{seq}");
        }
        for seq in [600, 599] {
            assert!(seen.is_repeat(frame(1, seq)), "{seq}");
        }
        assert!(!seen.is_repeat(frame(2, 600)), "another boot counts anew");
        assert!(!seen.is_repeat(frame(1, 601)));
        assert!(!seen.is_repeat(frame(1, 300)));
        assert!(seen.is_repeat(frame(1, 300)));
    }

    #[test]
    fn a_silent_device_closes_what_it_has_after_the_timeout_only() {
        let calendar = Calendar::new(Duration::from_secs(600));
        let secs = Duration::from_secs;
        let at = |s: i64| EventTime::from_millis(s * 1000);
        let mut mark = Watermark::new();
        mark.reached(at(650), at(10_000));
        let mut idle = |now| mark.complete_if_idle(at(now), &calendar, secs(30), secs(900));
        assert_eq!(idle(10_899), None);
        assert_eq!(idle(10_900), Some(WindowIndex(2)));
        assert_eq!(idle(10_000 + 1_800), Some(WindowIndex(4)), "and its clock runs on");
    }

    #[test]
    fn a_device_whose_clock_stands_still_closes_its_window_though_it_keeps_talking() {
        let (calendar, secs) = (Calendar::new(Duration::from_secs(600)), Duration::from_secs);
        let at = |s: i64| EventTime::from_millis(s * 1000);
        let mut mark = Watermark::new();
        for second in 0..=900 {
            mark.reached(at(650), at(10_000 + second));
        }
        assert_eq!(mark.complete_if_idle(at(10_900), &calendar, secs(30), secs(900)), Some(WindowIndex(2)));
    }

    #[test]
    fn setting_the_gateways_clock_from_1970_to_today_makes_no_device_late() {
        let (calendar, secs) = (Calendar::new(Duration::from_secs(600)), Duration::from_secs);
        let at = |s: i64| EventTime::from_millis(s * 1000);
        let today = 1_700_000_000;
        let mut mark = Watermark::new();
        mark.reached(at(today), at(60));
        let until = mark.complete_if_idle(at(today + 10), &calendar, secs(30), secs(900));
        assert!(until <= Some(WindowIndex(calendar.index_of(at(today)).0 + 1)), "{until:?}");
    }

    #[test]
    fn silence_is_told_too_after_the_gateways_clock_was_set_back_for_years() {
        let (calendar, secs) = (Calendar::new(Duration::from_secs(600)), Duration::from_secs);
        let at = |s: i64| EventTime::from_millis(s * 1000);
        let mut mark = Watermark::new();
        mark.reached(at(650), at(300_000_000));
        let mut idle = |now| mark.complete_if_idle(at(now), &calendar, secs(30), secs(900));
        assert_eq!(idle(10_000), None);
        assert_eq!(idle(10_900), Some(WindowIndex(2)));
    }
}
