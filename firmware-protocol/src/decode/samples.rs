//! What decoders share that read one value after the other: finding channels, limits, and that no channel has two values
//! at one time.

use super::{CHANNEL_NAME_MAX_BYTES, DecodeError, READINGS_MAX, check_length};
use crate::measurement::{ChannelIndex, EventTime, Measurement, Reading};

/// Adds samples to a measurement, channel by channel or in rounds.
pub(super) struct Samples<'m> {
    pub(super) out: &'m mut Measurement,
    channels_max: usize,
    /// The channel that comes next in a round.
    next: u16,
    /// Readings and texts.
    count: usize,
}

impl<'m> Samples<'m> {
    pub(super) fn new(out: &'m mut Measurement, channels_max: usize) -> Self {
        Self { out, channels_max, next: 0, count: 0 }
    }

    /// A channel by its name; a new one if there is none.
    pub(super) fn channel(&mut self, name: &str) -> Result<ChannelIndex, DecodeError> {
        self.find(name).map_or_else(|| self.new_channel(name), Ok)
    }

    pub(super) fn find(&mut self, name: &str) -> Option<ChannelIndex> {
        let anywhere = || self.out.channels().find(|(_, known)| *known == name).map(|(index, _)| index);
        let index = self.likely(name).or_else(anywhere)?;
        self.next = index.0.wrapping_add(1);
        Some(index)
    }

    /// A channel of a name that is known to be new.
    pub(super) fn new_channel(&mut self, name: &str) -> Result<ChannelIndex, DecodeError> {
        check_length("channel name", name, CHANNEL_NAME_MAX_BYTES)?;
        if self.out.channel_count() >= self.channels_max {
            return Err(DecodeError::TooLarge { what: "number of channels", limit: self.channels_max });
        }
        self.next = 0;
        Ok(self.out.push_channel(name))
    }

    /// As [`Self::new_channel`], with the unit of its samples; empty if nothing tells it.
    pub(super) fn new_channel_in(&mut self, name: &str, unit: &str) -> Result<ChannelIndex, DecodeError> {
        let channel = self.new_channel(name)?;
        if !unit.is_empty() {
            self.out.set_unit(channel, unit);
        }
        Ok(channel)
    }

    /// The channel after the latest, or the latest: so it is in nearly all messages.
    fn likely(&self, name: &str) -> Option<ChannelIndex> {
        let candidates = [self.next, self.next.wrapping_sub(1)].map(ChannelIndex);
        let is_it =
            |index: &ChannelIndex| usize::from(index.0) < self.out.channel_count() && self.out.channel(*index) == name;
        candidates.into_iter().find(is_it)
    }

    pub(super) fn number(&mut self, channel: ChannelIndex, at: EventTime, value: f64) -> Result<(), DecodeError> {
        self.one_more()?;
        self.out.readings.push(Reading { channel, at, value });
        Ok(())
    }

    pub(super) fn text(&mut self, channel: ChannelIndex, at: EventTime, text: &str) -> Result<(), DecodeError> {
        self.one_more()?;
        self.out.push_text(channel, at, text);
        Ok(())
    }

    fn one_more(&mut self) -> Result<(), DecodeError> {
        if self.count == READINGS_MAX {
            return Err(DecodeError::TooLarge { what: "number of readings", limit: READINGS_MAX });
        }
        self.count += 1;
        Ok(())
    }

    /// # Errors
    /// Two samples of one channel at one time: databases would keep one of them without a word.
    pub(super) fn end(self) -> Result<(), DecodeError> {
        // Every channel has a sample, so that no channel has two.
        if self.count == self.out.channel_count() {
            return Ok(());
        }
        let readings = self.out.readings.iter().map(|r| (r.channel, r.at));
        let mut samples: Vec<_> = readings.chain(self.out.texts().map(|(channel, at, _)| (channel, at))).collect();
        samples.sort_unstable();
        match samples.windows(2).find(|pair| matches!(pair, [a, b] if a == b)) {
            Some(pair) => Err(DecodeError::DuplicateChannel(self.out.channel(pair[0].0).to_owned())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(samples: &mut Samples<'_>, name: &str, at: i64) -> Result<(), DecodeError> {
        let channel = samples.channel(name)?;
        samples.number(channel, EventTime(at), 1.0)
    }

    #[test]
    fn channels_are_found_in_whatever_order_they_come() {
        for order in ["abcabcabc", "aaabbbccc", "acbbcacab"] {
            let mut out = Measurement::default();
            let mut samples = Samples::new(&mut out, 3);
            for (i, name) in order.chars().enumerate() {
                push(&mut samples, &name.to_string(), i as i64).unwrap();
            }
            assert_eq!(samples.end(), Ok(()));
            let names: String = out.readings.iter().map(|r| out.channel(r.channel)).collect();
            assert_eq!((names.as_str(), out.channel_count()), (order, 3));
        }
    }

    #[test]
    fn two_samples_of_a_channel_at_one_time_are_refused() {
        let mut out = Measurement::default();
        let mut samples = Samples::new(&mut out, 3);
        for (name, at) in [("a", 1), ("b", 1), ("a", 2), ("b", 1)] {
            push(&mut samples, name, at).unwrap();
        }
        assert_eq!(samples.end(), Err(DecodeError::DuplicateChannel("b".into())));
    }

    #[test]
    fn channels_and_samples_have_their_limits() {
        let mut out = Measurement::default();
        let mut samples = Samples::new(&mut out, 1);
        push(&mut samples, "a", 0).unwrap();
        let limit = |what, limit| Err(DecodeError::TooLarge { what, limit });
        assert_eq!(push(&mut samples, "b", 0), limit("number of channels", 1));
        assert_eq!(samples.new_channel(&"x".repeat(129)).map(drop), limit("channel name", 128));
        for at in 1..READINGS_MAX as i64 {
            samples.text(ChannelIndex(0), EventTime(at), "").unwrap();
        }
        assert_eq!(push(&mut samples, "a", -1), limit("number of readings", READINGS_MAX));
    }
}
