//! What a sender says that its payload is: media types that decide how a record is decoded.
//!
//! # Invariants
//! - Only the types below decide; any other, and none, leaves it to the route's format.
//! - The text is stored and sent on with the record, so gateway and cloud-sink read it alike.

use crate::line::Precision;

pub const JSON: &str = "application/json";
/// A JSON value on each line.
pub const JSON_LINES: &str = "application/x-ndjson";
pub const CSV: &str = "text/csv";
/// RFC 8428; in either form, as the bytes tell it.
pub const SENML_JSON: &str = "application/senml+json";
pub const SENML_CBOR: &str = "application/senml+cbor";
/// RFC 8949.
pub const CBOR: &str = "application/cbor";
/// Takes a parameter `precision`: `ns` (the default), `us`, `ms` or `s`.
pub const LINE_PROTOCOL: &str = "application/vnd.influx.line-protocol";
pub const FRAME: &str = crate::frame::CONTENT_TYPE;

/// [`LINE_PROTOCOL`] with the parameter; none for the default.
pub fn line_protocol(precision: Precision) -> &'static str {
    match precision {
        Precision::Ns => LINE_PROTOCOL,
        Precision::Us => "application/vnd.influx.line-protocol; precision=us",
        Precision::Ms => "application/vnd.influx.line-protocol; precision=ms",
        Precision::S => "application/vnd.influx.line-protocol; precision=s",
    }
}

/// A content type, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType {
    Json,
    JsonLines,
    Csv,
    Senml,
    Cbor,
    LineProtocol(Precision),
    Frame,
    /// None, or one that says nothing about how to decode.
    Other,
}

impl ContentType {
    /// Upper and lower case are the same; parameters that have no meaning here are passed over.
    pub fn of(text: &str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default();
        let is = |name: &str| essence.eq_ignore_ascii_case(name);
        if is(JSON) {
            Self::Json
        } else if is(JSON_LINES) || is("application/ndjson") || is("application/jsonl") {
            Self::JsonLines
        } else if is(CSV) {
            Self::Csv
        } else if is(SENML_JSON) || is(SENML_CBOR) {
            Self::Senml
        } else if is(CBOR) {
            Self::Cbor
        } else if is(FRAME) {
            Self::Frame
        } else if is(LINE_PROTOCOL) {
            let named = parts.filter_map(|p| p.split_once('=')).find(|(key, _)| key.eq_ignore_ascii_case("precision"));
            // A unit that is not known would give wrong times: better no decoding than that.
            named.map_or(Some(Precision::Ns), |(_, unit)| Precision::of(unit)).map_or(Self::Other, Self::LineProtocol)
        } else {
            Self::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_that_decide_are_known_in_any_case_and_with_parameters() {
        for (text, expected) in [
            ("application/json", ContentType::Json),
            ("Application/JSON; charset=utf-8", ContentType::Json),
            ("application/x-ndjson", ContentType::JsonLines),
            ("application/jsonl", ContentType::JsonLines),
            ("text/csv; header=absent", ContentType::Csv),
            ("application/senml+json", ContentType::Senml),
            ("application/senml+cbor", ContentType::Senml),
            ("application/cbor", ContentType::Cbor),
            ("application/vnd.sensor-frame", ContentType::Frame),
            ("application/vnd.influx.line-protocol", ContentType::LineProtocol(Precision::Ns)),
            ("application/vnd.influx.line-protocol; a=b;precision=ms", ContentType::LineProtocol(Precision::Ms)),
        ] {
            assert_eq!(ContentType::of(text), expected, "{text}");
        }
    }

    #[test]
    fn a_precision_is_told_and_understood() {
        for precision in [Precision::Ns, Precision::Us, Precision::Ms, Precision::S] {
            assert_eq!(ContentType::of(line_protocol(precision)), ContentType::LineProtocol(precision));
        }
    }

    #[test]
    fn all_else_leaves_it_to_the_route() {
        for text in ["", "text/plain", "json", "application/jsonx", "application/vnd.influx.line-protocol;precision=h"]
        {
            assert_eq!(ContentType::of(text), ContentType::Other, "{text}");
        }
    }
}
