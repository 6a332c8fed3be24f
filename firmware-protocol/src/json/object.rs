//! The visitors that serde_json drives over the text, and what they share.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Rules;
use super::path::Path;
use crate::decode::{CHANNEL_NAME_MAX_BYTES, CHANNELS_MAX, DEVICE_MAX_BYTES, DecodeError, READINGS_MAX};
use crate::digits::Digits;
use crate::measurement::{ChannelIndex, EventTime, Measurement, Reading};
use crate::time;

/// Objects within objects, the outermost counted: deeper ones are configuration or state, not readings.
const DEPTH_MAX: usize = 4;

/// What all visitors of one message work on.
pub(super) struct Context<'a> {
    rules: &'a Rules<'a>,
    measured_at: Option<EventTime>,
    out: &'a mut Measurement,
    /// The name of the field at hand; begins with the topic's channel, if it names one.
    path: Path,
    /// Length of the path before any field's key.
    root: usize,
    depth: usize,
    object: Object,
    /// An object was passed over, for it has no time.
    pub(super) is_timeless: bool,
    /// The precise reason of an error that serde carries as text.
    pub(super) fault: Option<DecodeError>,
}

/// What is known of the outermost object at hand.
#[derive(Default)]
struct Object {
    at: Option<EventTime>,
    device_named: bool,
    /// Its first reading in the measurement.
    first: usize,
}

/// What a field is for.
#[derive(Clone, Copy)]
enum Role {
    Time,
    Device,
    Channel,
}

/// Where the name of the field at hand is.
#[derive(Clone, Copy)]
enum Name<'de> {
    /// The key as it stands in the text is the whole name: most fields by far, so they are not copied.
    Key(&'de str),
    /// On the path: nested, escaped or after the topic's channel.
    Path,
}

impl<'a> Context<'a> {
    pub(super) fn new(rules: &'a Rules<'a>, measured_at: Option<EventTime>, out: &'a mut Measurement) -> Self {
        let mut path = Path::new();
        if let Some(channel) = rules.captures.channel {
            path.push(channel);
        }
        let root = path.len();
        let object = Object::default();
        Self { rules, measured_at, out, path, root, depth: 0, object, is_timeless: false, fault: None }
    }

    fn refuse<E: Error>(&mut self, fault: DecodeError) -> E {
        self.fault = Some(fault);
        E::custom("refused")
    }

    /// Reads one object from the top of the message.
    fn object<'de, A: MapAccess<'de>>(&mut self, map: A) -> Result<(), A::Error> {
        self.object = Object { first: self.out.readings.len(), ..Object::default() };
        self.fields(map)?;
        if self.rules.from_payload && !self.object.device_named {
            return Err(self.refuse(DecodeError::NoDevice));
        }
        let Some(at) = self.object.at.or(self.measured_at) else {
            self.is_timeless |= self.out.readings.len() > self.object.first;
            self.out.readings.truncate(self.object.first);
            return Ok(());
        };
        let readings = &mut self.out.readings[self.object.first..];
        self.out.uses_received_time |= self.object.at.is_none() && !readings.is_empty();
        for reading in readings {
            reading.at = at;
        }
        Ok(())
    }

    fn fields<'de, A: MapAccess<'de>>(&mut self, mut map: A) -> Result<(), A::Error> {
        if self.depth == DEPTH_MAX {
            return Err(self.refuse(DecodeError::TooLarge { what: "depth of json objects", limit: DEPTH_MAX }));
        }
        self.depth += 1;
        let before = self.path.len();
        while let Some((role, name)) = map.next_key_seed(Key(self))? {
            map.next_value_seed(Field { context: self, role, name })?;
            self.path.truncate(before);
        }
        self.depth -= 1;
        Ok(())
    }

    fn role(&self, name: Option<&str>) -> Role {
        let route = self.rules.route;
        if name.is_some() && name == route.time_field.as_deref() {
            Role::Time
        } else if name.is_some() && name == route.device_field.as_deref() {
            Role::Device
        } else {
            Role::Channel
        }
    }

    fn number<E: Error>(&mut self, role: Role, name: Name<'_>, number: Number) -> Result<(), E> {
        match (role, number) {
            (Role::Channel, _) => self.reading(name, number.as_f64()),
            (Role::Time, Number::Signed(v)) => self.time(name, v, time::from_integer(v, self.rules.route.time_unit)),
            (Role::Time, Number::Unsigned(v)) => self.time(name, v, Err("it lies after 2262")),
            (Role::Time, Number::Float(v)) => self.time(name, v, time::from_float(v, self.rules.route.time_unit)),
            (Role::Device, Number::Signed(v)) => self.device_number(&Digits::signed(v)),
            (Role::Device, Number::Unsigned(v)) => self.device_number(&Digits::unsigned(v)),
            // A device of that name would change it with the number's digits.
            (Role::Device, Number::Float(_)) => Ok(()),
        }
    }

    fn text<E: Error>(&mut self, role: Role, name: Name<'_>, text: &str) -> Result<(), E> {
        match role {
            Role::Channel => Ok(()),
            Role::Time => self.time(name, text, time::from_text(text, self.rules.route.time_unit)),
            Role::Device => self.device(text),
        }
    }

    fn time<E: Error>(
        &mut self,
        name: Name<'_>,
        value: impl fmt::Display,
        at: Result<EventTime, &str>,
    ) -> Result<(), E> {
        match at {
            Ok(at) => {
                self.object.at = Some(at);
                Ok(())
            }
            Err(why) => {
                let name = match name {
                    Name::Key(key) => key,
                    Name::Path => self.path.since(self.root).unwrap_or_default(),
                };
                let fault = DecodeError::BadTime(format!("`{name}` = {value} is no event time: {why}"));
                Err(self.refuse(fault))
            }
        }
    }

