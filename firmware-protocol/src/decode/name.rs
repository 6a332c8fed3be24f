//! What a decoder is called wherever its records go: `ID/VERSION`, as in `zigbee/2`.
//!
//! # Invariants
//! - A record that brings a name is decoded by the table of that id alone, and only if its version is the same or later:
//!   a later version mends an earlier one, an earlier one does not know what the later one means.
//! - Who cannot decode it says so, and which table to copy; it never guesses by the topic.

use std::fmt;

/// A decoder's id, and the version of what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DecoderName<'a> {
    /// Id and version, with a slash between them.
    text: &'a str,
    id_bytes: usize,
    version: u32,
}

impl<'a> DecoderName<'a> {
    /// Splits at the last slash: ids that are topics have some of their own. `None` if it is no name.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (id, version) = text.rsplit_once('/')?;
        let is_decimal = version.bytes().all(|b| b.is_ascii_digit()) && !version.starts_with('0');
        let version = version.parse().ok().filter(|_| is_decimal)?;
        (!id.is_empty()).then_some(Self { text, id_bytes: id.len(), version })
    }

    pub fn as_str(&self) -> &'a str {
        self.text
    }

    pub fn id(&self) -> &'a str {
        &self.text[..self.id_bytes]
    }

    /// From 1.
    pub fn version(&self) -> u32 {
        self.version
    }
}

impl fmt::Display for DecoderName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

/// Why the decoder that a record names cannot be had here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecoderFault {
    /// No table has this id.
    Unknown { id: String, version: u32 },
    /// The table of this id is of an earlier version.
    Later { id: String, version: u32, here: u32 },
    /// The table of this id takes other topics than the record's.
    OtherTopic { id: String, version: u32, here: u32 },
}

impl DecoderFault {
    /// One of few words, for a metric's label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "decoder_unknown",
            Self::Later { .. } => "decoder_version",
            Self::OtherTopic { .. } => "decoder_topic",
        }
    }
}

impl fmt::Display for DecoderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let copy = "copy its [[decode]] table from the gateway that sent the record";
        match self {
            Self::Unknown { id, version } => {
                write!(f, "decoder `{id}` (version {version}) is not known here: {copy}")
            }
            Self::Later { id, version, here } => {
                write!(f, "decoder `{id}` is of version {here} here, the record wants {version}: {copy}")
            }
            Self::OtherTopic { id, version, here } => {
                write!(f, "decoder `{id}` (version {here} here, {version} there) does not take this topic: {copy}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{DecodeError, Decoder, Incoming, Route};
    use crate::measurement::{EventTime, Measurement};

    /// The measurement that the points go to, by a decoder with `climate/2` and `sensors/#/1`.
    fn decode(name: Option<&str>, topic: &str) -> Result<String, DecodeError> {
        let route = |topic: &str| Route { topic: topic.into(), ..Route::default() };
        let climate =
            Route { id: "climate".into(), version: 2, measurement: "climate".into(), ..route("plant/{device}") };
        let decoder = Decoder::new(vec![route("sensors/#"), climate]).unwrap();
        let received_at = EventTime(1_772_366_400_000_000_000);
        let message = Incoming { topic, payload: b"21.5", content_type: "", received_at, is_replay: false, table: "" };
        let name = name.map(|name| DecoderName::parse(name).unwrap());
        let route = decoder.decode_as(name, message, &mut Measurement::default())?;
        Ok(route.measurement.clone())
    }

    #[test]
    fn the_named_decoder_decodes_what_it_or_an_earlier_version_was_meant_for() {
        for name in ["climate/1", "climate/2"] {
            assert_eq!(decode(Some(name), "plant/pump").unwrap(), "climate");
        }
        assert_eq!(decode(Some("sensors/#/1"), "sensors/pump").unwrap(), "sensor");
        assert_eq!(decode(None, "plant/pump").unwrap(), "climate", "without a name the topic decides");
    }

    #[test]
    fn a_decoder_that_is_not_here_is_named_with_what_to_do() {
        for (name, topic, reason, text) in [
            (
                "climate/3",
                "plant/pump",
                "decoder_version",
                "decoder `climate` is of version 2 here, the record wants 3",
            ),
            ("weather/1", "plant/pump", "decoder_unknown", "decoder `weather` (version 1) is not known here"),
            ("climate/2", "sensors/pump", "decoder_topic", "decoder `climate` (version 2 here, 2 there) does not take"),
        ] {
            let error = decode(Some(name), topic).unwrap_err();
            assert_eq!(error.reason(), reason);
            assert!(error.to_string().starts_with(text) && error.to_string().contains("copy its [[decode]] table"));
        }
    }

    #[test]
    fn two_decoders_of_one_name_are_refused() {
        let route = |id: &str, topic: &str| Route { id: id.into(), topic: topic.into(), ..Route::default() };
        for routes in
            [[route("a", "x"), route("a", "y")], [route("", "x"), route("", "x")], [route("x", "y"), route("", "x")]]
        {
            let fault = Decoder::new(routes.to_vec()).unwrap_err();
            assert!(fault.starts_with("decode route 2: id: `") && fault.contains("route 1"), "{fault}");
        }
    }

    #[test]
    fn an_id_with_slashes_of_its_own_is_told_from_its_version() {
        for (text, id, version) in [
            ("zigbee/2", "zigbee", 2),
            ("sensors/{device}/telemetry/1", "sensors/{device}/telemetry", 1),
            ("#/4294967295", "#", u32::MAX),
            ("//1", "/", 1),
        ] {
            let name = DecoderName::parse(text).unwrap();
            assert_eq!((name.id(), name.version(), name.as_str()), (id, version, text));
        }
    }

    #[test]
    fn what_is_no_name_is_none() {
        for text in ["", "zigbee", "zigbee/", "/1", "zigbee/0", "zigbee/01", "zigbee/+1", "zigbee/4294967296", "a/b"] {
            assert_eq!(DecoderName::parse(text), None, "{text}");
        }
    }
}
