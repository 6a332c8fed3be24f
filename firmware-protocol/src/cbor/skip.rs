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
            if items == 0 {
                let Some(&before) = open.last() else { return Ok(()) };
                if self.datatype()? == Type::Break {
                    self.take_break()?;
                    open.pop();
                    items = before;
                    continue;
                }
            }
            items = items.saturating_sub(1);
            let inside = self.head()?;
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

    /// Passes over a scalar, or the beginning of what has items inside; `None` if only its end tells how many.
    fn head(&mut self) -> Result<Option<u64>, Fault> {
        let datatype = self.datatype()?;
        if matches!(datatype, Type::Array | Type::ArrayIndef) {
            self.step(Decoder::array)
        } else if matches!(datatype, Type::Map | Type::MapIndef) {
            // More than that would not fit into any payload.
            Ok(self.step(Decoder::map)?.map(|pairs| pairs.saturating_mul(2)))
        } else if datatype == Type::Tag {
            self.step(Decoder::tag).map(|_| Some(1))
        } else if matches!(datatype, Type::Bytes | Type::BytesIndef) {
            self.step(|input| input.bytes_iter()?.try_for_each(|piece| piece.map(drop)))?;
            Ok(Some(0))
        } else if matches!(datatype, Type::String | Type::StringIndef) {
            self.step(|input| input.str_iter()?.try_for_each(|piece| piece.map(drop)))?;
            Ok(Some(0))
        } else if datatype == Type::Break {
            Err(self.malformed("an end without a beginning"))
        } else {
            self.step(Decoder::skip)?;
            Ok(Some(0))
        }
    }
}
