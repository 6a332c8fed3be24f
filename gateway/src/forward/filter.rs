//! Which records a sink gets: by kind, device, channel and topic.
//!
//! # Invariants
//! - What is not taken is counted as filtered, never as delivered.
//! - What cannot be read is taken: the encoder quarantines it, where a person sees it.
//!
//! # Not here
//! Channels of raw records: a payload that goes out as it came is not cut, and for lines it is decoded only once, so
//! `lines` leaves out the readings of other channels.

use std::str::FromStr;
use std::sync::Arc;

use firmware_protocol::decode::Decoder;
use firmware_protocol::derived::{ChannelShare, Derived};
use firmware_protocol::topic;

use super::{Encoder, Times, Undeliverable};
use crate::pattern;
use crate::queue::{Log, QueueSeq, Record};

/// What a record is, as filters and topics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What sensors sent.
    Raw,
    Windows,
    Anomalies,
    Incidents,
    Gaps,
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::Raw, Self::Windows, Self::Anomalies, Self::Incidents, Self::Gaps];

    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Windows => "windows",
            Self::Anomalies => "anomalies",
            Self::Incidents => "incidents",
            Self::Gaps => "gaps",
        }
    }

    pub fn of(derived: &Derived) -> Self {
        match derived {
            Derived::Window(_) => Self::Windows,
            Derived::Anomaly(_) => Self::Anomalies,
            Derived::Incident(_) => Self::Incidents,
            Derived::Gap(_) => Self::Gaps,
        }
    }
}

/// Patterns of which one must be for a name, unless there are none; and patterns of which none may be, with `!` in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patterns<P> {
    taken: Vec<P>,
    left_out: Vec<P>,
}

/// For names: `*` is any text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

/// For topics, with the wildcards of MQTT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic(topic::Pattern);

/// What a pattern is for.
pub trait Matches: FromStr {
    fn matches(&self, text: &str) -> bool;
}

impl FromStr for Name {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() { Err("it is empty") } else { Ok(Self(text.to_owned())) }
    }
}

impl Matches for Name {
    fn matches(&self, text: &str) -> bool {
        pattern::matches(&self.0, text)
    }
}

impl FromStr for Topic {
    type Err = topic::PatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        topic::Pattern::new(text).map(Self)
    }
}

impl Matches for Topic {
    fn matches(&self, text: &str) -> bool {
        self.0.matches(text).is_some()
    }
}

impl<P> Default for Patterns<P> {
    /// All names.
    fn default() -> Self {
        Self { taken: Vec::new(), left_out: Vec::new() }
    }
}

impl<P: Matches> Patterns<P> {
    /// # Errors
    /// The first text that is no pattern, and why.
    pub fn parse<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Self, (&'t str, P::Err)> {
        let mut patterns = Self::default();
        for text in texts {
            let (list, pattern) = match text.strip_prefix('!') {
                Some(rest) => (&mut patterns.left_out, rest),
                None => (&mut patterns.taken, text),
            };
            list.push(pattern.parse().map_err(|why| (text, why))?);
        }
        Ok(patterns)
    }

    pub fn takes_all(&self) -> bool {
        self.taken.is_empty() && self.left_out.is_empty()
    }

    pub fn takes(&self, text: &str) -> bool {
        (self.taken.is_empty() || self.taken.iter().any(|p| p.matches(text)))
            && !self.left_out.iter().any(|p| p.matches(text))
    }
}

/// What of the two logs a sink gets; all, if it does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub kinds: Vec<Kind>,
    pub devices: Patterns<Name>,
    pub channels: Patterns<Name>,
    /// Of raw records: derived ones have none.
    pub topics: Patterns<Topic>,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            kinds: Kind::ALL.to_vec(),
            devices: Patterns::default(),
            channels: Patterns::default(),
            topics: Patterns::default(),
        }
    }
}

impl Filter {
    pub fn takes_kind(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }

