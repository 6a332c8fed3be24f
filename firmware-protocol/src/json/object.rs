//! The visitors that a deserializer drives over a message and its objects.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::array;
use super::collect::{Context, DEPTH_MAX, Name, Number};
use crate::decode::{DecodeError, Node, Role};

impl Context<'_> {
    /// Reads the fields of an object at a place of the route's tree.
    pub(super) fn fields<'de, A: MapAccess<'de>>(&mut self, mut map: A, node: Node) -> Result<(), A::Error> {
        if self.depth == DEPTH_MAX && !self.is_listed {
            return Err(self.refuse(DecodeError::TooDeep { limit: DEPTH_MAX }));
        }
        self.depth += 1;
        let before = self.path.len();
        while let Some((node, name)) = map.next_key_seed(Key { context: self, node })? {
            map.next_value_seed(Field { context: self, node, name, is_element: false })?;
            self.path.truncate(before);
        }
        self.depth -= 1;
        Ok(())
    }
}

/// The outermost value.
pub(crate) struct Top<'c, 'a>(pub(super) &'c mut Context<'a>);

impl<'de> Visitor<'de> for Top<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.0.message(|context| context.fields(map, Node::ROOT))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if self.0.rules.plan.tree.has_elements(Node::ROOT) {
            return self.0.message(|context| array::elements(context, seq, Node::ROOT));
        }
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
        self.0.message(|context| context.fields(map, Node::ROOT))
    }
}

/// A field's key: says what the field is for and where its name is.
struct Key<'c, 'a> {
    context: &'c mut Context<'a>,
    /// Of the object.
    node: Node,
}

impl<'de> DeserializeSeed<'de> for Key<'_, '_> {
    type Value = (Node, Name<'de>);

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key<'_, '_> {
    type Value = (Node, Name<'de>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_borrowed_str<E: Error>(self, key: &'de str) -> Result<Self::Value, E> {
        // Where only paths count, nobody asks for the name.
        if self.context.is_listed || self.context.path.len() == 0 {
            let node = self.context.rules.plan.tree.field(self.node, key);
            return Ok((node, Name::Key(key)));
        }
        self.visit_str(key)
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        let node = self.context.rules.plan.tree.field(self.node, key);
        if !self.context.is_listed {
            self.context.path.push(key);
        }
        Ok((node, Name::Path))
    }
}

/// A value: of a field, or an element of an array that a path leads to.
pub(super) struct Field<'c, 'a, 'de> {
    pub(super) context: &'c mut Context<'a>,
    pub(super) node: Node,
    pub(super) name: Name<'de>,
    pub(super) is_element: bool,
}

impl Field<'_, '_, '_> {
    fn role(&self) -> Role {
        self.context.role(self.node)
    }
}

impl<'de> DeserializeSeed<'de> for Field<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        let is_off = self.node == Node::OFF && self.context.is_listed;
        if is_off || self.role() == Role::Ignored {
            return json.deserialize_ignored_any(IgnoredAny).map(|_| ());
        }
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Field<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        let role = self.role();
        self.context.number(role, self.name, Number::Float(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        let role = self.role();
        self.context.number(role, self.name, Number::Signed(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        let role = self.role();
        let number = i64::try_from(value).map_or(Number::Unsigned(value), Number::Signed);
        self.context.number(role, self.name, number)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        let role = self.role();
        self.context.truth(role, self.name, value)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let role = self.role();
        self.context.text(role, text)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if self.role() == Role::Each {
            return array::messages(self.context, seq, self.node);
        }
        if self.context.rules.plan.tree.has_elements(self.node) {
            return array::elements(self.context, seq, self.node);
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let node = self.node;
        if self.is_element {
            return self.context.part(|context| context.fields(map, node));
        }
        if let Name::Key(key) = self.name
            && !self.context.is_listed
        {
            self.context.path.push(key);
        }
        self.context.fields(map, node)
    }
}
