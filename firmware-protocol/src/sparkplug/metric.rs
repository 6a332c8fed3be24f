//! One metric of a payload (section 6.4.6) and what its value is as a reading (section 6.4.16).

use std::str;

use super::Fault;
use super::protobuf::{Fields, Key, Value as Wire};
use crate::crc::crc32;

/// A metric as it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Metric<'a> {
    /// Not empty, no control characters.
    pub name: Option<&'a str>,
    pub alias: Option<u64>,
    /// When it was measured, milliseconds since 1970.
    pub timestamp: Option<u64>,
    /// The data type by its number (see [`DataType::of`]); 0 if it is not told.
    pub kind: u32,
    /// Its sender does not want it stored.
    pub is_transient: bool,
    pub is_null: bool,
    pub value: Option<Value<'a>>,
    /// A message `PropertySet`.
    properties: Option<&'a [u8]>,
}

/// The value as it is written; what integers mean depends on the data type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    Int(u32),
    Long(u64),
    Float(f32),
    Double(f64),
    Bool(bool),
    Text(&'a str),
    /// Bytes, data sets, templates, extensions.
    Other,
}

/// The fields that are read, as section 6.2 numbers them.
mod key {
    use super::Key;

    pub(super) const NAME: Key = Key::bytes(1);
    pub(super) const ALIAS: Key = Key::varint(2);
    pub(super) const TIMESTAMP: Key = Key::varint(3);
    pub(super) const KIND: Key = Key::varint(4);
    pub(super) const IS_TRANSIENT: Key = Key::varint(6);
    pub(super) const IS_NULL: Key = Key::varint(7);
    pub(super) const PROPERTIES: Key = Key::bytes(9);
    pub(super) const INT: Key = Key::varint(10);
    pub(super) const LONG: Key = Key::varint(11);
    pub(super) const FLOAT: Key = Key::fixed32(12);
    pub(super) const DOUBLE: Key = Key::fixed64(13);
    pub(super) const BOOL: Key = Key::varint(14);
    pub(super) const TEXT: Key = Key::bytes(15);
}

/// By what a data message calls a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label<'a> {
    Name(&'a str),
    Alias(u64),
}

impl Label<'_> {
    /// The number in a [table](crate::table): the alias; for a name the CRC-32 of it, above all aliases in use.
    ///
    /// Metrics without alias are in tables, too, for a data message does not tell their data type and unit.
    /// Two names may have one number, so readers compare names.
    pub fn number(self) -> u64 {
        match self {
            Self::Name(name) => NAMED | u64::from(crc32(name.as_bytes())),
            Self::Alias(alias) => alias,
        }
    }
}

const NAMED: u64 = 1 << 63;

/// The data types whose integers are not what they look like (section 6.4.16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataType {
    Int8,
    Int16,
    Int32,
    Int64,
    /// All others: an integer is what it looks like.
    Plain,
}

impl DataType {
    pub fn of(kind: u32) -> Self {
        match kind {
            1 => Self::Int8,
            2 => Self::Int16,
            3 => Self::Int32,
            4 => Self::Int64,
            _ => Self::Plain,
        }
    }

    /// The number that a raw integer stands for. Negative ones are in two's complement of 8, 16, 32 or 64 bits: senders
    /// differ in how far they extend the sign.
    #[inline]
    fn integer(self, value: u64) -> Option<f64> {
        let signed = match self {
            Self::Int8 => i64::from(value as i8),
            Self::Int16 => i64::from(value as i16),
            Self::Int32 => i64::from(value as i32),
            Self::Int64 => value as i64,
            Self::Plain => return Some(value as f64),
        };
        let width = match self {
            Self::Int8 => 8,
            Self::Int16 => 16,
            Self::Int32 => 32,
            Self::Int64 | Self::Plain => 64,
        };
        let is_extended = |bits: u32| bits >= width && value == signed as u64 & (u64::MAX >> (64 - bits));
        // As most senders do it first.
        [32, 64, 16, 8].into_iter().any(is_extended).then_some(signed as f64)
    }
}

