//! From a message's topic and payload to a [`Measurement`]: the routes that an operator configures.
//!
//! # Invariants
//! - Pure: the same message and routes give the same measurement, on the gateway, in cloud-sink, years later.
//! - The first route whose topic pattern matches decides; a message that no route matches is undecodable.
//! - In the steady state nothing is allocated, but for the names of a line: the measurement is reused.
//! - Whatever the format, a reading ends under the same rules: see `rules`.
//!
//! # Flow
//! ```text
//! content type, topic ─▶ Plan ─┬▶ json, json lines, cbor ──(paths)────┐
//!                              ├▶ frame     ─┐                        ├▶ Measurement: device, identity, tags,
//!                              ├▶ line       │                        │   channels, units, readings, texts
//!                              ├▶ csv        ├▶ Measurement ─▶ rules ─┘
//!                              ├▶ senml      │
//!                              ├▶ sparkplug  │
//!                              └▶ scalar    ─┘
//! ```
//! The device is, in this order: the frame's own; the topic's `{device}`; the field that the route names, which must then
//! be there; else the whole topic, because only that never makes one device out of two. Lines have tags for it: see `line`;
//! packs base names: see `senml`; Sparkplug has its own topics: see `sparkplug`.

mod channel;
mod csv;
mod error;
mod fingerprint;
mod frame;
mod line;
mod name;
mod paths;
mod plan;
mod route;
mod rules;
mod samples;
mod senml;
mod sparkplug;
mod tags;
mod times;

use std::borrow::Cow;

use crate::content_type::ContentType;
use crate::frame::{Header, is_frame};
use crate::line::Precision;
use crate::measurement::{Dropped, EventTime, Measurement, Reading};
use crate::sparkplug::Topic;
use crate::topic::Captures;
use crate::{cbor, json, scalar};

pub use channel::{Channel, TimeOf};
pub use error::DecodeError;
pub use fingerprint::Fingerprint;
pub use name::{DecoderFault, DecoderName};
pub(crate) use paths::{Node, Role, Tree};
pub(crate) use plan::Plan;
pub use route::{Fields, Format, Route, RouteFault, TimeUnit};
pub(crate) use rules::{Rule, keep};
pub use sparkplug::SPARKPLUG_CHANNELS_MAX;
pub use times::{latest_believable, settle_times};

/// Longest device name taken from a topic or a JSON field, bytes; it becomes a tag, a Kafka key and a state's key.
pub const DEVICE_MAX_BYTES: usize = 256;
/// Longest channel name, nested JSON names with their dots included, bytes; it becomes a field's key.
pub const CHANNEL_NAME_MAX_BYTES: usize = 128;
/// Most channels of one message: each is state in the detectors and a field in the database.
pub const CHANNELS_MAX: usize = 256;
/// Longest text that is a reading, bytes.
pub const TEXT_MAX_BYTES: usize = 128;
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
    plans: Vec<Plan>,
    /// `ID/VERSION` of each route.
    names: Vec<String>,
}

