//! Readings for windows that are closed: they make a revision of them.
//!
//! # What
//! The first late reading for a pane sets a time, [`REVISE_AFTER`] later by the gateway's clock. Then the closed windows that
//! contain the pane close again with all that came, unless nothing did that they had not. Readings of a pane that an open
//! window still needs go there as well, so that they are used once.
//!
//! # Invariants
//! - What is revised when depends on the records and on when they were received.
//! - A late reading equal in time and value to one that the window has is a repeat of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use firmware_protocol::measurement::EventTime;

use super::super::calendar::WindowIndex;
use super::super::features::Sample;
use super::archive::{Archive, Archived};
use super::channel::Channel;

use super::device::Device;
use super::room::Room;
use super::timing::Timing;
use super::{ChannelPlace, Closed, Event, Output};
use crate::queue::{Cursor, QueueSeq};

/// Late readings mostly come in bulk, after a lost connection: one revision for all of a minute's.
pub(crate) const REVISE_AFTER: Duration = Duration::from_secs(60);
const REVISE_AFTER_NS: i64 = REVISE_AFTER.as_nanos() as i64;

/// A pane with late readings in some channels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LatePane {
    due_at: EventTime,
    /// The record with the first late reading.
    since: QueueSeq,
    /// The record with the first one that was not taken into an open pane.
    set_aside_since: Option<QueueSeq>,
    /// The reader's position before `since`; `None` until that is read again.
    pub(super) mark: Option<Cursor>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedLate {
    pane: WindowIndex,
    due_at: i64,
    since: u64,
    set_aside_since: Option<u64>,
}

impl LatePane {
    pub(super) fn restore(saved: SavedLate) -> (WindowIndex, Self) {
        let late = Self {
            due_at: EventTime(saved.due_at),
            since: QueueSeq(saved.since),
            set_aside_since: saved.set_aside_since.map(QueueSeq),
            mark: None,
        };
        (saved.pane, late)
    }

    pub(super) fn to_saved(self, pane: WindowIndex) -> SavedLate {
        SavedLate {
            pane,
            due_at: self.due_at.0,
            since: self.since.0,
            set_aside_since: self.set_aside_since.map(|seq| seq.0),
        }
    }
}

/// A reading for a pane that closed windows contain.
#[derive(Clone, Copy)]
pub(super) struct LateReading {
    pub(super) pane: WindowIndex,
    /// The oldest open window that contains it.
    pub(super) first: WindowIndex,
    pub(super) channel: ChannelPlace,
    pub(super) sample: Sample,
    pub(super) received_at: EventTime,
    pub(super) mark: Cursor,
}

impl Device {
    /// Takes a late reading for the first time; true if it also went into an open window.
    pub(super) fn take_late(&mut self, reading: LateReading, room: &Room) -> bool {
        let LateReading { pane, first, channel, sample, received_at, mark } = reading;
        let late = self.late.entry(pane).or_insert(LatePane {
            due_at: EventTime(received_at.0.saturating_add(REVISE_AFTER_NS)),
            since: mark.next,
            set_aside_since: None,
            mark: Some(mark),
        });
        let open_from = self.watermark.closed_until();
        if pane < open_from {
            late.set_aside_since.get_or_insert(mark.next);
            self.channel_mut(channel).take_late(pane, sample, room);
            return false;
        }
        let channel = self.channel_mut(channel);
        channel.touch(pane);
        channel.take(pane, first, sample, mark, room);
        true
    }

    /// Takes a reading again after a restart, into open windows and if it belongs to a revision that is not made yet; true
    /// if it went into an open window.
    pub(super) fn retake_late(&mut self, reading: LateReading, room: &Room) -> bool {
        let LateReading { pane, first, channel, sample, mark, .. } = reading;
        let open_from = self.watermark.closed_until();
        let is_open = pane >= open_from;
        if is_open {
            self.channel_mut(channel).take(pane, first, sample, mark, room);
        }
        let Some(late) = self.late.get_mut(&pane).filter(|late| late.since <= mark.next) else { return is_open };
        late.mark.get_or_insert(mark);
        let is_set_aside = !is_open && late.set_aside_since.is_some_and(|since| since <= mark.next);
        let channel = self.channel_mut(channel);
        if is_set_aside {
            channel.take_late(pane, sample, room);
        } else {
            channel.touch(pane);
        }
        is_open
    }

