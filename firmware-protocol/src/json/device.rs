//! Finds the device's name in a payload and passes over all else.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::decode::{Node, Role, Tree};

/// Looks for a name in the value at a place of the route's tree.
#[derive(Clone, Copy)]
pub(super) struct Find<'f> {
    pub(super) tree: &'f Tree,
    pub(super) node: Node,
}

impl Find<'_> {
    fn owned<'de>(self, value: impl ToString) -> Option<Cow<'de, str>> {
        (self.tree.role(self.node) == Role::Device).then(|| Cow::Owned(value.to_string()))
    }
}

impl<'de> DeserializeSeed<'de> for Find<'_> {
    type Value = Option<Cow<'de, str>>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        if self.tree.leads_to_device(self.node) {
            json.deserialize_any(self)
        } else {
            json.deserialize_ignored_any(IgnoredAny).map(|_| None)
        }
    }
}

impl<'de> Visitor<'de> for Find<'_> {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut name = None;
        while let Some(find) = map.next_key_seed(Key(self))? {
            name = map.next_value_seed(find)?.or(name);
        }
        Ok(name)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let are_messages = self.node == Node::ROOT || self.tree.role(self.node) == Role::Each;
        let (mut name, mut index) = (None, 0_u32);
        loop {
            let node = if are_messages { self.node } else { self.tree.element(self.node, index) };
            match seq.next_element_seed(Self { node, ..self })? {
                Some(found) => name = found.or(name),
                None => return Ok(name),
            }
            index = index.saturating_add(1);
        }
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok((self.tree.role(self.node) == Role::Device && !text.is_empty()).then_some(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(self.owned(text).filter(|name| !name.is_empty()))
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
        Ok(Find { node: self.0.tree.field(self.0.node, key), ..self.0 })
    }
}