/// What the payload is, once looked at.
enum Content<'a> {
    Frame(&'a [u8]),
    Json(&'a [u8]),
    JsonLines(&'a [u8]),
    Csv(&'a [u8]),
    Line(&'a [u8], Precision),
    Senml(&'a [u8]),
    Cbor(&'a [u8]),
    Sparkplug(&'a [u8]),
    Scalar(&'a [u8]),
}

impl Decoder {
    /// # Errors
    /// A text that names the route, the field and what is wrong with it.
    pub fn new(routes: Vec<Route>) -> Result<Self, String> {
        if let Some((i, fault)) = Route::repeated(&routes) {
            return Err(format!("decode route {}: {fault}", i + 1));
        }
        let names = routes.iter().map(|route| format!("{}/{}", route.decoder_id(), route.version)).collect();
        let plan = |(i, route): (usize, Route)| {
            let topic = route.topic.clone();
            Plan::new(route).map_err(|fault| format!("decode route {} (topic `{topic}`): {fault}", i + 1))
        };
        Ok(Self { plans: routes.into_iter().enumerate().map(plan).collect::<Result<_, _>>()?, names })
    }

    /// The route that decides for a topic.
    pub fn route_for(&self, topic: &str) -> Option<&Route> {
        self.find(topic).map(|(plan, _)| &plan.route)
    }

    /// The name of that route, to go with a record.
    pub fn name_for(&self, topic: &str) -> Option<DecoderName<'_>> {
        let at = self.plans.iter().position(|plan| plan.pattern.matches(topic).is_some())?;
        self.names.get(at).and_then(|name| DecoderName::parse(name))
    }

    /// As what a message would be read, in a word or two: for people who look.
    pub fn read_as(&self, message: &Incoming<'_>) -> &'static str {
        let Some((plan, _)) = self.find(message.topic) else { return "nothing: no route takes the topic" };
        match plan.route.content(message.topic, message.payload, message.content_type) {
            Content::Frame(_) => "frame",
            Content::Json(_) => "json",
            Content::JsonLines(_) => "json lines",
            Content::Csv(_) => "csv",
            Content::Line(..) => "line protocol",
            Content::Senml(_) => "senml",
            Content::Cbor(_) => "cbor",
            Content::Sparkplug(_) => "sparkplug",
            Content::Scalar(_) => "scalar",
        }
    }

    /// All routes, in the order in which topics are tried.
    pub fn routes(&self) -> impl ExactSizeIterator<Item = &Route> {
        self.plans.iter().map(|plan| &plan.route)
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
        let (plan, captures) = match name {
            Some(name) => self.find_named(name, message.topic)?,
            None => self.find(message.topic).ok_or(DecodeError::NoRoute)?,
        };
        plan.read(message, captures, out)?;
        plan.tags.push(message.topic, out)?;
        match out {
            Measurement { is_announcement: true, .. } => Ok(&plan.route),
            out if !out.is_empty() => Ok(&plan.route),
            Measurement { dropped: Dropped { out_of_bounds: 1.., .. }, .. } => Err(DecodeError::OutOfBounds),
            Measurement { dropped: Dropped { not_finite: 1.., .. }, .. } => Err(DecodeError::NotFinite),
            Measurement { dropped: Dropped { unknown_words: 1.., .. }, .. } => Err(DecodeError::UnknownWord),
            _ => Err(DecodeError::NoReadings),
        }
    }

    /// The name of the device that a message is from, without decoding the rest: the key under which it is sent on.
    /// Where `decode` would find none, because the message is broken, it is the topic.
    pub fn device_of<'m>(&self, topic: &'m str, payload: &'m [u8], content_type: &str) -> Cow<'m, str> {
        let Some((plan, captures)) = self.find(topic) else { return Cow::Borrowed(topic) };
        let from_topic = captures.device.map(Cow::Borrowed);
        let in_payload = |find: fn(&'m str, &Plan) -> Option<Cow<'m, str>>| {
            from_topic.clone().or_else(|| find(std::str::from_utf8(payload).ok()?, plan))
        };
        let named = match plan.route.content(topic, payload, content_type) {
            Content::Frame(bytes) => Header::peek(bytes).ok().map(|h| Cow::Borrowed(h.device)),
            Content::Json(_) => in_payload(json::device),
            Content::JsonLines(_) => in_payload(json::device_in_lines),
            Content::Csv(_) => in_payload(csv::device),
            Content::Line(bytes, _) => line::device(bytes, &plan.route, captures),
            Content::Senml(bytes) => from_topic.or_else(|| senml::device(bytes)),
            Content::Cbor(bytes) => from_topic.or_else(|| cbor::read(bytes, json::device_in(plan)).ok()?),
            Content::Sparkplug(_) => from_topic.or_else(|| sparkplug::device(topic)),
            Content::Scalar(_) => from_topic,
        };
        named.filter(|d| !d.is_empty() && d.len() <= DEVICE_MAX_BYTES).unwrap_or(Cow::Borrowed(topic))
    }

    /// Whether all messages of this topic are from the same device, but for frames, lines and packs, which name their own.
    pub fn device_is_in_topic(&self, topic: &str) -> bool {
        self.find(topic).is_none_or(|(plan, _)| {
            let Route { format, device_field, .. } = &plan.route;
            plan.pattern.names_device() || (device_field.is_none() && *format != Format::Senml)
        })
    }

    fn find_named<'s, 't>(
        &'s self,
        name: DecoderName<'_>,
        topic: &'t str,
    ) -> Result<(&'s Plan, Captures<'t>), DecoderFault> {
        let (id, version) = (name.id(), name.version());
        let known = self.plans.iter().find(|plan| plan.route.decoder_id() == id);
        let plan = known.ok_or_else(|| DecoderFault::Unknown { id: id.to_owned(), version })?;
        let here = plan.route.version;
        if version > here {
            return Err(DecoderFault::Later { id: id.to_owned(), version, here });
        }
        let captures = plan.pattern.matches(topic);
        let captures = captures.ok_or_else(|| DecoderFault::OtherTopic { id: id.to_owned(), version, here })?;
        Ok((plan, captures))
    }

    fn find<'s, 't>(&'s self, topic: &'t str) -> Option<(&'s Plan, Captures<'t>)> {
        self.plans.iter().find_map(|plan| plan.pattern.matches(topic).map(|captures| (plan, captures)))
    }
}

impl Plan {
    /// Fills in all but the tags.
    fn read(&self, message: Incoming<'_>, captures: Captures<'_>, out: &mut Measurement) -> Result<(), DecodeError> {
        let measured_at = message.measured_at();
        let from_payload = !self.pattern.names_device() && self.route.device_field.is_some();
        let rules = json::Rules { plan: self, captures, from_payload };
        let device = (!from_payload).then(|| captures.device.unwrap_or(message.topic));
        match self.route.content(message.topic, message.payload, message.content_type) {
            Content::Frame(bytes) => frame::decode(bytes, &message, out)?,
            // These look up the rule of each value by its path.
            Content::Json(bytes) => {
                let text = text(bytes)?;
                device.map_or(Ok(()), |device| set_device(device, out))?;
                return json::decode(text, &rules, measured_at, out);
            }
            Content::JsonLines(bytes) => {
                let text = text(bytes)?;
                device.map_or(Ok(()), |device| set_device(device, out))?;
                return json::decode_lines(text, &rules, measured_at, out);
            }
            Content::Cbor(bytes) => {
                device.map_or(Ok(()), |device| set_device(device, out))?;
                return json::read(&rules, measured_at, out, |top| Ok(cbor::visit(bytes, top)?));
            }
            Content::Csv(bytes) => {
                let text = text(bytes)?;
                device.map_or(Ok(()), |device| set_device(device, out))?;
                csv::decode(text, &rules, measured_at, out)?;
            }
            Content::Line(bytes, precision) => line::decode(bytes, precision, (self, captures), measured_at, out)?,
            Content::Senml(bytes) => senml::decode(bytes, message.topic, (&self.route, captures), measured_at, out)?,
            Content::Sparkplug(bytes) => {
                let told = (message.topic, captures.device, message.table);
                sparkplug::decode(bytes, told, measured_at, out)?;
            }
            Content::Scalar(bytes) => {
                set_device(device.ok_or(DecodeError::NoDevice)?, out)?;
                self.read_scalar(bytes, captures, measured_at, out)?;
            }
        }
        self.rules.apply(out)
    }

    fn read_scalar(
        &self,
        bytes: &[u8],
        captures: Captures<'_>,
        measured_at: Option<EventTime>,
        out: &mut Measurement,
    ) -> Result<(), DecodeError> {
        let name = captures.channel.unwrap_or(&self.route.channel);
        check_length("channel name", name, CHANNEL_NAME_MAX_BYTES)?;
        let value = scalar::parse(bytes);
        let text = std::str::from_utf8(bytes.trim_ascii()).ok();
        let text = text.filter(|text| !text.is_empty() && text.len() <= TEXT_MAX_BYTES);
        let at = measured_at.ok_or(DecodeError::Retained);
        match (value, text) {
            (Err(_), Some(text)) if self.rules.wants_text(name) => {
                let channel = out.push_channel(name);
                out.push_text(channel, at?, text);
            }
            (value, _) => {
                let value = value?;
                let channel = out.push_channel(name);
                out.readings.push(Reading { channel, at: at?, value });
            }
        }
        out.uses_received_time = true;
        Ok(())
    }
}

impl Route {
    /// What the sender says counts more than what the route expects.
    fn content<'a>(&self, topic: &str, payload: &'a [u8], content_type: &str) -> Content<'a> {
        match ContentType::of(content_type) {
            ContentType::Frame => return Content::Frame(payload),
            ContentType::LineProtocol(precision) => return Content::Line(payload, precision),
            ContentType::JsonLines => return Content::JsonLines(payload),
            ContentType::Csv => return Content::Csv(payload),
            ContentType::Senml => return Content::Senml(payload),
            ContentType::Cbor => return Content::Cbor(payload),
            // A bare number is JSON, too.
            ContentType::Json if is_nested(payload) => return Content::Json(payload),
            ContentType::Json => return Content::Scalar(payload),
            ContentType::Other => {}
        }
        match self.format {
            Format::Frame => Content::Frame(payload),
            Format::Json => Content::Json(payload),
            Format::JsonLines => Content::JsonLines(payload),
            Format::Csv => Content::Csv(payload),
            Format::Line => Content::Line(payload, self.precision()),
            Format::Senml => Content::Senml(payload),
            Format::Cbor => Content::Cbor(payload),
            Format::Sparkplug => Content::Sparkplug(payload),
            Format::Scalar => Content::Scalar(payload),
            Format::Auto if Topic::parse(topic).is_some() => Content::Sparkplug(payload),
            Format::Auto if is_frame(payload) => Content::Frame(payload),
            Format::Auto if is_nested(payload) => Content::Json(payload),
            Format::Auto => Content::Scalar(payload),
        }
    }

    /// Of the times of lines: what line protocol has for a unit of its own is the default.
    fn precision(&self) -> Precision {
        match self.time_unit {
            TimeUnit::S => Precision::S,
            TimeUnit::Ms => Precision::Ms,
            TimeUnit::Us => Precision::Us,
            TimeUnit::Ns | TimeUnit::Auto | TimeUnit::Rfc3339 => Precision::Ns,
        }
    }
}

fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|_| DecodeError::NotUtf8)
}

/// A number, `true` or `false` in quotes.
fn scalar_in_text(text: &str) -> Option<f64> {
    scalar::parse(text.as_bytes()).ok()
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
