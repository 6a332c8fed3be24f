//! The gateway's small packets, and one of them: it asks a device for its hello.

use super::read::Reader;
use super::write::Writer;
use super::{CRC_BYTES, DEVICE_MAX_BYTES, PREFIX_BYTES, VERSION};
use crate::FrameError;
use crate::crc::crc32;

pub const HELLO_REQUEST_MAGIC: [u8; 2] = *b"SH";
/// A device's name with its length.
pub const HELLO_REQUEST_MAX_BYTES: usize = PREFIX_BYTES + (1 + DEVICE_MAX_BYTES) + CRC_BYTES;

/// Writes the request to the front of `out` and returns its length; [`HELLO_REQUEST_MAX_BYTES`] are always enough.
///
/// # Errors
/// As [`super::encode`], for the device's name.
pub fn encode_hello_request(device: &str, out: &mut [u8]) -> Result<usize, FrameError> {
    write_packet(HELLO_REQUEST_MAGIC, out, |w| w.name(device, DEVICE_MAX_BYTES))
}

/// Whose hello is asked for: only that device answers.
///
/// # Errors
/// Anything but one whole valid request.
pub fn parse_hello_request(bytes: &[u8]) -> Result<&str, FrameError> {
    read_packet(HELLO_REQUEST_MAGIC, bytes, |r| r.name(DEVICE_MAX_BYTES))
}

/// Puts magic, version and flags before what `write` writes, and the CRC behind it.
pub(super) fn write_packet(
    magic: [u8; 2],
    out: &mut [u8],
    write: impl FnOnce(&mut Writer<'_>) -> Result<(), FrameError>,
) -> Result<usize, FrameError> {
    let mut w = Writer::new(out);
    w.bytes(&magic)?;
    w.bytes(&[VERSION, 0])?;
    write(&mut w)?;
    w.finish()
}

/// Undoes [`write_packet`]; `read` has to take all that lies between.
pub(super) fn read_packet<'a, T>(
    magic: [u8; 2],
    bytes: &'a [u8],
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, FrameError>,
) -> Result<T, FrameError> {
    if !bytes.starts_with(&magic) {
        return Err(FrameError::NotAFrame);
    }
    let (covered, crc) = bytes.split_last_chunk::<CRC_BYTES>().ok_or(FrameError::Truncated)?;
    if crc32(covered) != u32::from_le_bytes(*crc) {
        return Err(FrameError::WrongCrc);
    }
    let (prefix, body) = covered.split_first_chunk::<PREFIX_BYTES>().ok_or(FrameError::Truncated)?;
    let [_, _, version, flags] = *prefix;
    if version != VERSION {
        return Err(FrameError::UnknownVersion);
    }
    if flags != 0 {
        return Err(FrameError::UnknownFlags);
    }
    let mut r = Reader::new(body);
    let content = read(&mut r)?;
    if r.is_empty() { Ok(content) } else { Err(FrameError::TrailingBytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_is_asked_for_as_it_is() {
        let device = "d".repeat(DEVICE_MAX_BYTES);
        let mut out = [0; HELLO_REQUEST_MAX_BYTES];
        assert_eq!(encode_hello_request(&device, &mut out), Ok(HELLO_REQUEST_MAX_BYTES));
        assert_eq!(parse_hello_request(&out), Ok(device.as_str()));
        assert_eq!(encode_hello_request("", &mut out), Err(FrameError::Malformed));
    }

    #[test]
    fn whatever_is_not_a_whole_request_is_none() {
        let mut out = [0; HELLO_REQUEST_MAX_BYTES];
        let length = encode_hello_request("pump-7", &mut out).unwrap();
        let bytes = &out[..length];
        for end in 0..bytes.len() {
            assert!(parse_hello_request(&bytes[..end]).is_err(), "{end} bytes");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(parse_hello_request(&damaged).is_err(), "bit {bit}");
        }
    }
}
