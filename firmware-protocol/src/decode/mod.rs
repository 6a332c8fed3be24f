//! From a message's topic and payload to a [`Measurement`]: the routes that an operator configures.
//!
//! # Invariants
//! - Pure: the same message and routes give the same measurement, on the gateway, in cloud-sink, years later.
//! - The first route whose topic pattern matches decides; a message that no route matches is undecodable.
//! - In the steady state nothing is allocated, but for the names of a line: the measurement is reused.
//!
//! # Flow
//! ```text
//! content type, topic ─▶ Route ─┬▶ frame  ─┐
//!                               ├▶ json   ─┼▶ Measurement: device, identity, channels, readings
//!                               ├▶ line   ─┤
//!                               └▶ scalar ─┘
//! ```
//! The device is, in this order: the frame's own; the topic's `{device}`; the JSON field that the route names, which
//! must then be there; else the whole topic, because only that never makes one device out of two. Lines have tags for
//! it: see `line`.

mod error;
mod fingerprint;
mod frame;
mod line;
mod name;
mod route;
mod times;

use std::borrow::Cow;

use crate::content_type::ContentType;
use crate::frame::{Header, is_frame};
use crate::line::Precision;
use crate::measurement::{Dropped, EventTime, Measurement, Reading};
use crate::topic::{Captures, Pattern};
use crate::{json, scalar};

pub use error::DecodeError;
pub use fingerprint::Fingerprint;
pub use name::{DecoderFault, DecoderName};
pub use route::{Format, Route, RouteFault, TimeUnit};
pub use times::{latest_believable, settle_times};

/// Longest device name taken from a topic or a JSON field, bytes; it becomes a tag, a Kafka key and a state's key.
pub const DEVICE_MAX_BYTES: usize = 256;
/// Longest channel name, nested JSON names with their dots included, bytes; it becomes a field's key.
pub const CHANNEL_NAME_MAX_BYTES: usize = 128;
/// Most channels of one message: each is state in the detectors and a field in the database.
pub const CHANNELS_MAX: usize = 256;
/// Most readings of one message, at 24 bytes each.
pub const READINGS_MAX: usize = 32_768;

/// A message as it was received.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    pub topic: &'a str,
    pub payload: &'a [u8],
    /// As the sender named it; empty if it did not.
    pub content_type: &'a str,
    pub received_at: EventTime,
    /// A broker's retained copy: its receipt says nothing about when it was measured.
    pub is_replay: bool,
    /// What the channel numbers in the payload mean (see [`crate::table`]); empty for all that names its channels.
    pub table: &'a str,
}

impl Incoming<'_> {
    /// Stands for the time of measurement where the message names none.
    fn measured_at(&self) -> Option<EventTime> {
        (!self.is_replay).then_some(self.received_at)
    }
}

/// The configured routes, ready to decode.
#[derive(Clone, Debug)]
pub struct Decoder {
    routes: Vec<(Pattern, Route)>,
    /// `ID/VERSION` of each route.
    names: Vec<String>,
}

