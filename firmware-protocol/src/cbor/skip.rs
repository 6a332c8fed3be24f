//! Passing over a value: in a loop, so that its depth costs no stack.

use minicbor::Decoder;
use minicbor::data::Type;

use super::Fault;
use super::reader::Reader;

/// Containers without a length within each other, in what is passed over; those with a length may be of any depth.
const OPEN_MAX: usize = 1_024;

impl Reader<'_> {
    /// Passes over one value with all in it.
    pub(super) fn skip(&mut self) -> Result<(), Fault> {
        // Items to come before each container without a length that is open; and before its end, or that of the value.
        let mut open: Vec<u64> = Vec::new();
        let mut items = 1_u64;
        loop {
            let datatype = match (items, open.last()) {
                (0, None) => return Ok(()),
                (0, Some(&before)) => match self.datatype()? {
                    Type::Break => {
                        self.take_break()?;
                        open.pop();
                        items = before;
                        continue;
                    }
                    datatype => datatype,
                },
                _ => {
                    items -= 1;
                    self.datatype()?
                }
            };
            let inside = match datatype {
                Type::Array | Type::ArrayIndef => self.step(Decoder::array)?,
                // More than that would not fit into any payload.
                Type::Map | Type::MapIndef => self.step(Decoder::map)?.map(|pairs| pairs.saturating_mul(2)),
                Type::Tag => self.step(Decoder::tag).map(|_| Some(1))?,
                Type::Break => return Err(self.malformed("an end without a beginning")),
                _ => {
                    self.step(scalar)?;
                    Some(0)
                }
            };
            match inside {
                Some(more) => items = items.saturating_add(more),
                None if open.len() == OPEN_MAX => return Err(Fault::TooDeep { limit: OPEN_MAX }),
                None => {
                    open.push(items);
                    items = 0;
                }
            }
        }
    }
}

fn scalar(input: &mut Decoder<'_>) -> Result<(), minicbor::decode::Error> {
    match input.datatype()? {
        Type::Bytes | Type::BytesIndef => input.bytes_iter()?.try_for_each(|piece| piece.map(drop)),
        Type::String | Type::StringIndef => input.str_iter()?.try_for_each(|piece| piece.map(drop)),
        _ => input.skip(),
    }
}
