//! One channel's open panes, and where it is in its windows.

use std::cmp;

use super::super::calendar::WindowIndex;
use super::super::features::Sample;
use super::content::Content;
use super::room::Room;
use super::runs::Runs;
use crate::queue::Cursor;

/// Two days of ten-minute windows: a dropout longer than that has been told often enough.
pub(super) const EMPTY_WINDOWS_MAX: u32 = 288;

/// Where a channel is in its windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(in crate::detect) enum Progress {
    /// The window that closes next, and how many before it were empty.
    Awake { next: WindowIndex, empty: u32 },
    /// No windows until a reading comes.
    Asleep,
}

/// What of a channel is stored.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(in crate::detect) struct SavedChannel {
    pub(super) progress: Progress,
    /// Closed windows that are kept for late readings.
    pub(super) kept: Runs,
    /// The channel gives more readings than are kept: from this pane on they are taken as seconds from the first on.
    #[serde(deserialize_with = "crate::detect::appended::or_default")]
    pub(super) seconds_from: Option<WindowIndex>,
}

impl SavedChannel {
    pub(in crate::detect) const NEW: Self = Self { progress: Progress::Asleep, kept: Runs::NONE, seconds_from: None };

    /// All windows that may be in the archive.
    pub(in crate::detect) fn archived(&self) -> impl Iterator<Item = WindowIndex> {
        self.kept.iter()
    }
}

#[derive(Debug)]
pub(in crate::detect) struct Channel {
    pub(in crate::detect) name: String,
    /// Its name is in the store.
    pub(super) is_named: bool,
    /// What is in the store is older than this.
    pub(super) is_changed: bool,
    pub(super) saved: SavedChannel,
    /// Readings of hops whose windows are not all closed.
    panes: Vec<Pane>,
    /// Readings that came after all windows of their pane were closed; an empty content tells that some came into an open
    /// pane that closed windows share.
    late: Vec<(WindowIndex, Content)>,
}

#[derive(Debug)]
struct Pane {
    index: WindowIndex,
    /// The reader's position before the record that opened it.
    mark: Cursor,
    content: Content,
}

/// A window that has just closed.
pub(super) struct Finished {
    pub(super) content: Content,
    /// What of it no other open window contains.
    pub(super) pane: Content,
}

impl Channel {
    pub(super) fn new(name: &str, saved: SavedChannel) -> Self {
        Self { name: name.to_owned(), is_named: false, is_changed: true, saved, panes: Vec::new(), late: Vec::new() }
    }

    /// The window that closes next.
    pub(super) fn next(&self) -> Option<WindowIndex> {
        match self.saved.progress {
            Progress::Awake { next, .. } => Some(next),
            Progress::Asleep => None,
        }
    }

    pub(super) fn marks(&self) -> impl Iterator<Item = Cursor> {
        self.panes.iter().map(|p| p.mark)
    }

    pub(super) fn pane(&self, index: WindowIndex) -> Option<&Content> {
        self.panes.iter().find(|p| p.index == index).map(|p| &p.content)
    }

    /// Takes a reading into its pane; `first` is the oldest open window that contains it.
    pub(super) fn take(&mut self, pane: WindowIndex, first: WindowIndex, sample: Sample, mark: Cursor, room: &Room) {
        let place = match self.panes.iter().rposition(|p| p.index == pane) {
            Some(place) => place,
            None => {
                self.awake(first);
                let is_of_seconds = self.saved.seconds_from.is_some_and(|from| pane >= from);
                let content = if is_of_seconds { Content::of_seconds() } else { Content::default() };
                self.panes.push(Pane { index: pane, mark, content });
                self.panes.len() - 1
            }
        };
        let content = &mut self.panes[place].content;
        content.push(sample, room);
        if content.has_seconds() {
            self.note_seconds(pane);
        }
    }

    /// A pane of the channel is one of seconds: so are all that no reading has come for, so that filled again after a
    /// restart each begins as it did.
    pub(super) fn note_seconds(&mut self, pane: WindowIndex) {
        if self.saved.seconds_from.is_none() {
            let newest = self.panes.iter().map(|p| p.index).fold(pane, WindowIndex::max);
            self.saved.seconds_from = Some(WindowIndex(newest.0 + 1));
            self.is_changed = true;
        }
    }

    /// The content of a window as it is judged: all windows of a channel are of one form.
    pub(super) fn finished(&self, mut content: Content, room: &Room) -> Content {
        if self.saved.seconds_from.is_some() {
            content.become_seconds(room);
        }
        content.finished(room)
    }

    fn awake(&mut self, first: WindowIndex) {
        let progress = match self.saved.progress {
            Progress::Awake { next, empty } if next <= first => Progress::Awake { next, empty },
            Progress::Awake { .. } | Progress::Asleep => Progress::Awake { next: first, empty: 0 },
        };
        self.is_changed |= progress != self.saved.progress;
        self.saved.progress = progress;
    }

    /// Closes the window and moves on; `None` if the channel falls asleep instead.
    pub(super) fn close(&mut self, window: WindowIndex, hops: i64, room: &Room) -> Option<Finished> {
        self.is_changed = true;
        let following = WindowIndex(window.0 + 1);
        if !self.panes.iter().any(|p| (window.0..window.0 + hops).contains(&p.index.0)) {
            let empty = match self.saved.progress {
                Progress::Awake { empty, .. } => empty,
                Progress::Asleep => 0,
            };
            if empty >= EMPTY_WINDOWS_MAX {
                let oldest = self.panes.iter().map(|p| p.index).min();
                self.saved.progress = match oldest {
                    Some(pane) => {
                        Progress::Awake { next: cmp::max(following, WindowIndex(pane.0 - (hops - 1))), empty: 0 }
                    }
                    None => Progress::Asleep,
                };
                return None;
            }
            self.saved.progress = Progress::Awake { next: following, empty: empty + 1 };
            return Some(Finished { content: self.finished(Content::default(), room), pane: Content::default() });
        }
        self.saved.progress = Progress::Awake { next: following, empty: 0 };
        let place = self.panes.iter().position(|p| p.index == window);
        let pane = place.map(|place| self.panes.swap_remove(place).content.finished(room)).unwrap_or_default();
        let mut content = pane.clone();
        for index in (window.0 + 1..window.0 + hops).map(WindowIndex) {
            if let Some(pane) = self.pane(index) {
                content.append(pane, room);
            }
        }
        Some(Finished { content: self.finished(content, room), pane })
    }

    /// Takes a reading for a pane whose windows are all closed.
    pub(super) fn take_late(&mut self, pane: WindowIndex, sample: Sample, room: &Room) {
        self.late_mut(pane).push(sample, room);
    }

    /// Notes that closed windows share an open pane that has changed.
    pub(super) fn touch(&mut self, pane: WindowIndex) {
        self.late_mut(pane);
    }

    /// What came late for the pane since the last call.
    pub(super) fn late(&mut self, pane: WindowIndex) -> Option<Content> {
        let place = self.late.iter().position(|(p, _)| *p == pane)?;
        Some(self.late.swap_remove(place).1)
    }

    pub(super) fn has_late(&self) -> bool {
        !self.late.is_empty()
    }

    fn late_mut(&mut self, pane: WindowIndex) -> &mut Content {
        let place = match self.late.iter().position(|(p, _)| *p == pane) {
            Some(place) => place,
            None => {
                self.late.push((pane, Content::default()));
                self.late.len() - 1
            }
        };
        &mut self.late[place].1
    }
}
