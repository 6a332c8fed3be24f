//! A pane as one would write it down: all readings, and, of one with too many, which of its seconds are folded.

use std::collections::BTreeMap;

use super::super::super::features::{Sample, Second};
use super::super::super::windows::{Beyond, Room, thin_out};

const SECOND_NS: i64 = 1_000_000_000;

/// Readings by time and bits, and how many there are of each.
pub(super) type Readings = BTreeMap<(i64, u64), u32>;

#[derive(Clone, Default)]
pub(super) struct Pane {
    pub(super) readings: Readings,
    pub(super) seconds: Option<Seconds>,
}

#[derive(Clone, Default)]
pub(super) struct Seconds {
    folded: BTreeMap<i64, Second>,
    /// Readings of seconds that are not folded, and how many there were before they were thinned out.
    fresh: BTreeMap<i64, (u32, Vec<Sample>)>,
    newest: Option<i64>,
}

impl Pane {
    pub(super) fn take(&mut self, reading: (i64, u64), room: &Room) {
        *self.readings.entry(reading).or_default() += 1;
        match &mut self.seconds {
            Some(seconds) => seconds.take(sample(reading), room),
            None => self.keep_to(room),
        }
    }

    /// Adds what came late; says how many readings were added, and how many were there.
    pub(super) fn merge(&mut self, late: Self, room: &Room) -> (u32, u32) {
        if self.seconds.is_some() || late.seconds.is_some() {
            let mut folded = self.all_folded(room);
            late.all_folded(room).into_values().for_each(|second| add(&mut folded, second));
            self.seconds = Some(Seconds { folded, ..Seconds::default() });
            self.readings = plus(std::mem::take(&mut self.readings), &late.readings);
            return (late.readings.values().sum(), 0);
        }
        let (mut added, mut repeated) = (0, 0);
        for (reading, theirs) in late.readings {
            let held = self.readings.entry(reading).or_default();
            let new = theirs.saturating_sub(*held);
            *held += new;
            added += new;
            repeated += theirs - new;
        }
        self.keep_to(room);
        (added, repeated)
    }

    /// When its window closes.
    pub(super) fn close(&mut self, room: &Room) {
        if self.seconds.is_some() {
            self.seconds = Some(Seconds { folded: self.all_folded(room), ..Seconds::default() });
        }
    }

    /// Its seconds as if all were folded.
    pub(super) fn all_folded(&self, room: &Room) -> BTreeMap<i64, Second> {
        let mut seconds = self.seconds.clone().unwrap_or_else(|| Seconds::of(&self.readings, room));
        seconds.fold_while(room, |_| true);
        seconds.folded
    }

    fn keep_to(&mut self, room: &Room) {
        let count: u32 = self.readings.values().sum();
        if self.seconds.is_none() && room.beyond == Beyond::Seconds && count as usize > room.samples {
            self.seconds = Some(Seconds::of(&self.readings, room));
        }
    }
}

impl Seconds {
    fn of(readings: &Readings, room: &Room) -> Self {
        let mut seconds = Self::default();
        samples(readings).into_iter().for_each(|s| seconds.take(s, room));
        seconds
    }

    fn take(&mut self, sample: Sample, room: &Room) {
        let second = sample.at.0.div_euclid(SECOND_NS);
        if self.newest.is_none_or(|newest| newest.div_euclid(SECOND_NS) < second) {
            let complete_at = sample.at.0 - room.out_of_order_ns;
            self.fold_while(room, |oldest| (oldest + 1) * SECOND_NS <= complete_at);
        }
        self.newest = self.newest.max(Some(sample.at.0));
        let (count, samples) = self.fresh.entry(second).or_default();
        *count += 1;
        samples.push(sample);
        if samples.len() >= 2 * room.of_second {
            thin_out(samples, room.of_second);
        }
        while self.fresh.values().map(|(_, samples)| samples.len()).sum::<usize>() > room.waiting {
            let Some(oldest) = self.fresh.keys().copied().find(|s| *s != second) else { break };
            self.fold(oldest, room);
        }
    }

    fn fold_while(&mut self, room: &Room, is_due: impl Fn(i64) -> bool) {
        while let Some(oldest) = self.fresh.keys().next().copied().filter(|s| is_due(*s)) {
            self.fold(oldest, room);
        }
    }

    fn fold(&mut self, second: i64, room: &Room) {
        let (count, mut samples) = self.fresh.remove(&second).unwrap();
        thin_out(&mut samples, room.of_second);
        samples.sort_by_key(|s| (s.at, s.value.to_bits()));
        add(&mut self.folded, Second::fold(&samples, count, &mut Vec::new()).unwrap());
    }
}

pub(super) fn samples(readings: &Readings) -> Vec<Sample> {
    readings.iter().flat_map(|(reading, n)| std::iter::repeat_n(sample(*reading), *n as usize)).collect()
}

/// All of both.
pub(super) fn plus(mut all: Readings, more: &Readings) -> Readings {
    more.iter().for_each(|(reading, n)| *all.entry(*reading).or_default() += n);
    all
}

pub(super) fn add(seconds: &mut BTreeMap<i64, Second>, second: Second) {
    seconds.entry(second.at.0).and_modify(|held| *held = held.merge(second)).or_insert(second);
}

fn sample((at, bits): (i64, u64)) -> Sample {
    Sample { at: firmware_protocol::measurement::EventTime(at), value: f64::from_bits(bits) }
}