/// What the payload is, once looked at.
enum Content<'a> {
    Frame(&'a [u8]),
    Json(&'a [u8]),
    Line(&'a [u8], Precision),
    Scalar(&'a [u8]),
}

impl Decoder {
    /// # Errors
    /// A text that names the route, the field and what is wrong with it.
    pub fn new(routes: Vec<Route>) -> Result<Self, String> {
        if let Some(fault) = route::repeated(&routes) {
            return Err(fault);
        }
        let names = routes.iter().map(|route| format!("{}/{}", route.decoder_id(), route.version)).collect();
        let mut proven = Vec::with_capacity(routes.len());
        for (i, route) in routes.into_iter().enumerate() {
            let refuse = |fault: RouteFault| format!("decode route {} (topic `{}`): {fault}", i + 1, route.topic);
            let pattern = route.pattern().map_err(refuse)?;
            if let Some(fault) = route.faults().into_iter().next() {
                return Err(refuse(fault));
            }
            proven.push((pattern, route));
        }
        Ok(Self { routes: proven, names })
    }

    /// The route that decides for a topic.
    pub fn route_for(&self, topic: &str) -> Option<&Route> {
        self.find(topic).map(|(_, route, _)| route)
    }

    /// The name of that route, to go with a record.
    pub fn name_for(&self, topic: &str) -> Option<DecoderName<'_>> {
        let at = self.routes.iter().position(|(pattern, _)| pattern.matches(topic).is_some())?;
        self.names.get(at).and_then(|name| DecoderName::parse(name))
    }

    /// All routes, in the order in which topics are tried.
    pub fn routes(&self) -> impl ExactSizeIterator<Item = &Route> {
        self.routes.iter().map(|(_, route)| route)
    }

    /// Decodes into `out`, which is cleared first. Returns the route that decided.
    ///
    /// # Errors
    /// See [`DecodeError`]; `out` is then empty or partly filled and must not be used.
    pub fn decode(&self, message: Incoming<'_>, out: &mut Measurement) -> Result<&Route, DecodeError> {
        self.decode_as(None, message, out)
    }

    /// As [`Self::decode`], by the route that the record names, if it names one: see [`DecoderName`].
    ///
    /// # Errors
    /// As there.
    pub fn decode_as(
        &self,
        name: Option<DecoderName<'_>>,
        message: Incoming<'_>,
        out: &mut Measurement,
    ) -> Result<&Route, DecodeError> {
        out.clear();
        let (pattern, route, captures) = match name {
            Some(name) => self.find_named(name, message.topic)?,
            None => self.find(message.topic).ok_or(DecodeError::NoRoute)?,
        };
        match route.content(message.payload, message.content_type) {
            Content::Frame(bytes) => frame::decode(bytes, &message, out)?,
            Content::Json(bytes) => {
                let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8)?;
                let from_payload = !pattern.names_device() && route.device_field.is_some();
                if !from_payload {
                    set_device(captures.device.unwrap_or(message.topic), out)?;
                }
                json::decode(text, &json::Rules { route, captures, from_payload }, message.measured_at(), out)?;
            }
            Content::Line(bytes, precision) => {
                line::decode(bytes, precision, (route, captures), message.measured_at(), out)?;
            }
            Content::Scalar(bytes) => {
                let value = scalar::parse(bytes)?;
                if !pattern.names_device() && route.device_field.is_some() {
                    return Err(DecodeError::NoDevice);
                }
                set_device(captures.device.unwrap_or(message.topic), out)?;
                let name = captures.channel.unwrap_or(&route.channel);
                check_length("channel name", name, CHANNEL_NAME_MAX_BYTES)?;
                let channel = out.push_channel(name);
                let at = message.measured_at().ok_or(DecodeError::Retained)?;
                out.readings.push(Reading { channel, at, value });
                out.uses_received_time = true;
            }
        }
        match out {
            Measurement { is_announcement: true, .. } => Ok(route),
            out if !out.is_empty() => Ok(route),
            Measurement { dropped: Dropped { out_of_bounds: 1.., .. }, .. } => Err(DecodeError::OutOfBounds),
            Measurement { dropped: Dropped { not_finite: 1.., .. }, .. } => Err(DecodeError::NotFinite),
            _ => Err(DecodeError::NoReadings),
        }
    }

    /// The name of the device that a message is from, without decoding the rest: the key under which it is sent on.
    /// Where `decode` would find none, because the message is broken, it is the topic.
    pub fn device_of<'m>(&self, topic: &'m str, payload: &'m [u8], content_type: &str) -> Cow<'m, str> {
        let Some((_, route, captures)) = self.find(topic) else { return Cow::Borrowed(topic) };
        let named = match route.content(payload, content_type) {
            Content::Frame(bytes) => Header::peek(bytes).ok().map(|h| Cow::Borrowed(h.device)),
            Content::Json(bytes) => captures.device.map(Cow::Borrowed).or_else(|| {
                let text = std::str::from_utf8(bytes).ok()?;
                json::device(text, route.device_field.as_deref()?)
            }),
            Content::Line(bytes, _) => line::device(bytes, route, captures),
            Content::Scalar(_) => captures.device.map(Cow::Borrowed),
        };
        named.filter(|d| !d.is_empty() && d.len() <= DEVICE_MAX_BYTES).unwrap_or(Cow::Borrowed(topic))
    }

    /// Whether all messages of this topic are from the same device, but for frames and lines, which name their own.
    pub fn device_is_in_topic(&self, topic: &str) -> bool {
        self.find(topic).is_none_or(|(pattern, route, _)| pattern.names_device() || route.device_field.is_none())
    }

    fn find_named<'s, 't>(
        &'s self,
        name: DecoderName<'_>,
        topic: &'t str,
    ) -> Result<(&'s Pattern, &'s Route, Captures<'t>), DecoderFault> {
        let (id, version) = (name.id(), name.version());
        let known = self.routes.iter().find(|(_, route)| route.decoder_id() == id);
        let (pattern, route) = known.ok_or_else(|| DecoderFault::Unknown { id: id.to_owned(), version })?;
        let here = route.version;
        if version > here {
            return Err(DecoderFault::Later { id: id.to_owned(), version, here });
        }
        let captures = pattern.matches(topic);
        let captures = captures.ok_or_else(|| DecoderFault::OtherTopic { id: id.to_owned(), version, here })?;
        Ok((pattern, route, captures))
    }

    fn find<'s, 't>(&'s self, topic: &'t str) -> Option<(&'s Pattern, &'s Route, Captures<'t>)> {
        self.routes.iter().find_map(|(pattern, route)| pattern.matches(topic).map(|c| (pattern, route, c)))
    }
}

impl Route {
    /// What the sender says counts more than what the route expects.
    fn content<'a>(&self, payload: &'a [u8], content_type: &str) -> Content<'a> {
        match ContentType::of(content_type) {
            ContentType::Frame => return Content::Frame(payload),
            ContentType::LineProtocol(precision) => return Content::Line(payload, precision),
            // A bare number is JSON, too.
            ContentType::Json if is_nested(payload) => return Content::Json(payload),
            ContentType::Json => return Content::Scalar(payload),
            ContentType::Other => {}
        }
        match self.format {
            Format::Frame => Content::Frame(payload),
            Format::Json => Content::Json(payload),
            Format::Scalar => Content::Scalar(payload),
            Format::Auto if is_frame(payload) => Content::Frame(payload),
            Format::Auto if is_nested(payload) => Content::Json(payload),
            Format::Auto => Content::Scalar(payload),
        }
    }
}

/// Whether the bytes claim to be a JSON object or array.
fn is_nested(payload: &[u8]) -> bool {
    matches!(payload.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// Whether a decoder reads the bytes as a bare number, `true` or `false`.
pub fn is_scalar(payload: &[u8]) -> bool {
    scalar::parse(payload).is_ok()
}

fn set_device(device: &str, out: &mut Measurement) -> Result<(), DecodeError> {
    if device.is_empty() {
        return Err(DecodeError::NoDevice);
    }
    check_length("device name", device, DEVICE_MAX_BYTES)?;
    out.set_device(device);
    Ok(())
}

fn check_length(what: &'static str, name: &str, limit: usize) -> Result<(), DecodeError> {
    if name.len() > limit { Err(DecodeError::TooLarge { what, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
