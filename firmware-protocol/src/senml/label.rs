//! Fields of a record by their labels: text in JSON, numbers in CBOR (RFC 8428, tables 1 and 5).

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, Visitor};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    Version,
    BaseName,
    BaseTime,
    BaseUnit,
    BaseValue,
    BaseSum,
    Name,
    Unit,
    Value,
    TextValue,
    BoolValue,
    DataValue,
    Sum,
    Time,
    /// Update time, and what this version of SenML does not have: may be passed over.
    Other,
}

/// A field's key.
pub(super) struct Key;

impl Key {
    fn text<E: Error>(label: &str) -> Result<Label, E> {
        Ok(match label {
            "bver" => Label::Version,
            "bn" => Label::BaseName,
            "bt" => Label::BaseTime,
            "bu" => Label::BaseUnit,
            "bv" => Label::BaseValue,
            "bs" => Label::BaseSum,
            "n" => Label::Name,
            "u" => Label::Unit,
            "v" => Label::Value,
            "vs" => Label::TextValue,
            "vb" => Label::BoolValue,
            "vd" => Label::DataValue,
            "s" => Label::Sum,
            "t" => Label::Time,
            must if must.ends_with('_') => {
                return Err(E::custom(format_args!("field `{must}` must be understood, and is not known here")));
            }
            _ => Label::Other,
        })
    }

    fn number(label: i64) -> Label {
        match label {
            -1 => Label::Version,
            -2 => Label::BaseName,
            -3 => Label::BaseTime,
            -4 => Label::BaseUnit,
            -5 => Label::BaseValue,
            -6 => Label::BaseSum,
            0 => Label::Name,
            1 => Label::Unit,
            2 => Label::Value,
            3 => Label::TextValue,
            4 => Label::BoolValue,
            5 => Label::Sum,
            6 => Label::Time,
            8 => Label::DataValue,
            _ => Label::Other,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Label;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Label, D::Error> {
        input.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Label;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's label")
    }

    fn visit_str<E: Error>(self, label: &str) -> Result<Label, E> {
        Self::text(label)
    }

    fn visit_i64<E: Error>(self, label: i64) -> Result<Label, E> {
        Ok(Self::number(label))
    }

    fn visit_u64<E: Error>(self, label: u64) -> Result<Label, E> {
        Ok(i64::try_from(label).map_or(Label::Other, Self::number))
    }
}
