//! Finds the device's name in an object and passes over all else.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Looks for a name in any value: the value itself, or its field of this dotted name.
#[derive(Clone, Copy)]
pub(super) enum Find<'f> {
    Here,
    Under(&'f str),
    Nowhere,
}

impl<'f> Find<'f> {
    /// Where to look in the value of `key`.
    fn below(self, key: &str) -> Self {
        match self {
            Self::Under(field) if field == key => Self::Here,
            Self::Under(field) => match field.strip_prefix(key).and_then(|f| f.strip_prefix('.')) {
                Some(inner) => Self::Under(inner),
                None => Self::Nowhere,
            },
            Self::Here | Self::Nowhere => Self::Nowhere,
        }
    }

    fn owned<'de>(self, value: impl ToString) -> Option<Cow<'de, str>> {
        match self {
            Self::Here => Some(Cow::Owned(value.to_string())),
            Self::Under(_) | Self::Nowhere => None,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Find<'_> {
    type Value = Option<Cow<'de, str>>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        match self {
            Self::Nowhere => json.deserialize_ignored_any(IgnoredAny).map(|_| None),
            Self::Here | Self::Under(_) => json.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Find<'_> {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any json value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut name = None;
        while let Some(find) = map.next_key_seed(Key(self))? {
            name = map.next_value_seed(find)?.or(name);
        }
        Ok(name)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut name = None;
        while let Some(found) = seq.next_element_seed(self)? {
            name = found.or(name);
        }
        Ok(name)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(matches!(self, Self::Here).then_some(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(self.owned(text))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(self.owned(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(self.owned(value))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

struct Key<'f>(Find<'f>);

impl<'de, 'f> DeserializeSeed<'de> for Key<'f> {
    type Value = Find<'f>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Find<'f>, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'f> Visitor<'_> for Key<'f> {
    type Value = Find<'f>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Find<'f>, E> {
        Ok(self.0.below(key))
    }
}
