//! Numbers behind tags: big integers, decimal fractions and big floats (RFC 8949, sections 3.4.3 and 3.4.4).

use minicbor::Decoder;
use minicbor::data::Type;

use super::Fault;
use super::reader::Reader;

/// Longer integers are beyond the range of a `f64`.
const INTEGER_MAX_BYTES: usize = 128;

impl Reader<'_> {
    /// The number behind a tag that is there already; `None` if the tag makes no number.
    pub(super) fn tagged_number(&mut self, tag: u64) -> Result<Option<f64>, Fault> {
        Ok(Some(match tag {
            2 => self.big()?,
            3 => -1.0 - self.big()?,
            4 => {
                let (exponent, mantissa) = self.fraction()?;
                decimal(mantissa, exponent)
            }
            5 => {
                let (exponent, mantissa) = self.fraction()?;
                mantissa * 2_f64.powi(exponent)
            }
            _ => return Ok(None),
        }))
    }

    /// Big-endian bytes as a number; infinite if there are too many.
    fn big(&mut self) -> Result<f64, Fault> {
        let bytes = self.step(Decoder::bytes)?;
        let significant = bytes.iter().skip_while(|byte| **byte == 0);
        if significant.clone().count() > INTEGER_MAX_BYTES {
            return Ok(f64::INFINITY);
        }
        Ok(significant.fold(0.0, |value, byte| value * 256.0 + f64::from(*byte)))
    }

    /// An array of exponent and mantissa.
    fn fraction(&mut self) -> Result<(i32, f64), Fault> {
        if self.step(Decoder::array)? != Some(2) {
            return Err(self.malformed("a fraction is not of two numbers"));
        }
        // No `f64` is anywhere near such an exponent.
        let exponent = self.step(Decoder::i64)?.clamp(-100_000, 100_000) as i32;
        let mantissa = if self.datatype()? == Type::Tag {
            match self.step(Decoder::tag)?.as_u64() {
                2 => self.big()?,
                3 => -1.0 - self.big()?,
                _ => return Err(self.malformed("a fraction's mantissa is no integer")),
            }
        } else {
            i128::from(self.step(Decoder::int)?) as f64
        };
        Ok((exponent, mantissa))
    }
}

/// `mantissa` · 10^`exponent`, rounded once where the decimal is short, as senders write them.
fn decimal(mantissa: f64, exponent: i32) -> f64 {
    // Both are exact up to there, so that a division or product rounds once: 2731 / 100 is the nearest to 27.31.
    match exponent {
        0..=22 => mantissa * 10_f64.powi(exponent),
        -22..0 => mantissa / 10_f64.powi(-exponent),
        _ => mantissa * 10_f64.powi(exponent),
    }
}
