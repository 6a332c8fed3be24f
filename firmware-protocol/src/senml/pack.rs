//! The array of records.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

use super::record::{Fields, Record};
use crate::decode::DecodeError;

/// Gives each record to `take`, until that refuses one.
pub(super) struct Pack<'t, T> {
    pub(super) take: &'t mut T,
    /// Why it did.
    pub(super) refused: &'t mut Option<DecodeError>,
}

impl<'de, T: FnMut(Record<'de>) -> Result<(), DecodeError>> DeserializeSeed<'de> for Pack<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_seq(self)
    }
}

impl<'de, T: FnMut(Record<'de>) -> Result<(), DecodeError>> Visitor<'de> for Pack<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pack, which is an array of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut records: A) -> Result<(), A::Error> {
        while let Some(record) = records.next_element_seed(Fields)? {
            if let Err(why) = (self.take)(record) {
                *self.refused = Some(why);
                return Err(A::Error::custom("refused"));
            }
        }
        Ok(())
    }
}
