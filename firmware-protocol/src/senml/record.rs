//! One record as it is written.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::label::{Key, Label};

/// Fields that are not there are `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Record<'de> {
    pub(crate) base_name: Option<Cow<'de, str>>,
    pub(crate) base_time: Option<f64>,
    pub(crate) base_unit: Option<Cow<'de, str>>,
    pub(crate) base_value: Option<f64>,
    pub(crate) base_sum: Option<f64>,
    pub(crate) version: Option<u64>,
    pub(crate) name: Option<Cow<'de, str>>,
    pub(crate) unit: Option<Cow<'de, str>>,
    pub(crate) time: Option<f64>,
    pub(crate) value: Option<Value<'de>>,
    pub(crate) sum: Option<f64>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'de> {
    Number(f64),
    Bool(bool),
    Text(Cow<'de, str>),
    Data,
}

/// Reads a record.
pub(super) struct Fields;

impl<'de> DeserializeSeed<'de> for Fields {
    type Value = Record<'de>;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Record<'de>, D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields {
    type Value = Record<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record, which is an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record<'de>, A::Error> {
        let mut record = Record::default();
        while let Some(label) = map.next_key_seed(Key)? {
            match label {
                Label::Version => put(&mut record.version, map.next_value()?, "version")?,
                Label::BaseName => put(&mut record.base_name, map.next_value_seed(Text)?, "base name")?,
                Label::BaseTime => put(&mut record.base_time, map.next_value()?, "base time")?,
                Label::BaseUnit => put(&mut record.base_unit, map.next_value_seed(Text)?, "base unit")?,
                Label::BaseValue => put(&mut record.base_value, map.next_value()?, "base value")?,
                Label::BaseSum => put(&mut record.base_sum, map.next_value()?, "base sum")?,
                Label::Name => put(&mut record.name, map.next_value_seed(Text)?, "name")?,
                Label::Unit => put(&mut record.unit, map.next_value_seed(Text)?, "unit")?,
                Label::Value => put(&mut record.value, Value::Number(map.next_value()?), "value")?,
                Label::BoolValue => put(&mut record.value, Value::Bool(map.next_value()?), "value")?,
                Label::TextValue => put(&mut record.value, Value::Text(map.next_value_seed(Text)?), "value")?,
                Label::DataValue => {
                    map.next_value::<IgnoredAny>()?;
                    put(&mut record.value, Value::Data, "value")?;
                }
                Label::Sum => put(&mut record.sum, map.next_value()?, "sum")?,
                Label::Time => put(&mut record.time, map.next_value()?, "time")?,
                Label::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(record)
    }
}

fn put<T, E: Error>(field: &mut Option<T>, value: T, what: &str) -> Result<(), E> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::custom(format_args!("a record has more than one {what}"))),
    }
}

/// Text that stays in the payload where it can.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Cow<'de, str>, D::Error> {
        input.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}
