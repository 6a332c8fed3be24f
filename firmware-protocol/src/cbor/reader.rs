//! serde's [`Deserializer`] over a payload.

use std::str;

use minicbor::Decoder;
use minicbor::data::Type;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::{DEPTH_MAX, Fault};
use crate::digits::Digits;

pub(super) struct Reader<'de> {
    pub(super) input: Decoder<'de>,
    depth: usize,
}

impl<'de> Reader<'de> {
    pub(super) fn new(payload: &'de [u8]) -> Self {
        Self { input: Decoder::new(payload), depth: 0 }
    }

    pub(super) fn end(&self) -> Result<(), Fault> {
        let at = self.input.position();
        if at == self.input.input().len() { Ok(()) } else { Err(Fault::Trailing { at }) }
    }

    /// One step of the decoder, whose errors are told with the place where it began.
    pub(super) fn step<T>(
        &mut self,
        step: impl FnOnce(&mut Decoder<'de>) -> Result<T, minicbor::decode::Error>,
    ) -> Result<T, Fault> {
        let at = self.input.position();
        step(&mut self.input).map_err(|error| Fault::of(&error, at))
    }

    pub(super) fn datatype(&mut self) -> Result<Type, Fault> {
        self.step(|input| input.datatype())
    }

    pub(super) fn malformed(&self, what: &'static str) -> Fault {
        Fault::Malformed { at: self.input.position(), what }
    }

    /// Text in pieces, as one.
    fn pieces(&mut self) -> Result<String, Fault> {
        self.step(|input| input.str_iter()?.collect())
    }

    /// Text that may stand in the payload as a whole.
    fn text<V: Visitor<'de>>(&mut self, datatype: Type, visitor: V) -> Result<V::Value, Fault> {
        if datatype == Type::String {
            visitor.visit_borrowed_str(self.step(Decoder::str)?)
        } else {
            visitor.visit_string(self.pieces()?)
        }
    }

    fn inner<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        if self.depth == DEPTH_MAX {
            return Err(Fault::depth());
        }
        self.depth += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    /// Whether another item follows in a container that had `left` of them, if it has a length.
    fn has_next(&mut self, left: &mut Option<u64>) -> Result<bool, Fault> {
        match left {
            Some(0) => Ok(false),
            Some(left) => {
                *left -= 1;
                Ok(true)
            }
            None => Ok(self.datatype()? != Type::Break),
        }
    }

    /// Whatever the visitor has left of a container.
    fn leave(&mut self, mut left: Option<u64>, items_each: u32) -> Result<(), Fault> {
        while self.has_next(&mut left)? {
            (0..items_each).try_for_each(|_| self.skip())?;
        }
        if left.is_none() { self.take_break() } else { Ok(()) }
    }

    /// The byte that ends a container without a length.
    pub(super) fn take_break(&mut self) -> Result<(), Fault> {
        if self.datatype()? != Type::Break {
            return Err(self.malformed("the end of an array or map is expected"));
        }
        self.input.set_position(self.input.position() + 1);
        Ok(())
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let mut datatype = self.datatype()?;
        while datatype == Type::Tag {
            let tag = self.step(Decoder::tag)?.as_u64();
            if let Some(number) = self.tagged_number(tag)? {
                return visitor.visit_f64(number);
            }
            datatype = self.datatype()?;
        }
        match datatype {
            Type::Bool => visitor.visit_bool(self.step(Decoder::bool)?),
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => visitor.visit_u64(self.step(Decoder::u64)?),
            Type::I8 | Type::I16 | Type::I32 | Type::I64 => visitor.visit_i64(self.step(Decoder::i64)?),
            Type::Int => visitor.visit_f64(i128::from(self.step(Decoder::int)?) as f64),
            Type::F16 => visitor.visit_f64(f64::from(self.step(Decoder::f16)?)),
            Type::F32 => visitor.visit_f64(f64::from(self.step(Decoder::f32)?)),
            Type::F64 => visitor.visit_f64(self.step(Decoder::f64)?),
            Type::String | Type::StringIndef => self.text(datatype, visitor),
            Type::Null | Type::Undefined | Type::Simple | Type::Bytes | Type::BytesIndef => {
                self.skip()?;
                visitor.visit_unit()
            }
            Type::Array | Type::ArrayIndef => self.inner(|reader| {
                let mut items = Items { left: reader.step(Decoder::array)?, reader };
                let value = visitor.visit_seq(&mut items)?;
                items.reader.leave(items.left, 1)?;
                Ok(value)
            }),
            Type::Map | Type::MapIndef => self.inner(|reader| {
                let mut items = Items { left: reader.step(Decoder::map)?, reader };
                let value = visitor.visit_map(&mut items)?;
                items.reader.leave(items.left, 2)?;
                Ok(value)
            }),
            Type::Break => Err(self.malformed("an end without a beginning")),
            Type::Tag | Type::Unknown(_) => Err(self.malformed("the value is not well-formed")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.skip()?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier
    }
}

/// What is left of an array or map; `None` if only its end tells.
struct Items<'a, 'de> {
    reader: &'a mut Reader<'de>,
    left: Option<u64>,
}

impl<'de> SeqAccess<'de> for &mut Items<'_, 'de> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        if !self.reader.has_next(&mut self.left)? {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

impl<'de> MapAccess<'de> for &mut Items<'_, 'de> {
    type Error = Fault;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        if !self.reader.has_next(&mut self.left)? {
            return Ok(None);
        }
        seed.deserialize(Key(self.reader)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        seed.deserialize(&mut *self.reader)
    }
}

/// A map's key: text or a whole number.
struct Key<'a, 'de>(&'a mut Reader<'de>);

enum KeyKind {
    Text(Type),
    Unsigned(u64),
    Negative(i64),
}

impl Key<'_, '_> {
    fn kind(&mut self) -> Result<KeyKind, Fault> {
        let datatype = self.0.datatype()?;
        if matches!(datatype, Type::String | Type::StringIndef) {
            Ok(KeyKind::Text(datatype))
        } else if matches!(datatype, Type::U8 | Type::U16 | Type::U32 | Type::U64) {
            self.0.step(Decoder::u64).map(KeyKind::Unsigned)
        } else if matches!(datatype, Type::I8 | Type::I16 | Type::I32 | Type::I64) {
            self.0.step(Decoder::i64).map(KeyKind::Negative)
        } else {
            Err(self.0.malformed("a key is neither text nor a whole number of 64 bits"))
        }
    }
}

impl<'de> Deserializer<'de> for Key<'_, 'de> {
    type Error = Fault;

    /// Whole numbers are text, too.
    fn deserialize_any<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Fault> {
        let digits = match self.kind()? {
            KeyKind::Text(datatype) => return self.0.text(datatype, visitor),
            KeyKind::Unsigned(number) => Digits::unsigned(number),
            KeyKind::Negative(number) => Digits::signed(number),
        };
        visitor.visit_str(str::from_utf8(digits.as_bytes()).map_err(Fault::custom)?)
    }

    fn deserialize_identifier<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Fault> {
        match self.kind()? {
            KeyKind::Text(datatype) => self.0.text(datatype, visitor),
            KeyKind::Unsigned(number) => visitor.visit_u64(number),
            KeyKind::Negative(number) => visitor.visit_i64(number),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.0.skip()?;
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum
    }
}