    fn takes_raw(&self, record: &Record, decoder: &Decoder) -> bool {
        if !self.takes_kind(Kind::Raw) {
            return false;
        }
        if self.topics.takes_all() && self.devices.takes_all() {
            return true;
        }
        let Ok(topic) = std::str::from_utf8(&record.topic) else { return true };
        self.topics.takes(topic)
            && (self.devices.takes_all()
                || self.devices.takes(&decoder.device_of(topic, &record.payload, record.content_type())))
    }

    fn takes_derived(&self, record: &Record) -> bool {
        let takes_all_kinds = Kind::ALL[1..].iter().all(|kind| self.takes_kind(*kind));
        if takes_all_kinds && self.devices.takes_all() && self.channels.takes_all() {
            return true;
        }
        let Ok(derived) = Derived::from_json(&record.payload) else { return true };
        self.takes_kind(Kind::of(&derived)) && self.devices.takes(derived.device()) && self.takes_channels(&derived)
    }

    /// One of the channels is enough; gaps are of a whole device.
    fn takes_channels(&self, derived: &Derived) -> bool {
        let one_of = |channel: &str, shares: &[ChannelShare]| {
            (!channel.is_empty() && self.channels.takes(channel))
                || shares.iter().any(|share| self.channels.takes(&share.channel))
        };
        match derived {
            Derived::Window(w) => self.channels.takes(&w.channel),
            Derived::Anomaly(a) => one_of(&a.channel, &a.channels),
            Derived::Incident(i) => one_of(&i.evidence.channel, &i.channels),
            Derived::Gap(_) => true,
        }
    }
}

/// An encoder behind a filter.
pub(super) struct Filtered<E> {
    filter: Filter,
    decoder: Arc<Decoder>,
    encoder: E,
}

impl<E> Filtered<E> {
    pub(super) fn new(filter: &Filter, decoder: &Arc<Decoder>, encoder: E) -> Self {
        Self { filter: filter.clone(), decoder: decoder.clone(), encoder }
    }
}

impl<E: Encoder> Encoder for Filtered<E> {
    type Batch = E::Batch;

    fn takes(&self, log: Log, record: &Record) -> bool {
        let takes = match log {
            Log::Raw => self.filter.takes_raw(record, &self.decoder),
            Log::Derived => self.filter.takes_derived(record),
        };
        takes && self.encoder.takes(log, record)
    }

    fn push(&mut self, log: Log, seq: QueueSeq, record: &Record) -> Result<Times, Undeliverable> {
        self.encoder.push(log, seq, record)
    }

    fn pending_bytes(&self) -> usize {
        self.encoder.pending_bytes()
    }

    fn take(&mut self) -> Option<Self::Batch> {
        self.encoder.take()
    }
}

#[cfg(test)]
mod tests {
    use firmware_protocol::derived::{Anomaly, Status, Window};

    use super::*;
    use crate::forward::testing::{decoder, frame, gap, record};