    /// The pane that falls due next, if it does by `now`.
    pub(super) fn next_due(&self, now: EventTime) -> Option<(EventTime, WindowIndex)> {
        let (due_at, pane) = self.late.iter().map(|(pane, late)| (late.due_at, *pane)).min()?;
        // Due times lie ahead by more than this only if our clock was set back.
        let was_set_back = due_at.0.saturating_sub(now.0) > 2 * REVISE_AFTER_NS;
        (due_at <= now || was_set_back).then_some((due_at.min(now), pane))
    }

    /// Closes all closed windows that contain the pane again.
    pub(super) fn revise(&mut self, pane: WindowIndex, timing: &Timing, archive: &mut dyn Archive, out: &mut Output) {
        self.late.remove(&pane);
        // With other panes that closed windows share with open ones, which have changed as well and are due later.
        let mut changed = Vec::new();
        for channel in self.in_order.clone() {
            let late = self.channel_mut(channel).late(pane);
            if late.is_none() && (timing.calendar.hops == 1 || !self.channel_mut(channel).has_late()) {
                continue;
            }
            let archived = late.filter(|late| !late.is_empty()).and_then(|late| {
                let mut archived = archive.load(self.place(channel, pane)).unwrap_or_default();
                let (added, repeated) = archived.pane.merge(&late, &timing.room);
                out.counts.revised += u64::from(added);
                out.counts.duplicate += u64::from(repeated);
                archived.pane = archived.pane.finished(&timing.room);
                (added > 0).then_some(archived)
            });
            changed.push((channel, archived));
        }
        let closed_until = self.watermark.closed_until();
        let first = timing.oldest_with(pane).max(timing.expired_before(closed_until));
        let end = WindowIndex(pane.0 + 1).min(closed_until);
        for window in (first.0..end.0).map(WindowIndex) {
            let mut group = Vec::new();
            for (channel, archived) in &changed {
                let of_pane = archived.as_ref().map(|archived| (pane, archived));
                group.extend(self.close_again(window, *channel, of_pane, timing, archive));
            }
            if !group.is_empty() {
                out.events.push(Event::Closed(group));
            }
        }
    }

    /// `None` if its newest result has the same readings.
    fn close_again(
        &mut self,
        window: WindowIndex,
        channel: ChannelPlace,
        changed: Option<(WindowIndex, &Archived)>,
        timing: &Timing,
        archive: &mut dyn Archive,
    ) -> Option<Closed> {
        let place = self.place(channel, window);
        let archived = |archive: &dyn Archive, window: WindowIndex| match changed {
            Some((pane, archived)) if pane == window => archived.clone(),
            Some(_) | None => archive.load(self.place(channel, window)).unwrap_or_default(),
        };
        let mut own = archived(archive, window);
        let mut content = own.pane.clone();
        let of_channel: &Channel = &self.channels[channel.0 as usize];
        for pane in (window.0 + 1..window.0 + timing.calendar.hops).map(WindowIndex) {
            match of_channel.pane(pane) {
                Some(open) => content.append(open, &timing.room),
                None => content.append(&archived(archive, pane).pane, &timing.room),
            }
        }
        let was_given = of_channel.saved.kept.contains(window);
        let is_same = if was_given { own.digest == content.digest } else { content.is_empty() };
        if is_same {
            return None;
        }
        // A window in which the channel slept had no result.
        own.revision = if was_given { own.revision + 1 } else { 0 };
        own.digest = content.digest;
        archive.store(place, &own);
        let of_channel = self.channel_mut(channel);
        of_channel.saved.kept.insert(window);
        of_channel.is_changed = true;
        if content.has_seconds() {
            of_channel.note_seconds(WindowIndex(window.0 + timing.calendar.hops - 1));
        }
        let content = of_channel.finished(content, &timing.room);
        Some(Closed { device: place.device, channel, window, revision: own.revision, content })
    }
}