    fn device_number<E: Error>(&mut self, digits: &Digits) -> Result<(), E> {
        self.device(std::str::from_utf8(digits.as_bytes()).unwrap_or_default())
    }

    fn device<E: Error>(&mut self, name: &str) -> Result<(), E> {
        if !self.rules.from_payload || name.is_empty() {
            return Ok(());
        }
        if name.len() > DEVICE_MAX_BYTES {
            return Err(self.refuse(DecodeError::TooLarge { what: "device name", limit: DEVICE_MAX_BYTES }));
        }
        if self.out.device().is_empty() {
            self.out.set_device(name);
        } else if self.out.device() != name {
            return Err(E::custom(format_args!("one message of two devices, `{}` and `{name}`", self.out.device())));
        }
        self.object.device_named = true;
        Ok(())
    }

    fn reading<E: Error>(&mut self, name: Name<'_>, value: f64) -> Result<(), E> {
        let channel = self.channel(name)?;
        let at = EventTime::default(); // set at the end of the object
        let of_object = &mut self.out.readings[self.object.first..];
        if let Some(repeated) = of_object.iter_mut().find(|r| r.channel == channel) {
            repeated.value = value;
            return Ok(());
        }
        if self.out.readings.len() == READINGS_MAX {
            return Err(self.refuse(DecodeError::TooLarge { what: "number of readings", limit: READINGS_MAX }));
        }
        self.out.readings.push(Reading { channel, at, value });
        Ok(())
    }

    /// The channel of the field at hand; a new one if none has its name.
    fn channel<E: Error>(&mut self, name: Name<'_>) -> Result<ChannelIndex, E> {
        let whole = match name {
            Name::Key(key) => (key.len() <= CHANNEL_NAME_MAX_BYTES).then_some(key),
            Name::Path => match self.rules.captures.channel {
                Some(channel) if self.path.since(self.root) == Some(&self.rules.route.channel) => Some(channel),
                Some(_) | None => self.path.as_str(),
            },
        };
        let Some(name) = whole else {
            let limit = CHANNEL_NAME_MAX_BYTES;
            return Err(self.refuse(DecodeError::TooLarge { what: "channel name", limit }));
        };
        if name.is_empty() {
            return Err(E::custom("field with an empty name"));
        }
        // In an array the objects mostly have the same fields in the same order.
        let likely = ChannelIndex((self.out.readings.len() - self.object.first) as u16);
        let count = self.out.channel_count();
        if usize::from(likely.0) < count && self.out.channel(likely) == name {
            return Ok(likely);
        }
        if let Some((index, _)) = self.out.channels().find(|(_, n)| *n == name) {
            return Ok(index);
        }
        if count == CHANNELS_MAX {
            return Err(self.refuse(DecodeError::TooLarge { what: "number of channels", limit: CHANNELS_MAX }));
        }
        Ok(self.out.push_channel(name))
    }
}

#[derive(Clone, Copy)]
enum Number {
    Signed(i64),
    /// Beyond `i64`.
    Unsigned(u64),
    Float(f64),
}

impl Number {
    fn as_f64(self) -> f64 {
        match self {
            Self::Signed(v) => v as f64,
            Self::Unsigned(v) => v as f64,
            Self::Float(v) => v,
        }
    }
}

/// The outermost value.
pub(super) struct Top<'c, 'a>(pub(super) &'c mut Context<'a>);

impl<'de> Visitor<'de> for Top<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.0.object(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Element(self.0))?.is_some() {}
        Ok(())
    }
}

/// An object in the outermost array.
struct Element<'c, 'a>(&'c mut Context<'a>);

impl<'de> DeserializeSeed<'de> for Element<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Element<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.0.object(map)
    }
}

/// A field's key: says what the field is for and where its name is.
struct Key<'c, 'a>(&'c mut Context<'a>);

impl<'de> DeserializeSeed<'de> for Key<'_, '_> {
    type Value = (Role, Name<'de>);

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key<'_, '_> {
    type Value = (Role, Name<'de>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_borrowed_str<E: Error>(self, key: &'de str) -> Result<Self::Value, E> {
        if self.0.path.len() > 0 {
            return self.visit_str(key);
        }
        Ok((self.0.role(Some(key)), Name::Key(key)))
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        self.0.path.push(key);
        Ok((self.0.role(self.0.path.since(self.0.root)), Name::Path))
    }
}

/// A field's value.
struct Field<'c, 'a, 'de> {
    context: &'c mut Context<'a>,
    role: Role,
    name: Name<'de>,
}

impl<'de> DeserializeSeed<'de> for Field<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Field<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any json value")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.context.number(self.role, self.name, Number::Float(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.context.number(self.role, self.name, Number::Signed(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        let number = i64::try_from(value).map_or(Number::Unsigned(value), Number::Signed);
        self.context.number(self.role, self.name, number)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.role {
            Role::Channel => self.context.reading(self.name, f64::from(u8::from(value))),
            Role::Time => self.context.time(self.name, value, Err("expected a number or RFC 3339")),
            Role::Device => Ok(()),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.context.text(self.role, self.name, text)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        if let Name::Key(key) = self.name {
            self.context.path.push(key);
        }
        self.context.fields(map)
    }
}
