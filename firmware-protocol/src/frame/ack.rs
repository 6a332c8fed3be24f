//! The word back to a device on a serial line: the frame of this identity is durable.

use super::request::{read_packet, write_packet};
use super::{CRC_BYTES, DEVICE_MAX_BYTES, Header, PREFIX_BYTES};
use crate::FrameError;

pub const ACK_MAGIC: [u8; 2] = *b"SA";
/// A device's name with its length, and two numbers of 32 bits.
pub const ACK_MAX_BYTES: usize = PREFIX_BYTES + (1 + DEVICE_MAX_BYTES) + 5 + 5 + CRC_BYTES;

/// Writes the acknowledgement to the front of `out` and returns its length; [`ACK_MAX_BYTES`] are always enough.
///
/// # Errors
/// As [`super::encode`], for the device's name.
pub fn encode_ack(header: &Header<'_>, out: &mut [u8]) -> Result<usize, FrameError> {
    write_packet(ACK_MAGIC, out, |w| w.header(header))
}

/// Which frame is acknowledged.
///
/// # Errors
/// Anything but one whole valid acknowledgement.
pub fn parse_ack(bytes: &[u8]) -> Result<Header<'_>, FrameError> {
    read_packet(ACK_MAGIC, bytes, Header::read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crc::crc32;
    use crate::{BootId, DeviceSeq};

    fn header(device: &str) -> Header<'_> {
        Header { device, boot: BootId(u32::MAX), seq: DeviceSeq(u32::MAX) }
    }

    fn encoded(device: &str) -> Vec<u8> {
        let mut out = [0; ACK_MAX_BYTES];
        let length = encode_ack(&header(device), &mut out).unwrap();
        out[..length].to_vec()
    }

    #[test]
    fn the_largest_acknowledgement_comes_back_as_it_was_sent() {
        let device = "d".repeat(DEVICE_MAX_BYTES);
        let bytes = encoded(&device);
        assert_eq!(bytes.len(), ACK_MAX_BYTES);
        assert_eq!(parse_ack(&bytes), Ok(header(&device)));
    }

    #[test]
    fn whatever_is_not_a_whole_acknowledgement_is_none() {
        let bytes = encoded("pump-7");
        for end in 0..bytes.len() {
            assert!(parse_ack(&bytes[..end]).is_err(), "{end} bytes");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(parse_ack(&damaged).is_err(), "bit {bit}");
        }
        let trailing = [&bytes[..bytes.len() - CRC_BYTES], &[7]].concat();
        let trailing = [&trailing[..], &crc32(&trailing).to_le_bytes()].concat();
        assert_eq!(parse_ack(&trailing), Err(FrameError::TrailingBytes));
        assert_eq!(encode_ack(&header(""), &mut [0; ACK_MAX_BYTES]), Err(FrameError::Malformed));
    }
}