    fn names(texts: &[&'static str]) -> Patterns<Name> {
        Patterns::parse(texts.iter().copied()).unwrap()
    }

    fn topics(texts: &[&'static str]) -> Patterns<Topic> {
        Patterns::parse(texts.iter().copied()).unwrap()
    }

    fn of(derived: &Derived) -> Record {
        record("", &derived.to_json())
    }

    fn window(device: &str, channel: &str) -> Record {
        of(&Derived::Window(Window {
            id: "0".into(),
            device: device.into(),
            channel: channel.into(),
            start_at_ms: 0,
            end_at_ms: 1,
            revision: 0,
            count: 1,
            gap_s: 0.0,
            stats: None,
            status: Status::Learning,
            score: None,
        }))
    }

    fn relation(channels: &[&str]) -> Record {
        let share = |channel: &&str| ChannelShare { channel: (*channel).into(), share: 0.5 };
        of(&Derived::Anomaly(Anomaly {
            id: "0".into(),
            device: "pump-1".into(),
            channel: String::new(),
            start_at_ms: 0,
            end_at_ms: 1,
            revision: 0,
            state: Default::default(),
            incident: String::new(),
            score: 1.0,
            detector: "maha".into(),
            model: String::new(),
            kind: "relation".into(),
            feature: String::new(),
            value: 0.0,
            expected_low: 0.0,
            expected_high: 0.0,
            share: None,
            peak_from_ms: None,
            peak_to_ms: None,
            channels: channels.iter().map(share).collect(),
            summary: String::new(),
        }))
    }

    fn raw_devices(filter: &Filter, topics: &[&'static str]) -> Vec<&'static str> {
        let decoder = decoder();
        topics.iter().copied().filter(|topic| filter.takes_raw(&record(topic, b"1"), &decoder)).collect()
    }

    #[test]
    fn a_pattern_with_an_exclamation_mark_takes_names_out_again() {
        let patterns = names(&["pump-*", "fan-1", "!pump-9*"]);
        assert!(patterns.takes("pump-1") && patterns.takes("fan-1"));
        assert!(!patterns.takes("pump-9") && !patterns.takes("pump-90") && !patterns.takes("fan-2"));
        let all_but_one = names(&["!x"]);
        assert!(all_but_one.takes("y") && !all_but_one.takes("x"));
        assert!(names(&[]).takes("anything") && names(&[]).takes_all());
        assert_eq!(Patterns::<Name>::parse(["a", "!"]).unwrap_err().0, "!");
        assert_eq!(Patterns::<Topic>::parse(["a/#", "!a#"]).unwrap_err().0, "!a#");
    }

    #[test]
    fn raw_records_are_taken_by_topic_and_device() {
        let all = ["sensors/a", "sensors/b", "other/a"];
        let filter = Filter { topics: topics(&["sensors/#"]), ..Filter::default() };
        assert_eq!(raw_devices(&filter, &all), ["sensors/a", "sensors/b"]);
        let filter = Filter { devices: names(&["a"]), ..Filter::default() };
        assert_eq!(raw_devices(&filter, &all), ["sensors/a"], "where no topic names it, the device is the whole topic");
        let filter = Filter { kinds: vec![Kind::Windows], ..Filter::default() };
        assert_eq!(raw_devices(&filter, &all), Vec::<&str>::new());
        assert_eq!(raw_devices(&Filter::default(), &all), all);
    }

    #[test]
    fn a_frames_device_is_its_own() {
        let of_frame = Filter { devices: names(&["pump-7"]), ..Filter::default() };
        let of_topic = Filter { devices: names(&["a"]), ..Filter::default() };
        assert!(of_frame.takes_raw(&frame(), &decoder()) && !of_topic.takes_raw(&frame(), &decoder()));
    }

    #[test]
    fn derived_records_are_taken_by_kind_device_and_channel_and_have_no_topic() {
        let filter = Filter { kinds: vec![Kind::Windows], topics: topics(&["nothing"]), ..Filter::default() };
        assert!(filter.takes_derived(&window("a", "x")) && !filter.takes_derived(&gap("a")));
        let filter = Filter { devices: names(&["a"]), channels: names(&["x"]), ..Filter::default() };
        assert!(filter.takes_derived(&window("a", "x")));
        assert!(!filter.takes_derived(&window("b", "x")) && !filter.takes_derived(&window("a", "y")));
        assert!(filter.takes_derived(&gap("a")), "a gap is of all channels");
    }

    #[test]
    fn a_finding_across_channels_is_taken_if_one_of_them_is() {
        let filter = Filter { channels: names(&["flow"]), ..Filter::default() };
        assert!(filter.takes_derived(&relation(&["pressure", "flow"])));
        assert!(!filter.takes_derived(&relation(&["pressure", "current"])));
    }

    #[test]
    fn what_cannot_be_read_is_left_to_the_encoder() {
        let filter = Filter { kinds: vec![Kind::Raw, Kind::Windows], devices: names(&["a"]), ..Filter::default() };
        assert!(filter.takes_derived(&record("", b"{}")));
        let unreadable = Record { topic: bytes::Bytes::from_static(b"\xff"), ..record("", b"1") };
        assert!(filter.takes_raw(&unreadable, &decoder()));
    }
}
