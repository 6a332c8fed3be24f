//! The wire format of protobuf, as far as a reader of known messages needs it: fields, one after the other.
//!
//! Source: the encoding chapter of the Protocol Buffers documentation, and section 6.2 of the specification.

use super::Fault;

/// The fields of one message, read in place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Fixed32([u8; 4]),
    /// Text, bytes or a message.
    Bytes(&'a [u8]),
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field's number and value; `None` after the last.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, Fault> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).ok().filter(|n| (1..=FIELD_MAX).contains(n)).ok_or(Fault::FieldNumber)?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.array()?),
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(usize::try_from(length).map_err(|_| Fault::Truncated)?)?)
            }
            5 => Value::Fixed32(self.array()?),
            // Groups (3 and 4) went out of use before Sparkplug was made.
            wire_type => return Err(Fault::WireType { field: number, wire_type: wire_type as u8 }),
        };
        Ok(Some((number, value)))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Fault> {
        match *self.rest {
            [byte @ ..0x80, ref rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    #[inline]
    fn long_varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0;
        let mut shift = 0;
        for (i, &byte) in self.rest.iter().enumerate().take(VARINT_MAX_BYTES) {
            let bits = u64::from(byte & 0x7f);
            value |= bits << shift;
            if byte < 0x80 {
                self.rest = self.rest.get(i + 1..).unwrap_or_default();
                // The tenth byte has room for one bit alone.
                return if shift == 63 && bits > 1 { Err(Fault::Varint) } else { Ok(value) };
            }
            shift += 7;
        }
        Err(if self.rest.len() < VARINT_MAX_BYTES { Fault::Truncated } else { Fault::Varint })
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(Fault::Truncated)?;
        self.rest = rest;
        Ok(*array)
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Fault::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }
}

/// A number of 64 bits, seven bits a byte.
const VARINT_MAX_BYTES: usize = 10;
/// Largest field number that protobuf knows.
const FIELD_MAX: u32 = (1 << 29) - 1;

/// Appends a field that is a varint.
pub(super) fn put_varint(out: &mut Vec<u8>, field: u32, value: u64) {
    put_raw(out, u64::from(field) << 3);
    put_raw(out, value);
}

/// Appends a field that is text or a message.
pub(super) fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_raw(out, u64::from(field) << 3 | 2);
    put_raw(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_raw(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(message: &[u8]) -> Result<Vec<(u32, Value<'_>)>, Fault> {
        let mut fields = Fields::of(message);
        std::iter::from_fn(|| fields.next().transpose()).collect()
    }

    #[test]
    fn fields_are_read_in_their_order() {
        let message = [0x08, 0x96, 0x01, 0x12, 0x02, b'h', b'i', 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8];
        let expected = [
            (1, Value::Varint(150)),
            (2, Value::Bytes(b"hi")),
            (3, Value::Fixed32([1, 2, 3, 4])),
            (4, Value::Fixed64([1, 2, 3, 4, 5, 6, 7, 8])),
        ];
        assert_eq!(all(&message), Ok(expected.to_vec()));
        assert_eq!(all(&[]), Ok(vec![]));
    }

    #[test]
    fn what_is_written_is_read() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut message = Vec::new();
            put_varint(&mut message, 19, value);
            put_bytes(&mut message, FIELD_MAX, b"x");
            assert_eq!(all(&message), Ok(vec![(19, Value::Varint(value)), (FIELD_MAX, Value::Bytes(b"x"))]));
        }
    }

    #[test]
    fn broken_messages_are_refused() {
        for (message, fault) in [
            (&[0x08][..], Fault::Truncated),
            (&[0x08, 0x80], Fault::Truncated),
            (&[0x12, 0x05, b'x'], Fault::Truncated),
            (&[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], Fault::Truncated),
            (&[0x1d, 1, 2, 3], Fault::Truncated),
            (&[0x00, 0x00], Fault::FieldNumber),
            (&[0x80, 0x80, 0x80, 0x80, 0x10, 0x00], Fault::FieldNumber),
            (&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], Fault::Varint),
            (&[0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01], Fault::Varint),
            (&[0x0b], Fault::WireType { field: 1, wire_type: 3 }),
        ] {
            assert_eq!(all(message), Err(fault), "{message:02x?}");
        }
    }
}