impl<'a> Metric<'a> {
    #[inline(always)]
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut metric = Self::default();
        let mut fields = Fields::of(bytes);
        while !fields.is_empty() {
            match fields.key()? {
                key::NAME => metric.name = Some(name_of(fields.bytes()?)?).filter(|name| !name.is_empty()),
                key::ALIAS => metric.alias = Some(fields.varint()?),
                key::TIMESTAMP => metric.timestamp = Some(fields.varint()?),
                key::KIND => metric.kind = fields.varint()? as u32,
                key::IS_TRANSIENT => metric.is_transient = fields.varint()? != 0,
                key::IS_NULL => metric.is_null = fields.varint()? != 0,
                key::PROPERTIES => metric.properties = Some(fields.bytes()?),
                // An `uint32` of more bits has the lower ones: so protobuf says.
                key::INT => metric.value = Some(Value::Int(fields.varint()? as u32)),
                key::LONG => metric.value = Some(Value::Long(fields.varint()?)),
                key::FLOAT => metric.value = Some(Value::Float(f32::from_le_bytes(fields.array()?))),
                key::DOUBLE => metric.value = Some(Value::Double(f64::from_le_bytes(fields.array()?))),
                key::BOOL => metric.value = Some(Value::Bool(fields.varint()? != 0)),
                key::TEXT => metric.value = Some(Value::Text(text_of(fields.bytes()?)?)),
                key => metric.take_other(key, fields.value(key)?)?,
            }
        }
        Ok(metric)
    }

    fn take_other(&mut self, key: Key, value: Wire<'a>) -> Result<(), Fault> {
        match (key.field(), value) {
            (16..=19, Wire::Bytes(_)) => self.value = Some(Value::Other),
            (1..=4 | 6 | 7 | 9..=19, value) => return Err(value.unexpected(key.field())),
            // is_historical and metadata say nothing about the value, and extensions are not known.
            _ => {}
        }
        Ok(())
    }

    /// The name where there is one, for an alias may be new with it.
    ///
    /// # Errors
    /// There is neither.
    pub fn label(&self) -> Result<Label<'a>, Fault> {
        self.name.map(Label::Name).or(self.alias.map(Label::Alias)).ok_or(Fault::NoName)
    }

    /// Whether it has a value that may become a reading: a number, a truth value or text, which may be stored.
    pub fn has_reading(&self) -> bool {
        let is_readable = match self.value {
            Some(Value::Other) | None => false,
            Some(
                Value::Int(_) | Value::Long(_) | Value::Float(_) | Value::Double(_) | Value::Bool(_) | Value::Text(_),
            ) => true,
        };
        is_readable && !self.is_null && !self.is_transient
    }

    /// The property `engUnit`, by which edge nodes tell a metric's unit; empty if there is none, or one with control
    /// characters.
    ///
    /// # Errors
    /// The properties are broken.
    pub fn unit(&self) -> Result<&'a str, Fault> {
        let Some(properties) = self.properties else { return Ok("") };
        // Keys and values are two lists (section 6.4.8), which may be written in any order.
        let Some(place) = position(properties, UNIT_PROPERTY)? else { return Ok("") };
        let mut fields = Fields::of(properties);
        let mut values = 0;
        while let Some((number, value)) = fields.next()? {
            let (2, Wire::Bytes(value)) = (number, value) else { continue };
            if values == place {
                return Ok(Some(text_property(value)?)
                    .filter(|unit| !unit.contains(char::is_control))
                    .unwrap_or_default());
            }
            values += 1;
        }
        Ok("")
    }
}

impl Value<'_> {
    /// The value as a number, `None` if it is none; `kind` is the number of the metric's data type.
    ///
    /// # Errors
    /// An integer does not fit the data type.
    #[inline]
    pub fn number(self, kind: u32) -> Result<Option<f64>, Fault> {
        let integer =
            |value| DataType::of(kind).integer(value).ok_or(Fault::OutOfType { value, kind }).map(Option::Some);
        match self {
            Self::Int(v) => integer(u64::from(v)),
            Self::Long(v) => integer(v),
            Self::Float(v) => Ok(Some(f64::from(v))),
            Self::Double(v) => Ok(Some(v)),
            Self::Bool(v) => Ok(Some(f64::from(u8::from(v)))),
            Self::Text(_) | Self::Other => Ok(None),
        }
    }
}

impl Wire<'_> {
    pub(super) fn unexpected(&self, field: u32) -> Fault {
        let wire_type = match self {
            Self::Varint(_) => 0,
            Self::Fixed64(_) => 1,
            Self::Bytes(_) => 2,
            Self::Fixed32(_) => 5,
        };
        Fault::WireType { field, wire_type }
    }
}

/// Whether a metric is about the session rather than of the plant (sections 4.2.1 and 6.4.19): `bdSeq`, and what hosts
/// set to control a node or device.
pub(crate) fn is_control(name: &str) -> bool {
    match name.as_bytes() {
        [b'b', ..] => name == "bdSeq",
        [b'N', ..] => name.starts_with("Node Control/"),
        [b'D', ..] => name.starts_with("Device Control/"),
        _ => false,
    }
}

const UNIT_PROPERTY: &[u8] = b"engUnit";

/// The place of a key in a property set.
fn position(properties: &[u8], wanted: &[u8]) -> Result<Option<usize>, Fault> {
    let mut fields = Fields::of(properties);
    let mut keys = 0;
    while let Some((number, value)) = fields.next()? {
        let (1, Wire::Bytes(key)) = (number, value) else { continue };
        if key == wanted {
            return Ok(Some(keys));
        }
        keys += 1;
    }
    Ok(None)
}

/// The text in a property's value; empty if it is none.
fn text_property(value: &[u8]) -> Result<&str, Fault> {
    let mut fields = Fields::of(value);
    let mut text = "";
    while let Some((number, value)) = fields.next()? {
        if let (8, Wire::Bytes(value)) = (number, value) {
            text = text_of(value)?;
        }
    }
    Ok(text)
}

fn name_of(bytes: &[u8]) -> Result<&str, Fault> {
    let name = str::from_utf8(bytes).map_err(|_| Fault::NotUtf8 { what: "a metric's name" })?;
    if name.chars().any(char::is_control) { Err(Fault::ControlCharacters) } else { Ok(name) }
}

fn text_of(bytes: &[u8]) -> Result<&str, Fault> {
    str::from_utf8(bytes).map_err(|_| Fault::NotUtf8 { what: "a text" })
}
